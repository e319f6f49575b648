#pragma once

#include <cstdint>
#include <vector>

#include "design/design.h"

/// Rates of a design follow from its control alone: when words move depends on loop counters, never
/// on data. So latency and initiation interval are found by counting, without simulating values.
namespace gatewright::design {

/// Whether each port is used in each iteration of a frame: [port][iteration], the input ports
/// before the output ports.
std::vector<std::vector<bool>> port_uses(const Process& process);

/// Cycles from the iteration that takes a frame's first word to the one that gives its last, if
/// nothing stalls.
std::int64_t latency_of(const Process& process);

struct Rates {
    std::int64_t latency = 0;   ///< cycles from the first frame's first word in to its last out
    std::int64_t interval = 0;  ///< cycles between the last words of the last two frames
    std::vector<std::int64_t> most_words;  ///< the fullest that each channel's queue becomes
};

/// Steps the handshakes of the whole design for `frames` frames, with inputs always valid and
/// outputs always ready. Equal, cycle by cycle, to the Verilog. Throws std::logic_error if the
/// design waits for ever.
Rates rates_of(const Design& design, std::int64_t frames = 4);

}  // namespace gatewright::design
