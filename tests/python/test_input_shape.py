"""Extents that a file leaves open are given with --input-shape."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")


@pytest.fixture
def model(tmp_path):
    """A convolution over images of any size."""
    weights = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "free",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    file = tmp_path / "free.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), file)
    return file


def test_free_extents(model):
    with pytest.raises(gatewright.Error, match="axis 2 is free.*--input-shape"):
        gatewright.load(model)
    x = np.random.default_rng(1).normal(size=(2, 1, 4, 5))
    (y,) = gatewright.load(model, input_shape=(1, 4, 5)).predict(x, exact=False).values()
    w = np.arange(9).reshape(3, 3)
    expected = sum(w[i, j] * x[:, :, i : i + 2, j : j + 3] for i in range(3) for j in range(3))
    assert y == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5), (1, 0, 5), (1, 2, 3, 4, 5)])
def test_shapes_that_do_not_fit(model, shape):
    with pytest.raises(gatewright.Error, match="shape"):
        gatewright.load(model, input_shape=shape)


def test_command_line(model, run):
    done = run("inspect", model, "--input-shape", "1,4,5")
    assert done.returncode == 0, done.stderr
    assert "output y [1,2,3]" in done.stdout
