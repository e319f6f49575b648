#pragma once

#include <optional>
#include <span>
#include <vector>

#include "linear/adder_graph.h"

namespace gatewright::schedule {

/// A constant per output of a contraction, which is added to it next; nothing where not known.
using Constants = std::vector<std::optional<Int128>>;

/// Where constants enter an adder graph that are added to its outputs otherwise, such as biases and
/// halves of rounding: at an operand that waits for the other one, so that the output is there one
/// addition earlier, or at a narrower one. Only additions that nothing but the output needs are
/// changed; each constant still costs one addition.
struct EarlyConstants {
    std::vector<Int128> to_a;    ///< [addition] added to the first operand, shift and sign included
    std::vector<Int128> to_b;    ///< [addition]
    std::vector<Int128> value;   ///< [value] by how much it is larger now
    std::vector<Int128> output;  ///< [output] of its constant, how much it has already
};

/// `ranges` are those of all values of the graph. The first `shared` additions, which other rows
/// make too, are not changed.
EarlyConstants early_constants(const linear::AdderGraph& graph, std::span<const Interval> ranges,
                               const Constants& constants, std::size_t shared = 0);

}  // namespace gatewright::schedule
