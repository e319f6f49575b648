#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "import/keras/ops.h"
#include "import/keras/products.h"
#include "import/keras/resampling.h"
#include "import/keras/rules.h"
#include "import/layers/pooling.h"
#include "operators/layers.h"

/// Operations of keras.ops that layers compute with: convolutions and pools, whose weights are
/// constants of the call, batch normalisation and the resizing of images.
namespace gatewright::keras {

namespace {

/// One integer for each of `rank` axes; one alone serves all.
Shape sizes_of(Call& call, const char* name, std::size_t rank, std::optional<Shape> otherwise) {
    const Json& given = parameter(call, {name});
    if (given.is_null() && otherwise) {
        return *std::move(otherwise);
    }
    Shape out = integers_of(call, given, name);
    if (out.size() == 1) {
        out.assign(rank, out.front());
    }
    if (out.size() != rank) {
        call.refuse(fmt::format("it has {} numbers for {} axes", out.size(), rank), {}, name);
    }
    for (const std::int64_t size : out) {
        if (size < 1 || size > (1 << 24)) {
            call.refuse(fmt::format("{} is out of range", size), {}, name);
        }
    }
    return out;
}

std::string text_of(Call& call, const char* name, const char* otherwise) {
    const Json& given = parameter(call, {name});
    if (!given.is_null() && !given.is_string()) {
        call.refuse("it is no text", {}, name);
    }
    return given.is_null() ? otherwise : given.get<std::string>();
}

bool channels_first(Call& call) {
    const std::string format = text_of(call, "data_format", "channels_last");
    if (format != "channels_last" && format != "channels_first") {
        call.refuse(fmt::format("there is no format '{}'", format), {}, "data_format");
    }
    return format == "channels_first";
}

/// The images, and how many axes of theirs are spatial.
struct Images {
    Operand x;
    std::size_t rank = 0;
};

Images images_of(Call& call) {
    Images out{x_of(call), 0};
    const std::size_t axes = out.x.sample_shape().size();
    if (out.x.batch_axis != 0 || axes < 2 || axes > 4) {
        call.refuse(fmt::format("its input has {} axes instead of 3 to 5", out.x.rank()));
    }
    out.rank = axes - 1;
    return out;
}

std::string padding_of(Call& call) {
    const std::string padding = text_of(call, "padding", "valid");
    if (padding != "valid" && padding != "same") {
        call.refuse("only valid and same are supported", {}, "padding");
    }
    return padding;
}

/// Weights, which have two axes besides the spatial ones.
Operand kernel_of(Call& call, std::size_t position, const char* name, std::size_t rank) {
    Operand kernel = operand_of(call, position, {name});
    if (!kernel.is_constant) {
        call.refuse("it is computed from the model's inputs", "Give it as a constant.", name);
    }
    const Shape& shape = kernel.constant.shape;
    if (shape.size() != rank + 2 ||
        std::any_of(shape.begin(), shape.end(), [](std::int64_t n) { return n < 1; })) {
        call.refuse(fmt::format("its shape {} is not that of weights for {} spatial axes",
                                to_string(shape), rank),
                    {}, name);
    }
    return kernel;
}

Window window_of(Call& call, const Operand& kernel, std::size_t rank) {
    Window window;
    const Shape& shape = kernel.constant.shape;
    window.kernel = Shape(shape.begin(), shape.end() - 2);
    window.strides = sizes_of(call, "strides", rank, Shape(rank, 1));
    window.dilations = sizes_of(call, "dilation_rate", rank, Shape(rank, 1));
    window.padding = padding_of(call);
    window.channels_first = channels_first(call);
    return window;
}

void expect_channels(Call& call, const Operand& kernel, std::size_t axis, std::int64_t channels,
                     const char* name) {
    if (kernel.constant.shape[axis] != channels) {
        call.refuse(fmt::format("it has {} channels, and its input {}", kernel.constant.shape[axis],
                                channels),
                    {}, name);
    }
}

void conv(Call& call) {
    const Images images = images_of(call);
    const Operand kernel = kernel_of(call, 1, "kernel", images.rank);
    const Window window = window_of(call, kernel, images.rank);
    const std::int64_t channels = channels_of(call, images.x, images.rank, window.channels_first);
    const std::int64_t own = kernel.constant.shape[images.rank];
    const std::int64_t groups = channels / own;
    if (groups < 1 || groups * own != channels || kernel.constant.shape.back() % groups != 0) {
        call.refuse(fmt::format("its {} channels and {} filters do not fit {} channels of the "
                                "input",
                                own, kernel.constant.shape.back(), channels),
                    {}, "kernel");
    }
    call.set(conv_product(call, window, images.x, kernel, std::nullopt, groups));
}

void depthwise(Call& call) {
    const Images images = images_of(call);
    const Operand kernel = kernel_of(call, 1, "kernel", images.rank);
    const Window window = window_of(call, kernel, images.rank);
    expect_channels(call, kernel, images.rank,
                    channels_of(call, images.x, images.rank, window.channels_first), "kernel");
    call.set(depthwise_product(call, window, images.x, kernel, std::nullopt));
}

void separable(Call& call) {
    const Images images = images_of(call);
    const Operand kernel = kernel_of(call, 1, "depthwise_kernel", images.rank);
    const Operand point = kernel_of(call, 2, "pointwise_kernel", images.rank);
    const Window window = window_of(call, kernel, images.rank);
    expect_channels(call, kernel, images.rank,
                    channels_of(call, images.x, images.rank, window.channels_first),
                    "depthwise_kernel");
    const Shape ones(images.rank, 1);
    const Window at_a_point{Shape(point.constant.shape.begin(), point.constant.shape.end() - 2),
                            ones, ones, "valid", window.channels_first};
    if (at_a_point.kernel != ones) {
        call.refuse("it spans more than one position", {}, "pointwise_kernel");
    }
    const Operand y = depthwise_product(call, window, images.x, kernel, std::nullopt);
    expect_channels(call, point, images.rank,
                    channels_of(call, y, images.rank, window.channels_first), "pointwise_kernel");
    call.set(conv_product(call, at_a_point, y, point, std::nullopt));
}

void conv_transpose(Call& call) {
    const Images images = images_of(call);
    const Operand kernel = kernel_of(call, 1, "kernel", images.rank);
    const Window window = window_of(call, kernel, images.rank);
    if (window.dilations != Shape(images.rank, 1)) {
        call.refuse("the backends of Keras differ in dilated transposed convolutions",
                    "Build the model without dilation.", "dilation_rate");
    }
    std::optional<Shape> output_padding;
    if (!parameter(call, {"output_padding"}).is_null()) {
        output_padding = integers_of(call, parameter(call, {"output_padding"}), "output_padding");
        if (output_padding->size() == 1) {
            output_padding->assign(images.rank, output_padding->front());
        }
        if (output_padding->size() != images.rank ||
            std::any_of(output_padding->begin(), output_padding->end(),
                        [](std::int64_t n) { return n < 0 || n > (1 << 24); })) {
            call.refuse("it is no length for each axis", {}, "output_padding");
        }
    }
    expect_channels(call, kernel, images.rank + 1,
                    channels_of(call, images.x, images.rank, window.channels_first), "kernel");
    call.set(transposed_product(call, window, output_padding, images.x, kernel, std::nullopt));
}

void pool(Call& call, const char* kind) {
    const Images images = images_of(call);
    Window window;
    window.kernel = sizes_of(call, "pool_size", images.rank, std::nullopt);
    window.strides = sizes_of(call, "strides", images.rank, window.kernel);
    window.dilations.assign(images.rank, 1);
    window.padding = padding_of(call);
    window.channels_first = channels_first(call);
    call.set(pooled(call, kind, window, images.x));
}

void adaptive_pool(Call& call, const char* kind) {
    const Images images = images_of(call);
    const Shape size = sizes_of(call, "output_size", images.rank, std::nullopt);
    const bool first = channels_first(call);
    const Operand front = channels_to_front(call, images.x, first);
    call.set(channels_to_place(call, layers::adaptive_pool(call, front, kind, size), first));
}

void batch_norm(Call& call) {
    const Operand x = x_of(call);
    const std::int64_t axis = sample_axis(call, x, std::nullopt, "axis", SIZE_MAX);
    const std::int64_t channels = x.sample_shape()[static_cast<std::size_t>(axis)];
    operators::BatchNormFields fields;
    fields.axis = axis;
    fields.epsilon = real_of(call, "epsilon", SIZE_MAX, 1e-3);
    const auto vector = [&](std::size_t position, const char* name, std::optional<double> all) {
        if (all && call.argument(position, name) == nullptr) {
            return Call::tensor(Tensor::filled({channels}, *all));
        }
        const Operand out = operand_of(call, position, {name});
        if (!out.is_constant) {
            call.refuse("it is computed from the model's inputs", "Give it as a constant.", name);
        }
        if (out.constant.shape != Shape{channels}) {
            call.refuse(fmt::format("its shape is {} for {} channels",
                                    to_string(out.constant.shape), channels),
                        {}, name);
        }
        return out;
    };
    const Operand mean = vector(1, "mean", std::nullopt);
    const Operand variance = vector(2, "variance", std::nullopt);
    const Operand offset = vector(3, "offset", 0);
    const Operand scale = vector(4, "scale", 1);
    call.set(call.emit(operators::batch_norm_operator, Attributes::of(fields),
                       {x, scale, offset, mean, variance}, x.batch_axis)
                 .front());
}

void resize(Call& call) {
    const Images images = images_of(call);
    if (images.rank != 2) {
        call.refuse(fmt::format("its input has {} axes instead of 4", images.x.rank()));
    }
    const Shape size = sizes_of(call, "size", 2, std::nullopt);
    const Resampling how{text_of(call, "interpolation", "bilinear"), flag_of(call, {"antialias"}),
                         true};
    for (const char* name : {"crop_to_aspect_ratio", "pad_to_aspect_ratio"}) {
        if (flag_of(call, {name})) {
            call.refuse("it keeps the images' ratio", "Use the layer Resizing for that.", name);
        }
    }
    // Both are of what is added to keep the ratio.
    parameter(call, {"fill_mode"});
    parameter(call, {"fill_value"});
    if (call.input().kind != Kind::real) {
        call.refuse("images of integers are rounded behind the resizing",
                    "Give the images as floating-point numbers.");
    }
    const std::int64_t rows = channels_first(call) ? 1 : 0;
    call.set(resampled(call, images.x, how, {{rows, size[0]}, {rows + 1, size[1]}}));
}

/// Blocks of channels in place of blocks of positions, or the other way round.
void blocks(Call& call, bool to_space) {
    const Images images = images_of(call);
    const std::int64_t b = integer_of(call, parameter(call, {"block_size"}), "block_size");
    if (channels_first(call)) {
        call.refuse("the backends of Keras differ in the order of its channels",
                    "Use channels_last, with a transpose before and behind it.", "data_format");
    }
    const Operand& x = images.x;
    const Shape& shape = x.sample_shape();
    const bool fits = images.rank == 2 && b >= 1 && b < (1 << 15) &&
                      (to_space ? shape[2] % (b * b) == 0 : shape[0] % b == 0 && shape[1] % b == 0);
    if (!fits) {
        call.refuse(fmt::format("blocks of {} do not fit images of shape {}", b, to_string(shape)),
                    {}, "block_size");
    }
    Operand y;
    if (to_space) {
        const Shape split = {shape[0], shape[1], b, b, shape[2] / (b * b)};
        y = call.transposed(call.reshaped(x, split, 0), {0, 2, 1, 3, 4}, 0);
        y = call.reshaped(y, {shape[0] * b, shape[1] * b, split[4]}, 0);
    } else {
        const Shape split = {shape[0] / b, b, shape[1] / b, b, shape[2]};
        y = call.transposed(call.reshaped(x, split, 0), {0, 2, 1, 3, 4}, 0);
        y = call.reshaped(y, {split[0], split[2], shape[2] * b * b}, 0);
    }
    call.set(y, call.input().kind);
}

const OpRow rows[] = {
    {"Conv", &conv},
    {"DepthwiseConv", &depthwise},
    {"SeparableConv", &separable},
    {"ConvTranspose", &conv_transpose},
    {"MaxPool", [](Call& c) { pool(c, "max"); }},
    {"AveragePool", [](Call& c) { pool(c, "average"); }},
    {"AdaptiveMaxPool", [](Call& c) { adaptive_pool(c, "max"); }},
    {"AdaptiveAveragePool", [](Call& c) { adaptive_pool(c, "average"); }},
    {"BatchNorm", &batch_norm},
    {"Resize", &resize},
    {"DepthToSpace", [](Call& c) { blocks(c, true); }},
    {"SpaceToDepth", [](Call& c) { blocks(c, false); }},
};

}  // namespace

std::span<const RuleRow> ops_layer_rules() {
    static const std::vector<RuleRow> table = op_rules(rows);
    return table;
}

}  // namespace gatewright::keras
