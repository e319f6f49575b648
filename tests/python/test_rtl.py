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
