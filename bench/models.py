"""The whole way of quantised models: a table of mismatches, times and cells.

    bench/models.py MODEL... [-o DIR] [--samples N] [--verify-samples N] [--place-and-route]

MODEL is a folder that holds a model file beside its io.npz (inputs `x`, `x0`, ..., reference
outputs `y`, `y0`, ...). Each is compared with its reference, converted, simulated on N samples of
its inputs (Verilator), synthesised for ECP5 and verified, which simulates Verilog and netlist on
random inputs and corners (a netlist of many cells takes seconds a sample). Times are CPU seconds of
the command and of the tools that it runs. The command `gatewright` is taken from PATH.
"""

import argparse
import json
import resource
import subprocess
import tempfile
from pathlib import Path

import numpy as np


def run(*arguments: object) -> tuple[str, float]:
    """What `gatewright` prints, and the CPU seconds of it and its tools."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["gatewright", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    if done.returncode != 0:
        raise SystemExit(f"gatewright {arguments[0]} {arguments[1]}: {done.stderr}{done.stdout}")
    return done.stdout, seconds


def arrays_of(file: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and reference outputs of an io.npz."""
    stored = np.load(file)

    def pick(letter: str) -> dict[str, np.ndarray]:
        names = [n for n in stored if n == letter or n[0] == letter and n[1:].isdecimal()]
        return {name: stored[name] for name in names}

    return pick("x"), pick("y")


def row(folder: Path, work: Path, arguments: argparse.Namespace) -> list[str]:
    """The table's row of one model."""
    samples = arguments.samples
    place = arguments.place_and_route
    (model,) = folder.glob("*.onnx")
    inputs, references = arrays_of(folder / "io.npz")
    np.savez(work / "x.npz", **inputs)
    np.savez(work / "y.npz", **references)
    compared = json.loads(
        run("compare", model, "-i", work / "x.npz", "--reference", work / "y.npz", "--json")[0]
    )
    differing = sum(output["differing"] for output in compared)
    values = sum(output["values"] for output in compared)
    largest = max(output["largest_difference"] for output in compared)

    design = work / folder.name
    convert_time = run(
        *("convert", model, "-o", design, "--force", "--target", "ecp5"),
        *("--clock-period", arguments.clock_period),
    )[1]
    tiled = {n: np.resize(x, (samples, *x.shape[1:])) for n, x in inputs.items()}
    np.savez(work / "samples.npz", **tiled)
    run("predict", design, "-i", work / "samples.npz", "-o", work / "expected.npz")
    simulate_time = run(
        "simulate", design, "-i", work / "samples.npz", "-o", work / "simulated.npz"
    )[1]
    expected = np.load(work / "expected.npz")
    simulated = np.load(work / "simulated.npz")
    mismatches = sum(int((simulated[n] != expected[n]).sum()) for n in expected)
    synthesis_time = run(
        "synthesize", design, "--no-layers", *(["--place-and-route"] if place else [])
    )[1]
    verify_time = run("verify", design, "--samples", arguments.verify_samples)[1]
    certificate = json.loads((design / "certificate.json").read_text())
    levels = {row["level"]: row for row in certificate["comparisons"]}
    report = json.loads(run("report", design, "--json")[0])
    cells = report["synthesis"]["total"]
    fmax = report["place_and_route"]["fmax_mhz"] if place else None
    total = report["total"]
    return [
        folder.name,
        f"{differing} of {values}",
        f"{largest:.1e}" if differing else "0",
        f"{mismatches} in {samples}",
        "{mismatches} in {samples}".format(**levels["netlist"]),
        certificate["verdict"],
        f"{total['adders']}",
        f"{total['multipliers']}",
        f"{report['timing']['latency_cycles']}",
        f"{cells['lut']}",
        f"{cells['ff']}",
        f"{fmax:.0f}" if fmax else "-",
        f"{convert_time:.1f}",
        f"{simulate_time:.0f}",
        f"{synthesis_time:.0f}",
        f"{verify_time:.0f}",
    ]


HEADINGS = [
    "model",
    "differ from reference",
    "at most",
    "Verilog differs",
    "netlist differs",
    "verify",
    "adders",
    "multipliers",
    "latency",
    "LUT",
    "FF",
    "Fmax MHz",
    "convert s",
    "simulate s",
    "synthesize s",
    "verify s",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("-o", "--output", type=Path, help="keeps the designs here")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--verify-samples", type=int, default=100)
    parser.add_argument("--clock-period", type=float, default=10.0, help="ns")
    parser.add_argument("--place-and-route", action="store_true")
    arguments = parser.parse_args()
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + "---|" * len(HEADINGS), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.output or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for folder in arguments.models:
            cells = row(folder, work, arguments)
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
