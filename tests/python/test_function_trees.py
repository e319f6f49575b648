"""Activations written as several layers of a float model: one function of one tensor, hence one
rounding, at the type of the last layer."""

import math

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


class Graph:
    def __init__(self):
        self.nodes = []
        self.constants = []

    def call(self, op, *inputs):
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name))
        return name

    def number(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.float32(value), name))
        return name


def silu(g, x):
    return g.call("Mul", x, g.call("Sigmoid", x))


def silu_by_exp(g, x):
    below = g.call("Add", g.call("Exp", g.call("Neg", x)), g.number(1))
    return g.call("Div", x, below)


def mish(g, x):
    return g.call("Mul", g.call("Tanh", g.call("Softplus", x)), x)


def gelu(g, x):
    inner = g.call("Div", x, g.number(math.sqrt(2)))
    cdf = g.call("Add", g.call("Erf", inner), g.number(1))
    return g.call("Mul", g.call("Mul", x, g.number(0.5)), cdf)


def gelu_tanh(g, x):
    cube = g.call("Mul", g.call("Mul", x, x), x)
    sum_ = g.call("Add", x, g.call("Mul", g.number(0.044715), cube))
    tanh = g.call("Tanh", g.call("Mul", g.number(math.sqrt(2 / math.pi)), sum_))
    return g.call("Mul", g.call("Mul", x, g.number(0.5)), g.call("Add", tanh, g.number(1)))


def single(value):
    return float(np.float32(value))


def gelu_tanh_value(v):
    inner = single(math.sqrt(2 / math.pi)) * (v + single(0.044715) * v * v * v)
    return 0.5 * v * (1 + math.tanh(inner))


FUNCTIONS = {
    "silu": (silu, lambda v: v / (1 + math.exp(-v))),
    "silu_by_exp": (silu_by_exp, lambda v: v / (1 + math.exp(-v))),
    "mish": (mish, lambda v: v * math.tanh(math.log1p(math.exp(v)))),
    "gelu": (gelu, lambda v: 0.5 * v * (1 + math.erf(v / single(math.sqrt(2))))),
    "gelu_tanh": (gelu_tanh, gelu_tanh_value),
}


@pytest.mark.parametrize("everywhere", [True, False], ids=["model", "layers"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_rounding(run, tmp_path, name, everywhere):
    build, value = FUNCTIONS[name]
    g = Graph()
    rng = np.random.default_rng(3)
    w = (rng.integers(-8, 9, (3, 4)) / 4).astype(np.float32)
    g.constants.append(numpy_helper.from_array(w, "w"))
    g.nodes.append(helper.make_node("MatMul", ["x", "w"], ["fc"], "fc"))
    last = build(g, "fc")
    graph = helper.make_graph(
        g.nodes,
        "tree",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 4])],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "m.onnx")
    types = "inputs: {x: 'fixed<6,3>'}\n"
    if everywhere:
        types += "model: {result: 'fixed<12,5>'}\n"
    else:
        types += f"layers: {{fc: {{result: 'fixed<12,5>'}}, {last}: {{result: 'fixed<12,5>'}}}}\n"
    (tmp_path / "t.yaml").write_text(types)
    x = (rng.integers(-32, 32, (100, 3)) / 8).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    done = run(
        *("predict", tmp_path / "m.onnx", "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npy"),
        *("--config", tmp_path / "t.yaml"),
    )
    assert done.returncode == 0, done.stderr
    sums = np.clip(np.rint((x.astype(float) @ w.astype(float)) * 32), -2048, 2047) / 32
    expected = np.rint(np.vectorize(value)(sums) * 32) / 32
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected.astype(np.float32))
