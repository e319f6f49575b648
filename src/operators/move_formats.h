#pragma once

#include <optional>
#include <span>

#include "network/network.h"

namespace gatewright::operators {

/// The same formats, with zero within their ranges.
PerElement<network::Format> with_zero(const PerElement<network::Format>& formats);

/// The formats of a large move's result, found from axes instead of elements:
/// where those of each input follow one axis that the move keeps. Nothing where
/// that is not so.
std::optional<PerElement<network::Format>> formats_along_axis(
    const network::Node& node, std::span<const network::TensorType> inputs, const Shape& shape);

}  // namespace gatewright::operators
