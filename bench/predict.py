"""Samples per CPU second of `predict` on one thread, beside onnxruntime on one thread.

    bench/predict.py MODEL... [--float] [--input IO.npz] [--samples N] [--repeat R]
                     [--program GATEWRIGHT] [--also-float MODEL...] [--write docs/benchmarks.md]

MODEL is a model file, a folder that holds one beside its io.npz, or a folder of such folders. The
arrays of io.npz (by default the one beside the model) that the model takes as inputs are tiled to N
samples; without N, to as many as need a second, or 256 MiB. A float model gets the types of the
template that `gatewright config` writes, or, with --float, is computed as trained.

in process    through the Python package. Each call also reads and lowers the model: that is
              measured with one sample, shown as `start`, and taken off. Where what remains is not
              well above it, the difference is noise and no rate is printed.
command line  the whole `gatewright predict MODEL -i X.npy -o Y.npy`: start, reading, writing.
onnxruntime   in process, its session made before; the best of several batch sizes. Of QONNX
              models the quantisers are written out in float32 operators. Of a model in another
              format, the ONNX file beside it if there is one.
ns/MAC        of `in process`, for each multiply-accumulate of the model as it stands.
same          samples whose largest output onnxruntime finds at the same place.

--also-float names models that are computed as trained besides the others. --write puts the table
into a file, between the lines that begin and end this benchmark's part of it.

All times are CPU time, user and system; the least of R runs counts.
"""

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import gatewright
import numpy as np
from yardstick import Yardstick


def inputs_of(model: gatewright.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model's inputs among the arrays: by name, else `x`, else `x0`, `x1`, ..."""
    found = {}
    for i, port in enumerate(model.inputs):
        names = [port["name"], *(["x"] if len(model.inputs) == 1 else []), f"x{i}"]
        name = next((name for name in names if name in arrays), None)
        if name is None:
            raise ValueError(f"no array for input {port['name']} among {', '.join(arrays)}")
        found[port["name"]] = arrays[name].reshape(len(arrays[name]), *port["shape"])
    return found


def tiled(array: np.ndarray, samples: int) -> np.ndarray:
    """The array's samples in turn, `samples` of them, as float32 if that loses nothing."""
    if array.dtype == np.float64 and np.array_equal(array.astype(np.float32), array):
        array = array.astype(np.float32)
    return np.ascontiguousarray(np.resize(array, (samples, *array.shape[1:])))


class Subject:
    """A model with inputs, and types where it has none of its own."""

    def __init__(self, path: Path, file: Path, as_trained: bool):
        self.path = path
        self.weights = weights_of(path)
        self.exact = not as_trained
        self.model = gatewright.load(path, self.weights)
        loaded = np.load(file)
        arrays = {"x": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        self.given = inputs_of(self.model, arrays)
        self.config = None
        try:
            self.model.predict(self.inputs(1), exact=self.exact)  # libraries start threads now
        except gatewright.Error:
            self.folder = tempfile.TemporaryDirectory()
            self.config = Path(self.folder.name) / "config.yaml"
            self.config.write_text(self.model.config_template())
            self.model.predict(self.inputs(1), config=self.config)

    def inputs(self, samples: int) -> dict[str, np.ndarray]:
        return {name: tiled(array, samples) for name, array in self.given.items()}

    def cpu_seconds(self, arrays: dict[str, np.ndarray], repeat: int) -> float:
        """The least CPU time of a prediction, all threads of the process together."""
        best = float("inf")
        for _ in range(repeat):
            start = time.process_time()
            self.model.predict(arrays, config=self.config, exact=self.exact, threads=1)
            best = min(best, time.process_time() - start)
        return best

    def enough_samples(self, reading: float) -> int:
        """As many as take a second and ten times the reading, if their arrays stay below 256 MiB
        and it does not take all day."""
        bytes_each = sum(array.nbytes for array in self.inputs(1).values())
        most = max(1, (256 << 20) // max(1, bytes_each))
        samples = 64
        while samples < most:
            running = self.cpu_seconds(self.inputs(samples), 1) - reading
            if running > max(1.0, min(5.0, 10 * reading)):
                break
            samples *= 2
        return min(samples, most)


def command_seconds(subject: Subject, program: str, arrays: dict, repeat: int) -> float:
    """The least CPU time of `gatewright predict` on files."""
    with tempfile.TemporaryDirectory() as folder:
        single = len(arrays) == 1 and len(subject.model.outputs) == 1
        x, y = (Path(folder) / f"{name}.{'npy' if single else 'npz'}" for name in "xy")
        if single:
            np.save(x, next(iter(arrays.values())))
        else:
            np.savez(x, **arrays)
        command = [program, "predict", str(subject.path), "-i", str(x), "-o", str(y)]
        if subject.weights is not None:
            command += ["--weights", str(subject.weights)]
        if subject.config is not None:
            command += ["--config", str(subject.config)]
        if not subject.exact:
            command += ["--float"]
        best = float("inf")
        for _ in range(repeat):
            process = subprocess.Popen(command)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise SystemExit(f"{' '.join(command)} failed")
            best = min(best, usage.ru_utime + usage.ru_stime)
        return best


def ratio(rate: float, yardstick: float) -> str:
    return f"{rate / yardstick:.2f}" if yardstick and rate else "-"


def measure(path: Path, file: Path, as_trained: bool, options: argparse.Namespace) -> list[str]:
    """The row of one model."""
    subject = Subject(path, file, as_trained)
    reading = subject.cpu_seconds(subject.inputs(1), options.repeat)
    samples = options.samples or subject.enough_samples(reading)
    arrays = subject.inputs(samples)
    running = subject.cpu_seconds(arrays, options.repeat) - reading
    sure = running > max(0.02, 0.5 * reading)
    inside = samples / running if sure else 0.0
    outside = 0.0
    if options.program is not None:
        outside = samples / command_seconds(subject, options.program, arrays, options.repeat)
    yardstick = Yardstick(next(iter(sorted(path.parent.glob("*.onnx"))), path))
    peer = same = 0.0
    if yardstick.session is not None:
        few = {name: array[:1000] for name, array in arrays.items()}
        try:
            peer = yardstick.rate(arrays, options.repeat)
            predicted = subject.model.predict(few, config=subject.config, exact=subject.exact)
            ours = next(iter(predicted.values()))
            theirs = yardstick.run(few, min(64, yardstick.batch))[0].reshape(ours.shape)
            flat = [y.reshape(len(y), -1).argmax(1) for y in (ours, theirs)]
            same = float(np.mean(flat[0] == flat[1]))
        except Exception as error:  # whatever it is, there is no yardstick
            yardstick.reason = f"{type(error).__name__}: {error}".splitlines()[0]
    cost = f"{1e9 / inside / yardstick.macs:.4f}" if yardstick.macs and inside else "-"
    kind = " (template)" if subject.config is not None else " --float" if as_trained else ""
    return [
        path.parent.name + kind,
        f"{samples}",
        f"{reading:.3f}",
        f"{inside:.0f}" if inside else "noise",
        f"{outside:.0f}" if outside else "-",
        f"{peer:.0f}" + (" (1)" if yardstick.batch == 1 else "") if peer else "-",
        ratio(inside, peer),
        ratio(outside, peer),
        f"{yardstick.macs}" if yardstick.macs else "-",
        cost,
        f"{100 * same:.1f} %" if peer else yardstick.reason[:60],
    ]


WIDTHS = (38, 8, 8, 11, 13, 12, 8, 8, 10, 8)
HEADINGS = (
    "model",
    "samples",
    "start s",
    "in process",
    "command line",
    "onnxruntime",
    "ratio",
    "ratio",
    "MACs",
    "ns/MAC",
    "same",
)


def row(cells: list[str] | tuple[str, ...]) -> str:
    widths = (*WIDTHS, 0)
    first, *others = zip(cells, widths, strict=True)
    return first[0].ljust(first[1]) + " ".join(cell.rjust(width) for cell, width in others)


BEGIN, END = (f"<!-- bench/predict: {word} -->" for word in ("begin", "end"))


def features() -> str:
    """What of this machine matters to the kernels."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.exists() else []
    known = {"avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx2": "AVX2", "fma": "FMA"}
    found = [name for flag, name in known.items() if flag in flags]
    return f"{platform.machine()} with {', '.join(found) or 'no vector extensions known'}"


def section(rows: list[list[str]]) -> str:
    """The part of the documentation, with the columns that say something to its readers."""
    columns = (0, 2, 3, 4, 5, 6, 7, 10)
    headings = [HEADINGS[i] for i in columns]
    headings[5:7] = ["ratio in process", "ratio command line"]
    lines = [
        BEGIN,
        "",
        "    bench/predict.py MODELS --also-float MODELS --write docs/benchmarks.md",
        "",
        f"Samples per CPU second of `predict` on one thread ({features()}), and ratios",
        "to float32 in onnxruntime beside it with the batch that suits it best; (1): the file",
        "takes one sample at a time. Quantised models are exact to the bit; those with `--float`",
        "are computed in double precision. `in process` has the model read, `command line` is the",
        "whole program with its files, `start s` the reading and lowering. Other work on the",
        "machine lowers rates; the ratios suffer less.",
        "",
        "| " + " | ".join(headings) + " |",
        "|" + "---|" * len(headings),
        *("| " + " | ".join(cells[i] for i in columns) + " |" for cells in rows),
        "",
        END,
    ]
    return "\n".join(lines)


def write(file: Path, rows: list[list[str]]) -> None:
    text = file.read_text()
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        text = before + section(rows) + rest.split(END, 1)[1]
    else:
        text = text.rstrip("\n") + "\n\n" + section(rows) + "\n"
    file.write_text(text)


def weights_of(path: Path) -> Path | None:
    """The file of weights beside a configuration."""
    return next(iter(sorted(path.parent.glob("*.h5"))), None) if path.suffix == ".json" else None


def model_in(folder: Path) -> Path | None:
    """The model file of a folder: the framework's own format before ONNX."""
    for pattern in ("*.keras", "*.pt2", "*.h5", "*.json", "*.onnx", "*.pt"):
        for file in sorted(folder.glob(pattern)):
            if file.name != "meta.json" and "weights" not in file.name:
                return file
    return None


def models_of(path: Path) -> list[Path]:
    """The model files that a path names."""
    if not path.is_dir() or (path / "design.json").exists():
        return [path]
    folders = [path] if (path / "io.npz").exists() else sorted(path.iterdir())
    return [file for file in map(model_in, folders) if file is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", help="model files, or folders of them")
    parser.add_argument(
        "--float", action="store_true", dest="as_trained", help="compute the models as trained"
    )
    parser.add_argument("--also-float", type=Path, nargs="+", default=[], help="models")
    parser.add_argument("--write", type=Path, help="a file for the table")
    parser.add_argument("--input", type=Path, help="arrays (default: io.npz beside the model)")
    parser.add_argument("--samples", type=int, help="default: enough for a second")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--program", default=shutil.which("gatewright"), help="default: the one in PATH"
    )
    options = parser.parse_args()
    if options.program is None:
        print("no gatewright in PATH: the command line is not measured")
    print(row(HEADINGS))
    refused = []
    rows = []
    wanted = [(model, options.as_trained) for model in options.models]
    wanted += [(model, True) for model in options.also_float]
    for path, as_trained in [(file, f) for model, f in wanted for file in models_of(model)]:
        try:
            file = options.input or path.parent / "io.npz"
            rows.append(measure(path, file, as_trained, options))
            print(row(rows[-1]), flush=True)
        except (gatewright.Error, ValueError, OSError) as error:
            refused.append(f"{path.parent.name}: {str(error).splitlines()[0]}")
    if options.write is not None:
        write(options.write, rows)
    for line in refused:
        print(f"not measured: {line}"[:160])


if __name__ == "__main__":
    main()
