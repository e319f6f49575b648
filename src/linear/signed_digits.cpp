#include "linear/signed_digits.h"

#include <utility>

namespace gatewright::linear {

SignedDigits canonical_digits(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    const std::uint64_t magnitude = value < 0 ? 0 - bits : bits;
    // 3/2 x - x/2 = x; where the two agree their digits cancel, and what is left is canonical.
    // The magnitude is at most 2^63, so 3/2 of it still fits.
    const std::uint64_t half = magnitude >> 1;
    const std::uint64_t three_halves = magnitude + half;
    const std::uint64_t differing = half ^ three_halves;
    SignedDigits digits{three_halves & differing, half & differing};
    if (value < 0) {
        std::swap(digits.positive, digits.negative);
    }
    return digits;
}

}  // namespace gatewright::linear
