// Element-wise layers: the functions of function.h, quantisers, batch normalisation and division.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "operators/core.h"
#include "operators/layers.h"
#include "operators/lowering.h"

namespace gatewright::operators {

namespace {

using network::field_table;
using network::NoFields;
using Types = std::span<const TensorType>;
using Tensors = std::span<const Tensor* const>;

[[noreturn]] void refuse(const Node& node, std::string message) {
    throw Failure(Code::operator_inputs, node.where, std::move(message));
}

/// Checks that parameters broadcast to x.
std::vector<TensorType> infer_like_first(const Node& node, Types inputs) {
    for (const TensorType& type : inputs) {
        if (broadcast(type.shape, inputs[0].shape) != inputs[0].shape) {
            refuse(node, fmt::format("a parameter of shape {} does not broadcast to {}",
                                     to_string(type.shape), to_string(inputs[0].shape)));
        }
    }
    return {{inputs[0].shape, std::nullopt}};
}

std::vector<TensorType> infer_function(const Node& node, Types inputs) {
    const Function* function = find_function(node.fields<FunctionFields>().function);
    if (function == nullptr || function->value == nullptr ||
        (function->parameters >= 0 &&
         static_cast<std::size_t>(function->parameters) + 1 != inputs.size())) {
        refuse(node, fmt::format("there is no function '{}' of {} parameters",
                                 node.fields<FunctionFields>().function, inputs.size() - 1));
    }
    return infer_like_first(node, inputs);
}

std::vector<Tensor> function_reference(const Node& node, Tensors inputs) {
    const Function* function = find_function(node.fields<FunctionFields>().function);
    Tensor y = *inputs[0];
    std::vector<std::vector<std::int64_t>> index;
    for (std::size_t i = 1; i < inputs.size(); ++i) {
        index.push_back(broadcast_index(inputs[i]->shape, y.shape));
    }
    std::vector<long double> p(index.size());
    for (std::size_t e = 0; e < y.values.size(); ++e) {
        for (std::size_t i = 0; i < p.size(); ++i) {
            p[i] = inputs[i + 1]->values[static_cast<std::size_t>(index[i][e])];
        }
        y.values[e] = static_cast<double>(function->value(y.values[e], p));
    }
    return {y};
}

void lower_function(Lowering& lowering, const Node& node) {
    Step step = make_step(node.fields<FunctionFields>().function);
    const RealTensor& x = lowering.input(node, 0);
    for (std::size_t i = 1; i < node.inputs.size(); ++i) {
        if (!lowering.is_constant(node, i)) {
            lowering.refuse(Code::not_in_circuit, "a parameter of the function is no constant",
                            "Make it an initialiser of the model.");
        }
        step.parameters.push_back(broadcast_constant(lowering.input(node, i).constant, x.shape));
    }
    if (is(step, "float_round") && step.parameters[0].is_uniform() &&
        step.parameters[0].values().front() <= 5) {
        // All results lie on the grid of the smallest step; that none is infinite, the function
        // itself demands.
        const Rational bias = step.parameters[2].values().front();
        const Rational digits = step.parameters[1].values().front();
        const int frac = static_cast<int>(to_double(bias + digits)) - 1;
        const Rational most = power_of_two(frac + 32);
        Step grid =
            make_step("quantize", {power_of_two(-frac), Rational(0), Rational(-most), most});
        lowering.set(lowering.step(lowering.step(x, std::move(step)), std::move(grid)));
        return;
    }
    lowering.set(lowering.step(x, std::move(step)));
}

std::vector<TensorType> infer_fake_quantize(const Node& node, Types inputs) {
    const auto& f = node.fields<FakeQuantizeFields>();
    for (const Tensor* p : {&f.scale, &f.zero_point, &f.low, &f.high}) {
        if (broadcast(p->shape, inputs[0].shape) != inputs[0].shape) {
            refuse(node, fmt::format("a quantiser parameter of shape {} does not broadcast to {}",
                                     to_string(p->shape), to_string(inputs[0].shape)));
        }
    }
    return {{inputs[0].shape, std::nullopt}};
}

/// One rounding of a float, as frameworks do it.
double round_float(float x, Rounding rounding) {
    const float below = std::floor(x);
    const float rest = x - below;
    const float above = below + 1;
    const bool negative = x < 0;
    switch (rounding) {
        case Rounding::floor:
            return below;
        case Rounding::ceil:
            return std::ceil(x);
        case Rounding::toward_zero:
            return std::trunc(x);
        case Rounding::away:
            return negative ? std::floor(x) : std::ceil(x);
        case Rounding::half_up:
            return rest < 0.5F ? below : above;
        case Rounding::half_down:
            return rest > 0.5F ? above : below;
        case Rounding::half_even:
            return std::nearbyint(x);
        case Rounding::half_away:
            return std::round(x);
        case Rounding::half_zero:
            return rest == 0.5F ? std::trunc(x) : (rest < 0.5F ? below : above);
    }
    return below;
}

/// In float32, as the frameworks do: also constants (weights) are folded by this, so that a weight
/// stored as the float nearest to a multiple of its scale is that multiple.
std::vector<Tensor> fake_quantize_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<FakeQuantizeFields>();
    Tensor y = *inputs[0];
    const auto scale = broadcast_index(f.scale.shape, y.shape);
    const auto zero_point = broadcast_index(f.zero_point.shape, y.shape);
    const auto low = broadcast_index(f.low.shape, y.shape);
    const auto high = broadcast_index(f.high.shape, y.shape);
    for (std::size_t e = 0; e < y.values.size(); ++e) {
        const double s = f.scale.values[static_cast<std::size_t>(scale[e])];
        const double z = f.zero_point.values[static_cast<std::size_t>(zero_point[e])];
        const double l = f.low.values[static_cast<std::size_t>(low[e])];
        const double h = f.high.values[static_cast<std::size_t>(high[e])];
        const float scaled = static_cast<float>(
            static_cast<float>(y.values[e]) / static_cast<float>(s) + static_cast<float>(z));
        double level = round_float(scaled, f.rounding);
        if (f.overflow == Overflow::wrap) {
            const double span = h - l + 1;
            level = l + (level - l) - span * std::floor((level - l) / span);
        } else {
            level = std::max(l, std::min(h, level));
        }
        y.values[e] = s * (level - z);
    }
    return {y};
}

void lower_fake_quantize(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<FakeQuantizeFields>();
    const RealTensor& x = lowering.input(node, 0);
    Step step =
        make_step("quantize",
                  {broadcast_constant(f.scale, x.shape), broadcast_constant(f.zero_point, x.shape),
                   broadcast_constant(f.low, x.shape), broadcast_constant(f.high, x.shape)});
    step.rounding = f.rounding;
    step.overflow = f.overflow;
    lowering.set(lowering.step(x, std::move(step)));
}

std::vector<TensorType> infer_batch_norm(const Node& node, Types inputs) {
    const auto& f = node.fields<BatchNormFields>();
    const Shape& x = inputs[0].shape;
    bool sound = f.axis >= 0 && f.axis < static_cast<std::int64_t>(x.size());
    for (std::size_t i = 1; i < inputs.size() && sound; ++i) {
        sound = element_count(inputs[i].shape) == x[static_cast<std::size_t>(f.axis)];
    }
    if (!sound) {
        refuse(node,
               fmt::format("its parameters do not fit axis {} of shape {}", f.axis, to_string(x)));
    }
    return {{x, std::nullopt}};
}

/// Factor and summand of each channel; the factor is rounded once to a double, the summand is
/// exact.
std::vector<std::pair<Rational, Rational>> batch_norm_lines(double epsilon, const Tensor& gamma,
                                                            const Tensor& beta, const Tensor& mean,
                                                            const Tensor& variance) {
    std::vector<std::pair<Rational, Rational>> lines;
    for (std::size_t c = 0; c < gamma.values.size(); ++c) {
        const double factor = gamma.values[c] / std::sqrt(variance.values[c] + epsilon);
        const Rational a = to_rational(factor);
        lines.emplace_back(a,
                           Rational(to_rational(beta.values[c]) - to_rational(mean.values[c]) * a));
    }
    return lines;
}

std::vector<Tensor> batch_norm_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<BatchNormFields>();
    Tensor y = *inputs[0];
    const auto axis = static_cast<std::size_t>(f.axis);
    const std::int64_t inner = strides_of(y.shape)[axis];
    for (std::size_t e = 0; e < y.values.size(); ++e) {
        const auto c =
            static_cast<std::size_t>((static_cast<std::int64_t>(e) / inner) % y.shape[axis]);
        y.values[e] = inputs[1]->values[c] * (y.values[e] - inputs[3]->values[c]) /
                          std::sqrt(inputs[4]->values[c] + f.epsilon) +
                      inputs[2]->values[c];
    }
    return {y};
}

void lower_batch_norm(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<BatchNormFields>();
    const RealTensor& x = lowering.input(node, 0);
    for (std::size_t i = 1; i < 5; ++i) {
        if (!lowering.is_constant(node, i)) {
            lowering.refuse(Code::not_in_circuit, "its parameters are no constants",
                            "Make them initialisers of the model.");
        }
    }
    const auto constant = [&](std::size_t i) -> const Tensor& {
        return lowering.input(node, i).constant;
    };
    std::vector<Rational> scale;
    std::vector<Rational> offset;
    for (const double variance : constant(4).values) {
        if (!(variance + f.epsilon > 0)) {
            lowering.refuse(Code::operator_inputs, "a variance plus epsilon is not positive", {},
                            "variance");
        }
    }
    for (const auto& [a, b] :
         batch_norm_lines(f.epsilon, constant(1), constant(2), constant(3), constant(4))) {
        scale.push_back(a);
        offset.push_back(b);
    }
    const std::int64_t inner = strides_of(x.shape)[static_cast<std::size_t>(f.axis)];
    lowering.set(lowering.affine(x, PerElement<Rational>::along(std::move(scale), inner),
                                 PerElement<Rational>::along(std::move(offset), inner)));
}

std::vector<TensorType> infer_divide(const Node& node, Types inputs) {
    const auto shape = broadcast(inputs[0].shape, inputs[1].shape);
    if (!shape) {
        refuse(node, fmt::format("shapes {} and {} do not broadcast", to_string(inputs[0].shape),
                                 to_string(inputs[1].shape)));
    }
    return {{*shape, std::nullopt}};
}

std::vector<Tensor> divide_reference(const Node&, Tensors inputs) {
    Tensor y{*broadcast(inputs[0]->shape, inputs[1]->shape), {}};
    const auto a = broadcast_index(inputs[0]->shape, y.shape);
    const auto b = broadcast_index(inputs[1]->shape, y.shape);
    for (std::size_t e = 0; e < a.size(); ++e) {
        y.values.push_back(inputs[0]->values[static_cast<std::size_t>(a[e])] /
                           inputs[1]->values[static_cast<std::size_t>(b[e])]);
    }
    return {y};
}

void lower_divide(Lowering& lowering, const Node& node) {
    const RealTensor& a = lowering.input(node, 0);
    const RealTensor& b = lowering.input(node, 1);
    const Shape& shape = node.types.front().shape;
    if (b.base == RealTensor::Base::constant && a.shape == shape) {
        if (std::any_of(b.constant.values.begin(), b.constant.values.end(),
                        [](double v) { return v == 0; })) {
            lowering.refuse(Code::operator_inputs, "it divides by zero", {});
        }
        const PerElement<Rational> factor = combine<Rational>(
            element_count(shape), [](const Rational& v) { return Rational(1 / v); },
            broadcast_constant(b.constant, shape));
        lowering.set(lowering.affine(a, factor, Rational(0)));
        return;
    }
    if (a.base == RealTensor::Base::constant && b.shape == shape) {
        lowering.set(lowering.affine(lowering.step(b, make_step("reciprocal")),
                                     broadcast_constant(a.constant, shape), Rational(0)));
        return;
    }
    if (const auto quotient = lowering.joined("quotient", a, b)) {
        lowering.set(*quotient);
        return;
    }
    lowering.refuse(Code::not_in_circuit, "it divides one computed tensor by another",
                    "Divide by a constant, or use --float to compute the model on real numbers.");
}

}  // namespace

// clang-format off
const network::Operator function_operator = {
    .name = "function", .formula = "y = function(x, parameters)", .min_inputs = 1, .max_inputs = 1 << 20,
    .fields = &field_table<FunctionFields>, .infer = &infer_function, .reference = &function_reference, .lower = &lower_function};
const network::Operator fake_quantize_operator = {
    .name = "fake_quantize", .formula = "y = scale (clip(round(x / scale + zero_point), low, high) - zero_point)",
    .fields = &field_table<FakeQuantizeFields>, .infer = &infer_fake_quantize, .reference = &fake_quantize_reference,
    .lower = &lower_fake_quantize};
const network::Operator batch_norm_operator = {
    .name = "batch_norm", .formula = "y = gamma (x - mean) / sqrt(variance + epsilon) + beta", .min_inputs = 5, .max_inputs = 5,
    .fields = &field_table<BatchNormFields>, .infer = &infer_batch_norm, .reference = &batch_norm_reference,
    .lower = &lower_batch_norm};
const network::Operator divide_operator = {
    .name = "divide", .formula = "y = a / b", .min_inputs = 2, .max_inputs = 2,
    .fields = &field_table<NoFields>, .infer = &infer_divide, .reference = &divide_reference, .lower = &lower_divide};
// clang-format on

}  // namespace gatewright::operators
