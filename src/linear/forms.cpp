#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/diagnostics.h"
#include "linear/adder_graph.h"
#include "linear/search.h"
#include "linear/sharing.h"

// Exact linear forms of the values of a graph. The inputs are taken in blocks, so that memory is
// bounded by values x block; coefficients are 64-bit where a bound says they fit, else 128-bit.

namespace gatewright::linear {

namespace {

constexpr UInt128 largest = static_cast<UInt128>(1) << 126;

std::size_t at(std::int32_t index) {
    return static_cast<std::size_t>(index);
}

UInt128 shift_bound(UInt128 bound, int shift) {
    return bound == 0 ? 0 : bit_length(bound) + shift > 126 ? largest : bound << shift;
}

/// Per value a bound of the sum of |coefficient| * `scale` of its input; `largest` if not below.
std::vector<UInt128> bounds_of(const AdderGraph& graph, std::vector<UInt128> bounds) {
    bounds.reserve(bounds.size() + graph.additions.size());
    for (const Addition& addition : graph.additions) {
        bounds.push_back(
            std::min(largest, shift_bound(bounds[at(addition.a)], addition.shift_a) +
                                  shift_bound(bounds[at(addition.b)], addition.shift_b)));
    }
    return bounds;
}

/// What is wrong with the graph's indices, or an empty string.
std::string malformed(const AdderGraph& graph) {
    for (std::size_t i = 0; i < graph.additions.size(); ++i) {
        const Addition& addition = graph.additions[i];
        const auto made = static_cast<std::int64_t>(graph.n_in) + static_cast<std::int64_t>(i);
        if (addition.a < 0 || addition.b < 0 || addition.a >= made || addition.b >= made) {
            return fmt::format("addition {} reads a value that is not made before it", i);
        }
        if (addition.negate_a && addition.negate_b) {
            return fmt::format("addition {} negates both operands", i);
        }
    }
    const auto values =
        static_cast<std::int64_t>(graph.n_in) + static_cast<std::int64_t>(graph.additions.size());
    for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
        if (graph.outputs[o].value < -1 || graph.outputs[o].value >= values) {
            return fmt::format("output {} reads a value that does not exist", o);
        }
    }
    return {};
}

/// Coefficients of all values for the inputs [first, first + width): forms[value * width + k].
template <class T, int width>
void fill_forms(const AdderGraph& graph, std::int32_t first, std::vector<T>& forms) {
    const std::size_t values = at(graph.n_in) + graph.additions.size();
    forms.resize(values * width);
    std::fill_n(forms.begin(), at(graph.n_in) * width, T{0});
    for (std::int32_t k = 0; k < width && first + k < graph.n_in; ++k) {
        forms[at(first + k) * width + at(k)] = 1;
    }
    T* made = forms.data() + at(graph.n_in) * width;
    for (const Addition& addition : graph.additions) {
        const T* a = forms.data() + at(addition.a) * width;
        const T* b = forms.data() + at(addition.b) * width;
        // A bound below 2^62 (2^126) holds for each value, so a shift that is wider reads zeros.
        const int limit = static_cast<int>(sizeof(T)) * 8 - 2;
        const T scale_a = (addition.negate_a ? T{-1} : T{1}) *
                          (addition.shift_a < limit ? T{1} << addition.shift_a : T{0});
        const T scale_b = (addition.negate_b ? T{-1} : T{1}) *
                          (addition.shift_b < limit ? T{1} << addition.shift_b : T{0});
        for (int k = 0; k < width; ++k) {
            made[k] = a[k] * scale_a + b[k] * scale_b;
        }
        made += width;
    }
}

constexpr int block = 16;

template <class T>
std::string compare_forms(const AdderGraph& graph, const Matrix& matrix) {
    std::vector<T> forms;
    for (std::int32_t first = 0; first < graph.n_in; first += block) {
        fill_forms<T, block>(graph, first, forms);
        for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
            const Output& output = graph.outputs[o];
            for (std::int32_t k = 0; k < block && first + k < graph.n_in; ++k) {
                Int128 coefficient = 0;
                if (output.value >= 0) {
                    coefficient = forms[at(output.value) * block + at(k)];
                    coefficient *= output.negate ? -1 : 1;
                    coefficient *= static_cast<Int128>(1) << output.shift;
                }
                const std::int64_t weight = matrix.at(first + k, static_cast<std::int64_t>(o));
                if (coefficient != weight) {
                    return fmt::format("output {} has {} times input {} where the matrix has {}", o,
                                       to_string(coefficient), first + k, weight);
                }
            }
        }
    }
    return {};
}

Int128 checked_sum(Int128 a, Int128 b) {
    Int128 sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) {
        throw Failure(Code::width_exceeded, {},
                      "a value of a constant matrix product needs more than 128 bits");
    }
    return sum;
}

Int128 checked_product(Int128 a, Int128 b) {
    Int128 product = 0;
    if (__builtin_mul_overflow(a, b, &product)) {
        throw Failure(Code::width_exceeded, {},
                      "a value of a constant matrix product needs more than 128 bits");
    }
    return product;
}

Int128 multiply_add(Int128 a, Int128 b, Int128 c) {
    return checked_sum(checked_product(a, b), c);
}
std::int64_t multiply_add(std::int64_t a, std::int64_t b, std::int64_t c) {
    return a * b + c;
}

/// T is wide enough for all coefficients, or Int128, which is checked.
template <class T>
std::vector<Interval> sum_ranges(const AdderGraph& graph, const std::vector<Interval>& ranges) {
    const std::size_t values = at(graph.n_in) + graph.additions.size();
    std::vector<T> lows(values);
    std::vector<T> highs(values);
    std::vector<T> forms;
    for (std::int32_t first = 0; first < graph.n_in; first += block) {
        fill_forms<T, block>(graph, first, forms);
        T low[block] = {};
        T high[block] = {};
        for (std::int32_t k = 0; k < block && first + k < graph.n_in; ++k) {
            low[k] = static_cast<T>(ranges[at(first + k)].low);
            high[k] = static_cast<T>(ranges[at(first + k)].high);
        }
        for (std::size_t value = 0; value < values; ++value) {
            const T* form = forms.data() + value * block;
            T sum_low = lows[value];
            T sum_high = highs[value];
            for (int k = 0; k < block; ++k) {
                sum_low = multiply_add(form[k], form[k] < 0 ? high[k] : low[k], sum_low);
                sum_high = multiply_add(form[k], form[k] < 0 ? low[k] : high[k], sum_high);
            }
            lows[value] = sum_low;
            highs[value] = sum_high;
        }
    }
    std::vector<Interval> result(values);
    for (std::size_t value = 0; value < values; ++value) {
        result[value] = {lows[value], highs[value]};
    }
    return result;
}

UInt128 magnitude(Int128 value) {
    return value < 0 ? UInt128{0} - static_cast<UInt128>(value) : static_cast<UInt128>(value);
}

bool all_below(const std::vector<UInt128>& bounds, int bits) {
    return std::ranges::all_of(
        bounds, [&](UInt128 bound) { return bound < static_cast<UInt128>(1) << bits; });
}

}  // namespace

std::string prove(const AdderGraph& graph, const Matrix& matrix) {
    if (graph.n_in != matrix.n_in ||
        static_cast<std::int64_t>(graph.outputs.size()) != matrix.n_out) {
        return fmt::format("the graph is {} x {}, the matrix {} x {}", graph.n_in,
                           graph.outputs.size(), matrix.n_in, matrix.n_out);
    }
    if (std::string wrong = malformed(graph); !wrong.empty()) {
        return wrong;
    }
    const std::vector<UInt128> bounds =
        bounds_of(graph, std::vector<UInt128>(at(graph.n_in), UInt128{1}));
    for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
        const Output& output = graph.outputs[o];
        if (output.value >= 0 && shift_bound(bounds[at(output.value)], output.shift) >= largest) {
            return fmt::format("output {} may have coefficients of more than 126 bits", o);
        }
    }
    if (!all_below(bounds, 126)) {
        return "a value may have coefficients of more than 126 bits";
    }
    return all_below(bounds, 62) ? compare_forms<std::int64_t>(graph, matrix)
                                 : compare_forms<Int128>(graph, matrix);
}

std::vector<Interval> ranges_of(const AdderGraph& graph, const std::vector<Interval>& ranges) {
    std::vector<UInt128> scales(at(graph.n_in));
    std::ranges::transform(ranges, scales.begin(), [](const Interval& range) {
        return std::min(largest,
                        std::max({UInt128{1}, magnitude(range.low), magnitude(range.high)}));
    });
    // The bound with a scale of at least 1 also bounds the coefficients themselves.
    if (all_below(bounds_of(graph, std::move(scales)), 62)) {
        return sum_ranges<std::int64_t>(graph, ranges);
    }
    if (!all_below(bounds_of(graph, std::vector<UInt128>(at(graph.n_in), UInt128{1})), 126)) {
        throw Failure(Code::width_exceeded, {},
                      "a constant matrix has coefficients of more than 126 bits");
    }
    return sum_ranges<Int128>(graph, ranges);
}

Figures figures_of(const AdderGraph& graph, const std::vector<Interval>& ranges,
                   const std::vector<int>& arrival) {
    const std::vector<Interval> exact = ranges_of(graph, ranges);
    Figures figures;
    figures.adders = static_cast<std::int64_t>(graph.additions.size());
    std::vector<std::int64_t> depths(arrival.begin(), arrival.end());
    depths.resize(at(graph.n_in));
    for (const Output& output : graph.outputs) {
        if (output.value >= 0 && output.value < graph.n_in) {
            figures.depth = std::max(figures.depth, depths[at(output.value)]);
        }
    }
    for (std::size_t i = 0; i < graph.additions.size(); ++i) {
        const Addition& addition = graph.additions[i];
        depths.push_back(std::max(depths[at(addition.a)], depths[at(addition.b)]) + 1);
        figures.depth = std::max(figures.depth, depths.back());
        figures.full_adder_bits += full_adder_bits(addition, width_for(exact[at(graph.n_in) + i]));
    }
    return figures;
}

Figures figures_of(const AdderGraph& graph, const std::vector<Interval>& ranges) {
    return figures_of(graph, ranges, {});
}

}  // namespace gatewright::linear
