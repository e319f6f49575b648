#include <fmt/format.h>

#include "import/keras/activations.h"
#include "import/keras/importer.h"
#include "import/keras/qkeras_layers.h"
#include "import/keras/rules.h"

/// Layers of QKeras 0.9. Most are the rule of a plain layer with quantised weights.
namespace gatewright::keras {

namespace {

/// The quantiser of a layer's weight: its key, and whether the layer lets QKeras compute an alpha.
struct WeightRow {
    std::string_view role;  ///< as the plain rules name the weight
    const char* key;
    bool computes;
};

constexpr WeightRow weight_rows[] = {
    {"kernel", "kernel_quantizer", true},
    {"recurrent kernel", "recurrent_quantizer", true},
    {"depthwise kernel", "depthwise_quantizer", true},
    {"pointwise kernel", "pointwise_quantizer", true},
    {"bias", "bias_quantizer", false},
};

void q_activation(Call& call) {
    call.expect_inputs(1);
    call.variant.qkeras = true;
    if (!call.settings.has("activation")) {
        call.settings.refuse("activation", "it is missing");
    }
    call.set(activation(call, call.operand()));
}

void q_separable_conv1d(Call& call) {
    if (call.settings.text("padding", "valid") == "causal") {
        call.settings.refuse("padding", "QKeras itself cannot run this layer with causal padding");
    }
    plain_rule(call, "SeparableConv1D");
}

void q_conv2d_transpose(Call& call) {
    call.settings.expect_unset("output_padding", "QKeras drops it when it makes the layer");
    plain_rule(call, "Conv2DTranspose");
}

/// A mean of sums: the plain mean times the area, times the quantised reciprocal of the area.
void quantise_mean(Call& call, double area) {
    Operand y = call.results().front().operand;
    const Operand reciprocal = Call::number(static_cast<float>(1 / area));
    if (call.settings.has("average_quantizer")) {
        const Operand factor = quantised_weight(call, "average_quantizer", reciprocal, false);
        y = call.multiply(call.multiply(y, Call::number(area)), factor);
    }
    call.settings.ignore("average_quantizer");
    call.variant.qkeras = true;
    call.set(activation(call, y));
}

void q_average_pooling(Call& call) {
    plain_rule(call, "AveragePooling2D");
    double area = 1;
    for (const std::int64_t extent : call.settings.sizes("pool_size", 2, 2)) {
        area *= static_cast<double>(extent);
    }
    quantise_mean(call, area);
}

void q_global_average_pooling(Call& call) {
    plain_rule(call, "GlobalAveragePooling2D");
    const bool first = call.settings.text("data_format", "channels_last") == "channels_first";
    const Shape& shape = call.operand().sample_shape();
    quantise_mean(call, static_cast<double>(shape[first ? 1 : 0] * shape[first ? 2 : 1]));
}

/// As each call but the first of a loaded model computes it: QKeras takes the integer bits from the
/// stored extremes at the end of a call.
void q_adaptive_activation(Call& call) {
    call.expect_inputs(1);
    Json serialised = call.settings.json("activation");
    if (serialised != "quantized_bits" && serialised != "quantized_relu") {
        call.settings.refuse("activation", "it is neither quantized_bits nor quantized_relu");
    }
    serialised = {{"class_name", serialised}, {"config", Json::object()}};
    auto& config = serialised["config"];
    config["bits"] = call.settings.integer("total_bits");
    const bool is_relu = serialised["class_name"] == "quantized_relu";
    const double slope = call.settings.real("relu_neg_slope", 0);
    const double bound = call.settings.real("relu_upper_bound", 0);
    const bool symmetric = call.settings.flag("symmetric", true);
    if (is_relu) {
        config["is_quantized_clip"] = false;
        config["negative_slope"] = slope;
        if (bound != 0) {
            config["relu_upper_bound"] = bound;
        }
    } else {
        config["alpha"] = 1.0;
        config["symmetric"] = symmetric;
    }
    Quantiser quantiser = read_quantiser(serialised, call.where("activation"));
    // Of training: when the extremes move, and how fast.
    call.settings.ignore({"current_step", "quantization_delay", "ema_freeze_delay", "ema_decay"});
    AdaptiveBits bits;
    bits.symmetric = symmetric;
    bits.keep_negative = !is_relu || slope != 0;
    bits.round = call.settings.flag("po2_rounding", false);
    bits.bits = quantiser.bits;
    const auto weights = named_weights(call);
    const Shape& shape = call.operand().sample_shape();
    const bool each = call.settings.flag("per_channel", false);
    const std::int64_t channels = each && !shape.empty() ? shape.back() : 1;
    const auto lowest = weights.find("ema_min");
    const auto highest = weights.find("ema_max");
    const bool found = lowest != weights.end() && highest != weights.end();
    if (!found || lowest->second.shape != Shape{channels} ||
        highest->second.shape != Shape{channels} ||
        weights.size() != (weights.contains("Variable") ? 3U : 2U)) {
        call.refuse_weights(
            fmt::format("the file has no ema_min and ema_max of {} channels", channels));
    }
    for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
        quantiser.integers.push_back(
            adaptive_integer(bits, lowest->second.values[c], highest->second.values[c]));
    }
    if (channels == 1) {
        quantiser.integer = quantiser.integers.front();
        quantiser.integers.clear();
    }
    call.set(quantised(call, quantiser, call.operand()));
}

constexpr Masking passes = Masking::passes;

const RuleRow rows[] = {
    {"QActivation", &q_activation},
    {"QAdaptiveActivation", &q_adaptive_activation},
    {"QDense", [](Call& c) { plain_rule(c, "Dense"); }, passes},
    {"QConv1D", [](Call& c) { plain_rule(c, "Conv1D"); }},
    {"QConv2D", [](Call& c) { plain_rule(c, "Conv2D"); }},
    {"QConv2DTranspose", &q_conv2d_transpose},
    {"QDepthwiseConv2D", [](Call& c) { plain_rule(c, "DepthwiseConv2D"); }},
    {"QSeparableConv1D", &q_separable_conv1d},
    {"QSeparableConv2D", [](Call& c) { plain_rule(c, "SeparableConv2D"); }},
    {"QConv2DBatchnorm", &folded_convolution},
    {"QDepthwiseConv2DBatchnorm", &folded_depthwise_convolution},
    {"QBatchNormalization", &quantised_batch_normalisation},
    {"QAveragePooling2D", &q_average_pooling},
    {"QGlobalAveragePooling2D", &q_global_average_pooling},
};

}  // namespace

Operand quantised_weight(Call& call, Settings& settings, const std::string& key,
                         const Operand& weight, bool computes) {
    const Json& serialised = settings.json(key);
    if (serialised.is_null()) {
        return weight;
    }
    Quantiser quantiser = read_quantiser(serialised, call.where(key));
    if (computes) {
        compute_alpha(quantiser);
    }
    return quantiser.kind == Quantiser::Kind::function
               ? quantised(call, quantiser, weight)
               : Call::tensor(quantised_constant(quantiser, weight.constant, call.where(key)));
}

Operand quantised_weight(Call& call, const std::string& key, const Operand& weight, bool computes) {
    return quantised_weight(call, call.settings, key, weight, computes);
}

layers::Change quantiser_of(Call& call, Settings& settings, const std::string& key) {
    const Json& serialised = settings.json(key);
    if (serialised.is_null()) {
        return {};
    }
    const Quantiser quantiser = read_quantiser(serialised, call.where(key));
    return [quantiser](Builder& builder, const Operand& x) {
        return quantised(builder, quantiser, x);
    };
}

std::map<std::string, Tensor> named_weights(Call& call) {
    std::map<std::string, Tensor> out;
    while (call.weights().left() > 0) {
        std::string name = call.weights().next_name();
        name = name.substr(name.rfind('/') + 1);  // npos + 1 is 0
        name = name.substr(0, name.find(':'));
        if (!out.emplace(name, *call.weights().next()).second) {
            call.refuse_weights(fmt::format("the file has two weights '{}' of this layer", name));
        }
    }
    return out;
}

void plain_rule(Call& call, const char* class_name) {
    call.variant.qkeras = true;
    // QKeras moves the axes itself where there are no kernels for channels first.
    call.variant.channels_first = true;
    call.variant.weight = [&call](const std::string& role, const Operand& weight) {
        for (const WeightRow& row : weight_rows) {
            if (row.role == role) {
                return quantised_weight(call, row.key, weight, row.computes);
            }
        }
        return weight;
    };
    // Of a layer without bias; and what QKeras keeps for old files and does not use.
    call.settings.ignore({"bias_quantizer", "kernel_range", "bias_range", "depthwise_range"});
    Object plain;
    plain.class_name = class_name;
    find_rule(plain, call.importer().options())->rule(call);
}

std::span<const RuleRow> qkeras_rules() {
    return rows;
}

std::optional<Operand> qkeras_activation(Call& call, const Json& serialised, const Operand& x) {
    if (!names_quantiser(serialised)) {
        return std::nullopt;
    }
    // Two functions have the names of other ones of Keras.
    const Json& name =
        serialised.is_object() && serialised.contains("config") ? serialised["config"] : serialised;
    const bool is_keras = name == "hard_sigmoid" || (name == "hard_tanh" && !call.keras2());
    if (is_keras && !call.variant.qkeras) {
        return std::nullopt;
    }
    return quantised(call, read_quantiser(serialised, call.where("activation")), x);
}

}  // namespace gatewright::keras
