#include "import/layers/normalisation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/layers/sample.h"

namespace gatewright::layers {

namespace {

Operand sorted_reduced(Builder& builder, const Operand& x, const std::string& kind, Shape axes,
                       bool keep = true) {
    std::sort(axes.begin(), axes.end());
    return builder.reduced(x, kind, std::move(axes), keep);
}

Operand plus(Builder& builder, const Operand& x, double number) {
    return number == 0 ? x : builder.add(x, Builder::number(number));
}

}  // namespace

Operand scaled(Builder& builder, const Operand& x, const Affine& affine) {
    Operand y = in_front(x);
    const std::size_t rank = y.sample_shape().size();
    if (affine.gamma) {
        y = builder.multiply(y, of_rank(builder, *affine.gamma, rank));
    }
    if (affine.beta) {
        y = builder.add(y, of_rank(builder, *affine.beta, rank));
    }
    return batched_as(y, x);
}

Standardised standardised(Builder& builder, const Operand& x, Shape axes, double epsilon) {
    const Operand front = in_front(x);
    Standardised out;
    out.mean = sorted_reduced(builder, front, "mean", axes);
    const Operand centred = builder.subtract(front, out.mean);
    const Operand variance =
        sorted_reduced(builder, builder.function("square", centred), "mean", std::move(axes));
    out.inverse_deviation = raised(builder, plus(builder, variance, epsilon), -0.5);
    out.y = builder.multiply(centred, out.inverse_deviation);
    for (Operand* part : {&out.y, &out.mean, &out.inverse_deviation}) {
        *part = batched_as(*part, x);
    }
    return out;
}

Operand layer_norm(Builder& builder, const Operand& x, const Shape& axes, double epsilon,
                   const Affine& affine) {
    return scaled(builder, standardised(builder, x, axes, epsilon).y, affine);
}

Operand rms_norm(Builder& builder, const Operand& x, const Shape& axes, double epsilon,
                 const Affine& affine) {
    const Operand front = in_front(x);
    const Operand mean = sorted_reduced(builder, builder.function("square", front), "mean", axes);
    const Operand y = builder.multiply(front, raised(builder, plus(builder, mean, epsilon), -0.5));
    return scaled(builder, batched_as(y, x), affine);
}

Operand group_norm(Builder& builder, const Operand& x, std::int64_t axis, const Shape& others,
                   std::int64_t groups, double epsilon, const Affine& affine) {
    const Shape shape = x.sample_shape();
    const std::int64_t channels = shape[static_cast<std::size_t>(axis)];
    if (groups < 1 || channels % groups != 0) {
        builder.refuse(fmt::format("{} channels do not make {} groups", channels, groups));
    }
    Shape split = shape;
    split[static_cast<std::size_t>(axis)] = channels / groups;
    split.insert(split.begin() + static_cast<std::ptrdiff_t>(axis), groups);
    Shape axes = {axis + 1};
    for (const std::int64_t other : others) {
        axes.push_back(other < axis ? other : other + 1);
    }
    const Operand parts = builder.reshaped(in_front(x), split, x.batch_axis >= 0 ? 0 : -1);
    const Operand y = standardised(builder, parts, axes, epsilon).y;
    return scaled(builder, batched_as(builder.reshaped(y, shape, x.batch_axis >= 0 ? 0 : -1), x),
                  affine);
}

Operand lp_norm(Builder& builder, const Operand& x, double p, const Shape& axes, bool keep) {
    const Operand front = in_front(x);
    if (p == 2) {
        return raised(builder,
                      sorted_reduced(builder, builder.function("square", front), "sum", axes, keep),
                      0.5);
    }
    const Operand magnitude = builder.function("absolute", front);
    if (std::isinf(p)) {
        return sorted_reduced(builder, magnitude, p > 0 ? "max" : "min", axes, keep);
    }
    if (p == 0) {
        return sorted_reduced(builder, builder.function("sign", magnitude), "sum", axes, keep);
    }
    return raised(builder,
                  sorted_reduced(builder, raised(builder, magnitude, p), "sum", axes, keep), 1 / p);
}

Operand lp_normalised(Builder& builder, const Operand& x, double p, const Shape& axes,
                      NormFloor floor, double epsilon) {
    const Operand front = in_front(x);
    Operand y;
    if (floor == NormFloor::largest_squared) {
        Operand squares = sorted_reduced(builder, builder.function("square", front), "sum", axes);
        squares = builder.function("maximum", squares, {Builder::number(epsilon)});
        y = builder.multiply(front, raised(builder, squares, -0.5));
    } else {
        Operand norm = lp_norm(builder, front, p, axes, true);
        if (floor == NormFloor::largest) {
            norm = builder.function("maximum", norm, {Builder::number(epsilon)});
        } else if (floor == NormFloor::added) {
            norm = plus(builder, norm, epsilon);
        } else if (floor == NormFloor::zero) {
            // Where the norm is 0 so is each x: any divisor but 0 gives 0. A norm of one is what
            // 1 - sign(norm) makes of it.
            const Operand rest = builder.function("affine", builder.function("sign", norm),
                                                  {Builder::number(-1), Builder::number(1)});
            norm = builder.add(norm, rest);
        }
        y = builder.divide(front, norm);
    }
    return batched_as(y, x);
}

Operand local_response(Builder& builder, const Operand& x, std::int64_t axis, std::int64_t size,
                       std::int64_t before, double alpha, double beta, double bias) {
    const std::int64_t channels = x.sample_shape()[static_cast<std::size_t>(axis)];
    if (size < 1 || channels > 1 << 14) {
        builder.refuse(
            fmt::format("sums over {} of {} channels are not supported", size, channels));
    }
    Tensor window = Tensor::filled({channels, channels}, 0);
    for (std::int64_t y = 0; y < channels; ++y) {
        for (std::int64_t c = std::max<std::int64_t>(0, y - before);
             c < std::min(channels, y - before + size); ++c) {
            window.values[static_cast<std::size_t>(c * channels + y)] = 1;
        }
    }
    const Operand front = in_front(x);
    const Operand sums =
        weighted(builder, builder.function("square", front), axis, std::move(window));
    const Operand divisor =
        builder.function("affine", sums, {Builder::number(alpha), Builder::number(bias)});
    return batched_as(builder.multiply(front, raised(builder, divisor, -beta)), x);
}

}  // namespace gatewright::layers
