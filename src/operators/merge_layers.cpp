#include <algorithm>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/move.h"

/// The programs of layers that merge two tensors (sums, products, extrema), and of moves.
namespace gatewright::operators {

namespace {

using network::Attributes;

RealTensor sum_of(Lowering& lowering, const RealTensor& a, const RealTensor& b, int sign) {
    const std::int64_t count = element_count(a.shape);
    Linear x = lowering.linear(a);
    Linear y = lowering.linear(b);
    const PerElement<Rational> offset = combine<Rational>(
        count, [&](const Rational& p, const Rational& q) { return Rational(p + q * sign); },
        x.offset, y.offset);
    x.offset = Rational(0);
    y.offset = Rational(0);
    const auto both = lowering.common({lowering.real(x), lowering.real(y)}, false);
    Linear out = both[0];
    out.value = lowering.core(sign > 0 ? add_operator : subtract_operator, Attributes(),
                              {both[0].value, both[1].value});
    out.offset = offset;
    out.where = lowering.where();
    return lowering.real(out);
}

RealTensor extremum_of(Lowering& lowering, const RealTensor& a, const RealTensor& b,
                       const network::Operator& op) {
    const auto both = lowering.common({a, b}, false);
    Linear out = both[0];
    out.value = lowering.core(op, Attributes(), {both[0].value, both[1].value});
    return lowering.real(out);
}

RealTensor product_of(Lowering& lowering, const RealTensor& a, const RealTensor& b) {
    const Linear x = lowering.integers(a);
    const Linear y = lowering.integers(b);
    Linear out;
    out.shape = a.shape;
    out.where = lowering.where();
    out.scale = combine<Rational>(
        element_count(a.shape),
        [](const Rational& p, const Rational& q) { return Rational(p * q); }, x.scale, y.scale);
    out.value = lowering.core(multiply_operator, Attributes(), {x.value, y.value});
    return lowering.real(out);
}

RealTensor exactly_joined(Lowering& lowering, std::string_view function, const RealTensor& a,
                          const RealTensor& b) {
    if (function == "product") {
        return product_of(lowering, a, b);
    }
    if (function == "larger" || function == "smaller") {
        return extremum_of(lowering, a, b,
                           function == "larger" ? maximum_operator : minimum_operator);
    }
    return sum_of(lowering, a, b, function == "sum" ? 1 : -1);
}

}  // namespace

RealTensor join_computed(Lowering& lowering, std::string_view function, const RealTensor& a,
                         const RealTensor& b) {
    return within_widest([&] { return exactly_joined(lowering, function, a, b); },
                         [&] {
                             const Linear x = lowering.linear(a);
                             const Linear y = lowering.linear(b);
                             constexpr int bits = 60;  // of a factor
                             // What is added or compared is brought to one binary point.
                             const int frac =
                                 function == "product"
                                     ? max_width * max_width
                                     : 2 * bits - std::max(lowering.digits_before_point(x),
                                                           lowering.digits_before_point(y));
                             return exactly_joined(lowering, function,
                                                   lowering.real(lowering.rounded(x, bits, frac)),
                                                   lowering.real(lowering.rounded(y, bits, frac)));
                         });
}

RealTensor expanded(Lowering& lowering, const RealTensor& x, const Shape& shape) {
    if (x.shape == shape && x.base != RealTensor::Base::constant) {
        return x;
    }
    if (x.base == RealTensor::Base::constant) {
        RealTensor out = x;
        out.shape = shape;
        out.constant = {shape, {}};
        for (const std::int64_t e : broadcast_index(x.constant.shape, shape)) {
            out.constant.values.push_back(x.constant.values[static_cast<std::size_t>(e)]);
        }
        return out;
    }
    Node expand;
    expand.op = &expand_operator;
    expand.attributes = Attributes::of(ExpandFields{shape});
    return lowering.move(expand, {x});
}

RealTensor merged(Lowering& lowering, std::string_view function, const RealTensor& left,
                  const RealTensor& right, const Shape& shape) {
    const auto is_constant = [](const RealTensor& x) {
        return x.base == RealTensor::Base::constant;
    };
    if (is_constant(left) && is_constant(right)) {
        RealTensor out = expanded(lowering, left, shape);
        const RealTensor other = expanded(lowering, right, shape);
        for (std::size_t e = 0; e < out.constant.values.size(); ++e) {
            out.constant.values[e] = static_cast<double>(
                find_function(function)->join(out.constant.values[e], other.constant.values[e]));
        }
        return out;
    }
    const bool swap = is_constant(left);
    RealTensor x = expanded(lowering, swap ? right : left, shape);
    const RealTensor& other = swap ? left : right;
    if (!is_constant(other)) {
        const RealTensor y = expanded(lowering, other, shape);
        const auto both = lowering.joined(function, x, y);
        return both ? *both : join_computed(lowering, function, x, y);
    }
    const PerElement<Rational> constant = broadcast_constant(other.constant, shape);
    if (function == "sum") {
        return lowering.affine(std::move(x), Rational(1), constant);
    }
    if (function == "difference") {
        const auto negated = combine<Rational>(
            element_count(shape), [](const Rational& v) { return Rational(-v); }, constant);
        return swap ? lowering.affine(std::move(x), Rational(-1), constant)
                    : lowering.affine(std::move(x), Rational(1), negated);
    }
    if (function == "product") {
        return lowering.affine(std::move(x), constant, Rational(0));
    }
    return lowering.step(std::move(x),
                         make_step(function == "larger" ? "maximum" : "minimum", {constant}));
}

namespace {

void lower_merge(Lowering& lowering, const Node& node, std::string_view function) {
    lowering.set(merged(lowering, function, lowering.input(node, 0), lowering.input(node, 1),
                        node.types.front().shape));
}

}  // namespace

void lower_add(Lowering& lowering, const Node& node) {
    lower_merge(lowering, node, "sum");
}
void lower_subtract(Lowering& lowering, const Node& node) {
    lower_merge(lowering, node, "difference");
}
void lower_multiply(Lowering& lowering, const Node& node) {
    lower_merge(lowering, node, "product");
}
void lower_maximum(Lowering& lowering, const Node& node) {
    lower_merge(lowering, node, "larger");
}
void lower_minimum(Lowering& lowering, const Node& node) {
    lower_merge(lowering, node, "smaller");
}

void lower_move(Lowering& lowering, const Node& node) {
    std::vector<RealTensor> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        inputs.push_back(lowering.input(node, i));
    }
    lowering.set(lowering.move(node, inputs));
}

}  // namespace gatewright::operators
