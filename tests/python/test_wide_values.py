"""Values whose exact form needs more than 128 bits are rounded finely, and the report says so."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")


def products(folder, count):
    """a b (a + b)^count of quantised a and b, without a quantiser in between."""
    nodes = []
    for name in "ab":
        nodes.append(helper.make_node("QuantizeLinear", [name, "s", "z"], [name + "i"]))
        nodes.append(helper.make_node("DequantizeLinear", [name + "i", "s", "z"], [name + "q"]))
    nodes.append(helper.make_node("Add", ["aq", "bq"], ["sum"]))
    nodes.append(helper.make_node("Mul", ["aq", "bq"], ["p0"]))
    for i in range(count):
        nodes.append(helper.make_node("Mul", [f"p{i}", "sum"], [f"p{i + 1}"]))
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in "ab"],
        [helper.make_tensor_value_info(f"p{count}", TensorProto.FLOAT, [1, 4])],
        [
            numpy_helper.from_array(np.float32(0.011), "s"),
            numpy_helper.from_array(np.int8(0), "z"),
        ],
    )
    file = folder / "wide.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), file)
    return file


@pytest.mark.parametrize("count", [3, 16, 40])
def test_long_products(tmp_path, count):
    file = products(tmp_path, count)
    rng = np.random.default_rng(3)
    a, b = rng.uniform(-1.3, 1.3, (2, 20, 4))
    (y,) = gatewright.predict(file, {"a": a, "b": b}).values()
    p, q = (np.clip(np.round(v / np.float32(0.011)), -128, 127) * np.float64(np.float32(0.011))
            for v in (a, b))  # fmt: skip
    expected = p * q * (p + q) ** count
    assert np.abs(y - expected).max() <= 1e-6 * np.abs(expected).max()
    if count == 16:
        info = gatewright.convert(file, tmp_path / "design")
        assert any("rounded to" in a["description"] for a in info["approximations"])
        (circuit,) = gatewright.predict(tmp_path / "design", {"a": a, "b": b}).values()
        assert (circuit == y).all()
