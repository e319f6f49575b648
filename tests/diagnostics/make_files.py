"""Writes the small files that the examples of src/base/diagnostics.def name.

Standard library only: the broken files need bytes that no library writes. Run it in this folder
after a change; the same script gives the same bytes.
"""

import json
import struct
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "fixtures"))
from keras_file import dense, keras_file, layer, sequential

FOLDER = Path(__file__).parent


# The wire format of protobuf; field numbers are those of third_party/onnx/onnx-ml.proto.


def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, value):
    if isinstance(value, str):
        value = value.encode()
    return varint(field << 3 | 2) + varint(len(value)) + value


def float32(field, value):
    return varint(field << 3 | 5) + struct.pack("<f", value)


FLOAT, STRING = 1, 8


def tensor(name, dims, values, element=FLOAT):
    head = b"".join(number(1, dim) for dim in dims) + number(2, element) + data(8, name)
    return head + data(9, struct.pack(f"<{len(values)}f", *values))


def external(name, dims, location):
    head = b"".join(number(1, dim) for dim in dims) + number(2, FLOAT) + data(8, name)
    return head + data(13, data(1, "location") + data(2, location)) + number(14, 1)


def value(name, *dims):
    shape = data(1, data(2, "batch")) + b"".join(data(1, number(1, dim)) for dim in dims)
    return data(1, name) + data(2, data(1, number(1, FLOAT) + data(2, shape)))


def node(op, inputs, outputs, name="", domain="", attributes=()):
    out = b"".join(data(1, x) for x in inputs) + b"".join(data(2, x) for x in outputs)
    out += data(3, name) + data(4, op) + data(7, domain)
    return out + b"".join(data(5, attribute) for attribute in attributes)


def attribute(name, kind, content):
    return data(1, name) + number(20, kind) + content


def opset(version=17, domain=""):
    return data(1, domain) + number(2, version)


def graph(nodes, initializers=(), inputs=(("x", 2),), outputs=(("y", 2),)):
    out = b"".join(data(1, n) for n in nodes) + data(2, "example")
    out += b"".join(data(5, t) for t in initializers)
    out += b"".join(data(11, v if isinstance(v, bytes) else value(*v)) for v in inputs)
    return out + b"".join(data(12, value(*v)) for v in outputs)


def model(content, extra=b"", opsets=None):
    opsets = [opset()] if opsets is None else opsets
    return number(1, 8) + data(7, content) + b"".join(data(8, o) for o in opsets) + extra


WEIGHTS = tensor("w", [2, 2], [1, -2, 0.5, 3])
DENSE = node("MatMul", ["x", "w"], ["y"], "fc1")
TINY = model(graph([DENSE], [WEIGHTS]))


def function(name, nodes):
    body = data(1, name) + data(4, "a") + data(5, "b") + data(10, "own")
    return body + b"".join(data(7, n) for n in nodes) + data(9, opset(1, "own"))


def model_files():
    yield "cut_short.onnx", TINY[:-20]
    yield "no_opset.onnx", model(graph([DENSE], [WEIGHTS]), opsets=[])
    twice = [DENSE, node("Relu", ["x"], ["y"], "act1")]
    yield "defined_twice.onnx", model(graph(twice, [WEIGHTS]))
    yield "missing_initializer.onnx", model(graph([DENSE]))
    loop = [node("Add", ["x", "b"], ["a"], "add1"), node("Relu", ["a"], ["b"], "act1")]
    yield "cycle.onnx", model(graph(loop, outputs=(("b", 2),)))
    claim = tensor("w", [2, 2**28], [1, -2])
    yield "claims_too_much.onnx", model(graph([DENSE], [claim]))
    text = number(1, 1) + number(2, STRING) + data(8, "w") + data(6, "cat")
    yield "strings.onnx", model(graph([DENSE], [text]))
    outside = external("w", [2, 2], "../../README.md")
    yield "outside.onnx", model(graph([DENSE], [outside]))
    bad = tensor("w", [2, 2], [1, float("nan"), 0.5, 3])
    yield "nan_weight.onnx", model(graph([DENSE], [bad]))
    both = attribute("alpha", 1, float32(2, 0.25) + number(3, 1))
    leaky = node("LeakyRelu", ["x"], ["y"], "act1", attributes=[both])
    yield "two_values.onnx", model(graph([leaky]))
    call = node("Twice", ["x"], ["y"], "fc1", "own")
    inner = function("Twice", [node("Twice", ["a"], ["b"], "", "own")])
    own = [opset(), opset(1, "own")]
    yield "calls_itself.onnx", model(graph([call]), data(25, inner), own)
    yield "no_graph.onnx", number(1, 8) + data(8, opset())
    sequence = data(1, "x") + data(2, data(4, b""))
    yield "sequence_input.onnx", model(graph([node("Relu", ["x"], ["y"])], inputs=[sequence]))
    yield "training.onnx", model(graph([DENSE], [WEIGHTS]), data(20, b""))
    same = [node("MatMul", ["x", "w"], ["z"], "fc1"), node("Relu", ["z"], ["y"], "fc1")]
    yield "same_layer_name.onnx", model(graph(same, [WEIGHTS]))


def npy(descr, shape, content):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def array_files():
    yield "cut_short.npy", npy("<f4", "(1, 2)", struct.pack("<f", 1))
    yield "complex.npy", npy("<c8", "(1, 2)", struct.pack("<4f", 1, 0, 2, 0))


def keras_files():
    model = sequential(dense())
    yield "cut_short.keras", keras_file(model)[:-40]
    yield "broken_config.keras", keras_file(json.dumps(model)[:-10])
    yield "weights_of_another.keras", keras_file(sequential(dense(units=4)))
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None}}
    yield "lambda.keras", keras_file(sequential(layer("Lambda", "double", function=code)))


def main():
    for name, content in [*model_files(), *array_files(), *keras_files()]:
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
