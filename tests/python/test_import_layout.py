"""Where files put their batch and channel axes."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def saved(folder, nodes, shapes, constants=(), domains=()):
    x, y = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, s)] for n, s in shapes.items())
    graph = helper.make_graph(nodes, "layout", x, y, list(constants))
    opsets = [helper.make_opsetid("", 13)] + [helper.make_opsetid(d, 1) for d in domains]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 7
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def test_flatten_of_a_batch_of_one_keeps_samples_apart(tmp_path):
    nodes = [helper.make_node("Flatten", ["x"], ["y"], "flat", axis=0)]
    file = saved(tmp_path, nodes, {"x": [1, 2, 3], "y": [1, 6]})
    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    (y,) = gatewright.predict(file, x, exact=False).values()
    assert np.array_equal(y, x.reshape(4, 6))


def test_flatten_of_a_batch_of_two_mixes_samples(tmp_path):
    nodes = [helper.make_node("Flatten", ["x"], ["y"], "flat", axis=0)]
    file = saved(tmp_path, nodes, {"x": [2, 2, 3], "y": [1, 12]})
    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    with pytest.raises(gatewright.Error):
        gatewright.predict(file, x, exact=False)
    whole = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    (y,) = gatewright.predict(file, whole, exact=False).values()
    assert np.array_equal(y.reshape(12), whole.reshape(12))


@pytest.mark.parametrize("batch", ["n", 1, 2])
def test_reshape_around_a_batch_within(tmp_path, batch):
    """[4, batch, 6] as [2, 2, batch, 3, 2]: what stood before and behind the batch stays there."""
    sizes = numpy_helper.from_array(np.array([2, 2, -1, 3, 2], np.int64), "sizes")
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "to_front", perm=[1, 0, 2]),
        helper.make_node("Reshape", ["t", "sizes"], ["r"], "split"),
        helper.make_node("Transpose", ["r"], ["y"], "to_back", perm=[2, 4, 0, 1, 3]),
    ]
    file = saved(tmp_path, nodes, {"x": [batch, 4, 6], "y": [batch, 2, 2, 2, 3]}, [sizes])
    x = np.arange(120, dtype=np.float32).reshape(5, 4, 6)
    (y,) = gatewright.predict(file, x, exact=False).values()
    assert np.array_equal(y, x.reshape(5, 2, 2, 3, 2).transpose(0, 4, 1, 2, 3))


def test_batch_of_one_merged_with_other_axes(tmp_path):
    """Heads of attention as torch exports them: [1, 4, 6] -> [4, 1, 6] -> [4, 3, 2] -> [1, ...]."""
    heads, back = (
        numpy_helper.from_array(np.array(shape, np.int64), name)
        for name, shape in {"heads": [4, 3, 2], "back": [1, 12, 2]}.items()
    )
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "steps_first", perm=[1, 0, 2]),
        helper.make_node("Reshape", ["t", "heads"], ["h"], "to_heads"),
        helper.make_node("Transpose", ["h"], ["u"], "heads_first", perm=[1, 0, 2]),
        helper.make_node("Reshape", ["u", "back"], ["y"], "to_rows"),
    ]
    file = saved(tmp_path, nodes, {"x": [1, 4, 6], "y": [1, 12, 2]}, [heads, back])
    x = np.arange(120, dtype=np.float32).reshape(5, 4, 6)
    (y,) = gatewright.predict(file, x, exact=False).values()
    expected = x.reshape(5, 4, 3, 2).transpose(0, 2, 1, 3).reshape(5, 12, 2)
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("op", ["Conv", "MaxPool"])
def test_channels_last(tmp_path, op):
    """A layer of QONNX' domain is the standard one between two transpositions."""
    rng = np.random.default_rng(4)
    w = rng.integers(-8, 9, (4, 3, 2, 2)).astype(np.float32)  # [O, I, H, W]
    x = rng.integers(-8, 9, (5, 6, 5, 3)).astype(np.float32)
    inputs = ["w"] if op == "Conv" else []
    mode = {"kernel_shape": [3, 2] if op == "MaxPool" else [2, 2], "strides": [2, 1]}
    domain = "qonnx.custom_op.channels_last"
    last = saved(
        tmp_path,
        [helper.make_node(op, ["x", *inputs], ["y"], "layer", domain=domain, **mode)],
        {"x": ["n", 6, 5, 3], "y": None},
        [numpy_helper.from_array(w.transpose(0, 2, 3, 1), "w")] if inputs else [],
        [domain],
    )
    (y,) = gatewright.predict(last, x, exact=False).values()
    first = saved(
        tmp_path,
        [helper.make_node(op, ["x", *inputs], ["y"], "layer", **mode)],
        {"x": ["n", 3, 6, 5], "y": None},
        [numpy_helper.from_array(w, "w")] if inputs else [],
    )
    (expected,) = gatewright.predict(first, x.transpose(0, 3, 1, 2), exact=False).values()
    assert np.array_equal(y, expected.transpose(0, 2, 3, 1))
    assert len(np.unique(y)) > 5
