// Lowering::contract: real weights become integers and scales.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/move.h"
#include "operators/row.h"

namespace gatewright::operators {

namespace {

using network::Attributes;

constexpr int most_weight_bits = 24;  ///< beyond it, weights are taken as never quantised

/// The largest unit of which all weights of a column are integer multiples.
Rational unit_of_column(const std::vector<Rational>& weights) {
    Rational unit = 0;
    for (const Rational& weight : weights) {
        unit = gcd(unit, weight);
    }
    return unit;
}

/// The same for doubles, in 128-bit integers; nothing if they spread too far.
std::optional<Rational> fast_unit(const double* weights, std::int64_t count, std::int64_t stride) {
    int lowest = 1 << 20;
    int highest = -(1 << 20);
    for (std::int64_t k = 0; k < count; ++k) {
        const double w = weights[k * stride];
        if (w != 0) {
            int exponent = 0;
            std::frexp(w, &exponent);
            highest = std::max(highest, exponent);
            const auto mantissa =
                static_cast<std::int64_t>(std::ldexp(std::frexp(w, &exponent), 53));
            lowest = std::min(lowest, exponent - 53 +
                                          trailing_zeros(static_cast<UInt128>(
                                              mantissa < 0 ? -static_cast<Int128>(mantissa)
                                                           : static_cast<Int128>(mantissa))));
        }
    }
    if (highest < lowest) {
        return Rational(0);
    }
    if (highest - lowest > 62) {
        return std::nullopt;
    }
    std::int64_t unit = 0;
    for (std::int64_t k = 0; k < count; ++k) {
        const auto integer = static_cast<std::int64_t>(std::ldexp(weights[k * stride], -lowest));
        unit = std::gcd(unit, integer);
    }
    return Rational(unit) * power_of_two(lowest);
}

}  // namespace

void Lowering::refuse_weights(int bits) const {
    refuse(Code::weights_not_quantised,
           fmt::format("its weights need {} bits to be exact, so the model does not quantise them",
                       bits),
           fmt::format("Quantise them in the model, or give their type in the configuration "
                       "(layers: {{{}: {{weight: \"fixed<8,6>\"}}}}).",
                       where_.layer),
           "weight");
}

RealTensor Lowering::contract(const RealTensor& tensor, const Tensor& weights) {
    return within_widest([&] { return exactly_contract(tensor, weights); },
                         [&] {
                             constexpr int bits = 60;
                             const Linear x = linear(tensor);
                             const int frac = 2 * bits - 30 - digits_before_point(x);
                             return exactly_contract(real(rounded(x, bits, frac)), weights);
                         });
}

RealTensor Lowering::exactly_contract(const RealTensor& tensor, const Tensor& weights) {
    const std::int64_t groups = weights.shape[0];
    const std::int64_t length = weights.shape[1];
    const std::int64_t columns = weights.shape[2];
    const std::int64_t row = groups * length;
    Linear x = linear(tensor);
    const auto repeats = [&](const PerElement<Rational>& p) {
        return p.is_uniform() ||
               (row % (p.inner() * static_cast<std::int64_t>(p.values().size())) == 0);
    };
    if (!repeats(x.scale) || !repeats(x.offset)) {
        x = common({real(x)}, true).front();
    }
    // The weights as they act on the integers' values: the inputs' scales are inside if they
    // differ.
    const bool scaled = !x.scale.is_uniform();
    std::vector<Rational> units(static_cast<std::size_t>(groups * columns));
    std::vector<Rational> exact;
    if (scaled) {
        exact.resize(weights.values.size());
        for (std::int64_t g = 0; g < groups; ++g) {
            for (std::int64_t k = 0; k < length; ++k) {
                for (std::int64_t o = 0; o < columns; ++o) {
                    const auto i = static_cast<std::size_t>((g * length + k) * columns + o);
                    exact[i] = to_rational(weights.values[i]) * x.scale.at(g * length + k);
                }
            }
        }
    }
    for (std::int64_t g = 0; g < groups; ++g) {
        for (std::int64_t o = 0; o < columns; ++o) {
            const std::int64_t first = g * length * columns + o;
            std::optional<Rational> unit;
            if (!scaled) {
                unit = fast_unit(weights.values.data() + first, length, columns);
            }
            if (!unit) {
                std::vector<Rational> column;
                for (std::int64_t k = 0; k < length; ++k) {
                    const auto i = static_cast<std::size_t>(first + k * columns);
                    column.push_back(scaled ? exact[i] : to_rational(weights.values[i]));
                }
                unit = unit_of_column(column);
            }
            units[static_cast<std::size_t>(g * columns + o)] = *unit;
        }
    }
    // Columns whose units differ by powers of two share one unit and shift; else each keeps its own
    // scale. A column of zeros takes any.
    Rational shared = 0;
    bool by_powers = true;
    for (const Rational& unit : units) {
        if (unit == 0) {
            continue;
        }
        if (shared == 0) {
            shared = unit;
        } else if (const auto log = exact_log2(Rational(unit / shared))) {
            shared = *log < 0 ? unit : shared;
        } else {
            by_powers = false;
        }
    }
    if (shared == 0) {
        shared = 1;
    }
    ContractFields fields;
    fields.weights = {weights.shape, std::vector<std::int64_t>(weights.values.size())};
    std::vector<Rational> scales;
    for (Rational& unit : units) {
        unit = by_powers || unit == 0 ? shared : unit;
        scales.push_back(unit);
    }
    if (by_powers) {
        if (const auto log = exact_log2(shared)) {
            fields.frac = -*log;
            scales.assign(scales.size(), Rational(1));
        }
    }
    int widest = 0;
    for (std::int64_t g = 0; g < groups; ++g) {
        for (std::int64_t o = 0; o < columns; ++o) {
            const Rational& unit = units[static_cast<std::size_t>(g * columns + o)];
            const double unit_double = to_double(unit);
            const bool exact_unit = to_rational(unit_double) == unit;
            for (std::int64_t k = 0; k < length; ++k) {
                const auto i = static_cast<std::size_t>((g * length + k) * columns + o);
                Int128 integer = 0;
                const double quotient = weights.values[i] / unit_double;
                if (!scaled && exact_unit && std::abs(quotient) < 9e15) {
                    integer = static_cast<std::int64_t>(quotient);  // exact: a multiple
                } else {
                    const Rational value = scaled ? exact[i] : to_rational(weights.values[i]);
                    const auto whole =
                        to_int128(boost::multiprecision::numerator(Rational(value / unit)));
                    integer = whole ? *whole : static_cast<Int128>(1) << 100;
                }
                widest = std::max(
                    widest, bit_length(static_cast<UInt128>(integer < 0 ? -integer : integer)));
                fields.weights.values[i] = static_cast<std::int64_t>(integer);
            }
        }
    }
    if (scaled && widest > 62) {
        refuse(Code::width_exceeded,
               "its weights, times the scales of its inputs, need too many bits",
               "Use one scale for all inputs.");
    }
    if (!scaled && widest > most_weight_bits) {
        refuse_weights(widest);
    }
    Linear out;
    out.where = where_;
    out.value = core(contract_operator, Attributes::of(std::move(fields)), {x.value});
    out.shape = core_.type(out.value).shape;
    const std::int64_t out_row = groups * columns;
    // A scale per column repeats for each row.
    const auto per_column = [&](std::vector<Rational> values) {
        PerElement<Rational> p = PerElement<Rational>::each(std::move(values));
        return p;
    };
    out.scale = combine<Rational>(
        element_count(out.shape),
        [](const Rational& a, const Rational& b) { return Rational(a * b); },
        per_column(std::move(scales)), scaled ? PerElement<Rational>(Rational(1)) : x.scale);
    if (!(x.offset.is_uniform() && x.offset.values().front() == 0)) {
        std::vector<Rational> offsets(static_cast<std::size_t>(out_row), Rational(0));
        for (std::int64_t g = 0; g < groups; ++g) {
            for (std::int64_t k = 0; k < length; ++k) {
                const Rational& o = x.offset.at(g * length + k);
                for (std::int64_t c = 0; c < columns; ++c) {
                    offsets[static_cast<std::size_t>(g * columns + c)] +=
                        o * to_rational(weights.values[static_cast<std::size_t>(
                                (g * length + k) * columns + c)]);
                }
            }
        }
        out.offset = per_column(std::move(offsets));
    }
    return real(out);
}

RealTensor Lowering::accumulate(const RealTensor& tensor, const Tensor& weights,
                                const Tensor& initial, const Accumulation& accumulator) {
    const std::int64_t groups = weights.shape[0];
    const std::int64_t length = weights.shape[1];
    const std::int64_t columns = weights.shape[2];
    const std::int64_t row = groups * length;
    std::vector<Rational> first(static_cast<std::size_t>(groups * columns), Rational(0));
    for (std::size_t i = 0; i < initial.values.size(); ++i) {
        first[i] = to_rational(quantized(initial.values[i], accumulator));
    }
    const auto exact = [&] {
        return affine(contract(tensor, weights), Rational(1), PerElement<Rational>::each(first));
    };
    if (accumulator.is_exact()) {
        return exact();
    }
    Linear x = integers(tensor);
    if (!x.scale.is_uniform() &&
        row % (x.scale.inner() * static_cast<std::int64_t>(x.scale.values().size())) != 0) {
        x = common({tensor}, true).front();
    }
    // What each position of a row can hold, in any row.
    struct Position {
        Rational low;
        Rational high;
        int frac = 0;
        bool seen = false;
    };
    std::vector<Position> positions(static_cast<std::size_t>(row));
    const PerElement<network::Format> formats = *core_.type(x.value).fixed;
    for (std::int64_t e = 0; e < element_count(x.shape); ++e) {
        const network::Format& format = formats.at(e);
        Position& p = positions[static_cast<std::size_t>(e % row)];
        const Rational unit = x.scale.at(e) * power_of_two(-format.type.frac);
        const Rational a = unit * Rational(to_bigint(format.range.low));
        const Rational b = unit * Rational(to_bigint(format.range.high));
        p.low = p.seen ? std::min({p.low, a, b}) : std::min(a, b);
        p.high = p.seen ? std::max({p.high, a, b}) : std::max(a, b);
        p.frac = p.seen ? std::max(p.frac, format.type.frac) : format.type.frac;
        p.seen = true;
    }
    // Does no product need rounding, and does no sum on the way leave the accumulator?
    const auto is_integer = [](const Rational& v) {
        return boost::multiprecision::denominator(v) == 1;
    };
    const Rational grid = power_of_two(accumulator.type.frac);
    const Interval range = accumulator.range();
    const Rational lowest = Rational(to_bigint(range.low)) / grid;
    const Rational highest = Rational(to_bigint(range.high)) / grid;
    std::vector<Rational> scaled(weights.values.size());
    bool on_grid = true;
    bool inside = true;
    for (std::int64_t g = 0; g < groups; ++g) {
        for (std::int64_t o = 0; o < columns; ++o) {
            Rational low = first[static_cast<std::size_t>(g * columns + o)];
            Rational high = low;
            for (std::int64_t k = 0; k < length; ++k) {
                const auto i = static_cast<std::size_t>((g * length + k) * columns + o);
                const Position& p = positions[static_cast<std::size_t>(g * length + k)];
                const Rational weight = to_rational(weights.values[i]);
                scaled[i] = weight * x.scale.at(g * length + k);
                on_grid = on_grid && is_integer(scaled[i] * power_of_two(-p.frac) * grid);
                low += std::min(Rational(weight * p.low), Rational(weight * p.high));
                high += std::max(Rational(weight * p.low), Rational(weight * p.high));
                inside = inside && low >= lowest && high <= highest;
            }
        }
    }
    if (on_grid && inside) {
        return exact();
    }
    if (on_grid && accumulator.overflow == Overflow::wrap) {
        // Wrapping keeps an integer's residue modulo 2^width, and the residue of a sum is that of
        // the sum of residues: to wrap once at the end is to wrap at each sum.
        Step wrap =
            make_step("quantize", {Rational(1 / grid), Rational(0), Rational(to_bigint(range.low)),
                                   Rational(to_bigint(range.high))});
        wrap.rounding = accumulator.rounding;
        wrap.overflow = Overflow::wrap;
        return step(exact(), wrap);
    }
    int frac = 0;
    int widest = 0;
    for (const Rational& weight : scaled) {
        const auto log = exact_log2(Rational(boost::multiprecision::denominator(weight)));
        if (!log) {
            refuse(
                Code::not_in_circuit,
                "its accumulator adds numbers whose scale is no power of two, which no type "
                "holds exactly",
                "Leave `accumulator` out for this layer, or quantise its inputs and weights with "
                "scales that are powers of two.",
                "accumulator");
        }
        frac = std::max(frac, *log);
    }
    AccumulateFields fields;
    fields.frac = frac;
    fields.accumulator = accumulator;
    fields.weights.shape = {length, columns};
    fields.initial.shape = {columns};
    fields.initial_frac = accumulator.type.frac;
    std::vector<std::int64_t> integers;
    for (const Rational& weight : scaled) {
        const BigInt integer =
            boost::multiprecision::numerator(Rational(weight * power_of_two(frac)));
        widest =
            integer == 0
                ? widest
                : std::max(widest,
                           static_cast<int>(boost::multiprecision::msb(BigInt(abs(integer)))) + 1);
        integers.push_back(widest > 62 ? 0 : integer.convert_to<std::int64_t>());
    }
    if (widest > 62) {
        refuse_weights(widest);
    }
    // As in a contraction, by column: each may have a power of two of its own.
    for (std::int64_t c = 0; c < groups * columns && x.scale.is_uniform(); ++c) {
        std::uint64_t used = 0;
        for (std::int64_t k = 0; k < length; ++k) {
            const auto i =
                static_cast<std::size_t>((c / columns * length + k) * columns + c % columns);
            used |= static_cast<std::uint64_t>(std::abs(integers[i]));
        }
        const int bits = used == 0 ? 0 : bit_length(used) - trailing_zeros(used);
        if (bits > most_weight_bits) {
            refuse_weights(bits);
        }
    }
    const auto sums_of_group = [&](std::int64_t g, Value value) {
        const auto begin = integers.begin() + static_cast<std::ptrdiff_t>(g * length * columns);
        fields.weights.values.assign(begin, begin + static_cast<std::ptrdiff_t>(length * columns));
        fields.initial.values.clear();
        for (std::int64_t o = 0; o < columns; ++o) {
            const Rational sum = first[static_cast<std::size_t>(g * columns + o)] * grid;
            fields.initial.values.push_back(
                boost::multiprecision::numerator(sum).convert_to<std::int64_t>());
        }
        return core(row_accumulate_operator, Attributes::of(fields), {value});
    };
    Linear out;
    out.where = where_;
    if (groups == 1) {
        out.value = sums_of_group(0, x.value);
    } else {
        SliceFields slice;
        slice.sizes = core_.type(x.value).shape;
        slice.starts.assign(slice.sizes.size(), 0);
        slice.steps.assign(slice.sizes.size(), 1);
        const std::size_t axis = slice.sizes.size() - 2;
        slice.sizes[axis] = 1;
        std::vector<Value> parts;
        for (std::int64_t g = 0; g < groups; ++g) {
            slice.starts[axis] = g;
            parts.push_back(
                sums_of_group(g, core(slice_operator, Attributes::of(slice), {x.value})));
        }
        out.value =
            core(concat_operator, Attributes::of(ConcatFields{static_cast<std::int64_t>(axis)}),
                 std::move(parts));
    }
    out.shape = core_.type(out.value).shape;
    return real(out);
}

}  // namespace gatewright::operators
