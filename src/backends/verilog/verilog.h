#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/emitted_file.h"
#include "design/design.h"
#include "design/machine.h"

/// Plain Verilog-2005 from a Design, for Verilator, Icarus and Yosys.
namespace gatewright::backends::verilog {

struct Options {
    /// Of the only process of a parallel design; absent: combinational.
    std::optional<design::Pipeline> pipeline;
    bool clock_enable = false;  ///< parallel designs only
};

/// How words go in and out of the top module.
enum class Protocol {
    valid,        ///< in_valid and out_valid for all ports together; a frame in every cycle
    ready_valid,  ///< p_valid and p_ready for each port p
};

/// The top module as testbench and flow see it. All ports are flat buses: element i of a word lies
/// at the sum of the widths of the elements before it. A bus without bits is one bit wide and 0.
struct Interface {
    struct Port {
        std::string name;                 ///< in Verilog
        std::string tensor;               ///< the model's input or output
        std::vector<bits::Type> lanes;    ///< elements of one word
        std::int64_t words = 1;           ///< a frame
        std::vector<std::int64_t> order;  ///< as in design::TopPort
    };
    std::string module;
    Protocol protocol = Protocol::valid;
    std::vector<Port> inputs;
    std::vector<Port> outputs;
    bool clock_enable = false;
    std::int64_t latency = 0;   ///< cycles from a frame's first word in to its last word out
    std::int64_t interval = 1;  ///< cycles between frames
};

/// A design is parallel, and gets Protocol::valid, if it is one process without loops, registers
/// and memories whose top ports have one word; else it gets Protocol::ready_valid.
Interface interface_of(const design::Design& design, const Options& options);

/// All modules of the design, one file each: "verilog/<module>.v", the top (named after the
/// design) first, then "verilog/gatewright_fifo.v" if queues are used and
/// "verilog/gatewright_sum.v" if sums of three operands are.
EmittedFiles emit(const design::Design& design, const Options& options);

}  // namespace gatewright::backends::verilog
