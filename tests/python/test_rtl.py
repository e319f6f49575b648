"""The hand-written RTL under rtl/ does what its assertions say, proven by induction over time."""

import subprocess
import sys
from pathlib import Path

import pytest

RTL = Path(__file__).parents[2] / "rtl"

SCRIPT = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


def prove(file: Path, width: int, depth: int) -> bool:
    """Whether all assertions hold in all cycles after a reset, for all inputs."""
    address = max(1, (depth - 1).bit_length())
    commands = [
        f"read_verilog -formal -sv {file}",
        f"chparam -set WIDTH {width} -set DEPTH {depth} -set ADDRESS {address}"
        f" -set COUNT {depth.bit_length()} gatewright_fifo",
        "hierarchy -check -top gatewright_fifo",
        "proc",
        "chformal -lower",
        "memory",
        "opt",
        "rename -top fifo",
        "sat -verify -tempinduct -prove-asserts -maxsteps 6 fifo",
    ]
    run = subprocess.run([sys.executable, "-c", SCRIPT, *commands], capture_output=True, text=True)
    proven = run.returncode == 0 and "SUCCESS" in run.stdout
    assert proven or "failed" in run.stdout or "FAIL" in run.stdout, run.stdout + run.stderr
    return proven


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_queue_is_proven(depth):
    pytest.importorskip("pyosys", reason="pyosys is not installed")
    assert prove(RTL / "gatewright_fifo.v", 2, depth)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("tail == LAST ?", "tail == ONE[ADDRESS-1:0] ?"),
        ("count != FULL", "1'b1"),
        ("words[head]", "words[tail]"),
        ("if (push & ~pop)", "if (push)"),
    ],
)
def test_a_broken_queue_is_not(tmp_path, right, wrong):
    pytest.importorskip("pyosys", reason="pyosys is not installed")
    text = (RTL / "gatewright_fifo.v").read_text()
    assert text.count(right) == 1
    broken = tmp_path / "gatewright_fifo.v"
    broken.write_text(text.replace(right, wrong))
    assert not prove(broken, 2, 3)


def prove_sum(rtl: Path, folder: Path, width: int, tables: int, three: int, invert: int, ones: int):
    """Whether the primitives of a sum, by Yosys' models of them, give the plain sum."""
    # Of three operands, the last table takes a carry of the bit below alone.
    own = width if tables == width else tables - three

    def low(name: str, inverted: int) -> str:
        above = f"{{{width - own}{{1'b{inverted}}}}}"
        return name if own == width else f"{{{above}, {name}[{own - 1}:0]}}"

    top = folder / "top.v"
    top.write_text(
        f"module top (input [{width - 1}:0] a, b, c, output [{width - 1}:0] sum);\n"
        f"    gatewright_sum #(.WIDTH({width}), .TABLES({tables}), .THREE({three}),"
        f" .INVERT(3'd{invert}), .ONES(2'd{ones})) u"
        f" (.a(a), .b({low('b', invert >> 1 & 1)}), .c({low('c', invert >> 2)}),"
        " .sum(sum));\nendmodule\n"
    )
    commands = [
        f"read_verilog {rtl} {top}",
        "read_verilog -overwrite +/xilinx/cells_sim.v",
        "hierarchy -check -top top",
        "proc",
        "flatten",
        "opt_clean",
        "rename top cells",
        "design -stash cells",
        f"read_verilog -DGATEWRIGHT_PORTABLE {rtl} {top}",
        "hierarchy -check -top top",
        "proc",
        "flatten",
        "rename top plain",
        "design -copy-from cells cells",
        "miter -equiv -flatten cells plain miter",
        "sat -verify -prove trigger 0 miter",
    ]
    run = subprocess.run([sys.executable, "-c", SCRIPT, *commands], capture_output=True, text=True)
    proven = run.returncode == 0 and "SUCCESS" in run.stdout
    assert proven or "FAIL" in run.stdout, run.stdout + run.stderr
    return proven


@pytest.mark.parametrize(
    ("width", "tables", "three", "invert", "ones"),
    [
        (1, 1, 1, 0, 2),
        (4, 4, 1, 1, 0),
        (5, 5, 1, 2, 1),
        (8, 8, 1, 4, 2),
        (9, 7, 1, 6, 2),
        (13, 13, 1, 7, 2),
        (7, 2, 1, 2, 1),
        (6, 6, 0, 3, 1),
        (9, 5, 0, 2, 1),
        (10, 10, 0, 1, 0),
    ],
)
def test_sums_are_proven(tmp_path, width, tables, three, invert, ones):
    pytest.importorskip("pyosys", reason="pyosys is not installed")
    assert prove_sum(RTL / "gatewright_sum.v", tmp_path, width, tables, three, invert, ones)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("8'he8", "8'hea"), ("assign full[0] = ONES[1]", "assign full[0] = ONES[0]")],
)
def test_a_broken_sum_is_not(tmp_path, right, wrong):
    pytest.importorskip("pyosys", reason="pyosys is not installed")
    text = (RTL / "gatewright_sum.v").read_text()
    assert text.count(right) == 1
    broken = tmp_path / "gatewright_sum.v"
    broken.write_text(text.replace(right, wrong))
    assert not prove_sum(broken, tmp_path, 6, 6, 1, 2, 1)
