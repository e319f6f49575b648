// Batch normalisation with quantised statistics, and convolutions into which one is folded before
// their weights are quantised. Constants are computed in float32, as QKeras does.

#include <fmt/format.h>

#include <cmath>

#include "import/keras/activations.h"
#include "import/keras/products.h"
#include "import/keras/qkeras_layers.h"

namespace gatewright::keras {

namespace {

/// Elements in float32, one by one; a vector of one element serves all.
Tensor elementwise(const Tensor& a, const Tensor& b, float (*function)(float, float)) {
    Tensor out{a.shape, {}};
    for (std::size_t i = 0; i < a.values.size(); ++i) {
        const double other = b.values[b.values.size() == 1 ? 0 : i];
        out.values.push_back(function(static_cast<float>(a.values[i]), static_cast<float>(other)));
    }
    return out;
}

Tensor product(const Tensor& a, const Tensor& b) {
    return elementwise(a, b, [](float x, float y) { return x * y; });
}
Tensor sum(const Tensor& a, const Tensor& b) {
    return elementwise(a, b, [](float x, float y) { return x + y; });
}
Tensor difference(const Tensor& a, const Tensor& b) {
    return elementwise(a, b, [](float x, float y) { return x - y; });
}

/// 1 / sqrt(variance + epsilon).
Tensor reciprocal_root(const Tensor& variance, double epsilon) {
    return elementwise(variance, Tensor::scalar(epsilon), [](float v, float e) {
        return static_cast<float>(1 / std::sqrt(static_cast<double>(v + e)));
    });
}

void check_finite(Call& call, const Tensor& tensor) {
    for (const double v : tensor.values) {
        if (!std::isfinite(v)) {
            call.refuse("a variance plus epsilon is not positive", {}, "epsilon");
        }
    }
}

/// The one axis of channels, counted with the batch.
std::int64_t channel_axis(Call& call, std::size_t rank) {
    const Shape axes =
        call.object().config.contains("axis") ? call.settings.integers("axis") : Shape{-1};
    if (axes.size() != 1) {
        call.settings.refuse("axis", "QKeras normalises along one axis only");
    }
    return call.normalised(axes.front(), static_cast<std::int64_t>(rank));
}

Tensor weight_of(Call& call, const std::map<std::string, Tensor>& weights, const std::string& name,
                 const Shape& shape) {
    const auto at = weights.find(name);
    if (at == weights.end() || at->second.shape != shape) {
        call.refuse_weights(at == weights.end()
                                ? fmt::format("the file has no {} of this layer", name)
                                : fmt::format("its {} has shape {} instead of {}", name,
                                              to_string(at->second.shape), to_string(shape)));
    }
    return at->second;
}

/// The kernel and the bias of a convolution with its batch normalisation folded in.
struct Folded {
    Tensor kernel;
    Tensor bias;
};

/// The channels are laid along the kernel's last axes.
Folded fold(Call& call, const std::string& kernel_name, const Shape& kernel_shape,
            std::int64_t channels) {
    const auto weights = named_weights(call);
    std::size_t expected = 4;
    const auto get = [&](const char* name) {
        ++expected;
        return weight_of(call, weights, name, {channels});
    };
    const Tensor kernel = weight_of(call, weights, kernel_name, kernel_shape);
    const Tensor mean = weight_of(call, weights, "moving_mean", {channels});
    const Tensor variance = weight_of(call, weights, "moving_variance", {channels});
    const double epsilon = call.settings.real("epsilon", 0.001);
    Tensor factor = reciprocal_root(variance, epsilon);
    check_finite(call, factor);
    if (call.settings.flag("scale", true)) {
        factor = product(factor, get("gamma"));
    }
    if (!call.settings.flag("center", true)) {
        call.settings.refuse("center", "QKeras itself cannot run this layer without a beta");
    }
    const Tensor beta = weight_of(call, weights, "beta", {channels});
    // Counts steps of training.
    expected += weights.contains("iteration") ? 1 : 0;
    Tensor bias = Tensor::filled({channels}, 0);
    if (call.settings.flag("use_bias", true)) {
        bias = get("bias");
    }
    if (weights.size() != expected) {
        call.refuse_weights(fmt::format("the file has {} weights of this layer instead of {}",
                                        weights.size(), expected));
    }
    Folded out;
    out.bias = sum(product(factor, difference(bias, mean)), beta);
    out.kernel = kernel;
    for (std::size_t i = 0; i < kernel.values.size(); ++i) {
        out.kernel.values[i] =
            static_cast<float>(factor.values[i % static_cast<std::size_t>(channels)]) *
            static_cast<float>(kernel.values[i]);
    }
    return out;
}

/// What concerns training, and settings that the layers have by inheritance.
void common_settings(Call& call, std::int64_t axis_of_channels) {
    call.expect_inputs(1);
    call.settings.choice("folding_mode", "ema_stats_folding",
                         {"ema_stats_folding", "batch_stats_folding"});
    // At inference both modes fold the moving statistics.
    call.settings.ignore(
        {"ema_freeze_delay", "momentum", "kernel_range", "bias_range", "depthwise_range", "fused"});
    call.settings.expect_unset("renorm", "batch renormalisation is not supported");
    call.settings.expect_unset("virtual_batch_size", "virtual batches are not supported");
    const std::size_t rank = call.operand().sample_shape().size() + 1;
    if (channel_axis(call, rank) != axis_of_channels) {
        call.settings.refuse("axis", "it is not the axis of the channels");
    }
}

void finish(Call& call, Operand y) {
    call.set(activation(call, y));
}

}  // namespace

void quantised_batch_normalisation(Call& call) {
    call.expect_inputs(1);
    call.variant.qkeras = true;
    const Operand& x = call.operand();
    const Shape& shape = x.sample_shape();
    const std::int64_t axis = channel_axis(call, shape.size() + 1);
    if (axis == 0) {
        call.settings.refuse("axis", "it is the axis of the batch");
    }
    const std::int64_t channels = shape[static_cast<std::size_t>(axis - 1)];
    const double epsilon = call.settings.real("epsilon", 0.001);
    // Momentum is of training; QKeras keeps the ranges and does not use them.
    call.settings.ignore({"momentum", "beta_range", "gamma_range", "fused"});
    call.settings.expect_unset("renorm", "batch renormalisation is not supported");
    call.settings.expect_unset("virtual_batch_size", "virtual batches are not supported");
    call.settings.expect_unset("activation", "QKeras does not apply it");
    const auto weights = named_weights(call);
    std::size_t expected = 2;
    const auto quantised = [&](const char* name, const char* key, bool computes) {
        const Operand w = Call::tensor(weight_of(call, weights, name, {channels}));
        return quantised_weight(call, key, w, computes).constant;
    };
    // Without scale or center their quantisers have nothing to do.
    call.settings.ignore({"gamma_quantizer", "beta_quantizer"});
    const Tensor mean = quantised("moving_mean", "mean_quantizer", false);
    const Tensor variance = quantised("moving_variance", "variance_quantizer", true);
    Tensor factor = reciprocal_root(variance, epsilon);
    if (call.settings.flag("scale", true)) {
        factor = product(factor, quantised("gamma", "gamma_quantizer", true));
        ++expected;
    }
    check_finite(call, factor);
    Tensor offset = product(mean, factor);
    for (double& v : offset.values) {
        v = -v;
    }
    if (call.settings.flag("center", true)) {
        offset = sum(offset, quantised("beta", "beta_quantizer", false));
        ++expected;
    }
    if (weights.size() != expected) {
        call.refuse_weights(fmt::format("the file has {} weights of this layer instead of {}",
                                        weights.size(), expected));
    }
    Shape along(shape.size(), 1);
    along[static_cast<std::size_t>(axis - 1)] = channels;
    factor.shape = along;
    offset.shape = along;
    call.set(call.function("affine", x, {Call::tensor(factor), Call::tensor(offset)}));
}

void folded_convolution(Call& call) {
    call.variant.qkeras = true;
    // QKeras drops data_format when it makes the layer.
    if (call.settings.text("data_format", "channels_last") != "channels_last") {
        call.settings.refuse("data_format", "QKeras makes this layer with channels last only");
    }
    common_settings(call, 3);
    const std::int64_t groups = call.settings.integer("groups", 1);
    const std::int64_t filters = call.settings.integer("filters");
    const Window window = read_window(call, call.settings.sizes("kernel_size", 2), false);
    const std::int64_t channels = channels_of(call, call.operand(), 2, false);
    if (groups < 1 || channels % groups != 0 || filters < 1 || filters % groups != 0) {
        call.settings.refuse("groups", fmt::format("{} does not divide {} channels and {} filters",
                                                   groups, channels, filters));
    }
    Shape shape = window.kernel;
    shape.push_back(channels / groups);
    shape.push_back(filters);
    const Folded folded = fold(call, "kernel", shape, filters);
    const Operand kernel =
        quantised_weight(call, "kernel_quantizer", Call::tensor(folded.kernel), true);
    const Operand bias = quantised_weight(call, "bias_quantizer", Call::tensor(folded.bias), false);
    finish(call, conv_product(call, window, call.operand(), kernel, bias, groups));
}

void folded_depthwise_convolution(Call& call) {
    call.variant.qkeras = true;
    const bool first =
        call.settings.choice("data_format", "channels_last", {"channels_last", "channels_first"}) ==
        "channels_first";
    common_settings(call, first ? 1 : 3);
    if (call.settings.integer("groups", 1) != 1) {
        call.settings.refuse("groups", "this kind of convolution has no groups");
    }
    const Window window = read_window(call, call.settings.sizes("kernel_size", 2), first);
    const std::int64_t multiplier = call.settings.integer("depth_multiplier", 1);
    const std::int64_t channels = channels_of(call, call.operand(), 2, first);
    if (multiplier < 1 || multiplier > 65536) {
        call.settings.refuse("depth_multiplier", "it is out of range");
    }
    Shape shape = window.kernel;
    shape.push_back(channels);
    shape.push_back(multiplier);
    const Folded folded = fold(call, "depthwise_kernel", shape, channels * multiplier);
    const Operand kernel =
        quantised_weight(call, "depthwise_quantizer", Call::tensor(folded.kernel), true);
    const Operand bias = quantised_weight(call, "bias_quantizer", Call::tensor(folded.bias), false);
    finish(call, depthwise_product(call, window, call.operand(), kernel, bias));
}

}  // namespace gatewright::keras
