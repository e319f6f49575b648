#include "import/layers/normalisation.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/layers/sample.h"
#include "import/onnx/rules.h"
#include "operators/layers.h"

namespace gatewright::onnx {

namespace {

using layers::Affine;

double epsilon_of(Call& call) {
    return call.real("epsilon", static_cast<double>(1e-5F));
}

/// A parameter that broadcasts to x in the file's shapes.
Operand parameter(Call& call, std::size_t input, const Operand& x) {
    Operand p = call.operand(input);
    if (p.is_constant) {
        p.constant = call.without_batch(p.constant, x);
        return p;
    }
    if (p.batch_axis >= 0 && (p.rank() != x.rank() || p.batch_axis != x.batch_axis)) {
        throw BatchMixed();
    }
    return layers::in_front(p);
}

/// The axes of a sample from one of the file's on, none of which is the batch.
Shape axes_from(Call& call, const Operand& x, std::int64_t file_axis) {
    const std::int64_t first = call.normalised(file_axis, x.rank());
    Shape axes;
    for (std::int64_t axis = first; axis < x.rank(); ++axis) {
        axes.push_back(call.axis(x, axis));
    }
    return axes;
}

void check_stash_type(Call& call) {
    const auto type = static_cast<ElementType>(call.integer("stash_type", 1));
    if (type != ElementType::float32 && type != ElementType::float64) {
        call.refuse(fmt::format("it computes in {}", to_string(type)), "Compute in float32.",
                    "stash_type");
    }
}

void layer_normalization(Call& call) {
    const Operand& x = call.operand(0);
    const Shape axes = axes_from(call, x, call.integer("axis", -1));
    check_stash_type(call);
    Affine affine{parameter(call, 1, x), {}};
    if (call.has(2)) {
        affine.beta = parameter(call, 2, x);
    }
    const layers::Standardised s = layers::standardised(call, x, axes, epsilon_of(call));
    call.set(layers::scaled(call, s.y, affine), 0);
    call.set(s.mean, 1);
    call.set(s.inverse_deviation, 2);
}

void rms_normalization(Call& call) {
    const Operand& x = call.operand(0);
    const Shape axes = axes_from(call, x, call.integer("axis", -1));
    check_stash_type(call);
    call.set(layers::rms_norm(call, x, axes, epsilon_of(call), {parameter(call, 1, x), {}}));
}

/// A vector, one element a channel of x[channels, ...].
Operand per_channel(Call& call, std::size_t input, const Operand& x, std::int64_t repeated) {
    const Tensor& t = call.constant(input, "parameter");
    const std::int64_t channels = x.sample_shape().front();
    if (t.shape.size() != 1 || t.shape[0] * repeated != channels) {
        call.refuse(fmt::format("a parameter of shape {} does not fit {} channels",
                                to_string(t.shape), channels));
    }
    Tensor out = Tensor::filled(Shape(x.sample_shape().size(), 1), 0);
    out.shape[0] = channels;
    out.values.clear();
    for (const double value : t.values) {
        out.values.insert(out.values.end(), static_cast<std::size_t>(repeated), value);
    }
    return Call::tensor(std::move(out));
}

void group_normalization(Call& call, bool each_channel) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const Shape& shape = x.sample_shape();
    if (shape.empty()) {
        call.refuse("its input has no channels");
    }
    const std::int64_t groups = each_channel ? shape[0] : call.integer("num_groups", 0);
    if (!each_channel) {
        check_stash_type(call);
    }
    if (groups < 1 || shape[0] % groups != 0) {
        call.refuse(fmt::format("{} channels do not make {} groups", shape[0], groups), {},
                    "num_groups");
    }
    Shape others(shape.size() - 1);
    std::iota(others.begin(), others.end(), std::int64_t{1});
    // Before opset 21 the parameters are one for each group.
    const std::int64_t repeated =
        !each_channel && call.opset() < 21 ? shape[0] / groups : std::int64_t{1};
    call.ignore("consumed_inputs");
    const Affine affine{per_channel(call, 1, x, repeated), per_channel(call, 2, x, repeated)};
    call.set(call.restore(layers::group_norm(call, x, 0, others, groups, epsilon_of(call), affine),
                          input));
}

void lp_normalization(Call& call) {
    const Operand& x = call.operand(0);
    const std::int64_t p = call.integer("p", 2);
    const std::int64_t axis = call.axis(x, call.integer("axis", -1));
    if (p != 1 && p != 2) {
        call.refuse(fmt::format("it is {}", p), "Use 1 or 2.", "p");
    }
    call.set(
        layers::lp_normalised(call, x, static_cast<double>(p), {axis}, layers::NormFloor::zero, 0));
}

void local_response_normalization(Call& call) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const std::int64_t size = call.integer("size", 0);
    if (size < 1 || x.sample_shape().empty()) {
        call.refuse(fmt::format("it is {}", size), {}, "size");
    }
    const double alpha = call.real("alpha", static_cast<double>(1e-4F));
    const double beta = call.real("beta", 0.75);
    const double bias = call.real("bias", 1);
    call.set(call.restore(layers::local_response(call, x, 0, size, (size - 1) / 2,
                                                 alpha / static_cast<double>(size), beta, bias),
                          input));
}

void mean_variance_normalization(Call& call) {
    const Operand& x = call.operand(0);
    Shape axes;
    for (const std::int64_t axis :
         call.integer_list("axes").value_or(std::vector<std::int64_t>{0, 2, 3})) {
        axes.push_back(call.axis(x, axis));
    }
    std::sort(axes.begin(), axes.end());
    const Operand front = layers::in_front(x);
    const Operand mean = call.reduced(front, "mean", axes, true);
    const Operand centred = call.subtract(front, mean);
    const Operand variance = call.reduced(call.function("square", centred), "mean", axes, true);
    const Operand deviation =
        call.function("affine", call.function("sqrt", variance),
                      {Call::number(1), Call::number(static_cast<double>(1e-9F))});
    call.set(layers::batched_as(call.divide(centred, deviation), x));
}

const RuleRow rows[] = {
    {"LayerNormalization", &layer_normalization},
    {"RMSNormalization", &rms_normalization},
    {"GroupNormalization", [](Call& c) { group_normalization(c, false); }},
    {"InstanceNormalization", [](Call& c) { group_normalization(c, true); }},
    {"LpNormalization", &lp_normalization},
    {"LRN", &local_response_normalization},
    {"MeanVarianceNormalization", &mean_variance_normalization},
};

}  // namespace

std::span<const RuleRow> normalisation_rules() {
    return rows;
}

}  // namespace gatewright::onnx
