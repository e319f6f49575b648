"""Arrays of samples find their inputs by name or by number, also where an input is called as the
number of another one."""

import numpy
import onnx
import pytest
from onnx import TensorProto, helper

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

A, B = numpy.array([[5.0]], "float32"), numpy.array([[3.0]], "float32")


def difference(path, first, second):
    """A network of two inputs, less the second from the first."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1])
        for name in (first, second, "y")
    ]
    graph = helper.make_graph(
        [helper.make_node("Sub", [first, second], ["y"])], "g", ports[:2], ports[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return gatewright.load(path)


@pytest.mark.parametrize(
    ("names", "arrays"),
    [
        (("a", "b"), {"a": A, "b": B}),
        (("a", "b"), {"b": B, "a": A}),
        (("a", "b"), {"x0": A, "x1": B}),
        (("a", "b"), {"a": A, "x1": B}),
        (("x1", "x2"), {"x0": A, "x1": B}),
        (("x1", "x2"), {"x1": A, "x2": B}),
        (("x1", "x0"), {"x1": A, "x0": B}),
    ],
)
def test_each_array_goes_to_its_input(names, arrays, tmp_path):
    network = difference(tmp_path / "model.onnx", *names)
    assert network.predict(arrays, exact=False)["y"].item() == 2


@pytest.mark.parametrize("arrays", [{"x1": A}, {"x1": A, "x3": B}])
def test_no_array_is_taken_twice(arrays, tmp_path):
    network = difference(tmp_path / "model.onnx", "x1", "x2")
    with pytest.raises(gatewright.Error, match="'x2' \\(input\\): no array for it among"):
        network.predict(arrays, exact=False)
