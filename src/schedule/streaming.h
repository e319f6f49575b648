#pragma once

#include "design/design.h"
#include "operators/core_model.h"

namespace gatewright::schedule {

/// The streaming schedule of convolutions and pooling: a frame comes pixel by pixel, row by row,
/// one word with all channels each, and leaves so. A process is a window (line memory and
/// registers) with the contractions, maps and reductions behind it, whose arithmetic is that of the
/// operators.
///
/// The model is a chain from one input [C, H, W] to one output: windows of two axes without
/// dilation, contractions, maps of one input, row operators, and moves that keep each pixel
/// together. Padding is zero, strides are powers of two. Anything else throws Failure
/// not_in_circuit.
design::Design streaming(const operators::CoreModel& model);

}  // namespace gatewright::schedule
