// Transposed convolution: a convolution of the input with zeros between its positions.

#include <fmt/format.h>

#include <cmath>

#include "operators/convolution.h"
#include "operators/layers.h"
#include "operators/lowering.h"
#include "operators/move.h"

namespace gatewright::operators {

namespace {

using network::Attributes;
using network::field_table;
using network::TensorType;

[[noreturn]] void refuse(const Node& node, std::string message) {
    throw Failure(Code::operator_inputs, node.where, std::move(message));
}

Shape output_shape(const Node& node, const Shape& x, const Shape& w) {
    const auto& f = node.fields<ConvTransposeFields>();
    const std::size_t rank = w.size() < 3 ? 0 : w.size() - 2;
    const bool sound = rank > 0 && x.size() == rank + 1 && f.groups >= 1 && x[0] == w[0] &&
                       w[0] % f.groups == 0 && f.strides.size() == rank &&
                       f.dilations.size() == rank && f.before.size() == rank &&
                       f.after.size() == rank && f.extra.size() == rank;
    if (!sound) {
        refuse(node, fmt::format("weights of shape {} in {} groups do not fit an input of shape {}",
                                 to_string(w), f.groups, to_string(x)));
    }
    Shape shape{w[1] * f.groups};
    for (std::size_t i = 0; i < rank; ++i) {
        const std::int64_t whole =
            (x[i + 1] - 1) * f.strides[i] + (w[i + 2] - 1) * f.dilations[i] + 1;
        shape.push_back(whole - f.before[i] - f.after[i] + f.extra[i]);
        if (x[i + 1] < 1 || w[i + 2] < 1 || f.strides[i] < 1 || f.dilations[i] < 1 ||
            f.extra[i] < 0 || shape.back() < 1) {
            refuse(node, fmt::format("strides {}, dilations {} and padding {}, {} leave nothing of "
                                     "an input of shape {}",
                                     to_string(f.strides), to_string(f.dilations),
                                     to_string(f.before), to_string(f.after), to_string(x)));
        }
    }
    if (!checked_element_count(shape)) {
        refuse(node, "its result has too many elements");
    }
    return shape;
}

std::vector<TensorType> infer(const Node& node, std::span<const TensorType> inputs) {
    const Shape shape = output_shape(node, inputs[0].shape, inputs[1].shape);
    if (inputs.size() == 3 && element_count(inputs[2].shape) != shape[0]) {
        refuse(node, fmt::format("a bias of shape {} does not fit {} channels",
                                 to_string(inputs[2].shape), shape[0]));
    }
    return {{shape, std::nullopt}};
}

/// By its definition: each element of x is added, weighted, to the positions that it reaches.
std::vector<Tensor> reference(const Node& node, std::span<const Tensor* const> inputs) {
    const auto& f = node.fields<ConvTransposeFields>();
    const Tensor& x = *inputs[0];
    const Tensor& w = *inputs[1];
    Tensor y{output_shape(node, x.shape, w.shape), {}};
    const std::int64_t positions = element_count(x.shape) / x.shape[0];
    const std::int64_t per_group = w.shape[1];
    const std::int64_t taps = element_count(w.shape) / (w.shape[0] * per_group);
    const std::int64_t inputs_of_group = x.shape[0] / f.groups;
    const auto reached = contributions(f, x.shape, w.shape, y.shape);
    for (std::int64_t o = 0; o < y.shape[0]; ++o) {
        const std::int64_t first = o / per_group * inputs_of_group;
        for (const std::vector<Contribution>& to : reached) {
            double sum = inputs.size() == 3 ? inputs[2]->values[static_cast<std::size_t>(o)] : 0.0;
            for (std::int64_t c = first; c < first + inputs_of_group; ++c) {
                const double* weights = w.values.data() + (c * per_group + o % per_group) * taps;
                const double* channel = x.values.data() + c * positions;
                for (const Contribution& from : to) {
                    sum = std::fma(channel[from.position], weights[from.tap], sum);
                }
            }
            y.values.push_back(sum);
        }
    }
    return {y};
}

void lower(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<ConvTransposeFields>();
    const Tensor& w = constant_weights(lowering, node);
    const Shape kernel(w.shape.begin() + 2, w.shape.end());
    const std::size_t rank = kernel.size();
    RealTensor x = lowering.input(node, 0);
    // x[C, H, ...] as [C, H, 1, ...], stride - 1 zeros behind each, as [C, H stride, ...]; then the
    // border that makes the convolution as large as the result.
    Shape apart{x.shape[0]};
    Shape together{x.shape[0]};
    PadFields between{{0}, {0}, "zero"};
    PadFields border{{0}, {0}, "zero"};
    for (std::size_t i = 0; i < rank; ++i) {
        apart.insert(apart.end(), {x.shape[i + 1], 1});
        together.push_back(x.shape[i + 1] * f.strides[i]);
        between.before.insert(between.before.end(), {0, 0});
        between.after.insert(between.after.end(), {0, f.strides[i] - 1});
        const std::int64_t reach = (kernel[i] - 1) * f.dilations[i];
        border.before.push_back(reach - f.before[i]);
        border.after.push_back(reach - f.after[i] + f.extra[i] - (f.strides[i] - 1));
    }
    const auto padded = [&](const RealTensor& tensor, PadFields fields) {
        Node pad;
        pad.op = &pad_operator;
        pad.attributes = Attributes::of(std::move(fields));
        pad.where = node.where;
        return lowering.move(pad, {tensor});
    };
    x = padded(lowering.reshape(x, apart), std::move(between));
    x = padded(lowering.reshape(x, together), std::move(border));
    // w[c, o, k] as w[o, c, last - k] of each group.
    const std::int64_t taps = element_count(kernel);
    const std::int64_t per_group = w.shape[1];
    const std::int64_t inputs_of_group = w.shape[0] / f.groups;
    Tensor turned{{per_group * f.groups, inputs_of_group}, {}};
    turned.shape.insert(turned.shape.end(), kernel.begin(), kernel.end());
    for (std::int64_t o = 0; o < per_group * f.groups; ++o) {
        for (std::int64_t c = 0; c < inputs_of_group; ++c) {
            const std::int64_t from =
                (o / per_group * inputs_of_group + c) * per_group + o % per_group;
            for (std::int64_t k = taps; k-- > 0;) {
                turned.values.push_back(w.values[static_cast<std::size_t>(from * taps + k)]);
            }
        }
    }
    const Shape none(rank, 0);
    const WindowFields window{kernel, Shape(rank, 1), f.dilations, none, none, false};
    lowering.set(convolve(lowering, x, window, turned, f.groups,
                          node.inputs.size() == 3 ? lowering.input(node, 2).constant : Tensor{},
                          {}));
}

}  // namespace

std::vector<std::vector<Contribution>> contributions(const ConvTransposeFields& fields,
                                                     const Shape& x, const Shape& w,
                                                     const Shape& y) {
    const Shape spatial(x.begin() + 1, x.end());
    const Shape kernel(w.begin() + 2, w.end());
    const Shape reached(y.begin() + 1, y.end());
    const auto spatial_strides = strides_of(spatial);
    const auto kernel_strides = strides_of(kernel);
    const auto reached_strides = strides_of(reached);
    std::vector<std::vector<Contribution>> out(static_cast<std::size_t>(element_count(reached)));
    for (std::int64_t p = 0; p < element_count(spatial); ++p) {
        for (std::int64_t k = 0; k < element_count(kernel); ++k) {
            std::int64_t to = 0;
            bool inside = true;
            for (std::size_t i = 0; i < spatial.size(); ++i) {
                const std::int64_t at = (p / spatial_strides[i]) % spatial[i] * fields.strides[i] +
                                        (k / kernel_strides[i]) % kernel[i] * fields.dilations[i] -
                                        fields.before[i];
                inside = inside && at >= 0 && at < reached[i];
                to += at * reached_strides[i];
            }
            if (inside) {
                out[static_cast<std::size_t>(to)].push_back({p, k});
            }
        }
    }
    return out;
}

const network::Operator conv_transpose_operator = {
    .name = "conv_transpose",
    .formula =
        "y[o, p] = bias[o] + sum over c, k, i with p = i stride + k dilation - before of "
        "w[c, o, k] x[c, i]",
    .min_inputs = 2,
    .max_inputs = 3,
    .fields = &field_table<ConvTransposeFields>,
    .infer = &infer,
    .reference = &reference,
    .lower = &lower};

}  // namespace gatewright::operators
