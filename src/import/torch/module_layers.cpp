// PyTorch's layers, each as the operators that its forward calls.

#include <fmt/format.h>

#include <algorithm>

#include "import/torch/module.h"

namespace gatewright::torch {

namespace {

using Arguments = Chain::Arguments;

struct LayerRow {
    std::string_view type;
    void (*add)(Chain& chain, Module& module);
};

void demand_evaluation(const Module& module) {
    if (module.training()) {
        module.refuse("it was saved in training mode, in which its results differ",
                      "Call model.eval() before torch.save.", "training");
    }
}

/// An activation without attributes.
#define GATEWRIGHT_PLAIN(type, target) \
    {type, [](Chain& c, Module& m) { c.add(m, target, "self", {}); }}

void linear(Chain& c, Module& m) {
    m.ignore("in_features");  // as the weights say
    m.ignore("out_features");
    c.add(m, "linear.default", "input",
          {{"weight", Chain::tensor(m, "weight")}, {"bias", Chain::tensor(m, "bias")}});
}

/// Up to torch 0.4, a ReLU was a Threshold whose numbers were 0.
void relu(Chain& c, Module& m) {
    for (const char* name : {"threshold", "value"}) {
        if (m.real(name, 0) != 0) {
            m.refuse("of a ReLU it is 0", "Use a Threshold.", name);
        }
    }
    c.add(m, "relu.default", "self", {});
}

void flatten(Chain& c, Module& m) {
    c.add(m, "flatten.using_ints", "self",
          {{"start_dim", Chain::integer(m.integer("start_dim"))},
           {"end_dim", Chain::integer(m.integer("end_dim"))}});
}

void unflatten(Chain& c, Module& m) {
    if (m.is_text("dim")) {
        m.refuse("it names its axis", "Number the axis.", "dim");
    }
    c.add(m, "unflatten.int", "self",
          {{"dim", Chain::integer(m.integer("dim"))},
           {"sizes", Chain::integers(m.integers("unflattened_size"))}});
}

/// In training mode the operator refuses, save under --monte-carlo.
void dropout(Chain& c, Module& m, const char* target) {
    c.add(m, target, "input",
          {{"p", Chain::number(m.real("p"))}, {"train", Chain::flag(m.training())}});
}

/// One number of the layer, by the operator's name of it.
void with_number(Chain& c, Module& m, const char* target, const char* attribute,
                 const char* argument) {
    c.add(m, target, "self", {{argument, Chain::number(m.real(attribute))}});
}

void hardtanh(Chain& c, Module& m) {
    c.add(m, "hardtanh.default", "self",
          {{"min_val", Chain::number(m.real("min_val"))},
           {"max_val", Chain::number(m.real("max_val"))}});
}

void softplus(Chain& c, Module& m) {
    c.add(m, "softplus.default", "self",
          {{"beta", Chain::number(m.real("beta"))},
           {"threshold", Chain::number(m.real("threshold"))}});
}

void threshold(Chain& c, Module& m) {
    c.add(m, "threshold.default", "self",
          {{"threshold", Chain::number(m.real("threshold"))},
           {"value", Chain::number(m.real("value"))}});
}

void gelu(Chain& c, Module& m) {
    c.add(m, "gelu.default", "self", {{"approximate", Chain::text(m.text("approximate", "none"))}});
}

void prelu(Chain& c, Module& m) {
    m.ignore("num_parameters");
    m.ignore("init");
    c.add(m, "prelu.default", "self", {{"weight", Chain::tensor(m, "weight")}});
}

void rrelu(Chain& c, Module& m) {
    demand_evaluation(m);
    c.add(m, "rrelu.default", "self",
          {{"lower", Chain::number(m.real("lower"))}, {"upper", Chain::number(m.real("upper"))}});
}

void tanhshrink(Chain& c, Module& m) {
    const std::string x = c.last();
    c.add(m, "tanh.default", "self", {});
    c.add(m, "rsub.Tensor", "self", {{"other", Chain::value(x)}});
}

void softmax(Chain& c, Module& m, const char* target, bool negated) {
    if (!m.has("dim")) {
        m.refuse("it does not say its axis", "Give dim.", "dim");
    }
    if (negated) {
        c.add(m, "neg.default", "self", {});
    }
    c.add(m, target, "self", {{"dim", Chain::integer(m.integer("dim"))}});
}

void batch_norm(Chain& c, Module& m) {
    demand_evaluation(m);
    for (const char* name : {"num_features", "momentum", "affine", "track_running_stats"}) {
        m.ignore(name);  // as its tensors say, or of training only
    }
    if (!m.has_tensor("running_mean")) {
        m.refuse("it keeps no statistics, so it would normalise over the batch",
                 "Use track_running_stats=True.", "track_running_stats");
    }
    c.add(m, "batch_norm.default", "input",
          {{"weight", Chain::tensor(m, "weight")},
           {"bias", Chain::tensor(m, "bias")},
           {"running_mean", Chain::tensor(m, "running_mean")},
           {"running_var", Chain::tensor(m, "running_var")},
           {"training", Chain::flag(false)},
           {"eps", Chain::number(m.real("eps"))}});
}

void instance_norm(Chain& c, Module& m) {
    demand_evaluation(m);
    for (const char* name : {"num_features", "momentum", "affine", "track_running_stats"}) {
        m.ignore(name);
    }
    c.add(m, "instance_norm.default", "input",
          {{"weight", Chain::tensor(m, "weight")},
           {"bias", Chain::tensor(m, "bias")},
           {"running_mean", Chain::tensor(m, "running_mean")},
           {"running_var", Chain::tensor(m, "running_var")},
           {"use_input_stats", Chain::flag(!m.has_tensor("running_mean"))},
           {"eps", Chain::number(m.real("eps"))}});
}

void layer_norm(Chain& c, Module& m) {
    m.ignore("elementwise_affine");  // as its tensors say
    c.add(m, "layer_norm.default", "input",
          {{"normalized_shape", Chain::integers(m.integers("normalized_shape"))},
           {"weight", Chain::tensor(m, "weight")},
           {"bias", Chain::tensor(m, "bias")},
           {"eps", Chain::number(m.real("eps"))}});
}

void rms_norm(Chain& c, Module& m) {
    m.ignore("elementwise_affine");
    Arguments arguments = {{"normalized_shape", Chain::integers(m.integers("normalized_shape"))},
                           {"weight", Chain::tensor(m, "weight")}};
    if (m.has("eps")) {
        arguments.emplace_back("eps", Chain::number(m.real("eps")));
    }
    c.add(m, "rms_norm.default", "input", std::move(arguments));
}

void group_norm(Chain& c, Module& m) {
    m.ignore("num_channels");
    m.ignore("affine");
    c.add(m, "group_norm.default", "input",
          {{"num_groups", Chain::integer(m.integer("num_groups"))},
           {"weight", Chain::tensor(m, "weight")},
           {"bias", Chain::tensor(m, "bias")},
           {"eps", Chain::number(m.real("eps"))}});
}

void convolution(Chain& c, Module& m) {
    for (const char* name : {"in_channels", "out_channels", "kernel_size"}) {
        m.ignore(name);  // as the weights say
    }
    const bool transposed = m.flag("transposed", false);
    const std::string rank(1, m.type()[m.type().size() - 2]);
    const std::string mode = m.text("padding_mode", "zeros");
    Argument padding = m.is_text("padding") ? Chain::text(m.text("padding", "valid"))
                                            : Chain::integers(m.integers("padding"));
    if (mode != "zeros") {
        c.add(m, "pad.default", "self",
              {{"pad", Chain::integers(m.integers("_reversed_padding_repeated_twice"))},
               {"mode", Chain::text(mode)}});
        padding = Chain::integers({0});
    }
    m.ignore("_reversed_padding_repeated_twice");
    m.ignore("_padding_repeated_twice");
    const bool named = padding.kind == Argument::Kind::text;
    Arguments arguments = {{"weight", Chain::tensor(m, "weight")},
                           {"bias", Chain::tensor(m, "bias")},
                           {"stride", Chain::integers(m.integers("stride"))},
                           {"padding", std::move(padding)},
                           {"dilation", Chain::integers(m.integers("dilation"))},
                           {"groups", Chain::integer(m.integer("groups"))}};
    if (!transposed) {
        m.ignore("output_padding");
        c.add(m, fmt::format("conv{}d.{}", rank, named ? "padding" : "default"), "input",
              std::move(arguments));
        return;
    }
    arguments.emplace_back("output_padding", Chain::integers(m.integers("output_padding")));
    c.add(m, fmt::format("conv_transpose{}d.{}", rank, rank == "1" ? "default" : "input"), "input",
          std::move(arguments));
}

/// The number of spatial axes that a class name ends with: "MaxPool2d".
char rank_of(const Module& m) {
    return m.type()[m.type().size() - 2];
}

Argument stride(Module& m) {
    return m.has("stride") ? Chain::integers(m.integers("stride")) : Argument{};
}

void max_pool(Chain& c, Module& m) {
    if (m.flag("return_indices", false)) {
        m.refuse("it gives positions too", "Use return_indices=False.", "return_indices");
    }
    c.add(m, fmt::format("max_pool{}d.default", rank_of(m)), "self",
          {{"kernel_size", Chain::integers(m.integers("kernel_size"))},
           {"stride", stride(m)},
           {"padding", Chain::integers(m.integers("padding"))},
           {"dilation", Chain::integers(m.integers("dilation"))},
           {"ceil_mode", Chain::flag(m.flag("ceil_mode", false))}});
}

void average_pool(Chain& c, Module& m) {
    Arguments arguments = {{"kernel_size", Chain::integers(m.integers("kernel_size"))},
                           {"stride", stride(m)},
                           {"padding", Chain::integers(m.integers("padding"))},
                           {"ceil_mode", Chain::flag(m.flag("ceil_mode", false))},
                           {"count_include_pad", Chain::flag(m.flag("count_include_pad", true))}};
    if (m.has("divisor_override")) {
        arguments.emplace_back("divisor_override", Chain::integer(m.integer("divisor_override")));
    }
    c.add(m, fmt::format("avg_pool{}d.default", rank_of(m)), "self", std::move(arguments));
}

void adaptive_pool(Chain& c, Module& m, const char* kind) {
    if (m.flag("return_indices", false)) {
        m.refuse("it gives positions too", "Use return_indices=False.", "return_indices");
    }
    c.add(m, fmt::format("adaptive_{}_pool{}d.default", kind, rank_of(m)), "self",
          {{"output_size", Chain::integers(m.integers("output_size"))}});
}

void pad(Chain& c, Module& m, const char* mode) {
    Arguments arguments = {{"pad", Chain::integers(m.integers("padding"))},
                           {"mode", Chain::text(mode)}};
    if (std::string_view(mode) == "constant") {
        arguments.emplace_back("value", Chain::number(m.real("value", 0)));
    }
    c.add(m, "pad.default", "self", std::move(arguments));
}

void upsample(Chain& c, Module& m) {
    m.ignore("name");
    if (m.flag("recompute_scale_factor", false)) {
        m.refuse("it computes its scale anew", "Give the size.", "recompute_scale_factor");
    }
    const std::string mode = m.text("mode", "nearest");
    const std::pair<const char*, const char*> modes[] = {
        {"nearest", "upsample_nearest?d"}, {"nearest-exact", "_upsample_nearest_exact?d"},
        {"linear", "upsample_linear1d"},   {"bilinear", "upsample_bilinear2d"},
        {"bicubic", "upsample_bicubic2d"}, {"trilinear", "upsample_trilinear3d"}};
    std::string target;
    for (const auto& [name, op] : modes) {
        target = mode == name ? op : target;
    }
    if (target.empty()) {
        m.refuse(fmt::format("there is no mode '{}'", mode), {}, "mode");
    }
    Arguments arguments;
    std::size_t rank = 0;
    if (m.has("size")) {
        const auto size = m.integers("size");
        rank = size.size();
        arguments.emplace_back("output_size", Chain::integers(size));
        m.ignore("scale_factor");
    } else {
        const auto scales = m.reals("scale_factor");
        rank = scales.size();
        arguments.emplace_back("scale_factors", Chain::reals(scales));
    }
    const std::size_t place = target.find('?');
    if (place != std::string::npos) {
        target[place] = static_cast<char>('0' + rank);
    }
    const std::size_t digit = target.find_last_of("123");
    if (digit == std::string::npos || static_cast<std::size_t>(target[digit] - '0') != rank ||
        rank < (place == std::string::npos ? 1U : 2U)) {
        m.refuse("it does not give a size or scale for each axis",
                 "Give one number for each spatial axis.", "scale_factor");
    }
    if (place == std::string::npos) {
        arguments.emplace_back("align_corners", Chain::flag(m.flag("align_corners", false)));
    } else {
        m.ignore("align_corners");  // of smooth kinds only
    }
    c.add(m, target + ".vec", "input", std::move(arguments));
}

void unfold(Chain& c, Module& m) {
    c.add(m, "im2col.default", "self",
          {{"kernel_size", Chain::integers(m.integers("kernel_size"))},
           {"dilation", Chain::integers(m.integers("dilation"))},
           {"padding", Chain::integers(m.integers("padding"))},
           {"stride", Chain::integers(m.integers("stride"))}});
}

void fold(Chain& c, Module& m) {
    c.add(m, "col2im.default", "self",
          {{"output_size", Chain::integers(m.integers("output_size"))},
           {"kernel_size", Chain::integers(m.integers("kernel_size"))},
           {"dilation", Chain::integers(m.integers("dilation"))},
           {"padding", Chain::integers(m.integers("padding"))},
           {"stride", Chain::integers(m.integers("stride"))}});
}

constexpr LayerRow rows[] = {
    {"Linear", &linear},
    {"NonDynamicallyQuantizableLinear", &linear},
    {"Flatten", &flatten},
    {"Unflatten", &unflatten},
    {"Dropout", [](Chain& c, Module& m) { dropout(c, m, "dropout.default"); }},
    {"Dropout1d", [](Chain& c, Module& m) { dropout(c, m, "dropout1d.default"); }},
    {"Dropout2d", [](Chain& c, Module& m) { dropout(c, m, "feature_dropout.default"); }},
    {"Dropout3d", [](Chain& c, Module& m) { dropout(c, m, "dropout3d.default"); }},
    {"AlphaDropout", [](Chain& c, Module& m) { dropout(c, m, "alpha_dropout.default"); }},
    {"FeatureAlphaDropout",
     [](Chain& c, Module& m) { dropout(c, m, "feature_alpha_dropout.default"); }},
    GATEWRIGHT_PLAIN("Identity", "alias.default"),
    {"ReLU", &relu},
    GATEWRIGHT_PLAIN("Sigmoid", "sigmoid.default"),
    GATEWRIGHT_PLAIN("Tanh", "tanh.default"),
    GATEWRIGHT_PLAIN("SELU", "selu.default"),
    GATEWRIGHT_PLAIN("SiLU", "silu.default"),
    GATEWRIGHT_PLAIN("Mish", "mish.default"),
    GATEWRIGHT_PLAIN("LogSigmoid", "log_sigmoid.default"),
    GATEWRIGHT_PLAIN("Softsign", "softsign.default"),
    GATEWRIGHT_PLAIN("Hardsigmoid", "hardsigmoid.default"),
    GATEWRIGHT_PLAIN("Hardswish", "hardswish.default"),
    {"Hardtanh", &hardtanh},
    {"ReLU6", &hardtanh},
    {"LeakyReLU",
     [](Chain& c, Module& m) {
         with_number(c, m, "leaky_relu.default", "negative_slope", "negative_slope");
     }},
    {"ELU", [](Chain& c, Module& m) { with_number(c, m, "elu.default", "alpha", "alpha"); }},
    {"CELU", [](Chain& c, Module& m) { with_number(c, m, "celu.default", "alpha", "alpha"); }},
    {"Hardshrink",
     [](Chain& c, Module& m) { with_number(c, m, "hardshrink.default", "lambd", "lambd"); }},
    {"Softshrink",
     [](Chain& c, Module& m) { with_number(c, m, "softshrink.default", "lambd", "lambd"); }},
    {"Tanhshrink", &tanhshrink},
    {"Softplus", &softplus},
    {"Threshold", &threshold},
    {"GELU", &gelu},
    {"PReLU", &prelu},
    {"RReLU", &rrelu},
    {"GLU",
     [](Chain& c, Module& m) {
         c.add(m, "glu.default", "self", {{"dim", Chain::integer(m.integer("dim"))}});
     }},
    {"Softmax", [](Chain& c, Module& m) { softmax(c, m, "softmax.int", false); }},
    {"Softmin", [](Chain& c, Module& m) { softmax(c, m, "softmax.int", true); }},
    {"LogSoftmax", [](Chain& c, Module& m) { softmax(c, m, "log_softmax.int", false); }},
    {"Softmax2d",
     [](Chain& c, Module& m) { c.add(m, "softmax.int", "self", {{"dim", Chain::integer(-3)}}); }},
    {"BatchNorm1d", &batch_norm},
    {"BatchNorm2d", &batch_norm},
    {"BatchNorm3d", &batch_norm},
    {"SyncBatchNorm", &batch_norm},
    {"InstanceNorm1d", &instance_norm},
    {"InstanceNorm2d", &instance_norm},
    {"InstanceNorm3d", &instance_norm},
    {"LayerNorm", &layer_norm},
    {"RMSNorm", &rms_norm},
    {"GroupNorm", &group_norm},
    {"Conv1d", &convolution},
    {"Conv2d", &convolution},
    {"Conv3d", &convolution},
    {"ConvTranspose1d", &convolution},
    {"ConvTranspose2d", &convolution},
    {"ConvTranspose3d", &convolution},
    {"MaxPool1d", &max_pool},
    {"MaxPool2d", &max_pool},
    {"MaxPool3d", &max_pool},
    {"AvgPool1d", &average_pool},
    {"AvgPool2d", &average_pool},
    {"AvgPool3d", &average_pool},
    {"AdaptiveAvgPool1d", [](Chain& c, Module& m) { adaptive_pool(c, m, "avg"); }},
    {"AdaptiveAvgPool2d", [](Chain& c, Module& m) { adaptive_pool(c, m, "avg"); }},
    {"AdaptiveAvgPool3d", [](Chain& c, Module& m) { adaptive_pool(c, m, "avg"); }},
    {"AdaptiveMaxPool1d", [](Chain& c, Module& m) { adaptive_pool(c, m, "max"); }},
    {"AdaptiveMaxPool2d", [](Chain& c, Module& m) { adaptive_pool(c, m, "max"); }},
    {"AdaptiveMaxPool3d", [](Chain& c, Module& m) { adaptive_pool(c, m, "max"); }},
    {"ZeroPad1d", [](Chain& c, Module& m) { pad(c, m, "constant"); }},
    {"ZeroPad2d", [](Chain& c, Module& m) { pad(c, m, "constant"); }},
    {"ZeroPad3d", [](Chain& c, Module& m) { pad(c, m, "constant"); }},
    {"ConstantPad1d", [](Chain& c, Module& m) { pad(c, m, "constant"); }},
    {"ConstantPad2d", [](Chain& c, Module& m) { pad(c, m, "constant"); }},
    {"ConstantPad3d", [](Chain& c, Module& m) { pad(c, m, "constant"); }},
    {"ReflectionPad1d", [](Chain& c, Module& m) { pad(c, m, "reflect"); }},
    {"ReflectionPad2d", [](Chain& c, Module& m) { pad(c, m, "reflect"); }},
    {"ReflectionPad3d", [](Chain& c, Module& m) { pad(c, m, "reflect"); }},
    {"ReplicationPad1d", [](Chain& c, Module& m) { pad(c, m, "replicate"); }},
    {"ReplicationPad2d", [](Chain& c, Module& m) { pad(c, m, "replicate"); }},
    {"ReplicationPad3d", [](Chain& c, Module& m) { pad(c, m, "replicate"); }},
    {"CircularPad1d", [](Chain& c, Module& m) { pad(c, m, "circular"); }},
    {"CircularPad2d", [](Chain& c, Module& m) { pad(c, m, "circular"); }},
    {"CircularPad3d", [](Chain& c, Module& m) { pad(c, m, "circular"); }},
    {"Upsample", &upsample},
    {"UpsamplingNearest2d", &upsample},
    {"UpsamplingBilinear2d", &upsample},
    {"PixelShuffle",
     [](Chain& c, Module& m) {
         c.add(m, "pixel_shuffle.default", "self",
               {{"upscale_factor", Chain::integer(m.integer("upscale_factor"))}});
     }},
    {"PixelUnshuffle",
     [](Chain& c, Module& m) {
         c.add(m, "pixel_unshuffle.default", "self",
               {{"downscale_factor", Chain::integer(m.integer("downscale_factor"))}});
     }},
    {"ChannelShuffle",
     [](Chain& c, Module& m) {
         c.add(m, "channel_shuffle.default", "self",
               {{"groups", Chain::integer(m.integer("groups"))}});
     }},
    {"Unfold", &unfold},
    {"Fold", &fold},
};

#undef GATEWRIGHT_PLAIN

}  // namespace

bool add_layer(Chain& chain, Module& module) {
    for (const LayerRow& row : rows) {
        if (row.type == module.type()) {
            row.add(chain, module);
            return true;
        }
    }
    return false;
}

}  // namespace gatewright::torch
