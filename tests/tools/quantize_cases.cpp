// Prints what the circuits of quantize compute, for tests/python/test_fixed_quantize.py: for every
// small source and target type, rounding and overflow one line
//
//     signed width frac  signed width frac  rounding overflow  low high  integer ...
//
// with the source, the target, the range that the builder promises, and the result for each integer
// of the source in rising order.

#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "fixed/fixed.h"

namespace {

using gatewright::FixedType;
using gatewright::Int128;
using gatewright::Overflow;
using gatewright::Rounding;

std::string words(const FixedType& type) {
    return fmt::format("{} {} {}", type.is_signed ? 1 : 0, type.width, type.frac);
}

template <class Action>
void for_each_type(int max_width, Action action) {
    for (const bool is_signed : {false, true}) {
        for (int width = 1; width <= max_width; ++width) {
            for (int frac = -1; frac <= 3; ++frac) {
                action(FixedType{is_signed, width, frac});
            }
        }
    }
}

std::string line(const FixedType& source, const FixedType& target, Rounding rounding,
                 Overflow overflow) {
    gatewright::bits::Builder nodes("case");
    gatewright::fixed::Builder build(nodes);
    const auto x = build.input("x", source, source.range());
    const auto y = build.quantize(x, target, rounding, overflow);
    nodes.output("y", y.bits);
    const gatewright::bits::Function function = nodes.take();
    std::string out = fmt::format(
        "{} {} {} {} {} {}", words(source), words(target), to_string(rounding), to_string(overflow),
        gatewright::to_string(y.range.low), gatewright::to_string(y.range.high));
    for (Int128 value = source.range().low; value <= source.range().high; ++value) {
        out += " " + gatewright::to_string(gatewright::bits::evaluate(function, {value})[0]);
    }
    return out + "\n";
}

}  // namespace

int main() {
    for_each_type(5, [](const FixedType& source) {
        for_each_type(4, [&](const FixedType& target) {
            for (int rounding = 0; rounding <= static_cast<int>(Rounding::half_zero); ++rounding) {
                for (int overflow = 0; overflow <= static_cast<int>(Overflow::saturate_symmetric);
                     ++overflow) {
                    std::fputs(line(source, target, static_cast<Rounding>(rounding),
                                    static_cast<Overflow>(overflow))
                                   .c_str(),
                               stdout);
                }
            }
        });
    });
    return 0;
}
