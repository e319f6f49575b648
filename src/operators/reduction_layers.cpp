// Layers that reduce: pooling, reductions over axes, argmax and top-k.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "operators/core.h"
#include "operators/layers.h"
#include "operators/lowering.h"
#include "operators/move.h"
#include "operators/pooling.h"
#include "operators/row.h"

namespace gatewright::operators {

WindowFields pool_window(const PoolFields& f) {
    return {f.kernel, f.strides, f.dilations, f.before, f.after, f.kind == "max"};
}

std::vector<std::int64_t> pool_counts(const PoolFields& f, const Shape& x, const Shape& y) {
    std::vector<std::int64_t> out;
    const Shape positions(y.begin() + 1, y.end());
    const auto strides = strides_of(positions);
    const std::int64_t count = element_count(positions);
    for (std::int64_t p = 0; p < count; ++p) {
        std::int64_t product = 1;
        for (std::size_t i = 0; i < positions.size(); ++i) {
            const std::int64_t first = (p / strides[i]) % positions[i] * f.strides[i] - f.before[i];
            const std::int64_t low = f.count_padding ? -f.before[i] : 0;
            const std::int64_t uncounted = f.uncounted.empty() ? 0 : f.uncounted[i];
            const std::int64_t high = x[i + 1] + (f.count_padding ? f.after[i] - uncounted : 0);
            std::int64_t inside = 0;
            for (std::int64_t k = 0; k < f.kernel[i]; ++k) {
                const std::int64_t at = first + k * f.dilations[i];
                inside += at >= low && at < high ? 1 : 0;
            }
            product *= inside;
        }
        out.push_back(std::max<std::int64_t>(1, product));
    }
    return out;
}

namespace {

using network::Attributes;
using network::field_table;
using Types = std::span<const TensorType>;
using Tensors = std::span<const Tensor* const>;

[[noreturn]] void refuse(const Node& node, std::string message) {
    throw Failure(Code::operator_inputs, node.where, std::move(message));
}

/// A row without elements has no mean and no largest element.
void check_has_elements(const Node& node, const Shape& shape, const Shape& axes) {
    const bool has_none = std::any_of(axes.begin(), axes.end(), [&](std::int64_t axis) {
        return shape[static_cast<std::size_t>(axis)] == 0;
    });
    if (has_none) {
        refuse(node, fmt::format("axes {} of shape {} have no elements to reduce", to_string(axes),
                                 to_string(shape)));
    }
}

/// The permutation that brings `axes` (sorted) to the end, the others keeping their order.
Shape axes_last(std::size_t rank, const Shape& axes) {
    Shape permutation;
    for (std::size_t i = 0; i < rank; ++i) {
        if (std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) == axes.end()) {
            permutation.push_back(static_cast<std::int64_t>(i));
        }
    }
    permutation.insert(permutation.end(), axes.begin(), axes.end());
    return permutation;
}

Shape inverse(const Shape& permutation) {
    Shape out(permutation.size());
    for (std::size_t i = 0; i < permutation.size(); ++i) {
        out[static_cast<std::size_t>(permutation[i])] = static_cast<std::int64_t>(i);
    }
    return out;
}

/// x with `axes` at the end, joined to one: [others..., product of axes].
RealTensor rows_of(Lowering& lowering, const RealTensor& x, const Shape& axes) {
    RealTensor y = lowering.transpose(x, axes_last(x.shape.size(), axes));
    const std::size_t kept = y.shape.size() - axes.size();
    Shape shape(y.shape.begin(), y.shape.begin() + static_cast<std::ptrdiff_t>(kept));
    shape.push_back(std::accumulate(y.shape.begin() + static_cast<std::ptrdiff_t>(kept),
                                    y.shape.end(), std::int64_t{1}, std::multiplies<>()));
    return lowering.reshape(y, shape);
}

/// Reduces the last axis: sums with a common scale, extrema with a common scale as well.
RealTensor reduce_rows(Lowering& lowering, const RealTensor& x, const std::string& kind) {
    const network::Operator& op = kind == "max"   ? row_max_operator
                                  : kind == "min" ? row_min_operator
                                                  : row_sum_operator;
    const Linear rows = lowering.common({x}, true).front();
    Linear out;
    out.where = lowering.where();
    out.value = lowering.core(op, Attributes(), {rows.value});
    out.shape = lowering.type(out.value).shape;
    out.scale = rows.scale;
    return lowering.real(out);
}

/// The product along the last axis, as a tree of halves.
RealTensor product_of_rows(Lowering& lowering, RealTensor x) {
    const std::size_t last = x.shape.size() - 1;
    const auto part = [&](std::int64_t begin, std::int64_t size) {
        SliceFields fields{Shape(x.shape.size(), 0), Shape(x.shape.size(), 1), x.shape};
        fields.starts[last] = begin;
        fields.sizes[last] = size;
        Node slice;
        slice.op = &slice_operator;
        slice.attributes = Attributes::of(std::move(fields));
        return lowering.move(slice, {x});
    };
    while (x.shape[last] > 1) {
        const std::int64_t half = x.shape[last] / 2;
        const RealTensor first = part(0, half);
        RealTensor y = merged(lowering, "product", first, part(half, half), first.shape);
        if (x.shape[last] % 2 == 1) {
            Node concat;
            concat.op = &concat_operator;
            concat.attributes = Attributes::of(ConcatFields{static_cast<std::int64_t>(last)});
            y = lowering.move(concat, {y, part(2 * half, 1)});
        }
        x = std::move(y);
    }
    return x;
}

// Orders of numbers in which what is no number comes last, as it does in the frameworks.
bool is_below(double a, double b) {
    return a < b || (std::isnan(b) && !std::isnan(a));
}
bool is_above(double a, double b) {
    return a > b || (std::isnan(b) && !std::isnan(a));
}

Shape reduced_shape(const Shape& x, const Shape& axes, bool keep) {
    Shape shape;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bool reduced =
            std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
        if (!reduced) {
            shape.push_back(x[i]);
        } else if (keep) {
            shape.push_back(1);
        }
    }
    return shape;
}

std::vector<TensorType> infer_reduce(const Node& node, Types inputs) {
    const auto& f = node.fields<ReduceFields>();
    const auto rank = static_cast<std::int64_t>(inputs[0].shape.size());
    const bool sound = std::is_sorted(f.axes.begin(), f.axes.end()) &&
                       std::adjacent_find(f.axes.begin(), f.axes.end()) == f.axes.end() &&
                       std::all_of(f.axes.begin(), f.axes.end(),
                                   [&](std::int64_t axis) { return axis >= 0 && axis < rank; }) &&
                       (f.kind == "sum" || f.kind == "mean" || f.kind == "prod" ||
                        f.kind == "max" || f.kind == "min");
    if (!sound) {
        refuse(node, fmt::format("axes {} do not fit shape {}", to_string(f.axes),
                                 to_string(inputs[0].shape)));
    }
    check_has_elements(node, inputs[0].shape, f.axes);
    return {{reduced_shape(inputs[0].shape, f.axes, f.keep), std::nullopt}};
}

/// Calls visit(row, element) for each element, with the row of the other axes that it belongs to.
template <class F>
void for_each_in_rows(const Shape& shape, const Shape& axes, F visit) {
    const Shape kept = reduced_shape(shape, axes, true);
    const auto strides = strides_of(shape);
    const auto kept_strides = strides_of(kept);
    const std::int64_t count = element_count(shape);
    for (std::int64_t e = 0; e < count; ++e) {
        std::int64_t row = 0;
        for (std::size_t i = 0; i < shape.size(); ++i) {
            row += kept[i] == 1 ? 0 : (e / strides[i]) % shape[i] * kept_strides[i];
        }
        visit(static_cast<std::size_t>(row), static_cast<std::size_t>(e));
    }
}

std::vector<Tensor> reduce_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<ReduceFields>();
    const Tensor& x = *inputs[0];
    Tensor y{reduced_shape(x.shape, f.axes, f.keep), {}};
    const auto rows = static_cast<std::size_t>(element_count(y.shape));
    std::vector<std::vector<double>> members(rows);
    for_each_in_rows(x.shape, f.axes,
                     [&](std::size_t row, std::size_t e) { members[row].push_back(x.values[e]); });
    for (const std::vector<double>& row : members) {
        double value = 0;
        if (f.kind == "max") {
            value = *std::max_element(row.begin(), row.end(), is_below);
        } else if (f.kind == "min") {
            value = *std::max_element(row.begin(), row.end(), is_above);
        } else if (f.kind == "prod") {
            value = std::accumulate(row.begin(), row.end(), 1.0, std::multiplies<>());
        } else {
            value = std::accumulate(row.begin(), row.end(), 0.0);
            value = f.kind == "mean" ? value / static_cast<double>(row.size()) : value;
        }
        y.values.push_back(value);
    }
    return {y};
}

void lower_reduce(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<ReduceFields>();
    const RealTensor& x = lowering.input(node, 0);
    if (f.axes.empty()) {
        lowering.set(x);
        return;
    }
    const RealTensor rows = rows_of(lowering, x, f.axes);
    RealTensor y =
        f.kind == "prod" ? product_of_rows(lowering, rows) : reduce_rows(lowering, rows, f.kind);
    if (f.kind == "mean") {
        y = lowering.affine(std::move(y), ratio(1, rows.shape.back()), Rational(0));
    }
    lowering.set(lowering.reshape(y, node.types.front().shape));
}

std::vector<TensorType> infer_pool(const Node& node, Types inputs) {
    const auto& f = node.fields<PoolFields>();
    Node window;
    window.op = &window_operator;
    window.attributes = Attributes::of(pool_window(f));
    window.where = node.where;
    const std::vector<TensorType> x = {{inputs[0].shape, std::nullopt}};
    Shape shape = window_operator.infer(window, x).front().shape;
    shape.back() = inputs[0].shape[0];
    std::rotate(shape.begin(), shape.end() - 1, shape.end());
    return {{shape, std::nullopt}};
}

std::vector<Tensor> pool_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<PoolFields>();
    const Tensor& x = *inputs[0];
    const std::vector<TensorType> types = {{x.shape, std::nullopt}};
    Tensor y{infer_pool(node, types).front().shape, {}};
    Node window;
    window.op = &window_operator;
    window.attributes = Attributes::of(pool_window(f));
    const Tensor patches = move_reference(window, inputs).front();
    const std::int64_t channels = x.shape[0];
    const std::int64_t length = element_count(f.kernel);
    const std::int64_t positions = element_count(y.shape) / channels;
    const std::vector<std::int64_t> counts = pool_counts(f, x.shape, y.shape);
    for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t p = 0; p < positions; ++p) {
            const double* patch = patches.values.data() + (p * channels + c) * length;
            y.values.push_back(f.kind == "max"
                                   ? *std::max_element(patch, patch + length, is_below)
                                   : std::accumulate(patch, patch + length, 0.0) /
                                         static_cast<double>(counts[static_cast<std::size_t>(p)]));
        }
    }
    return {y};
}

void lower_pool(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<PoolFields>();
    const RealTensor& x = lowering.input(node, 0);
    const Shape& shape = node.types.front().shape;
    const std::int64_t channels = x.shape[0];
    Node window;
    window.op = &window_operator;
    window.attributes = Attributes::of(pool_window(f));
    window.where = node.where;
    RealTensor patches = lowering.move(window, {x});
    Shape split(shape.begin() + 1, shape.end());
    split.push_back(channels);
    split.push_back(element_count(f.kernel));
    patches = lowering.reshape(patches, split);
    RealTensor y = reduce_rows(lowering, patches, f.kind == "max" ? "max" : "sum");
    Shape to_front{static_cast<std::int64_t>(shape.size()) - 1};
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) {
        to_front.push_back(static_cast<std::int64_t>(i));
    }
    y = lowering.transpose(y, to_front);
    if (f.kind == "average") {
        std::vector<Rational> factors;
        for (const std::int64_t count : pool_counts(f, x.shape, shape)) {
            factors.push_back(ratio(1, count));
        }
        y = lowering.affine(std::move(y), PerElement<Rational>::each(std::move(factors)),
                            Rational(0));
    }
    lowering.set(y);
}

void check_axis(const Node& node, const Shape& x, std::int64_t axis) {
    if (axis < 0 || axis >= static_cast<std::int64_t>(x.size())) {
        refuse(node, fmt::format("there is no axis {} in shape {}", axis, to_string(x)));
    }
}

std::vector<TensorType> infer_argmax(const Node& node, Types inputs) {
    const auto& f = node.fields<ArgLayerFields>();
    check_axis(node, inputs[0].shape, f.axis);
    check_has_elements(node, inputs[0].shape, {f.axis});
    return {{reduced_shape(inputs[0].shape, {f.axis}, f.keep), std::nullopt}};
}

std::vector<Tensor> argmax_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<ArgLayerFields>();
    const Tensor& x = *inputs[0];
    Tensor y{reduced_shape(x.shape, {f.axis}, f.keep), {}};
    std::vector<std::vector<double>> members(static_cast<std::size_t>(element_count(y.shape)));
    for_each_in_rows(x.shape, {f.axis},
                     [&](std::size_t row, std::size_t e) { members[row].push_back(x.values[e]); });
    for (const std::vector<double>& row : members) {
        std::size_t best = 0;
        for (std::size_t i = 1; i < row.size(); ++i) {
            const bool better =
                f.smallest ? is_above(row[best], row[i]) : is_below(row[best], row[i]);
            best = better || (f.last && row[i] == row[best]) ? i : best;
        }
        y.values.push_back(static_cast<double>(best));
    }
    return {y};
}

/// Steps at the end that rise strictly and alike for all elements change no order.
RealTensor without_rising_tail(RealTensor x) {
    const auto rises = [](const Step& step) {
        const bool uniform =
            std::all_of(step.parameters.begin(), step.parameters.end(),
                        [](const PerElement<Rational>& p) { return p.is_uniform(); });
        return is(step, "softmax") || is(step, "log_softmax") || is(step, "sigmoid") ||
               is(step, "tanh") || is(step, "exp") || is(step, "softplus") ||
               (is(step, "affine") && uniform && step.parameters[0].values().front() > 0);
    };
    while (!x.steps.empty() && rises(x.steps.back())) {
        x.steps.pop_back();
    }
    return x;
}

void lower_argmax(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<ArgLayerFields>();
    const RealTensor rows =
        rows_of(lowering, without_rising_tail(lowering.input(node, 0)), {f.axis});
    const Linear x = lowering.common({rows}, true).front();
    Linear out;
    out.where = lowering.where();
    out.value = lowering.core(row_argmax_operator, Attributes::of(ArgmaxFields{f.smallest, f.last}),
                              {x.value});
    out.shape = lowering.type(out.value).shape;
    lowering.set(lowering.reshape(lowering.real(out), node.types.front().shape));
}

std::vector<TensorType> infer_top_k(const Node& node, Types inputs) {
    const auto& f = node.fields<TopKLayerFields>();
    check_axis(node, inputs[0].shape, f.axis);
    Shape shape = inputs[0].shape;
    if (f.k < 1 || f.k > shape[static_cast<std::size_t>(f.axis)]) {
        refuse(node, fmt::format("k = {} does not fit axis {} of shape {}", f.k, f.axis,
                                 to_string(shape)));
    }
    shape[static_cast<std::size_t>(f.axis)] = f.k;
    return {{shape, std::nullopt}, {shape, std::nullopt}};
}

std::vector<Tensor> top_k_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<TopKLayerFields>();
    const Tensor& x = *inputs[0];
    Shape shape = x.shape;
    shape[static_cast<std::size_t>(f.axis)] = f.k;
    Tensor values = Tensor::filled(shape, 0);
    Tensor positions = values;
    const std::int64_t inner = strides_of(x.shape)[static_cast<std::size_t>(f.axis)];
    const std::int64_t length = x.shape[static_cast<std::size_t>(f.axis)];
    const std::int64_t rows = element_count(x.shape) / length;
    for (std::int64_t r = 0; r < rows; ++r) {
        const std::int64_t first = r / inner * inner * length + r % inner;
        std::vector<std::int64_t> order(static_cast<std::size_t>(length));
        std::iota(order.begin(), order.end(), std::int64_t{0});
        const auto at = [&](std::int64_t i) {
            return x.values[static_cast<std::size_t>(first + i * inner)];
        };
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
            // What is no number is largest.
            return f.smallest ? is_below(at(a), at(b)) : is_below(at(b), at(a));
        });
        const std::int64_t out = r / inner * inner * f.k + r % inner;
        for (std::int64_t i = 0; i < f.k; ++i) {
            const auto to = static_cast<std::size_t>(out + i * inner);
            values.values[to] = at(order[static_cast<std::size_t>(i)]);
            positions.values[to] = static_cast<double>(order[static_cast<std::size_t>(i)]);
        }
    }
    return {values, positions};
}

void lower_top_k(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<TopKLayerFields>();
    const RealTensor& input = lowering.input(node, 0);
    const RealTensor rows = rows_of(lowering, input, {f.axis});
    const Linear x = lowering.common({rows}, true).front();
    const Value value =
        lowering.core(row_top_k_operator, Attributes::of(TopKFields{f.k, f.smallest}), {x.value});
    const Shape back = inverse(axes_last(input.shape.size(), {f.axis}));
    Linear out;
    out.where = lowering.where();
    out.shape = lowering.type(value).shape;
    out.value = value;
    out.scale = x.scale;
    lowering.set(lowering.transpose(lowering.real(out), back), 0);
    out.value = {value.node, 1};
    out.scale = Rational(1);
    lowering.set(lowering.transpose(lowering.real(out), back), 1);
}

}  // namespace

// clang-format off
const network::Operator reduce_operator = {
    .name = "reduce", .formula = "y = sum, mean, product, max or min of x over axes", .fields = &field_table<ReduceFields>,
    .infer = &infer_reduce, .reference = &reduce_reference, .lower = &lower_reduce};
const network::Operator pool_operator = {
    .name = "pool", .formula = "y[c, p] = max or mean over k of x[c, p stride + k dilation - before]",
    .fields = &field_table<PoolFields>, .infer = &infer_pool, .reference = &pool_reference, .lower = &lower_pool};
const network::Operator argmax_operator = {
    .name = "argmax", .formula = "y = position of the largest (smallest) x along an axis",
    .fields = &field_table<ArgLayerFields>, .infer = &infer_argmax, .reference = &argmax_reference, .lower = &lower_argmax};
const network::Operator top_k_operator = {
    .name = "top_k", .formula = "y0, y1 = the k largest (smallest) x along an axis, and their positions",
    .fields = &field_table<TopKLayerFields>, .infer = &infer_top_k, .reference = &top_k_reference, .lower = &lower_top_k};
// clang-format on

}  // namespace gatewright::operators
