#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/map.h"

/// Lowering: integers of a unit of one's choice, so that scales and offsets become exact integers.
namespace gatewright::operators {

namespace {

using network::Attributes;

Int128 integer_of(const Rational& value) {
    const auto integer = to_int128(boost::multiprecision::numerator(value));
    if (!integer) {
        throw Failure(Code::width_exceeded, {},
                      fmt::format("in its unit a factor needs more than {} bits", max_width),
                      "Use scales that have a larger common unit, as powers of two have.");
    }
    return *integer;
}

/// What one step of the integer means: scale * 2^-frac.
PerElement<Rational> unit_of(const Linear& x, const network::TensorType& type) {
    return combine<Rational>(
        element_count(x.shape),
        [](const Rational& scale, const network::Format& format) {
            return Rational(scale * power_of_two(-format.type.frac));
        },
        x.scale, *type.fixed);
}

/// Beyond so many integers comparators are better than tables.
bool is_wide(const network::TensorType& type) {
    return std::any_of(type.fixed->values().begin(), type.fixed->values().end(),
                       [](const network::Format& f) { return f.range.high - f.range.low >= 4096; });
}

/// The rounding that a step is, if it is one.
std::optional<Rounding> rounding_of(const Step& step) {
    const std::pair<std::string_view, Rounding> rows[] = {{"floor", Rounding::floor},
                                                          {"ceil", Rounding::ceil},
                                                          {"round", Rounding::half_even},
                                                          {"round_half_away", Rounding::half_away},
                                                          {"truncate", Rounding::toward_zero}};
    for (const auto& [name, rounding] : rows) {
        if (is(step, name)) {
            return rounding;
        }
    }
    return std::nullopt;
}

Step integer_quantiser(PerElement<Rational> low, PerElement<Rational> high) {
    return make_step("quantize", {Rational(1), Rational(0), std::move(low), std::move(high)});
}

/// x rounded to integers, whose range follows from that of x.
RealTensor to_integers(Lowering& lowering, const RealTensor& x, const Step& step,
                       Rounding rounding) {
    const Linear line = lowering.linear(x);
    const auto end = [&](bool highest) {
        return combine<Rational>(
            element_count(x.shape),
            [&](const Rational& scale, const Rational& offset, const network::Format& format) {
                const bool high = highest == (scale >= 0);
                const Rational integer(to_bigint(high ? format.range.high : format.range.low));
                const Rational value = scale * integer * power_of_two(-format.type.frac) + offset;
                return step.function->exact(value, {});
            },
            line.scale, line.offset, *lowering.type(line.value).fixed);
    };
    Step quantiser = integer_quantiser(end(false), end(true));
    quantiser.rounding = rounding;
    return lowering.step(x, std::move(quantiser));
}

/// Of bits that do not depend on their argument (is_nan and its kin).
bool never_varies(const Step& step) {
    return is(step, "is_nan") || is(step, "is_infinite") || is(step, "is_finite");
}

/// A step of bits by comparators.
RealTensor compared_step(Lowering& lowering, const RealTensor& x, const Step& step) {
    const RealTensor zeros = lowering.affine(x, Rational(0), Rational(0));
    if (is(step, "not") || is(step, "nonzero")) {
        return compared(lowering, is(step, "not") ? "equal" : "not_equal", x, zeros);
    }
    RealTensor f = x;
    RealTensor g = x;
    for (const Step& s : step.branches[0]) {
        f = lowering.step(std::move(f), s);
    }
    for (const Step& s : step.branches[1]) {
        g = lowering.step(std::move(g), s);
    }
    if (is(step, "and") || is(step, "or") || is(step, "xor")) {
        f = lowering.real(lowering.linear(lowering.step(std::move(f), make_step("nonzero"))));
        g = lowering.real(lowering.linear(lowering.step(std::move(g), make_step("nonzero"))));
        return is(step, "xor")
                   ? compared(lowering, "not_equal", f, g)
                   : join_computed(lowering, is(step, "and") ? "product" : "larger", f, g);
    }
    return compared(lowering, step.function->name, f, g);
}

}  // namespace

bool has_bits(const Step& step) {
    const std::string_view names[] = {
        "not",           "nonzero", "is_nan",    "is_infinite", "less", "less_equal", "greater",
        "greater_equal", "equal",   "not_equal", "and",         "or",   "xor",        "is_finite"};
    return std::find(std::begin(names), std::end(names), step.function->name) != std::end(names);
}

bool has_integer_values(const Step& step) {
    return has_bits(step) || rounding_of(step) || is(step, "sign") ||
           is(step, "count_thresholds") || is(step, "floor_quotient") || is(step, "bit_and") ||
           is(step, "bit_or") || is(step, "bit_xor");
}

Linear Lowering::rescale(const Linear& x, const PerElement<Rational>& unit,
                         std::optional<std::int64_t> frac) {
    const network::TensorType type = core_.type(x.value);
    const std::int64_t count = element_count(x.shape);
    const PerElement<Rational> old_unit = unit_of(x, type);
    AffineFields fields;
    fields.multiplier = combine<Int128>(
        count, [](const Rational& old, const Rational& u) { return integer_of(Rational(old / u)); },
        old_unit, unit);
    fields.addend = combine<Int128>(
        count,
        [](const Rational& offset, const Rational& u) { return integer_of(Rational(offset / u)); },
        x.offset, unit);
    fields.frac = combine<std::int64_t>(
        count,
        [&](const Rational& u, const network::Format& format) {
            const auto log = exact_log2(u);
            return log ? std::int64_t{-*log} : frac.value_or(format.type.frac);
        },
        unit, *type.fixed);
    Linear out;
    out.shape = x.shape;
    out.where = x.where;
    out.scale = combine<Rational>(
        count,
        [](const Rational& u, std::int64_t point) {
            return Rational(u * power_of_two(static_cast<int>(point)));
        },
        unit, fields.frac);
    const bool same_frac = combine<int>(
                               count,
                               [](std::int64_t point, const network::Format& format) {
                                   return point == format.type.frac ? 1 : 0;
                               },
                               fields.frac, *type.fixed) == PerElement<int>(1);
    const bool identity = fields.multiplier == PerElement<Int128>(1) &&
                          fields.addend == PerElement<Int128>(0) && same_frac;
    out.value =
        identity ? x.value : core(affine_operator, Attributes::of(std::move(fields)), {x.value});
    return out;
}

Linear Lowering::integers(const RealTensor& tensor) {
    const Linear x = linear(tensor);
    if (x.offset == PerElement<Rational>(0)) {
        return x;
    }
    const PerElement<Rational> unit = combine<Rational>(
        element_count(x.shape),
        [](const Rational& u, const Rational& o) {
            const Rational both = gcd(u, o);
            return both == 0 ? Rational(1) : both;  // an element that is always zero
        },
        unit_of(x, core_.type(x.value)), x.offset);
    return rescale(x, unit);
}

std::vector<Linear> Lowering::common(const std::vector<RealTensor>& tensors, bool uniform) {
    return within_widest([&] { return exactly_common(tensors, uniform); },
                         [&] {
                             std::vector<Linear> out;
                             for (const RealTensor& tensor : tensors) {
                                 out.push_back(rounded(linear(tensor), 60));
                             }
                             return out;
                         });
}

std::vector<Linear> Lowering::exactly_common(const std::vector<RealTensor>& tensors, bool uniform) {
    std::vector<Linear> out;
    bool plain = true;
    for (const RealTensor& tensor : tensors) {
        out.push_back(integers(tensor));
        plain = plain && out.back().scale == PerElement<Rational>(1);
    }
    if (plain) {
        return out;  // binary points alone: fixed-point arithmetic aligns them
    }
    PerElement<Rational> unit = unit_of(out[0], core_.type(out[0].value));
    for (std::size_t i = 1; i < out.size(); ++i) {
        unit = combine<Rational>(
            element_count(out[0].shape),
            [](const Rational& a, const Rational& b) { return gcd(a, b); }, unit,
            unit_of(out[i], core_.type(out[i].value)));
    }
    if (uniform) {
        Rational one = 0;
        for (const Rational& u : unit.values()) {
            one = gcd(one, u);
        }
        unit = one;
    }
    unit = combine<Rational>(
        element_count(out[0].shape), [](const Rational& u) { return u == 0 ? Rational(1) : u; },
        unit);
    // The scale is unit * 2^frac: it is common only if the binary point is.
    std::optional<std::int64_t> frac;
    const auto fracs = [&](const Linear& x) {
        return combine<std::int64_t>(
            element_count(x.shape),
            [](const network::Format& format) { return std::int64_t{format.type.frac}; },
            *core_.type(x.value).fixed);
    };
    const PerElement<std::int64_t> first = fracs(out[0]);
    for (const Linear& x : out) {
        const bool same = combine<int>(
                              element_count(x.shape),
                              [](std::int64_t a, std::int64_t b) { return a == b ? 1 : 0; }, first,
                              fracs(x)) == PerElement<int>(1);
        if (!same || (uniform && !first.is_uniform())) {
            frac = 0;
        }
    }
    for (Linear& x : out) {
        x = rescale(x, unit, frac);
    }
    return out;
}

Linear Lowering::materialise(Linear x, const Step& step) {
    const std::int64_t count = element_count(x.shape);
    const auto zero_is_one = [](const Rational& u) { return u == 0 ? Rational(1) : u; };
    PerElement<Rational> unit = combine<Rational>(
        count, [](const Rational& u, const Rational& o) { return gcd(u, o); },
        unit_of(x, core_.type(x.value)), x.offset);
    const bool is_maximum = is(step, "maximum");
    if (is_maximum || is(step, "minimum")) {
        unit = combine<Rational>(
            count, [&](const Rational& u, const Rational& c) { return zero_is_one(gcd(u, c)); },
            unit, step.parameters[0]);
        Linear y = rescale(x, unit);
        ClampFields fields;
        fields.range = combine<Interval>(
            count,
            [&](const Rational& c, const Rational& u, const network::Format& format) {
                const Int128 bound = integer_of(Rational(c / u));
                return is_maximum ? Interval{bound, std::max(bound, format.range.high)}
                                  : Interval{std::min(bound, format.range.low), bound};
            },
            step.parameters[0], unit, *core_.type(y.value).fixed);
        y.value = core(clamp_operator, Attributes::of(std::move(fields)), {y.value});
        return y;
    }
    if (is(step, "absolute")) {
        Linear y = rescale(x, combine<Rational>(count, zero_is_one, unit));
        y.value = core(absolute_operator, Attributes(), {y.value});
        return y;
    }
    if (is(step, "leaky")) {
        unit = combine<Rational>(count, zero_is_one, unit);
        Linear y = rescale(x, unit);
        const PerElement<Rational> fine = combine<Rational>(
            count,
            [](const Rational& u, const Rational& alpha) { return gcd(u, Rational(u * alpha)); },
            unit, step.parameters[0]);
        LeakyFields fields;
        fields.positive = combine<Int128>(
            count, [](const Rational& u, const Rational& f) { return integer_of(Rational(u / f)); },
            unit, fine);
        fields.negative = combine<Int128>(
            count,
            [](const Rational& u, const Rational& f, const Rational& alpha) {
                return integer_of(Rational(u * alpha / f));
            },
            unit, fine, step.parameters[0]);
        fields.frac = combine<std::int64_t>(
            count,
            [](const Rational& f) {
                const auto log = exact_log2(f);
                return static_cast<std::int64_t>(log ? -*log : 0);
            },
            fine);
        y.scale = combine<Rational>(
            count,
            [](const Rational& f, std::int64_t frac) {
                return Rational(f * power_of_two(static_cast<int>(frac)));
            },
            fine, fields.frac);
        y.value = core(leaky_operator, Attributes::of(std::move(fields)), {y.value});
        return y;
    }
    if (const auto rounding = rounding_of(step)) {
        return linear(to_integers(*this, real(x), step, *rounding));
    }
    const bool merges = is(step, "sum") || is(step, "difference") || is(step, "product") ||
                        is(step, "larger") || is(step, "smaller");
    if (never_varies(step)) {
        return linear(affine(real(x), Rational(0), step.function->exact(0, {})));
    }
    if (has_integer_values(step) && !merges) {
        if (has_bits(step) && is_wide(core_.type(x.value))) {
            return linear(compared_step(*this, real(x), step));
        }
        RealTensor y = real(x);
        y.steps.push_back(step);
        return linear(quantize(y, integer_quantiser(-power_of_two(62), power_of_two(62))));
    }
    if (merges) {
        RealTensor f = real(x);
        RealTensor g = f;
        for (const Step& s : step.branches[0]) {
            f = this->step(std::move(f), s);
        }
        for (const Step& s : step.branches[1]) {
            g = this->step(std::move(g), s);
        }
        return linear(join_computed(*this, step.function->name, f, g));
    }
    throw Failure(Code::value_not_quantised, x.where,
                  fmt::format("its result, {}, is used without a quantiser after it, so that it is "
                              "no fixed-point number",
                              step.function->formula),
                  fmt::format("Quantise the layer's result in the model, or give its type in the "
                              "configuration (layers: {{{}: {{result: \"fixed<16,10>\"}}}}).",
                              x.where.layer));
}

}  // namespace gatewright::operators
