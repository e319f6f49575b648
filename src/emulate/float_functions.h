#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

/// The functions of the float kernels for one number, which compilers make vectors of. Always
/// inlined, so that they take the instructions of the kernel that calls them.
namespace gatewright::emulate {

#if defined(__GNUC__)
#define GATEWRIGHT_INLINE __attribute__((always_inline)) inline
#else
#define GATEWRIGHT_INLINE inline
#endif

// exp(x) = 2^n e^r with |r| <= ln 2 / 2. e^r - 1 is the sum of r^i / i! up to i = 13: what is left
// out is below 2^-55 of it.
struct Split {
    double scale;     // 2^n
    double fraction;  // e^r - 1
};

GATEWRIGHT_INLINE Split split_exponential(double x) {
    constexpr double magic = 0x1.8p52;  // adding it leaves n in the low bits
    constexpr double low = -708.0;      // below, 2^n would be no normal number
    constexpr double high = 709.0;
    x = x < low ? low : x;
    x = x > high ? high : x;
    const double shifted = std::fma(x, 0x1.71547652b82fep0, magic);
    const double n = shifted - magic;
    const double r = std::fma(n, -0x1.cf79abc9e3b3ap-40, std::fma(n, -0x1.62e42fefa0000p-1, x));
    double p = 1.0 / 6227020800.0;
    p = std::fma(p, r, 1.0 / 479001600.0);
    p = std::fma(p, r, 1.0 / 39916800.0);
    p = std::fma(p, r, 1.0 / 3628800.0);
    p = std::fma(p, r, 1.0 / 362880.0);
    p = std::fma(p, r, 1.0 / 40320.0);
    p = std::fma(p, r, 1.0 / 5040.0);
    p = std::fma(p, r, 1.0 / 720.0);
    p = std::fma(p, r, 1.0 / 120.0);
    p = std::fma(p, r, 1.0 / 24.0);
    p = std::fma(p, r, 1.0 / 6.0);
    p = std::fma(p, r, 0.5);
    p = std::fma(p * r, r, r);
    const std::int64_t bits = std::bit_cast<std::int64_t>(shifted);
    const std::int64_t exponent = bits - std::bit_cast<std::int64_t>(magic) + 1023;
    return {std::bit_cast<double>(static_cast<std::uint64_t>(exponent) << 52), p};
}

GATEWRIGHT_INLINE double exponential(double x) {
    const Split s = split_exponential(x);
    double y = std::fma(s.scale, s.fraction, s.scale);
    y = x < -708.0 ? 0.0 : y;  // the true value is below 2^-1021
    y = x > 709.0 ? std::numeric_limits<double>::infinity() : y;
    return y;
}

GATEWRIGHT_INLINE double exponential_minus_1(double x) {
    const Split s = split_exponential(x);
    const double y = std::fma(s.scale, s.fraction, s.scale - 1.0);
    return x > 709.0 ? std::numeric_limits<double>::infinity() : y;
}

GATEWRIGHT_INLINE double logistic(double x) {
    return 1.0 / (1.0 + exponential(-x));
}

GATEWRIGHT_INLINE double hyperbolic_tangent(double x) {
    const double magnitude = std::abs(x);
    const double clipped = magnitude > 30.0 ? 30.0 : magnitude;  // 1 to the last place
    const double e = exponential_minus_1(2.0 * clipped);
    return std::copysign(e / (e + 2.0), x);
}

}  // namespace gatewright::emulate
