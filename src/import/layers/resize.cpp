#include "import/layers/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/layers/sample.h"
#include "operators/move.h"

namespace gatewright::layers {

namespace {

/// A file can ask for any extent; weights of an axis are a matrix.
constexpr std::int64_t most_elements = std::int64_t{1} << 26;

double single(const Resizing& resizing, double value) {
    return resizing.single_precision ? static_cast<double>(static_cast<float>(value)) : value;
}

/// Where position i of y lies in x.
double source(const Resizing& r, const ResizedAxis& axis, std::int64_t in, std::int64_t i) {
    const auto inputs = static_cast<double>(in);
    const auto outputs = static_cast<double>(axis.out);
    const auto at = static_cast<double>(i);
    const double scale = single(r, axis.scale.value_or(outputs / inputs));
    const auto f = [&](double value) { return single(r, value); };
    switch (r.coordinates) {
        case Coordinates::half_pixel:
            return f(f(f(at + 0.5) / scale) - 0.5);
        case Coordinates::half_pixel_symmetric: {
            // The result that the scale would give is wider than the one of whole positions.
            const double adjustment = f(outputs / f(scale * inputs));
            const double centre = f(inputs / 2);
            const double offset = f(centre * f(1 - adjustment));
            return f(f(offset + f(f(at + 0.5) / scale)) - 0.5);
        }
        case Coordinates::pytorch_half_pixel:
            return axis.out > 1 ? f(f(f(at + 0.5) / scale) - 0.5) : 0;
        case Coordinates::align_corners:
            return axis.out > 1 ? f(f(at * (inputs - 1)) / (outputs - 1)) : 0;
        case Coordinates::asymmetric:
            return f(at / scale);
        case Coordinates::tf_half_pixel:
            return f(f(at + 0.5) / scale);
        case Coordinates::crop:
            return axis.out > 1
                       ? f(f(axis.begin * (inputs - 1)) +
                           f(f(at * f(axis.end - axis.begin)) * (inputs - 1)) / (outputs - 1))
                       : f(0.5 * (axis.begin + axis.end) * (inputs - 1));
    }
    return 0;
}

std::int64_t nearest(NearestRounding rounding, double at, std::int64_t in) {
    double whole = 0;
    switch (rounding) {
        case NearestRounding::prefer_floor:
            whole = std::ceil(at - 0.5);
            break;
        case NearestRounding::prefer_ceil:
            whole = std::floor(at + 0.5);
            break;
        case NearestRounding::floor:
            whole = std::floor(at);
            break;
        case NearestRounding::ceil:
            whole = std::ceil(at);
            break;
    }
    return static_cast<std::int64_t>(std::clamp(whole, 0.0, static_cast<double>(in - 1)));
}

/// The interpolating kernel at distance d, of support 1 (linear) or 2 (cubic).
double kernel(const Resizing& r, double d) {
    d = std::abs(d);
    if (r.interpolation == Interpolation::linear) {
        return std::max(0.0, 1 - d);
    }
    const double a = r.cubic;
    if (d <= 1) {
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    }
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/// Whether a position lies outside of x, which only cropping tells from its edge.
bool is_outside(const Resizing& r, double at, std::int64_t in) {
    return r.coordinates == Coordinates::crop && (at < 0 || at > static_cast<double>(in - 1));
}

void check(Builder& builder, const Operand& x, const std::vector<ResizedAxis>& axes) {
    Shape shape = x.sample_shape();
    for (const ResizedAxis& axis : axes) {
        std::int64_t& extent = shape[static_cast<std::size_t>(axis.axis)];
        const bool sound = axis.out >= 1 && axis.out <= most_elements && extent >= 1 &&
                           extent <= most_elements / axis.out &&
                           (!axis.scale || (*axis.scale > 0 && std::isfinite(*axis.scale)));
        if (!sound) {
            builder.refuse(
                fmt::format("an axis of {} positions does not become one of {}", extent, axis.out));
        }
        extent = axis.out;
    }
    const auto count = checked_element_count(shape);
    if (!count || *count > most_elements) {
        builder.refuse("its result has too many elements");
    }
}

Operand nearest_elements(Builder& builder, const Operand& x, const Resizing& resizing,
                         const std::vector<ResizedAxis>& axes) {
    const Shape& from = x.sample_shape();
    Shape shape = from;
    std::vector<std::vector<std::int64_t>> positions(shape.size());
    for (const ResizedAxis& axis : axes) {
        const auto at = static_cast<std::size_t>(axis.axis);
        shape[at] = axis.out;
        for (std::int64_t i = 0; i < axis.out; ++i) {
            positions[at].push_back(
                nearest(resizing.rounding, source(resizing, axis, from[at], i), from[at]));
        }
    }
    const auto from_strides = strides_of(from);
    const auto strides = strides_of(shape);
    const std::int64_t count = element_count(shape);
    operators::IndexFields fields{shape, {{count}, {}}};
    for (std::int64_t e = 0; e < count; ++e) {
        std::int64_t element = 0;
        for (std::size_t i = 0; i < shape.size(); ++i) {
            const std::int64_t at = e / strides[i] % shape[i];
            element += (positions[i].empty() ? at : positions[i][static_cast<std::size_t>(at)]) *
                       from_strides[i];
        }
        fields.index.values.push_back(element);
    }
    return builder
        .emit(operators::index_operator, Attributes::of(std::move(fields)), {x}, x.batch_axis)
        .front();
}

/// Positions outside of x in any axis become the extrapolation value: axis by axis, so that the
/// constants are as long as one.
Operand extrapolated(Builder& builder, Operand y, const Shape& from, const Resizing& resizing,
                     const std::vector<ResizedAxis>& axes) {
    for (const ResizedAxis& axis : axes) {
        const auto k = static_cast<std::size_t>(axis.axis);
        Shape shape(from.size(), 1);
        shape[k] = axis.out;
        Tensor inside = Tensor::filled(shape, 1);
        Tensor value = Tensor::filled(shape, 0);
        for (std::int64_t i = 0; i < axis.out; ++i) {
            if (is_outside(resizing, source(resizing, axis, from[k], i), from[k])) {
                inside.values[static_cast<std::size_t>(i)] = 0;
                value.values[static_cast<std::size_t>(i)] = resizing.extrapolation;
            }
        }
        if (inside != Tensor::filled(shape, 1)) {
            const Operand kept = builder.multiply(in_front(y), Builder::tensor(std::move(inside)));
            y = batched_as(builder.add(kept, Builder::tensor(std::move(value))), y);
        }
    }
    return y;
}

}  // namespace

Tensor resizing_weights(const Resizing& resizing, const ResizedAxis& axis, std::int64_t in) {
    Tensor weights = Tensor::filled({in, axis.out}, 0);
    const double scale =
        axis.scale.value_or(static_cast<double>(axis.out) / static_cast<double>(in));
    // Kernels are stretched to the distance of y's positions where those are further apart.
    const double stretch = resizing.antialias && scale < 1 ? scale : 1;
    const double reach = (resizing.interpolation == Interpolation::linear ? 1.0 : 2.0) / stretch;
    for (std::int64_t i = 0; i < axis.out; ++i) {
        const auto weight = [&](std::int64_t j) -> double& {
            return weights.values[static_cast<std::size_t>(j * axis.out + i)];
        };
        double at = source(resizing, axis, in, i);
        if (resizing.interpolation == Interpolation::nearest) {
            weight(nearest(resizing.rounding, at, in)) = 1;
            continue;
        }
        // Beyond the edges lies the edge.
        if (resizing.interpolation == Interpolation::linear && stretch == 1) {
            at = std::clamp(at, 0.0, static_cast<double>(in - 1));
        }
        double sum = 0;
        for (auto j = static_cast<std::int64_t>(std::floor(at - reach));
             static_cast<double>(j) <= at + reach; ++j) {
            const double w = kernel(resizing, (static_cast<double>(j) - at) * stretch);
            const bool inside = j >= 0 && j < in;
            if (w == 0 || (!inside && resizing.exclude_outside)) {
                continue;
            }
            weight(std::clamp<std::int64_t>(j, 0, in - 1)) += w;
            sum += w;
        }
        if ((resizing.exclude_outside || resizing.antialias) && sum != 0) {
            for (std::int64_t j = 0; j < in; ++j) {
                weight(j) /= sum;
            }
        }
    }
    return weights;
}

Operand resized(Builder& builder, const Operand& x, const Resizing& resizing,
                const std::vector<ResizedAxis>& axes) {
    check(builder, x, axes);
    Operand y = x;
    if (resizing.interpolation == Interpolation::nearest) {
        y = nearest_elements(builder, x, resizing, axes);
    } else {
        for (const ResizedAxis& axis : axes) {
            const std::int64_t in = x.sample_shape()[static_cast<std::size_t>(axis.axis)];
            y = weighted(builder, y, axis.axis, resizing_weights(resizing, axis, in));
        }
    }
    return resizing.coordinates == Coordinates::crop
               ? extrapolated(builder, y, x.sample_shape(), resizing, axes)
               : y;
}

}  // namespace gatewright::layers
