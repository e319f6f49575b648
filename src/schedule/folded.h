#pragma once

#include <cstdint>

#include "design/design.h"
#include "operators/core_model.h"

namespace gatewright::schedule {

/// The folded schedule of one dense layer: `reuse` steps a frame, each of which takes K / reuse
/// inputs and multiplies them for all outputs. The weights of a step are a word of a ROM, addressed
/// by the step counter; the sums grow in registers that hold the exact range over the whole sum.
/// A frame's input comes as `reuse` words, its output leaves with the last step.
///
/// The model is an input, one contraction with one row and an output, and `reuse` divides its K
/// (Failure not_in_circuit otherwise).
design::Design folded(const operators::CoreModel& model, std::int64_t reuse);

}  // namespace gatewright::schedule
