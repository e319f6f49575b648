#!/usr/bin/env python3
"""Train the quantised digits MLP and write it as QONNX, with test data and exact reference logits.

Quantisation-aware training in plain numpy: the forward pass uses the quantised weights and
activations, the backward pass lets gradients through each quantiser as if it were a clip
(straight-through estimator). All scales are powers of two, so every number in the trained network
is an integer times a power of two and the reference below is computed in integers.

    python train.py [--output FOLDER]

With the versions in requirements.txt and on one machine the files are the same bytes on every run.
(Another processor may sum float products in another order and so train another, similar network.)
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

SEED = 8
TEST_IMAGES = 360
EPOCHS = 300
BATCH = 64
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.1  # small weights are cheap ones: 1 takes one adder, 3 takes two
QONNX_DOMAIN = "qonnx.custom_op.general"


@dataclass(frozen=True)
class Quantiser:
    """value = clip(round_half_even(x * 2^frac), low, high) * 2^-frac, as QONNX Quant does."""

    signed: bool
    bits: int
    frac: int
    narrow: bool = False

    @property
    def low(self) -> int:
        return -(2 ** (self.bits - 1)) + int(self.narrow) if self.signed else 0

    @property
    def high(self) -> int:
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1 - int(self.narrow)

    @property
    def scale(self) -> float:
        return 2.0**-self.frac

    def integers(self, x: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(x / self.scale), self.low, self.high).astype(np.int64)

    def values(self, x: np.ndarray) -> np.ndarray:
        return self.integers(x) * self.scale

    def passes_gradient(self, x: np.ndarray) -> np.ndarray:
        return (x >= (self.low - 0.5) * self.scale) & (x <= (self.high + 0.5) * self.scale)


@dataclass(frozen=True)
class LayerPlan:
    name: str
    outputs: int
    weight: Quantiser
    bias: Quantiser
    activation: Quantiser | None  # None: the exact sums are the output
    pruned: float  # share of the weights that end as zero


INPUT = Quantiser(signed=False, bits=3, frac=3)
PLAN = [
    LayerPlan(
        "fc1",
        24,
        weight=Quantiser(signed=True, bits=3, frac=1, narrow=True),
        bias=Quantiser(signed=True, bits=6, frac=4),
        activation=Quantiser(signed=False, bits=4, frac=1),
        pruned=0.85,
    ),
    LayerPlan(
        "fc2",
        16,
        weight=Quantiser(signed=True, bits=3, frac=1, narrow=True),
        bias=Quantiser(signed=True, bits=6, frac=2),
        activation=Quantiser(signed=False, bits=4, frac=1),
        pruned=0.7,
    ),
    LayerPlan(
        "fc3",
        10,
        weight=Quantiser(signed=True, bits=3, frac=1, narrow=True),
        bias=Quantiser(signed=True, bits=6, frac=2),
        activation=None,
        pruned=0.4,
    ),
]


@dataclass
class Layer:
    """Trained state of a layer: float weights [outputs, inputs], float bias, mask of kept ones."""

    plan: LayerPlan
    weight: np.ndarray
    bias: np.ndarray
    kept: np.ndarray

    def quantised_weight(self) -> np.ndarray:
        return self.plan.weight.values(self.weight * self.kept)

    def quantised_bias(self) -> np.ndarray:
        return self.plan.bias.values(self.bias)


# --- data -----------------------------------------------------------------------------------------


def load_split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images as pixel / 16 in [0, 1], float32 [n, 64] (exact: pixels are 0..16); labels int64."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    labels = labels.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(images))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return images[train], labels[train], images[test], labels[test]


def shift_randomly(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves about a third of the images by one pixel: there are only 1,437 to train on."""
    square = images.reshape(-1, 8, 8).copy()
    direction = rng.integers(0, 12, len(square))
    for code, (axis, step) in enumerate([(1, 1), (1, -1), (2, 1), (2, -1)]):
        chosen = direction == code
        moved = np.roll(square[chosen], step, axis)
        edge = 0 if step == 1 else 7
        if axis == 1:
            moved[:, edge, :] = 0
        else:
            moved[:, :, edge] = 0
        square[chosen] = moved
    return square.reshape(-1, 64)


# --- training -------------------------------------------------------------------------------------


def initialise(rng: np.random.Generator) -> list[Layer]:
    layers = []
    inputs = 64
    for plan in PLAN:
        weight = rng.normal(0, np.sqrt(2 / inputs), (plan.outputs, inputs))
        layers.append(Layer(plan, weight, np.zeros(plan.outputs), np.ones_like(weight, bool)))
        inputs = plan.outputs
    return layers


def forward(layers: list[Layer], x: np.ndarray) -> tuple[np.ndarray, list]:
    """Float64 forward pass with quantised numbers; every intermediate value is exact."""
    value = INPUT.values(x)
    trace = []
    for layer in layers:
        weight = layer.quantised_weight()
        total = value @ weight.T + layer.quantised_bias()
        trace.append((value, weight, total))
        activation = layer.plan.activation
        value = total if activation is None else activation.values(np.maximum(total, 0))
    return value, trace


def gradients(layers: list[Layer], x: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Gradients of the mean cross entropy: weight and bias of each layer, in layer order."""
    logits, trace = forward(layers, x)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    delta = exponentials / exponentials.sum(axis=1, keepdims=True)
    delta[np.arange(len(labels)), labels] -= 1
    delta /= len(labels)
    result = []
    for layer, (value, weight, total) in zip(reversed(layers), reversed(trace), strict=True):
        activation = layer.plan.activation
        if activation is not None:
            delta = delta * ((total > 0) & activation.passes_gradient(total))
        weight_gradient = (
            delta.T @ value * layer.plan.weight.passes_gradient(layer.weight) * layer.kept
        )
        bias_gradient = delta.sum(axis=0) * layer.plan.bias.passes_gradient(layer.bias)
        result = [weight_gradient, bias_gradient, *result]
        delta = delta @ weight
    return result


def prune(layer: Layer, progress: float) -> None:
    """Masks the smallest weights; the share grows as a cubic, fast first and then ever slower."""
    share = layer.plan.pruned * (1 - (1 - progress) ** 3)
    magnitude = np.abs(layer.weight * layer.kept)
    count = int(round(share * magnitude.size))
    smallest = np.argsort(magnitude, axis=None, kind="stable")[:count]
    layer.kept = np.ones_like(layer.kept)
    layer.kept.flat[smallest] = False


def train(images: np.ndarray, labels: np.ndarray) -> list[Layer]:
    rng = np.random.default_rng(SEED)
    layers = initialise(rng)
    first = [np.zeros_like(p) for layer in layers for p in (layer.weight, layer.bias)]
    second = [np.zeros_like(m) for m in first]
    step = 0
    for epoch in range(EPOCHS):
        # Pruning runs from 10 % to 60 % of the epochs; the rest lets the kept weights settle.
        progress = min(max((epoch / EPOCHS - 0.1) / 0.5, 0), 1)
        for layer in layers:
            prune(layer, progress)
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = rng.permutation(len(images))
        shifted = shift_randomly(images, rng)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
            step += 1
            for i, g in enumerate(gradients(layers, shifted[batch], labels[batch])):
                first[i] += (1 - 0.9) * (g - first[i])
                second[i] += (1 - 0.999) * (g * g - second[i])
                mean = first[i] / (1 - 0.9**step)
                variance = second[i] / (1 - 0.999**step)
                update = mean / (np.sqrt(variance) + 1e-8) + WEIGHT_DECAY * parameters[i]
                parameters[i] -= rate * update
            for layer in layers:  # a latent weight beyond the clip would never come back
                limit = (layer.plan.weight.high + 0.49) * layer.plan.weight.scale
                np.clip(layer.weight, -limit, limit, out=layer.weight)
    return layers


# --- reference ------------------------------------------------------------------------------------


def requantise(sums: np.ndarray, frac: int, target: Quantiser) -> np.ndarray:
    """Integers with `frac` fraction bits to the integers of `target`: half to even, then clip."""
    shift = frac - target.frac
    if shift > 0:
        floor = sums >> shift
        rest = sums - (floor << shift)
        half = 1 << (shift - 1)
        sums = floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))
    else:
        sums = sums << -shift
    return np.clip(sums, target.low, target.high)


def integer_logits(layers: list[Layer], images: np.ndarray) -> np.ndarray:
    """The network in integers alone; images are multiples of 1/16. Returns float64, exact."""
    pixels = np.rint(images.astype(np.float64) * 16).astype(np.int64)
    if not np.array_equal(pixels / 16, images):
        raise ValueError("images must be multiples of 1/16")
    value, frac = requantise(pixels, 4, INPUT), INPUT.frac
    for layer in layers:
        plan = layer.plan
        sum_frac = frac + plan.weight.frac
        if plan.bias.frac > sum_frac:
            raise ValueError(f"{plan.name}: the bias is finer than the products")
        bias = plan.bias.integers(layer.bias) << (sum_frac - plan.bias.frac)
        sums = value @ plan.weight.integers(layer.weight * layer.kept).T + bias
        if plan.activation is None:
            return sums * 2.0**-sum_frac
        value = requantise(np.maximum(sums, 0), sum_frac, plan.activation)
        frac = plan.activation.frac
    raise ValueError("the last layer must have no activation")


# --- export ---------------------------------------------------------------------------------------


def build_model(layers: list[Layer]) -> onnx.ModelProto:
    nodes, initializers = [], []

    def constant(name: str, value) -> str:
        initializers.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def quant(name: str, source: str, output: str, quantiser: Quantiser) -> str:
        inputs = [
            source,
            constant(f"{name}_scale", quantiser.scale),
            constant(f"{name}_zero_point", 0),
            constant(f"{name}_bits", quantiser.bits),
        ]
        nodes.append(
            helper.make_node(
                "Quant",
                inputs,
                [output],
                name,
                domain=QONNX_DOMAIN,
                narrow=int(quantiser.narrow),
                rounding_mode="ROUND",
                signed=int(quantiser.signed),
            )
        )
        return output

    value = quant("pixels_quant", "pixels", "pixels_q", INPUT)
    for layer in layers:
        plan = layer.plan
        name = plan.name
        weight = constant(f"{name}_weight", layer.quantised_weight())
        weight = quant(f"{name}_weight_quant", weight, f"{name}_weight_q", plan.weight)
        bias = constant(f"{name}_bias", layer.quantised_bias())
        bias = quant(f"{name}_bias_quant", bias, f"{name}_bias_q", plan.bias)
        output = "logits" if plan.activation is None else f"{name}_sum"
        nodes.append(helper.make_node("Gemm", [value, weight, bias], [output], name, transB=1))
        if plan.activation is not None:
            nodes.append(helper.make_node("Relu", [output], [f"{name}_relu_out"], f"{name}_relu"))
            value = quant(f"{name}_relu_quant", f"{name}_relu_out", f"{name}_out", plan.activation)

    graph = helper.make_graph(
        nodes,
        "digits_mlp",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(QONNX_DOMAIN, 1)],
        ir_version=8,
        producer_name="gatewright examples/digits",
    )
    onnx.checker.check_model(model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)

    train_images, train_labels, test_images, test_labels = load_split()
    layers = train(train_images, train_labels)

    reference = integer_logits(layers, test_images)
    in_float64, _ = forward(layers, test_images.astype(np.float64))
    if not np.array_equal(reference, in_float64):
        raise SystemExit("integer and float64 evaluation differ")
    if not np.array_equal(reference, reference.astype(np.float32)):
        raise SystemExit("the logits do not fit float32")

    model = build_model(layers)
    (output / "digits_mlp.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.save(output / "test_images.npy", test_images)
    np.save(output / "test_labels.npy", test_labels)
    np.save(output / "reference_logits.npy", reference.astype(np.float32))

    for layer in layers:
        weight = layer.quantised_weight()
        print(f"{layer.plan.name}: {np.count_nonzero(weight)} of {weight.size} weights not zero")
    train_logits = integer_logits(layers, train_images)
    print(f"training accuracy {np.mean(train_logits.argmax(axis=1) == train_labels):.4f}")
    right = int(np.sum(reference.argmax(axis=1) == test_labels))
    print(f"test accuracy {right / len(test_labels):.4f} ({right} of {len(test_labels)})")


if __name__ == "__main__":
    main()
