#pragma once

#include <cstdint>
#include <vector>

#include "linear/adder_graph.h"
#include "linear/price.h"

namespace gatewright::linear {

/// Improves a graph by taking parts of it away and making them anew, as long as `work` lasts (about
/// 30 ns a unit). Inputs arrive at the levels `arrival`; outputs stay at or below `depth_limit`
/// (negative: no limit, and the transposed graph is searched by turns). Deterministic.
AdderGraph improve(const AdderGraph& graph, const std::vector<Interval>& ranges,
                   const std::vector<int>& arrival, int depth_limit, const Price& price,
                   std::int64_t work, std::uint64_t seed);

}  // namespace gatewright::linear
