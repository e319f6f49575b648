#include "exact_layers.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <stdexcept>

#include "exact_choices.h"
#include "exact_numbers.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"

namespace gatewright::exact_layers {

namespace {

using network::Node;

BigInt whole(const Rational& x) {
    const BigInt num = boost::multiprecision::numerator(x);
    const BigInt den = boost::multiprecision::denominator(x);
    const BigInt quotient = num / den;  // toward zero
    return num < 0 && quotient * den != num ? BigInt(quotient - 1) : quotient;
}

BigInt rounded(const Rational& x, Rounding rounding) {
    const BigInt below = whole(x);
    const Rational rest = x - Rational(below);
    if (rest == 0) {
        return below;
    }
    const Rational half(1, 2);
    const bool negative = x < 0;
    bool up = rest > half;
    switch (rounding) {
        case Rounding::floor:
            up = false;
            break;
        case Rounding::ceil:
            up = true;
            break;
        case Rounding::toward_zero:
            up = negative;
            break;
        case Rounding::away:
            up = !negative;
            break;
        case Rounding::half_up:
            up = up || rest == half;
            break;
        case Rounding::half_down:
            break;
        case Rounding::half_even:
            up = up || (rest == half && below % 2 != 0);
            break;
        case Rounding::half_away:
            up = up || (rest == half && !negative);
            break;
        case Rounding::half_zero:
            up = up || (rest == half && negative);
            break;
    }
    return up ? BigInt(below + 1) : below;
}

Numbers numbers_of(const Tensor& tensor) {
    Numbers out{tensor.shape, {}};
    for (const double value : tensor.values) {
        out.values.push_back({to_rational(value)});
    }
    return out;
}

Number function(const std::string& name, const Number& x, const std::vector<Rational>& p) {
    const Rational& v = x.value;
    const auto is = [&](const char* other) { return name == other; };
    if (is("maximum") || is("minimum")) {
        return larger(x, {p[0]}, is("minimum"));
    }
    if (!x.is_exact()) {
        return unknown();
    }
    if (is("leaky")) {
        return {v < 0 ? Rational(p[0] * v) : v};
    }
    if (is("absolute")) {
        return {absolute(v)};
    }
    if (is("sign")) {
        return {Rational(v > 0 ? 1 : (v < 0 ? -1 : 0))};
    }
    if (is("square")) {
        return {v * v};
    }
    if (is("softsign")) {
        return {v / (1 + absolute(v))};
    }
    const auto y = static_cast<long double>(to_double(v));
    long double result = 0;
    if (is("sigmoid")) {
        result = 0.5L * (1 + std::tanh(y / 2));
    } else if (is("tanh")) {
        result = 1 - 2 / (std::exp(2 * y) + 1);
    } else if (is("exp")) {
        result = std::exp(y);
    } else if (is("softplus")) {
        result = std::log(1 + std::exp(y));
    } else {
        throw std::logic_error("no exact " + name);
    }
    // Far above the error of the double argument and of the functions, for |x| below 64.
    return {to_rational(static_cast<double>(result)),
            power_of_two(-36) * (1 + to_rational(std::abs(static_cast<double>(result))))};
}

Number quantised(const Number& x, const Rational& scale, const Rational& zero, const BigInt& low,
                 const BigInt& high, Rounding rounding, Overflow overflow) {
    if (!x.known) {
        return x;
    }
    const auto level = [&](const Rational& v) {
        BigInt n = rounded(v / scale + zero, rounding);
        if (overflow == Overflow::wrap) {
            const BigInt size = high - low + 1;
            n = (n - low) % size;
            n = (n < 0 ? BigInt(n + size) : n) + low;
        }
        return std::min(high, std::max(low, n));
    };
    if (x.error != 0) {
        // Only a step of the staircase that holds the whole margin says which level it is.
        const Rational a = (x.value - x.error) / scale + zero;
        const Rational b = (x.value + x.error) / scale + zero;
        if (rounded(a, rounding) != rounded(b, rounding) ||
            level(x.value - x.error) != level(x.value + x.error)) {
            return unknown();
        }
    }
    return {scale * (Rational(level(x.value)) - zero)};
}

Numbers quantise(const Node& node, const Numbers& x) {
    const auto& f = node.fields<operators::FakeQuantizeFields>();
    const Numbers scale = numbers_of(f.scale);
    const Numbers zero = numbers_of(f.zero_point);
    const Numbers low = numbers_of(f.low);
    const Numbers high = numbers_of(f.high);
    Numbers y{x.shape, {}};
    for (std::size_t e = 0; e < x.values.size(); ++e) {
        const Shape p = at(static_cast<std::int64_t>(e), x.shape);
        y.values.push_back(quantised(x.values[e], broadcast_at(scale, p).value,
                                     broadcast_at(zero, p).value, whole(broadcast_at(low, p).value),
                                     whole(broadcast_at(high, p).value), f.rounding, f.overflow));
    }
    return y;
}

/// gamma / sqrt(variance + epsilon) is rounded once, to a double: a definition of the project.
Numbers batch_norm(const Node& node, const std::vector<const Numbers*>& in) {
    const auto& f = node.fields<operators::BatchNormFields>();
    Numbers y{in[0]->shape, {}};
    for (std::size_t e = 0; e < in[0]->values.size(); ++e) {
        const Shape p = at(static_cast<std::int64_t>(e), y.shape);
        const auto c = static_cast<std::size_t>(p[static_cast<std::size_t>(f.axis)]);
        const double variance = to_double(in[4]->values[c].value) + f.epsilon;
        const double factor = to_double(in[1]->values[c].value) / std::sqrt(variance);
        const Number centred = sum(in[0]->values[e], in[3]->values[c], -1);
        y.values.push_back(sum(product(centred, {to_rational(factor)}), in[2]->values[c], 1));
    }
    return y;
}

/// What an accumulator keeps of a sum.
Number kept(const Number& sum, const operators::Accumulation& accumulator) {
    const FixedType& t = accumulator.type;
    if (t.width == 0) {
        return sum;
    }
    const BigInt levels = BigInt(1) << static_cast<unsigned>(t.width);
    const BigInt high = (t.is_signed ? BigInt(levels / 2) : levels) - 1;
    BigInt low = t.is_signed ? BigInt(-levels / 2) : BigInt(0);
    if (t.is_signed && accumulator.overflow == Overflow::saturate_symmetric) {
        low = -high;
    }
    return quantised(sum, power_of_two(-t.frac), 0, low, high, accumulator.rounding,
                     accumulator.overflow);
}

/// x[..., K] * w[K, N] and a bias[N].
Numbers matmul(const Node& node, const Numbers& x, const Numbers& w, const Numbers* bias) {
    const Shape& shape = node.types[0].shape;
    const auto& accumulator = node.fields<operators::MatmulFields>().accumulator;
    Numbers y{shape, {}};
    const std::int64_t k = x.shape.back();
    const std::int64_t n = shape.back();
    for (std::int64_t e = 0; e < element_count(shape); ++e) {
        Number total{0};
        if (bias != nullptr) {
            total = bias->values[static_cast<std::size_t>(e % n)];
        }
        total = kept(total, accumulator);
        for (std::int64_t i = 0; i < k; ++i) {
            const Number next = product(x.values[static_cast<std::size_t>(e / n * k + i)],
                                        w.values[static_cast<std::size_t>(i * n + e % n)]);
            total = kept(sum(total, next, 1), accumulator);
        }
        y.values.push_back(total);
    }
    return y;
}

/// Two spatial axes.
Numbers convolution(const Node& node, const std::vector<const Numbers*>& in) {
    const auto& f = node.fields<operators::ConvFields>();
    const Numbers& x = *in[0];
    const Numbers& w = *in[1];
    Numbers y{node.types[0].shape, {}};
    const std::int64_t per_group = w.shape[0] / f.groups;
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        const Shape p = at(e, y.shape);
        Number total = in.size() > 2 ? in[2]->values[static_cast<std::size_t>(p[0])] : Number{0};
        total = kept(total, f.accumulator);
        for (std::int64_t i = 0; i < element_count(w.shape) / w.shape[0]; ++i) {
            const Shape k = at(i, {w.shape[1], w.shape[2], w.shape[3]});
            const Shape from = {p[0] / per_group * w.shape[1] + k[0],
                                p[1] * f.strides[0] + k[1] * f.dilations[0] - f.before[0],
                                p[2] * f.strides[1] + k[2] * f.dilations[1] - f.before[1]};
            if (from[1] >= 0 && from[1] < x.shape[1] && from[2] >= 0 && from[2] < x.shape[2]) {
                const Number& weight = w.values[static_cast<std::size_t>(
                    number_of({p[0], k[0], k[1], k[2]}, w.shape))];
                total = sum(
                    total,
                    product(x.values[static_cast<std::size_t>(number_of(from, x.shape))], weight),
                    1);
                total = kept(total, f.accumulator);
            }
        }
        y.values.push_back(total);
    }
    return y;
}

Number reduced(const std::string& kind, const std::vector<Number>& row) {
    Number out = row.front();
    for (std::size_t i = 1; i < row.size(); ++i) {
        out = kind == "max" || kind == "min" ? larger(out, row[i], kind == "min")
              : kind == "prod"               ? product(out, row[i])
                                             : sum(out, row[i], 1);
    }
    if (kind == "mean" || kind == "average") {
        out = product(out, {Rational(1, static_cast<std::int64_t>(row.size()))});
    }
    return out;
}

/// Two spatial axes. What lies outside of x is left out; of a mean it may count as zero.
Numbers pool(const Node& node, const Numbers& x) {
    const auto& f = node.fields<operators::PoolFields>();
    Numbers y{node.types[0].shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        const Shape p = at(e, y.shape);
        std::vector<Number> row;
        std::int64_t beyond = 0;
        for (std::int64_t i = 0; i < element_count(f.kernel); ++i) {
            const Shape k = at(i, f.kernel);
            Shape q = {p[0]};
            bool inside = true;
            bool counts = true;
            for (std::size_t a = 0; a < 2; ++a) {
                q.push_back(p[a + 1] * f.strides[a] + k[a] * f.dilations[a] - f.before[a]);
                inside = inside && q.back() >= 0 && q.back() < x.shape[a + 1];
                counts = counts && q.back() < x.shape[a + 1] + f.after[a];
            }
            if (inside) {
                row.push_back(x.values[static_cast<std::size_t>(number_of(q, x.shape))]);
            } else {
                beyond += counts ? 1 : 0;
            }
        }
        if (f.kind == "average" && f.count_padding) {
            row.insert(row.end(), static_cast<std::size_t>(beyond), Number{0});
        }
        y.values.push_back(reduced(f.kind, row));
    }
    return y;
}

/// The elements of the row along these axes that result element `e` comes from.
std::vector<Number> row_of(const Numbers& x, const Shape& axes, std::int64_t e) {
    Shape outer = x.shape;
    for (const std::int64_t axis : axes) {
        outer[static_cast<std::size_t>(axis)] = 1;
    }
    const Shape base = at(e, outer);
    std::vector<Number> row;
    for (std::int64_t i = 0; i < element_count(x.shape); ++i) {
        Shape p = at(i, x.shape);
        for (const std::int64_t axis : axes) {
            p[static_cast<std::size_t>(axis)] = 0;
        }
        if (p == base) {
            row.push_back(x.values[static_cast<std::size_t>(i)]);
        }
    }
    return row;
}

Numbers argmax(const Node& node, const Numbers& x) {
    const auto& f = node.fields<operators::ArgLayerFields>();
    Numbers y{node.types[0].shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        const std::vector<Number> row = row_of(x, {f.axis}, e);
        std::size_t best = 0;
        bool exact = true;
        for (std::size_t i = 0; i < row.size(); ++i) {
            exact = exact && row[i].is_exact();
            const Rational gain = (row[i].value - row[best].value) * (f.smallest ? -1 : 1);
            best = gain > 0 || (f.last && gain == 0) ? i : best;
        }
        y.values.push_back(exact ? Number{Rational(best)} : unknown());
    }
    return y;
}

Numbers top_k(const Node& node, const Numbers& x, bool positions) {
    const auto& f = node.fields<operators::TopKLayerFields>();
    Numbers y{node.types[0].shape, {}};
    const auto axis = static_cast<std::size_t>(f.axis);
    Shape outer = y.shape;
    outer[axis] = 1;
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        Shape p = at(e, y.shape);
        const auto rank = static_cast<std::size_t>(std::exchange(p[axis], 0));
        const std::vector<Number> row = row_of(x, {f.axis}, number_of(p, outer));
        std::vector<std::size_t> order(row.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return f.smallest ? row[a].value < row[b].value : row[a].value > row[b].value;
        });
        const bool exact =
            std::all_of(row.begin(), row.end(), [](const Number& n) { return n.is_exact(); });
        y.values.push_back(!exact      ? unknown()
                           : positions ? Number{Rational(order[rank])}
                                       : row[order[rank]]);
    }
    return y;
}

Numbers concat(const Node& node, const std::vector<const Numbers*>& in) {
    const auto axis = static_cast<std::size_t>(node.fields<operators::ConcatFields>().axis);
    Numbers y{node.types[0].shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        Shape p = at(e, y.shape);
        std::size_t i = 0;
        while (p[axis] >= in[i]->shape[axis]) {
            p[axis] -= in[i++]->shape[axis];
        }
        y.values.push_back(in[i]->values[static_cast<std::size_t>(number_of(p, in[i]->shape))]);
    }
    return y;
}

Numbers moved(const Node& node, const Numbers& x) {
    Numbers y{node.types[0].shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        const Shape p = at(e, y.shape);
        Shape from(p.size());
        if (node.op == &operators::transpose_operator) {
            const auto& f = node.fields<operators::TransposeFields>();
            for (std::size_t i = 0; i < p.size(); ++i) {
                from[static_cast<std::size_t>(f.permutation[i])] = p[i];
            }
        } else {
            const auto& f = node.fields<operators::SliceFields>();
            for (std::size_t i = 0; i < p.size(); ++i) {
                from[i] = f.starts[i] + f.steps[i] * p[i];
            }
        }
        y.values.push_back(x.values[static_cast<std::size_t>(number_of(from, x.shape))]);
    }
    return y;
}

std::vector<Numbers> layer(const Node& node, const std::vector<const Numbers*>& in) {
    namespace ops = operators;
    const Numbers& x = *in.front();
    if (node.op == &ops::fake_quantize_operator) {
        return {quantise(node, x)};
    }
    if (node.op == &ops::batch_norm_operator) {
        return {batch_norm(node, in)};
    }
    if (node.op == &ops::matmul_operator) {
        return {matmul(node, x, *in[1], in.size() > 2 ? in[2] : nullptr)};
    }
    if (node.op == &ops::conv_operator) {
        return {convolution(node, in)};
    }
    if (node.op == &ops::pool_operator) {
        return {pool(node, x)};
    }
    if (node.op == &ops::argmax_operator) {
        return {argmax(node, x)};
    }
    if (node.op == &ops::top_k_operator) {
        return {top_k(node, x, false), top_k(node, x, true)};
    }
    if (auto chosen = choice(node, in)) {
        return *chosen;
    }
    if (node.op == &ops::concat_operator) {
        return {concat(node, in)};
    }
    if (node.op == &ops::reshape_operator) {
        return {{node.types[0].shape, x.values}};
    }
    if (node.op == &ops::transpose_operator || node.op == &ops::slice_operator) {
        return {moved(node, x)};
    }
    Numbers y{node.types[0].shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        if (node.op == &ops::reduce_operator) {
            const auto& f = node.fields<ops::ReduceFields>();
            y.values.push_back(reduced(f.kind, row_of(x, f.axes, e)));
            continue;
        }
        const Shape p = at(e, y.shape);
        const Number& a = broadcast_at(x, p);
        if (node.op == &ops::function_operator) {
            std::vector<Rational> parameters;
            for (std::size_t i = 1; i < in.size(); ++i) {
                parameters.push_back(broadcast_at(*in[i], p).value);
            }
            y.values.push_back(
                function(node.fields<ops::FunctionFields>().function, a, parameters));
            continue;
        }
        const Number& b = broadcast_at(*in[1], p);
        if (node.op == &ops::add_operator || node.op == &ops::subtract_operator) {
            y.values.push_back(sum(a, b, node.op == &ops::add_operator ? 1 : -1));
        } else if (node.op == &ops::multiply_operator) {
            y.values.push_back(product(a, b));
        } else if (node.op == &ops::maximum_operator || node.op == &ops::minimum_operator) {
            y.values.push_back(larger(a, b, node.op == &ops::minimum_operator));
        } else {
            throw std::logic_error("no exact " + std::string(node.op->name));
        }
    }
    return {y};
}

}  // namespace

std::vector<Numbers> evaluate(const network::Network& layers, const std::vector<Tensor>& inputs) {
    std::vector<std::vector<Numbers>> values;
    std::vector<bool> constant;
    std::size_t next = 0;
    for (const Node& node : layers.nodes()) {
        if (node.op == &network::input_operator) {
            values.push_back({numbers_of(inputs[next++])});
            constant.push_back(false);
        } else if (node.op == &network::constant_operator) {
            values.push_back({numbers_of(node.fields<network::ConstantFields>().value)});
            constant.push_back(true);
        } else {
            std::vector<const Numbers*> in;
            for (const network::Value value : node.inputs) {
                in.push_back(&values[value.node][value.output]);
            }
            values.push_back(layer(node, in));
            // What is computed from constants alone (weights) is a constant in double precision: a
            // definition of the project, as frameworks fold them.
            constant.push_back(
                std::all_of(node.inputs.begin(), node.inputs.end(),
                            [&](const network::Value value) { return constant[value.node]; }));
            if (constant.back()) {
                for (Numbers& result : values.back()) {
                    for (Number& number : result.values) {
                        number.value = to_rational(to_double(number.value));
                    }
                }
            }
        }
    }
    std::vector<Numbers> out;
    for (const network::NetworkOutput& output : layers.outputs()) {
        out.push_back(values[output.value.node][output.value.output]);
    }
    return out;
}

}  // namespace gatewright::exact_layers
