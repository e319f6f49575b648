// Functions of one tensor, and arithmetic of two.

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "import/layers/random.h"
#include "import/layers/sample.h"
#include "import/torch/rules.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

double single(double value) {
    return static_cast<double>(static_cast<float>(value));
}

/// Integers narrower than 32 bits wrap around in the framework's arithmetic, which numbers here do
/// not; booleans have no sums.
void demand_wide(Call& call) {
    const ScalarType type = call.result_type();
    if (type == ScalarType::uint8 || type == ScalarType::int8 || type == ScalarType::int16 ||
        type == ScalarType::boolean) {
        call.refuse(fmt::format("it computes in {}", to_string(type)),
                    "Compute in float32, or in int32 or int64.");
    }
}

template <const char* name>
void by_name(Call& call) {
    Operand x = call.operand("self");
    x.is_integer = false;
    call.set(call.function(name, x));
}

/// Rounding functions leave integers as they are.
template <const char* name>
void rounding(Call& call) {
    const Operand x = call.operand("self");
    call.set(is_integral(call.result_type()) ? x : call.function(name, x));
}

#define GATEWRIGHT_NAME(id) constexpr char id##_name[] = #id
GATEWRIGHT_NAME(absolute);
GATEWRIGHT_NAME(sign);
GATEWRIGHT_NAME(floor);
GATEWRIGHT_NAME(ceil);
GATEWRIGHT_NAME(truncate);
GATEWRIGHT_NAME(fraction);
GATEWRIGHT_NAME(square);
GATEWRIGHT_NAME(softsign);
GATEWRIGHT_NAME(hard_swish);
GATEWRIGHT_NAME(sigmoid);
GATEWRIGHT_NAME(tanh);
GATEWRIGHT_NAME(mish);
GATEWRIGHT_NAME(exp);
GATEWRIGHT_NAME(exp2);
GATEWRIGHT_NAME(expm1);
GATEWRIGHT_NAME(log);
GATEWRIGHT_NAME(log1p);
GATEWRIGHT_NAME(log2);
GATEWRIGHT_NAME(log10);
GATEWRIGHT_NAME(sqrt);
GATEWRIGHT_NAME(reciprocal);
GATEWRIGHT_NAME(reciprocal_sqrt);
GATEWRIGHT_NAME(erf);
GATEWRIGHT_NAME(erfc);
GATEWRIGHT_NAME(inverse_erf);
GATEWRIGHT_NAME(log_gamma);
GATEWRIGHT_NAME(sin);
GATEWRIGHT_NAME(cos);
GATEWRIGHT_NAME(tan);
GATEWRIGHT_NAME(sinc);
GATEWRIGHT_NAME(asin);
GATEWRIGHT_NAME(acos);
GATEWRIGHT_NAME(atan);
GATEWRIGHT_NAME(sinh);
GATEWRIGHT_NAME(cosh);
GATEWRIGHT_NAME(asinh);
GATEWRIGHT_NAME(acosh);
GATEWRIGHT_NAME(atanh);
#undef GATEWRIGHT_NAME

/// other * alpha, as sums have it.
Operand scaled_other(Call& call) {
    const Operand other = call.operand("other");
    const double alpha = call.real("alpha", 1);
    return alpha == 1 ? other : call.multiply(other, Call::number(single(alpha)));
}

void add(Call& call) {
    demand_wide(call);
    call.set(call.add(call.operand("self"), scaled_other(call)));
}

void subtract(Call& call) {
    demand_wide(call);
    call.set(call.subtract(call.operand("self"), scaled_other(call)));
}

void reversed_subtract(Call& call) {  // other - alpha self
    demand_wide(call);
    const double alpha = call.real("alpha", 1);
    Operand self = call.operand("self");
    self = alpha == 1 ? self : call.multiply(self, Call::number(single(alpha)));
    call.set(call.subtract(call.operand("other"), self));
}

void multiply(Call& call) {
    if (call.result_type() != ScalarType::boolean) {
        demand_wide(call);
    }
    call.set(call.multiply(call.operand("self"), call.operand("other")));
}

Operand quotient(Call& call, Operand a, Operand b) {
    a.is_integer = false;
    b.is_integer = false;
    return call.divide(a, b);
}

Operand rounded(Call& call, const Operand& x, const std::string& mode) {
    if (mode == "floor" || mode == "trunc") {
        return call.function(mode == "floor" ? "floor" : "truncate", x);
    }
    call.refuse(fmt::format("there is no rounding mode '{}'", mode), {}, "rounding_mode");
}

void divide(Call& call) {
    demand_wide(call);
    Operand y = quotient(call, call.operand("self"), call.operand("other"));
    if (call.has("rounding_mode")) {
        y = rounded(call, y, call.text("rounding_mode"));
    }
    call.set(y);
}

void floor_divide(Call& call) {
    demand_wide(call);
    call.set(call.function("floor", quotient(call, call.operand("self"), call.operand("other"))));
}

void negate(Call& call) {
    demand_wide(call);
    call.set(call.multiply(call.operand("self"), Call::number(-1)));
}

void addcmul(Call& call, bool divides) {
    const Operand a = call.operand("tensor1");
    const Operand b = call.operand("tensor2");
    Operand product = divides ? quotient(call, a, b) : call.multiply(a, b);
    const double value = call.real("value", 1);
    if (value != 1) {
        product = call.multiply(product, Call::number(single(value)));
    }
    call.set(call.add(call.operand("self"), product));
}

void lerp(Call& call) {
    const Operand begin = call.operand("self");
    const Operand end = call.operand("end");
    const Operand weight = call.operand("weight");
    call.set(call.add(begin, call.multiply(weight, call.subtract(end, begin))));
}

void power(Call& call) {
    const Operand base = call.operand("self");
    Operand exponent = call.operand("exponent");
    demand_wide(call);
    if (exponent.is_constant && exponent.constant.values.size() == 1) {
        const double c = exponent.constant.values.front();
        if (is_integral(call.result_type()) && c < 0) {
            call.refuse("an integer is raised to a negative power", {}, "exponent");
        }
        if (c == 0) {
            call.set(call.add(call.multiply(base, Call::number(0)), Call::number(1)));
            return;
        }
        Operand x = base;
        x.is_integer = false;
        call.set(layers::raised(call, x, c));
        return;
    }
    if (base.is_constant && base.constant.values.size() == 1 && base.constant.values[0] > 0) {
        // a^x = exp(x log a)
        const double a = base.constant.values.front();
        exponent.is_integer = false;
        call.set(a == 2 ? call.function("exp2", exponent)
                        : call.function("exp", call.multiply(exponent, Call::number(std::log(a)))));
        return;
    }
    call.demand(!is_integral(call.result_type()), "exponent",
                "an integer is raised to integers that are computed",
                "Use a constant exponent, or a positive constant as base.");
    Operand x = base;
    x.is_integer = exponent.is_integer = false;
    call.set(call.elementwise(join_operator, Attributes::of(JoinFields{"raised"}), {x, exponent}));
}

void maximum(Call& call) {
    call.set(call.maximum(call.operand("self"), call.operand("other")));
}
void minimum(Call& call) {
    call.set(call.minimum(call.operand("self"), call.operand("other")));
}

void clamp(Call& call) {
    Operand x = call.operand("self");
    if (call.has("min")) {
        x = call.maximum(x, call.operand("min"));
    }
    if (call.has("max")) {
        x = call.minimum(x, call.operand("max"));
    }
    call.set(x);
}

Operand clipped(Call& call, const Operand& x, double low, double high) {
    return call.function("minimum", call.function("maximum", x, {Call::number(low)}),
                         {Call::number(high)});
}

void hardtanh(Call& call) {
    const double low = call.real("min_val", -1);
    const double high = call.real("max_val", 1);
    call.set(clipped(call, call.operand("self"), low, high));
}

void relu(Call& call) {
    call.set(call.function("maximum", call.operand("self"), {Call::number(0)}));
}

void relu6(Call& call) {
    call.set(clipped(call, call.operand("self"), 0, 6));
}

void leaky_relu(Call& call) {
    call.set(call.function("leaky", call.operand("self"),
                           {Call::number(single(call.real("negative_slope", 0.01)))}));
}

void rrelu(Call& call) {
    const double lower = call.real("lower", 1.0 / 8);
    const double upper = call.real("upper", 1.0 / 3);
    call.demand(!call.flag("training", false), "training",
                "it draws its slopes at random, as in training",
                "Export the model in evaluation mode.");
    call.set(
        call.function("leaky", call.operand("self"), {Call::number(single((lower + upper) / 2))}));
}

void prelu(Call& call) {
    const Operand x = call.operand("self");
    Operand slope = call.operand("weight");
    const std::int64_t count = element_count(slope.sample_shape());
    if (slope.sample_shape().size() > 1 && !slope.is_constant) {
        call.refuse("its slopes are no vector", {}, "weight");
    }
    // One slope, or one for each position of axis 1 (of axis 0 in a tensor without a batch).
    Shape shape(static_cast<std::size_t>(x.rank()), 1);
    if (count != 1) {
        if (x.rank() < 2) {
            throw BatchMixed();
        }
        shape[1] = count;
    }
    slope = call.reshaped(slope, shape, -1);
    call.set(
        call.elementwise(function_operator, Attributes::of(FunctionFields{"leaky"}), {x, slope}));
}

void elu(Call& call) {
    const double alpha = single(call.real("alpha", 1));
    const double scale = single(call.real("scale", 1));
    const double input_scale = single(call.real("input_scale", 1));
    const Operand x = call.operand("self");
    if (input_scale != 1) {
        // scale (x if x >= 0 else alpha (exp(input_scale x) - 1)); both parts are 0 at 0
        const Operand positive = call.function("maximum", x, {Call::number(0)});
        const Operand negative =
            call.function("elu",
                          call.multiply(call.function("minimum", x, {Call::number(0)}),
                                        Call::number(input_scale)),
                          {Call::number(alpha)});
        call.set(call.multiply(call.add(positive, negative), Call::number(scale)));
        return;
    }
    const Operand y = call.function("elu", x, {Call::number(alpha)});
    call.set(scale == 1 ? y : call.multiply(y, Call::number(scale)));
}

void selu(Call& call) {
    call.set(call.function("selu", call.operand("self"),
                           {Call::number(1.6732632423543772848170429916717),
                            Call::number(1.0507009873554804934193349852946)}));
}

void celu(Call& call) {
    const double alpha = call.real("alpha", 1);
    call.demand(alpha != 0, "alpha", "it is 0");
    call.set(call.function("celu", call.operand("self"), {Call::number(single(alpha))}));
}

void gelu(Call& call) {
    const std::string form = call.text("approximate", "none");
    call.demand(form == "none" || form == "tanh", "approximate",
                "its value is neither none nor tanh");
    call.set(call.function(form == "tanh" ? "gelu_tanh" : "gelu", call.operand("self")));
}

void silu(Call& call) {
    call.set(call.function("silu", call.operand("self"), {Call::number(1)}));
}

void softplus(Call& call) {
    const double beta = call.real("beta", 1);
    const double threshold = call.real("threshold", 20);
    call.demand(beta > 0, "beta", "it is not positive");
    call.set(call.function("scaled_softplus", call.operand("self"),
                           {Call::number(beta), Call::number(threshold)}));
}

void hardsigmoid(Call& call) {
    const Operand x = call.operand("self");
    call.set(clipped(call, call.function("affine", x, {Call::number(1.0 / 6), Call::number(0.5)}),
                     0, 1));
}

void shrink(Call& call, bool soft) {
    const double lambda = call.real("lambd", 0.5);
    call.set(
        call.function("shrink", call.operand("self"),
                      {Call::number(single(lambda)), Call::number(soft ? single(lambda) : 0)}));
}

void threshold(Call& call) {
    call.set(call.function(
        "threshold", call.operand("self"),
        {Call::number(single(call.real("threshold"))), Call::number(single(call.real("value")))}));
}

void glu(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t axis = call.axis(x, call.integer("dim", -1));
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    call.demand(extent % 2 == 0, "dim", fmt::format("its extent {} is odd", extent));
    const Operand value = call.sliced(x, axis, 0, extent / 2);
    const Operand gate = call.sliced(x, axis, extent / 2, extent / 2);
    call.set(call.multiply(value, call.function("sigmoid", gate)));
}

void log_sigmoid(Call& call) {
    call.set(call.function("log_sigmoid", call.operand("self")));
    // The second result of aten.log_sigmoid_forward serves training.
}

void round_to(Call& call) {
    const std::int64_t decimals = call.integer("decimals", 0);
    Operand x = call.operand("self");
    if (is_integral(call.result_type())) {
        call.demand(decimals >= 0, "decimals", "integers are rounded to powers of ten");
        call.set(x);
        return;
    }
    if (decimals == 0) {
        call.set(call.function("round", x));
        return;
    }
    call.demand(std::abs(decimals) <= 10, "decimals", "it is beyond 10");
    // Scaled as the framework scales: by a multiplication, or a division for negative ones.
    const Operand ten = Call::number(std::pow(10.0, static_cast<double>(std::abs(decimals))));
    x = decimals > 0 ? call.multiply(x, ten) : call.divide(x, ten);
    x = call.function("round", x);
    call.set(decimals > 0 ? call.divide(x, ten) : call.multiply(x, ten));
}

void logit(Call& call) {
    Operand x = call.operand("self");
    if (call.has("eps")) {
        const double eps = call.real("eps");
        x = clipped(call, x, eps, 1 - eps);
    }
    call.set(call.function("logit", x));
}

void degrees(Call& call, double factor) {
    call.set(call.multiply(call.operand("self"), Call::number(factor)));
}

/// exp(x) of each; sums of squares: logaddexp and hypot as functions of differences.
void identity(Call& call) {
    call.set(call.operand("self"));
}

/// What is dropped: each element by itself, or whole channels of [samples, channels, ...]. Of the
/// layers for one and three axes, an input of other ranks is one sample: [channels, ...].
enum class Drops { elements, channels, channels_1d, channels_3d };

/// In training, or under --monte-carlo, elements are dropped; else all pass.
layers::Dropped dropped(Call& call, Drops drops, bool alpha) {
    const double p = call.real("p");
    const bool train = call.flag("train", true);
    const Operand x = call.operand(call.has("input") ? "input" : "self");  // dropout_ has self
    if (!call.importer().options().monte_carlo) {
        call.demand(!train || p == 0, "train", "it drops elements at random, as in training",
                    "Export the model in evaluation mode (model.eval()), or use --monte-carlo.");
        return {x, Call::tensor(Tensor::filled(x.sample_shape(), 1))};
    }
    Shape mask = x.sample_shape();
    if (drops != Drops::elements) {
        const bool alone = (drops == Drops::channels_1d && x.rank() != 3) ||
                           (drops == Drops::channels_3d && x.rank() != 5);
        const std::int64_t shared = alone ? 1 : 2;  // axes of the program's shape with own words
        if (x.rank() < shared || x.batch_axis > 0) {
            throw BatchMixed();
        }
        mask = layers::mask_along(
            mask, static_cast<std::size_t>(x.batch_axis == 0 ? shared - 1 : shared));
    }
    return layers::drop(call, call.importer().imported(), x, {p, mask, alpha});
}

void dropout(Call& call, Drops drops, bool alpha) {
    call.set(dropped(call, drops, alpha).y);
}

void native_dropout(Call& call) {
    const layers::Dropped result = dropped(call, Drops::elements, false);
    call.set(result.y);
    if (!result.kept.is_constant) {  // without dropping, the mask serves training
        call.set(result.kept, 1);
    }
}

const RuleRow rows[] = {
    {"aten.add", "Tensor Scalar", &add, false, Joined::stays},
    {"aten.sub", "Tensor Scalar", &subtract, false, Joined::stays},
    {"aten.subtract", "Tensor Scalar", &subtract},
    {"aten.rsub", "Tensor Scalar", &reversed_subtract},
    {"aten.mul", "Tensor Scalar", &multiply, false, Joined::stays},
    {"aten.multiply", "Tensor Scalar", &multiply},
    {"aten.div", "Tensor Scalar Tensor_mode Scalar_mode", &divide, false, Joined::stays},
    {"aten.divide", "Tensor Scalar Tensor_mode Scalar_mode", &divide},
    {"aten.true_divide", "Tensor Scalar", &divide},
    {"aten.floor_divide", "default Scalar", &floor_divide},
    {"aten.neg", "default", &negate, false, Joined::stays},
    {"aten.negative", "default", &negate},
    {"aten.addcmul", "default", [](Call& c) { addcmul(c, false); }},
    {"aten.addcdiv", "default", [](Call& c) { addcmul(c, true); }},
    {"aten.lerp", "Scalar Tensor", &lerp},
    {"aten.pow", "Tensor_Scalar Tensor_Tensor Scalar", &power},
    {"aten.float_power", "Tensor_Scalar", &power},
    {"aten.maximum", "default", &maximum},
    {"aten.minimum", "default", &minimum},
    {"aten.max", "other", &maximum},
    {"aten.min", "other", &minimum},
    {"aten.clamp", "default Tensor", &clamp, false, Joined::stays},
    {"aten.clip", "default Tensor", &clamp},
    {"aten.clamp_min", "default Tensor", &clamp},
    {"aten.clamp_max", "default Tensor", &clamp},
    {"aten.abs", "default", &by_name<absolute_name>},
    {"aten.absolute", "default", &by_name<absolute_name>},
    {"aten.sign", "default", &by_name<sign_name>},
    {"aten.sgn", "default", &by_name<sign_name>},
    {"aten.floor", "default", &rounding<floor_name>},
    {"aten.ceil", "default", &rounding<ceil_name>},
    {"aten.trunc", "default", &rounding<truncate_name>},
    {"aten.fix", "default", &rounding<truncate_name>},
    {"aten.frac", "default", &by_name<fraction_name>},
    {"aten.round", "default decimals", &round_to},
    {"aten.square", "default", &by_name<square_name>},
    {"aten.sqrt", "default", &by_name<sqrt_name>},
    {"aten.rsqrt", "default", &by_name<reciprocal_sqrt_name>},
    {"aten.reciprocal", "default", &by_name<reciprocal_name>},
    {"aten.exp", "default", &by_name<exp_name>, false, Joined::stays},
    {"aten.exp2", "default", &by_name<exp2_name>},
    {"aten.expm1", "default", &by_name<expm1_name>},
    {"aten.special_exp2", "default", &by_name<exp2_name>},
    {"aten.special_expm1", "default", &by_name<expm1_name>},
    {"aten.log", "default", &by_name<log_name>},
    {"aten.log1p", "default", &by_name<log1p_name>},
    {"aten.special_log1p", "default", &by_name<log1p_name>},
    {"aten.log2", "default", &by_name<log2_name>},
    {"aten.log10", "default", &by_name<log10_name>},
    {"aten.logit", "default", &logit},
    {"aten.special_logit", "default", &logit},
    {"aten.erf", "default", &by_name<erf_name>},
    {"aten.erfc", "default", &by_name<erfc_name>},
    {"aten.erfinv", "default", &by_name<inverse_erf_name>},
    {"aten.special_erf", "default", &by_name<erf_name>},
    {"aten.special_erfc", "default", &by_name<erfc_name>},
    {"aten.special_erfinv", "default", &by_name<inverse_erf_name>},
    {"aten.lgamma", "default", &by_name<log_gamma_name>},
    {"aten.special_gammaln", "default", &by_name<log_gamma_name>},
    {"aten.sin", "default", &by_name<sin_name>},
    {"aten.cos", "default", &by_name<cos_name>},
    {"aten.tan", "default", &by_name<tan_name>},
    {"aten.sinc", "default", &by_name<sinc_name>},
    {"aten.special_sinc", "default", &by_name<sinc_name>},
    {"aten.asin", "default", &by_name<asin_name>},
    {"aten.arcsin", "default", &by_name<asin_name>},
    {"aten.acos", "default", &by_name<acos_name>},
    {"aten.arccos", "default", &by_name<acos_name>},
    {"aten.atan", "default", &by_name<atan_name>},
    {"aten.arctan", "default", &by_name<atan_name>},
    {"aten.sinh", "default", &by_name<sinh_name>},
    {"aten.cosh", "default", &by_name<cosh_name>},
    {"aten.asinh", "default", &by_name<asinh_name>},
    {"aten.acosh", "default", &by_name<acosh_name>},
    {"aten.atanh", "default", &by_name<atanh_name>},
    {"aten.arcsinh", "default", &by_name<asinh_name>},
    {"aten.arccosh", "default", &by_name<acosh_name>},
    {"aten.arctanh", "default", &by_name<atanh_name>},
    {"aten.deg2rad", "default", [](Call& c) { degrees(c, std::numbers::pi / 180); }},
    {"aten.rad2deg", "default", [](Call& c) { degrees(c, 180 / std::numbers::pi); }},
    {"aten.relu", "default", &relu, false, Joined::stays},
    {"aten.relu6", "default", &relu6},
    {"aten.hardtanh", "default", &hardtanh, false, Joined::stays},
    {"aten.leaky_relu", "default", &leaky_relu, false, Joined::stays},
    {"aten.rrelu", "default", &rrelu},
    {"aten.rrelu_with_noise_functional", "default",
     [](Call& c) {
         c.ignore("noise");  // of training only
         rrelu(c);
     }},
    {"aten.prelu", "default", &prelu},
    {"aten._prelu_kernel", "default", &prelu},
    {"aten.elu", "default", &elu, false, Joined::stays},
    {"aten.selu", "default", &selu},
    {"aten.celu", "default", &celu},
    {"aten.gelu", "default", &gelu, false, Joined::stays},
    {"aten.silu", "default", &silu, false, Joined::stays},
    {"aten.mish", "default", &by_name<mish_name>, false, Joined::stays},
    {"aten.sigmoid", "default", &by_name<sigmoid_name>, false, Joined::stays},
    {"aten.special_expit", "default", &by_name<sigmoid_name>},
    {"aten.log_sigmoid", "default", &log_sigmoid},
    {"aten.log_sigmoid_forward", "default", &log_sigmoid},
    {"aten.tanh", "default", &by_name<tanh_name>, false, Joined::stays},
    {"aten.softplus", "default", &softplus, false, Joined::stays},
    {"aten.softsign", "default", &by_name<softsign_name>},
    {"aten.hardsigmoid", "default", &hardsigmoid, false, Joined::stays},
    {"aten.hardswish", "default", &by_name<hard_swish_name>, false, Joined::stays},
    {"aten.hardshrink", "default", [](Call& c) { shrink(c, false); }},
    {"aten.softshrink", "default", [](Call& c) { shrink(c, true); }},
    {"aten.threshold", "default", &threshold},
    {"aten.glu", "default", &glu},
    {"aten.positive", "default", &identity, true},
    {"aten.dropout", "default", [](Call& c) { dropout(c, Drops::elements, false); }, true,
     Joined::stays},
    {"aten.feature_dropout", "default", [](Call& c) { dropout(c, Drops::channels, false); }, true},
    // Layers of pickled modules; in programs they are written out.
    {"aten.dropout1d", "default", [](Call& c) { dropout(c, Drops::channels_1d, false); }, true},
    {"aten.dropout3d", "default", [](Call& c) { dropout(c, Drops::channels_3d, false); }, true},
    {"aten.alpha_dropout", "default", [](Call& c) { dropout(c, Drops::elements, true); }, true},
    {"aten.feature_alpha_dropout", "default", [](Call& c) { dropout(c, Drops::channels, true); },
     true},
    {"aten.native_dropout", "default", &native_dropout},
};

}  // namespace

std::span<const RuleRow> elementwise_rules() {
    return rows;
}

}  // namespace gatewright::torch
