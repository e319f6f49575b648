"""One-layer models: runs cases and tells match, refused, wrong or crashed.

Those of ../shared/layers lie beside the repository; those of tests/fixtures/layer_models are part
of it. As a program:

    python tests/python/layer_cases.py FAMILY [PART ...] [--jobs N] [--only OUTCOME]

runs the cases of a family whose names contain one of the parts, prints every case that did not
come out as its manifest says, and the counts.
"""

import argparse
import hashlib
import json
import multiprocessing
import sys
import tarfile
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ROOT.parent / "shared/layers"
ARCHIVES = ROOT / "tests/fixtures/layer_models"
SHARED = ("keras", "torch", "onnx", "qonnx")
OWN = tuple(sorted(f"own_{path.name.split('.')[0]}" for path in ARCHIVES.glob("*.tar.xz")))
FAMILIES = SHARED + OWN
ENDINGS = {
    "keras_h5": ".h5",
    "keras_json": ".json",
    "keras3": ".keras",
    "torch_pt2": ".pt2",
    "torch_pt2e": ".pt2",
    "onnx": ".onnx",
    "qonnx": ".onnx",
}


def read_manifest(family):
    """The cases of a family, [] if it is not there."""
    folder = unpacked(family) if family in OWN else LAYERS / family
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return []
    return [
        {**case, "family": family, "folder": str(folder / case["name"])}
        for case in json.loads(manifest.read_text())
    ]


@cache
def unpacked(family):
    """The folder with the cases of an archive, which stays in build/ until the archive changes."""
    archive = ARCHIVES / f"{family.removeprefix('own_')}.tar.xz"
    data = archive.read_bytes()
    folder = ROOT / "build/layer_models" / f"{family}-{hashlib.sha256(data).hexdigest()[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
            tarfile.open(archive) as tar,
        ):
            whole = Path(scratch) / "cases"
            tar.extractall(whole, filter="data")
            try:
                whole.rename(folder)
            except OSError:  # another process was first
                assert folder.is_dir()
    return folder


def model_files(case):
    """The model's file, and the file of its weights or None."""
    folder = Path(case["folder"])
    ending = ENDINGS[case["loader"]]
    (model,) = [folder / f for f in case["files"] if f.endswith(ending)]
    if case["loader"] != "keras_json":
        return model, None
    (weights,) = [folder / f for f in case["files"] if f.endswith(".h5")]
    return model, weights


def evaluate(case):
    """Reference outputs and predicted ones, in order; whole batches or sample by sample."""
    import gatewright

    stored = np.load(Path(case["folder"]) / case["io"])
    xs = sorted((k for k in stored if k[0] == "x"), key=lambda k: int(k[1:] or 0))
    ys = sorted((k for k in stored if k[0] == "y"), key=lambda k: int(k[1:] or 0))
    model = gatewright.load(*model_files(case))

    def predict(index):
        arrays = {key: stored[key][index] for key in xs}
        return list(model.predict(arrays, exact=case["kind"] == "quantised").values())

    batch = case.get("batch", "any")
    count = len(stored[xs[0]])
    if batch == "any":
        got = predict(slice(None))
    elif batch == "one":
        rows = [predict(slice(i, i + 1)) for i in range(count)]
        got = [np.concatenate([*map(np.atleast_1d, c)]) for c in zip(*rows, strict=True)]
    else:
        rows = [predict(i) for i in range(count)]
        got = [np.stack(column) for column in zip(*rows, strict=True)]
    return [stored[key] for key in ys], got


def differences(case, references, got):
    """What differs by more than the case's tolerance: one line for each output, [] if nothing."""
    if len(references) != len(got):
        return [f"{len(got)} outputs instead of {len(references)}"]
    lines = []
    for number, (y, reference) in enumerate(zip(got, references, strict=True)):
        if y.size != reference.size:
            lines.append(f"output {number}: shape {y.shape} instead of {reference.shape}")
            continue
        y = y.reshape(reference.shape).astype(np.float64)
        r = reference.astype(np.float64)
        same = (y == r) | (np.isnan(y) & np.isnan(r))
        if case["tolerance"] != "exact":
            with np.errstate(invalid="ignore"):
                same |= np.abs(y - r) <= case["tolerance"] * (1 + np.abs(r))
        if not same.all():
            with np.errstate(invalid="ignore"):
                most = np.nanmax(np.abs(y - r))
            lines.append(f"output {number}: {int((~same).sum())} of {y.size} differ, by {most:.3g}")
    return lines


def outcome(case):
    """("match" | "refused" | "wrong" | "error", what was seen)."""
    import gatewright

    try:
        references, got = evaluate(case)
    except gatewright.Error as error:
        return ("refused" if "GW" in str(error) else "error"), str(error)
    except Exception as error:  # every other exception is a fault to be told
        return "error", f"{type(error).__name__}: {error}"
    if not references:
        return "wrong", "predicted, though the framework gives nothing"
    lines = differences(case, references, got)
    return ("wrong", "; ".join(lines)) if lines else ("match", "")


def is_as_stated(case, result):
    """Whether an outcome is what the manifest allows."""
    if result == "refused":
        return case["expect"] == "refuse" or bool(case.get("may_refuse"))
    return result == "match"


def outcomes(cases, jobs=2):
    """Yields (case, outcome, what was seen); a crash costs one case, not the run."""
    context = multiprocessing.get_context("forkserver")
    pending = list(cases)
    while pending:
        done = 0
        with context.Pool(jobs, maxtasksperchild=200) as pool:
            results = [pool.apply_async(outcome, (case,)) for case in pending]
            for case, result in zip(pending, results, strict=True):
                try:
                    seen = result.get(timeout=120)
                except multiprocessing.TimeoutError:
                    yield case, "error", "crashed, or took over two minutes"
                    done += 1
                    pool.terminate()
                    break
                yield (case, *seen)
                done += 1
        pending = pending[done:]


def main():
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("parts", nargs="*", help="parts of names; none: all cases")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="print only cases of this outcome")
    parser.add_argument("--build", default="build/release", help="where the package was built")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / arguments.build / "python"))
    import os

    os.environ["PYTHONPATH"] = str(ROOT / arguments.build / "python")
    cases = [
        case
        for case in read_manifest(arguments.family)
        if not arguments.parts or any(part in case["name"] for part in arguments.parts)
    ]
    counts = Counter()
    for case, result, seen in outcomes(cases, arguments.jobs):
        good = is_as_stated(case, result)
        counts[result if good else f"{result} (not as stated)"] += 1
        if not good and arguments.only in (None, result):
            print(f"{result:8} {case['name']} {case['arguments']}: {seen[:400]}")
    print(dict(counts))
    return int(any("not as stated" in key for key in counts))


if __name__ == "__main__":
    sys.exit(main())
