// Comparisons, logic, choice, and further functions of two tensors.

#include <fmt/format.h>

#include "import/torch/rules.h"
#include "operators/layers.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

Operand joined(Call& call, const char* function, Operand a, Operand b) {
    a.is_integer = false;
    b.is_integer = false;
    return call.elementwise(join_operator, Attributes::of(JoinFields{function}), {a, b});
}

void join(Call& call, const char* function) {
    call.set(joined(call, function, call.operand("self"), call.operand("other")));
}

void logical_not(Call& call) {
    Operand x = call.operand("self");
    x.is_integer = false;
    call.set(call.function("not", x));
}

/// Of booleans logic, of integers each bit.
void bitwise(Call& call, const char* logic, const char* bits) {
    join(call, call.result_type() == ScalarType::boolean ? logic : bits);
}

void bitwise_not(Call& call) {
    const ScalarType type = call.result_type();
    if (type == ScalarType::boolean) {
        logical_not(call);
        return;
    }
    // Of integers with a sign -1 - x, of others the highest one - x.
    const double ones = type == ScalarType::uint8 ? 255 : -1;
    call.demand(is_integral(type), "self", "its operand is no integer");
    call.set(call.subtract(Call::number(ones), call.operand("self")));
}

/// Remainders of integers narrower than 32 bits do not wrap: they stay between the operands.
void remainder(Call& call, const char* function) {
    join(call, function);
}

Operand select(Call& call, Operand condition, Operand a, Operand b) {
    condition.is_integer = false;
    return call.elementwise(select_operator, Attributes(), {condition, a, b});
}

void where(Call& call) {
    call.set(select(call, call.operand("condition"), call.operand("self"), call.operand("other")));
}

void masked_fill(Call& call) {
    call.set(select(call, call.operand("mask"), call.operand("value"), call.operand("self")));
}

/// 0 below zero, 1 above, `values` at zero.
void heaviside(Call& call) {
    const Operand x = call.operand("self");
    const Operand zero = Call::number(0);
    call.set(select(call, joined(call, "equal", x, zero), call.operand("values"),
                    joined(call, "greater", x, zero)));
}

void xlogy(Call& call) {  // 0 where self is 0
    const Operand x = call.operand("self");
    Operand y = call.operand("other");
    y.is_integer = false;
    call.set(select(call, joined(call, "equal", x, Call::number(0)), Call::number(0),
                    call.multiply(x, call.function("log", y))));
}

void log_add_exp2(Call& call) {
    const Operand ln2 = Call::number(0.69314718055994530942);
    const Operand a = call.multiply(call.operand("self"), ln2);
    const Operand b = call.multiply(call.operand("other"), ln2);
    call.set(call.divide(joined(call, "log_sum_exp", a, b), ln2));
}

void unary(Call& call, const char* function) {
    Operand x = call.operand("self");
    x.is_integer = false;
    call.set(call.function(function, x));
}

void infinite(Call& call, double negative, double positive) {
    Operand x = call.operand("self");
    x.is_integer = false;
    call.set(call.function("is_infinite", x, {Call::number(negative), Call::number(positive)}));
}

void nan_to_num(Call& call) {
    const double most = 3.4028234663852886e38;
    call.set(
        call.function("make_finite", call.operand("self"),
                      {Call::number(call.real("nan", 0)), Call::number(call.real("posinf", most)),
                       Call::number(call.real("neginf", -most))}));
}

#define GATEWRIGHT_COMPARISON(name, function) \
    {"aten." name, "Tensor Scalar", [](Call& c) { join(c, function); }}

const RuleRow rows[] = {
    GATEWRIGHT_COMPARISON("lt", "less"),
    GATEWRIGHT_COMPARISON("le", "less_equal"),
    GATEWRIGHT_COMPARISON("gt", "greater"),
    GATEWRIGHT_COMPARISON("ge", "greater_equal"),
    GATEWRIGHT_COMPARISON("eq", "equal"),
    GATEWRIGHT_COMPARISON("ne", "not_equal"),
    GATEWRIGHT_COMPARISON("less", "less"),
    GATEWRIGHT_COMPARISON("less_equal", "less_equal"),
    GATEWRIGHT_COMPARISON("greater", "greater"),
    GATEWRIGHT_COMPARISON("greater_equal", "greater_equal"),
    GATEWRIGHT_COMPARISON("not_equal", "not_equal"),
    {"aten.logical_and", "default", [](Call& c) { join(c, "and"); }},
    {"aten.logical_or", "default", [](Call& c) { join(c, "or"); }},
    {"aten.logical_xor", "default", [](Call& c) { join(c, "xor"); }},
    {"aten.logical_not", "default", &logical_not},
    {"aten.bitwise_and", "Tensor Scalar", [](Call& c) { bitwise(c, "and", "bit_and"); }},
    {"aten.bitwise_or", "Tensor Scalar", [](Call& c) { bitwise(c, "or", "bit_or"); }},
    {"aten.bitwise_xor", "Tensor Scalar", [](Call& c) { bitwise(c, "xor", "bit_xor"); }},
    {"aten.__and__", "Tensor Scalar", [](Call& c) { bitwise(c, "and", "bit_and"); }},
    {"aten.__or__", "Tensor Scalar", [](Call& c) { bitwise(c, "or", "bit_or"); }},
    {"aten.__xor__", "Tensor Scalar", [](Call& c) { bitwise(c, "xor", "bit_xor"); }},
    {"aten.bitwise_not", "default", &bitwise_not},
    {"aten.remainder", "Tensor Scalar", [](Call& c) { remainder(c, "modulo"); }},
    {"aten.fmod", "Tensor Scalar", [](Call& c) { remainder(c, "remainder"); }},
    {"aten.atan2", "default", [](Call& c) { join(c, "angle"); }},
    {"aten.arctan2", "default", [](Call& c) { join(c, "angle"); }},
    {"aten.hypot", "default", [](Call& c) { join(c, "hypotenuse"); }},
    {"aten.logaddexp", "default", [](Call& c) { join(c, "log_sum_exp"); }},
    {"aten.logaddexp2", "default", &log_add_exp2},
    {"aten.fmax", "default", [](Call& c) { join(c, "larger_number"); }},
    {"aten.fmin", "default", [](Call& c) { join(c, "smaller_number"); }},
    {"aten.copysign", "Tensor Scalar", [](Call& c) { join(c, "with_sign_of"); }},
    {"aten.xlogy", "Tensor Scalar_Other", &xlogy},
    {"aten.special_xlogy", "default other_scalar", &xlogy},
    {"aten.heaviside", "default", &heaviside},
    {"aten.where", "self Scalar ScalarSelf ScalarOther", &where},
    {"aten.masked_fill", "Scalar Tensor", &masked_fill},
    {"aten.isnan", "default", [](Call& c) { unary(c, "is_nan"); }},
    {"aten.isfinite", "default", [](Call& c) { unary(c, "is_finite"); }},
    {"aten.isinf", "default", [](Call& c) { infinite(c, 1, 1); }},
    {"aten.isposinf", "default", [](Call& c) { infinite(c, 0, 1); }},
    {"aten.isneginf", "default", [](Call& c) { infinite(c, 1, 0); }},
    {"aten.signbit", "default",
     [](Call& c) { c.set(joined(c, "less", c.operand("self"), Call::number(0))); }},
    {"aten.nan_to_num", "default", &nan_to_num},
};

#undef GATEWRIGHT_COMPARISON

}  // namespace

std::span<const RuleRow> comparison_rules() {
    return rows;
}

}  // namespace gatewright::torch
