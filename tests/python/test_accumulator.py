"""Sums of products in an accumulator of a configured type, against a loop over fractions."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

X_FRAC = 3  # inputs are fixed<6,3>
W_FRAC = 4  # weights and biases are multiples of 1/16

ROUND = {
    "floor": math.floor,
    "ceil": math.ceil,
    "half_even": round,
    "half_up": lambda v: math.floor(v + Fraction(1, 2)),
    "toward_zero": int,
}


def quantise(value, width, frac, rounding, overflow):
    low, high = -(2 ** (width - 1)), 2 ** (width - 1) - 1
    n = ROUND[rounding](value * 2**frac)
    if overflow == "wrap":
        n = (n - low) % 2**width + low
    else:
        n = max(-high if overflow == "saturate_symmetric" else low, min(high, n))
    return Fraction(n, 2**frac)


def running_sums(rows, weights, bias, kind):
    """For each row and column: bias, then one product after the other, each sum quantised."""
    out = []
    for row in rows:
        for column, first in zip(weights.T, bias, strict=True):
            total = quantise(Fraction(float(first)), *kind)
            for x, w in zip(row, column, strict=True):
                total = quantise(total + Fraction(float(x)) * Fraction(float(w)), *kind)
            out.append(float(total))
    return np.array(out, np.float32).reshape(len(rows), -1)


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(5)
    weights = rng.integers(-20, 21, (7, 4)) / 2**W_FRAC
    bias = rng.integers(-40, 41, 4) / 2**W_FRAC
    x = rng.integers(-32, 32, (60, 7)) / 2**X_FRAC
    return weights.astype(np.float32), bias.astype(np.float32), x.astype(np.float32)


def dense(folder, numbers, op):
    weights, bias, _ = numbers
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    if op == "Gemm":
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "fc")]
    else:
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["p"], "fc"),
            helper.make_node("Add", ["b", "p"], ["y"], "bias"),
        ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, folder / "dense.onnx")
    return folder / "dense.onnx"


def converted(run, folder, model, kind):
    width, frac, rounding, overflow = kind
    (folder / "types.yaml").write_text(
        f"inputs: {{x: 'fixed<6,{X_FRAC}>'}}\n"
        f"layers:\n  fc:\n    accumulator: {{width: {width}, frac: {frac}, "
        f"rounding: {rounding}, overflow: {overflow}}}\n"
    )
    result = run("convert", model, "-o", folder / "d", "--config", folder / "types.yaml")
    assert result.returncode == 0, result.stderr
    return folder / "d"


def outputs(run, command, design, x, folder):
    np.save(folder / "x.npy", x)
    result = run(command, design, "-i", folder / "x.npy", "-o", folder / "y.npy")
    if "GW0501" in result.stderr:
        pytest.skip("no simulator")
    assert result.returncode == 0, result.stderr
    return np.load(folder / "y.npy")


KINDS = [
    (20, 7, "floor", "saturate"),  # holds every sum
    (9, 7, "floor", "wrap"),  # overflows only
    (10, 7, "half_even", "saturate"),
    (10, 7, "half_even", "saturate_symmetric"),
    (16, 3, "half_even", "saturate"),  # rounds only
    (16, 2, "toward_zero", "wrap"),
    (7, 3, "ceil", "wrap"),  # both
    (8, 3, "half_up", "saturate"),
]


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
@pytest.mark.parametrize("kind", KINDS)
def test_predicted_and_simulated(run, tmp_path, numbers, kind, op):
    weights, bias, x = numbers
    design = converted(run, tmp_path, dense(tmp_path, numbers, op), kind)
    expected = running_sums(x, weights, bias, kind)
    exact = (x.astype(float) @ weights.astype(float) + bias).astype(np.float32)
    assert (expected == exact).all() == (kind == KINDS[0])
    assert np.array_equal(outputs(run, "predict", design, x, tmp_path), expected)
    if op == "Gemm":
        assert np.array_equal(outputs(run, "simulate", design, x, tmp_path), expected)


def test_the_order_matters(run, tmp_path, numbers):
    """The sums of KINDS[2] would be others in another order, so the test above sees the order."""
    weights, bias, x = numbers
    forwards = running_sums(x, weights, bias, KINDS[2])
    backwards = running_sums(x[:, ::-1], weights[::-1], bias, KINDS[2])
    assert (forwards != backwards).any()


def test_exact_where_nothing_can_happen(run, tmp_path, numbers):
    """An accumulator that holds every sum is no chain: adders may be shared and balanced."""
    model = dense(tmp_path, numbers, "Gemm")
    core = json.loads((converted(run, tmp_path, model, KINDS[0]) / "design.json").read_text())
    assert "row_accumulate" not in json.dumps(core)
    assert "contract" in json.dumps(core)


def test_weights_need_types_too(run, tmp_path, numbers):
    weights, bias, x = numbers
    model = dense(tmp_path, (weights / np.float32(3), bias, x), "Gemm")
    (tmp_path / "t.yaml").write_text(
        "inputs: {x: 'fixed<6,3>'}\nlayers: {fc: {accumulator: 'fixed<12,3>'}}\n"
    )
    done = run("convert", model, "-o", tmp_path / "d", "--config", tmp_path / "t.yaml")
    assert done.returncode == 1
    assert "GW0303" in done.stderr


def test_convolution_in_groups(run, tmp_path):
    rng = np.random.default_rng(6)
    weights = (rng.integers(-20, 21, (4, 1, 2, 2)) / 16).astype(np.float32)
    bias = (rng.integers(-20, 21, 4) / 16).astype(np.float32)
    x = (rng.integers(-32, 32, (20, 2, 3, 3)) / 8).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], "fc", group=2)],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 2, 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "conv.onnx")
    kind = (8, 4, "half_even", "saturate")
    design = converted(run, tmp_path, tmp_path / "conv.onnx", kind)
    expected = np.zeros((20, 4, 2, 2), np.float32)
    for o in range(4):
        for i in range(2):
            for j in range(2):
                rows = x[:, o // 2, i : i + 2, j : j + 2].reshape(20, 4)
                column = weights[o].reshape(4, 1)
                expected[:, o, i, j] = running_sums(rows, column, bias[o : o + 1], kind)[:, 0]
    assert np.array_equal(outputs(run, "predict", design, x, tmp_path), expected)
    assert np.array_equal(outputs(run, "simulate", design, x, tmp_path), expected)
