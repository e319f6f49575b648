// Normalisations.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "import/layers/normalisation.h"
#include "import/layers/sample.h"
#include "import/torch/rules.h"
#include "import/torch/samples.h"
#include "operators/layers.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

/// A parameter with one number a channel, shaped to broadcast along an axis of x.
Operand along(Call& call, const Operand& parameter, const Operand& x, std::int64_t sample_axis) {
    Shape shape(x.sample_shape().size(), 1);
    shape[static_cast<std::size_t>(sample_axis)] = element_count(parameter.sample_shape());
    return call.reshaped(parameter, shape, -1);
}

layers::Affine affine_along(Call& call, const Operand& x, std::int64_t sample_axis) {
    layers::Affine out;
    out.gamma = call.optional("weight");
    out.beta = call.optional("bias");
    if (out.gamma) {
        out.gamma = along(call, *out.gamma, x, sample_axis);
    }
    if (out.beta) {
        out.beta = along(call, *out.beta, x, sample_axis);
    }
    return out;
}

/// The last axes, as many as a normalised shape has.
Shape last_axes(Call& call, const Operand& x) {
    const Shape normalised = call.integers("normalized_shape");
    call.demand(!normalised.empty(), "normalized_shape", "it names no axes");
    const Shape& shape = x.sample_shape();
    const std::size_t count = normalised.size();
    if (x.batch_axis >= 0 && static_cast<std::size_t>(x.rank() - x.batch_axis) <= count) {
        throw BatchMixed();
    }
    const bool fits =
        count <= shape.size() && std::equal(normalised.begin(), normalised.end(),
                                            shape.end() - static_cast<std::ptrdiff_t>(count));
    call.demand(
        fits, "normalized_shape",
        fmt::format("{} are not the last extents of {}", to_string(normalised), to_string(shape)));
    Shape axes(count);
    std::iota(axes.begin(), axes.end(), static_cast<std::int64_t>(shape.size() - count));
    return axes;
}

void layer_norm(Call& call) {
    const Operand x = call.operand("input");
    const Shape axes = last_axes(call, x);
    const double epsilon = call.real("eps", 1e-5);
    const layers::Affine affine{call.optional("weight"), call.optional("bias")};
    call.set(layers::batched_as(
        layers::layer_norm(call, layers::in_front(x), axes, epsilon, affine), x));
}

void rms_norm(Call& call) {
    const Operand x = call.operand("input");
    const Shape axes = last_axes(call, x);
    const double epsilon =
        call.real("eps", static_cast<double>(std::numeric_limits<float>::epsilon()));
    const layers::Affine affine{call.optional("weight"), std::nullopt};
    call.set(
        layers::batched_as(layers::rms_norm(call, layers::in_front(x), axes, epsilon, affine), x));
}

/// Axis 1 of the program's shape, the channels, and the axes behind it.
std::pair<std::int64_t, Shape> channels_of(Call& call, const Operand& x) {
    if (x.rank() < 2 || x.batch_axis > 0) {
        throw BatchMixed();
    }
    const std::int64_t axis = call.axis(x, 1);
    Shape others;
    for (auto i = axis + 1; i < static_cast<std::int64_t>(x.sample_shape().size()); ++i) {
        others.push_back(i);
    }
    return {axis, others};
}

void group_norm(Call& call, const char* groups_name) {
    const Operand x = call.operand("input");
    const auto [axis, others] = channels_of(call, x);
    const std::int64_t groups = call.integer(groups_name);
    for (const char* name : {"N", "C", "HxW"}) {
        call.ignore(name);  // extents of the input, once more
    }
    const double epsilon = call.real("eps", 1e-5);
    call.set(
        layers::group_norm(call, x, axis, others, groups, epsilon, affine_along(call, x, axis)));
}

/// Instance normalisation is decomposed to a batch normalisation whose channels are those of all
/// samples side by side: [1, batch * channels, ...]. Its operand has the shape [1, batch,
/// channels, ...]: with the batch in front, and the axis of 1 gone, each sample has its own.
std::optional<Operand> samples_in_channels(Call& call, const Operand& x) {
    const std::optional<int> joined = call.joined("input");
    if (!joined) {
        return std::nullopt;
    }
    const Shape& shape = x.sample_shape();
    if (*joined != 1 || x.batch_axis != 1 || shape.size() < 2 || shape.front() != 1) {
        throw BatchMixed();
    }
    return call.reshaped(x, Shape(shape.begin() + 1, shape.end()), 0);
}

void set_samples_in_channels(Call& call, const Operand& y) {
    Shape shape = y.sample_shape();
    shape.insert(shape.begin(), 1);
    call.set(call.reshaped(y, shape, 1));
    call.join(1);
}

/// A parameter with one number for each channel of each sample, the same for all samples.
Tensor of_one_sample(Call& call, const char* name, std::int64_t channels) {
    Tensor parameter = call.constant(name);
    if (!call.joined(name)) {
        parameter = without_joined_batch(call, parameter, 0, channels);
    }
    parameter.shape = {element_count(parameter.shape)};
    if (parameter.shape.front() != channels) {
        call.refuse("there is not one for each channel", {}, name);
    }
    return parameter;
}

/// With the statistics that the model was trained with.
void with_statistics(Call& call, const Operand& given) {
    const std::optional<Operand> apart = samples_in_channels(call, given);
    const Operand& x = apart ? *apart : given;
    const auto [axis, others] = channels_of(call, x);
    const std::int64_t channels = x.sample_shape()[static_cast<std::size_t>(axis)];
    const auto statistic = [&](const char* name) {
        return apart ? of_one_sample(call, name, channels) : call.constant(name);
    };
    BatchNormFields fields;
    fields.epsilon = call.real("eps", 1e-5);
    fields.axis = axis;
    const Tensor mean = statistic("running_mean");
    const Tensor variance = statistic("running_var");
    const auto parameter = [&](const char* name, double otherwise) {
        return call.has(name) ? Call::tensor(statistic(name))
                              : Call::tensor(Tensor::filled(mean.shape, otherwise));
    };
    const Operand y = call.emit(batch_norm_operator, Attributes::of(fields),
                                {x, parameter("weight", 1), parameter("bias", 0),
                                 Call::tensor(mean), Call::tensor(variance)},
                                x.batch_axis)
                          .front();
    if (apart) {
        set_samples_in_channels(call, y);
    } else {
        call.set(y);
    }
}

/// With the statistics of what comes in, over the whole batch.
void with_batch_statistics(Call& call, const Operand& x) {
    if (const std::optional<Operand> apart = samples_in_channels(call, x)) {
        const auto [axis, others] = channels_of(call, *apart);
        const std::int64_t channels = apart->sample_shape()[static_cast<std::size_t>(axis)];
        layers::Affine affine;
        for (auto& [name, parameter] :
             {std::pair<const char*, std::optional<Operand>*>("weight", &affine.gamma),
              {"bias", &affine.beta}}) {
            if (call.has(name)) {
                *parameter =
                    along(call, Call::tensor(of_one_sample(call, name, channels)), *apart, axis);
            }
        }
        set_samples_in_channels(call, layers::group_norm(call, *apart, axis, others, channels,
                                                         call.real("eps", 1e-5), affine));
        return;
    }
    if (x.batch_axis >= 0) {
        throw BatchMixed();
    }
    const auto [axis, others] = channels_of(call, x);
    Shape axes = others;
    axes.insert(axes.begin(), 0);
    const double epsilon = call.real("eps", 1e-5);
    const layers::Standardised y = layers::standardised(call, x, axes, epsilon);
    call.set(layers::scaled(call, y.y, affine_along(call, x, axis)));
}

void batch_norm(Call& call) {
    const Operand x = call.operand("input");
    call.ignore("momentum");  // how fast training changes the statistics
    const bool training = call.flag("training", false);
    const bool keeps = call.has("running_mean");
    if (!training) {
        call.demand(keeps && call.has("running_var"), "running_mean", "it is missing");
        with_statistics(call, x);
        return;
    }
    call.demand(!keeps, "training",
                "it normalises by the batch and changes its statistics, as in training",
                "Export the model in evaluation mode (model.eval()).");
    with_batch_statistics(call, x);
}

void no_training(Call& call) {
    const Operand x = call.operand("input");
    call.ignore("momentum");
    with_statistics(call, x);
}

void no_stats(Call& call) {
    const Operand x = call.operand("input");
    call.ignore("momentum");
    call.demand(call.flag("training", true), "training", "it has no statistics to use");
    with_batch_statistics(call, x);
}

void instance_norm(Call& call) {
    const Operand x = call.operand("input");
    call.ignore("momentum");
    if (!call.flag("use_input_stats", true)) {
        with_statistics(call, x);
        return;
    }
    if (call.has("running_mean") || call.has("running_var")) {
        call.refuse("it changes its statistics at every call",
                    "Export the model in evaluation mode (model.eval()).", "use_input_stats");
    }
    const auto [axis, others] = channels_of(call, x);
    call.demand(!others.empty(), "input", "it has no axis to normalise over");
    const double epsilon = call.real("eps", 1e-5);
    call.set(layers::group_norm(call, x, axis, others,
                                x.sample_shape()[static_cast<std::size_t>(axis)], epsilon,
                                affine_along(call, x, axis)));
}

const RuleRow rows[] = {
    {"aten.layer_norm", "default", &layer_norm, false, Joined::stays},
    {"aten.native_layer_norm", "default", &layer_norm, false, Joined::stays},
    {"aten.rms_norm", "default", &rms_norm},
    {"aten._fused_rms_norm", "default", &rms_norm},
    {"aten.group_norm", "default", [](Call& c) { group_norm(c, "num_groups"); }},
    {"aten.native_group_norm", "default", [](Call& c) { group_norm(c, "group"); }},
    {"aten.batch_norm", "default", &batch_norm},
    {"aten._native_batch_norm_legit_no_training", "default", &no_training, false, Joined::known},
    {"aten._native_batch_norm_legit", "no_stats", &no_stats, false, Joined::known},
    {"aten.instance_norm", "default", &instance_norm},
};

}  // namespace

std::span<const RuleRow> norm_rules() {
    return rows;
}

}  // namespace gatewright::torch
