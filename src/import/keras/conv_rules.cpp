#include <fmt/format.h>

#include <algorithm>

#include "import/keras/activations.h"
#include "import/keras/products.h"
#include "import/keras/rules.h"
#include "import/layers/pooling.h"

namespace gatewright::keras {

namespace {

std::int64_t positive(Call& call, const char* key) {
    const std::int64_t value = call.settings.integer(key);
    if (value < 1 || value > (std::int64_t{1} << 31)) {
        call.settings.refuse(key, fmt::format("{} is out of range", value));
    }
    return value;
}

/// Strides and dilations together are refused by Keras for all but depthwise layers of Keras 3.
void expect_no_stride_and_dilation(Call& call, const Window& window) {
    const auto above_one = [](std::int64_t n) { return n > 1; };
    if (std::any_of(window.strides.begin(), window.strides.end(), above_one) &&
        std::any_of(window.dilations.begin(), window.dilations.end(), above_one)) {
        call.settings.refuse("dilation_rate", "the framework has no dilation with strides");
    }
}

std::optional<Operand> bias_of(Call& call, std::int64_t size) {
    if (!call.settings.flag("use_bias", true)) {
        return std::nullopt;
    }
    return call.weight("bias", {size});
}

/// Keras 2 writes groups for all kinds of convolutions and uses them in the plain ones.
void expect_one_group(Call& call) {
    if (call.settings.integer("groups", 1) != 1) {
        call.settings.refuse("groups", "this kind of convolution has no groups");
    }
}

void common_settings(Call& call) {
    // Updates of fine-tuning; the weights in the file have them in them.
    call.settings.ignore({"lora_rank", "lora_alpha"});
    call.settings.expect_unset("quantization_config", "quantised weights are not supported");
}

template <std::size_t rank>
void conv(Call& call) {
    call.expect_inputs(1);
    common_settings(call);
    const std::int64_t groups = call.settings.integer("groups", 1);
    // Groups (and three axes in Keras 3) are compiled in another way, which has channels first.
    const bool first = read_channels_first(call, groups > 1 || (!call.keras2() && rank == 3));
    const Window window = read_window(call, call.settings.sizes("kernel_size", rank), first);
    expect_no_stride_and_dilation(call, window);
    const std::int64_t filters = positive(call, "filters");
    const std::int64_t channels = channels_of(call, call.operand(), rank, first);
    if (groups < 1 || channels % groups != 0 || filters % groups != 0) {
        call.settings.refuse("groups", fmt::format("{} does not divide {} channels and {} filters",
                                                   groups, channels, filters));
    }
    Shape shape = window.kernel;
    shape.push_back(channels / groups);
    shape.push_back(filters);
    const Operand kernel = call.weight("kernel", shape);
    const auto bias = bias_of(call, filters);
    call.set(activation(call, conv_product(call, window, call.operand(), kernel, bias, groups)));
}

template <std::size_t rank>
void depthwise(Call& call) {
    call.expect_inputs(1);
    common_settings(call);
    expect_one_group(call);
    call.settings.ignore("filters");  // null: as many as channels times the multiplier
    const bool first = read_channels_first(call, !call.keras2() || rank == 2);
    const Window window = read_window(call, call.settings.sizes("kernel_size", rank), first);
    if (call.keras2()) {
        expect_no_stride_and_dilation(call, window);
    }
    if (window.padding == "causal") {
        call.settings.refuse("padding", "depthwise layers have no causal padding");
    }
    const std::int64_t multiplier = call.settings.integer("depth_multiplier", 1);
    const std::int64_t channels = channels_of(call, call.operand(), rank, first);
    Shape shape = window.kernel;
    shape.push_back(channels);
    shape.push_back(multiplier);
    const Operand kernel = call.weight("depthwise kernel", shape);
    const auto bias = bias_of(call, channels * multiplier);
    call.set(activation(call, depthwise_product(call, window, call.operand(), kernel, bias)));
}

template <std::size_t rank>
void separable(Call& call) {
    call.expect_inputs(1);
    common_settings(call);
    expect_one_group(call);
    const bool first = read_channels_first(call, !call.keras2());
    const Window window = read_window(call, call.settings.sizes("kernel_size", rank), first);
    if (call.keras2()) {
        expect_no_stride_and_dilation(call, window);
    } else if (window.padding == "causal") {
        call.settings.refuse("padding", "Keras 3 has no causal padding here");
    }
    const std::int64_t filters = positive(call, "filters");
    const std::int64_t multiplier = call.settings.integer("depth_multiplier", 1);
    const std::int64_t channels = channels_of(call, call.operand(), rank, first);
    Shape shape = window.kernel;
    shape.push_back(channels);
    shape.push_back(multiplier);
    const Operand depthwise_kernel = call.weight("depthwise kernel", shape);
    Window point;
    point.kernel.assign(rank, 1);
    point.strides = point.dilations = point.kernel;
    point.padding = "valid";
    point.channels_first = first;
    Shape point_shape(rank, 1);
    point_shape.push_back(channels * multiplier);
    point_shape.push_back(filters);
    const Operand pointwise_kernel = call.weight("pointwise kernel", point_shape);
    const auto bias = bias_of(call, filters);
    const Operand x =
        depthwise_product(call, window, call.operand(), depthwise_kernel, std::nullopt);
    call.set(activation(call, conv_product(call, point, x, pointwise_kernel, bias)));
}

template <std::size_t rank>
void conv_transpose(Call& call) {
    call.expect_inputs(1);
    common_settings(call);
    const bool two_in_keras2 = call.keras2() && rank == 2;
    const bool first = read_channels_first(call, two_in_keras2);
    const Window window = read_window(call, call.settings.sizes("kernel_size", rank), first);
    expect_no_stride_and_dilation(call, window);
    const bool dilated = std::any_of(window.dilations.begin(), window.dilations.end(),
                                     [](std::int64_t d) { return d != 1; });
    const bool equal = std::all_of(window.dilations.begin(), window.dilations.end(),
                                   [&](std::int64_t d) { return d == window.dilations.front(); });
    if (dilated && !(two_in_keras2 && equal)) {
        call.settings.refuse("dilation_rate",
                             "TensorFlow has no dilated transposed convolution on a CPU here, so "
                             "there is no result to agree with",
                             "Build the layer without dilation.");
    }
    if (window.padding == "causal") {
        call.settings.refuse("padding", "transposed convolutions have no causal padding");
    }
    std::optional<Shape> output_padding;
    if (call.settings.has("output_padding")) {
        output_padding = call.settings.sizes("output_padding", rank);
    }
    call.settings.ignore("output_padding");
    expect_one_group(call);
    const std::int64_t filters = positive(call, "filters");
    Shape shape = window.kernel;
    shape.push_back(filters);
    shape.push_back(channels_of(call, call.operand(), rank, first));
    const Operand kernel = call.weight("kernel", shape);
    const auto bias = bias_of(call, filters);
    call.set(activation(
        call, transposed_product(call, window, output_padding, call.operand(), kernel, bias)));
}

template <std::size_t rank>
void pool(Call& call, const char* kind) {
    call.expect_inputs(1);
    const bool first = read_channels_first(call, !call.keras2() || rank == 1);
    const Shape size = call.settings.sizes("pool_size", rank, 2);
    Window window;
    window.kernel = size;
    window.strides = call.settings.has("strides") ? call.settings.sizes("strides", rank) : size;
    call.settings.ignore("strides");  // null: as long as the patch
    window.dilations.assign(rank, 1);
    window.padding = call.settings.choice("padding", "valid", {"valid", "same"});
    window.channels_first = first;
    for (std::size_t i = 0; i < rank; ++i) {
        if (size[i] < 1 || window.strides[i] < 1) {
            call.refuse("an extent or stride of its patches is below 1");
        }
    }
    if (call.operand().sample_shape().size() != rank + 1) {
        call.refuse(fmt::format("its input has {} axes besides the batch instead of {}",
                                call.operand().sample_shape().size(), rank + 1));
    }
    call.set(pooled(call, kind, window, call.operand()));
}

template <std::size_t rank>
void max_pool(Call& call) {
    pool<rank>(call, "max");
}
template <std::size_t rank>
void average_pool(Call& call) {
    pool<rank>(call, "average");
}

template <std::size_t rank>
void global_pool(Call& call, const char* kind) {
    call.expect_inputs(1);
    const bool first = read_channels_first(call, true);
    const bool keep = call.settings.flag("keepdims", false);
    const Operand& x = call.operand();
    if (x.sample_shape().size() != rank + 1) {
        call.refuse(fmt::format("its input has {} axes besides the batch instead of {}",
                                x.sample_shape().size(), rank + 1));
    }
    Shape axes;
    for (std::size_t i = 0; i < rank; ++i) {
        axes.push_back(static_cast<std::int64_t>(i) + (first ? 1 : 0));
    }
    call.set(call.reduced(x, kind, axes, keep));
}

template <std::size_t rank>
void global_max_pool(Call& call) {
    global_pool<rank>(call, "max");
}

template <std::size_t rank>
void global_average_pool(Call& call) {
    // Over the steps that a mask leaves: its sum of ones is what is divided by.
    const auto mask = rank == 1 ? call.mask() : std::nullopt;
    if (!mask) {
        global_pool<rank>(call, "mean");
        return;
    }
    const bool first = read_channels_first(call, true);
    const bool keep = call.settings.flag("keepdims", false);
    const Operand& x = call.operand();
    const std::int64_t axis = first ? 1 : 0;
    Shape shape = mask->sample_shape();
    shape.insert(first ? shape.begin() : shape.end(), 1);
    const Operand weights = call.reshaped(*mask, shape, 0);
    const Operand sum = call.reduced(call.multiply(x, weights), "sum", {axis}, keep);
    call.set(call.divide(sum, call.reduced(weights, "sum", {axis}, keep)));
}

template <std::size_t rank>
void adaptive_pool(Call& call, const char* kind) {
    call.expect_inputs(1);
    const bool first = read_channels_first(call, true);
    const Shape size = call.settings.sizes("output_size", rank);
    const Operand front = channels_to_front(call, call.operand(), first);
    if (front.sample_shape().size() != rank + 1) {
        call.refuse(fmt::format("its input has {} axes besides the batch instead of {}",
                                front.sample_shape().size(), rank + 1));
    }
    call.set(channels_to_place(call, layers::adaptive_pool(call, front, kind, size), first));
}

const RuleRow rows[] = {
    {"Conv1D", &conv<1>},
    {"Conv2D", &conv<2>},
    {"Conv3D", &conv<3>},
    {"Convolution1D", &conv<1>},
    {"Convolution2D", &conv<2>},
    {"Convolution3D", &conv<3>},
    {"DepthwiseConv1D", &depthwise<1>},
    {"DepthwiseConv2D", &depthwise<2>},
    {"SeparableConv1D", &separable<1>},
    {"SeparableConv2D", &separable<2>},
    {"SeparableConvolution1D", &separable<1>},
    {"SeparableConvolution2D", &separable<2>},
    {"Conv1DTranspose", &conv_transpose<1>},
    {"Conv2DTranspose", &conv_transpose<2>},
    {"Conv3DTranspose", &conv_transpose<3>},
    {"MaxPooling1D", &max_pool<1>},
    {"MaxPooling2D", &max_pool<2>},
    {"MaxPooling3D", &max_pool<3>},
    {"AveragePooling1D", &average_pool<1>},
    {"AveragePooling2D", &average_pool<2>},
    {"AveragePooling3D", &average_pool<3>},
    {"GlobalMaxPooling1D", &global_max_pool<1>},
    {"GlobalMaxPooling2D", &global_max_pool<2>},
    {"GlobalMaxPooling3D", &global_max_pool<3>},
    {"GlobalAveragePooling1D", &global_average_pool<1>, Masking::own},
    {"GlobalAveragePooling2D", &global_average_pool<2>},
    {"GlobalAveragePooling3D", &global_average_pool<3>},
    {"AdaptiveMaxPooling1D", [](Call& c) { adaptive_pool<1>(c, "max"); }},
    {"AdaptiveMaxPooling2D", [](Call& c) { adaptive_pool<2>(c, "max"); }},
    {"AdaptiveMaxPooling3D", [](Call& c) { adaptive_pool<3>(c, "max"); }},
    {"AdaptiveAveragePooling1D", [](Call& c) { adaptive_pool<1>(c, "average"); }},
    {"AdaptiveAveragePooling2D", [](Call& c) { adaptive_pool<2>(c, "average"); }},
    {"AdaptiveAveragePooling3D", [](Call& c) { adaptive_pool<3>(c, "average"); }},
};

}  // namespace

std::span<const RuleRow> conv_rules() {
    return rows;
}

}  // namespace gatewright::keras
