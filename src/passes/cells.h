#pragma once

#include <cstdint>
#include <span>

#include "bits/function.h"
#include "passes/delay_model.h"

namespace gatewright::passes {

/// What a function should take of a device with lookup tables and carry chains.
struct CellEstimate {
    std::int64_t carry_bits = 0;  ///< tables of sums, differences and comparisons
    std::int64_t tables = 0;      ///< all else

    std::int64_t luts() const { return carry_bits + tables; }
};

/// Counts cells without synthesis, by rules that fit on a page. Multipliers count as trees of sums.
/// `stage` tells the pipeline stage of each node; `merged` is that of design::Pipeline.
CellEstimate estimate_cells(const bits::Function& function, const DelayModel& model,
                            std::span<const std::int32_t> stage, std::span<const char> merged = {});

}  // namespace gatewright::passes
