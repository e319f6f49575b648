#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "import/onnx/rules.h"
#include "operators/move.h"
#include "types/rational.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

/// How Resize finds the element of x for one of y: its attributes of the same names.
struct Nearest {
    std::string coordinates;
    std::string rounding;
};

/// The position of x, of `extent`, that position i of y, `scale` times as long, copies.
std::int64_t source_of(std::int64_t i, std::int64_t extent, std::int64_t scale,
                       const Nearest& nearest) {
    const Rational half = ratio(1, 2);
    Rational at = ratio(i, scale);
    if (nearest.coordinates == "align_corners") {
        at =
            extent * scale == 1 ? Rational(0) : Rational(i * ratio(extent - 1, extent * scale - 1));
    } else if (nearest.coordinates != "asymmetric") {
        at = extent * scale == 1 && nearest.coordinates == "pytorch_half_pixel"
                 ? Rational(0)
                 : Rational((i + half) / scale - half);
    }
    BigInt index = 0;
    if (nearest.rounding == "floor") {
        index = floor(at);
    } else if (nearest.rounding == "ceil") {
        index = ceil(at);
    } else if (nearest.rounding == "round_prefer_ceil") {
        index = floor(Rational(at + half));
    } else {
        index = ceil(Rational(at - half));
    }
    return std::clamp<std::int64_t>(index.convert_to<std::int64_t>(), 0, extent - 1);
}

/// The whole factor of each axis of the file's shape, from `scales` or, at position 3, `sizes`.
std::vector<std::int64_t> factors_of(Call& call, const Operand& x, std::span<const double> scales,
                                     const std::vector<std::int64_t>& axes) {
    std::vector<std::int64_t> factors(static_cast<std::size_t>(x.rank()), 1);
    const std::size_t given =
        scales.empty() ? call.constant(3, "sizes").values.size() : scales.size();
    if (given != axes.size()) {
        call.refuse(fmt::format("it has {} numbers for {} axes", given, axes.size()));
    }
    Shape shape = x.sample_shape();
    if (x.batch_axis >= 0) {
        shape.insert(shape.begin() + x.batch_axis, 0);
    }
    for (std::size_t i = 0; i < axes.size(); ++i) {
        const std::int64_t axis = call.normalised(axes[i], x.rank());
        const bool batch = axis == x.batch_axis;
        double factor = 1;
        if (!scales.empty()) {
            factor = scales[i];
        } else if (!batch) {
            factor = call.constant(3, "sizes").values[i] /
                     static_cast<double>(shape[static_cast<std::size_t>(axis)]);
        }
        if (!(factor >= 1 && factor <= 1e6) || factor != std::floor(factor)) {
            call.refuse(fmt::format("axis {} becomes {} times as long", axis, factor),
                        "Resize by whole factors of at least 1.");
        }
        if (batch && factor != 1) {
            throw BatchMixed();
        }
        factors[static_cast<std::size_t>(axis)] = static_cast<std::int64_t>(factor);
    }
    return factors;
}

void resize(Call& call, const Nearest& nearest, std::span<const double> scales,
            std::vector<std::int64_t> axes) {
    const Operand& x = call.operand(0);
    const std::string mode = call.text("mode", "nearest");
    if (mode != "nearest") {
        call.refuse(fmt::format("mode {} is not supported", mode),
                    "Resize by the nearest element (mode nearest).", "mode");
    }
    if (axes.empty()) {
        axes.resize(static_cast<std::size_t>(x.rank()));
        std::iota(axes.begin(), axes.end(), std::int64_t{0});
    }
    std::vector<std::int64_t> factors = factors_of(call, x, scales, axes);
    if (x.batch_axis >= 0) {
        factors.erase(factors.begin() + x.batch_axis);
    }
    const Shape& from = x.sample_shape();
    Shape shape = from;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        shape[i] *= factors[i];
    }
    const auto count = checked_element_count(shape);
    if (!count) {
        call.refuse("its result has too many elements");
    }
    const auto from_strides = strides_of(from);
    const auto strides = strides_of(shape);
    IndexFields fields{shape, {{*count}, {}}};
    for (std::int64_t e = 0; e < *count; ++e) {
        std::int64_t element = 0;
        for (std::size_t i = 0; i < shape.size(); ++i) {
            element += source_of((e / strides[i]) % shape[i], from[i], factors[i], nearest) *
                       from_strides[i];
        }
        fields.index.values.push_back(element);
    }
    call.set(
        call.emit(index_operator, Attributes::of(std::move(fields)), {x}, x.batch_axis).front());
}

void resize(Call& call) {
    if (call.opset() < 11) {
        resize(call, {"asymmetric", "floor"}, call.constant(1, "scales").values, {});
        return;
    }
    const Nearest nearest{call.text("coordinate_transformation_mode", "half_pixel"),
                          call.text("nearest_mode", "round_prefer_floor")};
    const auto known = [&](const std::string& word, std::initializer_list<const char*> words,
                           const char* attribute) {
        if (std::find(words.begin(), words.end(), word) == words.end()) {
            call.refuse(fmt::format("{} is not supported", word), {}, attribute);
        }
    };
    known(nearest.coordinates, {"half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"},
          "coordinate_transformation_mode");
    known(nearest.rounding, {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"},
          "nearest_mode");
    // Of other modes, or without effect on whole factors.
    for (const char* name : {"cubic_coeff_a", "exclude_outside", "extrapolation_value", "antialias",
                             "keep_aspect_ratio_policy"}) {
        call.ignore(name);
    }
    const bool scaled = call.has(2) && !call.constant(2, "scales").values.empty();
    const std::string policy = call.text("keep_aspect_ratio_policy", "stretch");
    if (!scaled && policy != "stretch") {
        call.refuse(fmt::format("{} is not supported", policy), "Give its scales.",
                    "keep_aspect_ratio_policy");
    }
    resize(call, nearest,
           scaled ? std::span<const double>(call.constant(2, "scales").values)
                  : std::span<const double>(),
           call.integer_list("axes").value_or(std::vector<std::int64_t>{}));
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
    resize(call, {"asymmetric", "floor"}, scales, {});
}

/// Blocks of `size` by `size` positions in place of channels, or the other way round.
void blocks(Call& call, bool to_space) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const Shape& shape = x.sample_shape();
    const std::int64_t b = call.integer("blocksize", 0);
    const std::string mode = to_space ? call.text("mode", "DCR") : "DCR";
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
    if (to_space) {
        const bool deep = mode == "DCR";  // the channel is the innermost of the three
        split = deep ? Shape{b, b, c, h, w} : Shape{c, b, b, h, w};
        order = deep ? Shape{2, 3, 0, 4, 1} : Shape{0, 3, 1, 4, 2};
        result = {c, h * b, w * b};
    } else {
        split = {c, h, b, w, b};
        order = {2, 4, 0, 1, 3};
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
