// Softmax: on real numbers, as the last step of a decoding, and, before a quantiser, as a program
// of tables, an exact sum and a product, with a bound of its error.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

Step softmax_step(const SoftmaxFields& f) {
    return make_step(f.logarithm ? "log_softmax" : "softmax", {Rational(f.axis)});
}

std::vector<TensorType> infer_softmax(const Node& node, Types inputs) {
    const std::int64_t axis = node.fields<SoftmaxFields>().axis;
    if (axis < 0 || axis >= static_cast<std::int64_t>(inputs[0].shape.size())) {
        throw Failure(
            Code::operator_inputs, node.where,
            fmt::format("there is no axis {} in shape {}", axis, to_string(inputs[0].shape)));
    }
    return {{inputs[0].shape, std::nullopt}};
}

std::vector<Tensor> softmax_reference(const Node& node, Tensors inputs) {
    Tensor y = *inputs[0];
    const Step step = softmax_step(node.fields<SoftmaxFields>());
    apply_in_place(std::span(&step, 1), y);
    return {y};
}

void lower_softmax(Lowering& lowering, const Node& node) {
    lowering.set(
        lowering.step(lowering.input(node, 0), softmax_step(node.fields<SoftmaxFields>())));
}

Step quantiser(int frac, std::int64_t low, std::int64_t high) {
    return make_step("quantize", {power_of_two(-frac), Rational(0), Rational(low), Rational(high)});
}

int bits_of(std::int64_t value) {
    return bit_length(static_cast<UInt128>(value));
}

}  // namespace

RealTensor quantized_softmax(Lowering& lowering, const RealTensor& x, const Step& softmax,
                             const Step& result) {
    if (is(softmax, "log_softmax")) {
        lowering.refuse(Code::not_in_circuit, "log-softmax has no form in a circuit",
                        "Drop it with --final-activation drop: the order of the classes stays.");
    }
    const auto axis = softmax.parameters[0].values().front().convert_to<std::int64_t>();
    const std::int64_t classes = x.shape[static_cast<std::size_t>(axis)];
    Shape permutation;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(x.shape.size()); ++i) {
        if (i != axis) {
            permutation.push_back(i);
        }
    }
    permutation.push_back(axis);
    Shape back(permutation.size());
    for (std::size_t i = 0; i < permutation.size(); ++i) {
        back[static_cast<std::size_t>(permutation[i])] = static_cast<std::int64_t>(i);
    }

    // Four bits below the result's last keep the error of the tables under half of it.
    Rational smallest = result.parameters[0].values().front();
    for (const Rational& s : result.parameters[0].values()) {
        smallest = std::min(smallest, s);
    }
    const int result_bits = static_cast<int>(std::ceil(-std::log2(to_double(smallest))));
    const int frac = std::clamp(result_bits + 4, 6, 16);
    const int sum_frac = std::clamp(13 - bits_of(classes), 4, frac);

    // d = x - max(x) <= 0; below -(frac + 2) log 2 the exponential rounds to zero.
    const Linear rows = lowering.common({lowering.transpose(x, permutation)}, true).front();
    Linear largest;
    largest.where = lowering.where();
    largest.value = lowering.core(row_max_operator, Attributes(), {rows.value});
    largest.shape = lowering.type(largest.value).shape;
    largest.scale = rows.scale;
    Shape column = largest.shape;
    column.push_back(1);
    const Value top = lowering.linear(lowering.reshape(lowering.real(largest), column)).value;
    Linear difference;
    difference.where = lowering.where();
    difference.shape = rows.shape;
    difference.scale = rows.scale;
    difference.value = lowering.core(subtract_operator, Attributes(), {rows.value, top});
    RealTensor d = lowering.real(difference);
    const int limit = static_cast<int>(std::ceil((frac + 2) * 0.6931471805599454));
    d = lowering.real(lowering.linear(lowering.step(d, make_step("maximum", {Rational(-limit)}))));

    // e = exp(d), its sum, the sum's reciprocal, the product.
    const std::int64_t one = std::int64_t{1} << frac;
    const RealTensor e = lowering.step(lowering.step(d, make_step("exp")), quantiser(frac, 0, one));
    const Linear terms = lowering.linear(e);
    Linear sum;
    sum.where = lowering.where();
    sum.value = lowering.core(row_sum_operator, Attributes(), {terms.value});
    sum.shape = lowering.type(sum.value).shape;
    RealTensor s = lowering.real(sum);
    s = lowering.step(s, quantiser(sum_frac, 0, (classes + 1) << sum_frac));
    // The largest class has e = 1, so the sum is at least 1.
    s = lowering.step(s, make_step("maximum", {Rational(1)}));
    s = lowering.step(lowering.step(s, make_step("reciprocal")), quantiser(frac, 0, one));
    const Value reciprocal = lowering.linear(lowering.reshape(s, column)).value;
    Linear product;
    product.where = lowering.where();
    product.value = lowering.core(multiply_operator, Attributes(), {terms.value, reciprocal});
    product.shape = rows.shape;

    const double exp_error = std::ldexp(1.0, -(frac + 1));
    const double sum_error = static_cast<double>(classes) * exp_error +
                             (sum_frac < frac ? std::ldexp(1.0, -(sum_frac + 1)) : 0.0);
    const double bound =
        exp_error + (sum_error + std::ldexp(1.0, -(frac + 1))) + to_double(smallest) / 2;
    lowering.approximation(
        fmt::format("softmax from tables of exp and 1/x with {} fractional bits", frac), bound);
    return lowering.step(lowering.transpose(lowering.real(product), back), result);
}

const network::Operator softmax_operator = {.name = "softmax",
                                            .formula = "y = exp(x) / sum of exp(x) along an axis",
                                            .fields = &field_table<SoftmaxFields>,
                                            .infer = &infer_softmax,
                                            .reference = &softmax_reference,
                                            .lower = &lower_softmax};

}  // namespace gatewright::operators
