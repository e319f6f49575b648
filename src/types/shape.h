#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gatewright {

/// Extents of a tensor without its batch axis, outermost first; elements are numbered row-major.
using Shape = std::vector<std::int64_t>;

/// Product of the extents, or nothing if it overflows 63 bits or an extent is negative.
std::optional<std::int64_t> checked_element_count(const Shape& shape);

/// Product of the extents of a shape that is known to be sound.
std::int64_t element_count(const Shape& shape);

/// Row-major strides, in elements.
std::vector<std::int64_t> strides_of(const Shape& shape);

/// NumPy's broadcasting of two shapes; nothing if they do not fit.
std::optional<Shape> broadcast(const Shape& a, const Shape& b);

/// For each element of `to`, the element of `from` that broadcasts to it. `from` must fit `to`.
std::vector<std::int64_t> broadcast_index(const Shape& from, const Shape& to);

/// "[3, 4]"
std::string to_string(const Shape& shape);

}  // namespace gatewright
