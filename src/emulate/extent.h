#pragma once

#include <optional>

#include "types/array_source.h"

namespace gatewright::emulate {

/// What the numbers of an array span, as a fixed-point type must hold them.
struct Extent {
    double low = 0;  ///< the smallest number, or 0
    double high = 0;
    std::optional<int> frac;      ///< finest bit is 2^-frac; none if all numbers are 0
    std::optional<double> wrong;  ///< the first number that is not finite
};

/// Nothing if a number of the array is beyond what a double holds exactly.
std::optional<Extent> extent_of(const ArraySource& array);

}  // namespace gatewright::emulate
