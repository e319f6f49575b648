#pragma once

#include <string>
#include <vector>

#include "design/machine.h"

/// One machine as one Verilog module, and the spellings that the printers share.
namespace gatewright::backends::verilog {

struct PrintedModule {
    std::string text;
    bool has_sums = false;            ///< instances of gatewright_sum
    std::vector<std::string> inputs;  ///< names of the machine's ports as printed, without clk, rst
    std::vector<std::string> outputs;
};

/// Registers with a reset must share one enable. Memories are read combinationally: a ROM becomes a
/// case statement, a RAM an array.
PrintedModule print_module(const design::Machine& machine);

/// Bits of a bus with these lanes.
int width_of(const std::vector<bits::Type>& lanes);

/// "[7:0] " or nothing for one bit.
std::string range_text(int width);

}  // namespace gatewright::backends::verilog
