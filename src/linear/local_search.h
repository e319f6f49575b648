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
};

/// Improves a graph by taking parts of it away and making them anew, as long as `work` lasts (about
/// 30 ns a unit). Inputs arrive at the levels `arrival`; outputs stay at or below `depth_limit`
/// (negative: no limit, and the transposed graph is searched by turns). Deterministic.
AdderGraph improve(const AdderGraph& graph, const std::vector<Interval>& ranges,
                   const std::vector<int>& arrival, int depth_limit, std::int64_t work,
                   std::uint64_t seed);

}  // namespace gatewright::linear
