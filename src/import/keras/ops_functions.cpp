#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/keras/moves.h"
#include "import/keras/ops.h"
#include "import/keras/rules.h"
#include "import/layers/axes.h"
#include "import/layers/einsum.h"
#include "import/layers/normalisation.h"
#include "operators/layers.h"
#include "operators/selection.h"

/// Further operations of keras.ops: searches, orders, products of tensors, functions of one or two
/// tensors.
namespace gatewright::keras {

namespace {

using namespace gatewright::operators;

void function(Call& call, const char* name, Kind kind = Kind::real) {
    call.set(call.function(name, x_of(call)), kind);
}

void join(Call& call, const char* name) {
    const Operand a = operand_of(call, 0, {"x1", "x"});
    const Operand b = operand_of(call, 1, {"x2", "y"});
    call.set(joined(call, name, a, b));
}

void divide_no_nan(Call& call) {  // 0 where the divisor is 0
    const Operand a = operand_of(call, 0, {"x1", "x"});
    const Operand b = operand_of(call, 1, {"x2", "y"});
    const Operand zero = joined(call, "equal", b, Call::number(0));
    const Operand divisor = chosen(call, zero, Call::number(1), b);
    call.set(chosen(call, zero, Call::number(0), call.divide(a, divisor)));
}

void round(Call& call) {
    const Operand x = x_of(call);
    const Json& decimals = parameter(call, {"decimals"}, 1);
    if (!decimals.is_null() && integer_of(call, decimals, "decimals") != 0) {
        call.refuse("only whole numbers are rounded to", {}, "decimals");
    }
    call.set(call.function("round", x));
}

void argument_of_extremum(Call& call, bool smallest) {
    const Operand x = x_of(call);
    ArgLayerFields fields{sample_axis(call, x, std::nullopt), flag_of(call, {"keepdims"}, 2),
                          smallest, false};
    call.set(call.emit(argmax_operator, Attributes::of(fields), {x}, x.batch_axis).front(),
             Kind::integer);
}

void sort(Call& call, bool positions) {
    const Operand x = x_of(call);
    const std::vector<Operand> out = ordered(call, x, sample_axis(call, x, -1));
    call.set(positions ? out.at(1) : out.at(0), positions ? Kind::integer : Kind::real);
}

void top_k(Call& call) {
    const Operand x = x_of(call);
    TopKLayerFields fields;
    fields.k = integer_of(call, parameter(call, {"k"}, 1), "k");
    fields.axis = call.axis(x, -1);
    flag_of(call, {"sorted"}, 2);  // a sorted result is a valid unsorted one
    if (fields.k < 1 || fields.k > x.sample_shape().back()) {
        call.refuse(fmt::format("there are {} positions", x.sample_shape().back()), {}, "k");
    }
    const auto out = call.emit(top_k_operator, Attributes::of(fields), {x}, x.batch_axis);
    call.set_values({{out[0], Kind::real, std::nullopt}, {out[1], Kind::integer, std::nullopt}});
}

void cumulate(Call& call, const char* kind) {
    const Operand x = x_of(call);
    call.argument("dtype");
    call.settings.expect_unset("dtype", "another type of sums is not supported");
    CumulativeFields fields;
    fields.kind = kind;
    fields.axis = sample_axis(call, x, std::nullopt);
    call.set(call.emit(cumulative_operator, Attributes::of(fields), {x}, x.batch_axis).front());
}

void log_sum_exp(Call& call) {
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x);
    const bool keep = flag_of(call, {"keepdims"}, 2);
    // Moved by the largest, so that nothing overflows.
    const Operand largest = call.reduced(x, "max", axes, true);
    const Operand sum =
        call.reduced(call.function("exp", call.subtract(x, largest)), "sum", axes, keep);
    call.set(
        call.add(call.function("log", sum), keep ? largest : call.reduced(x, "max", axes, false)));
}

void move_axes(Call& call) {
    const Operand x = x_of(call);
    const Shape from = integers_of(call, parameter(call, {"source"}, 1), "source");
    const Shape to = integers_of(call, parameter(call, {"destination"}, 2), "destination");
    if (from.size() != to.size()) {
        call.refuse("it has not as many axes as source", {}, "destination");
    }
    const auto axes = [&](const Shape& given) {
        Shape out;
        for (const std::int64_t axis : given) {
            out.push_back(call.axis(x, axis));
        }
        return out;
    };
    const auto order = layers::moved_axes(x.sample_shape().size(), axes(from), axes(to));
    if (!order) {
        call.refuse("it names an axis twice", {}, "source");
    }
    call.set(call.transposed(x, *order, x.batch_axis), call.input().kind);
}

void roll(Call& call) {
    Operand x = x_of(call);
    const Shape shifts = integers_of(call, parameter(call, {"shift"}, 1), "shift");
    const Json& given = parameter(call, {"axis"}, 2);
    if (given.is_null()) {
        throw layers::BatchMixed();
    }
    const Shape axes = integers_of(call, given, "axis");
    if (axes.size() != shifts.size()) {
        call.refuse("there is not one shift for each axis", {}, "shift");
    }
    for (std::size_t i = 0; i < axes.size(); ++i) {
        const std::int64_t axis = call.axis(x, axes[i]);
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
        std::vector<std::int64_t> positions;
        for (std::int64_t k = 0; k < extent; ++k) {
            positions.push_back((((k - shifts[i]) % extent) + extent) % extent);
        }
        x = taken(call, x, axis, positions);
    }
    call.set(x, call.input().kind);
}

/// Of the last two axes, what lies on one side of a diagonal; zeros elsewhere.
void triangle(Call& call, bool lower) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"k"}, 1);
    const std::int64_t k = given.is_null() ? 0 : integer_of(call, given, "k");
    const Shape& shape = x.sample_shape();
    if (shape.size() < 2) {
        throw layers::BatchMixed();
    }
    Tensor kept{{shape[shape.size() - 2], shape.back()}, {}};
    for (std::int64_t i = 0; i < kept.shape[0]; ++i) {
        for (std::int64_t j = 0; j < kept.shape[1]; ++j) {
            kept.values.push_back((lower ? j - i <= k : j - i >= k) ? 1 : 0);
        }
    }
    call.set(chosen(call, Call::tensor(std::move(kept)), x, Call::number(0)), call.input().kind);
}

void take(Call& call) {
    const Operand x = x_of(call);
    const Operand index = operand_of(call, 1, {"indices"});
    const std::int64_t axis = sample_axis(call, x, std::nullopt, "axis", 2);
    if (!index.is_constant || index.constant.shape.size() > 1) {
        call.refuse("its positions are no list of constants", {}, "indices");
    }
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    std::vector<std::int64_t> positions;
    for (const double value : index.constant.values) {
        const auto at = static_cast<std::int64_t>(value);
        if (static_cast<double>(at) != value || at < -extent || at >= extent) {
            call.refuse(fmt::format("there is no position {} of {}", value, extent), {}, "indices");
        }
        positions.push_back(at < 0 ? at + extent : at);
    }
    Operand y = taken(call, x, axis, positions);
    if (index.constant.shape.empty()) {
        Shape shape = y.sample_shape();
        shape.erase(shape.begin() + axis);
        y = call.reshaped(y, shape, x.batch_axis);
    }
    call.set(y, call.input().kind);
}

void one_hot(Call& call) {
    const Operand x = x_of(call);
    const std::int64_t classes =
        integer_of(call, parameter(call, {"num_classes"}, 1), "num_classes");
    const Json& axis = parameter(call, {"axis"}, 2);
    if (classes < 1 || classes > 1 << 24) {
        call.refuse("it is out of range", {}, "num_classes");
    }
    if (!axis.is_null() &&
        call.normalised(integer_of(call, axis, "axis"), x.rank() + 1) != x.rank()) {
        call.refuse("classes along an axis that is not the last are not supported", {}, "axis");
    }
    call.settings.ignore("dtype");  // of zeros and ones
    call.argument("dtype");
    if (flag_of(call, {"sparse"})) {
        call.refuse("sparse results are not supported", {}, "sparse");
    }
    Shape shape = x.sample_shape();
    shape.push_back(1);
    Tensor numbers{{classes}, {}};
    for (std::int64_t i = 0; i < classes; ++i) {
        numbers.values.push_back(static_cast<double>(i));
    }
    call.set(joined(call, "equal", call.reshaped(x, shape, x.batch_axis),
                    Call::tensor(std::move(numbers))));
}

void filled_like(Call& call, double value) {
    const Operand x = x_of(call);
    call.argument("dtype");
    call.settings.expect_unset("dtype", "another type is not supported");
    call.set(call.repeated(Tensor::filled(x.sample_shape(), value), x.batch_axis),
             call.input().kind);
}

/// The sum of products over the last axis of both, or of the last of one and the last but one of
/// the other (`dot`).
void inner_product(Call& call, bool dot) {
    const Operand a = operand_of(call, 0, {"x1", "x"});
    const Operand b = operand_of(call, 1, {"x2", "y"});
    if (a.rank() == 0 || b.rank() == 0) {
        call.set(call.multiply(a, b));
        return;
    }
    if (a.rank() + b.rank() > 26) {
        call.refuse("its tensors have too many axes");
    }
    std::string of_a(static_cast<std::size_t>(a.rank()), ' ');
    std::string of_b(static_cast<std::size_t>(b.rank()), ' ');
    std::iota(of_a.begin(), of_a.end(), 'a');
    std::iota(of_b.begin(), of_b.end(), static_cast<char>('a' + a.rank()));
    const std::size_t at = dot && of_b.size() > 1 ? of_b.size() - 2 : of_b.size() - 1;
    std::string result = of_a.substr(0, of_a.size() - 1) + of_b;
    result.erase(of_a.size() - 1 + at, 1);
    of_b[at] = of_a.back();
    call.set(layers::einsum(call, fmt::format("{},{}->{}", of_a, of_b, result), {a, b}));
}

void normalize(Call& call) {
    const Operand x = x_of(call);
    const std::int64_t axis = sample_axis(call, x, -1);
    const double order = real_of(call, "order", 2, 2);
    const double epsilon = real_of(call, "epsilon", 3, 1e-7);
    const Operand norm = layers::lp_norm(call, x, order, {axis}, true);
    call.set(call.divide(x, call.function("maximum", norm, {Call::number(epsilon)})));
}

void shrink(Call& call, bool moved) {
    const Operand x = x_of(call);
    const double limit = real_of(call, "threshold", 1, 0.5);
    call.set(call.function("shrink", x, {Call::number(limit), Call::number(moved ? limit : 0)}));
}

void threshold(Call& call) {
    const Operand x = x_of(call);
    const Operand limit = Call::number(real_of(call, "threshold", 1, 0));
    const Operand otherwise = Call::number(real_of(call, "default_value", 2, 0));
    call.set(chosen(call, joined(call, "greater", x, limit), x, otherwise));
}

void squareplus(Call& call) {
    const Operand x = x_of(call);
    call.set(call.function("squareplus", x, {Call::number(real_of(call, "b", 1, 4))}));
}

void gated(Call& call) {  // glu
    const Operand x = x_of(call);
    const std::int64_t axis = sample_axis(call, x, -1);
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    if (extent % 2 != 0) {
        call.refuse(fmt::format("its extent of {} has no halves", extent), {}, "axis");
    }
    call.set(call.multiply(call.sliced(x, axis, 0, extent / 2),
                           call.function("sigmoid", call.sliced(x, axis, extent / 2, extent / 2))));
}

void difference(Call& call) {
    Operand x = operand_of(call, 0, {"a", "x"});
    const Json& times = parameter(call, {"n"}, 1);
    const std::int64_t n = times.is_null() ? 1 : integer_of(call, times, "n");
    const std::int64_t axis = sample_axis(call, x, -1, "axis", 2);
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
        if (extent < 2) {
            call.refuse("there are too few positions", {}, "n");
        }
        x = call.subtract(call.sliced(x, axis, 1, extent - 1), call.sliced(x, axis, 0, extent - 1));
    }
    call.set(x);
}

void unstack(Call& call) {
    const Operand x = x_of(call);
    const Json& count = parameter(call, {"num"}, 1);
    const std::int64_t axis = sample_axis(call, x, 0, "axis", 2);
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    if (!count.is_null() && integer_of(call, count, "num") != extent) {
        call.refuse(fmt::format("there are {} positions", extent), {}, "num");
    }
    std::vector<Value> out;
    for (std::int64_t i = 0; i < extent; ++i) {
        out.push_back({call.selected(x, axis, i), call.input().kind, std::nullopt});
    }
    call.set_values(std::move(out));
}

const OpRow rows[] = {
    {"Arccos", [](Call& c) { function(c, "acos"); }},
    {"Arcsin", [](Call& c) { function(c, "asin"); }},
    {"Arccosh", [](Call& c) { function(c, "acosh"); }},
    {"Arcsinh", [](Call& c) { function(c, "asinh"); }},
    {"Arctanh", [](Call& c) { function(c, "atanh"); }},
    {"Arctan2", [](Call& c) { join(c, "angle"); }},
    {"Hypot", [](Call& c) { join(c, "hypotenuse"); }},
    {"Logaddexp", [](Call& c) { join(c, "log_sum_exp"); }},
    {"DivideNoNan", &divide_no_nan},
    {"Cbrt", [](Call& c) { function(c, "cube_root"); }},
    {"Erfc", [](Call& c) { function(c, "erfc"); }},
    {"Sinc", [](Call& c) { function(c, "sinc"); }},
    {"Fabs", [](Call& c) { function(c, "absolute"); }},
    {"Round", &round},
    {"Isnan", [](Call& c) { function(c, "is_nan", Kind::boolean); }},
    {"Isinf",
     [](Call& c) {  // above and below zero
         c.set(c.function("is_infinite", x_of(c), {Call::number(1), Call::number(1)}),
               Kind::boolean);
     }},
    {"Isfinite", [](Call& c) { function(c, "is_finite", Kind::boolean); }},
    {"Argmax", [](Call& c) { argument_of_extremum(c, false); }},
    {"Argmin", [](Call& c) { argument_of_extremum(c, true); }},
    {"Sort", [](Call& c) { sort(c, false); }},
    {"Argsort", [](Call& c) { sort(c, true); }},
    {"TopK", &top_k},
    {"Cumsum", [](Call& c) { cumulate(c, "sum"); }},
    {"Cumprod", [](Call& c) { cumulate(c, "prod"); }},
    {"Diff", &difference},
    {"Moveaxis", &move_axes},
    {"Roll", &roll},
    {"Tril", [](Call& c) { triangle(c, true); }},
    {"Triu", [](Call& c) { triangle(c, false); }},
    {"Take", &take},
    {"Unstack", &unstack},
    {"OneHot", &one_hot},
    {"ZerosLike", [](Call& c) { filled_like(c, 0); }},
    {"OnesLike", [](Call& c) { filled_like(c, 1); }},
    {"Dot", [](Call& c) { inner_product(c, true); }},
    {"Inner", [](Call& c) { inner_product(c, false); }},
    {"Logsumexp", &log_sum_exp},
    {"Normalize", &normalize},
    {"HardShrink", [](Call& c) { shrink(c, false); }},
    {"SoftShrink", [](Call& c) { shrink(c, true); }},
    {"Threshold", &threshold},
    {"Squareplus", &squareplus},
    {"Glu", &gated},
    {"Copy", &same_op},
};

}  // namespace

std::span<const RuleRow> ops_function_rules() {
    static const std::vector<RuleRow> table = op_rules(rows);
    return table;
}

}  // namespace gatewright::keras
