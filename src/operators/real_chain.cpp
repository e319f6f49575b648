#include "operators/real_chain.h"

#include <algorithm>
#include <cmath>

#include "operators/integer_chain.h"

namespace gatewright::operators {

namespace {

constexpr int most_bits = 60;
constexpr int bits_of_value = 63;  ///< as of exact_value

/// Whether the step makes a `value` of a number that is exact.
bool is_inexact(const Step& step) {
    return step.function->exact == nullptr && step.branches.empty() && !is(step, "quantize") &&
           !is(step, "lookup");
}

}  // namespace

std::optional<RealChain> RealChain::of(const Rational& unit, std::span<const Step> steps,
                                       const Step& quantiser, std::int64_t element, Int128 most) {
    const Rational& scale = quantiser.parameters[0].at(element);
    const auto log_unit = unit > 0 ? exact_log2(unit) : std::nullopt;
    const auto log_scale = scale > 0 ? exact_log2(scale) : std::nullopt;
    const Rational& low = quantiser.parameters[2].at(element);
    const Rational& high = quantiser.parameters[3].at(element);
    const Rational limit = power_of_two(most_bits);
    if (steps.empty() || !is_inexact(steps.front()) || !log_unit || !log_scale ||
        std::abs(*log_unit) > 1000 || std::abs(*log_scale) > 1000 ||
        quantiser.parameters[1].at(element) != 0 || abs(low) > limit || abs(high) > limit ||
        most > Int128{1} << most_bits) {
        return std::nullopt;
    }
    RealChain chain;
    chain.unit_ = *log_unit;
    chain.steps_ = steps;
    chain.quantiser_ = &quantiser;
    chain.element_ = element;
    chain.scale_ = *log_scale;
    chain.low_ = *to_int128(round(low, Rounding::floor));
    chain.high_ = *to_int128(round(high, Rounding::floor));
    return chain;
}

Int128 RealChain::at(Int128 n) const {
    const Real x =
        apply(steps_, {std::nullopt, std::ldexp(static_cast<long double>(n), unit_)}, element_);
    int exponent = 0;
    const long double mantissa = x.exact ? 0 : std::frexp(x.value, &exponent);
    // x = significand * 2^exponent, in units of the quantiser.
    exponent -= bits_of_value + scale_;
    if (x.exact || !std::isfinite(x.value) || exponent > 0) {
        return *to_int128(quantize_integer(*quantiser_, exact_value(x), element_));
    }
    const auto significand = static_cast<std::int64_t>(std::ldexp(mantissa, bits_of_value));
    // Whatever is smaller by far rounds as this does.
    const Int128 unit = Int128{1} << std::min(-exponent, 2 * most_bits);
    const Int128 level = divided(significand, unit, quantiser_->rounding);
    return quantiser_->overflow == Overflow::wrap ? wrapped(level, low_, high_)
                                                  : std::clamp(level, low_, high_);
}

}  // namespace gatewright::operators
