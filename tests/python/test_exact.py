"""The exact evaluator against ONNX's own reference, and the committed files against it."""

import json
import math
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(FIXTURES))

onnx = pytest.importorskip("onnx")
import exact  # noqa: E402
import exact_numbers as numbers  # noqa: E402
import make_fixtures  # noqa: E402
from fixture_model import RECIPES  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402


def single(op: str, shape: tuple, constants: dict | None = None, opset=20, outputs=1, **attributes):
    """A model of one node with input `x` and constants."""
    constants = constants or {}
    names = [f"y{i}" for i in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *constants], names, **attributes)],
        "single",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def f32(*values):
    return np.array(values, np.float32)


SINGLE = [
    (["Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Exp", "Erf", "Abs", "Neg"], {}),
    (["Gelu", "Elu", "Selu", "Celu", "Mish"], {}),
    (["Gelu"], {"approximate": "tanh"}),
    (["Elu", "Celu"], {"alpha": 0.6}),
    (["LeakyRelu", "ThresholdedRelu"], {"alpha": 0.3}),
    (["HardSigmoid"], {}),
    (["HardSigmoid"], {"alpha": 0.3, "beta": 0.4}),
    (["Softmax"], {}),
    (["Softmax"], {"axis": 1}),
    (["Flatten"], {"axis": 2}),
    (["Transpose"], {"perm": [2, 0, 1]}),
    (["ArgMax", "ArgMin"], {"axis": 2}),
    (["ArgMax"], {"axis": 1, "keepdims": 0, "select_last_index": 1}),
]
CASES = [(op, attributes, {}, (2, 4, 6)) for ops, attributes in SINGLE for op in ops]
IMAGE = (1, 2, 6, 6)
KERNEL = np.linspace(-1, 1, 3 * 2 * 3 * 3, dtype=np.float32).reshape(3, 2, 3, 3)
GROUPED = np.linspace(-1, 1, 4 * 3 * 3, dtype=np.float32).reshape(4, 1, 3, 3)
TURNED = KERNEL.reshape(2, 3, 3, 3)[:, :2]
NORM = {"g": f32(1, 0.5), "b": f32(0.2, -1), "m": f32(0.3, 0), "v": f32(2, 0.7)}
CASES += [
    ("Conv", {"pads": [1, 0, 2, 1], "strides": [2, 1]}, {"w": KERNEL, "b": f32(1, 2, 3)}, IMAGE),
    ("Conv", {"group": 2, "dilations": [2, 1]}, {"w": GROUPED}, IMAGE),
    (
        "ConvTranspose",
        {"strides": [2, 1], "pads": [1, 0, 0, 1]},
        {"w": TURNED, "b": f32(1, 2)},
        IMAGE,
    ),
    ("ConvTranspose", {"dilations": [2, 1], "strides": [2, 3]}, {"w": TURNED}, IMAGE),
    ("ConvTranspose", {"strides": [2, 2], "output_padding": [1, 0]}, {"w": TURNED}, IMAGE),
    ("DepthToSpace", {"blocksize": 2}, {}, (1, 8, 2, 3)),
    ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, {}, (1, 8, 2, 3)),
    ("SpaceToDepth", {"blocksize": 3}, {}, IMAGE),
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}, {}, IMAGE),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, {}, IMAGE),
    ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, {}, IMAGE),
    ("GlobalAveragePool", {}, {}, IMAGE),
    ("BatchNormalization", {"epsilon": 1e-3}, NORM, IMAGE),
    ("Gemm", {"alpha": 0.5, "transB": 1}, {"b": KERNEL.reshape(9, 6), "c": f32(2)}, (3, 6)),
    ("Gemm", {"beta": 2.0, "transA": 1}, {"b": KERNEL.reshape(6, 9), "c": f32(2)}, (6, 3)),
    ("MatMul", {}, {"b": KERNEL.reshape(6, 9)}, (2, 4, 6)),
    ("PRelu", {}, {"s": f32(0.1, -1, 2, 0.5, 0, 1)}, (2, 6)),
    ("Clip", {}, {"a": np.float32(-0.5), "b": np.float32(1)}, (2, 6)),
    ("Sub", {}, {"b": f32(0.3)}, (2, 6)),
    ("Div", {}, {"b": f32(0.3, 1, 7, 2, -1, 3)}, (2, 6)),
    ("ReduceMean", {"keepdims": 0}, {"axes": np.array([1])}, (2, 4, 6)),
    ("ReduceMax", {}, {"axes": np.array([0, 2])}, (2, 4, 6)),
    ("Slice", {}, {"a": np.array([1]), "b": np.array([5]), "c": np.array([1])}, (2, 6)),
    ("Gather", {"axis": 1}, {"i": np.array([[2, 0], [5, 1]])}, (2, 6)),
    ("QuantizeLinear", {}, {"s": np.float32(0.3), "z": np.uint8(7)}, (2, 6)),
    ("QuantizeLinear", {}, {"s": f32(0.5, 0.01, 1, 2), "z": np.zeros(4, np.int8)}, (2, 4, 6)),
]


CASES += [
    (
        "Resize",
        {"coordinate_transformation_mode": where, "nearest_mode": nearest},
        {"roi": f32(), "scales": f32(1, 1, scale, 2)},
        (1, 1, 5, 2),
    )
    for where in ("asymmetric", "half_pixel", "align_corners")
    for nearest in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    for scale in (2, 3)
]


@pytest.mark.parametrize("op, attributes, constants, shape", CASES)
def test_single_operator_agrees_with_onnx_reference(op, attributes, constants, shape):
    model = single(op, shape, constants, **attributes)
    x = np.random.default_rng(5).normal(0, 1.5, shape).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    result = exact.evaluate(model, {"x": x})["y0"]
    assert result.shape == expected.shape
    # The reference computes in float32: this is the one place where nearness is all there is.
    np.testing.assert_allclose(result, expected.astype(np.float64), rtol=2e-5, atol=2e-6)


def test_top_k_takes_the_lower_place_of_equal_values():
    model = single("TopK", (1, 5), {"k": np.array([4])}, outputs=2, axis=1)
    outputs = exact.evaluate(model, {"x": f32(1, 3, 2, 3, 1).reshape(1, 5)})
    assert outputs["y0"].tolist() == [[3, 3, 2, 1]]
    assert outputs["y1"].tolist() == [[1, 3, 2, 0]]


QUARTERS = [Fraction(k, 4) for k in range(-7, 8)]
ROUNDED = {  # of -7/4, -6/4, ... 7/4
    "ROUND": [-2, -2, -1, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2],
    "CEIL": [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2],
    "FLOOR": [-2, -2, -2, -1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1],
    "UP": [-2, -2, -2, -1, -1, -1, -1, 0, 1, 1, 1, 1, 2, 2, 2],
    "DOWN": [-1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
    "HALF_UP": [-2, -2, -1, -1, -1, -1, 0, 0, 0, 1, 1, 1, 1, 2, 2],
    "HALF_DOWN": [-2, -1, -1, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2],
}


@pytest.mark.parametrize("mode", ROUNDED)
def test_rounding_modes(mode):
    assert [numbers.round_number(x, mode) for x in QUARTERS] == ROUNDED[mode]


def test_an_approximate_value_at_a_boundary_is_refused():
    near_half = numbers.Close(Fraction(1, 2) + Fraction(1, 10**12))
    with pytest.raises(numbers.Undecided):
        numbers.round_number(near_half, "ROUND")
    assert numbers.round_number(near_half, "FLOOR") == 0
    with pytest.raises(numbers.Undecided):
        numbers.round_number(numbers.Close(Fraction(3)), "FLOOR")
    assert numbers.round_number(numbers.sigmoid(Fraction(0)), "ROUND") == 0  # exactly 1/2


def test_real_functions_agree_with_the_math_module():
    for x in (-11.5, -3.25, -0.01, 0.5, 2, 5.5, 13):
        assert math.isclose(float(numbers.erf(Fraction(x))), math.erf(x), rel_tol=1e-14)
        assert math.isclose(float(numbers.exp(Fraction(x))), math.exp(x), rel_tol=1e-14)
        assert math.isclose(float(numbers.tanh(Fraction(x))), math.tanh(x), rel_tol=1e-14)
    assert float(numbers.PI) == math.pi


def test_unknown_attribute_and_operator_are_refused():
    with pytest.raises(exact.Unsupported):
        exact.evaluate(single("Relu", (1,), slope=1), {"x": f32(1)})
    with pytest.raises(exact.Unsupported):
        exact.evaluate(single("Det", (1, 1, 1)), {"x": np.ones((1, 1, 1), np.float32)})


def test_fixtures_are_what_the_recipes_make(tmp_path):
    entries = [make_fixtures.make(name, tmp_path) for name in RECIPES]
    assert json.loads((FIXTURES / "fixtures.json").read_text()) == entries
    for name in RECIPES:
        model = f"{name}.onnx"
        assert (FIXTURES / model).read_bytes() == (tmp_path / model).read_bytes(), name
        committed, made = np.load(FIXTURES / f"{name}.npz"), np.load(tmp_path / f"{name}.npz")
        assert committed.files == made.files
        assert all(np.array_equal(committed[key], made[key]) for key in made.files), name


def test_digits_reference_is_exact():
    images = np.load(EXAMPLES / "digits" / "test_images.npy")
    reference = np.load(EXAMPLES / "digits" / "reference_logits.npy")
    chosen = slice(0, None, 6)
    result = exact.evaluate(EXAMPLES / "digits" / "digits_mlp.onnx", {"pixels": images[chosen]})
    assert np.array_equal(result["logits"], reference[chosen])


def test_float_mlp_reference_is_the_nearest_float32():
    inputs = np.load(EXAMPLES / "float_mlp" / "inputs.npy")[:8]
    reference = np.load(EXAMPLES / "float_mlp" / "reference.npy")[:8]
    result = exact.evaluate(EXAMPLES / "float_mlp" / "float_mlp.onnx", {"pixels": inputs})
    assert np.array_equal(result["probabilities"].astype(np.float32), reference)
