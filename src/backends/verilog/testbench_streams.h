#pragma once

#include <string>

#include "backends/verilog/verilog.h"

namespace gatewright::backends::verilog {

/// The testbench (testbench.h) of a design whose ports have a handshake each. Every port reads the
/// files on its own and passes over the words of the others, so that no port waits for another.
std::string streams_testbench(const Interface& interface);

}  // namespace gatewright::backends::verilog
