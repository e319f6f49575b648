#include "operators/move.h"

#include <fmt/format.h>

#include <algorithm>

#include "operators/axis_move.h"
#include "operators/core.h"
#include "operators/lowering.h"

namespace gatewright::operators {

namespace {

using network::Source;
using Types = std::span<const TensorType>;

[[noreturn]] void refuse(const Node& node, std::string message) {
    throw Failure(Code::operator_inputs, node.where, std::move(message));
}

/// Sources of a move of one input from a function of the output's position.
template <class F>
std::vector<Source> by_position(const Shape& shape, F source) {
    std::vector<Source> out;
    out.reserve(static_cast<std::size_t>(element_count(shape)));
    Shape position(shape.size(), 0);
    const std::int64_t count = element_count(shape);
    for (std::int64_t e = 0; e < count; ++e) {
        out.push_back(source(position));
        for (std::size_t axis = shape.size(); axis-- > 0;) {
            if (++position[axis] < shape[axis]) {
                break;
            }
            position[axis] = 0;
        }
    }
    return out;
}

std::vector<Source> axis_sources(const Node& node, Types inputs) {
    const AxisMove move = *axis_move(node, inputs);
    std::vector<Source> out;
    out.reserve(static_cast<std::size_t>(element_count(move.extents)));
    move.for_each([&](std::int64_t element, std::int64_t count) {
        out.insert(out.end(), static_cast<std::size_t>(count),
                   element < 0 ? Source{-1, 0} : Source{0, element});
    });
    return out;
}

std::vector<TensorType> infer_reshape(const Node& node, Types inputs) {
    const Shape& shape = node.fields<ReshapeFields>().shape;
    if (checked_element_count(shape) != element_count(inputs[0].shape)) {
        refuse(node, fmt::format("shape {} cannot become {}", to_string(inputs[0].shape),
                                 to_string(shape)));
    }
    return {infer_move(node, inputs, shape)};
}

std::vector<TensorType> infer_transpose(const Node& node, Types inputs) {
    const Shape& permutation = node.fields<TransposeFields>().permutation;
    Shape sorted = permutation;
    std::sort(sorted.begin(), sorted.end());
    bool sound = sorted.size() == inputs[0].shape.size();
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        sound = sound && sorted[i] == static_cast<std::int64_t>(i);
    }
    if (!sound) {
        refuse(node, fmt::format("{} is no permutation of the axes of shape {}",
                                 to_string(permutation), to_string(inputs[0].shape)));
    }
    Shape shape;
    for (const std::int64_t axis : permutation) {
        shape.push_back(inputs[0].shape[static_cast<std::size_t>(axis)]);
    }
    return {infer_move(node, inputs, shape)};
}

std::vector<TensorType> infer_slice(const Node& node, Types inputs) {
    const auto& f = node.fields<SliceFields>();
    const Shape& shape = inputs[0].shape;
    bool sound = f.starts.size() == shape.size() && f.steps.size() == shape.size() &&
                 f.sizes.size() == shape.size();
    for (std::size_t i = 0; sound && i < shape.size(); ++i) {
        const std::int64_t last = f.starts[i] + (f.sizes[i] - 1) * f.steps[i];
        sound = f.sizes[i] >= 0 && (f.sizes[i] == 0 || (f.starts[i] >= 0 && last >= 0 &&
                                                        f.starts[i] < shape[i] && last < shape[i]));
    }
    if (!sound) {
        refuse(node, fmt::format("the slice does not lie within shape {}", to_string(shape)));
    }
    return {infer_move(node, inputs, f.sizes)};
}

Shape concat_shape(const Node& node, Types inputs) {
    const std::int64_t axis = node.fields<ConcatFields>().axis;
    Shape shape = inputs[0].shape;
    if (axis < 0 || axis >= static_cast<std::int64_t>(shape.size())) {
        refuse(node, fmt::format("there is no axis {} in shape {}", axis, to_string(shape)));
    }
    const auto a = static_cast<std::size_t>(axis);
    for (std::size_t i = 1; i < inputs.size(); ++i) {
        Shape other = inputs[i].shape;
        if (other.size() != shape.size()) {
            refuse(node, fmt::format("shapes {} and {} cannot be joined", to_string(shape),
                                     to_string(other)));
        }
        const std::int64_t extent = other[a];
        other[a] = shape[a];
        if (other != shape) {
            refuse(node, fmt::format("shapes {} and {} cannot be joined along axis {}",
                                     to_string(shape), to_string(inputs[i].shape), axis));
        }
        shape[a] += extent;
    }
    return shape;
}
std::vector<TensorType> infer_concat(const Node& node, Types inputs) {
    return {infer_move(node, inputs, concat_shape(node, inputs))};
}
std::vector<Source> concat_sources(const Node& node, Types inputs) {
    const auto axis = static_cast<std::size_t>(node.fields<ConcatFields>().axis);
    const Shape shape = concat_shape(node, inputs);
    std::vector<std::vector<std::int64_t>> strides;
    for (const TensorType& type : inputs) {
        strides.push_back(strides_of(type.shape));
    }
    return by_position(shape, [&](const Shape& position) {
        std::size_t input = 0;
        std::int64_t along = position[axis];
        while (along >= inputs[input].shape[axis]) {
            along -= inputs[input++].shape[axis];
        }
        std::int64_t element = 0;
        for (std::size_t i = 0; i < position.size(); ++i) {
            element += (i == axis ? along : position[i]) * strides[input][i];
        }
        return Source{static_cast<std::int32_t>(input), element};
    });
}

std::vector<TensorType> infer_expand(const Node& node, Types inputs) {
    const Shape& shape = node.fields<ExpandFields>().shape;
    if (broadcast(inputs[0].shape, shape) != shape) {
        refuse(node, fmt::format("shape {} does not broadcast to {}", to_string(inputs[0].shape),
                                 to_string(shape)));
    }
    return {infer_move(node, inputs, shape)};
}

std::vector<TensorType> infer_pad(const Node& node, Types inputs) {
    const auto& f = node.fields<PadFields>();
    Shape shape = inputs[0].shape;
    bool sound = f.before.size() == shape.size() && f.after.size() == shape.size() &&
                 (f.mode == "zero" || f.mode == "edge" || f.mode == "reflect");
    for (std::size_t i = 0; sound && i < shape.size(); ++i) {
        const std::int64_t most = std::max(f.before[i], f.after[i]);
        sound = (f.mode != "reflect" || most < shape[i]) && (f.mode != "edge" || shape[i] > 0);
        shape[i] += f.before[i] + f.after[i];
        sound = sound && shape[i] >= 0;
    }
    if (!sound || !checked_element_count(shape)) {
        refuse(node, fmt::format("the padding does not fit shape {}", to_string(inputs[0].shape)));
    }
    return {infer_move(node, inputs, shape)};
}

std::vector<TensorType> infer_index(const Node& node, Types inputs) {
    const auto& f = node.fields<IndexFields>();
    const std::int64_t count = element_count(inputs[0].shape);
    const bool sound =
        checked_element_count(f.shape) == static_cast<std::int64_t>(f.index.values.size()) &&
        std::all_of(f.index.values.begin(), f.index.values.end(),
                    [&](std::int64_t e) { return e >= 0 && e < count; });
    if (!sound) {
        refuse(node, "an index lies outside its input");
    }
    return {infer_move(node, inputs, f.shape)};
}
std::vector<Source> index_sources(const Node& node, Types) {
    std::vector<Source> out;
    for (const std::int64_t e : node.fields<IndexFields>().index.values) {
        out.push_back({0, e});
    }
    return out;
}

Shape window_shape(const Node& node, Types inputs) {
    const auto& f = node.fields<WindowFields>();
    const Shape& x = inputs[0].shape;
    const std::size_t rank = f.kernel.size();
    if (x.size() != rank + 1 || f.strides.size() != rank || f.dilations.size() != rank ||
        f.before.size() != rank || f.after.size() != rank) {
        refuse(node, fmt::format("a window of {} axes does not fit an input of shape {}", rank,
                                 to_string(x)));
    }
    Shape shape;
    std::int64_t patch = x[0];
    for (std::size_t i = 0; i < rank; ++i) {
        const std::int64_t extent = window_extent(f, i, x[i + 1]);
        if (f.kernel[i] < 1 || f.strides[i] < 1 || f.dilations[i] < 1 || extent < 1) {
            refuse(node,
                   fmt::format("a kernel of {} with strides {}, dilations {} and padding {}, "
                               "{} leaves nothing of shape {}",
                               to_string(f.kernel), to_string(f.strides), to_string(f.dilations),
                               to_string(f.before), to_string(f.after), to_string(x)));
        }
        shape.push_back(extent);
        patch *= f.kernel[i];
    }
    shape.push_back(patch);
    if (!checked_element_count(shape)) {
        refuse(node, "the patches have too many elements");
    }
    return shape;
}
std::vector<TensorType> infer_window(const Node& node, Types inputs) {
    return {infer_move(node, inputs, window_shape(node, inputs))};
}

using network::field_table;

}  // namespace

std::int64_t window_extent(const WindowFields& f, std::size_t i, std::int64_t input) {
    constexpr std::int64_t most = std::int64_t{1} << 31;
    for (const std::int64_t size : {f.kernel[i], f.strides[i], f.dilations[i]}) {
        if (size < 1 || size > most) {
            return 0;
        }
    }
    if (std::max(std::abs(f.before[i]), std::abs(f.after[i])) > most) {
        return 0;
    }
    const std::int64_t reach = (f.kernel[i] - 1) * f.dilations[i] + 1;
    const std::int64_t room = input + f.before[i] + f.after[i] - reach;
    return room < 0 ? 0 : room / f.strides[i] + 1;
}

// clang-format off
const network::Operator reshape_operator = {
    .name = "reshape", .formula = "y = x in another shape", .fields = &field_table<ReshapeFields>,
    .infer = &infer_reshape, .reference = &move_reference, .lower = &lower_move, .sources = &axis_sources};
const network::Operator transpose_operator = {
    .name = "transpose", .formula = "y = x with its axes permuted", .fields = &field_table<TransposeFields>,
    .infer = &infer_transpose, .reference = &move_reference, .lower = &lower_move, .sources = &axis_sources};
const network::Operator slice_operator = {
    .name = "slice", .formula = "y[i] = x[start + i step]", .fields = &field_table<SliceFields>,
    .infer = &infer_slice, .reference = &move_reference, .lower = &lower_move, .sources = &axis_sources};
const network::Operator concat_operator = {
    .name = "concat", .formula = "y = the inputs one after the other along an axis", .min_inputs = 1, .max_inputs = 1 << 20,
    .fields = &field_table<ConcatFields>, .infer = &infer_concat, .reference = &move_reference, .lower = &lower_move,
    .sources = &concat_sources};
const network::Operator expand_operator = {
    .name = "expand", .formula = "y = x broadcast to a shape", .fields = &field_table<ExpandFields>,
    .infer = &infer_expand, .reference = &move_reference, .lower = &lower_move, .sources = &axis_sources};
const network::Operator pad_operator = {
    .name = "pad", .formula = "y = x with positions added around it", .fields = &field_table<PadFields>,
    .infer = &infer_pad, .reference = &move_reference, .lower = &lower_move, .sources = &axis_sources};
const network::Operator index_operator = {
    .name = "index", .formula = "y[e] = x[index[e]]", .fields = &field_table<IndexFields>,
    .infer = &infer_index, .reference = &move_reference, .lower = &lower_move, .sources = &index_sources};
const network::Operator window_operator = {
    .name = "window", .formula = "y[position, c k] = x[c, position stride + k dilation - before]",
    .fields = &field_table<WindowFields>, .infer = &infer_window, .reference = &move_reference, .lower = &lower_move,
    .sources = &axis_sources};
// clang-format on

}  // namespace gatewright::operators
