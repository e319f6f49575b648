#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "import/keras/rules.h"
#include "import/layers/normalisation.h"
#include "operators/layers.h"

namespace gatewright::keras {

namespace {

constexpr double keras_epsilon = 1e-7;  ///< keras.config.epsilon()

/// The sample's axes of a key that holds one axis or a list; sorted, each once.
Shape axes_of(Call& call, const char* key, std::int64_t otherwise) {
    Shape out;
    for (const std::int64_t axis :
         call.settings.has(key) ? call.settings.integers(key) : Shape{otherwise}) {
        out.push_back(call.axis(call.operand(), axis));
    }
    call.settings.ignore(key);
    std::sort(out.begin(), out.end());
    if (std::adjacent_find(out.begin(), out.end()) != out.end()) {
        call.settings.refuse(key, "it names one axis twice");
    }
    return out;
}

Shape extents_of(Call& call, const Shape& axes) {
    Shape out;
    for (const std::int64_t axis : axes) {
        out.push_back(call.operand().sample_shape()[static_cast<std::size_t>(axis)]);
    }
    return out;
}

/// A parameter for some axes, as it broadcasts to the input.
Operand along(Call& call, const Operand& parameter, const Shape& axes) {
    Shape shape(call.operand().sample_shape().size(), 1);
    for (std::size_t i = 0; i < axes.size(); ++i) {
        shape[static_cast<std::size_t>(axes[i])] = parameter.sample_shape()[i];
    }
    return call.reshaped(parameter, shape, -1);
}

void batch_normalization(Call& call) {
    call.expect_inputs(1);
    call.argument("mask");  // chooses the steps of training's statistics only
    // Momentum moves the statistics in training; the next two say where they are gathered; fused is
    // another way to the same numbers.
    call.settings.ignore({"momentum", "synchronized", "virtual_batch_size", "fused"});
    call.settings.ignore({"renorm_clipping", "renorm_momentum"});
    call.settings.expect_unset("renorm", "renormalisation keeps other weights");
    call.settings.expect_unset("adjustment", "it scales by code of the user's own");
    // A number for the axis, or a list of one.
    const Shape axes = axes_of(call, "axis", -1);
    if (axes.size() != 1) {
        call.settings.refuse("axis", "only one axis is supported");
    }
    const Shape shape = extents_of(call, axes);
    operators::BatchNormFields fields;
    fields.axis = axes.front();
    fields.epsilon = call.settings.real("epsilon", 1e-3);
    const bool scale = call.settings.flag("scale", true);
    const bool center = call.settings.flag("center", true);
    std::optional<Operand> gamma;
    std::optional<Operand> beta;
    if (scale) {
        gamma = call.weight("gamma", shape);
    }
    if (center) {
        beta = call.weight("beta", shape);
    }
    const Operand mean = call.weight("moving mean", shape);
    const Operand variance = call.weight("moving variance", shape);
    gamma = gamma ? gamma : Call::tensor(Tensor::filled(shape, 1));
    beta = beta ? beta : Call::tensor(Tensor::filled(shape, 0));
    const Operand& x = call.operand();
    call.set(call.emit(operators::batch_norm_operator, Attributes::of(fields),
                       {x, *gamma, *beta, mean, variance}, x.batch_axis)
                 .front());
}

layers::Affine affine_weights(Call& call, const Shape& axes) {
    layers::Affine affine;
    const Shape shape = extents_of(call, axes);
    if (call.settings.flag("scale", true)) {
        affine.gamma = along(call, call.weight("gamma", shape), axes);
    }
    if (call.settings.flag("center", true)) {
        affine.beta = along(call, call.weight("beta", shape), axes);
    }
    return affine;
}

void layer_normalization(Call& call) {
    call.expect_inputs(1);
    const Shape axes = axes_of(call, "axis", -1);
    call.settings.expect_unset("rms_scaling",
                               "scaling by the variance alone was withdrawn from Keras");
    const double epsilon = call.settings.real("epsilon", 1e-3);
    const layers::Affine affine = affine_weights(call, axes);
    call.set(layers::layer_norm(call, call.operand(), axes, epsilon, affine));
}

void group_normalization(Call& call) {
    call.expect_inputs(1);
    const Shape axes = axes_of(call, "axis", -1);
    if (axes.size() != 1) {
        call.settings.refuse("axis", "only one axis is supported");
    }
    const std::int64_t channels = extents_of(call, axes).front();
    std::int64_t groups = call.settings.integer("groups", 32);
    groups = groups == -1 ? channels : groups;
    if (groups < 1 || channels % groups != 0) {
        call.settings.refuse("groups",
                             fmt::format("{} channels do not make {} groups", channels, groups));
    }
    const double epsilon = call.settings.real("epsilon", 1e-3);
    const layers::Affine affine = affine_weights(call, axes);
    Shape others;
    for (std::size_t i = 0; i < call.operand().sample_shape().size(); ++i) {
        if (static_cast<std::int64_t>(i) != axes.front()) {
            others.push_back(static_cast<std::int64_t>(i));
        }
    }
    call.set(
        layers::group_norm(call, call.operand(), axes.front(), others, groups, epsilon, affine));
}

void unit_normalization(Call& call) {
    call.expect_inputs(1);
    const Shape axes = axes_of(call, "axis", -1);
    call.set(layers::lp_normalised(
        call, call.operand(), 2, axes,
        call.keras2() ? layers::NormFloor::largest_squared : layers::NormFloor::largest, 1e-12));
}

void rms_normalization(Call& call) {
    call.expect_inputs(1);
    const Shape axes = axes_of(call, "axis", -1);
    const double epsilon = call.settings.real("epsilon", 1e-6);
    // The scale broadcasts from the last axis on, wherever its axes are.
    layers::Affine affine;
    affine.gamma = call.weight("scale", extents_of(call, axes));
    const Shape& shape = call.operand().sample_shape();
    const Shape& scale = affine.gamma->sample_shape();
    for (std::size_t i = 0; i < scale.size(); ++i) {
        const std::int64_t extent = shape[shape.size() - scale.size() + i];
        if (scale[i] != extent && scale[i] != 1) {
            call.settings.refuse("axis", "its scale does not broadcast to the last axes");
        }
    }
    call.set(layers::rms_norm(call, call.operand(), axes, epsilon, affine));
}

/// A mean or variance of a Normalization layer as it broadcasts to the input: from the file's
/// weights, or from the configuration.
Operand statistic(Call& call, const char* key, const Shape& axes) {
    if (!call.settings.has(key)) {
        return along(call, call.weight(key, extents_of(call, axes)), axes);
    }
    // Nested lists: leading extents of 1 come from the shape that the layer gave it.
    const Json* value = &call.settings.json(key);
    while (value->is_array() && value->size() == 1 && value->front().is_array()) {
        value = &value->front();
    }
    Tensor tensor;
    std::function<void(const Json&, std::size_t)> gather = [&](const Json& part,
                                                               std::size_t depth) {
        if (!part.is_array()) {
            const auto number = number_of(part);
            if (!number || depth != tensor.shape.size()) {
                call.settings.refuse(key, "it is no array of numbers");
            }
            tensor.values.push_back(*number);
            return;
        }
        if (depth >= tensor.shape.size() ||
            tensor.shape[depth] != static_cast<std::int64_t>(part.size())) {
            call.settings.refuse(key, "it is no array of numbers");
        }
        for (const Json& inner : part) {
            gather(inner, depth + 1);
        }
    };
    for (const Json* part = value; part->is_array() && !part->empty(); part = &part->front()) {
        tensor.shape.push_back(static_cast<std::int64_t>(part->size()));
    }
    gather(*value, 0);
    for (double& number : tensor.values) {
        number = static_cast<double>(static_cast<float>(number));
    }
    const Shape extents = extents_of(call, axes);
    if (tensor.shape.size() > extents.size() && tensor.values.size() != 1) {
        call.settings.refuse(key, "it has more axes than the layer keeps");
    }
    if (tensor.values.size() == 1) {
        return Call::number(tensor.values.front());
    }
    // It stands for the last of the axes that the layer keeps.
    const Shape last(axes.end() - static_cast<std::ptrdiff_t>(tensor.shape.size()), axes.end());
    for (std::size_t i = 0; i < last.size(); ++i) {
        const std::int64_t extent =
            call.operand().sample_shape()[static_cast<std::size_t>(last[i])];
        if (tensor.shape[i] != extent && tensor.shape[i] != 1) {
            call.settings.refuse(
                key, fmt::format("it has {} numbers for {} positions", tensor.shape[i], extent));
        }
    }
    return along(call, Call::tensor(std::move(tensor)), last);
}

void normalization(Call& call) {
    call.expect_inputs(1);
    Shape axes;
    if (call.settings.has("axis") || !call.object().config.contains("axis")) {
        axes = call.settings.has("axis") && call.object().config["axis"] == Json::array()
                   ? Shape()
                   : axes_of(call, "axis", -1);
    }
    call.settings.ignore("axis");  // null: one mean for all
    const bool given = call.settings.has("mean");
    const Operand mean = statistic(call, "mean", axes);
    const Operand variance = statistic(call, "variance", axes);
    call.settings.ignore({"mean", "variance"});
    if (!given) {
        call.weight("count", {});  // of the samples that gave mean and variance
    }
    Operand deviation = variance;
    for (double& value : deviation.constant.values) {
        if (value < 0) {
            call.refuse_weights("its variance is negative");
        }
        value = std::max(std::sqrt(value), keras_epsilon);
    }
    const Operand& x = call.operand();
    if (call.settings.flag("invert", false)) {
        call.set(call.add(mean, call.multiply(x, deviation)));
    } else {
        call.set(call.divide(call.subtract(x, mean), deviation));
    }
}

/// Of keras.applications: x times a number for each channel.
void layer_scale(Call& call) {
    call.expect_inputs(1);
    const Operand& x = call.operand();
    const std::int64_t channels = call.settings.integer("projection_dim");
    call.settings.ignore("init_values");  // the weight before training
    if (x.sample_shape().empty() || (channels != 1 && channels != x.sample_shape().back())) {
        call.settings.refuse("projection_dim", "the input has another number of channels");
    }
    call.set(call.multiply(x, call.weight("gamma", {channels})));
}

const RuleRow rows[] = {
    {"LayerScale", &layer_scale},
    {"BatchNormalization", &batch_normalization, Masking::passes},
    {"LayerNormalization", &layer_normalization, Masking::passes},
    {"GroupNormalization", &group_normalization, Masking::passes},
    {"UnitNormalization", &unit_normalization, Masking::passes},
    {"RMSNormalization", &rms_normalization},
    {"Normalization", &normalization, Masking::passes},
};

}  // namespace

std::span<const RuleRow> norm_rules() {
    return rows;
}

}  // namespace gatewright::keras
