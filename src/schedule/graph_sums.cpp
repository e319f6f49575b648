#include "schedule/graph_sums.h"

#include <algorithm>
#include <utility>

#include "schedule/unsigned_sums.h"

namespace gatewright::schedule {

namespace {

using fixed::Fixed;

/// y - constant as a node that goes with the constant that is added next: wide enough for all
/// that y's bits could hold, so that nothing is reduced in between.
Fixed without(fixed::Builder& builder, const Fixed& y, Int128 constant) {
    if (constant == 0) {
        return y;
    }
    const Interval all = y.type.range();
    Fixed out = builder.add({y.bits, y.type, all}, builder.constant(-constant, y.type.frac));
    out.range = {y.range.low - constant, y.range.high - constant};
    return out;
}

std::vector<Fixed> signed_sums(fixed::Builder& builder, const linear::AdderGraph& graph,
                               const std::vector<Interval>& ranges, const EarlyConstants& early,
                               std::vector<Fixed> values) {
    const auto term = [&](std::int32_t value, int shift) {
        const Fixed& v = values[static_cast<std::size_t>(value)];
        return builder.align(builder.scale(v, shift), 0);
    };
    const auto operand = [&](std::int32_t value, int shift, Int128 constant) {
        const Fixed v = term(value, shift);
        return constant == 0 ? v : builder.add(v, builder.constant(constant, 0));
    };
    for (std::size_t i = 0; i < graph.additions.size(); ++i) {
        const linear::Addition& addition = graph.additions[i];
        const Fixed a = operand(addition.a, addition.shift_a, early.to_a[i]);
        const Fixed b = operand(addition.b, addition.shift_b, early.to_b[i]);
        const Fixed sum = addition.negate_a   ? builder.sub(b, a)
                          : addition.negate_b ? builder.sub(a, b)
                                              : builder.add(a, b);
        // The linear form knows the range better than the sum of two intervals.
        const Interval& range = ranges[values.size()];
        const Int128 more = early.value[values.size()];
        values.push_back(builder.assume_range(sum, {range.low + more, range.high + more}));
    }
    std::vector<Fixed> outputs;
    for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
        const linear::Output& output = graph.outputs[o];
        if (output.value < 0) {
            outputs.push_back(builder.constant(0, 0));
            continue;
        }
        const Fixed y = term(output.value, output.shift);
        outputs.push_back(without(builder, output.negate ? builder.neg(y) : y, early.output[o]));
    }
    return outputs;
}

}  // namespace

std::vector<std::vector<Fixed>> graph_sums(fixed::Builder& builder, const linear::AdderGraph& graph,
                                           const std::vector<Interval>& ranges,
                                           std::span<const std::vector<Fixed>> rows,
                                           const std::optional<Next>& next, bool are_unsigned,
                                           std::size_t shared) {
    const auto is_known = [](const std::optional<Int128>& c) { return c.has_value(); };
    if (next && are_unsigned && std::ranges::all_of(next->constants, is_known)) {
        Following following{{}, next->compares};
        for (const std::optional<Int128>& c : next->constants) {
            following.constants.push_back(*c);
        }
        if (auto sums = unsigned_sums(builder, graph, ranges, following, rows, shared)) {
            return std::move(*sums);
        }
    }
    const std::vector<Interval> all = linear::ranges_of(graph, ranges);
    const EarlyConstants early =
        early_constants(graph, all, next ? next->constants : Constants{}, shared);
    std::vector<std::vector<Fixed>> out;
    for (const std::vector<Fixed>& row : rows) {
        out.push_back(signed_sums(builder, graph, all, early, row));
    }
    return out;
}

}  // namespace gatewright::schedule
