// Reductions along axes, searches, and what accumulates along an axis.

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "import/layers/normalisation.h"
#include "import/layers/quantile.h"
#include "import/torch/rules.h"
#include "operators/layers.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

/// Axes of a sample, sorted; all if the argument is absent or empty.
Shape axes_of(Call& call, const Operand& x, const char* name = "dim") {
    Shape dims = call.has(name) ? call.integers(name) : Shape{};
    if (dims.empty()) {
        dims.resize(static_cast<std::size_t>(x.rank()));
        std::iota(dims.begin(), dims.end(), std::int64_t{0});
    }
    if (x.rank() == 0) {
        return {};  // a number has no axes, whatever is named
    }
    const std::optional<int> joined = call.joined("self");
    Shape axes;
    for (std::int64_t dim : dims) {
        if (joined) {  // the operand has one axis more
            dim = call.normalised(dim, x.rank() - 1);
            if (dim == *joined) {
                throw BatchMixed();
            }
            dim += dim > *joined ? 1 : 0;
        }
        axes.push_back(call.axis(x, dim));
    }
    std::sort(axes.begin(), axes.end());
    if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) {
        call.refuse("it names an axis twice", {}, name);
    }
    return axes;
}

int batch_behind(const Operand& x, const Shape& axes, bool keep) {
    if (x.batch_axis < 0 || keep) {
        return x.batch_axis;
    }
    return x.batch_axis -
           static_cast<int>(std::count_if(axes.begin(), axes.end(),
                                          [&](std::int64_t axis) { return axis < x.batch_axis; }));
}

Operand reduced(Call& call, const Operand& x, const std::string& kind, const Shape& axes,
                bool keep) {
    Operand y = call.reduced(x, kind, axes, keep);
    y.batch_axis = y.is_constant ? -1 : batch_behind(x, axes, keep);
    return y;
}

void reduce(Call& call, const char* kind) {
    Operand x = call.operand("self");
    x.is_integer = false;
    call.ignore("dtype");  // the program says the result's type
    if (call.has("dtype") && is_integral(call.type("dtype", ScalarType::unknown)) &&
        !is_integral(call.type_of("self"))) {
        call.refuse("it casts to integers first", "Cast before it.", "dtype");
    }
    const Shape axes = axes_of(call, x);
    const bool keep = call.flag("keepdim", false);
    if (const std::optional<int> joined = call.joined("self")) {
        if (!keep && axes.front() < *joined) {
            throw BatchMixed();
        }
        call.join(*joined);
    }
    call.set(reduced(call, x, kind, axes, keep));
}

/// max.dim and its kin: the value, and the first position that has it.
void extremum_at(Call& call, bool smallest) {
    const Operand x = call.operand("self");
    const std::int64_t axis = call.axis(x, call.integer("dim"));
    const bool keep = call.flag("keepdim", false);
    call.set(reduced(call, x, smallest ? "min" : "max", {axis}, keep), 0);
    if (call.outputs() > 1) {
        const ArgLayerFields fields{axis, keep, smallest, false};
        call.set(
            call.emit(argmax_operator, Attributes::of(fields), {x}, batch_behind(x, {axis}, keep))
                .front(),
            1);
    }
}

void extrema(Call& call) {  // aminmax
    const Operand x = call.operand("self");
    const Shape axes = axes_of(call, x);
    const bool keep = call.flag("keepdim", false);
    call.set(reduced(call, x, "min", axes, keep), 0);
    call.set(reduced(call, x, "max", axes, keep), 1);
}

void arg_extremum(Call& call, bool smallest) {
    Operand x = call.operand("self");
    const bool keep = call.flag("keepdim", false);
    ArgLayerFields fields{0, keep, smallest, false};
    if (!call.has("dim")) {
        if (x.batch_axis >= 0) {
            throw BatchMixed();
        }
        const auto rank = static_cast<std::size_t>(x.rank());
        x = call.reshaped(x, {element_count(x.sample_shape())}, -1);
        fields.keep = false;
        const Operand y = call.emit(argmax_operator, Attributes::of(fields), {x}, -1).front();
        call.set(keep ? call.reshaped(y, Shape(rank, 1), -1) : y);
        return;
    }
    fields.axis = call.axis(x, call.integer("dim"));
    call.set(call.emit(argmax_operator, Attributes::of(fields), {x},
                       batch_behind(x, {fields.axis}, keep))
                 .front());
}

void top_k(Call& call) {
    const Operand x = call.operand("self");
    TopKLayerFields fields;
    fields.k = call.integer("k");
    fields.axis = call.axis(x, call.integer("dim", -1));
    fields.smallest = !call.flag("largest", true);
    call.ignore("sorted");  // a sorted result is a valid unsorted one
    const auto results = call.emit(top_k_operator, Attributes::of(fields), {x}, x.batch_axis);
    call.set(results[0], 0);
    call.set(results[1], 1);
}

/// Values and positions in order; equal values keep their order, as in the framework's stable sort.
std::vector<Operand> ordered(Call& call, const Operand& x, std::int64_t axis, bool descending) {
    TopKLayerFields fields;
    fields.axis = axis;
    fields.k = x.sample_shape()[static_cast<std::size_t>(axis)];
    fields.smallest = !descending;
    return call.emit(top_k_operator, Attributes::of(fields), {x}, x.batch_axis);
}

void sort(Call& call, bool positions_only) {
    const Operand x = call.operand("self");
    const bool descending = call.flag("descending", false);
    call.ignore("stable");  // the order of equal values is kept either way
    const auto results = ordered(call, x, call.axis(x, call.integer("dim", -1)), descending);
    if (positions_only) {
        call.set(results[1]);
        return;
    }
    call.set(results[0], 0);
    call.set(results[1], 1);
}

/// The k-th smallest (k from 1), and the middle one.
void ranked(Call& call, std::optional<std::int64_t> k) {
    Operand x = call.operand("self");
    const std::int64_t dim = call.has("dim") ? call.integer("dim") : -1;
    if (call.outputs() == 1) {  // of all elements
        if (x.batch_axis >= 0) {
            throw BatchMixed();
        }
        x = call.reshaped(x, {element_count(x.sample_shape())}, -1);
    }
    const std::int64_t axis = call.outputs() == 1 ? 0 : call.axis(x, dim);
    const bool keep = call.flag("keepdim", false);
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    const std::int64_t at = (k ? *k : (extent + 1) / 2) - 1;
    if (at < 0 || at >= extent) {
        call.refuse(fmt::format("it asks for rank {} of {}", at + 1, extent), {}, "k");
    }
    const auto results = ordered(call, x, axis, false);
    for (std::size_t i = 0; i < call.outputs(); ++i) {
        Operand y = call.sliced(results[i], axis, at, 1);
        Shape shape = y.sample_shape();
        if (!keep || call.outputs() == 1) {
            shape.erase(shape.begin() + axis);
        }
        call.set(call.reshaped(y, shape, batch_behind(x, {axis}, keep)), i);
    }
}

/// Mean and variance; divided by (count - correction).
void variance(Call& call, bool deviation, bool with_mean) {
    const Operand x = call.operand("self");
    const Shape axes = axes_of(call, x);
    const bool keep = call.flag("keepdim", false);
    double correction = 1;
    if (call.has("correction")) {
        correction = call.real("correction");
    } else {
        correction = call.flag("unbiased", true) ? 1 : 0;
    }
    double count = 1;
    for (const std::int64_t axis : axes) {
        count *= static_cast<double>(x.sample_shape()[static_cast<std::size_t>(axis)]);
    }
    if (!(count - correction > 0)) {
        call.refuse(
            fmt::format("the variance of {} elements is divided by {}", count, count - correction),
            {}, "correction");
    }
    const Operand mean = reduced(call, x, "mean", axes, true);
    const Operand squares = call.function("square", call.subtract(x, mean));
    Operand y = call.multiply(reduced(call, squares, "mean", axes, keep),
                              Call::number(count / (count - correction)));
    if (deviation) {
        y = call.function("sqrt", y);
    }
    call.set(y, 0);
    if (with_mean) {
        call.set(keep ? mean : reduced(call, x, "mean", axes, false), 1);
    }
}

Operand chosen(Call& call, const Operand& condition, const Operand& a, const Operand& b) {
    return call.elementwise(select_operator, Attributes(), {condition, a, b});
}

/// Sums or means of those elements that are numbers.
void over_numbers(Call& call, bool mean) {
    Operand x = call.operand("self");
    x.is_integer = false;
    call.ignore("dtype");  // the program says the result's type
    call.demand(is_real(call.result_type()), "dtype", "its result is no real number",
                "Use float32.");
    const Shape axes = axes_of(call, x);
    const bool keep = call.flag("keepdim", false);
    const Operand missing = call.function("is_nan", x);
    Operand y = reduced(call, chosen(call, missing, Call::number(0), x), "sum", axes, keep);
    if (mean) {
        y = call.divide(y, reduced(call, call.function("not", missing), "sum", axes, keep));
    }
    call.set(y);
}

/// What lies at a part of the way through the elements in order; no number where one is none.
void quantile(Call& call) {
    Operand x = call.operand("self");
    const double q = call.real("q");
    call.demand(q >= 0 && q <= 1, "q", "it is no part of the whole");
    const std::string method = call.text("interpolation", "linear");
    const bool keep = call.flag("keepdim", false);
    const bool all = !call.has("dim");
    const auto rank = static_cast<std::size_t>(x.rank());
    if (all) {
        if (x.batch_axis >= 0) {
            throw BatchMixed();
        }
        x = call.reshaped(x, {element_count(x.sample_shape())}, -1);
    }
    const std::int64_t axis = all ? 0 : call.axis(x, call.integer("dim"));
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    call.demand(extent > 0, "self", "it has no elements");
    const auto there = layers::quantile(call, ordered(call, x, axis, false)[0], axis, q, method);
    if (!there) {
        call.refuse("there is no such interpolation", {}, "interpolation");
    }
    Operand y = chosen(call, reduced(call, call.function("is_nan", x), "max", {axis}, true),
                       Call::number(std::numeric_limits<double>::quiet_NaN()), *there);
    Shape shape = y.sample_shape();
    if (all) {
        shape.assign(keep ? rank : 0, 1);
    } else if (!keep) {
        shape.erase(shape.begin() + axis);
    }
    call.set(call.reshaped(y, shape, batch_behind(x, {axis}, keep)));
}

/// The area below straight lines between neighbours.
void trapezoid(Call& call) {
    const Operand y = call.operand("y");
    const double dx = call.real("dx", 1);
    const std::int64_t axis = call.axis(y, call.integer("dim", -1));
    const std::int64_t extent = y.sample_shape()[static_cast<std::size_t>(axis)];
    call.demand(extent > 1, "dim", "it has fewer than two points");
    const Operand pairs =
        call.add(call.sliced(y, axis, 0, extent - 1), call.sliced(y, axis, 1, extent - 1));
    call.set(call.multiply(reduced(call, pairs, "sum", {axis}, false), Call::number(dx / 2)));
}

/// Whether any (all) elements are not zero.
void truth(Call& call, bool all) {
    Operand x = call.operand("self");
    x.is_integer = false;
    if (call.type_of("self") != ScalarType::boolean) {
        x = call.function("nonzero", x);
    }
    const Shape axes = axes_of(call, x);
    call.set(reduced(call, x, all ? "min" : "max", axes, call.flag("keepdim", false)));
}

void log_sum_exp(Call& call) {
    const Operand x = call.operand("self");
    const Shape axes = axes_of(call, x);
    const bool keep = call.flag("keepdim", false);
    // Moved by the largest, so that nothing overflows.
    const Operand largest = reduced(call, x, "max", axes, true);
    const Operand sum =
        reduced(call, call.function("exp", call.subtract(x, largest)), "sum", axes, keep);
    call.set(
        call.add(call.function("log", sum), keep ? largest : reduced(call, x, "max", axes, false)));
}

void norm(Call& call, const char* order) {
    Operand x = call.operand("self");
    x.is_integer = false;
    call.ignore("dtype");
    const double p = call.has(order) ? call.real(order) : 2;
    const Shape axes = axes_of(call, x);
    const bool keep = call.flag("keepdim", false);
    Operand y;
    if (p == 0) {
        y = reduced(call, call.function("nonzero", x), "sum", axes, keep);
    } else if (p == -std::numeric_limits<double>::infinity()) {
        y = reduced(call, call.function("absolute", x), "min", axes, keep);
    } else {
        y = layers::lp_norm(call, x, p, axes, keep);
        y.batch_axis = y.is_constant ? -1 : batch_behind(x, axes, keep);
    }
    call.set(y);
}

void cumulate(Call& call, const char* kind) {
    const Operand x = call.operand("self");
    call.ignore("dtype");
    CumulativeFields fields;
    fields.kind = kind;
    fields.axis = call.axis(x, call.integer("dim"));
    const auto results = call.emit(cumulative_operator, Attributes::of(fields), {x}, x.batch_axis);
    for (std::size_t i = 0; i < results.size(); ++i) {
        call.set(results[i], i);
    }
}

const RuleRow rows[] = {
    {"aten.sum", "default dim_IntList", [](Call& c) { reduce(c, "sum"); }, false, Joined::known},
    {"aten.mean", "default dim", [](Call& c) { reduce(c, "mean"); }, false, Joined::known},
    {"aten.prod", "default dim_int", [](Call& c) { reduce(c, "prod"); }},
    {"aten.amax", "default", [](Call& c) { reduce(c, "max"); }, false, Joined::known},
    {"aten.amin", "default", [](Call& c) { reduce(c, "min"); }, false, Joined::known},
    {"aten.max", "default", [](Call& c) { reduce(c, "max"); }},
    {"aten.min", "default", [](Call& c) { reduce(c, "min"); }},
    {"aten.max", "dim", [](Call& c) { extremum_at(c, false); }},
    {"aten.min", "dim", [](Call& c) { extremum_at(c, true); }},
    {"aten.aminmax", "default", &extrema},
    {"aten.argmax", "default", [](Call& c) { arg_extremum(c, false); }},
    {"aten.argmin", "default", [](Call& c) { arg_extremum(c, true); }},
    {"aten.topk", "default", &top_k},
    {"aten.sort", "default stable", [](Call& c) { sort(c, false); }},
    {"aten.argsort", "default stable", [](Call& c) { sort(c, true); }},
    {"aten.msort", "default",
     [](Call& c) {
         const Operand x = c.operand("self");
         c.set(ordered(c, x, c.axis(x, 0), false)[0]);
     }},
    {"aten.kthvalue", "default", [](Call& c) { ranked(c, c.integer("k")); }},
    {"aten.median", "default dim", [](Call& c) { ranked(c, std::nullopt); }},
    {"aten.var", "default dim correction", [](Call& c) { variance(c, false, false); }},
    {"aten.std", "default dim correction", [](Call& c) { variance(c, true, false); }},
    {"aten.var_mean", "default dim correction", [](Call& c) { variance(c, false, true); }},
    {"aten.std_mean", "default dim correction", [](Call& c) { variance(c, true, true); }},
    {"aten.any", "default dim dims", [](Call& c) { truth(c, false); }},
    {"aten.all", "default dim dims", [](Call& c) { truth(c, true); }},
    {"aten.logsumexp", "default", &log_sum_exp},
    {"aten.special_logsumexp", "default", &log_sum_exp},
    {"aten.linalg_vector_norm", "default", [](Call& c) { norm(c, "ord"); }},
    {"aten.norm", "Scalar ScalarOpt_dim ScalarOpt_dim_dtype", [](Call& c) { norm(c, "p"); }},
    {"aten.cumsum", "default", [](Call& c) { cumulate(c, "sum"); }},
    {"aten.cumprod", "default", [](Call& c) { cumulate(c, "prod"); }},
    {"aten.cummax", "default", [](Call& c) { cumulate(c, "max"); }},
    {"aten.cummin", "default", [](Call& c) { cumulate(c, "min"); }},
    {"aten.logcumsumexp", "default", [](Call& c) { cumulate(c, "log_sum_exp"); }},
    {"aten.nansum", "default", [](Call& c) { over_numbers(c, false); }},
    {"aten.nanmean", "default", [](Call& c) { over_numbers(c, true); }},
    {"aten.quantile", "scalar", &quantile},
    {"aten.trapezoid", "dx", &trapezoid},
    {"aten.trapz", "dx", &trapezoid},
};

}  // namespace

std::span<const RuleRow> reduction_rules() {
    return rows;
}

}  // namespace gatewright::torch
