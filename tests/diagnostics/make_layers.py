"""Writes the models and arrays whose layers or numbers the examples of diagnostics.def refuse.

Beside make_files.py, which writes the files that are broken as files. Run it in this folder after a
change; the same script gives the same bytes.
"""

import struct

from make_files import (
    DENSE,
    FOLDER,
    TINY,
    WEIGHTS,
    attribute,
    data,
    graph,
    model,
    node,
    npy,
    number,
    opset,
    tensor,
)

QONNX = "qonnx.custom_op.general"
OPSETS = [opset(20), opset(1, QONNX)]
INTEGER, TEXT = 2, 3


def quant(x, y, bits):
    """A Quant layer x -> y; its bits are the initialiser b4, b8 or b30."""
    attributes = [
        attribute("signed", INTEGER, number(3, 1)),
        attribute("narrow", INTEGER, number(3, 0)),
        attribute("rounding_mode", TEXT, data(4, "ROUND")),
    ]
    return node("Quant", [x, "step", "zero", f"b{bits}"], [y], f"quant_{y}", QONNX, attributes)


def quantised(nodes, initializers=(), **options):
    """A model of layers between quantisers, with the constants that quant() names."""
    constants = [tensor("step", [], [1 / 16]), tensor("zero", [], [0])]
    constants += [tensor(f"b{bits}", [], [bits]) for bits in (4, 8, 30)]
    return model(graph(nodes, [*constants, *initializers], **options), opsets=OPSETS)


def model_files():
    dense = node("MatMul", ["xq", "w"], ["y"], "fc1")
    yield "tiny.onnx", quantised([quant("x", "xq", 8), dense], [WEIGHTS])
    far_apart = tensor("c", [2], [1e30, 1e-30])
    looked_up = [
        quant("x", "xq", 8),
        node(
            "ArgMax",
            ["xq"],
            ["position"],
            "largest",
            attributes=[attribute("axis", INTEGER, number(3, 1))],
        ),
    ]
    looked_up.append(node("Gather", ["c", "position"], ["y"], "look_up"))
    yield "too_wide.onnx", quantised(looked_up, [far_apart])
    yield "shapes_do_not_fit.onnx", model(graph([DENSE], [tensor("w", [3, 2], [1] * 6)]))
    yield "float_mlp.onnx", TINY
    sigmoid = [quant("x", "xq", 8), node("Sigmoid", ["xq"], ["s"], "act1")]
    sigmoid.append(node("MatMul", ["s", "w"], ["y"], "fc1"))
    yield "sigmoid_without_type.onnx", quantised(sigmoid, [WEIGHTS])
    wide = tensor("w", [2, 2], [1e30, -2, 0.1, 1e-30])
    yield "float_weights.onnx", quantised([quant("x", "xq", 8), dense], [wide])
    gelu = [quant("x", "xq", 30), node("Gelu", ["xq"], ["g"], "act1"), quant("g", "y", 8)]
    yield "wide_gelu.onnx", quantised(gelu)
    quotient = [quant("x", "xq", 8), quant("x", "xr", 4), node("Div", ["xq", "xr"], ["y"], "div1")]
    yield "divide_by_input.onnx", quantised(quotient)
    yield "unknown_operator.onnx", model(graph([node("Frobnicate", ["x"], ["y"], "odd1")]))
    extra = attribute("beta", INTEGER, number(3, 2))
    yield (
        "unknown_attribute.onnx",
        model(graph([node("Relu", ["x"], ["y"], "act1", attributes=[extra])])),
    )
    reshape = [node("Reshape", ["x", "x"], ["y"], "reshape1")]
    yield "computed_shape.onnx", model(graph(reshape))


def array_files():
    rows = [0, 0, 1, -1, 0.5, 2.25]
    yield "tiny.npy", npy("<f4", "(3, 2)", struct.pack("<6f", *rows))
    yield "wrong_shape.npy", npy("<f4", "(2, 3)", struct.pack("<6f", *rows))


def main():
    for name, content in [*model_files(), *array_files()]:
        (FOLDER / name).write_bytes(content)
    (FOLDER / "notes.txt").write_text("No model, but a text.\n")


if __name__ == "__main__":
    main()
