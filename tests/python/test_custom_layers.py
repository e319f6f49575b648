"""Rules of the user's own: what they see, what they may build, and what becomes of wrong ones."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from keras_file import keras_file, layer, sequential

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = (ROOT / "tests/fixtures/hdf5/keras_custom.h5").read_bytes()
MODELS = ROOT.parent / "shared/models"
KERNEL = np.arange(6).reshape(2, 3) / 4 - 0.6
BIAS = np.arange(3) - 1.0
X = np.array([[0.5, -1.0], [2.0, 0.25], [-3.0, 1.5]])


def scaled_file(folder, **arguments):
    settings = {"units": 3, "gain": 0.5, "momentum": 0.9, **arguments}
    file = folder / "model.keras"
    file.write_bytes(keras_file(sequential(layer("ScaledDense", "scaled", **settings)), WEIGHTS))
    return file


def scaled(layer):
    layer.ignore("momentum", "units", because="of training; as the weights say")
    kernel, bias = layer.weights.values()
    return layer.function("tanh", layer.input @ kernel + bias) * layer.config["gain"]


def load(folder, rule, **arguments):
    return gatewright.load(scaled_file(folder, **arguments), layers={"ScaledDense": rule})


def only(outputs):
    (array,) = outputs.values()
    return array


def test_example_of_the_documentation(tmp_path, monkeypatch):
    text = (ROOT / "docs/custom-layers.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    scaled_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    try:
        exec(compile(example, "docs/custom-layers.md", "exec"), names)
    finally:
        gatewright.unregister_layer("ScaledDense")
    expected = 0.5 * np.tanh(np.array([[0.5, -1.0]]) @ np.float32(KERNEL) + BIAS)
    np.testing.assert_allclose(only(names["y"]), expected, rtol=1e-6)


def test_unknown_class_is_refused_with_the_way_to_register(tmp_path, run):
    result = run("inspect", scaled_file(tmp_path))
    assert result.returncode == 1
    assert "GW0119" in result.stderr
    assert "gatewright.register_layer('ScaledDense', rule)" in result.stderr
    assert "docs/custom-layers.md" in result.stderr
    assert (ROOT / "docs/custom-layers.md").is_file()


def binary_dense(layer):
    """hls4ml's BinaryDense, written once more."""
    layer.ignore("kernel_lr_multiplier*", "bias_lr_multiplier*", because="of training")
    units, use_bias = layer.config["units"], layer.config["use_bias"]
    weights = list(layer.weights.values())
    scale = layer.config["H"]
    if scale == "Glorot":
        scale = np.float32(np.sqrt(1.5 / sum(weights[0].shape)))
    assert weights[0].shape[1] == units and len(weights) == 1 + use_bias
    if layer.config["activation"] not in (None, "linear"):
        raise ValueError("an activation")
    # 2 round(hard_sigmoid(x)) - 1, where ties go to the even: 0.5 to 0.
    kernel = scale * np.where(weights[0] / scale > 0, 1.0, -1.0)
    y = layer.input @ kernel
    return y + weights[1] if use_bias else y


def test_rule_equals_the_built_in(tmp_path):
    settings = {"units": 3, "H": 1.0, "use_bias": True, "activation": "linear"}
    file = tmp_path / "model.keras"
    file.write_bytes(
        keras_file(sequential(layer("BinaryDense", "binary_dense", **settings)), WEIGHTS)
    )
    built_in = gatewright.load(file)
    with pytest.raises(ValueError, match="built in"):
        gatewright.load(file, layers={"BinaryDense": binary_dense})
    with pytest.raises(ValueError, match="built in"):
        gatewright.register_layer("BinaryDense", binary_dense)
    gatewright.register_layer("BinaryDense", binary_dense, replace=True)
    try:
        own = gatewright.load(file)
    finally:
        gatewright.unregister_layer("BinaryDense")
    for exact in (False, True):
        np.testing.assert_array_equal(
            only(own.predict(X, exact=exact)), only(built_in.predict(X, exact=exact))
        )
    assert (only(own.predict(X)) == X @ np.where(KERNEL > 0, 1, -1) + BIAS).all()


def test_circuit_of_a_rule(tmp_path):
    def quantised(layer):
        layer.ignore("*", because="a test of something else")
        kernel, bias = (np.round(w * 4) / 4 for w in layer.weights.values())
        y = layer.quantize(layer.input, scale=1 / 8, low=-64, high=63) @ kernel + bias
        return layer.quantize(layer.maximum(y, 0), scale=1 / 4, low=0, high=31)

    model = load(tmp_path, quantised)
    folder = tmp_path / "design"
    model.convert(folder)
    expected = np.clip(np.round(X * 8), -64, 63) / 8 @ (np.round(np.float32(KERNEL) * 4) / 4) + BIAS
    expected = np.clip(np.round(np.maximum(expected, 0) * 4), 0, 31) / 4
    assert (only(gatewright.predict(folder, X)) == expected).all()


WRONG = {
    "a setting is not read": (
        lambda layer: layer.input @ layer.weights["0"] + layer.weights["1"],
        "GW0204.*momentum",
    ),
    "a weight is not read": (
        lambda layer: [layer.ignore("*", because="x"), layer.input @ layer.weights["0"]][1],
        "weight '1'",
    ),
    "the input is not used": (
        lambda layer: layer.constant(list(layer.weights.values())[1] * layer.config["gain"]),
        "input '0'",
    ),
    "it raises": (lambda layer: layer.config["gian"], "ScaledDense.*KeyError.*gian"),
    "it fails": (lambda layer: 1 / 0, "ScaledDense.*ZeroDivisionError"),
    "it gives a number": (lambda layer: 3, "ScaledDense.*int, not tensors"),
    "it gives nothing": (lambda layer: None, "NoneType, not tensors"),
    "it gives no results": (
        lambda layer: [layer.ignore("*", because="x"), *layer.weights.values(), layer.input][:0],
        "not read|no result",
    ),
    "shapes do not fit": (lambda layer: layer.input @ np.ones((7, 3)), "no matrix product"),
    "there is no such operator": (lambda layer: layer.operator("evil", layer.input), "evil"),
    "there is no such function": (lambda layer: layer.function("evil", layer.input), "evil"),
    "there is no such field": (
        lambda layer: layer.operator("softmax", layer.input, axes=1),
        "axes",
    ),
    "a field is out of range": (
        lambda layer: layer.operator("softmax", layer.input, axis=7),
        "axis 7",
    ),
    "a constant is no number": (lambda layer: layer.input * float("nan"), "finite"),
    "there is no such axis": (lambda layer: layer.input.sum(5), "no axis 5"),
    "what it ignores is not there": (
        lambda layer: layer.ignore("nothing", because="x"),
        "nothing",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rule(name, tmp_path):
    rule, message = WRONG[name]
    with pytest.raises(gatewright.Error, match=f"(?s){message}") as raised:
        load(tmp_path, rule)
    text = str(raised.value)
    assert "scaled" in text
    assert "Traceback" not in text


def test_layer_is_gone_behind_its_rule(tmp_path):
    kept = []

    def keeps(layer):
        kept.append(layer)
        return scaled(layer)

    load(tmp_path, keeps)
    with pytest.raises(RuntimeError, match="ended"):
        kept[0].constant(1.0)


def test_registration():
    with pytest.raises(TypeError):
        gatewright.register_layer("Mine", 3)
    gatewright.register_layer("Mine", scaled)
    with pytest.raises(ValueError, match="already"):
        gatewright.register_layer("Mine", scaled)
    gatewright.register_layer("Mine", scaled, replace=True)
    gatewright.unregister_layer("Mine")
    with pytest.raises(KeyError):
        gatewright.unregister_layer("Mine")


def test_onnx_operator(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    bias = onnx.numpy_helper.from_array(np.array([1.0, -2.0], np.float32), "b")
    graph = helper.make_graph(
        [helper.make_node("Twist", ["x", "b"], ["y"], "twist", domain="my.domain", gain=3.0)],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2])],
        [bias],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.domain", 1)]
    file = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file)

    def twist(layer):
        x, b = layer.inputs
        assert x.value is None and (b.value == [1, -2]).all()
        return x.slice(0, None, None, -1) * layer.config["gain"] + b

    with pytest.raises(gatewright.Error, match="GW0201.*register_layer"):
        gatewright.load(file)
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    for name in ("my.domain::Twist", "Twist"):
        y = only(gatewright.load(file, layers={name: twist}).predict(x))
        assert (y == x[:, ::-1] * 3 + [1, -2]).all()


def garnet(layer):
    """hls4ml's GarNet in its simplified form, written once more."""
    config = layer.config
    layer.ignore(
        "total_bits*", "int_bits*", because="of quantised transforms, which there are none"
    )
    assert config["input_format"] == "xn" and config["simplified"]
    assert not config.get("mean_by_nvert") and not config.get("quantize_transforms")
    x, number = layer.inputs
    vertices, _ = x.shape
    aggregators, propagated = config["n_aggregators"], config["n_propagate"]
    weights = iter(layer.weights.values())

    def dense(v):
        kernel, bias = next(weights), next(weights)
        return v @ kernel + bias

    features, distance = dense(x), dense(x)
    assert features.shape[1] == propagated and distance.shape[1] == aggregators
    mask = layer.join("less", np.arange(vertices), number).reshape(vertices, 1)
    weight = mask * layer.function("exp", -layer.function("square", distance))
    means = (weight.transpose() @ features) / vertices
    back = weight.reshape(vertices, aggregators, 1) * means.reshape(1, aggregators, propagated)
    y = dense(back.reshape(vertices, aggregators * propagated))
    assert y.shape[1] == config["n_filters"]
    for _ in range(2):  # the transform's activation, and the layer's
        y = y if config["output_activation"] is None else layer.function("relu", y)
    y = mask * y
    return getattr(y, config["collapse"])(0) if config["collapse"] else y


@pytest.mark.skipif(not MODELS.is_dir(), reason="the shared models are not beside the repository")
@pytest.mark.parametrize(
    ("folder", "name", "rule"),
    [
        ("keras_bnn", "BinaryDense", binary_dense),
        ("keras_3layer_binary_smaller", "BinaryDense", binary_dense),
        ("garnet_1layer", "GarNet", garnet),
    ],
)
def test_rules_equal_the_built_in_on_shared_models(folder, name, rule):
    files = sorted(p for p in (MODELS / folder).iterdir() if p.suffix in {".h5", ".json", ".keras"})
    arguments = [f for f in files if f.suffix in {".json", ".keras"} and "meta" not in f.name]
    arguments = [*arguments, *(f for f in files if f.suffix == ".h5")][:2]
    built_in = gatewright.load(*arguments)
    gatewright.register_layer(name, rule, replace=True)
    try:
        own = gatewright.load(*arguments)
    finally:
        gatewright.unregister_layer(name)
    rng = np.random.default_rng(1)
    x = {
        port["name"]: np.round(rng.uniform(0, 8, (20, *port["shape"]))) / 8
        for port in built_in.inputs
    }
    expected = built_in.predict(x, exact=False)
    for output, y in own.predict(x, exact=False).items():
        np.testing.assert_allclose(y, expected[output], rtol=1e-6, atol=1e-6)
    assert os.path.basename(own.path) == os.path.basename(built_in.path)
