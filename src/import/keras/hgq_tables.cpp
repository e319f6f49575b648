#include <fmt/format.h>

#include <cmath>

#include "import/keras/activations.h"
#include "import/keras/hgq_layers.h"

namespace gatewright::keras {

namespace {

Operand constant(Tensor tensor) {
    return Call::tensor(std::move(tensor));
}

/// Keys of tables whose effect the quantisers' configurations hold: whether widths may differ.
void ignore_hints(Call& call) {
    call.settings.ignore({"allow_heterogeneous_input", "allow_heterogeneous_table"});
}

}  // namespace

void hgq2_unary_function(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    ignore_hints(call);
    layer.take_costs();
    layer.finish(activation(call, layer.input()));
}

void hgq2_affined_unary_function(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    ignore_hints(call);
    const Operand scale = call.weight("scale", {1});
    const Operand bias = call.weight("bias", {1});
    layer.take_costs();
    const Operand x = call.function("affine", layer.input(), {scale, bias});
    layer.finish(activation(call, x));
}

namespace {

/// Part `at` of the last axis of a tensor, which goes.
Tensor part_of(const Tensor& tensor, std::int64_t at) {
    const std::int64_t length = tensor.shape.back();
    Tensor out{Shape(tensor.shape.begin(), tensor.shape.end() - 1), {}};
    for (std::size_t i = 0; i < static_cast<std::size_t>(element_count(out.shape)); ++i) {
        out.values.push_back(
            tensor.values[i * static_cast<std::size_t>(length) + static_cast<std::size_t>(at)]);
    }
    return out;
}

/// A small network of its own for each pair of an input and an output, which makes a function of
/// one number.
class PairNetworks {
  public:
    PairNetworks(Call& call, std::int64_t inputs, std::int64_t outputs)
        : call_(call),
          layers_(call.settings.integer("n_hl")),
          biased_(call.settings.flag("use_bias", true)),
          pairs_{inputs, outputs} {
        width_ = call.settings.integer("d_hl");
        if (layers_ < 0 || layers_ > 2 || width_ < 1 || width_ > 64) {
            call.refuse(fmt::format("networks of {} hidden layers of {} units for each pair are "
                                    "not supported",
                                    layers_, width_),
                        "Use at most 2 hidden layers (n_hl) of at most 64 units (d_hl).");
        }
    }

    /// Of x[..., inputs, outputs].
    Operand apply(const Operand& x) {
        const std::vector<std::string> names = container_names(
            std::vector<std::string>(static_cast<std::size_t>(layers_) + 1, "EinsumDense"));
        std::vector<Operand> units = {x};
        for (std::int64_t l = 0; l < layers_; ++l) {
            Weights object = object_of(names[static_cast<std::size_t>(l)]);
            const auto from = static_cast<std::int64_t>(units.size());
            const Tensor kernel = weight(object, {pairs_[0], pairs_[1], from, width_});
            const Tensor bias = biased_ ? weight(object, {pairs_[0], pairs_[1], width_})
                                        : Tensor::filled({pairs_[0], pairs_[1], width_}, 0);
            std::vector<Operand> next;
            for (std::int64_t u = 0; u < width_; ++u) {
                const Operand y = unit(units, part_of(kernel, u), part_of(bias, u));
                next.push_back(activation(call_, y, "subnn_activation"));
            }
            units = std::move(next);
        }
        if (layers_ == 0) {
            call_.settings.ignore("subnn_activation");  // there is nothing to activate
        }
        Weights object = object_of(names.back());
        const Tensor kernel =
            weight(object, {pairs_[0], pairs_[1], static_cast<std::int64_t>(units.size())});
        const Tensor bias = biased_ ? weight(object, pairs_) : Tensor::filled(pairs_, 0);
        return unit(units, kernel, bias);
    }

  private:
    Weights object_of(const std::string& name) const {
        return call_.weights().child("module/layers/" + name);
    }

    Tensor weight(Weights& object, const Shape& shape) const {
        const Tensor* found = object.next();
        if (found == nullptr || found->shape != shape) {
            call_.refuse_weights(
                fmt::format("the file has no weights of shape {} in its table's "
                            "network",
                            to_string(shape)));
        }
        return *found;
    }

    /// bias + sum of kernel[..., i] inputs[i].
    Operand unit(const std::vector<Operand>& inputs, const Tensor& kernel, const Tensor& bias) {
        Operand sum;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const Operand term =
                call_.function("affine", inputs[i],
                               {constant(part_of(kernel, static_cast<std::int64_t>(i))),
                                i == 0 ? constant(bias) : Call::number(0)});
            sum = i == 0 ? term : call_.add(sum, term);
        }
        return sum;
    }

    Call& call_;
    std::int64_t layers_;
    std::int64_t width_;
    bool biased_;
    Shape pairs_;
};

/// What follows the input of a table layer: x[..., n] with `outputs` results.
void finish_tables(HgqLayer& layer, const Operand& input, std::int64_t outputs) {
    Call& call = layer.call;
    Settings& s = call.settings;
    // Hints for an estimate of costs.
    s.ignore("table_idxs");
    const Shape& shape = input.sample_shape();
    if (shape.empty() || outputs < 1) {
        call.refuse("its input has no features, or it has no outputs");
    }
    const std::int64_t inputs = shape.back();
    Shape pairs = shape;
    pairs.push_back(1);
    Operand x = call.reshaped(input, pairs, input.batch_axis);
    pairs.back() = outputs;
    x = call.expanded(x, pairs);
    if (layer.has_input_quantiser()) {
        x = quantised(call, x, layer.quantiser("iq_conf", "iq"));
    }
    x = PairNetworks(call, inputs, outputs).apply(x);
    const bool center = s.flag("bn_center", true);
    const bool scale = s.flag("bn_scale", true);
    const double epsilon = s.real("bn_epsilon", 1e-3);
    s.ignore("bn_momentum");  // how statistics are gathered in training
    if (s.flag("batch_norm", false)) {
        Weights object = call.weights().child("bn_module");
        const auto next = [&]() -> const Tensor& {
            const Tensor* found = object.next();
            if (found == nullptr || found->shape != Shape{outputs}) {
                call.refuse_weights("the file has not all weights of its batch normalisation");
            }
            return *found;
        };
        const Tensor gamma = scale ? next() : Tensor::filled({outputs}, 1);
        const Tensor beta = center ? next() : Tensor::filled({outputs}, 0);
        const Tensor& mean = next();
        const Tensor& variance = next();
        Tensor factor = gamma;
        Tensor summand = beta;
        for (std::size_t i = 0; i < factor.values.size(); ++i) {
            if (!(variance.values[i] + epsilon > 0)) {
                call.refuse("a variance plus epsilon is not positive", {}, "bn_epsilon");
            }
            factor.values[i] /= std::sqrt(variance.values[i] + epsilon);
            summand.values[i] -= mean.values[i] * factor.values[i];
            factor.values[i] /= std::sqrt(static_cast<double>(inputs));
            summand.values[i] /= std::sqrt(static_cast<double>(inputs));
        }
        x = call.function("affine", x, {constant(factor), constant(summand)});
    }
    x = quantised(call, x, layer.quantiser("toq_conf", "toq"));
    x = call.reduced(x, "sum", {static_cast<std::int64_t>(pairs.size()) - 2}, false);
    layer.take_costs();
    layer.finish(activation(call, x));
}

}  // namespace

void hgq2_dense_table(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    finish_tables(layer, call.operand(), call.settings.integer("n_out"));
}

namespace {

/// One spatial axis of a convolution: where its patches begin and what pads it.
struct Axis {
    std::int64_t kernel;
    std::int64_t stride;
    std::int64_t dilation;
    std::int64_t positions;
    std::int64_t before;
    std::int64_t after;
};

Axis axis_of(Call& call, std::int64_t extent, std::int64_t kernel, std::int64_t stride,
             std::int64_t dilation, bool same) {
    if (kernel < 1 || stride < 1 || dilation < 1 || kernel > (1 << 20) || dilation > (1 << 20)) {
        call.refuse("its kernel, strides or dilation are not positive");
    }
    const std::int64_t reach = (kernel - 1) * dilation + 1;
    Axis axis{kernel, stride, dilation, 0, 0, 0};
    if (same) {
        axis.positions = (extent + stride - 1) / stride;
        const std::int64_t padding =
            std::max<std::int64_t>(0, (axis.positions - 1) * stride + reach - extent);
        axis.before = padding / 2;
        axis.after = padding - axis.before;
    } else {
        axis.positions = extent < reach ? 0 : (extent - reach) / stride + 1;
    }
    if (axis.positions < 1) {
        call.refuse("its kernel is larger than its input");
    }
    return axis;
}

Operand padded(Call& call, Operand x, std::int64_t at, const Axis& axis) {
    const auto zeros = [&](std::int64_t extent) {
        Shape shape = x.sample_shape();
        shape[static_cast<std::size_t>(at)] = extent;
        return constant(Tensor::filled(shape, 0));
    };
    std::vector<Operand> parts;
    if (axis.before > 0) {
        parts.push_back(zeros(axis.before));
    }
    parts.push_back(x);
    if (axis.after > 0) {
        parts.push_back(zeros(axis.after));
    }
    return parts.size() == 1 ? x : call.concatenated(parts, at);
}

/// Patches of x[spatial..., channels] side by side along the last axis: kernel positions outside,
/// channels inside.
Operand patches(Call& call, Operand x, std::size_t rank) {
    Settings& s = call.settings;
    const Shape kernel = s.sizes("kernel_size", rank);
    const Shape strides = s.sizes("strides", rank, 1);
    const Shape dilations = s.sizes("dilation_rate", rank, 1);
    const bool same = s.choice("padding", "valid", {"valid", "same"}) == "same";
    s.choice("data_format", "channels_last", {"channels_last"});
    if (s.integer("groups", 1) != 1) {
        s.refuse("groups", "HGQ2 has no convolutions of tables in groups");
    }
    if (x.sample_shape().size() != rank + 1 || x.batch_axis != 0) {
        call.refuse(fmt::format("its input has shape {}", to_string(x.sample_shape())));
    }
    std::vector<Axis> axes;
    for (std::size_t i = 0; i < rank; ++i) {
        axes.push_back(
            axis_of(call, x.sample_shape()[i], kernel[i], strides[i], dilations[i], same));
        x = padded(call, x, static_cast<std::int64_t>(i), axes.back());
    }
    std::vector<Operand> parts = {x};
    for (std::size_t i = 0; i < rank; ++i) {
        std::vector<Operand> next;
        for (const Operand& part : parts) {
            for (std::int64_t k = 0; k < axes[i].kernel; ++k) {
                next.push_back(call.sliced(part, static_cast<std::int64_t>(i), k * axes[i].dilation,
                                           axes[i].positions, axes[i].stride));
            }
        }
        parts = std::move(next);
    }
    return call.concatenated(parts, static_cast<std::int64_t>(rank));
}

}  // namespace

void hgq2_convolution_table(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    const std::size_t rank = call.object().class_name == "QConvT1D" ? 1 : 2;
    finish_tables(layer, patches(call, call.operand(), rank), call.settings.integer("filters"));
}

}  // namespace gatewright::keras
