#include <algorithm>
#include <cmath>
#include <limits>

#include "import/layers/sample.h"
#include "import/onnx/broadcast.h"
#include "import/onnx/rules.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/selection.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

template <const Operator* op>
void binary(Call& call) {
    const auto [a, b] = broadcast_operands(call);
    call.set(wrapped(call, call.elementwise(*op, Attributes(), {a, b}), call.type(0)));
}

void divide(Call& call) {
    const auto [a, b] = broadcast_operands(call);
    Operand y = call.elementwise(divide_operator, Attributes(), {a, b});
    if (is_integer(call.type(0)) && !y.is_constant) {
        y = call.function("truncate", y);
    }
    call.set(wrapped(call, y, call.type(0)));
}

/// An operator of any number of inputs, applied pairwise.
template <const Operator* op>
Operand folded(Call& call) {
    Operand y = call.operand(0);
    for (std::size_t i = 1; i < call.inputs(); ++i) {
        y = call.elementwise(*op, Attributes(), {y, call.operand(i)});
    }
    return y;
}

template <const Operator* op>
void variadic(Call& call) {
    call.set(folded<op>(call));
}

void mean(Call& call) {
    call.set(call.elementwise(
        divide_operator, Attributes(),
        {folded<&add_operator>(call), Call::number(static_cast<double>(call.inputs()))}));
}

/// Operators that are one row of the function table.
void by_name(Call& call, const char* name) {
    call.set(call.function(name, call.operand(0)));
}
void with_number(Call& call, const char* name, double parameter) {
    call.set(call.function(name, call.operand(0), {Call::number(parameter)}));
}

void power(Call& call) {
    const auto [x, exponent] = broadcast_operands(call);
    if (exponent.is_constant && exponent.constant.values.size() == 1 &&
        static_cast<std::int64_t>(exponent.constant.shape.size()) <= x.rank()) {
        call.set(layers::raised(call, x, exponent.constant.values.front()));
        return;
    }
    call.set(call.elementwise(join_operator, Attributes::of(JoinFields{"raised"}), {x, exponent}));
}

void prelu(Call& call) {
    // The slope broadcasts to x from one side only, so its missing axes are x's first.
    const Operand& x = call.operand(0);
    Operand slope = call.operand(1);
    if (call.opset() < 7 && slope.rank() == 1 && slope.sample_shape().front() != 1) {
        // One slope a channel, which is axis 1.
        Shape shape = slope.sample_shape();
        shape.insert(shape.end(), static_cast<std::size_t>(std::max<std::int64_t>(0, x.rank() - 2)),
                     1);
        slope = call.reshaped(slope, std::move(shape), slope.batch_axis);
    }
    if (slope.is_constant) {
        slope.constant = call.without_batch(slope.constant, x);
    }
    call.set(
        call.elementwise(function_operator, Attributes::of(FunctionFields{"leaky"}), {x, slope}));
}

Operand clipped(Call& call, Operand x, double low, double high) {
    if (low > -std::numeric_limits<float>::max()) {
        x = call.function("maximum", x, {Call::number(low)});
    }
    if (high < std::numeric_limits<float>::max()) {
        x = call.function("minimum", x, {Call::number(high)});
    }
    return x;
}

void clip(Call& call) {
    const double infinity = std::numeric_limits<double>::infinity();
    double low = call.real("min", -infinity);
    double high = call.real("max", infinity);
    Operand x = call.operand(0);
    if (call.has(1) && !call.operand(1).is_constant) {
        x = call.maximum(x, call.operand(1));
    } else if (call.has(1)) {
        low = call.scalar(1, "lower bound");
    }
    if (call.has(2) && !call.operand(2).is_constant) {
        x = call.minimum(clipped(call, x, low, infinity), call.operand(2));
        low = -infinity;
    } else if (call.has(2)) {
        high = call.scalar(2, "upper bound");
    }
    call.set(clipped(call, x, low, high));
}

void hard_sigmoid(Call& call) {
    const double alpha = call.real("alpha", static_cast<double>(0.2F));
    const double beta = call.real("beta", 0.5);
    Operand x = call.function("affine", call.operand(0), {Call::number(alpha), Call::number(beta)});
    call.set(clipped(call, x, 0, 1));
}

void gelu(Call& call) {
    const std::string form = call.text("approximate", "none");
    if (form != "none" && form != "tanh") {
        call.refuse("its value is neither none nor tanh", {}, "approximate");
    }
    by_name(call, form == "tanh" ? "gelu_tanh" : "gelu");
}

const RuleRow rows[] = {
    {"Add", &binary<&add_operator>},
    {"Sub", &binary<&subtract_operator>},
    {"Mul", &binary<&multiply_operator>},
    {"Div", &divide},
    {"Max", &variadic<&maximum_operator>},
    {"Min", &variadic<&minimum_operator>},
    {"Sum", &variadic<&add_operator>},
    {"Mean", &mean},
    {"Pow", &power},
    {"Neg",
     [](Call& c) {
         c.set(c.function("affine", c.operand(0), {Call::number(-1), Call::number(0)}));
     }},
    {"Abs", [](Call& c) { by_name(c, "absolute"); }},
    {"Sign", [](Call& c) { by_name(c, "sign"); }},
    {"Floor", [](Call& c) { by_name(c, "floor"); }},
    {"Ceil", [](Call& c) { by_name(c, "ceil"); }},
    {"Round", [](Call& c) { by_name(c, "round"); }},
    {"Reciprocal", [](Call& c) { by_name(c, "reciprocal"); }},
    {"Sqrt", [](Call& c) { by_name(c, "sqrt"); }},
    {"Exp", [](Call& c) { by_name(c, "exp"); }},
    {"Log", [](Call& c) { by_name(c, "log"); }},
    {"Erf", [](Call& c) { by_name(c, "erf"); }},
    {"Sin", [](Call& c) { by_name(c, "sin"); }},
    {"Cos", [](Call& c) { by_name(c, "cos"); }},
    {"Tan", [](Call& c) { by_name(c, "tan"); }},
    {"Asin", [](Call& c) { by_name(c, "asin"); }},
    {"Acos", [](Call& c) { by_name(c, "acos"); }},
    {"Atan", [](Call& c) { by_name(c, "atan"); }},
    {"Sinh", [](Call& c) { by_name(c, "sinh"); }},
    {"Cosh", [](Call& c) { by_name(c, "cosh"); }},
    {"Asinh", [](Call& c) { by_name(c, "asinh"); }},
    {"Acosh", [](Call& c) { by_name(c, "acosh"); }},
    {"Atanh", [](Call& c) { by_name(c, "atanh"); }},
    {"Sigmoid", [](Call& c) { by_name(c, "sigmoid"); }},
    {"Tanh", [](Call& c) { by_name(c, "tanh"); }},
    {"Softplus", [](Call& c) { by_name(c, "softplus"); }},
    {"Softsign", [](Call& c) { by_name(c, "softsign"); }},
    {"Mish", [](Call& c) { by_name(c, "mish"); }},
    {"HardSwish", [](Call& c) { by_name(c, "hard_swish"); }},
    {"Swish", [](Call& c) { with_number(c, "silu", c.real("alpha", 1)); }},
    {"Relu", [](Call& c) { with_number(c, "maximum", 0); }},
    {"LeakyRelu",
     [](Call& c) { with_number(c, "leaky", c.real("alpha", static_cast<double>(0.01F))); }},
    {"PRelu", &prelu},
    {"Elu", [](Call& c) { with_number(c, "elu", c.real("alpha", 1)); }},
    {"Celu", [](Call& c) { with_number(c, "celu", c.real("alpha", 1)); }},
    {"Selu",
     [](Call& c) {
         // The first version has shorter defaults.
         const bool first = c.opset() < 6;
         const double alpha =
             c.real("alpha", static_cast<double>(first ? 1.6732F : 1.67326319217681884765625F));
         const double gamma =
             c.real("gamma", static_cast<double>(first ? 1.0507F : 1.05070102214813232421875F));
         c.set(c.function("selu", c.operand(0), {Call::number(alpha), Call::number(gamma)}));
     }},
    {"ThresholdedRelu", [](Call& c) { with_number(c, "thresholded_relu", c.real("alpha", 1)); }},
    {"Shrink",
     [](Call& c) {
         const double lambda = c.real("lambd", 0.5);
         const double bias = c.real("bias", 0);
         c.set(c.function("shrink", c.operand(0), {Call::number(lambda), Call::number(bias)}));
     }},
    {"Gelu", &gelu},
    {"HardSigmoid", &hard_sigmoid},
    {"Clip", &clip},
};

}  // namespace

std::span<const RuleRow> elementwise_rules() {
    return rows;
}

}  // namespace gatewright::onnx
