#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "import/layers/resize.h"
#include "import/onnx/rules.h"

namespace gatewright::onnx {

namespace {

using layers::Coordinates;
using layers::Interpolation;
using layers::NearestRounding;
using layers::ResizedAxis;
using layers::Resizing;

template <class T>
T chosen(Call& call, const std::string& word,
         std::initializer_list<std::pair<const char*, T>> words, const char* attribute) {
    for (const auto& [name, value] : words) {
        if (word == name) {
            return value;
        }
    }
    call.refuse(fmt::format("{} is not supported", word), {}, attribute);
}

/// What Resize and Upsample ask of the axes of the file's shape.
struct Request {
    std::vector<std::int64_t> axes;
    std::vector<double> scales;
    std::vector<std::int64_t> sizes;  ///< if there are no scales
    std::string policy = "stretch";   ///< of sizes
    std::vector<double> region;       ///< all begins, then all ends; or nothing
};

/// The axes of a sample, with their new extents and the scales as the runtimes compute them.
std::vector<ResizedAxis> resized_axes(Call& call, const Operand& x, const Request& request,
                                      bool crops) {
    const std::size_t count = request.axes.size();
    const std::size_t given = request.scales.empty() ? request.sizes.size() : request.scales.size();
    if (given != count || (!request.region.empty() && request.region.size() != 2 * count)) {
        call.refuse(fmt::format("it has {} numbers for {} axes", given, count));
    }
    std::vector<ResizedAxis> out;
    std::vector<std::int64_t> extents;
    for (std::size_t i = 0; i < count; ++i) {
        const std::int64_t at = call.normalised(request.axes[i], x.rank());
        const bool cut = crops && !request.region.empty() &&
                         (request.region[i] != 0 || request.region[count + i] != 1);
        if (at == x.batch_axis) {
            const bool kept = request.scales.empty()
                                  ? request.sizes[i] == static_cast<std::int64_t>(batch_extent) ||
                                        call.importer().declared_batch() == request.sizes[i]
                                  : request.scales[i] == 1;
            if (!kept || cut) {
                throw BatchMixed();
            }
            continue;
        }
        ResizedAxis axis;
        axis.axis = call.axis(x, request.axes[i]);
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis.axis)];
        if (request.scales.empty()) {
            axis.out = request.sizes[i];
            axis.scale =
                static_cast<double>(static_cast<float>(axis.out) / static_cast<float>(extent));
        } else {
            const auto scale = static_cast<float>(request.scales[i]);
            const float length = std::floor(scale * static_cast<float>(extent));
            if (!(length >= 1 && length < 1e7F)) {
                call.refuse(fmt::format("an axis of {} positions becomes {} times as long", extent,
                                        request.scales[i]));
            }
            axis.out = static_cast<std::int64_t>(length);
            axis.scale = request.scales[i];
        }
        if (crops && !request.region.empty()) {
            axis.begin = request.region[i];
            axis.end = request.region[count + i];
        }
        if (axis.out != extent || *axis.scale != 1 || cut || request.policy != "stretch") {
            out.push_back(axis);
            extents.push_back(extent);
        }
    }
    if (request.policy != "stretch" && !out.empty()) {
        // One scale for all axes: the smallest or the largest.
        double scale = *out.front().scale;
        for (const ResizedAxis& axis : out) {
            scale = request.policy == "not_larger" ? std::min(scale, *axis.scale)
                                                   : std::max(scale, *axis.scale);
        }
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i].scale = scale;
            out[i].out = static_cast<std::int64_t>(
                std::floor(scale * static_cast<double>(extents[i]) + 0.5));
        }
    }
    return out;
}

std::vector<std::int64_t> all_axes(const Operand& x) {
    std::vector<std::int64_t> axes(static_cast<std::size_t>(x.rank()));
    std::iota(axes.begin(), axes.end(), std::int64_t{0});
    return axes;
}

Interpolation interpolation_of(Call& call) {
    return chosen<Interpolation>(call, call.text("mode", "nearest"),
                                 {{"nearest", Interpolation::nearest},
                                  {"linear", Interpolation::linear},
                                  {"bilinear", Interpolation::linear},
                                  {"cubic", Interpolation::cubic}},
                                 "mode");
}

/// Upsample, and Resize before opset 11.
void resize_by_scales(Call& call, std::vector<double> scales) {
    const Operand& x = call.operand(0);
    Resizing resizing;
    resizing.interpolation = interpolation_of(call);
    resizing.coordinates = Coordinates::asymmetric;
    resizing.rounding = NearestRounding::floor;
    Request request;
    request.axes = all_axes(x);
    request.scales = std::move(scales);
    call.set(layers::resized(call, x, resizing, resized_axes(call, x, request, false)));
}

void resize(Call& call) {
    if (call.opset() < 11) {
        resize_by_scales(call, call.constant(1, "scales").values);
        return;
    }
    const Operand& x = call.operand(0);
    Resizing resizing;
    resizing.interpolation = interpolation_of(call);
    const bool nearest = resizing.interpolation == Interpolation::nearest;
    resizing.coordinates =
        chosen<Coordinates>(call, call.text("coordinate_transformation_mode", "half_pixel"),
                            {{"half_pixel", Coordinates::half_pixel},
                             {"half_pixel_symmetric", Coordinates::half_pixel_symmetric},
                             {"pytorch_half_pixel", Coordinates::pytorch_half_pixel},
                             {"align_corners", Coordinates::align_corners},
                             {"asymmetric", Coordinates::asymmetric},
                             {"tf_half_pixel_for_nn", Coordinates::tf_half_pixel},
                             {"tf_crop_and_resize", Coordinates::crop}},
                            "coordinate_transformation_mode");
    resizing.rounding =
        chosen<NearestRounding>(call, call.text("nearest_mode", "round_prefer_floor"),
                                {{"round_prefer_floor", NearestRounding::prefer_floor},
                                 {"round_prefer_ceil", NearestRounding::prefer_ceil},
                                 {"floor", NearestRounding::floor},
                                 {"ceil", NearestRounding::ceil}},
                                "nearest_mode");
    resizing.cubic = call.real("cubic_coeff_a", -0.75);
    resizing.exclude_outside = call.integer("exclude_outside", 0) != 0;
    resizing.extrapolation = call.real("extrapolation_value", 0);
    resizing.antialias = !nearest && call.integer("antialias", 0) != 0;
    call.ignore("antialias");  // nearest elements are not averaged
    const bool crops = resizing.coordinates == Coordinates::crop;
    Request request;
    request.axes = call.integer_list("axes").value_or(all_axes(x));
    request.policy = call.text("keep_aspect_ratio_policy", "stretch");
    if (request.policy != "stretch" && request.policy != "not_larger" &&
        request.policy != "not_smaller") {
        call.refuse(fmt::format("{} is not supported", request.policy), {},
                    "keep_aspect_ratio_policy");
    }
    if (call.has(2) && !call.constant(2, "scales").values.empty()) {
        request.scales = call.constant(2, "scales").values;
        request.policy = "stretch";  // scales say all
    } else {
        request.sizes = call.integers(3, "sizes");
    }
    if (crops) {
        request.region = call.constant(1, "region").values;
    }
    const std::vector<ResizedAxis> axes = resized_axes(call, x, request, crops);
    for (const ResizedAxis& axis : axes) {
        const auto extent =
            static_cast<double>(x.sample_shape()[static_cast<std::size_t>(axis.axis)]);
        // The standard takes the scaled length for the last position, onnxruntime the whole one.
        if (resizing.coordinates == Coordinates::align_corners &&
            std::abs(*axis.scale * extent - static_cast<double>(axis.out)) > 1e-3) {
            call.refuse("its corners do not fall on whole positions: runtimes differ there",
                        "Give its sizes instead of scales.", "coordinate_transformation_mode");
        }
    }
    call.set(layers::resized(call, x, resizing, axes));
}

void upsample(Call& call) {
    std::vector<double> scales;
    if (const OnnxAttribute* given = call.any("scales")) {
        const auto* floats = std::get_if<std::vector<double>>(given);
        if (floats == nullptr) {
            call.refuse("it is no list of floats", {}, "scales");
        }
        scales = *floats;
    } else {
        scales = call.constant(1, "scales").values;
    }
    resize_by_scales(call, scales);
}

/// Blocks of `size` by `size` positions in place of channels, or the other way round.
void blocks(Call& call, bool to_space) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const Shape& shape = x.sample_shape();
    const std::int64_t b = call.integer("blocksize", 0);
    const std::string mode = call.text("mode", "DCR");
    if (mode != "DCR" && mode != "CRD") {
        call.refuse(fmt::format("{} is not supported", mode), "Use DCR or CRD.", "mode");
    }
    const bool fits = shape.size() == 3 && b >= 1 && b < 1 << 15 &&
                      (to_space ? shape[0] % (b * b) == 0 : shape[1] % b == 0 && shape[2] % b == 0);
    if (!fits) {
        call.refuse(
            fmt::format("blocks of {} do not fit an input of shape {}", b, to_string(shape)), {},
            "blocksize");
    }
    const std::int64_t c = to_space ? shape[0] / (b * b) : shape[0];
    const std::int64_t h = to_space ? shape[1] : shape[1] / b;
    const std::int64_t w = to_space ? shape[2] : shape[2] / b;
    Shape split;
    Shape order;
    Shape result;
    const bool deep = mode == "DCR";  // the channel is the innermost of the three
    if (to_space) {
        split = deep ? Shape{b, b, c, h, w} : Shape{c, b, b, h, w};
        order = deep ? Shape{2, 3, 0, 4, 1} : Shape{0, 3, 1, 4, 2};
        result = {c, h * b, w * b};
    } else {
        split = {c, h, b, w, b};
        order = deep ? Shape{2, 4, 0, 1, 3} : Shape{0, 2, 4, 1, 3};
        result = {b * b * c, h, w};
    }
    const Operand parts = call.reshaped(x, split, x.batch_axis);
    const Operand moved = call.transposed(parts, order, x.batch_axis);
    call.set(call.restore(call.reshaped(moved, result, x.batch_axis), input));
}

const RuleRow rows[] = {{"Resize", &resize},
                        {"Upsample", &upsample},
                        {"DepthToSpace", [](Call& c) { blocks(c, true); }},
                        {"SpaceToDepth", [](Call& c) { blocks(c, false); }}};

}  // namespace

std::span<const RuleRow> resize_rules() {
    return rows;
}

}  // namespace gatewright::onnx
