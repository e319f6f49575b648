// Quantisers of QKeras on constants: float32, operation by operation in QKeras' order, so that a
// weight comes out as the framework's own.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/diagnostics.h"
#include "import/keras/qkeras_quantisers.h"

namespace gatewright::keras {

namespace {

using Kind = Quantiser::Kind;

constexpr float epsilon = 1e-7F;  // keras.backend.epsilon()
constexpr float log_of_2 = 0.693147180559945309F;

float exponential2(double exponent) {
    const auto power = static_cast<float>(std::exp2(exponent));
    // TensorFlow's kernels flush numbers below the normal ones to zero.
    return std::abs(power) < std::numeric_limits<float>::min() ? 0.0F : power;
}

/// TensorFlow's logarithm, bit for bit: ties of logarithms to base 2 (of powers of two and their
/// roots) fall as it rounds. It is a quotient of polynomials of m - 1 for m in [1/sqrt(2),
/// sqrt(2)), evaluated without fused operations, plus the exponent times log(2).
float logarithm(float x) {
    if (!(x > 0) || std::isinf(x)) {
        return std::log(x);
    }
    int exponent = 0;
    float m = std::frexp(x, &exponent);
    if (m < 0.707106781186547524F) {
        m = (m - 1) + m;
        --exponent;
    } else {
        m = m - 1;
    }
    float above = m * 0.18256296349849254F + 1.0000000190281063F;
    above = m * above + 1.0000000190281136F;
    float below = m * 0.049616247954120038F + 0.59923249590823520F;
    below = m * below + 1.4999999999999927F;
    below = m * below + 1;
    return static_cast<float>(exponent) * log_of_2 + m * above / below;
}

float sign(float x) {
    return x > 0 ? 1.0F : (x < 0 ? -1.0F : 0.0F);
}

/// The straight-through form x + (y - x), which is not always y in float32.
float through(float x, float y) {
    return x + (-x + y);
}

float round_through(float x) {
    return through(x, std::nearbyint(x));
}

float clip(float x, float low, float high) {
    return std::max(std::min(x, high), low);
}

float hard_sigmoid(float x) {
    return clip(0.5F * x + 0.5F, 0, 1);
}

/// A quantised number, and the one that the straight-through form (and qnoise_factor) mixes it
/// with.
struct Pair {
    float plain = 0;
    float y = 0;
};

/// scale y, mixed with plain by qnoise_factor. The product is not rounded to float32: so weights
/// are multiples of their scale, and what they are multiplied with needs few bits in a circuit.
double scaled(const Quantiser& q, float plain, float scale, float y) {
    if (q.qnoise_factor == 1) {
        return static_cast<double>(scale) * static_cast<double>(y);
    }
    return plain + static_cast<float>(q.qnoise_factor) * (-plain + scale * y);
}

float leaky(float x, float slope) {
    return x < 0 ? slope * x : x;
}

Pair bits_number(const Quantiser& q, float x, double integer) {
    const double unsigned_bits = q.bits - (q.keep_negative ? 1 : 0);
    const float m = exponential2(unsigned_bits);
    const float m_i = exponential2(integer);
    float y = 0;
    if (unsigned_bits > 0) {
        const float low = q.keep_negative ? -m + (q.symmetric ? 1.0F : 0.0F) : 0.0F;
        y = m_i * clip(round_through(x * m / m_i), low, m - 1) / m;
    } else {
        y = x < 0 ? -1.0F : 1.0F;
        y = q.keep_negative ? y : (y + 1) / 2;
    }
    return {x, y};
}

Pair relu_number(const Quantiser& q, float x, double integer) {
    const auto slope = static_cast<float>(q.negative_slope);
    const double bits = q.bits - (slope != 0 ? 1 : 0);
    const float m = exponential2(bits);
    const float m_i = exponential2(integer);
    const float m_f = exponential2(integer - bits);
    const bool bounded = q.relu_upper_bound && !q.is_quantized_clip;
    const auto bound = static_cast<float>(q.relu_upper_bound.value_or(0));
    float plain = leaky(x, slope);
    if (q.is_quantized_clip && x > m_i - m_f) {
        plain = m_i - m_f;
    } else if (bounded && x > bound) {
        plain = bound;
    }
    const float negative = 1 / (slope * m);
    float y = 0;
    if (q.use_sigmoid) {
        const float p = hard_sigmoid(x / m_i) * m;
        y = m_i * clip(2 * (round_through(p) / m) - 1, 0, 1 - 1 / m);
        if (slope > 0) {
            y += m_i * slope * clip(2 * (round_through(p * slope) * negative) - 1, -1, 0);
        }
    } else {
        const float p = x * m / m_i;
        y = m_i * clip(round_through(p) / m, 0, 1 - 1 / m);
        if (slope > 0) {
            y += m_i * slope * clip(round_through(p * slope) * negative, -1, 0);
        }
    }
    // QKeras asks whether the bound is true, so 0 is none.
    if (bounded && bound != 0 && y > bound) {
        y = bound;
    }
    return {plain, y};
}

float ulaw_number(const Quantiser& q, float x) {
    const auto m = static_cast<float>(std::exp2(q.bits - 1));
    const auto m_i = static_cast<float>(std::exp2(q.integer));
    const auto u = static_cast<float>(q.u);
    const float p = hard_sigmoid(x / m_i) * m;
    const float r = 2 * (round_through(p) / m) - 1;
    const float y = sign(r) * logarithm(1 + u * std::abs(r)) / logarithm(1 + u);
    return m_i * clip(y, -1 + (q.symmetric ? 1.0F : 0.0F) / m, 1 - 1 / m);
}

float tanh_number(const Quantiser& q, float x) {
    const float m = exponential2(q.bits - 1);
    const float p = q.use_real ? static_cast<float>(std::tanh(static_cast<double>(x)))
                               : 2 * hard_sigmoid(x) - 1;
    return clip(round_through(p * m) / m, -1 + (q.symmetric ? 1.0F : 0.0F) / m, 1 - 1 / m);
}

float sigmoid_number(const Quantiser& q, float x) {
    const float m = exponential2(q.bits);
    const float p = q.use_real ? static_cast<float>(1 / (1 + std::exp(-static_cast<double>(x))))
                               : hard_sigmoid(x);
    return clip(round_through(p * m) / m, (q.symmetric ? 1.0F : 0.0F) / m, 1 - 1 / m);
}

/// The power of two next to x >= 0, within the exponents that the quantiser has.
float power_of_two_near(const Quantiser& q, float x) {
    const double bits =
        q.bits - (q.kind == Kind::po2 ? 1 : 0) - (q.max_value.value_or(2) > 1 ? 1 : 0);
    const double low = -std::exp2(bits);
    double high = std::exp2(bits) - 1;
    if (q.quadratic_approximation) {
        high = 2 * std::floor(high / 2);
    }
    if (x < epsilon) {
        return exponential2(low);
    }
    if (q.max_value) {
        x = std::min(x, static_cast<float>(*q.max_value));
    }
    const float log = logarithm(q.quadratic_approximation ? std::sqrt(x) : x) / log_of_2;
    const float exponent =
        q.log2_rounding == "floor" ? through(log, std::floor(log)) : round_through(log);
    const double clipped = std::clamp(static_cast<double>(exponent), low, high);
    return exponential2((q.quadratic_approximation ? 2 : 1) * clipped);
}

Pair po2_number(const Quantiser& q, float x) {
    return {x, (x < 0 ? -1.0F : 1.0F) * power_of_two_near(q, std::abs(x))};
}

Pair relu_po2_number(const Quantiser& q, float x) {
    const auto slope = static_cast<float>(q.negative_slope);
    const auto bound = static_cast<float>(q.max_value.value_or(0));
    const float plain = q.max_value && x > bound ? bound : leaky(x, slope);
    const float y = x >= 0 || slope == 0 ? power_of_two_near(q, std::max(x, 0.0F))
                                         : -power_of_two_near(q, std::max(-x, 0.0F) * slope);
    return {plain, y};
}

float binary_sign(const Quantiser& q, float x) {
    const float s = x < 0 ? -1.0F : 1.0F;
    return q.use_01 ? (s + 1) / 2 : s;
}

float ternary_number(const Quantiser& q, float x) {
    const auto threshold = static_cast<float>(q.threshold.value_or(0.33));
    return std::abs(x) >= threshold ? sign(x) : 0.0F;
}

/// Which elements share a scale: those with equal numbers. `whole`: all of them.
struct Groups {
    std::vector<std::size_t> of;
    std::size_t count = 1;
};

/// Along all axes but one (scale_axis, else the last). QKeras leaves the axis out of a list of
/// axes to reduce; -1 is in no such list, so that all are reduced.
Groups channels(const Quantiser& q, const Shape& shape) {
    const auto rank = static_cast<std::int64_t>(shape.size());
    const auto kept = q.scale_axis ? static_cast<std::int64_t>(*q.scale_axis) : rank - 1;
    Groups groups;
    const auto size = static_cast<std::size_t>(element_count(shape));
    if (kept < 0 || kept >= rank) {
        groups.of.assign(size, 0);
        return groups;
    }
    const auto inner = static_cast<std::size_t>(strides_of(shape)[static_cast<std::size_t>(kept)]);
    groups.count = static_cast<std::size_t>(shape[static_cast<std::size_t>(kept)]);
    for (std::size_t i = 0; i < size; ++i) {
        groups.of.push_back(i / inner % groups.count);
    }
    return groups;
}

Groups whole(std::size_t size) {
    return {std::vector<std::size_t>(size, 0), 1};
}

Groups each(std::size_t size) {
    Groups groups{{}, size};
    for (std::size_t i = 0; i < size; ++i) {
        groups.of.push_back(i);
    }
    return groups;
}

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

float nearest_power(float scale) {
    return exponential2(std::nearbyint(logarithm(scale + epsilon) / log_of_2));
}

Floats largest(const Floats& x, const Groups& groups) {
    Floats out(groups.count, 0.0F);
    for (std::size_t i = 0; i < x.size(); ++i) {
        out[groups.of[i]] = std::max(out[groups.of[i]], std::abs(x[i]));
    }
    return out;
}

/// The factor that brings q nearest to x, by least squares.
Floats fitted(const Quantiser& quantiser, const Floats& x, const Floats& q, const Groups& groups) {
    std::vector<double> xq(groups.count, 0.0);
    std::vector<double> qq(groups.count, 0.0);
    for (std::size_t i = 0; i < x.size(); ++i) {
        xq[groups.of[i]] += x[i] * q[i];
        qq[groups.of[i]] += q[i] * q[i];
    }
    const double size = static_cast<double>(x.size()) / static_cast<double>(groups.count);
    Floats scale;
    for (std::size_t g = 0; g < groups.count; ++g) {
        const float s =
            static_cast<float>(xq[g] / size) / (static_cast<float>(qq[g] / size) + epsilon);
        scale.push_back(quantiser.alpha.kind == Alpha::Kind::automatic_po2 ? nearest_power(s) : s);
    }
    return scale;
}

/// The scales of a vector (a bias) are fitted to each element alone.
Groups fit_groups(const Quantiser& q, const Shape& shape) {
    return shape.size() > 1 ? channels(q, shape)
                            : each(static_cast<std::size_t>(element_count(shape)));
}

/// A scale for each group of `from`, as one for each of `to`, which are parts of them.
Floats spread(const Floats& scale, const Groups& from, const Groups& to) {
    Floats out(to.count, 0.0F);
    for (std::size_t i = 0; i < to.of.size(); ++i) {
        out[to.of[i]] = scale[from.of[i]];
    }
    return out;
}

Doubles automatic_bits(const Quantiser& q, const Floats& x, const Shape& shape) {
    const Groups first = shape.size() > 1 ? channels(q, shape) : whole(x.size());
    const Groups groups = fit_groups(q, shape);
    const float m = exponential2(q.bits - (q.keep_negative ? 1 : 0));
    const float m_i = exponential2(q.integer);
    const auto levels = static_cast<float>((std::exp2(q.bits - 1) - 1) * 2);
    Floats small = x;
    for (float& v : small) {
        v = v / m_i;
    }
    Floats scale = largest(small, first);
    for (float& s : scale) {
        s = s * 2 / levels;
    }
    Floats z(x.size());
    const auto round = [&](const Floats& scales, const Groups& of) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            const float v = std::floor(std::abs(small[i]) / scales[of.of[i]] + 0.5F);
            z[i] = sign(small[i]) * (v < levels / 2 ? v : levels / 2);
        }
    };
    if (q.alpha.kind == Alpha::Kind::automatic_po2) {
        std::transform(scale.begin(), scale.end(), scale.begin(), nearest_power);
        round(scale, first);
        scale = fitted(q, small, z, groups);
        for (int i = 1; i < 5; ++i) {
            round(scale, groups);
            scale = fitted(q, small, z, groups);
        }
    } else {
        round(scale, first);
        scale = spread(scale, first, groups);
    }
    Doubles y;
    for (std::size_t i = 0; i < x.size(); ++i) {
        y.push_back(scaled(q, m_i * small[i], scale[groups.of[i]] * m, m_i * z[i] / m));
    }
    return y;
}

Doubles automatic_ternary(const Quantiser& q, const Floats& x, const Shape& shape) {
    // Here QKeras knows no scale_axis, and its class has none.
    Groups of = shape.size() > 1 ? channels(q, shape) : whole(x.size());
    const Groups groups = fit_groups(q, shape);
    Floats scale = largest(x, of);
    for (float& s : scale) {
        s = 2 * s / 3;
        s = q.alpha.kind == Alpha::Kind::automatic_po2 ? nearest_power(s) : s;
    }
    Floats t(x.size());
    for (int n = 0; n < static_cast<int>(q.number_of_unrolls); ++n) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            const float s = scale[of.of[i]];
            const float v = s * round_through(x[i] / s);
            t[i] = std::abs(v) >= s / 2 ? sign(x[i]) : 0.0F;
        }
        scale = fitted(q, x, t, groups);
        of = groups;
    }
    Doubles y;
    for (std::size_t i = 0; i < x.size(); ++i) {
        y.push_back(scaled(q, x[i], scale[of.of[i]], t[i]));
    }
    return y;
}

Doubles automatic_binary(const Quantiser& q, const Floats& x, const Shape& shape) {
    const Groups groups = fit_groups(q, shape);
    Floats s;
    for (const float v : x) {
        s.push_back(binary_sign(q, v));
    }
    const Floats scale = fitted(q, x, s, groups);
    Doubles y;
    for (std::size_t i = 0; i < x.size(); ++i) {
        y.push_back(scaled(q, x[i], scale[groups.of[i]], s[i]));
    }
    return y;
}

Doubles automatic(const Quantiser& q, const Floats& x, const Shape& shape) {
    switch (q.kind) {
        case Kind::bits:
        case Kind::hswish:
            return automatic_bits(q, x, shape);
        case Kind::ternary:
            return automatic_ternary(q, x, shape);
        default:
            return automatic_binary(q, x, shape);
    }
}

/// x min(max(x + shift, 0), bound) / bound.
float hswish(const Quantiser& q, float x) {
    const auto bound = static_cast<float>(q.hswish_bound);
    return x * clip(x + static_cast<float>(q.relu_shift), 0, bound) / bound;
}

Pair number(const Quantiser& q, float x, double integer) {
    // Without an alpha, QKeras puts tanh(x) in the place of x.
    const float smooth = q.alpha.kind == Alpha::Kind::none ? std::tanh(x) : x;
    switch (q.kind) {
        case Kind::hswish:
            return bits_number(q, hswish(q, x), integer);
        case Kind::bits:
            return bits_number(q, x, integer);
        case Kind::relu:
            return relu_number(q, x, integer);
        case Kind::po2:
            return po2_number(q, x);
        case Kind::relu_po2:
            return relu_po2_number(q, x);
        case Kind::binary:
            return {smooth, binary_sign(q, x)};
        case Kind::ternary:
            return {smooth, ternary_number(q, x)};
        // These have no straight-through form around them.
        case Kind::ulaw: {
            const float y = ulaw_number(q, x);
            return {y, y};
        }
        case Kind::tanh: {
            const float y = tanh_number(q, x);
            return {y, y};
        }
        case Kind::sigmoid: {
            const float y = sigmoid_number(q, x);
            return {y, y};
        }
        case Kind::bernoulli:
        case Kind::function:
            break;
    }
    return {};
}

}  // namespace

float quantised_number(const Quantiser& q, float x) {
    return number(q, x, q.integer).y;
}

Tensor quantised_constant(const Quantiser& q, const Tensor& x, const Location& where) {
    const auto refuse = [&](const std::string& message) {
        throw Failure(Code::unsupported_attribute, where,
                      fmt::format("its quantiser {}: {}", q.name, message));
    };
    const bool is_ternary = q.kind == Kind::ternary;
    if (is_ternary && q.alpha.is_automatic() && q.threshold) {
        refuse("QKeras takes no threshold where it computes alpha");
    }
    if (is_ternary && q.alpha.is_automatic() && q.number_of_unrolls < 1) {
        refuse("QKeras needs at least one round to compute alpha");
    }
    if (is_ternary && !q.alpha.is_automatic() && q.use_stochastic_rounding) {
        refuse("QKeras rounds stochastically only where it computes alpha");
    }
    // There QKeras adds a vector of as many ones as there are axes to the tensor of signs.
    const bool fits =
        x.shape.size() == 1 ||
        (!x.shape.empty() && x.shape.back() == static_cast<std::int64_t>(x.shape.size()));
    if (q.kind == Kind::binary && q.use_stochastic_rounding && !fits) {
        refuse("QKeras itself cannot run it with use_stochastic_rounding on such a tensor");
    }
    if (q.alpha.is_automatic() && x.shape.empty()) {
        refuse("QKeras computes no alpha of a single number");
    }
    if (q.scale_axis && *q.scale_axis >= static_cast<double>(x.shape.size()) &&
        x.shape.size() > 1) {
        refuse("scale_axis is not an axis of the tensor");
    }
    Floats values;
    for (const double v : x.values) {
        values.push_back(static_cast<float>(v));
    }
    Tensor y{x.shape, {}};
    if (q.alpha.is_automatic()) {
        if (q.kind == Kind::hswish) {
            for (float& v : values) {
                v = hswish(q, v);
            }
        }
        y.values = automatic(q, values, x.shape);
        return y;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double integer = q.integers.empty() ? q.integer : q.integers[i % q.integers.size()];
        const Pair pair = number(q, values[i], integer);
        y.values.push_back(scaled(q, pair.plain, q.alpha.factor(), pair.y));
    }
    return y;
}

double adaptive_integer(const AdaptiveBits& bits, double lowest, double highest) {
    auto low = static_cast<float>(lowest);
    auto high = static_cast<float>(highest);
    if (!bits.keep_negative) {
        low = std::max(low, 0.0F);
        high = std::max(high, 0.0F);
    }
    const double unsigned_bits = bits.bits - (bits.keep_negative ? 1 : 0);
    const auto above = [&](float extreme) {
        const float log = extreme == 0 ? 0 : logarithm(std::abs(extreme)) / log_of_2;
        const float positive = std::max(log, 0.0F);
        return bits.round ? std::nearbyint(positive) : std::ceil(positive);
    };
    float low_bits = above(low);
    float high_bits = above(high);
    if (!bits.round) {
        // The largest number of so many integer bits.
        const auto largest = [&](float integer) {
            return exponential2(integer) - exponential2(std::min(integer - unsigned_bits, 0.0));
        };
        high_bits += high <= largest(high_bits) ? 0.0F : 1.0F;
        if (bits.symmetric) {
            low_bits += -largest(low_bits) <= low ? 0.0F : 1.0F;
        }
    }
    return std::min(unsigned_bits, static_cast<double>(std::max(low_bits, high_bits)));
}

}  // namespace gatewright::keras
