// What needs more bits than the widest integer has: rounded so finely that no result shows it, with
// a bound of the error.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "operators/lowering.h"
#include "operators/map.h"

namespace gatewright::operators {

namespace {

using network::Attributes;
using network::Format;

/// Digits before the binary point that |value| needs: the least e with |value| <= 2^e.
int exponent_of(const Rational& value) {
    const Rational magnitude = abs(value);
    const int bits =
        static_cast<int>(boost::multiprecision::msb(boost::multiprecision::numerator(magnitude))) -
        static_cast<int>(boost::multiprecision::msb(boost::multiprecision::denominator(magnitude)));
    return magnitude <= power_of_two(bits) ? bits : bits + 1;
}

/// The last `drop` bits go, so that neither `bits` are exceeded nor `frac` behind the point.
int dropped(const Format& format, int bits, int frac) {
    return std::max({0, format.type.width - bits, format.type.frac - frac});
}

struct Line {
    Int128 multiplier = 0;
    Int128 addend = 0;
    int frac = 0;  ///< of the result

    bool operator==(const Line&) const = default;
};

/// scale * x + offset with a multiplier of `digits` bits.
Line line_of(const Rational& scale, const Rational& offset, const Format& format, int digits) {
    const auto rounded = [](const Rational& value) {
        return to_int128(round(value, Rounding::half_even)).value_or(0);
    };
    if (scale == 0 && offset == 0) {
        return {};
    }
    int shift = scale == 0 ? digits : digits - exponent_of(scale);
    if (offset != 0) {
        shift = std::min(shift, 2 * digits - exponent_of(offset) - format.type.frac);
    }
    const int frac = format.type.frac + shift;
    return {rounded(scale * power_of_two(shift)), rounded(offset * power_of_two(frac)), frac};
}

}  // namespace

Linear Lowering::narrowed(const Linear& x, int bits, int most_frac) {
    const PerElement<Format> formats = *core_.type(x.value).fixed;
    double bound = 0;
    for (const Format& format : formats.values()) {
        const int drop = dropped(format, bits, most_frac);
        bound = drop == 0 ? bound : std::max(bound, std::ldexp(0.5, drop - format.type.frac));
    }
    if (bound == 0) {
        return x;
    }
    QuantizeFields fields;
    fields.rounding = Rounding::half_even;
    fields.overflow = Overflow::saturate;
    fields.type = combine<FixedType>(
        element_count(x.shape),
        [&](const Format& format) {
            const int drop = dropped(format, bits, most_frac);
            // One more bit, as rounding may carry.
            return drop == 0
                       ? format.type
                       : FixedType{format.type.is_signed, std::max(1, format.type.width - drop) + 1,
                                   format.type.frac - drop};
        },
        formats);
    double scale = 0;
    for (const Rational& s : x.scale.values()) {
        scale = std::max(scale, std::abs(to_double(s)));
    }
    approximation(fmt::format("a value rounded to {} bits, as what follows would need more than {}",
                              bits, max_width),
                  bound * scale);
    Linear out = x;
    out.value = core(quantize_operator, Attributes::of(std::move(fields)), {x.value});
    return out;
}

Linear Lowering::rounded(const Linear& x, int bits, int most_frac) {
    const auto all = [](const PerElement<Rational>& values, const Rational& value) {
        return std::all_of(values.values().begin(), values.values().end(),
                           [&](const Rational& v) { return v == value; });
    };
    if (all(x.scale, 1) && all(x.offset, 0)) {
        return narrowed(x, bits, most_frac);
    }
    constexpr int digits = 60;
    const Linear fine = narrowed(x, digits, max_width * max_width);
    const PerElement<Format> formats = *core_.type(fine.value).fixed;
    const std::int64_t count = element_count(x.shape);
    const PerElement<Line> lines = combine<Line>(
        count,
        [](const Rational& scale, const Rational& offset, const Format& format) {
            return line_of(scale, offset, format, digits);
        },
        x.scale, x.offset, formats);
    AffineFields fields;
    fields.multiplier = combine<Int128>(count, [](const Line& l) { return l.multiplier; }, lines);
    fields.addend = combine<Int128>(count, [](const Line& l) { return l.addend; }, lines);
    fields.frac =
        combine<std::int64_t>(count, [](const Line& l) { return std::int64_t{l.frac}; }, lines);
    const PerElement<Rational> error = combine<Rational>(
        count,
        [](const Rational& scale, const Rational& offset, const Format& format, const Line& line) {
            const Rational unit = power_of_two(-format.type.frac);
            const auto off = [&](Int128 n) {
                const Rational integer(to_bigint(n));
                return Rational(abs(scale * integer * unit + offset -
                                    (Rational(to_bigint(line.multiplier)) * integer +
                                     Rational(to_bigint(line.addend))) *
                                        power_of_two(-line.frac)));
            };
            return std::max(off(format.range.low), off(format.range.high));
        },
        x.scale, x.offset, formats, lines);
    const Rational most = *std::max_element(error.values().begin(), error.values().end());
    if (most > 0) {
        approximation(fmt::format("a factor that is no power of two rounded to {} bits", digits),
                      to_double(most));
    }
    Linear out;
    out.shape = x.shape;
    out.where = x.where;
    out.value = core(affine_operator, Attributes::of(std::move(fields)), {fine.value});
    return narrowed(out, bits, most_frac);
}

int Lowering::digits_before_point(const Linear& x) const {
    const PerElement<Format>& formats = *core_.type(x.value).fixed;
    int most = -max_width * max_width;
    for (const Format& format : formats.values()) {
        most = std::max(most, format.type.width - format.type.frac);
    }
    if (x.scale == PerElement<Rational>(1) && x.offset == PerElement<Rational>(0)) {
        return most;
    }
    int scale = -max_width * max_width;
    for (const Rational& s : x.scale.values()) {
        scale = s == 0 ? scale : std::max(scale, exponent_of(s));
    }
    most += scale;
    for (const Rational& o : x.offset.values()) {
        most = o == 0 ? most : std::max(most, exponent_of(o)) + 1;
    }
    return most;
}

}  // namespace gatewright::operators
