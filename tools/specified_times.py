"""Times of AMD 7 series that Yosys knows, for the row xc7 of targets/families.def.

usage: specified_times.py [cells_sim.v]

Reads the `specify` blocks of Yosys' cell models (techlibs/xilinx/cells_sim.v, measured by Project
X-Ray on Artix 7, slowest corner) and prints lut, carry, entry and register in picoseconds. Without
a file the one of the installed pyosys is read. No model says what a net takes: `routing` stays an
assumption.
"""

import pathlib
import re
import sys


def installed():
    import pyosys

    return pathlib.Path(pyosys.__file__).parent / "share" / "xilinx" / "cells_sim.v"


class Cell:
    """Times of one module's specify block."""

    def __init__(self, text, name):
        module = re.search(rf"^module {re.escape(name)} *\(.*?^endmodule", text, re.M | re.S)
        block = re.search(r"\bspecify\b(.*?)\bendspecify\b", module[0], re.S)[1]
        self.block = re.sub(r"/\*.*?\*/|//[^\n]*", "", block, flags=re.S)

    def path(self, start, end):
        """From an input to an output."""
        pattern = rf"\({re.escape(start)} *=> *{re.escape(end)}\) *= *(\d+);"
        return int(re.search(pattern, self.block)[1])

    def clock_to_output(self):
        return max(int(t) for t in re.findall(r"posedge C *=> *\(Q[^=]*\) *= *(\d+);", self.block))

    def setup(self):
        return max(int(t) for t in re.findall(r"\$setup\(D *,[^;]*?, *(\d+)\);", self.block))


def main():
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        sys.exit(__doc__.strip())
    text = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else installed()).read_text()
    # The latest input gets the fastest pin; that others are slower is wire inside the slice.
    lut = min(Cell(text, "LUT6").path(f"I{k}", "O") for k in range(6))
    chain = Cell(text, "CARRY4")
    four_bits = chain.path("CI", "CO[3]")
    # On at the lowest bit of a cell, off at the highest of another; the carries between are apart.
    entry = chain.path("S[0]", "CO[3]") + chain.path("CI", "O[3]") - 2 * four_bits
    register = Cell(text, "FDRE")
    times = {
        "lut": lut,
        "carry": round(four_bits / 4),
        "entry": entry,
        "register": register.clock_to_output() + register.setup(),
    }
    print("xc7: " + ", ".join(f"{name} {time}" for name, time in times.items()) + " ps")


if __name__ == "__main__":
    main()
