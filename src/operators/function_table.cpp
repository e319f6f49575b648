// The table of element-wise functions.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/diagnostics.h"
#include "operators/function.h"

namespace gatewright::operators {

namespace {

using P = std::span<const long double>;
using Q = std::span<const Rational>;

const Rational zero = 0;
const Rational one = 1;

long double normal_cdf(long double x) {
    return 0.5L * std::erfc(-x / std::numbers::sqrt2_v<long double>);
}

BigInt as_integer(const Rational& value) {
    return boost::multiprecision::numerator(value);
}

/// Rounds `x` to a float with the given exponent and mantissa bits, bias and largest value (QONNX
/// FloatQuant): parameters exponent bits, mantissa bits, bias, largest value, scale, rounding.
Rational float_quantize(const Rational& x, Q p) {
    const Rational scaled = x / p[4];
    if (scaled == 0) {
        return zero;
    }
    const Rational magnitude = boost::multiprecision::abs(scaled);
    // The exponent of |x|, not below that of the smallest normal number.
    const BigInt num = boost::multiprecision::numerator(magnitude);
    const BigInt den = boost::multiprecision::denominator(magnitude);
    int exponent = static_cast<int>(boost::multiprecision::msb(num)) -
                   static_cast<int>(boost::multiprecision::msb(den));
    if (power_of_two(exponent) > magnitude) {
        --exponent;
    }
    const int lowest = 1 - static_cast<int>(as_integer(p[2]));
    const int step = std::max(exponent, lowest) - static_cast<int>(as_integer(p[1]));
    const auto rounding = static_cast<Rounding>(static_cast<int>(as_integer(p[5])));
    const Rational rounded =
        Rational(round(scaled * power_of_two(-step), rounding)) * power_of_two(step);
    const Rational clipped = std::max(Rational(-p[3]), std::min(Rational(p[3]), rounded));
    return clipped * p[4];
}

/// Rounds to a float with exponent bits, mantissa bits and bias, whose highest exponent is kept for
/// infinity.
Rational float_round(const Rational& x, Q p) {
    const int top =
        (1 << static_cast<int>(as_integer(p[0]))) - 2 - static_cast<int>(as_integer(p[2]));
    const std::array<Rational, 6> q = {
        p[0],        p[1],
        p[2],        power_of_two(top + 1),
        Rational(1), Rational(static_cast<int>(Rounding::half_even))};
    return float_quantize(x, q);
}

Rational finite_float_round(const Rational& x, Q p) {
    const Rational y = float_round(x, p);
    const int top =
        (1 << static_cast<int>(as_integer(p[0]))) - 2 - static_cast<int>(as_integer(p[2]));
    if (abs(y) >= power_of_two(top + 1)) {
        throw Failure(Code::operator_inputs, {},
                      "its input may reach beyond the largest number of the float that it is "
                      "rounded to, where the result is infinite",
                      "Clip the value before in the model.");
    }
    return y;
}

long double softplus(long double x) {
    return std::max(x, 0.0L) + std::log1p(std::exp(-std::abs(x)));
}

/// The x with erf(x) = y: Winitzki's approximation, then Newton's method. Towards 1, what is
/// missing is taken from erfc, which is precise there.
long double inverse_erf(long double y) {
    if (!(std::abs(y) < 1)) {
        return std::abs(y) == 1 ? std::copysign(std::numeric_limits<long double>::infinity(), y)
                                : std::numeric_limits<long double>::quiet_NaN();
    }
    const long double pi = std::numbers::pi_v<long double>;
    const long double rest = 1 - std::abs(y);
    const long double log = std::log(rest * (2 - rest));
    const long double middle = 2 / (pi * 0.147L) + log / 2;
    long double x = std::sqrt(std::sqrt(middle * middle - log / 0.147L) - middle);
    for (int i = 0; i < 5; ++i) {
        x -= (rest - std::erfc(x)) * std::sqrt(pi) / 2 * std::exp(x * x);
    }
    return std::copysign(x, y);
}

long double modulo(long double f, long double g) {
    const long double rest = std::fmod(f, g);
    return rest != 0 && (rest < 0) != (g < 0) ? rest + g : rest;
}

/// Of what is no integer of 64 bits, no number.
template <class F>
long double on_integers(long double f, long double g, F operation) {
    const auto is_integer = [](long double v) {
        return std::abs(v) < 0x1p63L && v == std::trunc(v);
    };
    return is_integer(f) && is_integer(g)
               ? static_cast<long double>(
                     operation(static_cast<std::int64_t>(f), static_cast<std::int64_t>(g)))
               : std::numeric_limits<long double>::quiet_NaN();
}

/// The value of a staircase: p is the lowest value, then a threshold and a value for each step.
template <class T>
T stair(const T& x, std::span<const T> p) {
    T value = p.empty() ? T(0) : p[0];
    for (std::size_t i = 1; i + 1 < p.size() && x >= p[i]; i += 2) {
        value = p[i + 1];
    }
    return value;
}

constexpr auto rising = Monotone::rising;
constexpr auto by_first = Monotone::by_first_parameter;
constexpr auto none = Monotone::none;

// clang-format off
const auto table = std::to_array<Function>({
    {"affine", "a x + b", 2, by_first,
     [](long double x, P p) { return p[0] * x + p[1]; },
     [](const Rational& x, Q p) { return Rational(p[0] * x + p[1]); }},
    {"maximum", "max(x, c)", 1, rising,
     [](long double x, P p) { return std::max(x, p[0]); },
     [](const Rational& x, Q p) { return x < p[0] ? p[0] : x; }},
    {"minimum", "min(x, c)", 1, rising,
     [](long double x, P p) { return std::min(x, p[0]); },
     [](const Rational& x, Q p) { return p[0] < x ? p[0] : x; }},
    {"leaky", "x if x >= 0 else alpha x", 1, by_first,
     [](long double x, P p) { return x < 0 ? p[0] * x : x; },
     [](const Rational& x, Q p) { return x < 0 ? Rational(p[0] * x) : x; }},
    {"absolute", "|x|", 0, none,
     [](long double x, P) { return std::abs(x); },
     [](const Rational& x, Q) { return Rational(boost::multiprecision::abs(x)); }},
    {"sign", "-1, 0 or 1", 0, rising,
     [](long double x, P) { return x > 0 ? 1.0L : (x < 0 ? -1.0L : 0.0L); },
     [](const Rational& x, Q) { return Rational(x.sign()); }},
    {"floor", "floor(x)", 0, rising,
     [](long double x, P) { return std::floor(x); },
     [](const Rational& x, Q) { return Rational(gatewright::floor(x)); }},
    {"ceil", "ceil(x)", 0, rising,
     [](long double x, P) { return std::ceil(x); },
     [](const Rational& x, Q) { return Rational(gatewright::ceil(x)); }},
    {"round", "x rounded to an integer, ties to even", 0, rising,
     [](long double x, P) { return std::nearbyint(x); },
     [](const Rational& x, Q) { return Rational(round(x, Rounding::half_even)); }},
    {"round_half_away", "x rounded to an integer, ties away from zero", 0, rising,
     [](long double x, P) { return std::round(x); },
     [](const Rational& x, Q) { return Rational(round(x, Rounding::half_away)); }},
    {"truncate", "x rounded to an integer towards zero", 0, rising,
     [](long double x, P) { return std::trunc(x); },
     [](const Rational& x, Q) { return Rational(round(x, Rounding::toward_zero)); }},
    {"fraction", "x - truncate(x)", 0, none,
     [](long double x, P) { return x - std::trunc(x); },
     [](const Rational& x, Q) { return Rational(x - Rational(round(x, Rounding::toward_zero))); }},
    {"not", "1 if x = 0 else 0", 0, none,
     [](long double x, P) { return x == 0 ? 1.0L : 0.0L; },
     [](const Rational& x, Q) { return x == 0 ? one : zero; }},
    {"nonzero", "0 if x = 0 else 1", 0, none,
     [](long double x, P) { return x == 0 ? 0.0L : 1.0L; },
     [](const Rational& x, Q) { return x == 0 ? zero : one; }},
    {"is_nan", "1 if x is no number else 0", 0, none,
     [](long double x, P) { return std::isnan(x) ? 1.0L : 0.0L; },
     [](const Rational&, Q) { return zero; }},
    {"is_infinite", "1 if x is infinite and of a sign that counts (negative, positive) else 0", 2, none,
     [](long double x, P p) { return std::isinf(x) && p[x < 0 ? 0 : 1] != 0 ? 1.0L : 0.0L; },
     [](const Rational&, Q) { return zero; }},
    {"is_finite", "1 if x is a number and not infinite else 0", 0, none,
     [](long double x, P) { return std::isfinite(x) ? 1.0L : 0.0L; },
     [](const Rational&, Q) { return one; }},
    {"make_finite", "x, or what stands for no number, infinity and minus infinity", 3, none,
     [](long double x, P p) { return std::isnan(x) ? p[0] : (std::isinf(x) ? p[x > 0 ? 1 : 2] : x); },
     [](const Rational& x, Q) { return x; }},
    {"threshold", "x if x > theta else value", 2, none,
     [](long double x, P p) { return x <= p[0] ? p[1] : x; },
     [](const Rational& x, Q p) { return x <= p[0] ? p[1] : x; }},
    {"sparse_plus", "0 if x <= -1, x if x >= 1, else (x + 1)^2 / 4", 0, rising,
     [](long double x, P) { return x <= -1 ? 0.0L : (x >= 1 ? x : (x + 1) * (x + 1) / 4); },
     [](const Rational& x, Q) { return x <= -1 ? zero : (x >= 1 ? x : Rational((x + 1) * (x + 1) / 4)); }},
    {"square", "x^2", 0, none,
     [](long double x, P) { return x * x; },
     [](const Rational& x, Q) { return Rational(x * x); }},
    {"thresholded_relu", "x if x > alpha else 0", 1, by_first,
     [](long double x, P p) { return x > p[0] ? x : 0.0L; },
     [](const Rational& x, Q p) { return x > p[0] ? x : zero; }},
    {"shrink", "x - bias if x > lambda, x + bias if x < -lambda, else 0", 2, none,
     [](long double x, P p) { return x > p[0] ? x - p[1] : (x < -p[0] ? x + p[1] : (std::isnan(x) ? x : 0.0L)); },
     [](const Rational& x, Q p) {
         return x > p[0] ? Rational(x - p[1]) : (x < -p[0] ? Rational(x + p[1]) : zero);
     }},
    {"softsign", "x / (1 + |x|)", 0, rising,
     [](long double x, P) { return x / (1 + std::abs(x)); },
     [](const Rational& x, Q) { return Rational(x / (one + boost::multiprecision::abs(x))); }},
    {"hard_swish", "x max(0, min(1, x / 6 + 1 / 2))", 0, none,
     [](long double x, P) { return x * std::max(0.0L, std::min(1.0L, x / 6 + 0.5L)); },
     [](const Rational& x, Q) {
         const Rational gate = std::max(zero, std::min(one, Rational(x / 6 + Rational(1, 2))));
         return Rational(x * gate);
     }},
    {"count_thresholds", "number of thresholds t with x >= t", -1, rising,
     [](long double x, P p) {
         return static_cast<long double>(std::count_if(p.begin(), p.end(),
                                                       [&](long double t) { return x >= t; }));
     },
     [](const Rational& x, Q p) {
         return Rational(std::count_if(p.begin(), p.end(),
                                       [&](const Rational& t) { return x >= t; }));
     }},
    {"staircase", "v, then t, v for each step: the v behind the last t with x >= t; t rise", -1, none,
     [](long double x, P p) { return std::isnan(x) ? x : stair(x, p); },
     [](const Rational& x, Q p) { return stair(x, p); }},
    {"lookup", "parameter number x, rounded down and kept within those there are", -1, none,
     [](long double x, P p) {
         const auto last = static_cast<long double>(p.size()) - 1;
         const long double at = std::isnan(x) ? 0 : std::clamp(std::floor(x), 0.0L, last);
         return p[static_cast<std::size_t>(at)];
     },
     [](const Rational& x, Q p) {
         const BigInt last = p.size() - 1;
         const BigInt at = std::clamp(gatewright::floor(x), BigInt(0), last);
         return p[at.convert_to<std::size_t>()];
     }},
    {"float_quantize", "x rounded to a small float: exponent bits, mantissa bits, bias, largest, scale, rounding", 6, rising,
     [](long double x, P p) {
         if (!std::isfinite(x)) {
             return std::isnan(x) ? x : std::copysign(p[3] * p[4], x);
         }
         std::array<Rational, 6> q;
         std::transform(p.begin(), p.end(), q.begin(), [](long double v) { return to_rational(static_cast<double>(v)); });
         return static_cast<long double>(to_double(float_quantize(to_rational(static_cast<double>(x)), q)));
     },
     float_quantize},
    {"float_round", "x rounded to a small float with infinities: exponent bits, mantissa bits, bias", 3, rising,
     [](long double x, P p) {
         if (!std::isfinite(x)) {
             return x;
         }
         std::array<Rational, 3> q;
         std::transform(p.begin(), p.end(), q.begin(), [](long double v) { return to_rational(static_cast<double>(v)); });
         const auto y = static_cast<long double>(to_double(float_round(to_rational(static_cast<double>(x)), q)));
         const long double end = std::ldexp(1.0L, static_cast<int>(std::exp2(p[0]) - 1 - p[2]));
         return std::abs(y) < end ? y : std::copysign(std::numeric_limits<long double>::infinity(), x);
     },
     finite_float_round},
    {"quantize", "s (clip(round(x / s + z), l, h) - z)", 4, rising, nullptr, nullptr},
    {"sigmoid", "1 / (1 + exp(-x))", 0, rising,
     [](long double x, P) { return 1 / (1 + std::exp(-x)); }},
    {"tanh", "tanh(x)", 0, rising, [](long double x, P) { return std::tanh(x); }},
    {"softplus", "log(1 + exp(x))", 0, rising, [](long double x, P) { return softplus(x); }},
    {"scaled_softplus", "x if beta x > threshold else log(1 + exp(beta x)) / beta", 2, rising,
     [](long double x, P p) { return p[0] * x > p[1] ? x : softplus(p[0] * x) / p[0]; }},
    {"log_sigmoid", "-log(1 + exp(-x))", 0, rising, [](long double x, P) { return -softplus(-x); }},
    {"squareplus", "(x + sqrt(x^2 + b)) / 2", 1, rising,
     [](long double x, P p) { return (x + std::sqrt(x * x + p[0])) / 2; }},
    {"tanh_shrink", "x - tanh(x)", 0, rising, [](long double x, P) { return x - std::tanh(x); }},
    {"elu", "x if x >= 0 else alpha (exp(x) - 1)", 1, by_first,
     [](long double x, P p) { return x < 0 ? p[0] * std::expm1(x) : x; }},
    {"selu", "gamma (x if x >= 0 else alpha (exp(x) - 1))", 2, by_first,
     [](long double x, P p) { return p[1] * (x < 0 ? p[0] * std::expm1(x) : x); }},
    {"celu", "max(x, 0) + min(0, alpha (exp(x / alpha) - 1))", 1, by_first,
     [](long double x, P p) {
         return std::max(x, 0.0L) + std::min(0.0L, p[0] * std::expm1(x / p[0]));
     }},
    {"gelu", "x Phi(x)", 0, none, [](long double x, P) { return x * normal_cdf(x); }},
    {"gelu_tanh", "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2", 0, none,
     [](long double x, P) {
         const long double inner = std::sqrt(2 / std::numbers::pi_v<long double>) *
                                   (x + 0.044715L * x * x * x);
         return x * (1 + std::tanh(inner)) / 2;
     }},
    {"silu", "x / (1 + exp(-alpha x))", 1, none,
     [](long double x, P p) { return x / (1 + std::exp(-p[0] * x)); }},
    {"mish", "x tanh(log(1 + exp(x)))", 0, none,
     [](long double x, P) {
         return x * std::tanh(softplus(x));
     }},
    {"exp", "exp(x)", 0, rising, [](long double x, P) { return std::exp(x); }},
    {"log", "log(x)", 0, rising, [](long double x, P) { return std::log(x); }},
    {"exp2", "2^x", 0, rising, [](long double x, P) { return std::exp2(x); }},
    {"expm1", "exp(x) - 1", 0, rising, [](long double x, P) { return std::expm1(x); }},
    {"log1p", "log(1 + x)", 0, rising, [](long double x, P) { return std::log1p(x); }},
    {"log2", "log(x) / log(2)", 0, rising, [](long double x, P) { return std::log2(x); }},
    {"log10", "log(x) / log(10)", 0, rising, [](long double x, P) { return std::log10(x); }},
    {"logit", "log(x / (1 - x))", 0, rising, [](long double x, P) { return std::log(x / (1 - x)); }},
    {"reciprocal_sqrt", "1 / sqrt(x)", 0, none, [](long double x, P) { return 1 / std::sqrt(x); }},
    {"cube_root", "the real cube root of x", 0, rising, [](long double x, P) { return std::cbrt(x); }},
    {"sqrt", "sqrt(x)", 0, rising, [](long double x, P) { return std::sqrt(x); }},
    {"reciprocal", "1 / x", 0, none, [](long double x, P) { return 1 / x; }},
    {"erf", "erf(x)", 0, rising, [](long double x, P) { return std::erf(x); }},
    {"erfc", "1 - erf(x)", 0, none, [](long double x, P) { return std::erfc(x); }},
    {"inverse_erf", "the y with erf(y) = x", 0, rising, [](long double x, P) { return inverse_erf(x); }},
    {"log_gamma", "log(|gamma(x)|)", 0, none, [](long double x, P) { return std::lgamma(x); }},
    {"sin", "sin(x)", 0, none, [](long double x, P) { return std::sin(x); }},
    {"cos", "cos(x)", 0, none, [](long double x, P) { return std::cos(x); }},
    {"tan", "tan(x)", 0, none, [](long double x, P) { return std::tan(x); }},
    {"sinc", "sin(pi x) / (pi x), 1 at zero", 0, none,
     [](long double x, P) {
         const long double angle = std::numbers::pi_v<long double> * x;
         return x == 0 ? 1.0L : std::sin(angle) / angle;
     }},
    {"asin", "asin(x)", 0, rising, [](long double x, P) { return std::asin(x); }},
    {"acos", "acos(x)", 0, none, [](long double x, P) { return std::acos(x); }},
    {"atan", "atan(x)", 0, rising, [](long double x, P) { return std::atan(x); }},
    {"sinh", "sinh(x)", 0, rising, [](long double x, P) { return std::sinh(x); }},
    {"cosh", "cosh(x)", 0, none, [](long double x, P) { return std::cosh(x); }},
    {"asinh", "asinh(x)", 0, rising, [](long double x, P) { return std::asinh(x); }},
    {"acosh", "acosh(x)", 0, rising, [](long double x, P) { return std::acosh(x); }},
    {"atanh", "atanh(x)", 0, rising, [](long double x, P) { return std::atanh(x); }},
    {"power", "x^c", 1, none, [](long double x, P p) { return std::pow(x, p[0]); }},
    {"sum", "f(x) + g(x)", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f + g; },
     [](const Rational& f, const Rational& g) { return Rational(f + g); }},
    {"difference", "f(x) - g(x)", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f - g; },
     [](const Rational& f, const Rational& g) { return Rational(f - g); }},
    {"product", "f(x) g(x)", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f * g; },
     [](const Rational& f, const Rational& g) { return Rational(f * g); }},
    {"quotient", "f(x) / g(x)", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f / g; },
     [](const Rational& f, const Rational& g) { return Rational(f / g); }},
    {"larger", "max(f(x), g(x))", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::isnan(g) ? g : std::max(f, g); },
     [](const Rational& f, const Rational& g) { return f < g ? g : f; }},
    {"smaller", "min(f(x), g(x))", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::isnan(g) ? g : std::min(f, g); },
     [](const Rational& f, const Rational& g) { return g < f ? g : f; }},
    {"larger_number", "max(f(x), g(x)), or the one that is a number", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::fmax(f, g); },
     [](const Rational& f, const Rational& g) { return f < g ? g : f; }},
    {"smaller_number", "min(f(x), g(x)), or the one that is a number", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::fmin(f, g); },
     [](const Rational& f, const Rational& g) { return g < f ? g : f; }},
    {"less", "1 if f(x) < g(x) else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f < g ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return f < g ? one : zero; }},
    {"less_equal", "1 if f(x) <= g(x) else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f <= g ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return f <= g ? one : zero; }},
    {"greater", "1 if f(x) > g(x) else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f > g ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return f > g ? one : zero; }},
    {"greater_equal", "1 if f(x) >= g(x) else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f >= g ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return f >= g ? one : zero; }},
    {"equal", "1 if f(x) = g(x) else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f == g ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return f == g ? one : zero; }},
    {"not_equal", "1 if f(x) differs from g(x) else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f != g ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return f != g ? one : zero; }},
    {"and", "1 if both are not zero else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f != 0 && g != 0 ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return f != 0 && g != 0 ? one : zero; }},
    {"or", "1 if one is not zero else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return f != 0 || g != 0 ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return f != 0 || g != 0 ? one : zero; }},
    {"xor", "1 if exactly one is not zero else 0", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return (f != 0) != (g != 0) ? 1.0L : 0.0L; },
     [](const Rational& f, const Rational& g) { return (f != 0) != (g != 0) ? one : zero; }},
    {"modulo", "f(x) - g(x) floor(f(x) / g(x)): of the divisor's sign", 0, none, nullptr, nullptr, modulo,
     [](const Rational& f, const Rational& g) {
         return Rational(f - g * Rational(gatewright::floor(Rational(f / g))));
     }},
    {"remainder", "f(x) - g(x) truncate(f(x) / g(x)): of the dividend's sign", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::fmod(f, g); },
     [](const Rational& f, const Rational& g) {
         return Rational(f - g * Rational(round(Rational(f / g), Rounding::toward_zero)));
     }},
    {"floor_quotient", "floor(f(x) / g(x))", 0, none, nullptr, nullptr,
     [](long double f, long double g) {
         // The quotient of a multiple is exact, while f / g may round up to the next integer.
         return g == 0 || std::isinf(g) ? std::floor(f / g) : std::round((f - modulo(f, g)) / g);
     },
     [](const Rational& f, const Rational& g) { return Rational(gatewright::floor(Rational(f / g))); }},
    {"raised", "f(x)^g(x)", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::pow(f, g); }},
    {"angle", "the angle of the point (g(x), f(x))", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::atan2(f, g); }},
    {"hypotenuse", "sqrt(f(x)^2 + g(x)^2)", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::hypot(f, g); }},
    {"log_sum_exp", "log(exp(f(x)) + exp(g(x)))", 0, none, nullptr, nullptr,
     [](long double f, long double g) {
         const long double top = std::max(f, g);
         return std::isinf(top) ? top : top + std::log1p(std::exp(std::min(f, g) - top));
     }},
    {"with_sign_of", "|f(x)| with the sign of g(x)", 0, none, nullptr, nullptr,
     [](long double f, long double g) { return std::copysign(f, g); }},
    {"bit_and", "f(x) and g(x), bit by bit, of integers", 0, none, nullptr, nullptr,
     [](long double f, long double g) {
         return on_integers(f, g, [](std::int64_t a, std::int64_t b) { return a & b; });
     }},
    {"bit_or", "f(x) or g(x), bit by bit, of integers", 0, none, nullptr, nullptr,
     [](long double f, long double g) {
         return on_integers(f, g, [](std::int64_t a, std::int64_t b) { return a | b; });
     }},
    {"bit_xor", "f(x) xor g(x), bit by bit, of integers", 0, none, nullptr, nullptr,
     [](long double f, long double g) {
         return on_integers(f, g, [](std::int64_t a, std::int64_t b) { return a ^ b; });
     }},
    {"softmax", "exp(x) / sum of exp(x) along the axis; not element-wise, last in a decoding", 1, none, nullptr, nullptr},
    {"log_softmax", "log(softmax(x)) along the axis; not element-wise, last in a decoding", 1, none, nullptr, nullptr},
});
// clang-format on

}  // namespace

std::span<const Function> functions() {
    return table;
}

const Function* find_function(std::string_view name) {
    const auto row =
        std::find_if(table.begin(), table.end(), [&](const Function& f) { return f.name == name; });
    return row == table.end() ? nullptr : &*row;
}

}  // namespace gatewright::operators
