// The programs of comparisons, logic and choices.

#include <algorithm>
#include <array>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::operators {

namespace {

using network::Attributes;

bool is_constant(const RealTensor& x) {
    return x.base == RealTensor::Base::constant;
}

RealTensor complement(Lowering& lowering, RealTensor bit) {
    return lowering.affine(std::move(bit), Rational(-1), Rational(1));
}

struct Comparison {
    std::string_view name;
    std::string_view mirrored;  ///< the same of swapped operands
};
constexpr std::array<Comparison, 6> comparisons = {{{"less", "greater"},
                                                    {"less_equal", "greater_equal"},
                                                    {"greater", "less"},
                                                    {"greater_equal", "less_equal"},
                                                    {"equal", "equal"},
                                                    {"not_equal", "not_equal"}}};

/// A comparison with constants. Orders are thresholds, which have a form for any width.
RealTensor compared_with(Lowering& lowering, std::string_view name, RealTensor x,
                         const PerElement<Rational>& constant) {
    const std::int64_t count = element_count(x.shape);
    const auto negated =
        combine<Rational>(count, [](const Rational& v) { return Rational(-v); }, constant);
    if (name == "greater_equal" || name == "less") {
        RealTensor y = lowering.step(std::move(x), make_step("count_thresholds", {constant}));
        return name == "less" ? complement(lowering, std::move(y)) : y;
    }
    if (name == "less_equal" || name == "greater") {
        RealTensor y = lowering.affine(std::move(x), Rational(-1), Rational(0));
        y = lowering.step(std::move(y), make_step("count_thresholds", {negated}));
        return name == "greater" ? complement(lowering, std::move(y)) : y;
    }
    const std::vector<Step> constants = {make_step("affine", {Rational(0), constant})};
    return lowering.step(std::move(x), make_join(name, {}, constants));
}

/// Whether the elements are 0 or 1 as they are.
bool is_bit(const Lowering& lowering, const RealTensor& x) {
    const auto tests = [](const Step& step) {
        return has_bits(step) || (is(step, "count_thresholds") && step.parameters.size() == 1);
    };
    const std::size_t count = x.steps.size();
    if (count == 0) {
        const auto in_bit = [](const network::Format& format) {
            return format.type.frac == 0 && format.range.low >= 0 && format.range.high <= 1;
        };
        return x.base == RealTensor::Base::core &&
               std::all_of(lowering.type(x.value).fixed->values().begin(),
                           lowering.type(x.value).fixed->values().end(), in_bit);
    }
    const Step complementing = make_step("affine", {Rational(-1), Rational(1)});
    return tests(x.steps.back()) ||
           (count > 1 && x.steps.back() == complementing && tests(x.steps[count - 2]));
}

/// 1 where x is not zero, else 0.
RealTensor truth(Lowering& lowering, const RealTensor& x) {
    return is_bit(lowering, x) ? x : lowering.step(x, make_step("nonzero"));
}

/// Logic of bits.
RealTensor logic(Lowering& lowering, std::string_view name, const RealTensor& a,
                 const RealTensor& b, const Shape& shape) {
    if (name != "xor") {
        return merged(lowering, name == "and" ? "product" : "larger", a, b, shape);
    }
    if (is_constant(a) || is_constant(b)) {
        const RealTensor both =
            lowering.affine(merged(lowering, "product", a, b, shape), Rational(2), Rational(0));
        return merged(lowering, "difference", merged(lowering, "sum", a, b, shape), both, shape);
    }
    const RealTensor x = expanded(lowering, a, shape);
    const RealTensor y = expanded(lowering, b, shape);
    const auto joined = lowering.joined("not_equal", x, y);
    return joined ? *joined : compared(lowering, "not_equal", x, y);
}

/// a where the constant condition holds, else b.
RealTensor chosen(Lowering& lowering, const Tensor& condition, const RealTensor& a,
                  const RealTensor& b, const Shape& shape) {
    const auto index = broadcast_index(condition.shape, shape);
    const auto holds = [&](std::size_t e) {
        return condition.values[static_cast<std::size_t>(index[e])] != 0;
    };
    if (is_constant(a) != is_constant(b)) {
        // One line: slope 1 or 0, and the constant where the slope is 0.
        const RealTensor& constant = is_constant(a) ? a : b;
        const RealTensor& computed = is_constant(a) ? b : a;
        const Tensor values = expanded(lowering, constant, shape).constant;
        std::vector<Rational> slope;
        std::vector<Rational> offset;
        for (std::size_t e = 0; e < index.size(); ++e) {
            const bool takes_constant = holds(e) == is_constant(a);
            slope.emplace_back(takes_constant ? 0 : 1);
            offset.push_back(takes_constant ? to_rational(values.values[e]) : Rational(0));
        }
        return lowering.affine(expanded(lowering, computed, shape),
                               PerElement<Rational>::each(std::move(slope)),
                               PerElement<Rational>::each(std::move(offset)));
    }
    const auto count = static_cast<std::int64_t>(index.size());
    IndexFields fields;
    fields.shape = shape;
    fields.index.shape = {count};
    for (std::size_t e = 0; e < index.size(); ++e) {
        fields.index.values.push_back(static_cast<std::int64_t>(e) + (holds(e) ? 0 : count));
    }
    Node concat;
    concat.op = &concat_operator;
    concat.attributes = Attributes::of(ConcatFields{0});
    const RealTensor both =
        lowering.move(concat, {lowering.reshape(expanded(lowering, a, shape), {count}),
                               lowering.reshape(expanded(lowering, b, shape), {count})});
    Node pick;
    pick.op = &index_operator;
    pick.attributes = Attributes::of(std::move(fields));
    return lowering.move(pick, {both});
}

/// Where all are functions of the same elements: bit * a + (1 - bit) * b as one.
std::optional<RealTensor> chosen_function(Lowering& lowering, const RealTensor& bit,
                                          const RealTensor& a, const RealTensor& b) {
    const auto times = [&](const RealTensor& x, const RealTensor& factor) {
        return is_constant(factor)
                   ? std::optional(lowering.affine(x, broadcast_constant(factor.constant, x.shape),
                                                   Rational(0)))
                   : lowering.joined("product", x, factor);
    };
    const auto first = times(bit, a);
    const auto second = times(complement(lowering, bit), b);
    return first && second ? lowering.joined("sum", *first, *second) : std::nullopt;
}

}  // namespace

RealTensor compared(Lowering& lowering, std::string_view function, const RealTensor& a,
                    const RealTensor& b) {
    const bool swap = function == "greater" || function == "less_equal";
    const bool equality = function == "equal" || function == "not_equal";
    const bool complements =
        function == "less_equal" || function == "greater_equal" || function == "not_equal";
    const auto both = lowering.common({a, b}, false);
    Linear out;
    out.where = lowering.where();
    out.value = lowering.core(equality ? equal_operator : less_operator, Attributes(),
                              {both[swap ? 1 : 0].value, both[swap ? 0 : 1].value});
    out.shape = lowering.type(out.value).shape;
    const RealTensor bit = lowering.real(out);
    return complements ? complement(lowering, bit) : bit;
}

void lower_join(Lowering& lowering, const Node& node) {
    const std::string& name = node.fields<JoinFields>().function;
    const Shape& shape = node.types.front().shape;
    const RealTensor& left = lowering.input(node, 0);
    const RealTensor& right = lowering.input(node, 1);
    if (name == "and" || name == "or" || name == "xor") {
        lowering.set(logic(lowering, name, truth(lowering, left), truth(lowering, right), shape));
        return;
    }
    const auto comparison = std::find_if(comparisons.begin(), comparisons.end(),
                                         [&](const Comparison& row) { return row.name == name; });
    const bool constant = is_constant(left) || is_constant(right);
    const bool swap = is_constant(left);
    const RealTensor a = expanded(lowering, swap ? right : left, shape);
    if (constant) {
        const auto numbers = broadcast_constant((swap ? left : right).constant, shape);
        if (comparison != comparisons.end()) {
            lowering.set(compared_with(lowering, swap ? comparison->mirrored : name, a, numbers));
            return;
        }
        std::vector<Step> numbers_step = {make_step("affine", {Rational(0), numbers})};
        lowering.set(lowering.step(a, swap ? make_join(name, std::move(numbers_step), {})
                                           : make_join(name, {}, std::move(numbers_step))));
        return;
    }
    const RealTensor b = expanded(lowering, right, shape);
    if (const auto joined = lowering.joined(name, a, b)) {
        lowering.set(*joined);
        return;
    }
    if (comparison == comparisons.end()) {
        lowering.refuse(Code::not_in_circuit,
                        "it joins two computed tensors by the function '" + name + "'",
                        "Make one of them a constant, or use --float to compute the model on "
                        "real numbers.");
    }
    lowering.set(compared(lowering, name, a, b));
}

void lower_select(Lowering& lowering, const Node& node) {
    const Shape& shape = node.types.front().shape;
    const RealTensor& a = lowering.input(node, 1);
    const RealTensor& b = lowering.input(node, 2);
    if (lowering.is_constant(node, 0)) {
        lowering.set(chosen(lowering, lowering.input(node, 0).constant, a, b, shape));
        return;
    }
    const RealTensor bit = expanded(lowering, truth(lowering, lowering.input(node, 0)), shape);
    const RealTensor if_set = expanded(lowering, a, shape);
    const RealTensor if_clear = expanded(lowering, b, shape);
    if (const auto function = chosen_function(lowering, bit, if_set, if_clear)) {
        lowering.set(*function);
        return;
    }
    const Linear condition = lowering.integers(bit);
    const auto both = lowering.common({if_set, if_clear}, false);
    Linear out = both[0];
    out.where = lowering.where();
    out.value = lowering.core(select_operator, Attributes(),
                              {condition.value, both[0].value, both[1].value});
    lowering.set(lowering.real(out));
}

}  // namespace gatewright::operators
