"""Models of ../shared/models against the answers of the frameworks that wrote them.

These files lie beside the repository and are not part of it; without them the tests are skipped.
"""

import json
from pathlib import Path

import numpy as np
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

MODELS = Path(__file__).resolve().parents[3] / "shared/models"
if not MODELS.is_dir():
    pytest.skip("../shared/models is not present", allow_module_level=True)

QUANTISED = [
    "hgq_jet_classifier",
    "hgq_mnist_homogeneous",
    "qonnx_bnn_fc_1layer",
    "qonnx_tfc_1w1a",
    "qonnx_tfc_2w2a",
    "t_hgq2_cnn",
    "t_hgq2_mlp",
    "t_hgq2_skip_mlp",
    "t_qonnx_mlp_w4a4",
    "t_qonnx_ternary_mlp",
]
QKERAS = [
    "qkeras_3layer",
    "qkeras_cifar_tiny",
    "qkeras_mnist_cnn",
    "t_qkeras_binary_mlp",
    "t_qkeras_cnn_q6",
    "t_qkeras_magic_q8",
    "t_qkeras_mlp_q8",
    "t_qkeras_resblock_q6",
]
KERAS = [
    "garnet_1layer",
    "jettagger_conv2d_small_nobn",
    "keras_1layer",
    "keras_3layer",
    "keras_3layer_70pruned",
    "keras_3layer_batch_norm",
    "keras_conv1d_small",
    "keras_conv2d_model",
    "keras_dense_5x100",
    "mlperf_tiny_ad01",
    "mlperf_tiny_resnet8",
    "svhn_grayscale_mlp",
    "t_keras3_gru",
    "t_keras3_lstm",
    "t_keras3_mlp",
    "t_keras3_transformer",
]
# Binary activations: a sign flips where a float32 sum of the reference lies on the threshold.
BINARY_KERAS = ["keras_3layer_binary_smaller", "keras_bnn"]
FLOAT = [
    "onnx_conv1d_small_keras",
    "onnx_conv2d_small_keras",
    "onnx_dense_big_keras",
    "onnx_three_layer_keras",
    "onnx_three_layer_pytorch",
    "onnx_two_layer_keras",
    "t_torch_mcdropout_mlp",
    "t_torch_mlp",
    "t_torch_unet_seg",
    "t_torch_vae",
]


def model(name):
    """The file, its meta.json, its inputs by name and its reference outputs in order."""
    meta = json.loads((MODELS / name / "meta.json").read_text())
    endings = (".onnx", ".keras", ".h5")  # the first that the model has
    file = next(f for e in endings for f in meta["files"] if f.endswith(e))
    stored = np.load(MODELS / name / meta["io"])
    keys = sorted(key for key in stored if key[0] in "xy" and key[1:].isdecimal() or key in "xy")
    inputs = {key: stored[key] for key in keys if key[0] == "x"}
    return MODELS / name / file, meta, inputs, [stored[key] for key in keys if key[0] == "y"]


def keras_arrays(name):
    """Inputs by name and reference outputs in order."""
    stored = np.load(MODELS / name / "io.npz")
    keys = sorted(key for key in stored if key[0] in "xy" and (not key[1:] or key[1:].isdecimal()))
    return (
        {key: stored[key] for key in keys if key[0] == "x"},
        [stored[key] for key in keys if key[0] == "y"],
    )


# Of these, the float32 reference itself is this far from an evaluation in float64 in some samples;
# predict --float agrees with that evaluation to 2e-6 in all of them.
INEXACT = {"mlperf_tiny_ad01": (4, 5e-3)}  # samples, distance


@pytest.mark.parametrize("name", KERAS)
def test_keras_model(name):
    inputs, references = keras_arrays(name)
    forms = keras_files(name, json.loads((MODELS / name / "meta.json").read_text()))
    assert forms
    for form in forms:
        outputs = gatewright.load(*form).predict(inputs, exact=False)
        assert len(outputs) == len(references)
        for y, reference in zip(outputs.values(), references, strict=True):
            assert y.size == reference.size
            y = y.reshape(reference.shape)
            far = np.abs(y - reference) > 1e-4 * (1 + np.abs(reference))
            samples, distance = INEXACT.get(name, (0, 0))
            assert far.any(axis=tuple(range(1, y.ndim))).sum() <= samples
            assert np.abs(y - reference)[far].max(initial=0) <= distance


@pytest.mark.parametrize("name", BINARY_KERAS)
def test_binary_keras_model(name):
    inputs, (reference,) = keras_arrays(name)
    (form,) = keras_files(name, json.loads((MODELS / name / "meta.json").read_text()))
    (y,) = gatewright.load(*form).predict(inputs, exact=False).values()
    assert np.abs(y - reference).max() <= 1e-4


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_model(name, record_property):
    file, meta, inputs, references = model(name)
    outputs = gatewright.predict(file, inputs)
    assert len(outputs) == len(references)
    exact = "reproduce y exactly" in meta["exactness"] and "float scales" not in meta["exactness"]
    for y, reference in zip(outputs.values(), references, strict=True):
        assert y.shape == reference.shape
        different = int((y != reference).sum())
        record_property("differing_values", different)
        print(f"{name}: {different} of {y.size} values differ")
        if exact:
            assert different == 0
        else:
            # The reference is a sum of float32 numbers. Its error goes with its terms, so it is
            # measured by the largest output of the sample, not by a difference near zero.
            size = np.abs(reference).max(axis=1, keepdims=True)
            assert (np.abs(y - reference) <= 1e-5 * size).all()


def test_differences_are_the_reference_s(name="t_qonnx_ternary_mlp", samples=2):
    """Where a float32 reference differs, an evaluation in fractions gives the same as predict."""
    exact = pytest.importorskip("exact", reason="the onnx package is not installed")
    file, _, inputs, _ = model(name)
    x = inputs["x"][:samples]
    port = gatewright.load(file).inputs[0]["name"]
    (expected,) = exact.evaluate(file, {port: x}).values()
    (y,) = gatewright.predict(file, x).values()
    assert (y == expected.astype(np.float32)).all()


@pytest.mark.parametrize("name", FLOAT)
def test_float_model(name):
    file, _, inputs, references = model(name)
    outputs = gatewright.predict(file, inputs, exact=False)
    assert len(outputs) == len(references)
    for y, reference in zip(outputs.values(), references, strict=True):
        assert y.shape == reference.shape
        assert np.abs(y - reference).max() <= 1e-4


TORCH = sorted(file.parent.name for file in MODELS.glob("*/model.pt2"))


@pytest.mark.parametrize("name", TORCH)
def test_torch_program(name, samples=40):
    folder = MODELS / name
    stored = np.load(folder / "io.npz")
    keys = [key for key in stored if key in "xy" or (key[0] in "xy" and key[1:].isdecimal())]
    inputs = [stored[key][:samples] for key in sorted(keys) if key[0] == "x"]
    references = [stored[key][:samples] for key in sorted(keys) if key[0] == "y"]
    loaded = gatewright.load(folder / "model.pt2")
    names = [port["name"] for port in loaded.inputs]
    if "edge_index" in stored:
        # Graphs one by one: points, edges, and the graph that each point belongs to.
        arrays = [inputs[0], stored["edge_index"], np.zeros(inputs[0].shape[:2], np.int64)]
        rows = [
            loaded.predict({k: a[i] for k, a in zip(names, arrays, strict=True)}, exact=False)
            for i in range(samples)
        ]
        outputs = [np.concatenate([next(iter(row.values())) for row in rows])]
    else:
        outputs = list(loaded.predict(dict(zip(names, inputs, strict=True)), exact=False).values())
    assert len(outputs) == len(references)
    for y, reference in zip(outputs, references, strict=True):
        assert y.shape == reference.shape
        assert np.abs(y - reference).max() <= 1e-4


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


@pytest.mark.parametrize(
    "file",
    [
        "torch_two_layer/two_layer_model.pt",
        "t_torch_mlp/module.pt",
        "t_torch_mcdropout_mlp/module.pt",
    ],
)
def test_torch_pickled_module(file):
    stored = np.load((MODELS / file).parent / "io.npz")
    x, y = stored["x"], stored["y"]
    (out,) = gatewright.predict(MODELS / file, x.reshape(len(x), -1), exact=False).values()
    assert np.abs(out - y).max() <= 1e-4


def test_torch_file_without_layers_is_refused():
    with pytest.raises(gatewright.Error, match="state dictionary.*--weights"):
        gatewright.load(MODELS / "t_torch_cnn/state_dict.pt")


def test_accuracy_is_the_reference_s():
    for name in QUANTISED:
        file, meta, inputs, _ = model(name)
        accuracy = meta.get("metric", {}).get("accuracy_on_io")
        if accuracy is None:
            continue
        labels = np.load(MODELS / name / meta["io"])["label"]
        (y,) = gatewright.predict(file, inputs).values()
        assert (y.argmax(axis=1) == labels).mean() == pytest.approx(accuracy, abs=5e-4)


def keras_files(name, meta):
    """Each form in which the folder holds the model: a whole file, or a .json and its weights."""
    weights = [f for f in meta["files"] if f.endswith("weights.h5")]
    forms = [(f, None) for f in meta["files"] if f.endswith((".h5", ".keras")) and f not in weights]
    forms += [(f, *weights) for f in meta["files"] if f.endswith(".json")]
    return [[MODELS / name / f if f else None for f in form] for form in forms]


REAL_SCALES = {"t_qkeras_binary_mlp"}


@pytest.mark.parametrize("name", QKERAS)
def test_qkeras_model(name, record_property):
    """What is before the last softmax, which QKeras does not quantise, is met exactly.

    Except in a model whose automatic scales are real numbers: there the reference rounds the last
    products to float32 and predict does not.
    """
    meta = json.loads((MODELS / name / "meta.json").read_text())
    stored = np.load(MODELS / name / meta["io"])
    for file, weights in keras_files(name, meta):
        model = gatewright.load(file, weights)
        (y,) = model.predict(stored["x"], final_activation="drop").values()
        reference = stored["y_logits"]
        off = np.abs(y - reference).max(axis=1) / np.abs(reference).max(axis=1)
        record_property("differing_samples", int((off > 0).sum()))
        print(f"{file.name}: {int((off > 0).sum())} of {len(off)} samples differ")
        if name in REAL_SCALES:
            assert (off <= 1e-6).all()
        else:
            assert (y == reference).all()
        (y,) = model.predict(stored["x"]).values()
        assert np.abs(y - stored["y"]).max() <= 1e-5
