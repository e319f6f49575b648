#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "passes/timing.h"

namespace gatewright::passes {

/// Looks for register levels where few bits cross, over the whole function at once.
///
/// All values are put in an order in which operands come first, say by when they are there without
/// any registers. A level is a place in this order. Which places can follow each other as levels is
/// known from one look at the stage behind each place; then the cheapest places for all levels
/// together are found exactly, by dynamic programming. Each order is a restriction, hence there are
/// several, and levels that bend are for StageCut.
class LevelSearch {
  public:
    explicit LevelSearch(const TimingGraph& graph);

    /// Stages of all placed values for each order in which `stages` stages meet the period.
    std::vector<std::vector<std::int32_t>> find(int period, std::int32_t stages);

  private:
    using Order = std::vector<int>;  ///< [node] its time; no user's is less

    Order by_arrival() const;
    Order by_rest() const;
    std::optional<std::vector<std::int32_t>> best(const Order& order, int period,
                                                  std::int32_t stages);
    std::vector<std::int64_t> crossing_bits(const Order& order, int last) const;
    std::vector<int> places(const std::vector<std::int64_t>& bits) const;
    int reach(const Order& order, const std::vector<bits::NodeId>& sorted, int place, int period);

    const TimingGraph& graph_;
    std::vector<Arrival> arrival_;
};

}  // namespace gatewright::passes
