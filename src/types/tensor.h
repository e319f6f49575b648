#pragma once

#include <cstdint>
#include <vector>

#include "types/shape.h"

namespace gatewright {

/// Constant data of a model: real numbers, row-major. float16/32, bfloat16 and integers up to 53
/// bits are exact in a double.
struct Tensor {
    Shape shape;
    std::vector<double> values;

    bool operator==(const Tensor&) const = default;

    static Tensor scalar(double value) { return {{}, {value}}; }
    /// All elements equal.
    static Tensor filled(Shape shape_, double value) {
        const auto count = static_cast<std::size_t>(element_count(shape_));
        return {std::move(shape_), std::vector<double>(count, value)};
    }
};

/// Constant integers, row-major: weights of the core operators.
struct IntTensor {
    Shape shape;
    std::vector<std::int64_t> values;

    bool operator==(const IntTensor&) const = default;
};

}  // namespace gatewright
