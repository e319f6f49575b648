#include "operators/move_formats.h"

#include <algorithm>

#include "operators/move.h"

namespace gatewright::operators {

using network::Format;
using network::Node;
using network::TensorType;
using Formats = PerElement<Format>;

bool window_pads(const Node& node) {
    const auto& f = node.fields<WindowFields>();
    const auto is_zero = [](std::int64_t n) { return n == 0; };
    return !std::all_of(f.before.begin(), f.before.end(), is_zero) ||
           !std::all_of(f.after.begin(), f.after.end(), is_zero);
}

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
    const bool pads = node.op == &window_operator && window_pads(node);
    if (pads && node.fields<WindowFields>().clip) {
        return std::nullopt;
    }
    std::vector<const Formats*> formats;
    for (const TensorType& type : inputs) {
        formats.push_back(&*type.fixed);
    }
    auto out = moved_along_axis<Format>(node, inputs, formats, shape);
    return pads && out ? with_zero(*out) : out;
}

}  // namespace gatewright::operators
