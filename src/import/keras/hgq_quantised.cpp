// How the quantisers of HGQ and HGQ2 act: on constants, in float32 as the framework does it, and on
// activations, by operators.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/keras/hgq_quantisers.h"
#include "operators/layers.h"

namespace gatewright::keras {

namespace {

using layers::Builder;
using layers::Operand;
using operators::FakeQuantizeFields;

// Constants, in float32.

float round_float32(float x, Rounding rounding) {
    const float sign = x > 0 ? 1.0F : (x < 0 ? -1.0F : 0.0F);
    switch (rounding) {
        case Rounding::floor:
            return std::floor(x);
        case Rounding::half_up:
            return std::floor(x + 0.5F);
        case Rounding::half_even:
            return std::nearbyint(x);
        case Rounding::toward_zero:
            return std::floor(std::abs(x)) * sign;
        case Rounding::half_zero:
            return -std::floor(-std::abs(x) + 0.5F) * sign;
        case Rounding::half_down:
            return -std::floor(-x + 0.5F);
        case Rounding::half_away:
            return std::floor(std::abs(x) + 0.5F) * sign;
        case Rounding::ceil:
            return std::ceil(x);
        case Rounding::away:
            return std::ceil(std::abs(x)) * sign;
    }
    return x;
}

float exp2_float(double exponent) {
    return static_cast<float>(std::exp2(exponent));
}

/// x modulo m with the sign of m, as the framework's remainder.
float modulo(float x, float m) {
    const float rest = std::fmod(x, m);
    return rest != 0 && (rest < 0) != (m < 0) ? rest + m : rest;
}

float fixed_float32(float x, const HgqQuantiser& q, double k, double i, double f) {
    const float step = exp2_float(f);
    if (q.confine == Confine::none) {
        return round_float32(x * step, q.rounding) / step;
    }
    if (k + i + f <= 0) {
        return 0;
    }
    i = std::max(i, -f);
    const float bound = exp2_float(i);
    const float high = bound - exp2_float(-f);
    if (q.confine == Confine::saturate || q.confine == Confine::symmetric) {
        const float low =
            (q.confine == Confine::symmetric ? -high : -bound) * static_cast<float>(k);
        x = x > high ? high : (x < low ? low : x);
    }
    x = round_float32(x * step, q.rounding) / step;
    const float span = exp2_float(i + k);
    const float low = -bound * static_cast<float>(k);
    switch (q.confine) {
        case Confine::wrap: {
            const float bias = static_cast<float>(k) * exp2_float(i + k - 1);
            return modulo(x + bias, span) - bias;
        }
        case Confine::zero:
            return x > high || x < low ? 0 : x;
        case Confine::reflect: {
            const float level = x * step;
            const float levels = span * step;
            const float mapped = modulo(level - high * step - 1, 2 * levels);
            return (std::abs(mapped - levels + 0.5F) - 0.5F + low * step) / step;
        }
        default:
            return x;
    }
}

float small_float32(float x, double m, double e, double offset) {
    const double reach = std::max(std::exp2(e - 1), 1.0);
    const double low = 1 - reach + offset;
    const double high = reach - 1 + offset;
    const double wanted = std::floor(std::log2(std::abs(static_cast<double>(x)) + 1e-7));
    const double exponent = std::max(low, std::min(high, wanted));
    const float step = exp2_float(exponent - m);
    const float most = exp2_float(m + 1) - (exponent == high ? 1.0F : 0.0F);
    const float significand = std::nearbyint(x / step);
    return std::max(-most, std::min(most, significand)) * step;
}

/// Widths without axes of extent 1 in front that a constant does not have: a batch axis.
Tensor fitted(Tensor widths, const Shape& shape) {
    while (widths.shape.size() > shape.size() && widths.shape.front() == 1) {
        widths.shape.erase(widths.shape.begin());
    }
    return widths;
}

}  // namespace

Tensor quantised(const Builder& layer, const Tensor& x, const HgqQuantiser& q) {
    if (q.kind == HgqQuantiser::Kind::identity && !q.scaler && !q.affine) {
        return x;
    }
    if (q.uncertain) {
        HgqQuantiser certain = q;
        certain.uncertain = false;
        const Tensor traced = quantised(layer, x, certain);
        certain.confine = Confine::wrap;
        if (traced != quantised(layer, x, certain)) {
            layer.refuse(
                "some of its weights leave the range of their quantiser, and the layer is "
                "frozen: whether they wrap then depends on how the model is loaded",
                "Give the weights more integer bits.");
        }
        return traced;
    }
    const bool small = q.kind == HgqQuantiser::Kind::small_float;
    const Tensor a = fitted(small ? q.small.mantissa : q.fixed.negative, x.shape);
    const Tensor b = fitted(small ? q.small.exponent : q.fixed.integer, x.shape);
    const Tensor c = fitted(small ? q.small.offset : q.fixed.fraction, x.shape);
    std::vector<std::int64_t> index;
    if (q.kind != HgqQuantiser::Kind::identity) {
        if (broadcast(a.shape, x.shape) != x.shape) {
            throw Failure(Code::weights_mismatch, layer.where(),
                          fmt::format("a quantiser's widths of shape {} do not fit a constant of "
                                      "shape {}",
                                      to_string(a.shape), to_string(x.shape)));
        }
        index = broadcast_index(a.shape, x.shape);
    }
    Tensor out = x;
    for (std::size_t e = 0; e < out.values.size(); ++e) {
        auto v = static_cast<float>(out.values[e]);
        if (q.scaler) {
            v = v / static_cast<float>(*q.scaler);
        }
        if (q.kind != HgqQuantiser::Kind::identity) {
            const auto i = static_cast<std::size_t>(index[e]);
            v = small ? small_float32(v, a.values[i], b.values[i], c.values[i])
                      : fixed_float32(v, q, a.values[i], b.values[i], c.values[i]);
        }
        if (q.scaler) {
            v = v * static_cast<float>(*q.scaler);
        }
        if (q.affine) {
            v = v * static_cast<float>(q.affine->first);
            v = v + static_cast<float>(q.affine->second);
        }
        out.values[e] = static_cast<double>(v) + 0.0;  // no negative zeros
    }
    return out;
}

// Activations, by operators.

namespace {

Operand line(Builder& layer, const Operand& x, double factor, double summand) {
    return layer.function("affine", x, {Builder::number(factor), Builder::number(summand)});
}

Operand fake_quantise(Builder& layer, const Operand& x, FakeQuantizeFields fields) {
    return layer
        .emit(operators::fake_quantize_operator, layers::Attributes::of(std::move(fields)), {x},
              x.batch_axis)
        .front();
}

/// A parameter of the file's shape as it stands beside x; `x`'s shape must not grow by it.
Tensor beside(const Builder& layer, const Tensor& parameter, const Operand& x) {
    Tensor out = layer.without_batch(parameter, x);
    if (broadcast(out.shape, x.sample_shape()) != x.sample_shape()) {
        throw Failure(Code::weights_mismatch, layer.where(),
                      fmt::format("a quantiser's widths of shape {} do not fit a tensor of shape "
                                  "{}",
                                  to_string(parameter.shape), to_string(x.sample_shape())));
    }
    return out;
}

/// A parameter for each element of the widths.
template <class F>
Tensor each(const FixedWidths& w, F function) {
    Tensor out = w.negative;
    for (std::size_t e = 0; e < out.values.size(); ++e) {
        const double k = w.negative.values[e];
        const double f = w.fraction.values[e];
        const double i = std::max(w.integer.values[e], -f);
        const bool empty = k + w.integer.values[e] + f <= 0;
        out.values[e] = function(k, empty ? 0 : i, empty ? 0 : f, empty);
    }
    return out;
}

Tensor lowest(const FixedWidths& w, bool symmetric) {
    return each(w, [&](double k, double i, double f, bool empty) {
        return empty ? 0.0 : -k * (std::exp2(i + f) - (symmetric ? 1 : 0)) + 0.0;
    });
}

Tensor highest(const FixedWidths& w) {
    return each(w, [](double, double i, double f, bool empty) {
        return empty ? 0.0 : std::exp2(i + f) - 1;
    });
}

Tensor steps(const FixedWidths& w) {
    return each(w, [](double, double, double f, bool) { return std::exp2(-f); });
}

Tensor times(Tensor a, const Tensor& b) {
    for (std::size_t e = 0; e < a.values.size(); ++e) {
        a.values[e] *= b.values[e];
    }
    return a;
}

Tensor plus(Tensor a, double summand) {
    for (double& v : a.values) {
        v += summand;
    }
    return a;
}

FakeQuantizeFields plain_fields(const Builder& layer, const Operand& x, const HgqQuantiser& q) {
    FakeQuantizeFields fields;
    fields.scale = beside(layer, steps(q.fixed), x);
    fields.zero_point = Tensor::scalar(0);
    fields.low = beside(layer, lowest(q.fixed, q.confine == Confine::symmetric), x);
    fields.high = beside(layer, highest(q.fixed), x);
    fields.rounding = q.rounding;
    fields.overflow = q.confine == Confine::wrap ? Overflow::wrap : Overflow::saturate;
    return fields;
}

/// One level more at each end, which then become 0.
Operand overflowing_to_zero(Builder& layer, const Operand& x, const HgqQuantiser& q) {
    FakeQuantizeFields wide = plain_fields(layer, x, q);
    wide.low = plus(std::move(wide.low), -1);
    wide.high = plus(std::move(wide.high), 1);
    const auto parameter = [](const Tensor& t) { return Builder::tensor(t); };
    const Operand below = parameter(times(wide.low, wide.scale));
    Tensor above = times(wide.high, wide.scale);
    for (double& v : above.values) {
        v = -v;
    }
    Operand y = fake_quantise(layer, x, wide);
    y = layer.function("thresholded_relu", y, {below});
    y = line(layer, y, -1, 0);
    y = layer.function("thresholded_relu", y, {parameter(above)});
    y = line(layer, y, -1, 0);
    return fake_quantise(layer, y, plain_fields(layer, x, q));
}

/// With H levels from 0 up and levels from -kH: wrapped to twice the levels, w, the result is
/// min(|w + kH + 1/2| - 1/2 - kH, 2H - 1 - w).
Operand reflecting(Builder& layer, const Operand& x, const HgqQuantiser& q) {
    FakeQuantizeFields wide = plain_fields(layer, x, q);
    const Tensor half =
        beside(layer,
               each(q.fixed, [](double k, double i, double f,
                                bool empty) { return empty ? 1.0 : std::exp2(i + f + k); }),
               x);
    const Tensor begin =
        beside(layer,
               each(q.fixed, [](double k, double i, double f,
                                bool empty) { return empty ? 0.0 : k * std::exp2(i + f); }),
               x);
    const Tensor high = wide.high;
    for (std::size_t e = 0; e < half.values.size(); ++e) {
        wide.low.values[e] = -half.values[e];
        wide.high.values[e] = half.values[e] - 1;
    }
    wide.overflow = Overflow::wrap;
    const auto parameter = [&](const Tensor& levels) {
        return Builder::tensor(times(levels, wide.scale));
    };
    const Operand shift = parameter(plus(begin, 0.5));
    Tensor twice = high;
    for (double& v : twice.values) {
        v = 2 * v + 1;
    }
    const Operand one = Builder::number(1);
    const Operand w = fake_quantise(layer, x, wide);
    Operand y = layer.function("affine", w, {one, shift});
    y = layer.subtract(layer.function("absolute", y), shift);
    y = layer.minimum(y, layer.function("affine", w, {Builder::number(-1), parameter(twice)}));
    HgqQuantiser last = q;
    last.confine = Confine::saturate;
    return fake_quantise(layer, y, plain_fields(layer, x, last));
}

Operand small_floats(Builder& layer, const Operand& x, const FloatWidths& w) {
    const auto each_of = [&](auto function) {
        Tensor out = w.mantissa;
        for (std::size_t e = 0; e < out.values.size(); ++e) {
            out.values[e] =
                function(w.mantissa.values[e], std::max(std::exp2(w.exponent.values[e] - 1), 1.0),
                         w.offset.values[e]);
        }
        return beside(layer, out, x);
    };
    const Tensor bias = each_of([](double, double reach, double offset) { return reach - offset; });
    const Tensor largest = each_of([](double m, double reach, double offset) {
        return (2 - std::exp2(-m)) * std::exp2(reach - 1 + offset);
    });
    const auto parameter = [](const Tensor& t) { return Builder::tensor(t); };
    const Operand y = layer.function(
        "float_quantize", x,
        {parameter(beside(layer, w.exponent, x)), parameter(beside(layer, w.mantissa, x)),
         parameter(bias), parameter(largest), Builder::number(1),
         Builder::number(static_cast<double>(static_cast<int>(Rounding::half_even)))});
    // All results lie on the grid of the smallest step.
    FakeQuantizeFields grid;
    grid.scale = each_of(
        [](double m, double reach, double offset) { return std::exp2(1 - reach + offset - m); });
    grid.zero_point = Tensor::scalar(0);
    grid.high = largest;
    for (std::size_t e = 0; e < largest.values.size(); ++e) {
        grid.high.values[e] /= grid.scale.values[e];
    }
    grid.low = grid.high;
    for (double& v : grid.low.values) {
        v = -v;
    }
    return fake_quantise(layer, y, std::move(grid));
}

}  // namespace

Operand quantised(Builder& layer, const Operand& x, const HgqQuantiser& q) {
    if (x.is_constant) {
        Operand out = x;
        out.constant = quantised(static_cast<const Builder&>(layer), x.constant, q);
        out.is_integer = false;
        return out;
    }
    Operand y = x;
    if (q.scaler) {
        y = layer.divide(y, Builder::number(*q.scaler));
    }
    switch (q.kind) {
        case HgqQuantiser::Kind::identity:
            break;
        case HgqQuantiser::Kind::small_float:
            y = small_floats(layer, y, q.small);
            break;
        case HgqQuantiser::Kind::fixed_point:
            if (q.confine == Confine::none) {
                layer.refuse(
                    "a quantiser of traced weights, which has no bounds, quantises an activation",
                    "Use a quantiser of place 'datalane', or an overflow mode that saturates.");
            }
            y = q.confine == Confine::zero ? overflowing_to_zero(layer, y, q)
                : q.confine == Confine::reflect
                    ? reflecting(layer, y, q)
                    : fake_quantise(layer, y, plain_fields(layer, y, q));
            break;
    }
    if (q.scaler) {
        y = line(layer, y, *q.scaler, 0);
    }
    if (q.affine) {
        y = line(layer, y, q.affine->first, q.affine->second);
    }
    return y;
}

}  // namespace gatewright::keras
