#include "types/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace gatewright {

std::optional<std::int64_t> checked_element_count(const Shape& shape) {
    const auto is_negative = [](std::int64_t extent) { return extent < 0; };
    if (std::any_of(shape.begin(), shape.end(), is_negative)) {
        return std::nullopt;
    }
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
        return 0;  // whatever the others are
    }
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) {
        if (__builtin_mul_overflow(count, extent, &count)) {
            return std::nullopt;
        }
    }
    return count;
}

std::int64_t element_count(const Shape& shape) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) {
        count *= extent;
    }
    return count;
}

std::vector<std::int64_t> strides_of(const Shape& shape) {
    std::vector<std::int64_t> strides(shape.size());
    std::int64_t stride = 1;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        strides[axis] = stride;
        stride *= shape[axis];
    }
    return strides;
}

std::optional<Shape> broadcast(const Shape& a, const Shape& b) {
    Shape out(std::max(a.size(), b.size()));
    for (std::size_t i = 0; i < out.size(); ++i) {  // i counts from the innermost axis
        const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
        const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
        if (x != y && x != 1 && y != 1) {
            return std::nullopt;
        }
        out[out.size() - 1 - i] = x == 1 ? y : x;
    }
    return out;
}

std::vector<std::int64_t> broadcast_index(const Shape& from, const Shape& to) {
    const std::vector<std::int64_t> from_strides = strides_of(from);
    std::vector<std::int64_t> step(to.size(), 0);
    for (std::size_t i = 0; i < from.size(); ++i) {
        const std::size_t axis = to.size() - from.size() + i;
        step[axis] = from[i] == 1 ? 0 : from_strides[i];
    }
    std::vector<std::int64_t> index(static_cast<std::size_t>(element_count(to)));
    std::vector<std::int64_t> position(to.size(), 0);
    std::int64_t source = 0;
    for (std::int64_t& entry : index) {
        entry = source;
        for (std::size_t axis = to.size(); axis-- > 0;) {
            source += step[axis];
            if (++position[axis] < to[axis]) {
                break;
            }
            source -= step[axis] * to[axis];
            position[axis] = 0;
        }
    }
    return index;
}

std::string to_string(const Shape& shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace gatewright
