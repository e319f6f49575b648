// x[i, j, :]: reading and writing at lists of positions, as PyTorch and NumPy index.

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "import/torch/parts.h"
#include "import/torch/rules.h"
#include "operators/layers.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

/// Where a constant of booleans is true: one list of positions for each of its axes.
std::vector<Tensor> true_positions(const Tensor& mask) {
    std::vector<Tensor> out(mask.shape.size(), Tensor{{0}, {}});
    const std::vector<std::int64_t> strides = strides_of(mask.shape);
    for (std::size_t e = 0; e < mask.values.size(); ++e) {
        if (mask.values[e] == 0) {
            continue;
        }
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i].values.push_back(
                static_cast<double>(static_cast<std::int64_t>(e) / strides[i] % mask.shape[i]));
        }
    }
    for (Tensor& positions : out) {
        positions.shape = {static_cast<std::int64_t>(positions.values.size())};
    }
    return out;
}

/// The positions of an index list, a boolean mask as lists of positions; one entry for each axis of
/// the program's shape, empty where a whole axis is taken.
std::vector<std::optional<Operand>> positions_of(Call& call, const Operand& x) {
    std::vector<std::optional<Operand>> out;
    const Argument* list = nullptr;
    for (const auto& [name, argument] : call.node().arguments) {
        list = name == "indices" ? &argument : list;
    }
    const std::vector<std::optional<Operand>> given = call.optionals("indices");
    for (std::size_t i = 0; i < given.size(); ++i) {
        if (!given[i]) {
            out.emplace_back();
            continue;
        }
        Operand index = *given[i];
        index.is_integer = false;
        const ScalarType type = call.importer().type_of(list->names[i]);
        if (type == ScalarType::boolean || type == ScalarType::uint8) {
            if (!index.is_constant) {
                call.refuse("it chooses by a computed mask, so its shape depends on data",
                            "Use torch.where.", "indices");
            }
            for (Tensor& positions : true_positions(index.constant)) {
                out.emplace_back(Call::tensor(std::move(positions)));
            }
            continue;
        }
        out.emplace_back(std::move(index));
    }
    if (static_cast<std::int64_t>(out.size()) > x.rank()) {
        call.refuse("it has more positions than the input has axes", {}, "indices");
    }
    out.resize(static_cast<std::size_t>(x.rank()));
    return out;
}

/// Axes with positions, as axes of a sample, and whether they are neighbours.
struct IndexedAxes {
    Shape axes;
    std::vector<Operand> positions;  ///< broadcast to one shape
    Shape shape;                     ///< of the positions
    bool neighbours = true;
};

IndexedAxes indexed_axes(Call& call, const Operand& x,
                         const std::vector<std::optional<Operand>>& positions) {
    IndexedAxes out;
    Shape dims;
    for (std::size_t i = 0; i < positions.size(); ++i) {
        if (!positions[i]) {
            continue;
        }
        if (positions[i]->batch_axis >= 0) {
            throw BatchMixed();
        }
        out.neighbours =
            out.neighbours && (dims.empty() || dims.back() + 1 == static_cast<std::int64_t>(i));
        dims.push_back(static_cast<std::int64_t>(i));
        out.axes.push_back(call.axis(x, static_cast<std::int64_t>(i)));
        const auto joined = broadcast(out.shape, positions[i]->sample_shape());
        if (!joined) {
            call.refuse("its positions do not broadcast", {}, "indices");
        }
        out.shape = *joined;
        out.positions.push_back(*positions[i]);
    }
    if (out.axes.empty()) {
        call.refuse("it has no positions", {}, "indices");
    }
    for (Operand& index : out.positions) {
        index = call.expanded(index, out.shape);
    }
    return out;
}

/// Element numbers along the indexed axes, joined to one axis: sums of positions times strides.
Operand flat_positions(Call& call, const Operand& x, const IndexedAxes& at) {
    Operand flat;
    for (std::size_t i = 0; i < at.axes.size(); ++i) {
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(at.axes[i])];
        Operand index = at.positions[i];
        if (index.is_constant) {
            for (double& value : index.constant.values) {
                value += value < 0 ? static_cast<double>(extent) : 0;
                call.demand(value >= 0 && value < static_cast<double>(extent), "indices",
                            fmt::format("a position lies outside an extent of {}", extent));
            }
        } else if (at.axes.size() > 1) {
            call.refuse("it has computed positions along several axes",
                        "Index along one axis at a time.", "indices");
        }
        flat = i == 0 ? index
                      : call.add(call.multiply(flat, Call::number(static_cast<double>(extent))),
                                 index);
    }
    return flat;
}

/// x with the indexed axes first (or in place), joined to one.
struct Joined {
    Operand x;
    std::int64_t axis = 0;
    Shape order;  ///< the transposition that brought them together
};

Joined join_axes(Call& call, const Operand& x, const IndexedAxes& at) {
    Joined out;
    out.axis = at.neighbours ? at.axes.front() : 0;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(x.sample_shape().size()); ++i) {
        if (std::find(at.axes.begin(), at.axes.end(), i) == at.axes.end()) {
            out.order.push_back(i);
        }
    }
    out.order.insert(out.order.begin() + out.axis, at.axes.begin(), at.axes.end());
    const int front = x.batch_axis >= 0 ? 0 : -1;
    const Operand turned = call.transposed(x, out.order, front);
    Shape shape = turned.sample_shape();
    std::int64_t joined = 1;
    for (std::size_t i = 0; i < at.axes.size(); ++i) {
        joined *= shape[static_cast<std::size_t>(out.axis)];
        shape.erase(shape.begin() + out.axis);
    }
    shape.insert(shape.begin() + out.axis, joined);
    out.x = call.reshaped(turned, shape, front);
    return out;
}

void index(Call& call) {
    const Operand x = call.operand("self");
    const auto positions = positions_of(call, x);
    if (x.batch_axis >= 0 && positions[static_cast<std::size_t>(x.batch_axis)]) {
        throw BatchMixed();
    }
    const IndexedAxes at = indexed_axes(call, x, positions);
    if (x.batch_axis > 0) {
        throw BatchMixed();
    }
    if (x.batch_axis == 0 && !at.neighbours) {
        throw BatchMixed();  // the positions' axes come before the batch
    }
    const Operand flat = flat_positions(call, x, at);
    const Joined joined = join_axes(call, x, at);
    Operand y = gathered(call, joined.x, joined.axis, flat, at.axes.size() == 1);
    y.batch_axis = y.is_constant ? -1 : x.batch_axis;
    call.set(y);
}

/// x[mask] = number: a choice for each element, where the mask is computed.
bool put_where(Call& call, const Operand& x, const Operand& values) {
    const Argument* list = nullptr;
    for (const auto& [name, argument] : call.node().arguments) {
        list = name == "indices" ? &argument : list;
    }
    if (list == nullptr || list->names.size() != 1 || list->names.front().empty() ||
        call.importer().type_of(list->names.front()) != ScalarType::boolean ||
        element_count(values.sample_shape()) != 1 || values.batch_axis >= 0) {
        return false;
    }
    Operand mask = *call.optionals("indices").front();
    if (mask.is_constant || mask.rank() > x.rank() || mask.batch_axis != x.batch_axis) {
        return false;
    }
    mask.is_integer = false;
    Shape shape = mask.sample_shape();
    shape.resize(x.sample_shape().size(), 1);
    mask = call.reshaped(mask, shape, mask.batch_axis);
    const Operand number = call.reshaped(values, {}, -1);
    const Operand put = call.flag("accumulate", false) ? call.add(x, number) : number;
    call.set(call.elementwise(select_operator, Attributes(), {mask, put, x}));
    return true;
}

void index_put(Call& call) {
    const Operand x = call.operand("self");
    Operand values = call.operand("values");
    const bool accumulate = call.flag("accumulate", false);
    call.ignore("unsafe");  // leaves out a check
    if (put_where(call, x, values)) {
        return;
    }
    const auto positions = positions_of(call, x);
    const IndexedAxes at = indexed_axes(call, x, positions);
    if (x.batch_axis >= 0) {
        // Each sample by itself: the batch stays in front, where all of it is taken.
        if (x.batch_axis > 0 || positions.front() || !at.neighbours) {
            throw BatchMixed();
        }
        const std::int64_t rank = x.rank() - static_cast<std::int64_t>(at.axes.size()) +
                                  static_cast<std::int64_t>(at.shape.size());
        if (values.batch_axis >= 0 && values.rank() != rank) {
            throw BatchMixed();  // it broadcasts, and its batch meets another axis
        }
        if (values.batch_axis < 0 && values.rank() == rank) {
            if (!values.is_constant) {
                throw BatchMixed();
            }
            Operand like;
            like.shape.assign(static_cast<std::size_t>(rank - 1), 1);
            like.batch_axis = 0;
            values.constant = call.without_batch(values.constant, like);
        }
    }
    if (values.batch_axis > 0 || (values.batch_axis == 0 && x.batch_axis < 0)) {
        throw BatchMixed();
    }
    Operand flat = flat_positions(call, x, at);
    const Joined joined = join_axes(call, x, at);
    // Values have the shape that reading would give; positions and values as two lists.
    Shape shape = joined.x.sample_shape();
    shape.erase(shape.begin() + joined.axis);
    shape.insert(shape.begin() + joined.axis, at.shape.begin(), at.shape.end());
    Operand updates = call.expanded(values, shape);
    const std::int64_t count = element_count(at.shape);
    Shape listed = joined.x.sample_shape();
    listed[static_cast<std::size_t>(joined.axis)] = count;
    updates = call.reshaped(updates, listed, values.batch_axis);
    Shape column(listed.size(), 1);
    column[static_cast<std::size_t>(joined.axis)] = count;
    flat = call.expanded(call.reshaped(flat, column, -1), listed);
    ScatterFields fields;
    fields.axis = joined.axis;
    fields.reduction = accumulate ? "sum" : "none";
    fields.wrap = true;
    Operand y =
        call.emit(scatter_operator, Attributes::of(fields), {joined.x, flat, updates}, x.batch_axis)
            .front();
    // Back to the axes of x.
    Shape turned;
    for (const std::int64_t axis : joined.order) {
        turned.push_back(x.sample_shape()[static_cast<std::size_t>(axis)]);
    }
    Shape back(joined.order.size());
    for (std::size_t i = 0; i < back.size(); ++i) {
        back[static_cast<std::size_t>(joined.order[i])] = static_cast<std::int64_t>(i);
    }
    call.set(call.transposed(call.reshaped(y, turned, x.batch_axis), back, x.batch_axis));
}

const RuleRow rows[] = {
    {"aten.index", "Tensor", &index},
    {"aten._unsafe_index", "Tensor", &index},
    {"aten.index_put", "default", &index_put},
    {"aten._unsafe_index_put", "default", &index_put},
};

}  // namespace

std::span<const RuleRow> index_list_rules() {
    return rows;
}

}  // namespace gatewright::torch
