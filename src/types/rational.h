#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/int128.h"

/// Exact numbers of the importers and of the lowering: scales, biases and thresholds.
namespace gatewright {

using BigInt = boost::multiprecision::cpp_int;
/// Quotients come from `ratio`: what the constructor of two arguments makes of a negative
/// denominator depends on Boost's version and on the compiler.
using Rational = boost::multiprecision::cpp_rational;

/// numerator / denominator, of any signs; the denominator is not 0.
Rational ratio(const BigInt& numerator, const BigInt& denominator);

/// The exact value of a finite double.
Rational to_rational(double value);

/// 2^exponent, also for negative exponents.
Rational power_of_two(int exponent);

/// The exponent if |value| is a power of two, else nothing.
std::optional<int> exact_log2(const Rational& value);

/// The largest g > 0 such that a/g and b/g are integers; the other's absolute value if one is zero
/// (hence 0 for two zeros).
Rational gcd(const Rational& a, const Rational& b);

BigInt floor(const Rational& value);
BigInt ceil(const Rational& value);

/// Nearest double, ties to even, subnormal numbers included; infinite beyond the largest.
double to_double(const Rational& value);

/// The value as an Int128, or nothing if it does not fit.
std::optional<Int128> to_int128(const BigInt& value);
BigInt to_bigint(Int128 value);

/// "-3/7" or "12"; the inverse of parse_rational.
std::string to_string(const Rational& value);
std::optional<Rational> parse_rational(std::string_view text);

}  // namespace gatewright
