// Comparisons, logic, choices, remainders, bits and conversions between element types.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/onnx/broadcast.h"
#include "import/onnx/rules.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/selection.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

Operand joined(Call& call, const char* function, const Operand& a, const Operand& b) {
    return call.elementwise(join_operator, Attributes::of(JoinFields{function}), {a, b}, true);
}

/// What depends on the extent of the batch holds for one batch only.
void check_no_extent(const Operand& x) {
    if (x.is_constant &&
        std::count(x.constant.values.begin(), x.constant.values.end(), batch_extent) != 0) {
        throw BatchMixed();
    }
}

void compare(Call& call, const char* function) {
    const auto [a, b] = broadcast_operands(call);
    check_no_extent(a);
    check_no_extent(b);
    call.set(joined(call, function, a, b));
    call.set_type(ElementType::boolean);
}

void logic(Call& call, const char* function) {
    const auto [a, b] = broadcast_operands(call);
    call.set(joined(call, function, a, b));
    call.set_type(ElementType::boolean);
}

void bitwise(Call& call, const char* function) {
    call.set(joined(call, function, call.operand(0), call.operand(1)));
}

void where(Call& call) {
    const Operand& a = call.operand(1);
    check_no_extent(call.operand(0));
    Operand y = call.elementwise(select_operator, Attributes(),
                                 {call.operand(0), a, call.operand(2)}, true);
    y.is_integer = y.is_constant && a.is_integer && call.operand(2).is_integer;
    call.set(y);
    call.set_type(call.type(1));
}

void modulo(Call& call) {
    const bool as_dividend = call.integer("fmod", 0) != 0;
    if (!as_dividend && is_float(call.type(0))) {
        call.refuse("it takes an integer remainder of floats", "Set fmod to 1.", "fmod");
    }
    call.set(joined(call, as_dividend ? "remainder" : "modulo", call.operand(0), call.operand(1)));
}

void is_infinite(Call& call) {
    const double negative = call.integer("detect_negative", 1) != 0 ? 1 : 0;
    const double positive = call.integer("detect_positive", 1) != 0 ? 1 : 0;
    call.set(call.function("is_infinite", call.operand(0),
                           {Call::number(negative), Call::number(positive)}));
    call.set_type(ElementType::boolean);
}

/// x as it is kept in an element type, whatever it was in before.
Operand converted(Call& call, Operand x, ElementType from, ElementType to,
                  const std::string& attribute) {
    if (to == ElementType::float32 || to == ElementType::float64) {
        x.is_integer = false;
        return x;
    }
    if (to == ElementType::boolean) {
        Operand y = call.function("nonzero", x);
        y.is_integer = false;
        return y;
    }
    if (to == ElementType::float16 || to == ElementType::bfloat16) {
        const bool half = to == ElementType::float16;
        Operand y = call.function("float_round", x,
                                  {Call::number(half ? 5 : 8), Call::number(half ? 10 : 7),
                                   Call::number(half ? 15 : 127)});
        y.is_integer = false;
        return y;
    }
    if (!is_integer(to)) {
        call.refuse(fmt::format("it casts to {}", to_string(to)), "Keep the model in float32.",
                    attribute);
    }
    Operand y = x;
    if (!is_integer(from) && from != ElementType::boolean) {
        const Operand exact = x;
        y = call.function("truncate", exact);
        if (x.is_constant) {
            y = exact;
            for (double& v : y.constant.values) {
                v = std::trunc(v);  // also of numbers beyond float32
            }
        }
    }
    y = wrapped(call, y, to);
    y.is_integer = y.is_constant;
    return y;
}

/// Old files name the type.
ElementType target_of(Call& call) {
    if (call.opset() >= 6) {
        return static_cast<ElementType>(call.integer("to", 1));
    }
    const std::string name = call.text("to", "FLOAT");
    const std::pair<const char*, ElementType> names[] = {
        {"FLOAT", ElementType::float32}, {"DOUBLE", ElementType::float64},
        {"INT8", ElementType::int8},     {"INT16", ElementType::int16},
        {"INT32", ElementType::int32},   {"INT64", ElementType::int64},
        {"UINT8", ElementType::uint8},   {"UINT16", ElementType::uint16},
        {"UINT32", ElementType::uint32}, {"UINT64", ElementType::uint64},
        {"BOOL", ElementType::boolean},  {"FLOAT16", ElementType::float16},
    };
    for (const auto& [known, type] : names) {
        if (name == known) {
            return type;
        }
    }
    call.refuse(fmt::format("it casts to {}", name), "Keep the model in float32.", "to");
}

void cast(Call& call) {
    const ElementType to = target_of(call);
    call.ignore("saturate");  // concerns 8-bit floats, which are refused here
    call.ignore("round_mode");
    call.set(converted(call, call.operand(0), call.type(0), to, "to"));
    call.set_type(to);
}

void cast_like(Call& call) {
    const ElementType to = call.type(1);
    call.ignore("saturate");  // as in Cast
    call.ignore("round_mode");
    if (to == ElementType::undefined) {
        call.refuse("the element type of its second input is not known", "Use Cast.");
    }
    call.set(converted(call, call.operand(0), call.type(0), to, ""));
    call.set_type(to);
}

/// -1 - x; of unsigned integers modulo their span.
void bitwise_not(Call& call) {
    double most = -1;
    switch (call.type(0)) {
        case ElementType::int8:
        case ElementType::int16:
        case ElementType::int32:
        case ElementType::int64:
            break;
        case ElementType::uint8:
            most = 255;
            break;
        case ElementType::uint16:
            most = 65535;
            break;
        case ElementType::uint32:
            most = 4294967295;
            break;
        default:
            call.refuse("the integer type of its input is not known, or of 64 bits without sign");
    }
    call.set(call.function("affine", call.operand(0), {Call::number(-1), Call::number(most)}));
}

const RuleRow rows[] = {
    {"Equal", [](Call& c) { compare(c, "equal"); }},
    {"Greater", [](Call& c) { compare(c, "greater"); }},
    {"GreaterOrEqual", [](Call& c) { compare(c, "greater_equal"); }},
    {"Less", [](Call& c) { compare(c, "less"); }},
    {"LessOrEqual", [](Call& c) { compare(c, "less_equal"); }},
    {"And", [](Call& c) { logic(c, "and"); }},
    {"Or", [](Call& c) { logic(c, "or"); }},
    {"Xor", [](Call& c) { logic(c, "xor"); }},
    {"Not",
     [](Call& c) {
         c.set(c.function("not", c.operand(0)));
         c.set_type(ElementType::boolean);
     }},
    {"BitwiseAnd", [](Call& c) { bitwise(c, "bit_and"); }},
    {"BitwiseOr", [](Call& c) { bitwise(c, "bit_or"); }},
    {"BitwiseXor", [](Call& c) { bitwise(c, "bit_xor"); }},
    {"BitwiseNot", &bitwise_not},
    {"Where", &where},
    {"Mod", &modulo},
    {"IsNaN",
     [](Call& c) {
         c.set(c.function("is_nan", c.operand(0)));
         c.set_type(ElementType::boolean);
     }},
    {"IsInf", &is_infinite},
    {"Cast", &cast},
    {"CastLike", &cast_like},
};

}  // namespace

std::span<const RuleRow> logic_rules() {
    return rows;
}

}  // namespace gatewright::onnx
