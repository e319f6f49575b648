#include "operators/row.h"

#include <algorithm>
#include <bit>

#include "operators/core.h"

namespace gatewright::operators {

namespace {

using fixed::Fixed;
using FixedSpan = std::span<const Fixed>;
using Rows = std::vector<std::vector<Fixed>>;

Shape without_last(const Shape& shape) {
    return shape.empty() ? shape : Shape(shape.begin(), shape.end() - 1);
}

std::vector<TensorType> infer_reduction(const Node& node, std::span<const TensorType> inputs) {
    return infer_row(node, inputs, {without_last(inputs[0].shape)});
}

Rows sum(fixed::Builder& builder, const Node&, FixedSpan x) {
    return {{builder.sum(x)}};
}

std::vector<TensorType> infer_accumulate(const Node& node, std::span<const TensorType> inputs) {
    const auto& f = node.fields<AccumulateFields>();
    Shape shape = inputs[0].shape;
    const bool fits =
        f.weights.shape.size() == 2 && !shape.empty() && shape.back() == f.weights.shape[0] &&
        !f.accumulator.is_exact() && f.initial.shape == Shape{f.weights.shape[1]} &&
        element_count(f.weights.shape) == static_cast<std::int64_t>(f.weights.values.size()) &&
        f.initial.shape[0] == static_cast<std::int64_t>(f.initial.values.size());
    if (!fits) {
        throw Failure(Code::operator_inputs, node.where,
                      "the weights, first summands and accumulator do not fit the input's rows");
    }
    shape.back() = f.weights.shape[1];
    return infer_row(node, inputs, {shape});
}

Rows accumulate(fixed::Builder& builder, const Node& node, FixedSpan x) {
    const auto& f = node.fields<AccumulateFields>();
    const std::int64_t columns = f.weights.shape[1];
    std::vector<Fixed> row;
    for (std::int64_t o = 0; o < columns; ++o) {
        const auto quantize = [&](const Fixed& sum) {
            return builder.quantize(sum, f.accumulator.type, f.accumulator.rounding,
                                    f.accumulator.overflow);
        };
        Fixed sum = quantize(builder.constant(f.initial.values[static_cast<std::size_t>(o)],
                                              static_cast<int>(f.initial_frac)));
        for (std::size_t k = 0; k < x.size(); ++k) {
            const std::int64_t weight =
                f.weights
                    .values[k * static_cast<std::size_t>(columns) + static_cast<std::size_t>(o)];
            if (weight != 0) {  // what the accumulator holds is not changed by rounding it again
                const Fixed product = builder.mul_constant(x[k], weight, static_cast<int>(f.frac));
                sum = quantize(builder.add(sum, product));
            }
        }
        row.push_back(sum);
    }
    return {row};
}

/// Joins neighbours pairwise until one is left: a tree of least depth.
template <class T, class F>
T tree(std::vector<T> items, F join) {
    while (items.size() > 1) {
        std::vector<T> next;
        for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
            next.push_back(join(items[i], items[i + 1]));
        }
        if (items.size() % 2 == 1) {
            next.push_back(items.back());
        }
        items = std::move(next);
    }
    return items.front();
}

Rows largest(fixed::Builder& builder, const Node&, FixedSpan x) {
    return {{tree(std::vector<Fixed>(x.begin(), x.end()),
                  [&](const Fixed& a, const Fixed& b) { return builder.max(a, b); })}};
}
Rows smallest(fixed::Builder& builder, const Node&, FixedSpan x) {
    return {{tree(std::vector<Fixed>(x.begin(), x.end()),
                  [&](const Fixed& a, const Fixed& b) { return builder.min(a, b); })}};
}

/// An element and its position.
struct Ranked {
    Fixed value;
    Fixed position;
};

Rows argmax(fixed::Builder& builder, const Node& node, FixedSpan x) {
    const auto& f = node.fields<ArgmaxFields>();
    std::vector<Ranked> items;
    for (std::size_t i = 0; i < x.size(); ++i) {
        items.push_back({x[i], builder.constant(static_cast<Int128>(i), 0)});
    }
    const Ranked best = tree(std::move(items), [&](const Ranked& a, const Ranked& b) {
        // Does b, which stands behind a, win?
        const auto less = [&](const Fixed& p, const Fixed& q) {
            return f.smallest ? builder.less(q, p) : builder.less(p, q);
        };
        const Fixed wins =
            f.last ? builder.logical_not(less(b.value, a.value)) : less(a.value, b.value);
        return Ranked{f.smallest ? builder.min(a.value, b.value) : builder.max(a.value, b.value),
                      builder.select(wins, b.position, a.position)};
    });
    return {{best.position}};
}

std::vector<TensorType> infer_top_k(const Node& node, std::span<const TensorType> inputs) {
    const std::int64_t k = node.fields<TopKFields>().k;
    Shape shape = inputs[0].shape;
    if (shape.empty() || k < 1 || k > shape.back()) {
        throw Failure(Code::operator_inputs, node.where,
                      "the k of top-k exceeds the elements along its axis, or is below 1");
    }
    shape.back() = k;
    return infer_row(node, inputs, {shape, shape});
}

Rows top_k(fixed::Builder& builder, const Node& node, FixedSpan x) {
    const auto& f = node.fields<TopKFields>();
    std::vector<Ranked> items;
    for (std::size_t i = 0; i < x.size(); ++i) {
        items.push_back({x[i], builder.constant(static_cast<Int128>(i), 0)});
    }
    // Batcher's odd-even merge sort for any length. Equal values are ordered by position, so the
    // comparison includes it.
    const auto exchange = [&](std::size_t i, std::size_t j) {
        Ranked& a = items[i];
        Ranked& b = items[j];
        const Fixed ahead =
            f.smallest ? builder.less(b.value, a.value) : builder.less(a.value, b.value);
        const Fixed tie = builder.equal(a.value, b.value);
        const Fixed behind = builder.less(b.position, a.position);
        const Fixed swap = builder.max(ahead, builder.mul(tie, behind));
        const Ranked first{builder.select(swap, b.value, a.value),
                           builder.select(swap, b.position, a.position)};
        b = {builder.select(swap, a.value, b.value), builder.select(swap, a.position, b.position)};
        a = first;
    };
    const std::size_t n = items.size();
    for (std::size_t p = 1; p < n; p *= 2) {
        for (std::size_t k = p; k >= 1; k /= 2) {
            for (std::size_t j = k % p; j + k < n; j += 2 * k) {
                for (std::size_t i = 0; i < std::min(k, n - j - k); ++i) {
                    if ((i + j) / (2 * p) == (i + j + k) / (2 * p)) {
                        exchange(i + j, i + j + k);
                    }
                }
            }
        }
    }
    Rows out(2);
    for (std::int64_t i = 0; i < f.k; ++i) {
        out[0].push_back(items[static_cast<std::size_t>(i)].value);
        out[1].push_back(items[static_cast<std::size_t>(i)].position);
    }
    return out;
}

using network::field_table;
using network::NoFields;

}  // namespace

const network::Operator row_accumulate_operator = {
    .name = "row_accumulate",
    .formula =
        "y[..., o] = quantize(... quantize(quantize(initial[o]) + x[..., 0] weights[0, o]) "
        "... + x[..., K - 1] weights[K - 1, o])",
    .fields = &field_table<AccumulateFields>,
    .infer = &infer_accumulate,
    .row = &accumulate};
const network::Operator row_sum_operator = {.name = "row_sum",
                                            .formula = "y = sum of x along the last axis",
                                            .fields = &field_table<NoFields>,
                                            .infer = &infer_reduction,
                                            .row = &sum};
const network::Operator row_max_operator = {.name = "row_max",
                                            .formula = "y = largest x along the last axis",
                                            .fields = &field_table<NoFields>,
                                            .infer = &infer_reduction,
                                            .row = &largest};
const network::Operator row_min_operator = {.name = "row_min",
                                            .formula = "y = smallest x along the last axis",
                                            .fields = &field_table<NoFields>,
                                            .infer = &infer_reduction,
                                            .row = &smallest};
const network::Operator row_argmax_operator = {
    .name = "row_argmax",
    .formula = "y = position of the largest x along the last axis",
    .fields = &field_table<ArgmaxFields>,
    .infer = &infer_reduction,
    .row = &argmax};
const network::Operator row_top_k_operator = {
    .name = "row_top_k",
    .formula = "y0, y1 = the k largest x along the last axis, and their positions",
    .fields = &field_table<TopKFields>,
    .infer = &infer_top_k,
    .row = &top_k};

}  // namespace gatewright::operators
