"""Dropout that stays alive: NumPy with the same words gives the same numbers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from keras_file import dense, keras_file, layer, sequential

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

ROOT = Path(__file__).resolve().parents[2]
MCDROPOUT = ROOT.parent / "shared/models/t_torch_mcdropout_mlp"
KERNEL = np.float32(np.arange(6).reshape(2, 3) / 4)
BIAS = np.arange(3) - 1.0
X = np.array([[0.5, -1.0], [2.0, 0.25], [-3.0, 1.5], [1.0, 1.0]])


def model(folder, *layers, inputs=2):
    file = folder / "model.keras"
    file.write_bytes(keras_file(sequential(*layers, inputs=inputs)))
    return file


def words(shape, seed=0, of_sample=None, offset=0):
    """The words that `predict` draws, as docs/monte-carlo.md says."""
    samples, elements = shape[0], math.prod(shape[1:])
    of_sample = of_sample or elements
    k = np.arange(samples, dtype=np.uint64)[:, None] * np.uint64(of_sample) + np.uint64(offset)
    k = k + np.arange(elements, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (k + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(48)).astype(float).reshape(shape) / 65536


def dropped(x, random, rate):
    return np.where(random >= rate, x, 0) * (1 / (1 - rate))


def only(outputs):
    (array,) = outputs.values()
    return array


def test_equals_numpy_with_the_words_that_are_drawn(tmp_path):
    twice = layer("Rescaling", "twice", scale=2.0, offset=0.0)
    file = model(tmp_path, twice, layer("Dropout", "drop", rate=0.25, seed=1), dense())
    alive = gatewright.load(file, monte_carlo=True)
    assert [port["name"] for port in alive.inputs] == ["x", "drop.random"]
    for seed in (0, 5):
        random = words((4, 2), seed)
        expected = np.maximum(dropped(2 * X, random, 0.25) @ KERNEL + BIAS, 0)
        np.testing.assert_allclose(
            only(alive.predict(X, seed=seed, exact=False)), expected, rtol=1e-6
        )
        np.testing.assert_allclose(only(alive.predict(X, seed=seed)), expected, rtol=1e-6)
        # The same words given.
        given = alive.predict({"x": X, "drop.random": random})
        assert (only(given) == only(alive.predict(X, seed=seed))).all()
    assert (only(alive.predict(X)) != only(alive.predict(X, seed=5))).any()
    # More samples do not change the words of the first.
    assert (only(alive.predict(X))[:2] == only(alive.predict(X[:2]))).all()


@pytest.mark.parametrize("rate", [0.5, 0.3, 1 / 65536, 0.99999])
def test_threshold_is_exact(tmp_path, rate):
    file = model(tmp_path, layer("Dropout", "drop", rate=rate), inputs=1)
    edge = math.ceil(rate * 65536)
    w = np.array([0, edge - 1, edge, 65535]).clip(0, 65535)
    arrays = {"x": np.ones((4, 1)), "drop.random": w[:, None] / 65536}
    for exact in (True, False):
        y = only(gatewright.load(file, monte_carlo=True).predict(arrays, exact=exact))
        assert (y.ravel() == np.where(w >= edge, np.float32(1 / (1 - rate)), 0)).all()


def test_all_levels_agree(tmp_path, run):
    file = model(tmp_path, layer("Dropout", "drop", rate=0.5), dense())
    np.save(tmp_path / "x.npy", X)
    folder = tmp_path / "design"
    calibrate = ("--calibrate", tmp_path / "x.npy", "--bits", 8)
    result = run("convert", file, "--monte-carlo", "-o", folder, *calibrate)
    assert result.returncode == 0, result.stderr
    ports = json.loads((folder / "design.json").read_text())["ports"]["inputs"]
    random = [port for port in ports if port["tensor"] == "drop.random"]
    assert [element["width"] for element in random[0]["elements"]] == [16, 16]
    outputs, info = gatewright.simulate(folder, X, simulator="icarus")
    assert info["mismatches"] == 0
    assert (only(outputs) == only(gatewright.predict(folder, X))).all()
    assert (
        only(gatewright.predict(folder, X)) != only(gatewright.predict(folder, X, seed=3))
    ).any()


def test_masks_of_spatial_dropout(tmp_path):
    shape = layer("Reshape", "shape", target_shape=[3, 2])
    file = model(tmp_path, shape, layer("SpatialDropout1D", "drop", rate=0.5), inputs=6)
    alive = gatewright.load(file, monte_carlo=True)
    assert alive.inputs[1]["shape"] == [1, 2]
    y = only(alive.predict({"x": np.ones((1, 6)), "drop.random": [[[0.75, 0.25]]]}))
    assert (y == [[[2, 0]] * 3]).all()


def test_alpha_dropout_keeps_mean_and_variance(tmp_path):
    file = model(tmp_path, layer("AlphaDropout", "drop", rate=0.2))
    lowest = -1.6732632423543772 * 1.0507009873554805
    scale = (0.8 * (1 + 0.2 * lowest**2)) ** -0.5
    random = words((4, 2))
    expected = scale * np.where(random >= 0.2, X, lowest) - scale * lowest * 0.2
    y = only(gatewright.load(file, monte_carlo=True).predict(X))
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_rates_of_none_and_all(tmp_path):
    half = layer("Dropout", "half", rate=0.5)
    for rate, factor in ((0.0, 1), (1.0, 0)):
        file = model(tmp_path, layer("Dropout", "edge", rate=rate), half)
        alive = gatewright.load(file, monte_carlo=True)
        assert [port["name"] for port in alive.inputs] == ["x", "half.random"]
        assert (only(alive.predict(X)) == dropped(X * factor, words((4, 2)), 0.5)).all()


REFUSED = {
    "none": ([dense()], "no layer of the model drops"),
    "rate 0": ([layer("Dropout", "drop", rate=0.0)], "no layer of the model drops"),
    "noise": ([layer("GaussianNoise", "noise", stddev=0.1)], "normal distribution"),
    "gaussian": ([layer("GaussianDropout", "noise", rate=0.1)], "normal distribution"),
    "rate": ([layer("Dropout", "drop", rate=1.5)], "1.5"),
    "shape": ([layer("Dropout", "drop", rate=0.5, noise_shape=[1, 2])], "noise_shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path, run):
    layers, message = REFUSED[name]
    result = run("inspect", model(tmp_path, *layers), "--monte-carlo")
    assert result.returncode == 1
    assert message in result.stderr
    if name in ("noise", "gaussian"):
        assert run("inspect", tmp_path / "model.keras").returncode == 0


def test_onnx_mask_and_training_mode(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    info = helper.make_tensor_value_info
    numbers = [
        onnx.numpy_helper.from_array(np.array(0.5, np.float32), "ratio"),
        onnx.numpy_helper.from_array(np.array(True), "training"),
    ]
    graph = helper.make_graph(
        [helper.make_node("Dropout", ["x", "ratio", "training"], ["y", "mask"], "drop", seed=3)],
        "g",
        [info("x", onnx.TensorProto.FLOAT, ["n", 2])],
        [
            info("y", onnx.TensorProto.FLOAT, ["n", 2]),
            info("mask", onnx.TensorProto.BOOL, ["n", 2]),
        ],
        numbers,
    )
    file = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file
    )
    with pytest.raises(gatewright.Error, match="monte-carlo"):
        gatewright.load(file)
    out = gatewright.load(file, monte_carlo=True).predict(X)
    kept = words((4, 2)) >= 0.5
    assert (out["mask"] == kept).all()
    assert (out["y"] == np.where(kept, X * 2, 0)).all()


@pytest.mark.skipif(not MCDROPOUT.is_dir(), reason="the shared models are not beside it")
@pytest.mark.parametrize("file", ["model.pt2", "module.pt"])
def test_distribution_of_a_shared_model(file):
    alive = gatewright.load(MCDROPOUT / file, monte_carlo=True)
    x = np.load(MCDROPOUT / "io.npz")["x"][:20]
    reference = np.load(MCDROPOUT / "mc.npz")
    passes = 500
    y = only(alive.predict(np.repeat(x, passes, axis=0), exact=False))
    y = np.exp(y - y.max(axis=1, keepdims=True))
    y = (y / y.sum(axis=1, keepdims=True)).reshape(20, passes, -1)
    mean, std = reference["mc_mean"][:20], reference["mc_std"][:20]
    assert (np.abs(y.mean(axis=1) - mean) <= 5 * std / math.sqrt(passes) + 0.01).all()
