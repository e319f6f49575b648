"""Models of ../shared/models against the answers of the frameworks that wrote them.

These files lie beside the repository and are not part of it; without them the tests are skipped.
"""

import numpy as np
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

from model_cases import MODELS, all_forms, difference, forms, load, predict, stored  # noqa: E402

if not MODELS.is_dir():
    pytest.skip("../shared/models is not present", allow_module_level=True)

# Of these, the float32 reference itself is off by more than 1e-4: its sums are of numbers that are
# larger than what is left of them. By what part of the largest value of their sample.
LARGE_TERMS = {"mlperf_tiny_ad01": 7e-5, "onnx_mnist_conv": 1e-6}

# Quantised models that scale by numbers that are no powers of two: the reference rounds each
# product and sum to float32, predict rounds the exact value once. Values that may differ, and by
# what part of the largest value of their sample.
REAL_SCALES = {
    "qonnx_tfc_1w1a": (429, 2e-7),
    "qonnx_tfc_2w2a": (727, 2e-7),
    "t_qonnx_ternary_mlp": (3673, 4e-7),
    "t_qkeras_binary_mlp": (2409, 2e-7),
    "qonnx_espcn_subpixel_quant": (6, 5e-3),  # one step of the last quantiser, next to a tie
}


@pytest.mark.parametrize("form", all_forms(), ids=str)
def test_model(form):
    outputs, (_, references) = predict(form), stored(form)
    accuracy = form.meta.get("metric", {}).get("accuracy_on_io")
    if accuracy is not None:
        labels = np.load(MODELS / form.name / form.meta["io"])["label"]
        right = (outputs[0].argmax(axis=1) == labels).mean()
        assert right == pytest.approx(accuracy, abs=0.5 / len(labels))
    found = difference(outputs, references)
    if form.exact:
        print(f"{form}: {found.differing} of {found.values} values differ")
        values, part = REAL_SCALES.get(form.name, (0, 0.0))
        assert found.differing <= values
        assert found.relative <= part
        assert found.same_argmax == found.samples
    elif form.name in LARGE_TERMS:
        assert found.relative <= LARGE_TERMS[form.name]
    else:
        assert found.largest <= 1e-4


@pytest.mark.parametrize(
    "form", [f for f in all_forms() if f.exact and "y_logits" in f.meta["io_arrays"]], ids=str
)
def test_softmax(form):
    """Behind what is met exactly, a softmax that the model does not quantise."""
    arrays = np.load(MODELS / form.name / form.meta["io"])
    (y,) = load(form).predict(arrays["x"]).values()
    assert np.abs(y - arrays["y"]).max() <= 1e-5


def test_differences_are_the_reference_s(name="t_qonnx_ternary_mlp", samples=2):
    """Where a float32 reference differs, an evaluation in fractions gives the same as predict."""
    exact = pytest.importorskip("exact", reason="the onnx package is not installed")
    (form,) = forms(name)
    model = load(form)
    x = stored(form)[0][0][:samples]
    port = model.inputs[0]["name"]
    (expected,) = exact.evaluate(MODELS / name / form.file, {port: x}).values()
    (y,) = model.predict(x).values()
    assert (y == expected.astype(np.float32)).all()


@pytest.mark.parametrize("name", ["t_torch_cnn", "t_torch_lstm", "t_torch_transformer"])
def test_torch_weights_by_name(name):
    folder = MODELS / name
    x = np.load(folder / "io.npz")["x"][:5]
    own = gatewright.load(folder / "model.pt2").predict(x, exact=False)
    given = gatewright.load(folder / "model.pt2", folder / "state_dict.pt").predict(x, exact=False)
    for y, same in zip(own.values(), given.values(), strict=True):
        assert (y == same).all()
    with pytest.raises(gatewright.Error, match="GW0118"):
        gatewright.load(folder / "model.pt2", MODELS / "t_torch_vae/state_dict.pt")


def test_pickled_module_whose_shape_is_not_given():
    with pytest.raises(gatewright.Error, match="--input-shape"):
        gatewright.load(MODELS / "t_torch_cnn/module.pt")


def test_torch_file_without_layers_is_refused():
    with pytest.raises(gatewright.Error, match="state dictionary.*--weights"):
        gatewright.load(MODELS / "t_torch_cnn/state_dict.pt")
