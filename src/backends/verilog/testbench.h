#pragma once

#include <string>

#include "backends/emitted_file.h"
#include "backends/verilog/verilog.h"

namespace gatewright::backends::verilog {

/// The self-checking testbench, "testbench/testbench.v" with top module `testbench`: plain
/// Verilog-2005 for Icarus (-g2012) and Verilator (--binary --timing). It drives at falling edges,
/// so there are no races, and works as well with a synthesised netlist of the top.
///
/// Plusargs:
///   +inputs=FILE    frames to send; needed
///   +count=N        number of frames in it; needed
///   +expected=FILE  frames to compare with; optional
///   +outputs=FILE   where the frames that came out are written; optional
///   +seed=S         random gaps on every input, random stalls on every output (and of
///                   clock_enable), with words of noise while nothing is valid; absent or 0: none
///   +timeout=C      cycles without any progress until it gives up; default 100000
///
/// Files: text, one frame a line, with one hexadecimal number for each word of each port (its whole
/// bus) and one space between: port by port, word by word. Input files hold the input ports in
/// Interface order, the other two the output ports; but designs with a handshake on each port write
/// to +outputs a line "port word" as each word comes, port counted from 0.
///
/// It prints, at the end, one line:
///   GATEWRIGHT <PASS|FAIL|DONE|TIMEOUT> frames=F mismatches=M latency=L interval=I cycles=C
/// (PASS, FAIL: compared; DONE: nothing to compare with; mismatches counts words), and before it
/// "MISMATCH frame=.. port=.. expected=.. got=.." for the first ten. Latency: cycles
/// from the first word of the first frame taken to its last word given; interval: cycles between
/// the last words of the last two frames (0 if there is one frame). A word that a handshake offers
/// and withdraws or changes before it is taken is a mismatch.
EmittedFile testbench(const Interface& interface);

}  // namespace gatewright::backends::verilog
