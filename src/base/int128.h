#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace gatewright {

/// The widest integer of the project: ranges, constants and the values of bits-level operations.
__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 UInt128;

inline constexpr int max_width = 128;  ///< no bits value is wider

/// Position of the highest set bit plus one; 0 for 0.
constexpr int bit_length(UInt128 value) {
    const auto high = static_cast<std::uint64_t>(value >> 64);
    const auto low = static_cast<std::uint64_t>(value);
    return high != 0 ? 128 - std::countl_zero(high) : 64 - std::countl_zero(low);
}

/// Number of trailing zero bits; 128 for 0.
constexpr int trailing_zeros(UInt128 value) {
    const auto low = static_cast<std::uint64_t>(value);
    return low != 0 ? std::countr_zero(low)
                    : 64 + std::countr_zero(static_cast<std::uint64_t>(value >> 64));
}

std::string to_string(Int128 value);

/// Parses an optional '-' and decimal digits. Returns false on anything else or on overflow.
bool parse_int128(std::string_view text, Int128& value);

}  // namespace gatewright
