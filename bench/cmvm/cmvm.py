"""Compares adder graphs with those of da4ml and alkaid: quality, and time side by side.

usage: cmvm.py FOLDER [--write docs/benchmarks.md] [--no-peers] [--efforts fast normal high] ...

FOLDER holds cmvm_*.npz (integer matrices W[n_in, n_out], inputs of 8 signed bits) and peers.csv (a
row for each tool, matrix and extra depth: what they reach). Each graph is checked here, apart from
Gatewright: it computes x @ W, and the figures are as counted from its operations. Where the peers
are installed their full search is timed in the same run, one thread each, in CPU time; matrices of
more weights than --largest-peer have the times of peers.csv, which were taken elsewhere.
"""

import argparse
import csv
import fnmatch
import importlib
import importlib.metadata
import math
import os
import pathlib
import platform
import re
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"  # read when the peers are loaded

import gatewright
import numpy

DEPTHS = {"unlimited": None, "0": 0}
MARKS = ("<!-- bench/cmvm -->", "<!-- end of bench/cmvm -->")


def read_peers(path):
    """Rows by matrix and extra depth: the one of fewest full-adder bits, and the least seconds."""
    best, seconds = {}, {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = row["matrix"], row["extra_depth"]
            if row["full_search"] == "1" or key not in seconds:
                seconds[key] = min(seconds.get(key, math.inf), float(row["seconds"]))
            if key not in best or int(row["full_adder_bits"]) < int(best[key]["full_adder_bits"]):
                best[key] = row
    return best, seconds


def width(low, high):
    return (
        int(high).bit_length()
        if low >= 0
        else max((~int(low)).bit_length(), int(high).bit_length()) + 1
    )


def figures(graph, matrix, low=-128, high=127):
    """Adders, depth and full-adder bits of a graph that is checked to compute x @ matrix."""
    n_in = matrix.shape[0]
    forms = list(numpy.eye(n_in, dtype=numpy.int64))
    depths = [0] * n_in
    bits = 0
    for a, shift_a, negate_a, b, shift_b, negate_b in graph.operations:
        assert not (negate_a and negate_b)
        form = (forms[a] << shift_a) * (-1 if negate_a else 1)
        form = form + (forms[b] << shift_b) * (-1 if negate_b else 1)
        forms.append(form)
        depths.append(max(depths[a], depths[b]) + 1)
        positive, negative = form[form > 0].sum(), form[form < 0].sum()
        exact = width(positive * low + negative * high, positive * high + negative * low)
        common = min(shift_a, shift_b)
        copied = negate_a if shift_a < shift_b else negate_b if shift_b < shift_a else True
        bits += max(exact - common - (0 if copied else abs(shift_a - shift_b)), 0)
    for column, (value, shift, negate) in enumerate(graph.outputs):
        form = numpy.zeros(n_in, numpy.int64) if value < 0 else forms[value] << shift
        assert ((-form if negate else form) == matrix[:, column]).all(), "the graph is wrong"
    assert (len(graph.operations), max(depths), bits) == (
        graph.adders,
        graph.depth,
        graph.full_adder_bits,
    ), "the figures are wrong"
    return graph.adders, graph.depth, bits


def cpu_seconds(call):
    """CPU seconds of one call, the least of some where it is short, and its result."""
    least, spent = math.inf, 0.0
    while spent < 0.03:
        start = time.process_time()
        result = call()
        least = min(least, time.process_time() - start)
        spent += max(least, 1e-3)
    return least, result


def peer_solvers():
    """The peers that are installed: version and call(matrix, extra_depth)."""
    solvers = {}
    for name, module, function in (
        ("da4ml", "da4ml.cmvm", "solve"),
        ("alkaid", "alkaid._binary", "cmvm_solve"),
    ):
        try:
            solve = getattr(importlib.import_module(module), function)
        except ImportError:
            continue

        def call(matrix, extra_depth, solve=solve):
            return solve(
                matrix.astype(numpy.float32),
                qintervals=[(-128.0, 127.0, 1.0)] * matrix.shape[0],
                latencies=[0.0] * matrix.shape[0],
                hard_dc=-1 if extra_depth is None else extra_depth,
            )

        solvers[f"{name} {importlib.metadata.version(name)}"] = call
    return solvers


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else math.nan


def quality_table(rows, efforts):
    lines = [
        "| effort | extra depth | matrices | adders: mean, worst | full-adder bits: mean, worst "
        "| time: mean of ratios, ratio of sums |",
        "|---|---|---|---|---|---|",
    ]
    for effort in efforts:
        for depth in DEPTHS:
            chosen = [r for r in rows if r["effort"] == effort and r["depth"] == depth]
            chosen = [r for r in chosen if r["peer"]]
            if not chosen:
                continue
            adders = [r["adders"] / int(r["peer"]["adders"]) for r in chosen]
            bits = [r["bits"] / int(r["peer"]["full_adder_bits"]) for r in chosen]
            times = mean(r["seconds"] / r["peer_seconds"] for r in chosen)
            sums = sum(r["seconds"] for r in chosen) / sum(r["peer_seconds"] for r in chosen)
            lines.append(
                f"| {effort} | {depth} | {len(chosen)} | {mean(adders):.3f}, {max(adders):.3f} "
                f"| {mean(bits):.3f}, {max(bits):.3f} | {times:.2f}, {sums:.2f} |"
            )
    return lines


def family_table(rows, efforts):
    """Means by family of matrices, for what of the efforts was run."""
    families = {}
    for row in rows:
        family = re.sub(r"_s\d+$", "", row["name"])
        family = re.sub(r"^(k3p95|k3p70|k3|qk3)_.*", r"\1", family)
        families.setdefault(family, []).append(row)
    columns = [(effort, depth) for effort in efforts for depth in DEPTHS]
    lines = [
        "| matrices | "
        + " | ".join(
            f"{e}, {'any depth' if d == 'unlimited' else 'extra depth ' + d}" for e, d in columns
        )
        + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for family, members in families.items():
        cells = []
        for effort, depth in columns:
            chosen = [r for r in members if r["effort"] == effort and r["depth"] == depth]
            compared = [r for r in chosen if r["peer"]]
            if not chosen:
                cells.append("")
                continue
            seconds = mean(r["seconds"] for r in chosen)
            if not compared:
                cells.append(f"{seconds:.3g} s")
                continue
            adders = mean(r["adders"] / int(r["peer"]["adders"]) for r in compared)
            bits = mean(r["bits"] / int(r["peer"]["full_adder_bits"]) for r in compared)
            peer = mean(r["peer_seconds"] for r in compared)
            cells.append(f"{adders:.3f}, {bits:.3f}; {seconds:.3g} s / {peer:.3g} s")
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    return lines


def processor():
    if pathlib.Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        if found:
            return found.group(1)
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument(
        "--write", type=pathlib.Path, help="a Markdown file: its section is replaced"
    )
    parser.add_argument("--no-peers", action="store_true", help="take all times from peers.csv")
    parser.add_argument("--efforts", nargs="+", default=["fast", "normal"])
    parser.add_argument("--only", default="*", help="names to take, a shell pattern")
    parser.add_argument("--largest", type=int, default=1 << 30, help="most weights of a matrix")
    parser.add_argument("--largest-high", type=int, default=2048, help="the same for effort high")
    parser.add_argument("--largest-peer", type=int, default=2048, help="the same for peers' times")
    options = parser.parse_args()

    best, seconds = read_peers(options.folder / "peers.csv")
    solvers = {} if options.no_peers else peer_solvers()
    rows = []
    for path in sorted(options.folder.glob("cmvm_*.npz")):
        for name, matrix in numpy.load(path).items():
            if not fnmatch.fnmatch(name, options.only) or matrix.size > options.largest:
                continue
            for depth, extra in DEPTHS.items():
                peer_seconds = seconds.get((name, depth), math.nan)
                if solvers and matrix.size <= options.largest_peer:
                    peer_seconds = min(
                        cpu_seconds(lambda s=s, m=matrix, e=extra: s(m, e))[0]
                        for s in solvers.values()
                    )
                for effort in options.efforts:
                    if effort == "high" and matrix.size > options.largest_high:
                        continue
                    spent, graph = cpu_seconds(
                        lambda m=matrix, e=extra, f=effort: gatewright.adder_graph(
                            m, -128, 127, extra_depth=e, effort=f
                        )
                    )
                    adders, levels, bits = figures(graph, matrix)
                    rows.append(
                        {
                            "name": name,
                            "depth": depth,
                            "effort": effort,
                            "adders": adders,
                            "levels": levels,
                            "bits": bits,
                            "seconds": spent,
                            "peer": best.get((name, depth)),
                            "peer_seconds": peer_seconds,
                        }
                    )
                    peer = best.get((name, depth), {"adders": "-", "full_adder_bits": "-"})
                    print(
                        f"{name:26} {depth:9} {effort:6} {adders:6} adders ({peer['adders']}) "
                        f"{bits:7} bits ({peer['full_adder_bits']}) depth {levels:2} "
                        f"{spent:8.4f} s ({peer_seconds:.4f})",
                        flush=True,
                    )
    tools = ", ".join(solvers) or "no peer (their times are those of peers.csv)"
    text = [
        f"One thread of an {processor()}; Gatewright {gatewright.__version__}, {tools}; "
        f"Python {platform.python_version()}. Written by",
        "",
        "    PYTHONPATH=build/release/python python "
        + " ".join(sys.argv).replace(str(options.folder), "FOLDER"),
        "",
        "Ratios to the better peer, the one with fewer full-adder bits for the matrix (below 1: "
        "fewer here), and to the CPU time of the faster peer's full search.",
        "",
        *quality_table(rows, options.efforts),
        "",
        "By kind of matrix: mean ratio of adders, of full-adder bits; "
        "mean seconds here / of the peer.",
        "",
        *family_table(rows, options.efforts),
    ]
    print("\n".join(text))
    if options.write:
        section = "\n".join([MARKS[0], *text, MARKS[1]])
        old = options.write.read_text() if options.write.exists() else ""
        if MARKS[0] in old:
            before, rest = old.split(MARKS[0])
            new = before + section + rest.split(MARKS[1])[1]
        else:
            new = old + ("\n" if old else "") + "## Adder graphs\n\n" + section + "\n"
        options.write.write_text(new)


if __name__ == "__main__":
    main()
