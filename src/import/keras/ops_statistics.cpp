#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "import/keras/activations.h"
#include "import/keras/ops.h"
#include "import/keras/rules.h"
#include "import/layers/quantile.h"
#include "operators/layers.h"
#include "operators/selection.h"

/// Operations of keras.ops on what lies along axes: medians and quantiles, weighted means, and
/// those that pass over what is no number.
namespace gatewright::keras {

namespace {

using namespace gatewright::operators;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// 1 where x is no number.
Operand missing(Call& call, const Operand& x) {
    return call.function("is_nan", x);
}

/// x with another number in place of what is none.
Operand filled(Call& call, const Operand& x, double number) {
    return chosen(call, missing(call, x), Call::number(number), x);
}

/// How many numbers there are along axes.
Operand count_of(Call& call, const Operand& x, const Shape& axes, bool keep) {
    return call.reduced(call.function("not", missing(call, x)), "sum", axes, keep);
}

void sum_of_numbers(Call& call, const char* kind) {
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x);
    const double neutral = std::string_view(kind) == "prod" ? 1 : 0;
    call.set(call.reduced(filled(call, x, neutral), kind, axes, flag_of(call, {"keepdims"}, 2)));
}

void extremum_of_numbers(Call& call, const char* kind, double neutral) {
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x);
    const bool keep = flag_of(call, {"keepdims"}, 2);
    const Operand y = call.reduced(filled(call, x, neutral), kind, axes, keep);
    call.set(chosen(call, count_of(call, x, axes, keep), y, Call::number(not_a_number)));
}

Operand mean_of(Call& call, const Operand& x, const Shape& axes, bool keep) {
    return call.divide(call.reduced(filled(call, x, 0), "sum", axes, keep),
                       count_of(call, x, axes, keep));
}

void mean_of_numbers(Call& call) {
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x);
    call.set(mean_of(call, x, axes, flag_of(call, {"keepdims"}, 2)));
}

void moments_of_numbers(Call& call, bool root) {
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x);
    const Operand centred = call.subtract(x, mean_of(call, x, axes, true));
    const Operand variance =
        mean_of(call, call.function("square", centred), axes, flag_of(call, {"keepdims"}, 2));
    call.set(root ? call.function("sqrt", variance) : variance);
}

void cumulate_numbers(Call& call, const char* kind) {
    const Operand x = x_of(call);
    if (!parameter(call, {"dtype"}).is_null()) {
        call.refuse("another type of sums is not supported", {}, "dtype");
    }
    const double neutral = std::string_view(kind) == "prod" ? 1 : 0;
    CumulativeFields fields;
    fields.kind = kind;
    fields.axis = sample_axis(call, x, std::nullopt);
    call.set(call.emit(cumulative_operator, Attributes::of(fields), {filled(call, x, neutral)},
                       x.batch_axis)
                 .front());
}

void nan_to_num(Call& call) {
    const double most = static_cast<double>(std::numeric_limits<float>::max());
    const Operand x = x_of(call);
    call.set(call.function(
        "make_finite", x,
        {Call::number(real_of(call, "nan", 1, 0)), Call::number(real_of(call, "posinf", 2, most)),
         Call::number(real_of(call, "neginf", 3, -most))}));
}

/// x with all the given axes joined to one, the last.
Operand with_axes_joined(Call& call, const Operand& x, const Shape& axes) {
    Shape order;
    Shape shape;
    std::int64_t joined = 1;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(x.sample_shape().size()); ++i) {
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(i)];
        if (std::find(axes.begin(), axes.end(), i) == axes.end()) {
            order.push_back(i);
            shape.push_back(extent);
        } else {
            joined *= extent;
        }
    }
    order.insert(order.end(), axes.begin(), axes.end());
    shape.push_back(joined);
    return call.reshaped(call.transposed(x, order, x.batch_axis), shape, x.batch_axis);
}

/// What lies at place `q` (0 to 1) of the elements along axes in order; no number where one is
/// none.
void quantile(Call& call, double q, const std::string& method, std::size_t first) {
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x, first);
    const bool keep = flag_of(call, {"keepdims"}, first == 1 ? 2 : SIZE_MAX);
    if (!(q >= 0 && q <= 1)) {
        call.refuse("it is no part of the whole", {}, "q");
    }
    const Operand flat = with_axes_joined(call, x, axes);
    const auto last = static_cast<std::int64_t>(flat.sample_shape().size()) - 1;
    if (flat.sample_shape().back() < 1) {
        call.refuse("it has no elements", {}, "axis");
    }
    const auto there = layers::quantile(call, ordered(call, flat, last).front(), last, q, method);
    if (!there) {
        call.refuse(fmt::format("there is no method '{}'", method), {}, "method");
    }
    Operand y = chosen(call, call.reduced(missing(call, flat), "max", {last}, true),
                       Call::number(not_a_number), *there);
    if (keep) {
        Shape shape = x.sample_shape();
        for (const std::int64_t axis : axes) {
            shape[static_cast<std::size_t>(axis)] = 1;
        }
        y = call.reshaped(y, shape, x.batch_axis);
    } else {
        y = call.selected(y, last, 0);
    }
    call.set(y);
}

void quantile_of(Call& call, double whole) {
    const Operand q = operand_of(call, 1, {"q"});
    if (!q.is_constant || !q.constant.shape.empty()) {
        call.refuse("it is not one constant number", "Ask for one quantile at a time.", "q");
    }
    const Json& method = parameter(call, {"method"});
    quantile(call, q.constant.values.front() / whole,
             method.is_string() ? method.get<std::string>() : "linear", SIZE_MAX);
}

void average(Call& call) {
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x, SIZE_MAX);
    if (call.argument(1, "weights") == nullptr) {
        call.set(call.reduced(x, "mean", axes, false));
        return;
    }
    Operand weights = operand_of(call, 1, {"weights"});
    if (weights.is_constant && weights.constant.shape.size() == 1 && axes.size() == 1) {
        Shape shape(x.sample_shape().size(), 1);
        shape[static_cast<std::size_t>(axes.front())] = weights.constant.shape.front();
        weights.constant.shape = shape;
    } else if (weights.is_constant || weights.sample_shape() != x.sample_shape()) {
        call.refuse("it is neither one constant for each position nor of the input's shape", {},
                    "weights");
    }
    call.set(call.divide(call.reduced(call.multiply(x, weights), "sum", axes, false),
                         call.reduced(weights, "sum", axes, false)));
}

void range(Call& call) {  // ptp
    const Operand x = x_of(call);
    const Shape axes = reduced_axes(call, x);
    const bool keep = flag_of(call, {"keepdims"}, 2);
    call.set(call.subtract(call.reduced(x, "max", axes, keep), call.reduced(x, "min", axes, keep)));
}

void count_nonzero(Call& call) {
    const Operand x = x_of(call);
    call.set(call.reduced(call.function("nonzero", x), "sum", reduced_axes(call, x), false),
             Kind::integer);
}

/// The larger or the smaller of two, or the one that is a number.
void extremum_of_two(Call& call, bool largest) {
    const Operand a = operand_of(call, 0, {"x1"});
    const Operand b = operand_of(call, 1, {"x2"});
    const Operand y = largest ? call.maximum(a, b) : call.minimum(a, b);
    call.set(chosen(call, missing(call, a), b, chosen(call, missing(call, b), a, y)));
}

/// The vector product of three numbers along an axis of each.
void cross(Call& call) {
    const Operand a = operand_of(call, 0, {"x1"});
    const Operand b = operand_of(call, 1, {"x2"});
    // One axis for all three, or one for each.
    const bool common = !parameter(call, {"axis"}).is_null();
    const auto axis = [&](const Operand& x, const char* own) {
        parameter(call, {own});
        const char* name = common ? "axis" : own;
        const std::int64_t at = sample_axis(call, x, -1, name, SIZE_MAX);
        if (x.sample_shape()[static_cast<std::size_t>(at)] != 3) {
            call.refuse("only vectors of three numbers are supported", {}, name);
        }
        return at;
    };
    const std::int64_t of_a = axis(a, "axisa");
    const std::int64_t of_b = axis(b, "axisb");
    const auto part = [&](std::int64_t i) {
        const std::int64_t j = (i + 1) % 3;
        const std::int64_t k = (i + 2) % 3;
        const auto product = [&](std::int64_t p, std::int64_t q) {
            return call.multiply(call.selected(a, of_a, p), call.selected(b, of_b, q));
        };
        return call.subtract(product(j, k), product(k, j));
    };
    const std::vector<Operand> parts = {part(0), part(1), part(2)};
    const Json& own = parameter(call, {"axisc"});
    const Json& given = common ? parameter(call, {"axis"}) : own;
    const std::int64_t to = call.normalised(given.is_null() ? -1 : integer_of(call, given, "axisc"),
                                            parts.front().rank() + 1);
    if (to <= parts.front().batch_axis) {
        throw layers::BatchMixed();
    }
    call.set(call.stacked(parts, to - (parts.front().batch_axis >= 0 ? 1 : 0)));
}

void heaviside(Call& call) {
    const Operand x = operand_of(call, 0, {"x1"});
    const Operand at_zero = operand_of(call, 1, {"x2"});
    const Operand zero = Call::number(0);
    const Operand step = call.function("maximum", call.function("sign", x), {zero});
    call.set(chosen(call, missing(call, x), x,
                    chosen(call, joined(call, "equal", x, zero), at_zero, step)));
}

void is_close(Call& call) {
    const Operand a = operand_of(call, 0, {"x1"});
    const Operand b = operand_of(call, 1, {"x2"});
    const double relative = real_of(call, "rtol", 2, 1e-5);
    const double absolute = real_of(call, "atol", 3, 1e-8);
    if (flag_of(call, {"equal_nan"})) {
        call.refuse("what is no number is not compared", {}, "equal_nan");
    }
    const Operand bound = call.function("affine", call.function("absolute", b),
                                        {Call::number(relative), Call::number(absolute)});
    const Operand near =
        joined(call, "less_equal", call.function("absolute", call.subtract(a, b)), bound);
    // Infinities are close to themselves alone.
    const Operand finite =
        joined(call, "and", call.function("is_finite", a), call.function("is_finite", b));
    call.set(chosen(call, finite, near, joined(call, "equal", a, b)), Kind::boolean);
}

void scaled(Call& call, double factor) {
    call.set(call.function("affine", x_of(call), {Call::number(factor), Call::number(0)}));
}

void full_like(Call& call) {
    const Operand x = x_of(call);
    const Operand value = operand_of(call, 1, {"fill_value"});
    if (!parameter(call, {"dtype"}).is_null()) {
        call.refuse("another type is not supported", {}, "dtype");
    }
    call.set(call.add(call.repeated(Tensor::filled(x.sample_shape(), 0), x.batch_axis), value),
             call.input().kind);
}

void sparsemax(Call& call) {
    const Operand x = x_of(call);
    const std::int64_t axis = sample_axis(call, x, -1);
    if (axis + 1 != static_cast<std::int64_t>(x.sample_shape().size())) {
        call.refuse("it is not the last axis", "Move the axis to the end.", "axis");
    }
    call.set(named_activation(call, "sparsemax", x));
}

void select_first(Call& call) {
    const auto listed = [&](std::size_t position, const char* name) {
        const Argument* found = call.argument(position, name);
        if (found == nullptr || !found->list) {
            call.refuse("it is no list of tensors", {}, name);
        }
        std::vector<Operand> out;
        for (const Argument& one : *found->list) {
            out.push_back(one.value ? one.value->operand : constant_of(call, one.literal, name));
        }
        return out;
    };
    const std::vector<Operand> conditions = listed(0, "condlist");
    const std::vector<Operand> choices = listed(1, "choicelist");
    if (conditions.size() != choices.size() || conditions.empty()) {
        call.refuse("there is not one choice for each condition", {}, "choicelist");
    }
    const bool given = call.argument(2, "default") != nullptr;
    Operand y = given ? operand_of(call, 2, {"default"}) : Call::number(0);
    for (std::size_t i = conditions.size(); i-- > 0;) {
        y = chosen(call, conditions[i], choices[i], y);
    }
    call.set(y);
}

void infinite(Call& call, double below, double above) {
    call.set(call.function("is_infinite", x_of(call), {Call::number(below), Call::number(above)}),
             Kind::boolean);
}

void two(Call& call, const char* function) {
    const Operand a = operand_of(call, 0, {"x1"});
    const Operand b = operand_of(call, 1, {"x2"});
    call.set(joined(call, function, a, b));
}

constexpr double degree = 0.017453292519943295;

const OpRow rows[] = {
    {"Nansum", [](Call& c) { sum_of_numbers(c, "sum"); }},
    {"Nanprod", [](Call& c) { sum_of_numbers(c, "prod"); }},
    {"Nanmax", [](Call& c) { extremum_of_numbers(c, "max", -infinity); }},
    {"Nanmin", [](Call& c) { extremum_of_numbers(c, "min", infinity); }},
    {"Nanmean", &mean_of_numbers},
    {"Nanvar", [](Call& c) { moments_of_numbers(c, false); }},
    {"Nanstd", [](Call& c) { moments_of_numbers(c, true); }},
    {"Nancumsum", [](Call& c) { cumulate_numbers(c, "sum"); }},
    {"Nancumprod", [](Call& c) { cumulate_numbers(c, "prod"); }},
    {"NanToNum", &nan_to_num},
    {"Median", [](Call& c) { quantile(c, 0.5, "linear", 1); }},
    {"Quantile", [](Call& c) { quantile_of(c, 1); }},
    {"Percentile", [](Call& c) { quantile_of(c, 100); }},
    {"Average", &average},
    {"Ptp", &range},
    {"CountNonzero", &count_nonzero},
    {"Fmax", [](Call& c) { extremum_of_two(c, true); }},
    {"Fmin", [](Call& c) { extremum_of_two(c, false); }},
    {"Fmod", [](Call& c) { two(c, "remainder"); }},
    {"Cross", &cross},
    {"Heaviside", &heaviside},
    {"Isclose", &is_close},
    {"Isposinf", [](Call& c) { infinite(c, 0, 1); }},
    {"Isneginf", [](Call& c) { infinite(c, 1, 0); }},
    {"Deg2rad", [](Call& c) { scaled(c, degree); }},
    {"Rad2deg", [](Call& c) { scaled(c, 1 / degree); }},
    {"Erfinv", [](Call& c) { c.set(c.function("inverse_erf", x_of(c))); }},
    {"FullLike", &full_like},
    {"Sparsemax", &sparsemax},
    {"Select", &select_first},
};

}  // namespace

std::span<const RuleRow> ops_statistics_rules() {
    static const std::vector<RuleRow> table = op_rules(rows);
    return table;
}

}  // namespace gatewright::keras
