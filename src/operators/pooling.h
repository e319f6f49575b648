#pragma once

#include <cstdint>
#include <vector>

#include "operators/layers.h"
#include "operators/move.h"

/// What a pooling layer looks at: shared by its lowering and by whoever computes it.
namespace gatewright::operators {

/// The patches of x[C, spatial...].
WindowFields pool_window(const PoolFields& fields);

/// For each position of the output y[C, spatial'...], how many elements of a patch its mean divides
/// by.
std::vector<std::int64_t> pool_counts(const PoolFields& fields, const Shape& x, const Shape& y);

}  // namespace gatewright::operators
