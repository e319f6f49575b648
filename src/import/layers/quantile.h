#pragma once

#include <optional>
#include <string_view>

#include "import/layers/builder.h"

namespace gatewright::layers {

/// What lies at the part `q` (0 to 1) of the way through elements that rise along a sample axis,
/// which keeps one position. Between two elements `method` decides: lower, higher, nearest (a tie
/// goes to the even position), midpoint or linear, as numpy and PyTorch name them. Nothing if there
/// is no such method. The axis has elements.
std::optional<Operand> quantile(Builder& builder, const Operand& rising, std::int64_t sample_axis,
                                double q, std::string_view method);

}  // namespace gatewright::layers
