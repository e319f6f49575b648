// Quantisers of QKeras on values of the network: layer operators with the same numbers, exactly.

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "base/diagnostics.h"
#include "import/keras/qkeras_quantisers.h"
#include "operators/layers.h"
#include "types/rational.h"

namespace gatewright::keras {

namespace {

using Kind = Quantiser::Kind;
using operators::FakeQuantizeFields;

Operand line(Builder& b, const Operand& x, double slope, double offset) {
    return b.function("affine", x, {Builder::number(slope), Builder::number(offset)});
}

Operand at_least(Builder& b, const Operand& x, double bound) {
    return b.function("maximum", x, {Builder::number(bound)});
}

Operand at_most(Builder& b, const Operand& x, double bound) {
    return b.function("minimum", x, {Builder::number(bound)});
}

Operand times(Builder& b, const Operand& x, double factor) {
    return factor == 1 ? x : b.multiply(x, Builder::number(factor));
}

/// step (clip(round(x / step + zero), low, high) - zero), ties to even.
Operand rounded(Builder& b, const Operand& x, Tensor step, double zero, double low, double high) {
    FakeQuantizeFields fields{std::move(step), Tensor::scalar(zero), Tensor::scalar(low),
                              Tensor::scalar(high)};
    return b
        .emit(operators::fake_quantize_operator, network::Attributes::of(std::move(fields)), {x},
              x.batch_axis)
        .front();
}

Operand rounded(Builder& b, const Operand& x, double step, double low, double high) {
    return rounded(b, x, Tensor::scalar(step), 0, low, high);
}

/// A function that is constant between steps: `first`, then each step's value from where on.
struct Staircase {
    float first = 0;
    std::vector<std::pair<float, float>> steps;
};

constexpr std::size_t most_steps = 1 << 13;
constexpr float epsilon = 1e-7F;  // keras.backend.epsilon()

/// Finite floats in their order as integers, zero as 0.
float ordered_float(std::int64_t order) {
    const auto magnitude = static_cast<std::uint32_t>(order < 0 ? -order : order);
    const float value = std::bit_cast<float>(magnitude);
    return order < 0 ? -value : value;
}

std::int64_t order_of(float value) {
    const auto order = static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(std::abs(value)));
    return value < 0 ? -order : order;
}

/// The steps of a function of finite floats that rises from each of `breaks` to the next.
std::optional<Staircase> staircase_of(const std::function<float(float)>& function,
                                      const std::vector<float>& breaks) {
    constexpr float largest = std::numeric_limits<float>::max();
    Staircase stairs{function(-largest), {}};
    float value = stairs.first;
    for (std::size_t segment = 0; segment <= breaks.size(); ++segment) {
        std::int64_t at = order_of(segment == 0 ? -largest : breaks[segment - 1]);
        const std::int64_t end =
            segment == breaks.size() ? order_of(largest) : order_of(breaks[segment]) - 1;
        const auto climb = [&] {
            if (const float here = function(ordered_float(at)); here != value) {
                value = here;
                stairs.steps.emplace_back(ordered_float(at), value);
            }
        };
        climb();
        const float last = function(ordered_float(end));
        while (value < last) {
            if (stairs.steps.size() == most_steps) {
                return std::nullopt;
            }
            std::int64_t same = at;
            at = end;
            while (at - same > 1) {
                const std::int64_t middle = same + (at - same) / 2;
                (function(ordered_float(middle)) > value ? at : same) = middle;
            }
            climb();
        }
    }
    return stairs;
}

/// The staircase as a function, and its values as levels of a common unit, where they have one.
Operand climbed(Builder& b, const Operand& x, const Staircase& stairs) {
    Rational unit = to_rational(stairs.first);
    double lowest = stairs.first;
    double highest = stairs.first;
    std::vector<Operand> edges;
    for (const auto& [from, value] : stairs.steps) {
        edges.push_back(Builder::number(from));
        unit = gcd(unit, to_rational(value));
        lowest = std::min<double>(lowest, value);
        highest = std::max<double>(highest, value);
    }
    if (unit == 0) {
        return rounded(b, b.function("staircase", x, {Builder::number(0)}), 1, 0, 0);
    }
    const double step = to_double(unit);
    const double levels = (highest - lowest) / step;
    // Far apart in their unit: first the number of the step, then its value.
    constexpr double few_levels = 4096;
    const bool numbered = levels > few_levels && !edges.empty();
    const auto count = static_cast<double>(edges.size());
    const Operand from =
        numbered ? rounded(b, b.function("count_thresholds", x, edges), 1, 0, count) : x;
    std::vector<Operand> parameters = {Builder::number(stairs.first)};
    for (std::size_t i = 0; i < edges.size(); ++i) {
        parameters.push_back(numbered ? Builder::number(static_cast<double>(i + 1)) : edges[i]);
        parameters.push_back(Builder::number(stairs.steps[i].second));
    }
    Operand y = b.function("staircase", from, parameters);
    if (stairs.steps.size() == 1) {
        // Two values are one bit. Its zero lies at 0, 1, or halfway for -a and a.
        const double height = highest - lowest;
        const double zero = -lowest / height;
        if (zero == 0 || zero == 0.5 || zero == 1) {
            return rounded(b, y, Tensor::scalar(height), zero, 0, 1);
        }
    }
    constexpr double most = 9007199254740992.0;
    if (std::abs(lowest / step) < most && std::abs(highest / step) < most) {
        return rounded(b, y, step, lowest / step, highest / step);
    }
    // Too far apart for one unit: the network goes on with the function.
    return y;
}

/// A quantiser that gives each number one of few values, by its steps.
Operand stepped(Builder& b, Quantiser q, const Operand& x) {
    const double factor = q.alpha.factor();
    q.alpha = {};
    // Below QKeras' epsilon powers of two have a value of their own, which need not be the least.
    std::vector<float> breaks;
    if (q.kind == Kind::po2) {
        breaks = {-epsilon, std::nextafter(-epsilon, 0.0F), 0, epsilon};
    } else if (q.kind == Kind::relu_po2) {
        const auto slope = static_cast<float>(q.negative_slope);
        const float below = slope == 0 ? epsilon : epsilon / slope;
        breaks = {-below, std::nextafter(-below, 0.0F), 0, epsilon};
    }
    const auto stairs = staircase_of([&](float v) { return quantised_number(q, v); }, breaks);
    if (!stairs) {
        b.refuse(fmt::format("{} of {} bits has too many steps for a function by steps", q.name,
                             q.bits));
    }
    return times(b, climbed(b, x, *stairs), factor);
}

/// Rounding as numbers of QKeras in float32: 2^25 - 1 is 2^25 there.
double top(double m) {
    return static_cast<double>(static_cast<float>(m) - 1.0F);
}

/// 2^integer / 2^bits, for all channels or each.
Tensor step_of(const Quantiser& q, double bits) {
    if (q.integers.empty()) {
        return Tensor::scalar(std::exp2(q.integer - bits));
    }
    Tensor step{{static_cast<std::int64_t>(q.integers.size())}, {}};
    for (const double integer : q.integers) {
        step.values.push_back(std::exp2(integer - bits));
    }
    return step;
}

Operand bits(Builder& b, const Quantiser& q, const Operand& x) {
    const double unsigned_bits = q.bits - (q.keep_negative ? 1 : 0);
    if (unsigned_bits <= 0) {
        Quantiser sign = q;
        sign.kind = Kind::bits;  // without the function of quantized_hswish, which x has behind it
        return stepped(b, sign, x);
    }
    const double m = std::exp2(unsigned_bits);
    const double low = q.keep_negative ? -m + (q.symmetric ? 1 : 0) : 0;
    return times(b, rounded(b, x, step_of(q, unsigned_bits), 0, low, top(m)), q.alpha.factor());
}

Operand hswish_function(Builder& b, const Quantiser& q, const Operand& x) {
    const Operand gate = at_most(b, at_least(b, line(b, x, 1, q.relu_shift), 0), q.hswish_bound);
    return b.divide(b.multiply(x, gate), Builder::number(q.hswish_bound));
}

double relu_bits(const Quantiser& q) {
    return q.bits - (q.negative_slope != 0 ? 1 : 0);
}

/// Before rounding: what qnoise_factor mixes with the quantised value.
Operand relu_function(Builder& b, const Quantiser& q, const Operand& x) {
    const Operand y = q.negative_slope == 0
                          ? at_least(b, x, 0)
                          : b.function("leaky", x, {Builder::number(q.negative_slope)});
    if (q.is_quantized_clip) {
        if (!q.integers.empty()) {
            b.refuse("a clip for each channel does not mix with qnoise_factor");
        }
        return at_most(b, y, std::exp2(q.integer) - std::exp2(q.integer - relu_bits(q)));
    }
    if (q.relu_upper_bound && *q.relu_upper_bound < 0) {
        b.refuse("a negative relu_upper_bound does not mix with qnoise_factor");
    }
    return q.relu_upper_bound ? at_most(b, y, static_cast<float>(*q.relu_upper_bound)) : y;
}

Operand relu_by_sigmoid(Builder& b, const Quantiser& q, const Operand& x) {
    const double m = std::exp2(relu_bits(q));
    const double m_i = std::exp2(q.integer);
    const double scaled = q.negative_slope * m;
    if (m < 2 || (scaled > 0 && scaled < 2)) {
        return stepped(b, q, x);
    }
    // 2 round(m (x / (2 m_i) + 1 / 2)) / m - 1, not below 0, and less than 1 at its top.
    const Operand y =
        at_most(b, rounded(b, x, Tensor::scalar(2 * m_i / m), m / 2, m / 2, m), m_i * (1 - 1 / m));
    if (scaled == 0) {
        return y;
    }
    const Operand negative =
        rounded(b, x, Tensor::scalar(2 * m_i / scaled), scaled / 2, 0, scaled / 2);
    return b.add(y, times(b, negative, q.negative_slope));
}

Operand relu(Builder& b, const Quantiser& q, const Operand& x) {
    Operand y = x;
    if (q.use_sigmoid) {
        y = relu_by_sigmoid(b, q, x);
    } else {
        const double bits = relu_bits(q);
        const double m = std::exp2(bits);
        if (q.negative_slope == 0) {
            y = rounded(b, x, step_of(q, bits), 0, 0, top(m));
        } else {
            const double lowest = q.negative_slope * m;
            y = b.function("leaky", x, {Builder::number(q.negative_slope)});
            y = rounded(b, y, step_of(q, bits), 0, -std::max(1.0, lowest), top(m));
            if (lowest < 1) {
                // The one negative level is clipped to less than a step.
                y = b.function("leaky", y, {Builder::number(lowest)});
            }
        }
    }
    const bool bounded = !q.is_quantized_clip && q.relu_upper_bound.value_or(0) != 0;
    return bounded ? at_most(b, y, static_cast<float>(*q.relu_upper_bound)) : y;
}

Operand relu_po2_function(Builder& b, const Quantiser& q, const Operand& x) {
    const Operand y = q.negative_slope == 0
                          ? at_least(b, x, 0)
                          : b.function("leaky", x, {Builder::number(q.negative_slope)});
    return q.max_value ? at_most(b, y, static_cast<float>(*q.max_value)) : y;
}

Operand tanh(Builder& b, const Quantiser& q, const Operand& x) {
    // The straight form of tanh, clip(x, -1, 1), is wider than the levels.
    const double m = std::exp2(q.bits - 1);
    return rounded(b, q.use_real ? b.function("tanh", x) : x, 1 / m, -m + (q.symmetric ? 1 : 0),
                   top(m));
}

Operand sigmoid(Builder& b, const Quantiser& q, const Operand& x) {
    const double m = std::exp2(q.bits);
    return rounded(b, q.use_real ? b.function("sigmoid", x) : line(b, x, 0.5, 0.5), 1 / m,
                   q.symmetric ? 1 : 0, top(m));
}

Operand plain_function(Builder& b, const Quantiser& q, const Operand& x) {
    const double slope = q.name.starts_with("smooth") ? 0.1875 : 0.5;
    Operand y = line(b, x, slope, 0.5);
    y = q.name.starts_with("binary") ? rounded(b, y, 1, 0, 1) : at_most(b, at_least(b, y, 0), 1);
    return q.name.ends_with("tanh") ? line(b, y, 2, -1) : y;
}

/// (1 - q) plain + q y.
Operand mixed(Builder& b, const Quantiser& q, const Operand& plain, const Operand& y) {
    if (q.qnoise_factor == 1) {
        return y;
    }
    const double factor = static_cast<float>(q.qnoise_factor);
    return factor == 0 ? plain : b.add(times(b, plain, 1 - factor), times(b, y, factor));
}

}  // namespace

Operand quantised(Builder& b, const Quantiser& q, const Operand& x) {
    if (x.is_constant && q.kind != Kind::function) {
        return Builder::tensor(quantised_constant(q, x.constant, b.where()));
    }
    if (q.alpha.is_automatic()) {
        b.refuse(fmt::format("alpha of {} is computed anew from each batch of values, so that a "
                             "sample's result depends on the others",
                             q.name),
                 "Give alpha as a number.");
    }
    if (q.use_stochastic_rounding && q.kind == Kind::ternary) {
        b.refuse("QKeras itself cannot round a ternary stochastically without alpha 'auto'");
    }
    // There QKeras adds a vector of as many ones as there are axes to the tensor of signs.
    const Shape& shape = x.sample_shape();
    if (q.use_stochastic_rounding && q.kind == Kind::binary && x.rank() > 1 &&
        (shape.empty() || shape.back() != x.rank())) {
        b.refuse("QKeras itself cannot run binary with use_stochastic_rounding on such a tensor");
    }
    switch (q.kind) {
        case Kind::bits:
            return mixed(b, q, x, bits(b, q, x));
        case Kind::hswish: {
            const Operand plain = hswish_function(b, q, x);
            return mixed(b, q, plain, bits(b, q, plain));
        }
        case Kind::relu:
            return q.qnoise_factor == 1 ? relu(b, q, x)
                                        : mixed(b, q, relu_function(b, q, x), relu(b, q, x));
        case Kind::tanh:
            return tanh(b, q, x);
        case Kind::sigmoid:
            return sigmoid(b, q, x);
        case Kind::po2:
            return mixed(b, q, x, stepped(b, q, x));
        case Kind::relu_po2:
            return q.qnoise_factor == 1 ? stepped(b, q, x)
                                        : mixed(b, q, relu_po2_function(b, q, x), stepped(b, q, x));
        case Kind::ulaw:
        case Kind::binary:
        case Kind::ternary:
            return stepped(b, q, x);
        case Kind::function:
            return plain_function(b, q, x);
        case Kind::bernoulli:
            break;
    }
    b.refuse(fmt::format("{} draws random numbers", q.name));
}

}  // namespace gatewright::keras
