#include "operators/map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <numeric>
#include <utility>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/pattern.h"

namespace gatewright::operators {

namespace {

using fixed::Fixed;
using FixedSpan = std::span<const Fixed>;

/// A number that is equal for elements with the same position in every one of the fields.
template <class... T>
std::int64_t joint_key(std::int64_t element, const PerElement<T>&... fields) {
    std::int64_t key = 0;
    std::array<std::pair<std::int64_t, std::int64_t>, sizeof...(T)> seen;
    std::size_t patterns = 0;
    const auto fold = [&](std::int64_t inner, std::int64_t count) {
        if (count == 1) {
            return;
        }
        const std::pair<std::int64_t, std::int64_t> pattern(inner, count);
        const auto end = seen.begin() + static_cast<std::ptrdiff_t>(patterns);
        if (std::find(seen.begin(), end, pattern) == end) {
            seen[patterns++] = pattern;
            key = key * count + (element / inner) % count;
        }
    };
    (fold(fields.inner(), static_cast<std::int64_t>(fields.values().size())), ...);
    return key;
}

template <class... T>
KeyPattern joint_pattern(const PerElement<T>&... fields) {
    KeyPattern out{0, 1};
    const auto fold = [&](std::int64_t inner, std::int64_t count) {
        if (count > 1) {
            out.inner = std::gcd(out.inner, inner);
            out.period = std::lcm(out.period, inner * count);
        }
    };
    (fold(fields.inner(), static_cast<std::int64_t>(fields.values().size())), ...);
    out.inner = std::max<std::int64_t>(1, out.inner);
    return out;
}

/// The value's integer, that is, the value with its binary point moved to frac 0.
Fixed integer(fixed::Builder& builder, const Fixed& x) {
    return builder.scale(x, x.type.frac);
}
Fixed at_frac(fixed::Builder& builder, const Fixed& x, std::int64_t frac) {
    return builder.scale(x, -static_cast<int>(frac));
}

Fixed affine(fixed::Builder& builder, const Node& node, FixedSpan x, std::int64_t e) {
    const auto& f = node.fields<AffineFields>();
    const Fixed product = builder.mul_constant(integer(builder, x[0]), f.multiplier.at(e), 0);
    return at_frac(builder, builder.add(product, builder.constant(f.addend.at(e), 0)),
                   f.frac.at(e));
}
std::int64_t affine_key(const Node& node, std::int64_t e) {
    const auto& f = node.fields<AffineFields>();
    return joint_key(e, f.multiplier, f.addend, f.frac);
}

Fixed quantize(fixed::Builder& builder, const Node& node, FixedSpan x, std::int64_t e) {
    const auto& f = node.fields<QuantizeFields>();
    return builder.quantize(x[0], f.type.at(e), f.rounding, f.overflow);
}
std::int64_t quantize_key(const Node& node, std::int64_t e) {
    return joint_key(e, node.fields<QuantizeFields>().type);
}

Fixed clamp(fixed::Builder& builder, const Node& node, FixedSpan x, std::int64_t e) {
    const Interval& range = node.fields<ClampFields>().range.at(e);
    return builder.clamp(x[0], range.low, range.high);
}
std::int64_t clamp_key(const Node& node, std::int64_t e) {
    return joint_key(e, node.fields<ClampFields>().range);
}

Fixed leaky(fixed::Builder& builder, const Node& node, FixedSpan x, std::int64_t e) {
    const auto& f = node.fields<LeakyFields>();
    const Fixed n = integer(builder, x[0]);
    const Interval range = n.range;
    if (range.low >= 0 || range.high < 0) {
        const Int128 factor = range.low >= 0 ? f.positive.at(e) : f.negative.at(e);
        return at_frac(builder, builder.mul_constant(n, factor, 0), f.frac.at(e));
    }
    const Fixed is_negative = builder.less(n, builder.constant(0, 0));
    // Each branch sees only its half of the range.
    const Fixed low = builder.assume_range(n, {range.low, std::min<Int128>(range.high, 0)});
    const Fixed high = builder.assume_range(n, {std::max<Int128>(range.low, 0), range.high});
    const Fixed y = builder.select(is_negative, builder.mul_constant(low, f.negative.at(e), 0),
                                   builder.mul_constant(high, f.positive.at(e), 0));
    return at_frac(builder, y, f.frac.at(e));
}
std::int64_t leaky_key(const Node& node, std::int64_t e) {
    const auto& f = node.fields<LeakyFields>();
    return joint_key(e, f.negative, f.positive, f.frac);
}

Fixed absolute(fixed::Builder& builder, const Node&, FixedSpan x, std::int64_t) {
    return builder.abs(x[0]);
}

Fixed thresholds(fixed::Builder& builder, const Node& node, FixedSpan x, std::int64_t e) {
    const auto& f = node.fields<ThresholdFields>();
    const Fixed n = integer(builder, x[0]);
    const Int128 base = f.base.at(e);
    const bool rising = f.step.at(e) > 0;
    const Fixed count = builder.count_thresholds(n, f.thresholds.at(e), rising ? base : -base);
    return at_frac(builder, rising ? count : builder.neg(count), f.frac.at(e));
}
std::int64_t thresholds_key(const Node& node, std::int64_t e) {
    const auto& f = node.fields<ThresholdFields>();
    return joint_key(e, f.thresholds, f.base, f.step, f.frac);
}

Fixed table(fixed::Builder& builder, const Node& node, FixedSpan x, std::int64_t e) {
    const auto& f = node.fields<TableFields>();
    const Fixed n = integer(builder, x[0]);
    return builder.lookup(n, "table", f.low.at(e), f.words.at(e), static_cast<int>(f.frac.at(e)));
}
std::int64_t table_key(const Node& node, std::int64_t e) {
    const auto& f = node.fields<TableFields>();
    return joint_key(e, f.low, f.words, f.frac);
}

template <Fixed (fixed::Builder::*method)(const Fixed&, const Fixed&)>
Fixed binary(fixed::Builder& builder, const Node&, FixedSpan x, std::int64_t) {
    return (builder.*method)(x[0], x[1]);
}

std::vector<TensorType> infer_binary(const Node& node, std::span<const TensorType> inputs) {
    if (!inputs[0].is_float() && !inputs[1].is_float()) {
        return infer_map(node, inputs);
    }
    const auto shape = broadcast(inputs[0].shape, inputs[1].shape);
    if (!shape) {
        throw Failure(Code::operator_inputs, node.where,
                      fmt::format("shapes {} and {} do not broadcast", to_string(inputs[0].shape),
                                  to_string(inputs[1].shape)));
    }
    return {{*shape, std::nullopt}};
}

template <double (*function)(double, double)>
std::vector<Tensor> binary_reference(const Node&, std::span<const Tensor* const> inputs) {
    Tensor out{*broadcast(inputs[0]->shape, inputs[1]->shape), {}};
    const auto a = broadcast_index(inputs[0]->shape, out.shape);
    const auto b = broadcast_index(inputs[1]->shape, out.shape);
    out.values.reserve(a.size());
    for (std::size_t e = 0; e < a.size(); ++e) {
        out.values.push_back(function(inputs[0]->values[static_cast<std::size_t>(a[e])],
                                      inputs[1]->values[static_cast<std::size_t>(b[e])]));
    }
    return {out};
}

double plus(double a, double b) {
    return a + b;
}
double minus(double a, double b) {
    return a - b;
}
double times(double a, double b) {
    return a * b;
}
// What is no number stays no number.
double larger(double a, double b) {
    return a < b || std::isnan(b) ? b : a;
}
double smaller(double a, double b) {
    return b < a || std::isnan(b) ? b : a;
}

using network::field_table;
using network::NoFields;

}  // namespace

std::optional<KeyPattern> key_pattern(const Node& node) {
    if (node.op->element_key == nullptr) {
        return KeyPattern{};
    }
    if (node.op == &affine_operator) {
        const auto& f = node.fields<AffineFields>();
        return joint_pattern(f.multiplier, f.addend, f.frac);
    }
    if (node.op == &quantize_operator) {
        return joint_pattern(node.fields<QuantizeFields>().type);
    }
    if (node.op == &clamp_operator) {
        return joint_pattern(node.fields<ClampFields>().range);
    }
    if (node.op == &leaky_operator) {
        const auto& f = node.fields<LeakyFields>();
        return joint_pattern(f.negative, f.positive, f.frac);
    }
    if (node.op == &thresholds_operator) {
        const auto& f = node.fields<ThresholdFields>();
        return joint_pattern(f.thresholds, f.base, f.step, f.frac);
    }
    if (node.op == &table_operator) {
        const auto& f = node.fields<TableFields>();
        return joint_pattern(f.low, f.words, f.frac);
    }
    return std::nullopt;
}

const network::Operator affine_operator = {
    .name = "affine",
    .formula = "y = (multiplier * x + addend) on integers, at frac",
    .fields = &field_table<AffineFields>,
    .infer = &infer_map,
    .element = &affine,
    .element_key = &affine_key};
const network::Operator quantize_operator = {
    .name = "quantize",
    .formula = "y = x rounded to the type's grid, then brought into its range",
    .fields = &field_table<QuantizeFields>,
    .infer = &infer_map,
    .element = &quantize,
    .element_key = &quantize_key};
const network::Operator clamp_operator = {.name = "clamp",
                                          .formula = "y = max(low, min(high, x)) on integers",
                                          .fields = &field_table<ClampFields>,
                                          .infer = &infer_map,
                                          .element = &clamp,
                                          .element_key = &clamp_key};
const network::Operator leaky_operator = {
    .name = "leaky",
    .formula = "y = x * (x < 0 ? negative : positive) on integers, at frac",
    .fields = &field_table<LeakyFields>,
    .infer = &infer_map,
    .element = &leaky,
    .element_key = &leaky_key};
const network::Operator absolute_operator = {.name = "absolute",
                                             .formula = "y = |x|",
                                             .fields = &field_table<NoFields>,
                                             .infer = &infer_map,
                                             .element = &absolute};
const network::Operator thresholds_operator = {
    .name = "thresholds",
    .formula = "y = base + step * (number of thresholds t with x >= t)",
    .fields = &field_table<ThresholdFields>,
    .infer = &infer_map,
    .element = &thresholds,
    .element_key = &thresholds_key};
const network::Operator table_operator = {.name = "table",
                                          .formula = "y = words[x - low]",
                                          .fields = &field_table<TableFields>,
                                          .infer = &infer_map,
                                          .element = &table,
                                          .element_key = &table_key};

const network::Operator add_operator = {.name = "add",
                                        .formula = "y = a + b",
                                        .min_inputs = 2,
                                        .max_inputs = 2,
                                        .fields = &field_table<NoFields>,
                                        .infer = &infer_binary,
                                        .reference = &binary_reference<&plus>,
                                        .lower = &lower_add,
                                        .element = &binary<&fixed::Builder::add>};
const network::Operator subtract_operator = {.name = "subtract",
                                             .formula = "y = a - b",
                                             .min_inputs = 2,
                                             .max_inputs = 2,
                                             .fields = &field_table<NoFields>,
                                             .infer = &infer_binary,
                                             .reference = &binary_reference<&minus>,
                                             .lower = &lower_subtract,
                                             .element = &binary<&fixed::Builder::sub>};
const network::Operator multiply_operator = {.name = "multiply",
                                             .formula = "y = a * b",
                                             .min_inputs = 2,
                                             .max_inputs = 2,
                                             .fields = &field_table<NoFields>,
                                             .infer = &infer_binary,
                                             .reference = &binary_reference<&times>,
                                             .lower = &lower_multiply,
                                             .element = &binary<&fixed::Builder::mul>};
const network::Operator maximum_operator = {.name = "maximum",
                                            .formula = "y = max(a, b)",
                                            .min_inputs = 2,
                                            .max_inputs = 2,
                                            .fields = &field_table<NoFields>,
                                            .infer = &infer_binary,
                                            .reference = &binary_reference<&larger>,
                                            .lower = &lower_maximum,
                                            .element = &binary<&fixed::Builder::max>};
const network::Operator minimum_operator = {.name = "minimum",
                                            .formula = "y = min(a, b)",
                                            .min_inputs = 2,
                                            .max_inputs = 2,
                                            .fields = &field_table<NoFields>,
                                            .infer = &infer_binary,
                                            .reference = &binary_reference<&smaller>,
                                            .lower = &lower_minimum,
                                            .element = &binary<&fixed::Builder::min>};

}  // namespace gatewright::operators
