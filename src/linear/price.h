#pragma once

#include <cstdint>
#include <vector>

#include "linear/adder_graph.h"

namespace gatewright::linear {

/// What the search makes small. A logic cell is paid for each bit. An adder has an end and a name
/// besides, and fewer of them are fewer registers: with this price a per cent of the one counts
/// about as much as a per cent of the other.
struct Price {
    std::int64_t per_bit = 1;
    std::int64_t per_adder = 16;

    /// A carry chain adds up three operands for the price of two: an addition that only another one
    /// reads is made within that one, if neither has a third operand yet.
    bool three_operands = false;
};

/// What a graph costs, whose inputs lie in `ranges`; third operands are chosen as well as can be.
std::int64_t cost_of(const AdderGraph& graph, const std::vector<Interval>& ranges,
                     const Price& price);

}  // namespace gatewright::linear
