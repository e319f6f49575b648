// Upsampling: interpolation along spatial axes.

#include <fmt/format.h>

#include <cmath>

#include "import/layers/resize.h"
#include "import/torch/rules.h"
#include "import/torch/samples.h"

namespace gatewright::torch {

namespace {

using layers::Coordinates;
using layers::Interpolation;
using layers::NearestRounding;

/// The new extents and the scales that the file gives, one argument or another.
std::vector<layers::ResizedAxis> resized_axes(Call& call, const Operand& x, std::size_t rank) {
    std::vector<double> scales;
    if (call.has("scale_factors")) {
        scales = call.reals("scale_factors");
    } else {
        // Older and decomposed forms name the scale of each axis.
        const char* names[3][3] = {
            {"scales", "", ""}, {"scales_h", "scales_w", ""}, {"scales_d", "scales_h", "scales_w"}};
        for (std::size_t i = 0; i < rank; ++i) {
            if (call.has(names[rank - 1][i])) {
                scales.push_back(call.real(names[rank - 1][i]));
            }
        }
    }
    if (!scales.empty() && scales.size() != rank) {
        call.refuse("it scales some axes only", {}, "scale_factors");
    }
    const Shape sizes = call.has("output_size") ? call.spatial("output_size", rank, 1) : Shape{};
    if (sizes.empty() && scales.empty()) {
        call.refuse("it has neither a size nor scales", {}, "output_size");
    }
    const Shape& shape = x.sample_shape();
    if (shape.size() < rank || x.batch_axis > x.rank() - static_cast<std::int64_t>(rank) - 1) {
        throw BatchMixed();
    }
    std::vector<layers::ResizedAxis> axes;
    for (std::size_t i = 0; i < rank; ++i) {
        layers::ResizedAxis axis;
        const std::size_t at = shape.size() - rank + i;
        axis.axis = static_cast<std::int64_t>(at);
        if (!scales.empty()) {
            if (!(scales[i] > 0) || !(scales[i] < 1e6)) {
                call.refuse(fmt::format("a scale is {}", scales[i]), {}, "scale_factors");
            }
            axis.scale = scales[i];
        }
        axis.out =
            sizes.empty()
                ? static_cast<std::int64_t>(std::floor(static_cast<double>(shape[at]) * scales[i]))
                : sizes[i];
        axes.push_back(axis);
    }
    return axes;
}

void resize(Call& call, std::size_t rank, layers::Resizing resizing) {
    Operand x = call.operand(call.node().target.ends_with(".vec") ? "input" : "self");
    const bool corners = call.has("align_corners") && call.flag("align_corners");
    auto axes = resized_axes(call, x, rank);
    if (corners && resizing.antialias) {
        // Antialiased, only the distance of positions is that between corners; where they begin
        // stays as without.
        for (layers::ResizedAxis& axis : axes) {
            const std::int64_t in = x.sample_shape()[static_cast<std::size_t>(axis.axis)];
            axis.scale = in > 1 && axis.out > 1
                             ? static_cast<double>(axis.out - 1) / static_cast<double>(in - 1)
                             : 1e18;  // all at one place
        }
    } else if (corners) {
        resizing.coordinates = Coordinates::align_corners;
    }
    call.set(layers::resized(call, x, resizing, axes));
}

constexpr layers::Resizing nearest{Interpolation::nearest, Coordinates::asymmetric,
                                   NearestRounding::floor};
constexpr layers::Resizing nearest_exact{Interpolation::nearest, Coordinates::tf_half_pixel,
                                         NearestRounding::floor};
constexpr layers::Resizing linear{Interpolation::linear, Coordinates::half_pixel};
constexpr layers::Resizing cubic{Interpolation::cubic, Coordinates::half_pixel};

layers::Resizing smooth(Interpolation interpolation) {
    layers::Resizing out{interpolation, Coordinates::half_pixel};
    out.antialias = true;
    out.exclude_outside = true;
    out.cubic = -0.5;
    return out;
}

const RuleRow rows[] = {
    {"aten.upsample_nearest1d", "default vec", [](Call& c) { resize(c, 1, nearest); }},
    {"aten.upsample_nearest2d", "default vec", [](Call& c) { resize(c, 2, nearest); }},
    {"aten.upsample_nearest3d", "default vec", [](Call& c) { resize(c, 3, nearest); }},
    {"aten._upsample_nearest_exact1d", "default vec", [](Call& c) { resize(c, 1, nearest_exact); }},
    {"aten._upsample_nearest_exact2d", "default vec", [](Call& c) { resize(c, 2, nearest_exact); }},
    {"aten._upsample_nearest_exact3d", "default vec", [](Call& c) { resize(c, 3, nearest_exact); }},
    {"aten.upsample_linear1d", "default vec", [](Call& c) { resize(c, 1, linear); }},
    {"aten.upsample_bilinear2d", "default vec", [](Call& c) { resize(c, 2, linear); }},
    {"aten.upsample_trilinear3d", "default vec", [](Call& c) { resize(c, 3, linear); }},
    {"aten.upsample_bicubic2d", "default vec", [](Call& c) { resize(c, 2, cubic); }},
    {"aten._upsample_bilinear2d_aa", "default vec",
     [](Call& c) { resize(c, 2, smooth(Interpolation::linear)); }},
    {"aten._upsample_bicubic2d_aa", "default vec",
     [](Call& c) { resize(c, 2, smooth(Interpolation::cubic)); }},
};

}  // namespace

std::span<const RuleRow> resize_rules() {
    return rows;
}

}  // namespace gatewright::torch
