#pragma once

#include <cstdint>

namespace gatewright::linear {

/// A constant as a sum of signed powers of two: sum of 2^k over the bits of `positive` minus the
/// same over `negative`. The two never share a bit.
struct SignedDigits {
    std::uint64_t positive = 0;
    std::uint64_t negative = 0;
};

/// The canonical form: no two neighbouring digits are non-zero, which is the fewest digits that any
/// form has. Exact for all 64-bit integers.
SignedDigits canonical_digits(std::int64_t value);

}  // namespace gatewright::linear
