#include "import/layers/quantile.h"

#include <cmath>

namespace gatewright::layers {

std::optional<Operand> quantile(Builder& builder, const Operand& rising, std::int64_t sample_axis,
                                double q, std::string_view method) {
    const auto extent = rising.sample_shape()[static_cast<std::size_t>(sample_axis)];
    const double at = q * static_cast<double>(extent - 1);
    const auto below = static_cast<std::int64_t>(std::floor(at));
    const auto above = static_cast<std::int64_t>(std::ceil(at));
    const auto place = [&](std::int64_t i) { return builder.sliced(rising, sample_axis, i, 1); };
    if (below == above || method == "lower") {
        return place(below);
    }
    if (method == "higher") {
        return place(above);
    }
    if (method == "nearest") {
        return place(static_cast<std::int64_t>(std::nearbyint(at)));
    }
    if (method == "midpoint" || method == "linear") {
        const double part = method == "midpoint" ? 0.5 : at - static_cast<double>(below);
        return builder.add(builder.multiply(place(below), Builder::number(1 - part)),
                           builder.multiply(place(above), Builder::number(part)));
    }
    return std::nullopt;
}

}  // namespace gatewright::layers
