#include "import/keras/hgq_layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/layers/einsum.h"

namespace gatewright::keras {

namespace {

float float32(double value) {
    return static_cast<float>(value);
}

/// gamma / sqrt(variance + epsilon) in float32, as the framework has it.
Tensor normalising_factor(Call& call, const std::optional<Tensor>& gamma, const Tensor& variance,
                          double epsilon) {
    Tensor out = variance;
    for (std::size_t i = 0; i < out.values.size(); ++i) {
        const float spread = std::sqrt(float32(variance.values[i]) + float32(epsilon));
        const float numerator = gamma ? float32(gamma->values[i]) : 1.0F;
        out.values[i] = static_cast<double>(numerator / spread);
        if (!std::isfinite(out.values[i])) {
            call.refuse("a variance plus epsilon is not positive", {}, "epsilon");
        }
    }
    return out;
}

/// The name of the plain layer: that of HGQ2 without its "Q".
std::string plain_name(const Call& call) {
    return call.object().class_name.substr(1);
}

bool use_bias(const Call& call) {
    const Json& config = call.settings.config();
    return !config.contains("use_bias") || config["use_bias"] != false;
}

}  // namespace

void hgq2_quantizer(Call& call) {
    call.expect_inputs(1);
    call.set(quantised(call, call.operand(), quantiser_at(call, "config", call.weights(), "")));
}

void hgq2_dense(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    std::vector<Tensor> weights = {layer.weight("kernel", {-1, -1}, "kq_conf", "kq")};
    if (use_bias(call)) {
        weights.push_back(layer.weight("bias", {-1}, "bq_conf", "bq"));
    } else {
        call.settings.ignore("bq_conf");
    }
    layer.take_costs();
    layer.finish(layer.plain("Dense", std::move(weights), {layer.input()}));
}

void hgq2_batch_norm_dense(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    Tensor kernel = call.weight("kernel", {-1, -1}).constant;
    Tensor bias = call.weight("bias", {-1}).constant;
    const std::int64_t rows = kernel.shape[0];
    const std::int64_t columns = kernel.shape[1];
    std::optional<Tensor> gamma;
    if (call.settings.flag("scale", true)) {
        gamma = call.weight("bn_gamma", {rows}).constant;
    }
    layer.take_costs();
    const Tensor mean = call.weight("moving_mean", {rows}).constant;
    const Tensor variance = call.weight("moving_variance", {rows}).constant;
    // How statistics were gathered in training.
    call.settings.ignore({"momentum", "synchronized"});
    const Tensor factor =
        normalising_factor(call, gamma, variance, call.settings.real("epsilon", 1e-3));
    if (static_cast<std::int64_t>(bias.values.size()) != columns) {
        call.refuse_weights("its bias does not fit its kernel");
    }
    for (std::int64_t c = 0; c < columns; ++c) {
        // The framework takes the mean times the kernel itself, not times the scaled one.
        float offset = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
            const auto at = static_cast<std::size_t>(r * columns + c);
            offset +=
                float32(mean.values[static_cast<std::size_t>(r)]) * float32(kernel.values[at]);
        }
        double& b = bias.values[static_cast<std::size_t>(c)];
        b = static_cast<double>(float32(b) - offset);
    }
    for (std::size_t i = 0; i < kernel.values.size(); ++i) {
        const auto r = static_cast<std::size_t>(static_cast<std::int64_t>(i) / columns);
        kernel.values[i] =
            static_cast<double>(float32(factor.values[r]) * float32(kernel.values[i]));
    }
    std::vector<Tensor> weights = {quantised(call, kernel, layer.quantiser("kq_conf", "kq")),
                                   quantised(call, bias, layer.quantiser("bq_conf", "bq"))};
    layer.finish(layer.plain("Dense", std::move(weights), {layer.input()},
                             {"scale", "momentum", "epsilon", "synchronized",
                              "bn_gamma_initializer", "bn_gamma_regularizer", "bn_gamma_constraint",
                              "moving_mean_initializer", "moving_variance_initializer"}));
}

void hgq2_convolution(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    // HGQ2 0.2 pads before it quantises, and then fails to compute it.
    if (call.settings.has("padding") && call.settings.config()["padding"] == "causal") {
        call.settings.refuse("padding", "HGQ2 has no causal convolution",
                             "Pad in a layer of its own.");
    }
    const auto rank = call.object().class_name.find('1') != std::string::npos   ? 1
                      : call.object().class_name.find('2') != std::string::npos ? 2
                                                                                : 3;
    std::vector<Tensor> weights = {
        layer.weight("kernel", Shape(static_cast<std::size_t>(rank + 2), -1), "kq_conf", "kq")};
    if (use_bias(call)) {
        weights.push_back(layer.weight("bias", {-1}, "bq_conf", "bq"));
    } else {
        call.settings.ignore("bq_conf");
    }
    layer.take_costs();
    layer.finish(layer.plain(plain_name(call), std::move(weights), {layer.input()}));
}

namespace {

/// A weight of any shape: what the equation makes of it is judged by the plain layer.
Tensor any_weight(Call& call, const std::string& role) {
    std::size_t count = 0;
    while (call.weights().at(count) != nullptr) {
        ++count;
    }
    const Tensor* next = call.weights().at(count - call.weights().left());
    return call.weight(role, next == nullptr ? Shape{} : next->shape).constant;
}

}  // namespace

void hgq2_einsum_dense(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    std::vector<Tensor> weights = {
        quantised(call, any_weight(call, "kernel"), layer.quantiser("kq_conf", "kq"))};
    if (call.settings.has("bias_axes")) {
        weights.push_back(
            quantised(call, any_weight(call, "bias"), layer.quantiser("bq_conf", "bq")));
    } else {
        call.settings.ignore("bq_conf");
    }
    layer.take_costs();
    layer.finish(layer.plain("EinsumDense", std::move(weights), {layer.input()}));
}

void hgq2_einsum_dense_batch_norm(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    Tensor kernel = any_weight(call, "kernel");
    Tensor bias = any_weight(call, "bias");
    const std::string equation = call.settings.text("equation");
    // The file does not hold the layer's own settings of the normalisation: the framework loads
    // it with a scale, over the axes of the bias, and adds the general epsilon to the variance.
    const std::string axes = call.settings.text("bias_axes");
    const std::size_t comma = equation.find(',');
    const std::size_t arrow = equation.find("->");
    if (comma == std::string::npos || arrow == std::string::npos || arrow < comma) {
        call.settings.refuse("equation", fmt::format("'{}' is no equation of two terms", equation));
    }
    const std::string kernel_axes = equation.substr(comma + 1, arrow - comma - 1);
    if (kernel_axes.size() != kernel.shape.size() || kernel_axes.find('.') != std::string::npos) {
        call.refuse_weights("its kernel does not fit its equation");
    }
    std::string normalised;
    for (const char c : kernel_axes) {
        if (axes.find(c) != std::string::npos) {
            normalised += c;
        }
    }
    const Tensor gamma = any_weight(call, "gamma");
    layer.take_costs();
    const Tensor mean = call.weight("moving_mean", gamma.shape).constant;
    const Tensor variance = call.weight("moving_variance", gamma.shape).constant;
    const Tensor factor = normalising_factor(call, gamma, variance, 1e-7);
    if (gamma.shape.size() != normalised.size() || gamma.values.size() != bias.values.size()) {
        call.refuse_weights("its statistics do not fit its equation");
    }
    // Which factor each weight meets.
    for (std::size_t e = 0; e < kernel.values.size(); ++e) {
        std::size_t rest = e;
        std::vector<std::int64_t> position(kernel_axes.size());
        for (std::size_t a = kernel_axes.size(); a-- > 0;) {
            const auto extent = static_cast<std::size_t>(kernel.shape[a]);
            position[a] = static_cast<std::int64_t>(rest % extent);
            rest /= extent;
        }
        std::int64_t at = 0;
        for (std::size_t n = 0; n < normalised.size(); ++n) {
            const std::int64_t p = position[kernel_axes.find(normalised[n])];
            if (p >= gamma.shape[n]) {
                call.refuse_weights("its statistics do not fit its equation");
            }
            at = at * gamma.shape[n] + p;
        }
        double& w = kernel.values[e];
        w = static_cast<double>(float32(w) * float32(factor.values[static_cast<std::size_t>(at)]));
    }
    for (std::size_t i = 0; i < bias.values.size(); ++i) {
        const float offset = -float32(mean.values[i]) * float32(factor.values[i]);
        bias.values[i] = static_cast<double>(float32(bias.values[i]) + offset);
    }
    std::vector<Tensor> weights = {quantised(call, kernel, layer.quantiser("kq_conf", "kq")),
                                   quantised(call, bias, layer.quantiser("bq_conf", "bq"))};
    layer.finish(layer.plain("EinsumDense", std::move(weights), {layer.input()}));
}

void hgq2_batch_normalization(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    Settings& s = call.settings;
    const Operand x = layer.input();
    const std::int64_t axis = call.normalised(s.integer("axis", -1), x.rank());
    const auto at = static_cast<std::size_t>(call.axis(x, axis));
    const std::int64_t channels = x.sample_shape()[at];
    std::optional<Tensor> gamma;
    if (s.flag("scale", true)) {
        gamma = call.weight("gamma", {channels}).constant;
    }
    std::optional<Tensor> beta;
    if (s.flag("center", true)) {
        beta = call.weight("beta", {channels}).constant;
    }
    const Tensor mean = call.weight("moving_mean", {channels}).constant;
    const Tensor variance = call.weight("moving_variance", {channels}).constant;
    layer.take_costs();
    s.expect_unset("renorm", "batch renormalisation is not supported");
    // How statistics were gathered in training; of renormalisation, which is off.
    s.ignore({"momentum", "synchronized", "renorm_clipping", "renorm_momentum"});
    Tensor factor = normalising_factor(call, gamma, variance, s.real("epsilon", 1e-3));
    Tensor offset = mean;
    for (std::size_t c = 0; c < offset.values.size(); ++c) {
        // Without a centre HGQ2 adds 1, not 0.
        const float summand = beta ? float32(beta->values[c]) : 1.0F;
        offset.values[c] =
            static_cast<double>(summand - float32(mean.values[c]) * float32(factor.values[c]));
    }
    factor = quantised(call, factor, layer.quantiser("kq_conf", "kq"));
    offset = quantised(call, offset, layer.quantiser("bq_conf", "bq"));
    Shape shape(x.sample_shape().size(), 1);
    shape[at] = channels;
    factor.shape = shape;
    offset.shape = shape;
    layer.finish(
        call.function("affine", x, {Call::tensor(std::move(factor)), Call::tensor(offset)}));
}

void hgq2_einsum(Call& call) {
    HgqLayer layer(call);
    layer.take_costs();
    layer.finish(layers::einsum(call, call.settings.text("equation"), layer.inputs()));
}

void hgq2_merge(Call& call) {
    HgqLayer layer(call);
    layer.take_costs();
    layer.finish(layer.plain(plain_name(call), {}, layer.inputs()));
}

namespace {

/// The power of two that the framework takes for 1 / n.
double nearest_power(double n) {
    return std::exp2(std::nearbyint(std::log2(1.0 / n)));
}

Operand scaled(Call& call, const Operand& x, double factor) {
    return factor == 1 ? x : call.function("affine", x, {Call::number(factor), Call::number(0)});
}

/// The sum of a layer's input over its axes, and how many elements each sum has.
std::pair<Operand, double> summed(HgqLayer& layer) {
    Call& call = layer.call;
    call.expect_inputs(1);
    layer.take_costs();
    const Operand x = layer.input();
    Shape axes;
    double count = 1;
    for (const std::int64_t axis : call.settings.integers("axes")) {
        const std::int64_t at = call.axis(x, axis);
        axes.push_back(at);
        count *= static_cast<double>(x.sample_shape()[static_cast<std::size_t>(at)]);
    }
    std::sort(axes.begin(), axes.end());
    if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) {
        call.settings.refuse("axes", "an axis occurs twice");
    }
    return {call.reduced(x, "sum", axes, call.settings.flag("keepdims", false)), count};
}

}  // namespace

void hgq2_average_pow2(Call& call) {
    HgqLayer layer(call);
    layer.take_costs();
    const std::vector<Operand> inputs = layer.inputs();
    const Operand sum = layer.plain("Add", {}, inputs);
    layer.finish(scaled(call, sum, nearest_power(static_cast<double>(inputs.size()))));
}

void hgq2_sum(Call& call) {
    HgqLayer layer(call);
    const Operand sum = summed(layer).first;
    layer.finish(scaled(call, sum, call.settings.real("scale", 1)));
}

void hgq2_mean_pow2(Call& call) {
    HgqLayer layer(call);
    const auto [sum, count] = summed(layer);
    layer.finish(scaled(call, sum, nearest_power(count)));
}

void hgq2_pooling(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    layer.take_costs();
    layer.finish(layer.plain(plain_name(call), {}, {layer.input()}));
}

}  // namespace gatewright::keras
