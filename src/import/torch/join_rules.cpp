// Tensors joined along axes.

#include <algorithm>

#include "import/torch/parts.h"
#include "import/torch/rules.h"
#include "import/torch/samples.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

/// Tensors that are joined: where one has a batch axis the others are the same for all samples.
int join_batch(Call& call, std::vector<Operand>& xs) {
    int batch_axis = -1;
    for (const Operand& x : xs) {
        batch_axis = std::max(batch_axis, x.batch_axis);
    }
    for (Operand& x : xs) {
        if (batch_axis >= 0 && x.batch_axis < 0) {
            Shape shape = x.sample_shape();
            if (static_cast<int>(shape.size()) <= batch_axis) {
                throw BatchMixed();
            }
            if (x.is_constant) {
                Operand like;
                like.shape.assign(shape.size() - 1, 1);
                like.batch_axis = batch_axis;
                x.constant = call.without_batch(x.constant, like);
                continue;
            }
            if (shape[static_cast<std::size_t>(batch_axis)] != 1) {
                throw BatchMixed();
            }
            shape.erase(shape.begin() + batch_axis);
            x = call.reshaped(x, shape, -1);
        } else if (x.batch_axis != batch_axis) {
            throw BatchMixed();
        }
    }
    return batch_axis;
}

Operand joined(Call& call, std::vector<Operand> xs, std::int64_t dim, const char* name) {
    const std::int64_t rank = xs.front().rank();
    for (const Operand& x : xs) {
        if (x.rank() != rank) {
            call.refuse("it joins tensors with different numbers of axes", {}, name);
        }
    }
    std::int64_t axis = call.normalised(dim, rank);
    const int batch_axis = join_batch(call, xs);
    if (axis == batch_axis) {
        throw BatchMixed();
    }
    axis = batch_axis >= 0 && axis > batch_axis ? axis - 1 : axis;
    return call.emit(concat_operator, Attributes::of(ConcatFields{axis}), xs, batch_axis).front();
}

void join(Call& call, std::vector<Operand> xs, std::int64_t dim, const char* name) {
    call.set(joined(call, std::move(xs), dim, name));
}

/// Differences of neighbours, n times.
void differences(Call& call) {
    std::vector<Operand> xs{call.operand("self")};
    const std::int64_t n = call.integer("n", 1);
    const std::int64_t dim = call.normalised(call.integer("dim", -1), xs.front().rank());
    if (call.has("prepend")) {
        xs.insert(xs.begin(), call.operand("prepend"));
    }
    if (call.has("append")) {
        xs.push_back(call.operand("append"));
    }
    Operand x = xs.size() == 1 ? xs.front() : joined(call, std::move(xs), dim, "self");
    const std::int64_t axis = call.axis(x, dim);
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
        call.demand(extent > 0, "n", "nothing is left of the axis");
        x = call.subtract(call.sliced(x, axis, 1, extent - 1), call.sliced(x, axis, 0, extent - 1));
    }
    call.set(x);
}

const std::vector<std::string>& names_of_tensors(Call& call) {
    static const std::vector<std::string> none;
    for (const auto& [name, argument] : call.node().arguments) {
        if (name == "tensors") {
            return argument.names;
        }
    }
    return none;
}

/// Tensors whose batch is joined with axis `joined` (Importer::joined), and constants that are the
/// same for all samples, along an axis behind it.
void concatenate_joined(Call& call, int joined) {
    std::vector<Operand> xs = call.operands("tensors");
    const auto at = static_cast<std::size_t>(joined);
    const auto& names = names_of_tensors(call);
    std::int64_t rank = 0;  // of the program
    std::int64_t factor = 0;
    for (std::size_t i = 0; i < xs.size(); ++i) {
        if (const std::optional<int> own = call.importer().joined(names.at(i))) {
            if (*own != joined || (xs[i].batch_axis >= 0 && xs[i].batch_axis != joined)) {
                throw BatchMixed();
            }
            rank = xs[i].rank() - 1;
            factor = xs[i].sample_shape().at(xs[i].batch_axis >= 0 ? at : at + 1);
        }
    }
    for (std::size_t i = 0; i < xs.size(); ++i) {
        if (!call.importer().joined(names[i])) {
            if (!xs[i].is_constant) {
                throw BatchMixed();
            }
            xs[i].constant = without_joined_batch(call, xs[i].constant, at, factor);
        }
    }
    const std::int64_t dim = call.normalised(call.integer("dim", 0), rank);
    if (dim <= joined) {
        throw BatchMixed();
    }
    join(call, xs, dim + 1, "tensors");
    call.join(joined);
}

void concatenate(Call& call) {
    for (const std::string& name : names_of_tensors(call)) {
        if (const std::optional<int> joined = call.importer().joined(name)) {
            concatenate_joined(call, *joined);
            return;
        }
    }
    std::vector<Operand> xs;
    for (const Operand& x : call.operands("tensors")) {
        // An old rule lets vectors without elements stand for nothing.
        if (!(x.rank() == 1 && x.batch_axis < 0 && x.sample_shape() == Shape{0})) {
            xs.push_back(x);
        }
    }
    call.demand(!xs.empty(), "tensors", "it joins nothing");
    join(call, xs, call.integer("dim", 0), "tensors");
}

void stack(Call& call) {
    std::vector<Operand> xs = call.operands("tensors");
    call.demand(!xs.empty(), "tensors", "it joins nothing");
    const std::int64_t dim = call.normalised(call.integer("dim", 0), xs.front().rank() + 1);
    for (Operand& x : xs) {
        Shape shape = x.sample_shape();
        const bool before = x.batch_axis >= 0 && dim <= x.batch_axis;
        const std::int64_t at = x.batch_axis >= 0 && !before ? dim - 1 : dim;
        if (at > static_cast<std::int64_t>(shape.size())) {
            call.refuse("it joins tensors with different numbers of axes", {}, "tensors");
        }
        shape.insert(shape.begin() + at, 1);
        x = call.reshaped(x, shape, before ? x.batch_axis + 1 : x.batch_axis);
    }
    join(call, xs, dim, "tensors");
}

/// hstack, vstack, dstack: along an axis, of tensors with at least so many.
void stack_along(Call& call, std::int64_t dim, std::int64_t rank) {
    std::vector<Operand> xs = call.operands("tensors");
    call.demand(!xs.empty(), "tensors", "it joins nothing");
    for (Operand& x : xs) {
        if (x.rank() < rank) {
            if (x.batch_axis >= 0) {
                throw BatchMixed();
            }
            // A vector is a row; a third axis goes behind.
            Shape shape = x.sample_shape();
            while (static_cast<std::int64_t>(shape.size()) < std::min<std::int64_t>(rank, 2)) {
                shape.insert(shape.begin(), 1);
            }
            shape.resize(static_cast<std::size_t>(rank), 1);
            x = call.reshaped(x, shape, -1);
        }
    }
    join(call, xs, dim, "tensors");
}

void hstack(Call& call) {
    const bool vectors = call.operands("tensors").front().rank() < 2;
    stack_along(call, vectors ? 0 : 1, 1);
}

const RuleRow rows[] = {
    {"aten.cat", "default", &concatenate, false, Joined::known},
    {"aten.concat", "default", &concatenate, false, Joined::known},
    {"aten.concatenate", "default", &concatenate, false, Joined::known},
    {"aten.diff", "default", &differences},
    {"aten.stack", "default", &stack},
    {"aten.hstack", "default", &hstack},
    {"aten.vstack", "default", [](Call& c) { stack_along(c, 0, 2); }},
    {"aten.row_stack", "default", [](Call& c) { stack_along(c, 0, 2); }},
    {"aten.dstack", "default", [](Call& c) { stack_along(c, 2, 3); }},
};

}  // namespace

std::span<const RuleRow> join_rules() {
    return rows;
}

}  // namespace gatewright::torch
