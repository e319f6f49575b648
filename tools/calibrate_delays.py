"""Times of pieces of critical paths, for a row of targets/families.def.

usage: calibrate_delays.py REPORT.json ...
       calibrate_delays.py --family ecp5|ice40|gowin|littlebee [--work FOLDER]

Each REPORT.json is what nextpnr wrote with --report. Prints, over critical paths inside a clock
domain of all reports: how many arcs of each kind there are, their mean and their largest time, ns;
and how much longer nets are in designs of twice the size, `growth`, if more than four
have 500 tables.
With --family, makes circuits of known shape (calibration_circuits.py) first, places and routes each
with three seeds, and prints the family's times in picoseconds as well. The Python that runs this
has pyosys and the family's yowasp-nextpnr.
"""

import argparse
import collections
import json
import math
import pathlib
import re
import sys

import calibration_circuits as circuits

sys.path.append(str(pathlib.Path(__file__).parent.parent / "bench" / "parallel"))
import tools  # noqa: E402

SEEDS = (1, 2, 3)
CARRY_IN = ("CIN", "FCI", "CI")
CARRY_OUT = ("COUT", "FCO", "CO")

# Shapes by name: maker, arguments. `routing` is the mean of the nets of `trees` and `columns`.
SHAPES = {
    "tables 2": (circuits.rows_of_tables, 2),
    "tables 4": (circuits.rows_of_tables, 4),
    "tables 6": (circuits.rows_of_tables, 6),
    "sum 6": (circuits.trees, 6, 1),
    "sum 12": (circuits.trees, 12, 1),
    "sum 24": (circuits.trees, 24, 1),
    "trees 6, 4": (circuits.trees, 6, 4),
    "trees 10, 2": (circuits.trees, 10, 2),
    "trees 10, 3": (circuits.trees, 10, 3),
    "readers 4": (circuits.readers, 4),
    "readers 16": (circuits.readers, 16),
    "readers 64": (circuits.readers, 64),
    "columns 19": (circuits.columns, 19),
    "columns 38": (circuits.columns, 38),
}


def kind_of(arc):
    """The kind of an arc, or nothing for dedicated nets."""
    start, end = arc["from"].get("port", ""), arc["to"].get("port", "")
    if arc["type"] == "logic":
        if start in CARRY_IN:
            return "carry" if end in CARRY_OUT else "off the chain"
        return "on to the chain" if end in CARRY_OUT else "table"
    if arc["type"] == "routing":
        if arc["delay"] == 0:
            return ""
        if start in CARRY_OUT:
            return "net of the chain" if end in CARRY_IN else "net off the chain"
        return "net into a register" if end in ("DI", "D") and start != "Q" else "net"
    # In an iCE40 the register's cell has the last table: its setup is that of both.
    table = arc["type"] == "setup" and re.fullmatch(r"I[0-3]", end)
    return "setup with a table" if table else arc["type"]


def arcs_of(report):
    """Pairs of kind and time, over the report's critical paths inside a clock domain."""
    for path in report["critical_paths"]:
        if path["from"].startswith("posedge") and path["to"].startswith("posedge"):
            for arc in path["path"]:
                kind = kind_of(arc)
                if kind:
                    yield kind, arc["delay"]


class Times:
    """Times of arcs by kind."""

    def __init__(self, reports):
        self.all = collections.defaultdict(list)
        for report in reports:
            for kind, delay in arcs_of(report):
                self.all[kind].append(delay)

    def mean(self, kind):
        delays = self.all[kind]
        return sum(delays) / len(delays) if delays else 0.0

    def show(self):
        for kind, delays in sorted(self.all.items()):
            print(
                f"{kind:20} {len(delays):4} arcs, mean {self.mean(kind):.3f}, "
                f"largest {max(delays):.3f} ns"
            )


def place(family, work, name, maker, *arguments):
    """Reports of a circuit by seed, and its tables."""
    folder = work / (family + "_" + re.sub(r"\W+", "_", name))
    folder.mkdir(parents=True, exist_ok=True)
    text = maker(family, *arguments)
    width = {port: 1 + int(re.search(rf"\[(\d+):0\] {port}[,)]", text)[1]) for port in ("x", "y")}
    wrapper = tools.on_pins("core", [("x", width["x"])], [("y", width["y"])])
    source = folder / "circuit.v"
    source.write_text(text + wrapper)
    counts = tools.counts(tools.synthesise([source], "pins", family, folder, pads=True))
    reports = []
    for seed in SEEDS:
        kept = folder / f"report_{seed}.json"
        if not kept.exists():
            tools.place_and_route(folder, 150, seed, family)
            (folder / "report.json").rename(kept)
        reports.append(json.loads(kept.read_text()))
    cells = counts["lut"] + counts["carry"] * tools.PIECES[family]
    return reports, cells


def longest(reports):
    return sum(1000 / tools.fmax(report) for report in reports) / len(reports)


def slope(points):
    """Of the straight line through points, by least squares."""
    x = sum(a for a, _ in points) / len(points)
    y = sum(b for _, b in points) / len(points)
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def size(report):
    """Lookup tables and carry cells."""
    cells = {kind: entry["used"] for kind, entry in report["utilization"].items()}
    return sum(cells.get(kind, 0) for kind in ("TRELLIS_COMB", "ICESTORM_LC", "LUT4", "ALU"))


def read(reports):
    """Shows what given reports say."""
    Times(reports).show()
    points = [(math.log2(size(r)), Times([r]).mean("net")) for r in reports if size(r) > 500]
    if len(points) > 4:
        print(f"growth of a net, each time that a design is twice as large: {slope(points):.3f} ns")


def calibrate(family, work):
    found = {}
    for name, (maker, *arguments) in SHAPES.items():
        reports, cells = place(family, work, name, maker, *arguments)
        found[name] = (reports, cells)
        net = Times(reports).mean("net")
        print(f"{name:18} {cells:5} tables, longest {longest(reports):.2f} ns, net {net:.3f}")
        sys.stdout.flush()

    def reports(start):
        return [r for name, (all_of, _) in found.items() if name.startswith(start) for r in all_of]

    every = Times([r for reports_of, _ in found.values() for r in reports_of])
    every.show()
    nets = Times(reports("trees") + reports("columns")).all["net"]
    table = every.mean("table")
    chains = Times(reports("sum") + reports("trees") + reports("columns"))
    steps = chains.all["carry"]
    carry = (sum(steps) + sum(chains.all["net of the chain"])) / len(steps)
    off = chains.mean("off the chain") if chains.all["off the chain"] else table
    entry = chains.mean("on to the chain") + chains.mean("net off the chain") + off - table
    with_table = every.all["setup with a table"]
    setup = every.mean("setup with a table") - table if with_table else every.mean("setup")
    register = every.mean("clk-to-q") + setup + every.mean("net into a register")
    fanout = slope(
        [(math.log2(k), Times(found[f"readers {k}"][0]).mean("net")) for k in (4, 16, 64)]
    )
    row = {
        "lut": table,
        "routing": sum(nets) / len(nets) - fanout,  # two sums read most values
        "carry": carry,
        "entry": entry,
        "register": register,
        "fanout": fanout,
    }
    print(f"{family}: " + ", ".join(f"{k} {round(1000 * v)}" for k, v in row.items()) + " ps")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reports", nargs="*")
    parser.add_argument("--family", choices=sorted(circuits.TABLES))
    parser.add_argument("--work", default="build/calibrate")
    options = parser.parse_args()
    if options.family:
        calibrate(options.family, pathlib.Path(options.work))
    elif options.reports:
        read([json.loads(pathlib.Path(name).read_text()) for name in options.reports])
    else:
        parser.error("give reports, or --family")


if __name__ == "__main__":
    main()
