#include "fixed/exact.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace gatewright::fixed {

namespace {

constexpr Int128 lowest = static_cast<Int128>(static_cast<UInt128>(1) << 127);

}  // namespace

std::optional<Interval> sum(const Interval& a, const Interval& b) {
    Interval out;
    if (__builtin_add_overflow(a.low, b.low, &out.low) ||
        __builtin_add_overflow(a.high, b.high, &out.high)) {
        return std::nullopt;
    }
    return out;
}

std::optional<Interval> difference(const Interval& a, const Interval& b) {
    Interval out;
    if (__builtin_sub_overflow(a.low, b.high, &out.low) ||
        __builtin_sub_overflow(a.high, b.low, &out.high)) {
        return std::nullopt;
    }
    return out;
}

std::optional<Interval> product(const Interval& a, const Interval& b) {
    Int128 corner[4];
    if (__builtin_mul_overflow(a.low, b.low, &corner[0]) ||
        __builtin_mul_overflow(a.low, b.high, &corner[1]) ||
        __builtin_mul_overflow(a.high, b.low, &corner[2]) ||
        __builtin_mul_overflow(a.high, b.high, &corner[3])) {
        return std::nullopt;
    }
    const auto [low, high] = std::minmax_element(std::begin(corner), std::end(corner));
    return Interval{*low, *high};
}

std::optional<Interval> shifted(const Interval& a, int amount) {
    if (a == Interval{0, 0}) {
        return a;
    }
    if (amount > 127) {
        return std::nullopt;
    }
    const auto move = [&](Int128 value) {
        return static_cast<Int128>(static_cast<UInt128>(value) << amount);
    };
    const Interval out{move(a.low), move(a.high)};
    if (out.low >> amount != a.low || out.high >> amount != a.high) {
        return std::nullopt;
    }
    return out;
}

std::optional<Interval> absolute(const Interval& a) {
    if (a.low == lowest) {
        return std::nullopt;
    }
    if (a.low >= 0) {
        return a;
    }
    if (a.high <= 0) {
        return Interval{-a.high, -a.low};
    }
    return Interval{0, std::max(-a.low, a.high)};
}

std::vector<SignedDigit> signed_digits(Int128 value) {
    std::vector<SignedDigit> digits;
    // The magnitude may reach 2^127, and rounding a digit up carries one bit further: unsigned.
    const bool flip = value < 0;
    UInt128 rest = flip ? -static_cast<UInt128>(value) : static_cast<UInt128>(value);
    for (int shift = 0; rest != 0; ++shift, rest >>= 1) {
        if ((rest & 1) == 0) {
            continue;
        }
        const bool negative = (rest & 3) == 3;
        digits.push_back({shift, negative != flip});
        rest += negative ? 1 : static_cast<UInt128>(-1);
    }
    return digits;
}

bits::Type bits_type(const Interval& range) {
    return {range.low < 0, static_cast<std::uint8_t>(width_for(range))};
}

bits::Type bits_type(const FixedType& type) {
    if (type.width < 0 || type.width > max_width - (type.is_signed ? 0 : 1)) {
        throw std::logic_error("fixed: no such type: " + to_string(type));
    }
    return {type.is_signed, static_cast<std::uint8_t>(type.width)};
}

}  // namespace gatewright::fixed
