// Layers of products and sums: matrix product and convolution.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "operators/convolution.h"
#include "operators/core.h"
#include "operators/layers.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/row.h"

namespace gatewright::operators {

namespace {

using network::Attributes;
using network::field_table;
using Types = std::span<const TensorType>;
using Tensors = std::span<const Tensor* const>;

[[noreturn]] void refuse(const Node& node, std::string message) {
    throw Failure(Code::operator_inputs, node.where, std::move(message));
}

/// a[..., M, K] * b[..., K, N], or a vector at either side, as NumPy's matmul.
Shape matmul_shape(const Node& node, const Shape& a, const Shape& b) {
    const auto misfit = [&] {
        refuse(node,
               fmt::format("shapes {} and {} have no matrix product", to_string(a), to_string(b)));
    };
    if (a.empty() || b.empty()) {
        misfit();
    }
    const std::int64_t k = b.size() == 1 ? b[0] : b[b.size() - 2];
    if (a.back() != k) {
        misfit();
    }
    const Shape a_batch = a.size() > 2 ? Shape(a.begin(), a.end() - 2) : Shape{};
    const Shape b_batch = b.size() > 2 ? Shape(b.begin(), b.end() - 2) : Shape{};
    const auto batch = broadcast(a_batch, b_batch);
    if (!batch) {
        misfit();
    }
    Shape shape = *batch;
    if (a.size() > 1) {
        shape.push_back(a[a.size() - 2]);
    }
    if (b.size() > 1) {
        shape.push_back(b.back());
    }
    return shape;
}

/// A bias has one element for each column.
bool fits_columns(const Shape& bias, std::int64_t columns) {
    return element_count(bias) == columns &&
           std::count_if(bias.begin(), bias.end(), [](std::int64_t n) { return n != 1; }) <= 1;
}

std::vector<TensorType> infer_matmul(const Node& node, Types inputs) {
    const Shape& b = inputs[1].shape;
    if (inputs.size() == 3 && !fits_columns(inputs[2].shape, b.size() == 1 ? 1 : b.back())) {
        refuse(node, fmt::format("a bias of shape {} does not fit weights of shape {}",
                                 to_string(inputs[2].shape), to_string(b)));
    }
    return {{matmul_shape(node, inputs[0].shape, inputs[1].shape), std::nullopt}};
}

std::vector<Tensor> matmul_reference(const Node& node, Tensors inputs) {
    const Accumulation& accumulator = node.fields<MatmulFields>().accumulator;
    Shape a = inputs[0]->shape;
    Shape b = inputs[1]->shape;
    Tensor y{matmul_shape(node, a, b), {}};
    if (a.size() == 1) {
        a.insert(a.begin(), 1);
    }
    if (b.size() == 1) {
        b.push_back(1);
    }
    const std::int64_t m = a[a.size() - 2];
    const std::int64_t k = a.back();
    const std::int64_t n = b.back();
    const Shape a_batch(a.begin(), a.end() - 2);
    const Shape b_batch(b.begin(), b.end() - 2);
    const Shape batch = *broadcast(a_batch, b_batch);
    const auto a_index = broadcast_index(a_batch, batch);
    const auto b_index = broadcast_index(b_batch, batch);
    for (std::size_t i = 0; i < a_index.size(); ++i) {
        const double* p = inputs[0]->values.data() + a_index[i] * m * k;
        const double* q = inputs[1]->values.data() + b_index[i] * k * n;
        for (std::int64_t r = 0; r < m; ++r) {
            std::vector<double> row(static_cast<std::size_t>(n), 0.0);
            if (inputs.size() == 3) {
                row = inputs[2]->values;
            }
            for (double& sum : row) {
                sum = quantized(sum, accumulator);
            }
            for (std::int64_t j = 0; j < k; ++j) {
                const double value = p[r * k + j];
                for (std::int64_t c = 0; c < n; ++c) {
                    double& sum = row[static_cast<std::size_t>(c)];
                    sum = std::fma(value, q[j * n + c], sum);
                    sum = quantized(sum, accumulator);
                }
            }
            y.values.insert(y.values.end(), row.begin(), row.end());
        }
    }
    return {y};
}

/// The last two axes swapped.
Shape swapped(std::size_t rank) {
    Shape swap(rank);
    std::iota(swap.begin(), swap.end(), std::int64_t{0});
    std::swap(swap[rank - 1], swap[rank - 2]);
    return swap;
}

/// Product of two computed tensors: all pairs multiplied, then summed along the rows.
void lower_dynamic_matmul(Lowering& lowering, const Node& node) {
    RealTensor a = lowering.input(node, 0);
    RealTensor b = lowering.input(node, 1);
    if (a.shape.size() == 1) {
        a = lowering.reshape(a, {1, a.shape[0]});
    }
    if (b.shape.size() == 1) {
        b = lowering.reshape(b, {b.shape[0], 1});
    }
    // a[..., M, 1, K] * b'[..., 1, N, K]
    const Shape swap = swapped(b.shape.size());
    b = lowering.transpose(b, swap);
    Shape a_shape = a.shape;
    a_shape.insert(a_shape.end() - 1, 1);
    Shape b_shape = b.shape;
    b_shape.insert(b_shape.end() - 2, 1);
    a = lowering.reshape(a, a_shape);
    b = lowering.reshape(b, b_shape);
    const Linear x = lowering.common({a}, true).front();
    const Linear y = lowering.common({b}, true).front();
    Linear out;
    out.where = lowering.where();
    out.scale = Rational(x.scale.values().front() * y.scale.values().front());
    const Value products = lowering.core(multiply_operator, Attributes(), {x.value, y.value});
    out.value = lowering.core(row_sum_operator, Attributes(), {products});
    out.shape = lowering.type(out.value).shape;
    lowering.set(lowering.reshape(lowering.real(out), node.types.front().shape));
}

/// x[batch..., M, K] times a stack of constant matrices w[batch..., K, N]; batches broadcast.
RealTensor times_stack(Lowering& lowering, const RealTensor& x, const Tensor& w, const Tensor& bias,
                       const Accumulation& accumulator) {
    const Shape vector_as_matrix = {1, x.shape.back()};
    const Shape& own = x.shape.size() == 1 ? vector_as_matrix : x.shape;
    const Shape w_batch(w.shape.begin(), w.shape.end() - 2);
    const Shape batch = *broadcast(Shape(own.begin(), own.end() - 2), w_batch);
    const std::int64_t groups = element_count(batch);
    const std::int64_t rows = own[own.size() - 2];
    const std::int64_t length = own.back();
    const std::int64_t columns = w.shape.back();
    Tensor weights{{groups, length, columns}, {}};
    for (const std::int64_t g : broadcast_index(w_batch, batch)) {
        const auto first = w.values.begin() + static_cast<std::ptrdiff_t>(g * length * columns);
        weights.values.insert(weights.values.end(), first,
                              first + static_cast<std::ptrdiff_t>(length * columns));
    }
    Shape full = batch;
    full.insert(full.end(), {rows, length});
    RealTensor y = expanded(lowering, lowering.reshape(x, own), full);
    y = lowering.transpose(lowering.reshape(y, {groups, rows, length}), {1, 0, 2});
    Tensor biases = bias;
    for (std::int64_t g = 1; g < groups; ++g) {
        biases.values.insert(biases.values.end(), bias.values.begin(), bias.values.end());
    }
    y = lowering.transpose(lowering.accumulate(y, weights, biases, accumulator), {1, 0, 2});
    full.back() = columns;
    return lowering.reshape(y, full);
}

void lower_matmul(Lowering& lowering, const Node& node) {
    const Accumulation& accumulator = node.fields<MatmulFields>().accumulator;
    const bool left = lowering.is_constant(node, 0);
    const bool right = lowering.is_constant(node, 1);
    if (node.inputs.size() == 3 && (left || !right || !lowering.is_constant(node, 2))) {
        lowering.refuse(Code::not_in_circuit,
                        "it has a bias, and its weights or it are no constants",
                        "Add the bias in a layer of its own.");
    }
    if (!left && !right) {
        if (!accumulator.is_exact()) {
            lowering.refuse(Code::not_in_circuit,
                            "an accumulator adds products of constants, and both factors are "
                            "computed",
                            "Leave `accumulator` out for this layer.", "accumulator");
        }
        lower_dynamic_matmul(lowering, node);
        return;
    }
    const RealTensor& x = lowering.input(node, left ? 1 : 0);
    Tensor w = lowering.input(node, left ? 0 : 1).constant;
    const bool stack =
        w.shape.size() > 2 && element_count(w.shape) > w.shape[w.shape.size() - 2] * w.shape.back();
    if (!stack && w.shape.size() > 2) {
        w.shape = Shape(w.shape.end() - 2, w.shape.end());
    }
    const Tensor bias = node.inputs.size() == 3 ? lowering.input(node, 2).constant : Tensor{};
    const Shape& shape = node.types.front().shape;
    if (stack && !left) {
        lowering.set(lowering.reshape(times_stack(lowering, x, w, bias, accumulator), shape));
        return;
    }
    if (stack) {
        // W x = (x' W')'
        Node transposition;
        transposition.op = &transpose_operator;
        transposition.attributes = Attributes::of(TransposeFields{swapped(w.shape.size())});
        const std::vector<const Tensor*> arguments = {&w};
        const Tensor turned = move_reference(transposition, arguments).front();
        const RealTensor columns =
            x.shape.size() == 1 ? x : lowering.transpose(x, swapped(x.shape.size()));
        RealTensor y = times_stack(lowering, columns, turned, bias, accumulator);
        y = lowering.transpose(y, swapped(y.shape.size()));
        lowering.set(lowering.reshape(y, shape));
        return;
    }
    if (!left) {
        const std::int64_t columns = w.shape.size() == 1 ? 1 : w.shape[1];
        w.shape = {1, w.shape[0], columns};
        lowering.set(lowering.reshape(lowering.accumulate(x, w, bias, accumulator), shape));
        return;
    }
    // W x = (x' W')'
    const std::int64_t rows = w.shape.size() == 1 ? 1 : w.shape[0];
    const std::int64_t k = w.shape.back();
    Tensor transposed{{1, k, rows}, std::vector<double>(w.values.size())};
    for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t i = 0; i < k; ++i) {
            transposed.values[static_cast<std::size_t>(i * rows + r)] =
                w.values[static_cast<std::size_t>(r * k + i)];
        }
    }
    if (x.shape.size() == 1) {
        lowering.set(
            lowering.reshape(lowering.accumulate(x, transposed, bias, accumulator), shape));
        return;
    }
    const Shape swap = swapped(x.shape.size());
    const RealTensor y =
        lowering.accumulate(lowering.transpose(x, swap), transposed, bias, accumulator);
    lowering.set(lowering.reshape(lowering.transpose(y, swap), shape));
}

WindowFields window_of(const Node& node, const Shape& w) {
    const auto& f = node.fields<ConvFields>();
    return {Shape(w.begin() + 2, w.end()), f.strides, f.dilations, f.before, f.after, false};
}

Shape conv_shape(const Node& node, const Shape& x, const Shape& w) {
    const auto& f = node.fields<ConvFields>();
    const bool sound = w.size() >= 3 && x.size() + 1 == w.size() && f.groups >= 1 &&
                       x[0] == w[1] * f.groups && w[0] % f.groups == 0 &&
                       f.strides.size() + 2 == w.size() && f.dilations.size() + 2 == w.size() &&
                       f.before.size() + 2 == w.size() && f.after.size() + 2 == w.size();
    if (!sound) {
        refuse(node, fmt::format("weights of shape {} in {} groups do not fit an input of shape {}",
                                 to_string(w), f.groups, to_string(x)));
    }
    const WindowFields window = window_of(node, w);
    Shape shape{w[0]};
    for (std::size_t i = 0; i + 2 < w.size(); ++i) {
        shape.push_back(window_extent(window, i, x[i + 1]));
        if (shape.back() < 1) {
            refuse(node, fmt::format("weights of shape {} are larger than the padded input of "
                                     "shape {}",
                                     to_string(w), to_string(x)));
        }
    }
    return shape;
}

std::vector<TensorType> infer_conv(const Node& node, Types inputs) {
    const Shape& w = inputs[1].shape;
    if (inputs.size() == 3 && element_count(inputs[2].shape) != w[0]) {
        refuse(node, fmt::format("a bias of shape {} does not fit {} channels",
                                 to_string(inputs[2].shape), w[0]));
    }
    return {{conv_shape(node, inputs[0].shape, w), std::nullopt}};
}

std::vector<Tensor> conv_reference(const Node& node, Tensors inputs) {
    const Tensor& x = *inputs[0];
    const Tensor& w = *inputs[1];
    const auto& f = node.fields<ConvFields>();
    Node window;
    window.op = &window_operator;
    window.attributes = Attributes::of(window_of(node, w.shape));
    const std::vector<const Tensor*> arguments = {&x};
    const Tensor patches = move_reference(window, arguments).front();
    Tensor y{conv_shape(node, x.shape, w.shape), {}};
    const std::int64_t channels = w.shape[0];
    const std::int64_t per_group = channels / f.groups;
    const std::int64_t length = element_count(w.shape) / channels;
    const std::int64_t positions = element_count(y.shape) / channels;
    for (std::int64_t o = 0; o < channels; ++o) {
        const double* weights = w.values.data() + o * length;
        for (std::int64_t p = 0; p < positions; ++p) {
            const double* patch = patches.values.data() + (p * f.groups + o / per_group) * length;
            double sum = inputs.size() == 3 ? inputs[2]->values[static_cast<std::size_t>(o)] : 0;
            sum = quantized(sum, f.accumulator);
            for (std::int64_t k = 0; k < length; ++k) {
                sum = std::fma(patch[k], weights[k], sum);
                sum = quantized(sum, f.accumulator);
            }
            y.values.push_back(sum);
        }
    }
    return {y};
}

void lower_conv(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<ConvFields>();
    const Tensor& w = constant_weights(lowering, node);
    lowering.set(convolve(lowering, lowering.input(node, 0), window_of(node, w.shape), w, f.groups,
                          node.inputs.size() == 3 ? lowering.input(node, 2).constant : Tensor{},
                          f.accumulator));
}

}  // namespace

const Tensor& constant_weights(Lowering& lowering, const Node& node) {
    for (std::size_t i = 1; i < node.inputs.size(); ++i) {
        if (!lowering.is_constant(node, i)) {
            lowering.refuse(Code::not_in_circuit, "its weights are computed",
                            "Make them initialisers of the model.");
        }
    }
    return lowering.input(node, 1).constant;
}

RealTensor convolve(Lowering& lowering, const RealTensor& x, const WindowFields& window,
                    const Tensor& w, std::int64_t groups, const Tensor& bias,
                    const Accumulation& accumulator) {
    const std::int64_t channels = w.shape[0];
    const std::int64_t per_group = channels / groups;
    const std::int64_t length = element_count(w.shape) / channels;
    Node patches;
    patches.op = &window_operator;
    patches.attributes = Attributes::of(window);
    patches.where = lowering.where();
    RealTensor rows = lowering.move(patches, {x});
    Shape last(rows.shape.begin(), rows.shape.end() - 1);
    if (groups > 1) {
        Shape split = last;
        split.push_back(groups);
        split.push_back(length);
        rows = lowering.reshape(rows, split);
    }
    Tensor weights{{groups, length, per_group}, std::vector<double>(w.values.size())};
    for (std::int64_t o = 0; o < channels; ++o) {
        const std::int64_t g = o / per_group;
        for (std::int64_t k = 0; k < length; ++k) {
            weights.values[static_cast<std::size_t>((g * length + k) * per_group + o % per_group)] =
                w.values[static_cast<std::size_t>(o * length + k)];
        }
    }
    // In an accumulator, sums begin with the bias; else it is one exact summand, best added last.
    const bool begins = !accumulator.is_exact();
    RealTensor y = lowering.accumulate(rows, weights, begins ? bias : Tensor{}, accumulator);
    last.push_back(channels);
    y = lowering.reshape(y, last);
    Shape to_front{static_cast<std::int64_t>(last.size()) - 1};
    for (std::size_t i = 0; i + 1 < last.size(); ++i) {
        to_front.push_back(static_cast<std::int64_t>(i));
    }
    y = lowering.transpose(y, to_front);
    if (!bias.values.empty() && !begins) {
        Tensor by_channel = bias;
        by_channel.shape.assign(y.shape.size(), 1);
        by_channel.shape[0] = channels;
        y = lowering.affine(y, Rational(1), broadcast_constant(by_channel, y.shape));
    }
    return y;
}

// clang-format off
const network::Operator matmul_operator = {
    .name = "matmul", .formula = "y[..., m, n] = bias[n] + sum over k of a[..., m, k] b[..., k, n]", .min_inputs = 2,
    .max_inputs = 3, .fields = &field_table<MatmulFields>, .infer = &infer_matmul, .reference = &matmul_reference, .lower = &lower_matmul};
const network::Operator conv_operator = {
    .name = "conv", .formula = "y[o, p] = bias[o] + sum over c, k of w[o, c, k] x[c, p stride + k dilation - before]",
    .min_inputs = 2, .max_inputs = 3, .fields = &field_table<ConvFields>, .infer = &infer_conv, .reference = &conv_reference,
    .lower = &lower_conv};
// clang-format on

}  // namespace gatewright::operators
