#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "fixed/fixed.h"
#include "types/rational.h"

/// A small function under test: inputs of given ranges, any number of results, and a run over all
/// values of the inputs that holds every result to its own promises (range, type, exactness).
namespace gatewright::fixed {

/// Whether the range must be met by both of its ends when the inputs are independent.
enum class Tightness { exact, bound };

class Circuit {
  public:
    Fixed input(const FixedType& type, const Interval& range) {
        inputs_.push_back(build.input("x" + std::to_string(inputs_.size()), type, range));
        return inputs_.back();
    }
    Fixed input(const FixedType& type) { return input(type, type.range()); }

    void result(const Fixed& value, Tightness tightness = Tightness::exact) {
        nodes.output("y" + std::to_string(results_.size()), value.bits);
        results_.push_back(value);
        tightness_.push_back(tightness);
        const bits::Type type = nodes.type(value.bits);
        CHECK(type.is_signed == value.type.is_signed);
        CHECK(type.width == value.type.width);
        CHECK(value.type == type_for(value.range, value.type.frac));
    }

    /// Calls expected(inputs as integers) -> integers of the results, for all values of the inputs.
    template <class Expected>
    void run(Expected expected) {
        const bits::Function function = nodes.take();
        CHECK(bits::verify(function) == std::vector<std::string>{});
        std::vector<Int128> values;
        for (const Fixed& input : inputs_) {
            values.push_back(input.range.low);
        }
        std::vector<Interval> seen(results_.size());
        for (bool first = true;; first = false) {
            const std::vector<Int128> got = bits::evaluate(function, values);
            const std::vector<Int128> want = expected(values);
            for (std::size_t i = 0; i < results_.size(); ++i) {
                if (got[i] != want.at(i)) {
                    FAIL_CHECK("result ", i, " is ", to_string(got[i]), ", not ",
                               to_string(want[i]), " for x0 = ", to_string(values[0]), "\n",
                               bits::to_text(function));
                    return;
                }
                seen[i] = first ? Interval{got[i], got[i]} : hull(seen[i], {got[i], got[i]});
            }
            std::size_t digit = 0;
            while (digit < values.size() && values[digit] == inputs_[digit].range.high) {
                values[digit] = inputs_[digit].range.low;
                ++digit;
            }
            if (digit == values.size()) {
                break;
            }
            ++values[digit];
        }
        for (std::size_t i = 0; i < results_.size(); ++i) {
            const bool holds = tightness_[i] == Tightness::exact
                                   ? results_[i].range == seen[i]
                                   : results_[i].range.contains(seen[i]);
            if (!holds) {
                FAIL_CHECK("result ", i, " has the range ", to_string(results_[i].range.low),
                           " .. ", to_string(results_[i].range.high), " but its values are ",
                           to_string(seen[i].low), " .. ", to_string(seen[i].high), "\n",
                           bits::to_text(function));
            }
        }
    }

    bits::Builder nodes{"test"};
    Builder build{nodes};

  private:
    std::vector<Fixed> inputs_;
    std::vector<Fixed> results_;
    std::vector<Tightness> tightness_;
};

inline Rational rational(Int128 integer, int frac) {
    return Rational(to_bigint(integer)) * power_of_two(-frac);
}

/// The integer of an exact value at `frac`.
inline Int128 integer(const Rational& value, int frac) {
    const Rational scaled = value * power_of_two(frac);
    REQUIRE(boost::multiprecision::denominator(scaled) == 1);
    const auto out = to_int128(boost::multiprecision::numerator(scaled));
    REQUIRE(out.has_value());
    return *out;
}

inline std::vector<FixedType> small_types(int from_width, int to_width, int from_frac,
                                          int to_frac) {
    std::vector<FixedType> out;
    for (const bool is_signed : {false, true}) {
        for (int width = from_width; width <= to_width; ++width) {
            for (int frac = from_frac; frac <= to_frac; ++frac) {
                out.push_back({is_signed, width, frac});
            }
        }
    }
    return out;
}

inline constexpr Rounding all_roundings[] = {
    Rounding::floor,     Rounding::ceil,      Rounding::toward_zero,
    Rounding::away,      Rounding::half_up,   Rounding::half_down,
    Rounding::half_even, Rounding::half_away, Rounding::half_zero,
};
inline constexpr Overflow all_overflows[] = {Overflow::wrap, Overflow::saturate,
                                             Overflow::saturate_symmetric};

}  // namespace gatewright::fixed
