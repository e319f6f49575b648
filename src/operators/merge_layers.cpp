#include <algorithm>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/move.h"

/// The programs of layers that merge two tensors (sums, products, extrema), and of moves.
namespace gatewright::operators {

namespace {

using network::Attributes;

/// Both tensors expanded to their common shape.
std::pair<RealTensor, RealTensor> expanded(Lowering& lowering, const Node& node) {
    RealTensor a = lowering.input(node, 0);
    RealTensor b = lowering.input(node, 1);
    const Shape shape = node.types.front().shape;
    for (RealTensor* x : {&a, &b}) {
        if (x->base != RealTensor::Base::constant && x->shape != shape) {
            Node expand;
            expand.op = &expand_operator;
            expand.attributes = Attributes::of(ExpandFields{shape});
            *x = lowering.move(expand, {*x});
        }
    }
    return {std::move(a), std::move(b)};
}

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

/// As one function of the same elements if they are, else computed.
void set_joined(Lowering& lowering, std::string_view function, const RealTensor& a,
                const RealTensor& b) {
    const auto both = lowering.joined(function, a, b);
    lowering.set(both ? *both : join_computed(lowering, function, a, b));
}

/// a + sign * b
void lower_sum(Lowering& lowering, const Node& node, int sign) {
    auto [a, b] = expanded(lowering, node);
    const Shape shape = node.types.front().shape;
    const std::int64_t count = element_count(shape);
    const auto times_sign = [&](const Rational& v) { return Rational(v * sign); };
    if (b.base == RealTensor::Base::constant) {
        lowering.set(lowering.affine(
            std::move(a), Rational(1),
            combine<Rational>(count, times_sign, broadcast_constant(b.constant, shape))));
        return;
    }
    if (a.base == RealTensor::Base::constant) {
        lowering.set(
            lowering.affine(std::move(b), Rational(sign), broadcast_constant(a.constant, shape)));
        return;
    }
    set_joined(lowering, sign > 0 ? "sum" : "difference", a, b);
}

void lower_extremum(Lowering& lowering, const Node& node, std::string_view step,
                    std::string_view join) {
    auto [a, b] = expanded(lowering, node);
    const Shape shape = node.types.front().shape;
    if (a.base == RealTensor::Base::constant) {
        std::swap(a, b);
    }
    if (b.base == RealTensor::Base::constant) {
        lowering.set(
            lowering.step(std::move(a), make_step(step, {broadcast_constant(b.constant, shape)})));
        return;
    }
    set_joined(lowering, join, a, b);
}

}  // namespace

RealTensor join_computed(Lowering& lowering, std::string_view function, const RealTensor& a,
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

void lower_add(Lowering& lowering, const Node& node) {
    lower_sum(lowering, node, 1);
}
void lower_subtract(Lowering& lowering, const Node& node) {
    lower_sum(lowering, node, -1);
}
void lower_maximum(Lowering& lowering, const Node& node) {
    lower_extremum(lowering, node, "maximum", "larger");
}
void lower_minimum(Lowering& lowering, const Node& node) {
    lower_extremum(lowering, node, "minimum", "smaller");
}

void lower_multiply(Lowering& lowering, const Node& node) {
    auto [a, b] = expanded(lowering, node);
    const Shape shape = node.types.front().shape;
    if (a.base == RealTensor::Base::constant) {
        std::swap(a, b);
    }
    if (b.base == RealTensor::Base::constant) {
        lowering.set(
            lowering.affine(std::move(a), broadcast_constant(b.constant, shape), Rational(0)));
        return;
    }
    set_joined(lowering, "product", a, b);
}

void lower_move(Lowering& lowering, const Node& node) {
    std::vector<RealTensor> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        inputs.push_back(lowering.input(node, i));
    }
    lowering.set(lowering.move(node, inputs));
}

}  // namespace gatewright::operators
