#include "operators/move_formats.h"

#include <algorithm>

#include "operators/move.h"

namespace gatewright::operators {

using network::Format;
using network::Node;
using network::TensorType;
using Formats = PerElement<Format>;

namespace {

std::int64_t behind(const Shape& shape, std::size_t axis) {
    std::int64_t count = 1;
    for (std::size_t i = axis + 1; i < shape.size(); ++i) {
        count *= shape[i];
    }
    return count;
}

/// The formats at each position of an axis, if no other axis matters.
std::optional<std::vector<Format>> along(const TensorType& type, std::size_t axis) {
    const Formats& formats = *type.fixed;
    const auto extent = static_cast<std::size_t>(type.shape[axis]);
    if (formats.is_uniform()) {
        return std::vector<Format>(extent, formats.values().front());
    }
    if (formats.inner() != behind(type.shape, axis) || formats.values().size() != extent) {
        return std::nullopt;
    }
    return formats.values();
}

std::optional<Formats> transposed(const Node& node, const TensorType& x, const Shape& shape) {
    const Shape& permutation = node.fields<TransposeFields>().permutation;
    for (std::size_t i = 0; i < permutation.size(); ++i) {
        if (auto values = along(x, static_cast<std::size_t>(permutation[i]))) {
            return Formats::along(std::move(*values), behind(shape, i));
        }
    }
    return std::nullopt;
}

std::optional<Formats> joined(const Node& node, std::span<const TensorType> inputs,
                              const Shape& shape) {
    const auto axis = static_cast<std::size_t>(node.fields<ConcatFields>().axis);
    std::vector<Format> all;
    for (const TensorType& type : inputs) {
        const auto values = along(type, axis);
        if (!values) {
            return std::nullopt;
        }
        all.insert(all.end(), values->begin(), values->end());
    }
    return Formats::along(std::move(all), behind(shape, axis));
}

std::optional<Formats> in_patches(const Node& node, const TensorType& x) {
    const auto& f = node.fields<WindowFields>();
    const auto is_zero = [](std::int64_t n) { return n == 0; };
    const bool pads = !std::all_of(f.before.begin(), f.before.end(), is_zero) ||
                      !std::all_of(f.after.begin(), f.after.end(), is_zero);
    auto values = along(x, 0);
    if (!values || (pads && f.clip)) {
        return std::nullopt;
    }
    const Formats formats = Formats::along(std::move(*values), element_count(f.kernel));
    return pads ? with_zero(formats) : formats;
}

}  // namespace

Formats with_zero(const Formats& formats) {
    std::vector<Format> out;
    for (const Format& format : formats.values()) {
        const Interval range = hull(format.range, {0, 0});
        out.push_back(
            {range == format.range ? format.type : type_for(range, format.type.frac), range});
    }
    return Formats::along(std::move(out), formats.inner());
}

std::optional<Formats> formats_along_axis(const Node& node, std::span<const TensorType> inputs,
                                          const Shape& shape) {
    if (node.op == &reshape_operator) {
        return *inputs[0].fixed;
    }
    if (node.op == &transpose_operator) {
        return transposed(node, inputs[0], shape);
    }
    if (node.op == &concat_operator) {
        return joined(node, inputs, shape);
    }
    return node.op == &window_operator ? in_patches(node, inputs[0]) : std::nullopt;
}

}  // namespace gatewright::operators
