#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/int128.h"

namespace gatewright {

/// A closed interval of integers: the exact range of a value's integer.
struct Interval {
    Int128 low = 0;
    Int128 high = 0;

    bool operator==(const Interval&) const = default;
    bool contains(Int128 value) const { return low <= value && value <= high; }
    bool contains(const Interval& other) const { return low <= other.low && other.high <= high; }
};

/// The smallest interval that holds both.
Interval hull(const Interval& a, const Interval& b);

/// A fixed-point type: value = integer * 2^-frac, the integer two's complement if signed. It says
/// where the bits lie and nothing of rounding. `frac` may be negative or exceed `width`. Width 0
/// holds only zero. Signed types have at most 128 bits, unsigned ones 127.
struct FixedType {
    bool is_signed = false;
    int width = 0;  ///< bits, sign included
    int frac = 0;   ///< bits behind the binary point

    bool operator==(const FixedType&) const = default;

    /// All integers the type can hold.
    Interval range() const;
};

/// The narrowest type at `frac` that holds all integers of `range`; unsigned where low >= 0.
FixedType type_for(const Interval& range, int frac);

/// Bits of the narrowest two's complement (low < 0) or unsigned integer that holds `range`. May be
/// up to 128 for ranges within Int128.
int width_for(const Interval& range);

/// "fixed<8,3>" (signed: width, frac) or "ufixed<8,3>".
std::string to_string(const FixedType& type);
std::optional<FixedType> parse_fixed_type(std::string_view text);

/// How `quantize` rounds to the coarser grid.
enum class Rounding {
    floor,        ///< toward minus infinity (truncation of two's complement)
    ceil,         ///< toward plus infinity
    toward_zero,  ///< toward zero
    away,         ///< away from zero
    half_up,      ///< to nearest, ties toward plus infinity
    half_down,    ///< to nearest, ties toward minus infinity
    half_even,    ///< to nearest, ties to even
    half_away,    ///< to nearest, ties away from zero
    half_zero,    ///< to nearest, ties toward zero
};

/// What `quantize` does with values outside its type.
enum class Overflow {
    wrap,                ///< keep the low bits
    saturate,            ///< clamp to the type's range
    saturate_symmetric,  ///< clamp to +-(2^(width-1) - 1) for signed types
};

std::string to_string(Rounding rounding);
std::string to_string(Overflow overflow);
std::optional<Rounding> parse_rounding(std::string_view text);
std::optional<Overflow> parse_overflow(std::string_view text);

}  // namespace gatewright
