#include "import/keras/resampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "import/keras/moves.h"
#include "import/layers/sample.h"

namespace gatewright::keras {

namespace {

using std::numbers::pi;

double lanczos(double x, double radius) {
    if (x > radius) {
        return 0;
    }
    return x <= 1e-3 ? 1
                     : radius * std::sin(pi * x) * std::sin(pi * x / radius) / (pi * pi * x * x);
}

/// A kernel of scale_and_translate: its value at a distance from its centre.
struct Kernel {
    std::string_view name;
    double radius;
    double (*value)(double x);
};

const Kernel kernels[] = {
    {"bilinear", 1, [](double x) { return std::max(0.0, 1 - x); }},
    {"bicubic", 2,
     [](double x) {
         return x >= 2   ? 0
                : x >= 1 ? ((-0.5 * x + 2.5) * x - 4) * x + 2
                         : ((1.5 * x - 2.5) * x) * x + 1;
     }},
    {"lanczos3", 3, [](double x) { return lanczos(x, 3); }},
    {"lanczos5", 5, [](double x) { return lanczos(x, 5); }},
    {"gaussian", 1.5, [](double x) { return x >= 1.5 ? 0 : std::exp(-x * x / (2 * 0.5 * 0.5)); }},
    {"mitchellcubic", 2,
     [](double x) {
         return x >= 2   ? 0
                : x >= 1 ? ((-7.0 / 18 * x + 2) * x - 10.0 / 3) * x + 16.0 / 9
                         : ((7.0 / 6 * x - 2) * x) * x + 8.0 / 9;
     }},
};

/// Weights [in, out] of a kernel, those outside x left out and the rest scaled to a sum of one.
Tensor kernel_weights(const Kernel& kernel, std::int64_t in, std::int64_t out, bool antialias) {
    Tensor weights = Tensor::filled({in, out}, 0);
    const double step = static_cast<double>(in) / static_cast<double>(out);
    const double width = antialias ? std::max(step, 1.0) : 1.0;
    for (std::int64_t i = 0; i < out; ++i) {
        const double centre = (static_cast<double>(i) + 0.5) * step;
        const auto clamped = [&](double at) {
            return static_cast<std::int64_t>(std::clamp(at, 0.0, static_cast<double>(in - 1)));
        };
        const std::int64_t begin = clamped(std::ceil(centre - kernel.radius * width - 0.5));
        const std::int64_t end = clamped(std::floor(centre + kernel.radius * width - 0.5));
        double sum = 0;
        const auto at = [&](std::int64_t j) {
            return kernel.value(std::abs((static_cast<double>(j) + 0.5 - centre) / width));
        };
        for (std::int64_t j = begin; j <= end; ++j) {
            sum += at(j);
        }
        for (std::int64_t j = begin; j <= end && sum != 0; ++j) {
            weights.values[static_cast<std::size_t>(j * out + i)] = at(j) / sum;
        }
    }
    return weights;
}

/// Weights [in, out] of means over the part of x that each position covers.
Tensor area_weights(std::int64_t in, std::int64_t out) {
    Tensor weights = Tensor::filled({in, out}, 0);
    const double step = static_cast<double>(in) / static_cast<double>(out);
    for (std::int64_t i = 0; i < out; ++i) {
        const double begin = static_cast<double>(i) * step;
        const double end = begin + step;
        for (std::int64_t j = 0; j < in; ++j) {
            const double shared =
                std::min(end, static_cast<double>(j) + 1) - std::max(begin, static_cast<double>(j));
            if (shared > 0) {
                weights.values[static_cast<std::size_t>(j * out + i)] = shared / step;
            }
        }
    }
    return weights;
}

/// A real number as float32 holds it.
Operand single_precision(Call& call, const Operand& x) {
    return call.function(
        "float_quantize", x,
        {Call::number(8), Call::number(23), Call::number(127),
         Call::number(static_cast<double>(std::numeric_limits<float>::max())), Call::number(1),
         Call::number(static_cast<double>(static_cast<int>(Rounding::half_even)))});
}

/// a + (b - a) t between the two nearest elements, as TensorFlow has it. Where t needs many bits,
/// its roundings to float32 are part of the result.
Operand bilinear(Call& call, const Operand& x, const ResampledAxis& axis, std::int64_t in,
                 bool short_steps) {
    const float step = static_cast<float>(in) / static_cast<float>(axis.extent);
    std::vector<std::int64_t> lower;
    std::vector<std::int64_t> upper;
    Shape shape(x.sample_shape().size(), 1);
    shape[static_cast<std::size_t>(axis.axis)] = axis.extent;
    Tensor between{shape, {}};
    for (std::int64_t i = 0; i < axis.extent; ++i) {
        const float at = (static_cast<float>(i) + 0.5F) * step - 0.5F;
        const float below = std::floor(at);
        lower.push_back(std::max<std::int64_t>(0, static_cast<std::int64_t>(below)));
        upper.push_back(std::min(static_cast<std::int64_t>(std::ceil(at)), in - 1));
        upper.back() = std::max<std::int64_t>(0, upper.back());
        between.values.push_back(static_cast<double>(at - below));
    }
    const auto rounded = [&](const Operand& y) {
        return short_steps ? y : single_precision(call, y);
    };
    const Operand a = taken(call, x, axis.axis, lower);
    const Operand b = taken(call, x, axis.axis, upper);
    const Operand part =
        rounded(call.multiply(rounded(call.subtract(b, a)), Call::tensor(std::move(between))));
    return rounded(call.add(a, part));
}

Operand nearest(Call& call, const Operand& x, const ResampledAxis& axis, std::int64_t in) {
    // Which element is taken is decided in float32.
    const float step = static_cast<float>(in) / static_cast<float>(axis.extent);
    std::vector<std::int64_t> take;
    for (std::int64_t i = 0; i < axis.extent; ++i) {
        const float at = std::floor((static_cast<float>(i) + 0.5F) * step);
        take.push_back(std::min(static_cast<std::int64_t>(at), in - 1));
    }
    return taken(call, x, axis.axis, take);
}

}  // namespace

Operand resampled(Call& call, const Operand& x, const Resampling& how,
                  const std::vector<ResampledAxis>& axes) {
    Operand y = x;
    // Whether 256 times each place between two elements is an integer, along all axes.
    const bool short_steps = std::all_of(axes.begin(), axes.end(), [&](const ResampledAxis& axis) {
        const std::int64_t in = x.sample_shape()[static_cast<std::size_t>(axis.axis)];
        return axis.extent > 0 && (in * 256) % (2 * axis.extent) == 0;
    });
    // TensorFlow goes along rows first, which its roundings tell.
    for (auto place = axes.rbegin(); place != axes.rend(); ++place) {
        const ResampledAxis& axis = *place;
        const std::int64_t in = y.sample_shape()[static_cast<std::size_t>(axis.axis)];
        if (in == axis.extent) {
            continue;
        }
        if (axis.extent < 1 || axis.extent > (1 << 24) || in < 1) {
            call.refuse(fmt::format("it resizes {} positions to {}", in, axis.extent));
        }
        if (how.interpolation == "nearest") {
            y = nearest(call, y, axis, in);
            continue;
        }
        if (how.interpolation == "bilinear" && !how.antialias) {
            y = bilinear(call, y, axis, in, short_steps);
            continue;
        }
        if (how.single_precision) {
            call.settings.refuse(
                "interpolation",
                fmt::format("the framework computes '{}' in float32 with roundings "
                            "of its own",
                            how.interpolation),
                "Use nearest or bilinear, without antialias.");
        }
        if (in * axis.extent > (std::int64_t{1} << 24)) {
            call.refuse(fmt::format("it resizes {} positions to {}", in, axis.extent));
        }
        if (how.interpolation == "area") {
            y = layers::weighted(call, y, axis.axis, area_weights(in, axis.extent));
            continue;
        }
        const auto* kernel =
            std::find_if(std::begin(kernels), std::end(kernels),
                         [&](const Kernel& k) { return k.name == how.interpolation; });
        if (kernel == std::end(kernels)) {
            call.settings.refuse("interpolation",
                                 fmt::format("there is no kind '{}'", how.interpolation));
        }
        y = layers::weighted(call, y, axis.axis,
                             kernel_weights(*kernel, in, axis.extent, how.antialias));
    }
    return y;
}

}  // namespace gatewright::keras
