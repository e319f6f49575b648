#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bits/function.h"
#include "design/design.h"

namespace gatewright::design {

/// What stands between a Process and Verilog: one clock cycle as a bits function with state.
/// RTL backends print a machine; it is derived, never written by hand.
///
/// `step` has as inputs the machine's input ports, then the present values of its registers, then
/// the lanes its memories read; as outputs its output ports, the next values of its registers,
/// the enables of its registers, and the memories' addresses, write enables and data.
struct Machine {
    struct Port {
        std::string name;
        /// Lanes packed into one bus, lane 0 at the lowest bits; a control signal is one bit.
        std::vector<bits::Type> lanes;
    };
    struct Register {
        std::string name;
        bits::Type type;
        bool has_reset = false;
        Int128 initial = 0;
        int enable = -1;  ///< index into `enables`, -1: always
    };
    struct Memory {
        std::string name;
        std::vector<bits::Type> lanes;
        std::int64_t words = 0;
        std::vector<std::vector<Int128>> contents;  ///< ROM, or empty
        bool registered_read = false;               ///< data a cycle after the address
    };

    std::string name;
    std::vector<Port> inputs;
    std::vector<Port> outputs;
    std::vector<Register> registers;
    std::vector<std::string> enables;
    std::vector<Memory> memories;
    bits::Function step;
    std::int64_t latency = 0;   ///< cycles from a frame's first word in to its last word out
    std::int64_t interval = 1;  ///< initiation interval: cycles between frames
};

}  // namespace gatewright::design
