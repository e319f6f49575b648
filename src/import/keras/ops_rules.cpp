#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/keras/activations.h"
#include "import/keras/ops.h"
#include "import/keras/rules.h"
#include "import/layers/einsum.h"
#include "operators/layers.h"
#include "operators/selection.h"

/// Functions of tensors in a model's graph: operations of keras.ops (Keras 3), and functions of
/// TensorFlow that Keras 2 wraps as TFOpLambda. Both are written with the same programs.
namespace gatewright::keras {

namespace {

constexpr std::string_view ops = "keras.ops";

bool keepdims(Call& call) {
    return flag_of(call, {"keepdims", "keep_dims"}, 2);
}

void reduce(Call& call, const char* kind, Kind result = Kind::real) {
    const Operand x = x_of(call);
    call.argument("dtype");
    call.settings.expect_unset("initial", "a first value besides the elements is not supported");
    const Shape axes = reduced_axes(call, x);
    call.set(call.reduced(x, kind, axes, keepdims(call)), result);
}

void moments(Call& call, bool root) {
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x);
    const bool keep = keepdims(call);
    const Operand centred = call.subtract(x, call.reduced(x, "mean", axes, true));
    const Operand variance = call.reduced(call.function("square", centred), "mean", axes, keep);
    call.set(root ? call.function("sqrt", variance) : variance);
}

using Binary = Operand (layers::Builder::*)(const Operand&, const Operand&);

struct Pair {
    Operand a;
    Operand b;
};
Pair pair_of(Call& call) {
    Pair out{operand_of(call, 0, {"x1", "x", "a"}), operand_of(call, 1, {"x2", "y", "b"})};
    return out;
}

void arithmetic(Call& call, Binary binary) {
    const Pair p = pair_of(call);
    call.set((call.*binary)(p.a, p.b));
}

void join(Call& call, const char* function, Kind kind) {
    const Pair p = pair_of(call);
    call.set(joined(call, function, p.a, p.b), kind);
}

void unary(Call& call, const char* function) {
    call.set(call.function(function, x_of(call)));
}
void named(Call& call, const char* activation) {
    call.set(named_activation(call, activation, x_of(call)));
}
void with_number(Call& call, const char* function, std::initializer_list<const char*> names,
                 double otherwise) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, names, 1);
    call.set(call.function(
        function, x,
        {given.is_null() ? Call::number(otherwise) : constant_of(call, given, *names.begin())}));
}

void power(Call& call) {
    const Pair p = pair_of(call);
    if (p.b.is_constant && p.b.constant.values.size() == 1) {
        const double exponent = p.b.constant.values.front();
        call.set(exponent == 2 ? call.function("square", p.a)
                               : call.function("power", p.a, {Call::number(exponent)}));
        return;
    }
    call.set(joined(call, "raised", p.a, p.b));
}

void gelu(Call& call) {
    const Operand x = x_of(call);
    // keras.ops.gelu approximates unless told otherwise; tf.nn.gelu does not.
    const bool approximate = flag_of(call, {"approximate"}, 1, !call.keras2());
    call.set(call.function(approximate ? "gelu_tanh" : "gelu", x));
}

void softmax(Call& call, bool logarithm) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"axis"}, 1);
    const std::int64_t axis = call.axis(x, given.is_null() ? -1 : integer_of(call, given, "axis"));
    call.set(call.emit(operators::softmax_operator,
                       Attributes::of(operators::SoftmaxFields{axis, logarithm}), {x}, x.batch_axis)
                 .front());
}

void clip(Call& call) {
    Operand x = x_of(call);
    const Json& low = parameter(call, {"x_min", "clip_value_min", "min"}, 1);
    const Json& high = parameter(call, {"x_max", "clip_value_max", "max"}, 2);
    if (!low.is_null()) {
        x = call.function("maximum", x, {constant_of(call, low, "x_min")});
    }
    if (!high.is_null()) {
        x = call.function("minimum", x, {constant_of(call, high, "x_max")});
    }
    call.set(x);
}

void where(Call& call) {
    const Operand condition = operand_of(call, 0, {"condition"});
    const Operand a = operand_of(call, 1, {"x1", "x"});
    const Operand b = operand_of(call, 2, {"x2", "y"});
    call.set(chosen(call, condition, a, b));
}

void matmul(Call& call) {
    Pair p = pair_of(call);
    const auto turned = [&](Operand& x, const char* name) {
        if (!flag_of(call, {name})) {
            return;
        }
        Shape order(x.sample_shape().size());
        std::iota(order.begin(), order.end(), std::int64_t{0});
        if (order.size() < 2) {
            call.refuse("it turns what is no matrix", {}, name);
        }
        std::swap(order.back(), order[order.size() - 2]);
        x = call.transposed(x, order, x.batch_axis);
    };
    turned(p.a, "transpose_a");
    turned(p.b, "transpose_b");
    // The batch is an axis of the stack of matrices, or the rows of the first one.
    const bool both = p.a.batch_axis >= 0 && p.b.batch_axis >= 0;
    if ((both && (p.a.rank() != p.b.rank() || p.a.rank() < 3)) || (p.b.batch_axis >= 0 && !both) ||
        (p.a.batch_axis >= 0 && !both && p.b.sample_shape().size() > 2)) {
        call.refuse("it multiplies matrices that are not one sample's");
    }
    call.set(call.matmul(p.a, p.b));
}

void einsum(Call& call) {
    std::string equation;
    std::vector<Operand> operands;
    const Json& given = parameter(call, {"subscripts", "equation"});
    for (std::size_t i = 0;; ++i) {
        const Argument* found = call.argument(i, "operand");
        if (found == nullptr) {
            break;
        }
        if (found->literal.is_string()) {
            equation = found->literal.get<std::string>();
        } else if (!found->value && !found->list) {
            operands.push_back(constant_of(call, found->literal, "operand"));
        } else {
            for (const Value& value : found->tensors()) {
                operands.push_back(value.operand);
            }
        }
    }
    if (given.is_string()) {
        equation = given.get<std::string>();
    }
    call.set(layers::einsum(call, equation, operands));
}

struct Row {
    std::string_view keras3;      ///< the class of the operation
    std::string_view tensorflow;  ///< the function, as Keras 2 names it; several by '|'
    Rule rule;
};

const Row rows[] = {
    {"Add", "math.add|__operators__.add", [](Call& c) { arithmetic(c, &layers::Builder::add); }},
    {"Subtract", "math.subtract", [](Call& c) { arithmetic(c, &layers::Builder::subtract); }},
    {"Multiply", "math.multiply", [](Call& c) { arithmetic(c, &layers::Builder::multiply); }},
    {"TrueDivide", "math.truediv|math.divide",
     [](Call& c) { arithmetic(c, &layers::Builder::divide); }},
    {"Divide", "", [](Call& c) { arithmetic(c, &layers::Builder::divide); }},
    {"Maximum", "math.maximum", [](Call& c) { arithmetic(c, &layers::Builder::maximum); }},
    {"Minimum", "math.minimum", [](Call& c) { arithmetic(c, &layers::Builder::minimum); }},
    {"Power", "math.pow", &power},
    {"FloorDivide", "math.floordiv", [](Call& c) { join(c, "floor_quotient", Kind::real); }},
    {"Mod", "math.floormod|math.mod", [](Call& c) { join(c, "modulo", Kind::real); }},
    {"Greater", "math.greater", [](Call& c) { join(c, "greater", Kind::boolean); }},
    {"GreaterEqual", "math.greater_equal",
     [](Call& c) { join(c, "greater_equal", Kind::boolean); }},
    {"Less", "math.less", [](Call& c) { join(c, "less", Kind::boolean); }},
    {"LessEqual", "math.less_equal", [](Call& c) { join(c, "less_equal", Kind::boolean); }},
    {"Equal", "math.equal", [](Call& c) { join(c, "equal", Kind::boolean); }},
    {"NotEqual", "math.not_equal", [](Call& c) { join(c, "not_equal", Kind::boolean); }},
    {"LogicalAnd", "math.logical_and", [](Call& c) { join(c, "and", Kind::boolean); }},
    {"LogicalOr", "math.logical_or", [](Call& c) { join(c, "or", Kind::boolean); }},
    {"LogicalXor", "math.logical_xor", [](Call& c) { join(c, "xor", Kind::boolean); }},
    {"LogicalNot", "math.logical_not", [](Call& c) { unary(c, "not"); }},
    {"Absolute", "math.abs", [](Call& c) { unary(c, "absolute"); }},
    {"Abs", "", [](Call& c) { unary(c, "absolute"); }},
    {"Negative", "math.negative",
     [](Call& c) { c.set(c.function("affine", x_of(c), {Call::number(-1), Call::number(0)})); }},
    {"Square", "math.square", [](Call& c) { unary(c, "square"); }},
    {"Sqrt", "math.sqrt", [](Call& c) { unary(c, "sqrt"); }},
    {"Rsqrt", "math.rsqrt", [](Call& c) { unary(c, "reciprocal_sqrt"); }},
    {"Reciprocal", "math.reciprocal", [](Call& c) { unary(c, "reciprocal"); }},
    {"Exp", "math.exp", [](Call& c) { unary(c, "exp"); }},
    {"Exp2", "", [](Call& c) { unary(c, "exp2"); }},
    {"Expm1", "math.expm1", [](Call& c) { unary(c, "expm1"); }},
    {"Log", "math.log", [](Call& c) { unary(c, "log"); }},
    {"Log1p", "math.log1p", [](Call& c) { unary(c, "log1p"); }},
    {"Log2", "", [](Call& c) { unary(c, "log2"); }},
    {"Log10", "", [](Call& c) { unary(c, "log10"); }},
    {"Sign", "math.sign", [](Call& c) { unary(c, "sign"); }},
    {"Floor", "math.floor", [](Call& c) { unary(c, "floor"); }},
    {"Ceil", "math.ceil", [](Call& c) { unary(c, "ceil"); }},
    {"Trunc", "", [](Call& c) { unary(c, "truncate"); }},
    {"Sin", "math.sin", [](Call& c) { unary(c, "sin"); }},
    {"Cos", "math.cos", [](Call& c) { unary(c, "cos"); }},
    {"Tan", "math.tan", [](Call& c) { unary(c, "tan"); }},
    {"Arctan", "math.atan", [](Call& c) { unary(c, "atan"); }},
    {"Sinh", "math.sinh", [](Call& c) { unary(c, "sinh"); }},
    {"Cosh", "math.cosh", [](Call& c) { unary(c, "cosh"); }},
    {"Tanh", "math.tanh|nn.tanh", [](Call& c) { unary(c, "tanh"); }},
    {"Erf", "math.erf", [](Call& c) { unary(c, "erf"); }},
    {"Sigmoid", "math.sigmoid|nn.sigmoid", [](Call& c) { unary(c, "sigmoid"); }},
    {"LogSigmoid", "math.log_sigmoid", [](Call& c) { unary(c, "log_sigmoid"); }},
    {"Softplus", "math.softplus|nn.softplus", [](Call& c) { unary(c, "softplus"); }},
    {"Softsign", "nn.softsign", [](Call& c) { unary(c, "softsign"); }},
    {"Silu", "nn.silu|nn.swish", [](Call& c) { named(c, "silu"); }},
    {"Relu", "nn.relu", [](Call& c) { named(c, "relu"); }},
    {"Relu6", "nn.relu6",
     [](Call& c) {
         c.set(c.function("minimum", named_activation(c, "relu", x_of(c)), {Call::number(6)}));
     }},
    {"Selu", "nn.selu", [](Call& c) { named(c, "selu"); }},
    {"Elu", "nn.elu", [](Call& c) { with_number(c, "elu", {"alpha"}, 1); }},
    {"Celu", "", [](Call& c) { with_number(c, "celu", {"alpha"}, 1); }},
    {"LeakyRelu", "nn.leaky_relu",
     [](Call& c) { with_number(c, "leaky", {"negative_slope", "alpha"}, 0.2); }},
    {"Gelu", "nn.gelu", &gelu},
    {"HardSigmoid", "", [](Call& c) { named(c, "hard_sigmoid"); }},
    {"HardSilu", "", [](Call& c) { named(c, "hard_silu"); }},
    {"HardTanh", "", [](Call& c) { named(c, "hard_tanh"); }},
    {"TanhShrink", "", [](Call& c) { unary(c, "tanh_shrink"); }},
    {"SparsePlus", "", [](Call& c) { unary(c, "sparse_plus"); }},
    {"SparseSigmoid", "", [](Call& c) { named(c, "sparse_sigmoid"); }},
    {"Softmax", "nn.softmax", [](Call& c) { softmax(c, false); }},
    {"LogSoftmax", "nn.log_softmax", [](Call& c) { softmax(c, true); }},
    {"Clip", "clip_by_value", &clip},
    {"Where", "where", &where},
    {"Sum", "math.reduce_sum", [](Call& c) { reduce(c, "sum"); }},
    {"Mean", "math.reduce_mean", [](Call& c) { reduce(c, "mean"); }},
    {"Max", "math.reduce_max", [](Call& c) { reduce(c, "max"); }},
    {"Min", "math.reduce_min", [](Call& c) { reduce(c, "min"); }},
    {"Amax", "", [](Call& c) { reduce(c, "max"); }},
    {"Amin", "", [](Call& c) { reduce(c, "min"); }},
    {"Prod", "math.reduce_prod", [](Call& c) { reduce(c, "prod"); }},
    {"Any", "math.reduce_any", [](Call& c) { reduce(c, "max", Kind::boolean); }},
    {"All", "math.reduce_all", [](Call& c) { reduce(c, "min", Kind::boolean); }},
    {"Var", "math.reduce_variance", [](Call& c) { moments(c, false); }},
    {"Std", "math.reduce_std", [](Call& c) { moments(c, true); }},
    {"Matmul", "linalg.matmul", &matmul},
    {"Einsum", "einsum", &einsum},
    {"Reshape", "reshape", &reshape_op},
    {"Transpose", "transpose|compat.v1.transpose", &transpose_op},
    {"Swapaxes", "", &swapaxes_op},
    {"Squeeze", "squeeze|compat.v1.squeeze", &squeeze_op},
    {"ExpandDims", "expand_dims", &expand_dims_op},
    {"Concatenate", "concat", &concatenate_op},
    {"Stack", "stack", &stack_op},
    {"Split", "split", &split_op},
    {"Repeat", "repeat", &repeat_op},
    {"Tile", "tile", &tile_op},
    {"Flip", "reverse", &flip_op},
    {"Pad", "pad|compat.v1.pad", &pad_op},
    {"GetItem", "__operators__.getitem", &get_item_op},
    {"Cast", "cast", &cast_op},
    {"StopGradient", "stop_gradient", &same_op},
    {"Identity", "identity", &same_op},
};

/// Functions of TensorFlow by their names in the configuration.
void tensorflow_function(Call& call) {
    const std::string function = call.settings.text("function");
    call.argument("name");  // names the node
    const auto named_so = [&](std::string_view names) {
        while (!names.empty()) {
            const std::size_t end = std::min(names.find('|'), names.size());
            if (names.substr(0, end) == function) {
                return true;
            }
            names.remove_prefix(std::min(end + 1, names.size()));
        }
        return false;
    };
    for (const Row& row : rows) {
        if (named_so(row.tensorflow)) {
            row.rule(call);
            return;
        }
    }
    throw Failure(Code::unsupported_operator, call.where(),
                  fmt::format("the function tf.{} is not supported", function),
                  "Write it with standard layers.");
}

}  // namespace

std::span<const RuleRow> ops_rules() {
    static const std::vector<RuleRow> table = [] {
        std::vector<RuleRow> out;
        for (const Row& row : rows) {
            out.push_back({row.keras3, row.rule, Masking::ends, ops});
        }
        for (const char* name : {"TFOpLambda", "SlicingOpLambda"}) {
            out.push_back({name, &tensorflow_function, Masking::ends, {}});
        }
        return out;
    }();
    return table;
}

}  // namespace gatewright::keras
