#!/usr/bin/env python3
"""Train a small float MLP on the digits and write it as ONNX, with inputs and reference outputs.

Nothing in this network is quantised: it is the example of a model whose fixed-point types come from
a configuration or from calibration data.

    python train.py [--output FOLDER]

With the versions in requirements.txt and on one machine the files are the same bytes on every run.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

SEED = 8
TEST_IMAGES = 360
CALIBRATION_IMAGES = 200
HIDDEN = 16
CLASSES = 10
EPOCHS = 60
BATCH = 64
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.05
EPSILON = 1e-5  # of the batch normalisation
MOMENTUM = 0.95  # of its running mean and variance


def load_split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images as pixel / 16 in [0, 1], float32 [n, 64]; labels int64 [n]. As in examples/digits."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    labels = labels.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(images))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return images[train], labels[train], images[test], labels[test]


def softmax(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def initialise(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "fc1_weight": rng.normal(0, np.sqrt(2 / 64), (HIDDEN, 64)),
        "fc1_bias": np.zeros(HIDDEN),
        "bn1_scale": np.ones(HIDDEN),
        "bn1_shift": np.zeros(HIDDEN),
        "fc2_weight": rng.normal(0, np.sqrt(2 / HIDDEN), (CLASSES, HIDDEN)),
        "fc2_bias": np.zeros(CLASSES),
    }


def gradients(p: dict, x: np.ndarray, labels: np.ndarray) -> tuple[dict, np.ndarray, np.ndarray]:
    """Gradients of the mean cross entropy by parameter name, and the batch's mean and variance."""
    sums = x @ p["fc1_weight"].T + p["fc1_bias"]
    mean, variance = sums.mean(axis=0), sums.var(axis=0)
    deviation = np.sqrt(variance + EPSILON)
    normal = (sums - mean) / deviation
    scaled = normal * p["bn1_scale"] + p["bn1_shift"]
    hidden = np.maximum(scaled, 0)
    delta = softmax(hidden @ p["fc2_weight"].T + p["fc2_bias"])
    delta[np.arange(len(labels)), labels] -= 1
    delta /= len(labels)

    g = {"fc2_weight": delta.T @ hidden, "fc2_bias": delta.sum(axis=0)}
    delta = (delta @ p["fc2_weight"]) * (scaled > 0)
    g["bn1_scale"] = (delta * normal).sum(axis=0)
    g["bn1_shift"] = delta.sum(axis=0)
    delta = delta * p["bn1_scale"]
    delta = (delta - delta.mean(axis=0) - normal * (delta * normal).mean(axis=0)) / deviation
    g["fc1_weight"] = delta.T @ x
    g["fc1_bias"] = delta.sum(axis=0)
    return g, mean, variance


def train(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Adam with decoupled weight decay; returns float32 parameters, statistics included."""
    rng = np.random.default_rng(SEED)
    parameters = initialise(rng)
    first = {name: np.zeros_like(value) for name, value in parameters.items()}
    second = {name: np.zeros_like(value) for name, value in parameters.items()}
    running_mean, running_variance = np.zeros(HIDDEN), np.ones(HIDDEN)
    images = images.astype(np.float64)
    step = 0
    for epoch in range(EPOCHS):
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = rng.permutation(len(images))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            g, mean, variance = gradients(parameters, images[batch], labels[batch])
            running_mean += (1 - MOMENTUM) * (mean - running_mean)
            running_variance += (1 - MOMENTUM) * (variance - running_variance)
            step += 1
            for name, value in parameters.items():
                first[name] += (1 - 0.9) * (g[name] - first[name])
                second[name] += (1 - 0.999) * (g[name] ** 2 - second[name])
                update = first[name] / (1 - 0.9**step)
                update /= np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
                if name.endswith("_weight"):
                    update += WEIGHT_DECAY * value
                value -= rate * update
    parameters["bn1_mean"], parameters["bn1_variance"] = running_mean, running_variance
    return {name: value.astype(np.float32) for name, value in parameters.items()}


def evaluate(parameters: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """The exported network in float64, from its float32 parameters."""
    p = {name: value.astype(np.float64) for name, value in parameters.items()}
    sums = images.astype(np.float64) @ p["fc1_weight"].T + p["fc1_bias"]
    factor = p["bn1_scale"] / np.sqrt(p["bn1_variance"] + float(np.float32(EPSILON)))
    hidden = np.maximum((sums - p["bn1_mean"]) * factor + p["bn1_shift"], 0)
    return softmax(hidden @ p["fc2_weight"].T + p["fc2_bias"])


def build_model(parameters: dict[str, np.ndarray]) -> onnx.ModelProto:
    norm = ["fc1_sum", "bn1_scale", "bn1_shift", "bn1_mean", "bn1_variance"]
    nodes = [
        helper.make_node(
            "Gemm", ["pixels", "fc1_weight", "fc1_bias"], ["fc1_sum"], "fc1", transB=1
        ),
        helper.make_node("BatchNormalization", norm, ["bn1_out"], "bn1", epsilon=EPSILON),
        helper.make_node("Relu", ["bn1_out"], ["relu1_out"], "relu1"),
        helper.make_node(
            "Gemm", ["relu1_out", "fc2_weight", "fc2_bias"], ["fc2_sum"], "fc2", transB=1
        ),
        helper.make_node("Softmax", ["fc2_sum"], ["probabilities"], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "float_mlp",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in parameters.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="gatewright examples/float_mlp",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)

    train_images, train_labels, test_images, test_labels = load_split()
    parameters = train(train_images, train_labels)
    reference = evaluate(parameters, test_images)

    model = build_model(parameters)
    (output / "float_mlp.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.save(output / "inputs.npy", test_images)
    np.save(output / "labels.npy", test_labels)
    np.save(output / "reference.npy", reference.astype(np.float32))
    np.save(output / "calibration.npy", train_images[:CALIBRATION_IMAGES])

    for name, x, labels in (
        ("training", train_images, train_labels),
        ("test", test_images, test_labels),
    ):
        right = int(np.sum(evaluate(parameters, x).argmax(axis=1) == labels))
        print(f"{name} accuracy {right / len(labels):.4f} ({right} of {len(labels)})")


if __name__ == "__main__":
    main()
