"""Samples per CPU second of `predict` on one thread.

    bench/predict.py MODEL [--input IO.npz] [--samples N] [--repeat R]

MODEL is a model file, or a folder that holds one beside its io.npz. The arrays of io.npz (by
default the one beside the model) that the model takes as inputs are tiled to N samples; without N,
to as many as need a second, or 256 MiB. Prediction runs in this process, through the Python
package. Each call also reads and lowers the model: that is measured with one sample, shown, and
taken off. Where what remains is not well above it, the difference is noise and no rate is printed.
The least CPU time of R runs counts.
"""

import argparse
import os
import time
from pathlib import Path

import gatewright
import numpy as np


def inputs_of(model: gatewright.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model's inputs among the arrays: by name, else `x`, else `x0`, `x1`, ..."""
    found = {}
    for i, port in enumerate(model.inputs):
        names = [port["name"], *(["x"] if len(model.inputs) == 1 else []), f"x{i}"]
        name = next((name for name in names if name in arrays), None)
        if name is None:
            raise SystemExit(f"no array for input {port['name']} among {', '.join(arrays)}")
        found[port["name"]] = arrays[name]
    return found


def tiled(array: np.ndarray, samples: int) -> np.ndarray:
    """The array's samples in turn, `samples` of them, as float32 if that loses nothing."""
    if array.dtype == np.float64 and np.array_equal(array.astype(np.float32), array):
        array = array.astype(np.float32)
    return np.ascontiguousarray(np.resize(array, (samples, *array.shape[1:])))


def cpu_seconds(model: gatewright.Model, arrays: dict[str, np.ndarray], repeat: int) -> float:
    """The least CPU time of a prediction, all threads of the process together."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        model.predict(arrays, threads=1)
        best = min(best, time.process_time() - start)
    return best


def enough_samples(model: gatewright.Model, given: dict[str, np.ndarray], reading: float) -> int:
    """As many as take a second and ten times the reading, if their arrays stay below 256 MiB."""
    bytes_each = sum(tiled(array, 1).nbytes for array in given.values())
    most = max(1, (256 << 20) // max(1, bytes_each))
    samples = 1000
    while samples < most:
        arrays = {name: tiled(array, samples) for name, array in given.items()}
        if cpu_seconds(model, arrays, 1) - reading > max(1.0, 10 * reading):
            break
        samples *= 2
    return min(samples, most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a model file, or a folder with one and io.npz")
    parser.add_argument("--input", type=Path, help="arrays (default: io.npz beside the model)")
    parser.add_argument("--samples", type=int, help="default: enough for a second")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    path = options.model
    if path.is_dir() and not (path / "design.json").exists():
        models = sorted(path.glob("*.onnx"))
        if len(models) != 1:
            raise SystemExit(f"{path} holds {len(models)} .onnx files: name one")
        path = models[0]
    file = options.input or path.parent / "io.npz"
    model = gatewright.load(path)
    loaded = np.load(file)
    arrays = {"x": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    given = inputs_of(model, arrays)
    one = {name: tiled(array, 1) for name, array in given.items()}
    model.predict(one)  # libraries start their threads now, not in the measurement
    reading = cpu_seconds(model, one, max(10, options.repeat))
    samples = options.samples or enough_samples(model, given, reading)
    many = {name: tiled(array, samples) for name, array in given.items()}
    running = cpu_seconds(model, many, options.repeat) - reading
    figures = f"{samples} samples, {running:.3f} s; reading the model {reading:.3f} s"
    if running < max(0.05, 2 * reading):
        raise SystemExit(f"{os.path.relpath(path)}: too short to tell ({figures}): more samples")
    rate = samples / running
    print(f"{os.path.relpath(path)}: {rate:.0f} samples per CPU second ({figures})")


if __name__ == "__main__":
    main()
