#include "import/keras/products.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "operators/layers.h"

namespace gatewright::keras {

namespace {

std::int64_t reach(const Window& window, std::size_t i) {
    return (window.kernel[i] - 1) * window.dilations[i] + 1;
}

Shape spatial(const Operand& front) {
    return {front.sample_shape().begin() + 1, front.sample_shape().end()};
}

/// The axes of a kernel in another order: those named first, then the spatial ones.
Operand kernel_with_front(Call& call, const Operand& kernel, std::int64_t first,
                          std::int64_t second) {
    Shape order = {first, second};
    for (std::int64_t i = 0; i + 2 < static_cast<std::int64_t>(kernel.sample_shape().size()); ++i) {
        order.push_back(i);
    }
    return call.transposed(kernel, order, -1);
}

void check_extents(Call& call, const Window& window, const Shape& extents, const Margins& m) {
    for (std::size_t i = 0; i < extents.size(); ++i) {
        if (extents[i] + m.before[i] + m.after[i] < reach(window, i)) {
            call.refuse(fmt::format("axis {} of its input has {} positions, and a patch spans {}",
                                    i, extents[i], reach(window, i)));
        }
    }
}

Operand emit_conv(Call& call, const Window& window, const Operand& x, const Operand& weights,
                  const std::optional<Operand>& bias, std::int64_t groups) {
    const auto one = [&](const Operand& sample) {
        const Operand front = channels_to_front(call, sample, window.channels_first);
        const Margins m = margins(call, window, spatial(front));
        check_extents(call, window, spatial(front), m);
        std::vector<Operand> operands = {front, weights};
        if (bias) {
            operands.push_back(*bias);
        }
        const operators::ConvFields fields{window.strides, window.dilations, m.before,
                                           m.after,        groups,           {}};
        const Operand y =
            call.emit(operators::conv_operator, Attributes::of(fields), operands, front.batch_axis)
                .front();
        return channels_to_place(call, y, window.channels_first);
    };
    return over_leading_axes(call, x, window.rank() + 1, one);
}

}  // namespace

Operand dense_product(Call& call, const Operand& x, const Operand& kernel,
                      const std::optional<Operand>& bias) {
    const Operand y = call.matmul(x, kernel);
    return bias ? call.add(y, *bias) : y;
}

bool read_channels_first(Call& call, bool runs) {
    const std::string format =
        call.settings.choice("data_format", "channels_last", {"channels_last", "channels_first"});
    if (format == "channels_first" && !runs && !call.variant.channels_first) {
        call.settings.refuse(
            "data_format",
            "TensorFlow has no channels_first for this layer on a CPU, so there is "
            "no result to agree with",
            "Build the layer with channels_last, and a Permute before it.");
    }
    return format == "channels_first";
}

Window read_window(Call& call, const Shape& kernel, bool channels_first) {
    Window window;
    window.kernel = kernel;
    window.channels_first = channels_first;
    window.strides = call.settings.sizes("strides", kernel.size(), 1);
    window.dilations = call.settings.sizes("dilation_rate", kernel.size(), 1);
    window.padding = call.settings.text("padding", "valid");
    for (std::size_t i = 0; i < kernel.size(); ++i) {
        if (kernel[i] < 1 || window.strides[i] < 1 || window.dilations[i] < 1 ||
            std::max({kernel[i], window.strides[i], window.dilations[i]}) > (1 << 24)) {
            call.refuse("an extent, stride or dilation of its patches is out of range");
        }
    }
    if (window.padding != "valid" && window.padding != "same" && window.padding != "causal") {
        call.settings.refuse("padding", fmt::format("there is no padding '{}'", window.padding));
    }
    if (window.padding == "causal" && (kernel.size() != 1 || channels_first)) {
        call.settings.refuse("padding",
                             "causal padding is defined for one axis with channels last only");
    }
    return window;
}

std::int64_t channels_of(Call& call, const Operand& x, std::size_t rank, bool channels_first) {
    const Shape& shape = x.sample_shape();
    if (shape.size() < rank + 1) {
        call.refuse(fmt::format("its input has {} axes besides the batch and needs {}",
                                shape.size(), rank + 1));
    }
    return channels_first ? shape[shape.size() - rank - 1] : shape.back();
}

Operand channels_to_front(Call& call, const Operand& x, bool channels_first) {
    if (channels_first) {
        return x;
    }
    Shape order(x.sample_shape().size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::rotate(order.begin(), order.end() - 1, order.end());
    return call.transposed(x, order, x.batch_axis);
}

Operand channels_to_place(Call& call, const Operand& y, bool channels_first) {
    if (channels_first) {
        return y;
    }
    Shape order(y.sample_shape().size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::rotate(order.begin(), order.begin() + 1, order.end());
    return call.transposed(y, order, y.batch_axis);
}

Margins margins(Call&, const Window& window, const Shape& extents) {
    Margins out{Shape(window.rank(), 0), Shape(window.rank(), 0)};
    for (std::size_t i = 0; i < window.rank(); ++i) {
        if (window.padding == "causal") {
            out.before[i] = reach(window, i) - 1;
        } else if (window.padding == "same") {
            const std::int64_t patches = (extents[i] + window.strides[i] - 1) / window.strides[i];
            const std::int64_t total = std::max<std::int64_t>(
                0, (patches - 1) * window.strides[i] + reach(window, i) - extents[i]);
            out.before[i] = total / 2;
            out.after[i] = total - total / 2;
        }
    }
    return out;
}

Operand over_leading_axes(Call& call, const Operand& x, std::size_t rank,
                          const std::function<Operand(const Operand&)>& function) {
    const Shape& shape = x.sample_shape();
    if (shape.size() <= rank) {
        return function(x);
    }
    const auto leading = shape.begin() + static_cast<std::ptrdiff_t>(shape.size() - rank);
    const std::int64_t count = element_count(Shape(shape.begin(), leading));
    if (count == 0 || count > 4096) {
        call.refuse(fmt::format("it works on {} samples inside each sample", count));
    }
    Shape flat(leading, shape.end());
    flat.insert(flat.begin(), count);
    const Operand all = call.reshaped(x, flat, x.batch_axis);
    std::vector<Operand> parts;
    for (std::int64_t i = 0; i < count; ++i) {
        parts.push_back(function(call.selected(all, 0, i)));
    }
    const Operand joined = call.stacked(parts, 0);
    Shape result(shape.begin(), leading);
    const Shape& inner = parts.front().sample_shape();
    result.insert(result.end(), inner.begin(), inner.end());
    return call.reshaped(joined, result, x.batch_axis);
}

Operand conv_product(Call& call, const Window& window, const Operand& x, const Operand& kernel,
                     const std::optional<Operand>& bias, std::int64_t groups) {
    const auto last = static_cast<std::int64_t>(window.rank()) + 1;
    return emit_conv(call, window, x, kernel_with_front(call, kernel, last, last - 1), bias,
                     groups);
}

Operand depthwise_product(Call& call, const Window& window, const Operand& x, const Operand& kernel,
                          const std::optional<Operand>& bias) {
    const auto last = static_cast<std::int64_t>(window.rank()) + 1;
    const Operand front = kernel_with_front(call, kernel, last - 1, last);
    const std::int64_t channels = front.sample_shape()[0];
    Shape shape = {channels * front.sample_shape()[1], 1};
    shape.insert(shape.end(), window.kernel.begin(), window.kernel.end());
    return emit_conv(call, window, x, call.reshaped(front, shape, -1), bias, channels);
}

Operand transposed_product(Call& call, const Window& window,
                           const std::optional<Shape>& output_padding, const Operand& x,
                           const Operand& kernel, const std::optional<Operand>& bias) {
    const auto last = static_cast<std::int64_t>(window.rank()) + 1;
    const Operand weights = kernel_with_front(call, kernel, last, last - 1);
    const auto one = [&](const Operand& sample) {
        const Operand front = channels_to_front(call, sample, window.channels_first);
        const Shape extents = spatial(front);
        operators::ConvTransposeFields fields{window.strides, window.dilations, {}, {}, {}, 1};
        for (std::size_t i = 0; i < window.rank(); ++i) {
            const std::int64_t k = reach(window, i);
            const std::int64_t s = window.strides[i];
            const std::int64_t spread = (extents[i] - 1) * s + k;
            std::int64_t length = window.padding == "same"
                                      ? extents[i] * s
                                      : extents[i] * s + std::max<std::int64_t>(k - s, 0);
            if (output_padding) {
                const std::int64_t pad = window.padding == "same" ? k / 2 : 0;
                length = spread - 2 * pad + (*output_padding)[i];
            }
            // It is the gradient of the convolution that maps `length` positions to those of x.
            const std::int64_t back =
                window.padding == "same" ? (length + s - 1) / s : (length - k + s) / s;
            if (length < 1 || back != extents[i]) {
                call.refuse(
                    fmt::format("no convolution maps {} positions to {}", length, extents[i]), {},
                    "output_padding");
            }
            const std::int64_t total =
                window.padding == "same" ? std::max<std::int64_t>(0, spread - length) : 0;
            fields.before.push_back(total / 2);
            const std::int64_t rest = spread - total / 2 - length;
            fields.after.push_back(std::max<std::int64_t>(rest, 0));
            fields.extra.push_back(std::max<std::int64_t>(-rest, 0));
        }
        std::vector<Operand> operands = {front, weights};
        if (bias) {
            operands.push_back(*bias);
        }
        const Operand y = call.emit(operators::conv_transpose_operator, Attributes::of(fields),
                                    operands, front.batch_axis)
                              .front();
        return channels_to_place(call, y, window.channels_first);
    };
    return over_leading_axes(call, x, window.rank() + 1, one);
}

Operand pooled(Call& call, const std::string& kind, const Window& window, const Operand& x) {
    const Operand front = channels_to_front(call, x, window.channels_first);
    const Margins m = margins(call, window, spatial(front));
    check_extents(call, window, spatial(front), m);
    operators::PoolFields fields;
    fields.kind = kind;
    fields.kernel = window.kernel;
    fields.strides = window.strides;
    fields.dilations = window.dilations;
    fields.before = m.before;
    fields.after = m.after;
    fields.uncounted.assign(window.rank(), 0);
    const Operand y =
        call.emit(operators::pool_operator, Attributes::of(fields), {front}, front.batch_axis)
            .front();
    return channels_to_place(call, y, window.channels_first);
}

}  // namespace gatewright::keras
