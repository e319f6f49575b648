"""A model in onnxruntime on one thread, as a yardstick; and its multiply-accumulates.

Quantisers of QONNX and Brevitas are written out as plain ONNX operators by their definition, so
that onnxruntime takes them; it then computes them in float32.
"""

import time
from pathlib import Path

import numpy as np

try:
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper, shape_inference
except ImportError as error:
    onnx = None
    missing = f"no yardstick: {error}"

ROUNDINGS = {b"ROUND": "Round", b"FLOOR": "Floor", b"CEIL": "Ceil"}


def plain_quantiser(node, constants: dict[str, np.ndarray]) -> list:
    """Quant and BipolarQuant as plain nodes; other nodes as they are."""
    if node.op_type not in ("Quant", "BipolarQuant"):
        return [node]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    y = node.output[0]

    def make(op: str, inputs: list[str], name: str = ""):
        return helper.make_node(op, inputs, [f"{y}/{name}" if name else y])

    def constant(value: float, name: str):
        tensor = numpy_helper.from_array(np.array(value, np.float32))
        return helper.make_node("Constant", [], [f"{y}/{name}"], value=tensor)

    x, scale = node.input[:2]
    if node.op_type == "BipolarQuant":
        return [
            constant(0, "zero"),
            make("Less", [x, f"{y}/zero"], "negative"),
            make("Neg", [scale], "minus"),
            make("Where", [f"{y}/negative", f"{y}/minus", scale]),
        ]
    width = float(constants[node.input[3]].item())
    signed, narrow = attributes.get("signed", 1), attributes.get("narrow", 0)
    low = -(2.0 ** (width - 1)) + narrow if signed else 0.0
    high = 2.0 ** (width - 1) - 1 if signed else 2.0**width - 1 - narrow
    return [
        constant(low, "low"),
        constant(high, "high"),
        make("Div", [x, scale], "scaled"),
        make("Add", [f"{y}/scaled", node.input[2]], "moved"),
        make(ROUNDINGS[attributes.get("rounding_mode", b"ROUND")], [f"{y}/moved"], "round"),
        make("Clip", [f"{y}/round", f"{y}/low", f"{y}/high"], "level"),
        make("Sub", [f"{y}/level", node.input[2]], "centred"),
        make("Mul", [f"{y}/centred", scale]),
    ]


def plain_model(path: Path):
    """The model without custom operators, for any number of samples."""
    model = onnx.load(path)
    graph = model.graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    nodes = [plain for node in graph.node for plain in plain_quantiser(node, constants)]
    for i, node in enumerate(nodes):
        # A shape that was traced with one sample.
        shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is not None and shape.size > 1 and shape[0] == 1:
            free = numpy_helper.from_array(np.array([0, *shape[1:]], np.int64), f"shape/{i}")
            graph.initializer.append(free)
            node.input[1] = free.name
            del node.attribute[:]  # allowzero: zero would not mean "as the input has it"
        elif node.op_type == "Flatten":
            for attribute in node.attribute:
                attribute.i = max(attribute.i, 1)
    del graph.node[:]
    graph.node.extend(nodes)
    given = {i.name for i in graph.initializer}
    for value in [*(v for v in graph.input if v.name not in given), *graph.output]:
        for dim in value.type.tensor_type.shape.dim[:1]:  # none where the file leaves it open
            dim.dim_param = "samples"
    del graph.value_info[:]
    kept = [o for o in model.opset_import if o.domain in ("", "ai.onnx")]
    # Round and the form of Clip came with 11, which has all else that these models use unchanged.
    kept[0].version = max(kept[0].version, 11)
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def multiply_accumulates(model) -> int | None:
    """Of one sample, in its convolutions and matrix products; None if a shape is unknown."""
    one = onnx.ModelProto()
    one.CopyFrom(model)
    for value in [*one.graph.input, *one.graph.output]:
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_param:
            dims[0].dim_value = 1
    graph = shape_inference.infer_shapes(one, data_prop=True).graph
    shapes = {i.name: list(i.dims) for i in graph.initializer}
    for value in [*graph.value_info, *graph.input, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        shapes.setdefault(value.name, [d.dim_value for d in dims])
    total = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "MatMul", "Gemm"):
            continue
        a, b, y = (shapes.get(name) for name in (*node.input[:2], node.output[0]))
        if not a or not b or not y or 0 in [*a[1:], *b[1:], *y[1:]]:
            return None
        each = np.prod(b[1:]) if node.op_type == "Conv" else a[-1]
        total += int(each * np.prod(y[1:]))
    return total


class Yardstick:
    """Runs the model on one thread; `reason` says why it cannot."""

    def __init__(self, path: Path):
        self.session = self.macs = None
        self.batch = 1  # the largest that it has run with
        self.reason = ""
        if onnx is None:
            self.reason = missing
            return
        if path.suffix != ".onnx":
            self.reason = "not an .onnx file"
            return
        try:
            model = plain_model(path)
            self.macs = multiply_accumulates(model)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 4
            self.session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # whatever it is, there is no yardstick
            self.reason = f"{type(error).__name__}: {error}".splitlines()[0]

    def run(self, arrays: dict[str, np.ndarray], batch: int) -> list[np.ndarray]:
        """The outputs, `batch` samples at a time."""
        count = len(next(iter(arrays.values())))
        arrays = {
            port.name: array.reshape(count, *port.shape[1:])
            for port, array in zip(self.session.get_inputs(), arrays.values(), strict=True)
        }
        parts = [
            self.session.run(None, {n: a[i : i + batch] for n, a in arrays.items()})
            for i in range(0, count, batch)
        ]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def rate(self, arrays: dict[str, np.ndarray], repeat: int) -> float:
        """Samples per CPU second with the batch that suits it best."""
        count = len(next(iter(arrays.values())))
        best = 0.0
        for batch in (1, 64, 1024, count):
            part = {name: a[: max(batch, min(count, 1000))] for name, a in arrays.items()}
            samples = len(next(iter(part.values())))
            try:
                self.run(part, batch)
            except Exception:  # a model that was traced with one sample and cannot take more
                if batch == 1:
                    raise
                break
            self.batch = batch
            for _ in range(repeat):
                start = time.process_time()
                self.run(part, batch)
                best = max(best, samples / max(1e-9, time.process_time() - start))
        return best
