#pragma once

#include <cstdint>
#include <utility>

#include "import/torch/importer.h"

/// Parts of a tensor along one axis of the program's shape.
namespace gatewright::torch {

/// Position `index` (may be negative); the axis goes.
Operand selected(Call& call, const Operand& x, std::int64_t dim, std::int64_t index);

/// Elements of x at `index` (any shape) along one axis of a sample; x or the index may be computed.
Operand gathered(Call& call, const Operand& x, std::int64_t axis, const Operand& index, bool wrap);

/// Whether a slice along the batch axis ("start" and "end") is all of it.
bool whole_batch(Call& call);

/// begin and end as Python slices have them, within an extent.
std::pair<std::int64_t, std::int64_t> bounds(std::int64_t begin, std::int64_t end,
                                             std::int64_t extent);

}  // namespace gatewright::torch
