#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "bits/function.h"
#include "passes/delay_model.h"
#include "passes/timing.h"

namespace gatewright::passes {

/// Values that few register bits of their stage decide, by sums of few bits: lookup tables give
/// them from those bits, and what lies between vanishes.
class SmallValues {
  public:
    /// `stage` tells the pipeline stage of each node; none: all are in one.
    SmallValues(const bits::Function& function, const TimingGraph& graph, const DelayModel& model,
                std::span<const std::int32_t> stage = {});

    /// Whether one lookup table for each bit gives the value.
    bool is_small(bits::NodeId id) const { return sources_[id].count != 0; }
    /// Whether all that reads the value is small, and in its stage.
    bool vanishes(bits::NodeId id) const { return vanishes_[id] != 0; }

  private:
    static constexpr int most_sources = 6;  ///< a bit each, of the widest lookup table
    struct Sources {
        std::array<bits::NodeId, most_sources> node{};
        std::uint8_t count = 0;
    };

    Sources find(const TimingGraph& graph, int lut_inputs, bits::NodeId id) const;
    bool together(bits::NodeId a, bits::NodeId b) const {
        return stage_.empty() || stage_[a] == stage_[b];
    }

    std::span<const std::int32_t> stage_;
    std::vector<Sources> sources_;
    std::vector<char> vanishes_;
};

}  // namespace gatewright::passes
