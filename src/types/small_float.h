#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

/// Binary floating-point formats of at most 16 bits, as files store them. Each of their values is
/// exact in a double, so decoding never rounds.
namespace gatewright {

/// What the largest exponents and the pattern of minus zero mean.
enum class SmallFloatSpecials {
    ieee,    ///< the largest exponent is infinity (fraction 0) and NaN (else)
    fn,      ///< no infinity; only the pattern of all ones (below the sign) is NaN
    fnuz,    ///< no infinity, no minus zero: the pattern of minus zero is the one NaN
    finite,  ///< every pattern is a number
};

struct SmallFloatFormat {
    int exponent_bits;
    int fraction_bits;
    int bias;
    SmallFloatSpecials specials;
};

inline constexpr SmallFloatFormat float16_format{5, 10, 15, SmallFloatSpecials::ieee};
inline constexpr SmallFloatFormat bfloat16_format{8, 7, 127, SmallFloatSpecials::ieee};
inline constexpr SmallFloatFormat float8_e4m3fn_format{4, 3, 7, SmallFloatSpecials::fn};
inline constexpr SmallFloatFormat float8_e4m3fnuz_format{4, 3, 8, SmallFloatSpecials::fnuz};
inline constexpr SmallFloatFormat float8_e5m2_format{5, 2, 15, SmallFloatSpecials::ieee};
inline constexpr SmallFloatFormat float8_e5m2fnuz_format{5, 2, 16, SmallFloatSpecials::fnuz};
inline constexpr SmallFloatFormat float6_e2m3_format{2, 3, 1, SmallFloatSpecials::finite};
inline constexpr SmallFloatFormat float6_e3m2_format{3, 2, 3, SmallFloatSpecials::finite};
inline constexpr SmallFloatFormat float4_e2m1_format{2, 1, 1, SmallFloatSpecials::finite};

/// The value of a bit pattern (sign, exponent, fraction from the highest bit down); bits above the
/// format's width are ignored.
inline double decode_small_float(const SmallFloatFormat& format, std::uint32_t bits) {
    const std::uint32_t fraction_mask = (1U << format.fraction_bits) - 1;
    const std::uint32_t exponent_mask = (1U << format.exponent_bits) - 1;
    const std::uint32_t fraction = bits & fraction_mask;
    const std::uint32_t exponent = (bits >> format.fraction_bits) & exponent_mask;
    const bool negative = ((bits >> (format.fraction_bits + format.exponent_bits)) & 1U) != 0;
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    switch (format.specials) {
        case SmallFloatSpecials::ieee:
            if (exponent == exponent_mask) {
                constexpr double infinity = std::numeric_limits<double>::infinity();
                return fraction != 0 ? nan : negative ? -infinity : infinity;
            }
            break;
        case SmallFloatSpecials::fn:
            if (exponent == exponent_mask && fraction == fraction_mask) {
                return nan;
            }
            break;
        case SmallFloatSpecials::fnuz:
            if (negative && exponent == 0 && fraction == 0) {
                return nan;
            }
            break;
        case SmallFloatSpecials::finite:
            break;
    }
    // A zero exponent marks a subnormal: no hidden one, the exponent of 1.
    const std::uint32_t significand =
        exponent == 0 ? fraction : fraction | (1U << format.fraction_bits);
    const int scale =
        static_cast<int>(exponent == 0 ? 1 : exponent) - format.bias - format.fraction_bits;
    const double magnitude = std::ldexp(static_cast<double>(significand), scale);
    return negative ? -magnitude : magnitude;
}

}  // namespace gatewright
