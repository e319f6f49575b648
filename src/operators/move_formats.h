#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "network/network.h"
#include "operators/move.h"

namespace gatewright::operators {

/// The same formats, with zero within their ranges.
PerElement<network::Format> with_zero(const PerElement<network::Format>& formats);

/// The formats of a large move's result, found from axes instead of elements:
/// where those of each input follow one axis that the move keeps. Nothing where
/// that is not so.
std::optional<PerElement<network::Format>> formats_along_axis(
    const network::Node& node, std::span<const network::TensorType> inputs, const Shape& shape);

/// Elements behind a position of an axis.
inline std::int64_t elements_behind(const Shape& shape, std::size_t axis) {
    std::int64_t count = 1;
    for (std::size_t i = axis + 1; i < shape.size(); ++i) {
        count *= shape[i];
    }
    return count;
}

/// The values at each position of an axis, if no other axis matters.
template <class T>
std::optional<std::vector<T>> values_along(const PerElement<T>& values, const Shape& shape,
                                           std::size_t axis) {
    const auto extent = static_cast<std::size_t>(shape[axis]);
    if (values.is_uniform()) {
        return std::vector<T>(extent, values.values().front());
    }
    if (values.inner() != elements_behind(shape, axis) || values.values().size() != extent) {
        return std::nullopt;
    }
    return values.values();
}

/// Any values of the elements that a move copies, as above; zeros take those of the channel.
template <class T>
std::optional<PerElement<T>> moved_along_axis(const network::Node& node,
                                              std::span<const network::TensorType> inputs,
                                              std::span<const PerElement<T>* const> values,
                                              const Shape& shape) {
    if (node.op == &reshape_operator) {
        return *values[0];
    }
    if (node.op == &transpose_operator) {
        const Shape& permutation = node.fields<TransposeFields>().permutation;
        for (std::size_t i = 0; i < permutation.size(); ++i) {
            if (auto own = values_along(*values[0], inputs[0].shape,
                                        static_cast<std::size_t>(permutation[i]))) {
                return PerElement<T>::along(std::move(*own), elements_behind(shape, i));
            }
        }
    }
    if (node.op == &concat_operator) {
        const auto axis = static_cast<std::size_t>(node.fields<ConcatFields>().axis);
        std::vector<T> all;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const auto own = values_along(*values[i], inputs[i].shape, axis);
            if (!own) {
                return std::nullopt;
            }
            all.insert(all.end(), own->begin(), own->end());
        }
        return PerElement<T>::along(std::move(all), elements_behind(shape, axis));
    }
    if (node.op == &window_operator) {
        if (auto own = values_along(*values[0], inputs[0].shape, 0)) {
            return PerElement<T>::along(std::move(*own),
                                        element_count(node.fields<WindowFields>().kernel));
        }
    }
    return std::nullopt;
}

}  // namespace gatewright::operators
