#pragma once

#include <cstddef>
#include <optional>

#include "types/shape.h"

namespace gatewright::layers {

/// The order of axes when those in `from` go to the places in `to` and the others keep their order
/// (moveaxis). All are from 0 to rank - 1. Nothing if one is named twice.
std::optional<Shape> moved_axes(std::size_t rank, const Shape& from, const Shape& to);

}  // namespace gatewright::layers
