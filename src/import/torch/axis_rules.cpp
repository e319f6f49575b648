// The axes of a tensor in another order.

#include <algorithm>
#include <numeric>

#include "import/layers/axes.h"
#include "import/torch/rules.h"

namespace gatewright::torch {

namespace {

/// Axes of the program's shape in another order.
void set_permuted(Call& call, const Operand& x, const Shape& permutation) {
    const std::optional<int> joined = call.joined("self");
    const std::int64_t rank = x.rank() - (joined ? 1 : 0);
    std::vector<bool> taken(static_cast<std::size_t>(rank), false);
    Shape axes;  // of the operand
    for (const std::int64_t dim : permutation) {
        const std::int64_t from = call.normalised(dim, rank);
        if (taken[static_cast<std::size_t>(from)]) {
            call.refuse("it names an axis twice", {}, "dims");
        }
        taken[static_cast<std::size_t>(from)] = true;
        if (joined && from == *joined) {
            call.join(static_cast<int>(axes.size()));
            axes.push_back(from);
            axes.push_back(from + 1);
        } else {
            axes.push_back(joined && from > *joined ? from + 1 : from);
        }
    }
    if (static_cast<std::int64_t>(permutation.size()) != rank) {
        call.refuse("it does not name every axis", {}, "dims");
    }
    int batch_axis = -1;
    Shape sample;
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (axes[i] == x.batch_axis) {
            batch_axis = static_cast<int>(i);
        } else {
            sample.push_back(x.batch_axis >= 0 && axes[i] > x.batch_axis ? axes[i] - 1 : axes[i]);
        }
    }
    call.set(call.transposed(x, sample, batch_axis));
}

/// The number of axes that the program says an argument has.
std::int64_t program_rank(Call& call, const Operand& x) {
    return x.rank() - (call.joined("self") ? 1 : 0);
}

void permute(Call& call) {
    const Operand x = call.operand("self");
    set_permuted(call, x, call.integers("dims"));
}

Shape identity_permutation(std::int64_t rank) {
    Shape out(static_cast<std::size_t>(rank));
    std::iota(out.begin(), out.end(), std::int64_t{0});
    return out;
}

void swap_axes(Call& call, const char* first, const char* second) {
    const Operand x = call.operand("self");
    Shape order = identity_permutation(program_rank(call, x));
    const std::int64_t a = call.integer(first);
    const std::int64_t b = call.integer(second);
    if (order.empty()) {
        call.set(x);
        return;
    }
    std::swap(order[static_cast<std::size_t>(call.normalised(a, program_rank(call, x)))],
              order[static_cast<std::size_t>(call.normalised(b, program_rank(call, x)))]);
    set_permuted(call, x, order);
}

/// All axes reversed, or the last two swapped.
void turned(Call& call, bool all) {
    const Operand x = call.operand("self");
    Shape order = identity_permutation(x.rank());
    if (all) {
        std::reverse(order.begin(), order.end());
    } else {
        call.demand(order.size() >= 2, "self", "it has fewer than two axes");
        std::swap(order[order.size() - 1], order[order.size() - 2]);
    }
    set_permuted(call, x, order);
}

void transpose_matrix(Call& call) {  // t: a matrix transposed, less as it is
    const Operand x = call.operand("self");
    call.demand(x.rank() <= 2, "self", "it has more than two axes");
    Shape order = identity_permutation(x.rank());
    std::reverse(order.begin(), order.end());
    set_permuted(call, x, order);
}

void move_axes(Call& call) {
    const Operand x = call.operand("self");
    const Shape from = call.integers("source");
    const Shape to = call.integers("destination");
    call.demand(from.size() == to.size(), "destination", "it has not as many axes as source");
    const auto axes = [&](const Shape& given) {
        Shape out;
        for (const std::int64_t axis : given) {
            out.push_back(call.normalised(axis, x.rank()));
        }
        return out;
    };
    const auto order = layers::moved_axes(static_cast<std::size_t>(x.rank()), axes(from), axes(to));
    call.demand(order.has_value(), "source", "it names an axis twice");
    set_permuted(call, x, *order);
}

const RuleRow rows[] = {
    {"aten.permute", "default", &permute, true, Joined::known},
    {"aten.permute_copy", "default", &permute},
    {"aten.transpose", "int", [](Call& c) { swap_axes(c, "dim0", "dim1"); }, true, Joined::known},
    {"aten.transpose_copy", "int", [](Call& c) { swap_axes(c, "dim0", "dim1"); }},
    {"aten.swapaxes", "default", [](Call& c) { swap_axes(c, "axis0", "axis1"); }, true},
    {"aten.swapdims", "default", [](Call& c) { swap_axes(c, "dim0", "dim1"); }, true},
    {"aten.numpy_T", "default", [](Call& c) { turned(c, true); }, true},
    {"aten.mT", "default", [](Call& c) { turned(c, false); }, true},
    {"aten.matrix_H", "default", [](Call& c) { turned(c, false); }, true},
    {"aten.mH", "default", [](Call& c) { turned(c, false); }, true},
    {"aten.adjoint", "default", [](Call& c) { turned(c, false); }, true},
    {"aten.t", "default", &transpose_matrix, true},
    {"aten.movedim", "int intlist", &move_axes, true},
    {"aten.moveaxis", "int intlist", &move_axes, true},
};

}  // namespace

std::span<const RuleRow> axis_rules() {
    return rows;
}

}  // namespace gatewright::torch
