// Operators that are others put together, which the exporter leaves as one.

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/layers/einsum.h"
#include "import/layers/normalisation.h"
#include "import/torch/parts.h"
#include "import/torch/rules.h"
#include "operators/layers.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

void tensordot(Call& call) {
    const Operand a = call.operand("self");
    const Operand b = call.operand("other");
    call.set(
        layers::tensordot(call, a, b, call.integers("dims_self"), call.integers("dims_other")));
}

void inner(Call& call) {
    const Operand a = call.operand("self");
    const Operand b = call.operand("other");
    call.set(a.rank() == 0 || b.rank() == 0 ? call.multiply(a, b)
                                            : layers::tensordot(call, a, b, {-1}, {-1}));
}

/// Of x an axis goes; where the batch stands then.
Operand summed(Call& call, const Operand& x, std::int64_t dim) {
    const std::int64_t axis = call.axis(x, dim);
    Operand y = call.reduced(x, "sum", {axis}, false);
    if (!y.is_constant) {
        y.batch_axis = x.batch_axis - (axis < x.batch_axis ? 1 : 0);
    }
    return y;
}

void vector_dot(Call& call) {
    const Operand y = call.multiply(call.operand("x"), call.operand("y"));
    call.set(summed(call, y, call.integer("dim", -1)));
}

void times_power_of_two(Call& call) {  // ldexp
    Operand exponent = call.operand("other");
    exponent.is_integer = false;
    call.set(call.multiply(call.operand("self"), call.function("exp2", exponent)));
}

void pairwise_distance(Call& call) {
    const Operand a = call.operand("x1");
    const Operand b = call.operand("x2");
    const double epsilon = call.real("eps", 1e-6);
    Operand difference = call.add(call.subtract(a, b), Call::number(epsilon));
    const double p = call.real("p", 2);
    const std::int64_t axis = call.axis(difference, -1);
    const bool keep = call.flag("keepdim", false);
    Operand y = layers::lp_norm(call, difference, p, {axis}, keep);
    if (!y.is_constant) {
        y.batch_axis = difference.batch_axis;
    }
    call.set(y);
}

/// How many of the sorted numbers lie before each element; those that equal it too if `right`.
void place_among(Call& call, const char* sorted, const char* values) {
    Tensor numbers = call.constant(sorted);
    Operand x = call.operand(values);
    x.is_integer = false;
    call.demand(numbers.shape.size() == 1, sorted, "it is no vector");
    if (call.has("sorter")) {
        const Tensor order = call.constant("sorter");
        call.demand(order.shape == numbers.shape, "sorter", "it does not order its sequence");
        Tensor ordered = numbers;
        for (std::size_t i = 0; i < order.values.size(); ++i) {
            const double at = order.values[i];
            call.demand(at >= 0 && at < static_cast<double>(numbers.values.size()), "sorter",
                        "it names no place of its sequence");
            ordered.values[i] = numbers.values[static_cast<std::size_t>(at)];
        }
        numbers = std::move(ordered);
    }
    call.demand(std::is_sorted(numbers.values.begin(), numbers.values.end()), sorted,
                "it is not sorted");
    call.ignore("out_int32");  // the program says the result's type
    bool right = call.flag("right", false);
    if (call.has("side")) {
        const std::string side = call.text("side");
        call.demand(side == "left" || side == "right", "side", "it is neither left nor right");
        right = side == "right";
    }
    Shape shape = x.sample_shape();
    shape.push_back(1);
    x = call.reshaped(x, shape, x.batch_axis);
    // What is no number comes behind all.
    const JoinFields beyond{right ? "greater" : "greater_equal"};
    const Operand behind =
        call.elementwise(join_operator, Attributes::of(beyond), {Call::tensor(numbers), x});
    call.set(summed(call, call.function("not", behind), -1));
}

void count_nonzero(Call& call) {
    Operand x = call.operand("self");
    x.is_integer = false;
    Shape dims(static_cast<std::size_t>(x.rank()));
    std::iota(dims.begin(), dims.end(), std::int64_t{0});
    if (call.has("dim")) {
        dims = call.integers("dim", dims);
    }
    for (std::int64_t& dim : dims) {
        dim = call.normalised(dim, x.rank());
    }
    std::sort(dims.rbegin(), dims.rend());
    if (std::adjacent_find(dims.begin(), dims.end()) != dims.end()) {
        call.refuse("it names an axis twice", {}, "dim");
    }
    x = call.function("nonzero", x);
    for (const std::int64_t dim : dims) {
        x = summed(call, x, dim);
    }
    call.set(x);
}

/// Turned by quarters from the first axis towards the second.
void quarter_turns(Call& call) {
    const Operand x = call.operand("self");
    const Shape dims = call.integers("dims", Shape{0, 1});
    call.demand(dims.size() == 2, "dims", "it does not name two axes");
    const std::int64_t a = call.axis(x, dims[0]);
    const std::int64_t b = call.axis(x, dims[1]);
    call.demand(a != b, "dims", "it names an axis twice");
    const std::int64_t turns = ((call.integer("k", 1) % 4) + 4) % 4;
    Operand y = x;
    if (turns == 2) {
        y = call.reversed(call.reversed(x, a), b);
    } else if (turns != 0) {
        Shape order(x.sample_shape().size());
        std::iota(order.begin(), order.end(), std::int64_t{0});
        std::swap(order[static_cast<std::size_t>(a)], order[static_cast<std::size_t>(b)]);
        y = call.transposed(turns == 1 ? call.reversed(x, b) : x, order, x.batch_axis);
        y = turns == 3 ? call.reversed(y, b) : y;
    }
    call.set(y);
}

/// The product of three tensors, each with new axes, summed over some: what is left of a bilinear
/// layer.
void trilinear(Call& call) {
    const std::pair<const char*, const char*> factors[] = {
        {"i1", "expand1"}, {"i2", "expand2"}, {"i3", "expand3"}};
    call.ignore("unroll_dim");  // how it is computed
    std::vector<Operand> xs;
    std::vector<Shape> added;
    std::int64_t rank = 0;
    for (const auto& [tensor, expand] : factors) {
        xs.push_back(call.operand(tensor));
        added.push_back(call.integers(expand, Shape{}));
        rank = xs.back().rank() + static_cast<std::int64_t>(added.back().size());
        if (rank > 26) {
            call.refuse("its tensors have too many axes");
        }
    }
    std::string equation;
    for (std::size_t i = 0; i < xs.size(); ++i) {
        call.demand(xs[i].rank() + static_cast<std::int64_t>(added[i].size()) == rank,
                    factors[i].second, "its tensors differ in their numbers of axes");
        equation += i == 0 ? "" : ",";
        for (std::int64_t axis = 0; axis < rank; ++axis) {
            if (std::find(added[i].begin(), added[i].end(), axis) == added[i].end()) {
                equation += static_cast<char>('a' + axis);
            }
        }
    }
    equation += "->";
    const Shape summed = call.integers("sumdim", Shape{});
    for (std::int64_t axis = 0; axis < rank; ++axis) {
        if (std::find(summed.begin(), summed.end(), axis) == summed.end()) {
            equation += static_cast<char>('a' + axis);
        }
    }
    call.set(layers::einsum(call, equation, xs));
}

/// Each as wide as all of them need.
void broadcast_tensors(Call& call) {
    std::vector<Operand> xs = call.operands("tensors");
    Shape wide;
    for (Operand& x : xs) {
        if (x.batch_axis != xs.front().batch_axis ||
            (x.batch_axis >= 0 && x.rank() != xs.front().rank())) {
            throw BatchMixed();
        }
        const Shape& shape = x.sample_shape();
        wide.insert(wide.begin(), std::max(shape.size(), wide.size()) - wide.size(), 1);
        for (std::size_t i = 1; i <= shape.size(); ++i) {
            std::int64_t& extent = wide[wide.size() - i];
            const std::int64_t own = shape[shape.size() - i];
            call.demand(own == extent || own == 1 || extent == 1, "tensors",
                        "their shapes do not broadcast");
            extent = extent == 1 ? own : extent;
        }
    }
    for (std::size_t i = 0; i < xs.size(); ++i) {
        Shape shape = xs[i].sample_shape();
        shape.insert(shape.begin(), wide.size() - shape.size(), 1);
        call.set(call.expanded(call.reshaped(xs[i], shape, xs[i].batch_axis), wide), i);
    }
}

const RuleRow rows[] = {
    {"aten._trilinear", "default", &trilinear},
    {"aten.broadcast_tensors", "default", &broadcast_tensors},
    {"aten.inner", "default", &inner},
    {"aten.tensordot", "default", &tensordot},
    {"aten.linalg_vecdot", "default", &vector_dot},
    {"aten.ldexp", "Tensor", &times_power_of_two},
    {"aten.pairwise_distance", "default", &pairwise_distance},
    {"aten.bucketize", "Tensor", [](Call& c) { place_among(c, "boundaries", "self"); }},
    {"aten.searchsorted", "Tensor", [](Call& c) { place_among(c, "sorted_sequence", "self"); }},
    {"aten.count_nonzero", "default dim_IntList", &count_nonzero},
    {"aten.rot90", "default", &quarter_turns},
};

}  // namespace

std::span<const RuleRow> composite_rules() {
    return rows;
}

}  // namespace gatewright::torch
