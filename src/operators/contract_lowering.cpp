// Lowering::contract: real weights become integers and scales.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "operators/core.h"
#include "operators/lowering.h"

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

RealTensor Lowering::contract(const RealTensor& tensor, const Tensor& weights) {
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
    if (widest > (scaled ? 62 : most_weight_bits)) {
        refuse(Code::weights_not_quantised,
               fmt::format("its weights need {} bits to be exact, so the model does not quantise "
                           "them",
                           widest),
               fmt::format("Quantise them in the model, or give their type in the configuration "
                           "(layers: {{{}: {{weight: \"fixed<8,6>\"}}}}).",
                           where_.layer),
               "weight");
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

}  // namespace gatewright::operators
