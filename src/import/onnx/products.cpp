#include "import/onnx/products.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "import/layers/pooling.h"
#include "operators/layers.h"
#include "operators/map.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

/// Strides, dilations and padding as convolutions and pools share them.
struct Spatial {
    Shape kernel;
    Shape strides;
    Shape dilations;
    Shape before;
    Shape after;
};

Spatial spatial_attributes(Call& call, const Shape& kernel, const Shape& extents) {
    const std::size_t rank = kernel.size();
    Spatial s;
    s.kernel = kernel;
    const auto list = [&](const char* name, std::int64_t otherwise, std::size_t size) {
        const Shape value = call.integer_list(name).value_or(Shape(size, otherwise));
        if (value.size() != size) {
            call.refuse(fmt::format("it has {} numbers for {} axes", value.size(), rank), {}, name);
        }
        return value;
    };
    s.strides = list("strides", 1, rank);
    s.dilations = list("dilations", 1, rank);
    const Shape pads = list("pads", 0, 2 * rank);
    s.before.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank));
    s.after.assign(pads.begin() + static_cast<std::ptrdiff_t>(rank), pads.end());
    for (std::size_t i = 0; i < rank; ++i) {
        if (s.strides[i] < 1 || s.dilations[i] < 1 || s.kernel[i] < 1 || s.before[i] < 0 ||
            s.after[i] < 0) {
            call.refuse("a stride, dilation, kernel extent or pad is out of range");
        }
    }
    const std::string automatic = call.text("auto_pad", "NOTSET");
    if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
        for (std::size_t i = 0; i < rank; ++i) {
            const std::int64_t out = (extents[i] + s.strides[i] - 1) / s.strides[i];
            const std::int64_t reach = (s.kernel[i] - 1) * s.dilations[i] + 1;
            const std::int64_t total =
                std::max<std::int64_t>(0, (out - 1) * s.strides[i] + reach - extents[i]);
            const std::int64_t half = total / 2;
            s.before[i] = automatic == "SAME_UPPER" ? half : total - half;
            s.after[i] = total - s.before[i];
        }
    } else if (automatic == "VALID") {
        s.before.assign(rank, 0);
        s.after.assign(rank, 0);
    } else if (automatic != "NOTSET" && !automatic.empty()) {
        call.refuse(fmt::format("there is no padding {}", automatic), {}, "auto_pad");
    }
    return s;
}

/// An axis moved from one place to another, the others keeping their order.
Operand moved_axis(Call& call, const Operand& x, std::size_t from, std::size_t to) {
    Shape order(x.sample_shape().size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(from));
    order.insert(order.begin() + static_cast<std::ptrdiff_t>(to), static_cast<std::int64_t>(from));
    return call.transposed(x, order, x.batch_axis);
}

/// The input as [channels, ...] for each sample.
Operand channels_first(Call& call, const Operand& input, Channels channels) {
    const Operand x = call.samples(input);
    const std::size_t rank = x.sample_shape().size();
    return channels == Channels::first || rank == 0 ? x : moved_axis(call, x, rank - 1, 0);
}

Operand result_of(Call& call, const Operand& y, const Operand& input, Channels channels) {
    const std::size_t rank = y.sample_shape().size();
    return call.restore(channels == Channels::first ? y : moved_axis(call, y, 0, rank - 1), input);
}

}  // namespace

Operand matrix_product(Call& call, Operand a, Operand b) {
    // Leading extents of 1 of a constant only broadcast.
    for (Operand* x : {&a, &b}) {
        while (x->is_constant && x->constant.shape.size() > 2 && x->constant.shape.front() == 1) {
            x->constant.shape.erase(x->constant.shape.begin());
        }
    }
    int batch_axis = -1;
    if (a.batch_axis >= 0 && b.batch_axis >= 0) {
        if (a.batch_axis != 0 || b.batch_axis != 0 || a.rank() != b.rank() || a.rank() < 3) {
            throw BatchMixed();
        }
        batch_axis = 0;
    } else if (a.batch_axis >= 0) {
        if (a.batch_axis != 0 || a.rank() < 2 || (b.rank() > 2 && b.rank() >= a.rank())) {
            throw BatchMixed();
        }
        batch_axis = 0;
    } else if (b.batch_axis >= 0) {
        if (b.batch_axis != 0 || b.rank() < 3 || a.rank() > 2) {
            throw BatchMixed();
        }
        batch_axis = 0;
    }
    return call.emit(matmul_operator, Attributes(), {a, b}, batch_axis).front();
}

Operand convolution(Call& call, const Operand& input, Operand weights,
                    const std::optional<Operand>& bias, Channels channels) {
    const Operand x = channels_first(call, input, channels);
    if (channels == Channels::last && weights.constant.shape.size() > 2) {
        weights = moved_axis(call, weights, weights.constant.shape.size() - 1, 1);
    }
    const Tensor& w = weights.constant;
    if (w.shape.size() < 3 || x.sample_shape().size() + 1 != w.shape.size()) {
        call.refuse(fmt::format("weights of shape {} do not fit an input of shape {}",
                                to_string(w.shape), to_string(x.sample_shape())));
    }
    const Shape kernel(w.shape.begin() + 2, w.shape.end());
    const auto declared = call.integer_list("kernel_shape");
    if (declared && *declared != kernel) {
        call.refuse(fmt::format("it says {} but the weights have {}", to_string(*declared),
                                to_string(kernel)),
                    {}, "kernel_shape");
    }
    const Shape extents(x.sample_shape().begin() + 1, x.sample_shape().end());
    const Spatial s = spatial_attributes(call, kernel, extents);
    const ConvFields fields{s.strides, s.dilations, s.before, s.after, call.integer("group", 1),
                            {}};
    std::vector<Operand> operands = {x, weights};
    if (bias) {
        operands.push_back(*bias);
    }
    return result_of(
        call, call.emit(conv_operator, Attributes::of(fields), operands, x.batch_axis).front(),
        input, channels);
}

/// The p of a norm: an integer, in the first versions a float.
double norm_of(Call& call) {
    const OnnxAttribute* given = call.any("p");
    const auto* real = given == nullptr ? nullptr : std::get_if<double>(given);
    return real != nullptr ? *real : static_cast<double>(call.integer("p", 2));
}

Operand pooled(Call& call, const Operand& input, const char* kind, Channels channels) {
    const Operand x = channels_first(call, input, channels);
    const auto kernel = call.integer_list("kernel_shape");
    if (!kernel || x.sample_shape().size() != kernel->size() + 1) {
        call.refuse("its kernel does not fit the input", {}, "kernel_shape");
    }
    const Shape extents(x.sample_shape().begin() + 1, x.sample_shape().end());
    const Spatial s = spatial_attributes(call, *kernel, extents);
    PoolFields fields{kind, s.kernel, s.strides, s.dilations, s.before, s.after, false, {}};
    if (call.integer("ceil_mode", 0) != 0) {
        // One more patch where the last one does not reach the end, if it starts inside.
        fields.uncounted.assign(kernel->size(), 0);
        for (std::size_t i = 0; i < kernel->size(); ++i) {
            const std::int64_t reach = (s.kernel[i] - 1) * s.dilations[i] + 1;
            const std::int64_t room = extents[i] + s.before[i] + s.after[i] - reach;
            const std::int64_t rest = room % s.strides[i];
            const std::int64_t next = room - rest + s.strides[i];
            if (room >= 0 && rest != 0 && next < extents[i] + s.before[i]) {
                fields.uncounted[i] = s.strides[i] - rest;
                fields.after[i] += fields.uncounted[i];
            }
        }
    }
    if (std::string(kind) == "norm") {
        fields.uncounted.clear();  // sums count nothing
        const Operand y = layers::lp_pool(call, x, norm_of(call), fields);
        return result_of(call, y, input, channels);
    }
    if (std::string(kind) == "average") {
        fields.count_padding = call.integer("count_include_pad", 0) != 0;
    } else {
        call.ignore("storage_order");  // concerns the second output only
        if (call.node().outputs.size() > 1 && !call.node().outputs[1].empty()) {
            call.refuse("it gives the positions of the maxima too", "Remove that output.");
        }
    }
    return result_of(call,
                     call.emit(pool_operator, Attributes::of(fields), {x}, x.batch_axis).front(),
                     input, channels);
}

}  // namespace gatewright::onnx
