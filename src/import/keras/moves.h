#pragma once

#include <cstdint>
#include <vector>

#include "import/layers/builder.h"

namespace gatewright::keras {

/// The elements at given positions along an axis of a sample, in that order.
layers::Operand taken(layers::Builder& builder, const layers::Operand& x, std::int64_t axis,
                      const std::vector<std::int64_t>& positions);

/// x with extents of 1 in front, so that a sample has `rank` axes.
layers::Operand with_rank(layers::Builder& builder, const layers::Operand& x, std::size_t rank);

}  // namespace gatewright::keras
