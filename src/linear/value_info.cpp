#include <bit>

#include "linear/sharing.h"
#include "linear/signed_digits.h"

namespace gatewright::linear {

namespace {

constexpr Int128 saturation = static_cast<Int128>(1) << 120;

Int128 saturate(Int128 value) {
    return value > saturation ? saturation : value < -saturation ? -saturation : value;
}

Int128 shifted(Int128 value, int shift) {
    if (value == 0) {
        return 0;
    }
    const int bits = bit_length(static_cast<UInt128>(value < 0 ? -value : value));
    if (bits + shift > 121) {
        return value < 0 ? -saturation : saturation;
    }
    return value * (static_cast<Int128>(1) << shift);
}

Interval operand(const Interval& range, int shift, bool negate) {
    const Interval wide{shifted(range.low, shift), shifted(range.high, shift)};
    return negate ? Interval{-wide.high, -wide.low} : wide;
}

}  // namespace

void append_digits(std::int32_t value, std::int64_t coefficient, std::vector<Term>& terms) {
    const SignedDigits digits = canonical_digits(coefficient);
    for (std::uint64_t rest = digits.positive | digits.negative; rest != 0; rest &= rest - 1) {
        const int shift = std::countr_zero(rest);
        terms.push_back(
            {value, static_cast<std::uint8_t>(shift), (digits.negative >> shift & 1) != 0});
    }
}

ValueInfo input_info(const Interval& range, int arrival) {
    const Interval kept{saturate(range.low), saturate(range.high)};
    return {kept, width_for(kept), arrival};
}

ValueInfo info_of(const Addition& addition, const ValueInfo& a, const ValueInfo& b) {
    const Interval left = operand(a.range, addition.shift_a, addition.negate_a);
    const Interval right = operand(b.range, addition.shift_b, addition.negate_b);
    const Interval range{saturate(left.low + right.low), saturate(left.high + right.high)};
    return {range, width_for(range), (a.depth > b.depth ? a.depth : b.depth) + 1};
}

int full_adder_bits(const Addition& addition, int width) {
    const bool a_is_low = addition.shift_a <= addition.shift_b;
    const int common = a_is_low ? addition.shift_a : addition.shift_b;
    const int distance = a_is_low ? addition.shift_b - common : addition.shift_a - common;
    const bool subtracted = a_is_low ? addition.negate_a : addition.negate_b;
    const int copied = common + (subtracted ? 0 : distance);
    return width > copied ? width - copied : 0;
}

}  // namespace gatewright::linear
