#include "operators/accumulation.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "network/fields.h"
#include "operators/function.h"

namespace gatewright::operators {

Interval Accumulation::range() const {
    Interval range = type.range();
    if (overflow == Overflow::saturate_symmetric && type.is_signed) {
        range.low = -range.high;
    }
    return range;
}

std::string print_field(const Accumulation& value) {
    return value.is_exact() ? "exact"
                            : to_string(value.type) + " " + to_string(value.rounding) + " " +
                                  to_string(value.overflow);
}

bool parse_field(std::string_view text, Accumulation& value) {
    if (text == "exact") {
        value = {};
        return true;
    }
    const auto words = network::split_list(text, ' ');
    return words.size() == 3 && network::parse_field(words[0], value.type) &&
           network::parse_field(words[1], value.rounding) &&
           network::parse_field(words[2], value.overflow);
}

double quantized(double sum, const Accumulation& accumulator) {
    if (accumulator.is_exact()) {
        return sum;
    }
    const auto [low, high] = accumulator.range();
    Step step = make_step("quantize", {power_of_two(-accumulator.type.frac), Rational(0),
                                       Rational(to_bigint(low)), Rational(to_bigint(high))});
    step.rounding = accumulator.rounding;
    step.overflow = accumulator.overflow == Overflow::wrap ? Overflow::wrap : Overflow::saturate;
    return to_double(*apply(std::span(&step, 1), {to_rational(sum), 0}, 0).exact);
}

}  // namespace gatewright::operators
