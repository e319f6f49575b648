"""Operations of keras.ops in .h5 files of Keras 3, which leave out where their classes are, against
NumPy."""

import json

import h5py
import numpy
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

RANDOM = numpy.random.default_rng(5)


def tensor(name, index=0):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, index]}}


def array(values):
    config = {"value": numpy.asarray(values).tolist(), "dtype": "float32"}
    return {"class_name": "__numpy__", "config": config}


def operation(class_name, *args, name=None, **config):
    """A call of an operation."""
    name = name or class_name.lower()
    call = {"args": list(args), "kwargs": {}}
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": [call],
    }


def layer(class_name, *args, kwargs=None, **config):
    """A call of a layer."""
    out = operation(class_name, *args, trainable=True, dtype="float32", **config)
    out["inbound_nodes"][0]["kwargs"] = kwargs or {}
    return out


def computed(path, x, *layers):
    """What the last of the layers gives."""
    config = {"batch_shape": [None, *x.shape[1:]], "dtype": "float32", "name": "x"}
    source = {"class_name": "InputLayer", "name": "x", "config": config, "inbound_nodes": []}
    model = {
        "name": "model",
        "layers": [source, *layers],
        "input_layers": [["x", 0, 0]],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "3.15.1"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": model})
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = numpy.array([], dtype="S1")
    (y,) = gatewright.load(path).predict(x, exact=False).values()
    return y


def test_masks_are_operations(tmp_path):
    x = RANDOM.normal(size=(5, 6, 2)).astype("float32")
    x[:3, 2:4] = 0.5
    y = computed(
        tmp_path / "model.h5",
        x,
        operation("NotEqual", tensor("x"), 0.5),
        layer("Masking", tensor("x"), mask_value=0.5),
        operation("Any", tensor("notequal"), axis=-1, keepdims=False),
        layer(
            "GlobalAveragePooling1D",
            tensor("masking"),
            kwargs={"mask": tensor("any")},
            data_format="channels_last",
            keepdims=False,
        ),
    )
    kept = (x != 0.5).any(-1, keepdims=True)
    assert abs(y - (x * kept).sum(1) / kept.sum(1)).max() < 1e-6


def test_convolution(tmp_path):
    x = RANDOM.normal(size=(3, 7, 2)).astype("float32")
    kernel = RANDOM.normal(size=(3, 2, 4)).astype("float32")
    y = computed(
        tmp_path / "model.h5",
        x,
        operation(
            "Conv",
            tensor("x"),
            array(kernel),
            strides=2,
            padding="valid",
            data_format="channels_last",
            dilation_rate=1,
        ),
    )
    patches = numpy.lib.stride_tricks.sliding_window_view(x, 3, axis=1)[:, ::2]
    assert abs(y - numpy.einsum("npck,kcf->npf", patches, kernel)).max() < 1e-5


WITH_GAPS = RANDOM.normal(size=(3, 4, 5)).astype("float32")
WITH_GAPS[0, 1, 2] = WITH_GAPS[1, :, 3] = WITH_GAPS[2, 0] = numpy.nan

OF_AXES = {
    "Median": numpy.median,
    "Nanmax": numpy.nanmax,
    "Nanmean": numpy.nanmean,
    "Nanmin": numpy.nanmin,
    "Nanprod": numpy.nanprod,
    "Nanstd": numpy.nanstd,
    "Nansum": numpy.nansum,
    "Nanvar": numpy.nanvar,
    "Ptp": numpy.ptp,
}


@pytest.mark.parametrize("axis", [1, -1, [1, 2]])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", OF_AXES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_lies_along_axes(name, keepdims, axis, tmp_path):
    path = tmp_path / "model.h5"
    x = RANDOM.normal(size=(3, 4, 5)).astype("float32") if name == "Ptp" else WITH_GAPS
    y = computed(path, x, operation(name, tensor("x"), axis=axis, keepdims=keepdims))
    expected = OF_AXES[name](x, axis=tuple(numpy.atleast_1d(axis)), keepdims=keepdims)
    assert numpy.allclose(y, expected, rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles(method, tmp_path):
    x = RANDOM.normal(size=(3, 4, 5)).astype("float32")
    y = computed(
        tmp_path / "model.h5",
        x,
        operation("Quantile", tensor("x"), 0.3, axis=[1], method=method, keepdims=False),
    )
    assert abs(y - numpy.quantile(x, 0.3, axis=1, method=method)).max() < 1e-6


def test_one_axis_serves_all_vectors(tmp_path):
    x = RANDOM.normal(size=(4, 3, 3)).astype("float32")
    y = computed(
        tmp_path / "model.h5",
        x,
        operation("Cross", tensor("x"), array([[[1], [2], [3]]]), axis=1, axisa=-1, axisb=0),
    )
    by = numpy.broadcast_to(numpy.array([1.0, 2, 3])[:, None], (3, 3))
    assert abs(y - numpy.cross(x, by[None], axis=1)).max() < 1e-5
