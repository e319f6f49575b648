#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>

#include "emulate/reference.h"
#include "emulate/tensor_emulator.h"
#include "operators/layers.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/selection.h"

/// Comparisons, choices and computed positions: the circuit's integers against the layers'
/// definitions on real numbers, where all numbers are dyadic and so both are exact.
using namespace gatewright;
using namespace gatewright::operators;
using network::Attributes;
using network::Network;
using network::Value;

namespace {

const Location here{"model", "layer", "Test", ""};
const FixedType wide{true, 16, 2};   ///< beyond tables
const FixedType narrow{true, 5, 2};  ///< -4 .. 3.75

class Case {
  public:
    explicit Case(std::uint64_t seed = 1) : random_(seed) {}

    Value input(const std::string& name, Shape shape, FixedType type) {
        types_[name] = type;
        return network_.add_input(name, {std::move(shape), std::nullopt}, here);
    }
    /// An input of positions low .. high.
    Value positions(const std::string& name, Shape shape, int low, int high) {
        ranges_[name] = {low, high};
        return input(name, std::move(shape), {true, 8, 0});
    }
    template <class Fields>
    Value add(const network::Operator& op, Fields fields, std::vector<Value> inputs) {
        return network_.add(op, Attributes::of(std::move(fields)), std::move(inputs), here);
    }
    Value add(const network::Operator& op, std::vector<Value> inputs) {
        return network_.add(op, Attributes(), std::move(inputs), here);
    }
    Value constant(Shape shape, std::vector<double> values) {
        return add(network::constant_operator,
                   network::ConstantFields{{std::move(shape), std::move(values)}}, {});
    }
    Value numbers(const Shape& shape, int low, int high, double unit) {
        Tensor t{shape, {}};
        for (std::int64_t e = 0; e < element_count(shape); ++e) {
            t.values.push_back(uniform(low, high) * unit);
        }
        return constant(t.shape, t.values);
    }
    Value join(const std::string& name, Value a, Value b) {
        return add(join_operator, JoinFields{name}, {a, b});
    }
    Value function(const std::string& name, Value x) {
        return add(function_operator, FunctionFields{name}, {x});
    }

    /// All outputs of the last node (or `value`) of some samples.
    void check(Value value) {
        const auto outputs = network_.node(value.node).types.size();
        for (std::uint32_t i = 0; i < outputs; ++i) {
            network_.set_output("y" + std::to_string(i), {value.node, i});
        }
        LoweringOptions options;
        options.input_type = [&](const std::string& name) { return types_.at(name); };
        const CoreModel model = lower(network_, options);
        REQUIRE(network::verify(model.network).empty());
        const emulate::TensorEmulator emulator(model);
        for (int sample = 0; sample < 20; ++sample) {
            compare(model, emulator);
        }
    }

  private:
    int uniform(int low, int high) {
        return low + static_cast<int>(random_() % static_cast<unsigned>(high - low + 1));
    }

    void compare(const CoreModel& model, const emulate::TensorEmulator& emulator) {
        std::map<std::string, Tensor> inputs;
        for (const network::NodeId id : network_.inputs()) {
            const std::string name(network_.input_name(id));
            Tensor x{network_.node(id).types.front().shape, {}};
            const FixedType type = types_.at(name);
            for (std::int64_t e = 0; e < element_count(x.shape); ++e) {
                const bool is_position = ranges_.contains(name);
                const int low = is_position ? ranges_.at(name).first : -16;
                const int high = is_position ? ranges_.at(name).second : 15;
                x.values.push_back(std::ldexp(uniform(low, high), -type.frac));
            }
            inputs[name] = x;
        }
        std::vector<std::vector<std::int64_t>> ports;
        for (const Encoding& encoding : model.encodings) {
            const Tensor& x = inputs.at(encoding.model_input);
            const auto steps = std::span(encoding.steps);
            auto& port = ports.emplace_back();
            const std::size_t count =
                encoding.index.empty() ? x.values.size() : encoding.index.size();
            for (std::size_t e = 0; e < count; ++e) {
                const auto from =
                    encoding.index.empty() ? e : static_cast<std::size_t>(encoding.index[e]);
                const Real y =
                    apply(steps.first(steps.size() - 1), {to_rational(x.values[from]), 0},
                          static_cast<std::int64_t>(e));
                port.push_back(
                    quantize_integer(steps.back(), exact_value(y), static_cast<std::int64_t>(e))
                        .convert_to<std::int64_t>());
            }
        }
        const auto results = emulator.run_integers(ports, 1);
        std::vector<Tensor> in_order;
        for (const network::NodeId id : network_.inputs()) {
            in_order.push_back(inputs.at(std::string(network_.input_name(id))));
        }
        const auto expected = emulate::reference_values(network_, in_order);
        for (std::size_t o = 0; o < results.size(); ++o) {
            const auto& output = model.network.outputs()[o];
            const Value value = network_.outputs()[o].value;
            const Tensor& wanted = expected[value.node][value.output];
            REQUIRE(wanted.values.size() == results[o].size());
            CHECK(model.network.type(output.value).shape == wanted.shape);
            for (std::size_t e = 0; e < results[o].size(); ++e) {
                const auto element = static_cast<std::int64_t>(e);
                const int frac = model.network.type(output.value).fixed->at(element).type.frac;
                const Rational number = Rational(results[o][e]) * power_of_two(-frac);
                const Real y = apply(model.decodings[o].steps, {number, 0}, element);
                REQUIRE(y.exact);
                CHECK(to_double(*y.exact) == wanted.values[e]);
            }
        }
    }

    Network network_;
    std::map<std::string, FixedType> types_;
    std::map<std::string, std::pair<int, int>> ranges_;
    std::mt19937 random_;
};

}  // namespace

TEST_CASE("comparisons and logic are exact, of computed tensors and of constants") {
    for (const char* name : {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal",
                             "and", "or", "xor"}) {
        CAPTURE(name);
        for (const FixedType& type : {narrow, wide}) {
            Case two;
            two.check(two.join(name, two.input("a", {3, 4}, type), two.input("b", {4}, narrow)));
            Case right;
            right.check(
                right.join(name, right.input("a", {3, 4}, type), right.numbers({4}, -3, 3, 0.25)));
            Case left;
            left.check(
                left.join(name, left.numbers({3, 1}, -3, 3, 0.25), left.input("a", {3, 4}, type)));
            Case same;
            const Value x = same.input("a", {6}, type);
            same.check(same.join(name, x, same.function("absolute", x)));
        }
    }
}

TEST_CASE("roundings, signs and bits need no quantiser") {
    for (const char* name : {"sign", "floor", "ceil", "round", "round_half_away", "truncate", "not",
                             "nonzero", "is_nan", "is_finite"}) {
        CAPTURE(name);
        for (const FixedType& type : {narrow, wide}) {
            Case c;
            const Value x = c.input("x", {12}, type);
            c.check(c.add(multiply_operator, {c.function(name, x), x}));
        }
    }
}

TEST_CASE("choices are exact, whatever is chosen by and from") {
    for (const FixedType& type : {narrow, wide}) {
        Case three;
        const Value a = three.input("a", {3, 4}, type);
        const Value b = three.input("b", {4}, wide);
        three.check(three.add(select_operator,
                              {three.join("less", a, b), three.input("c", {3, 1}, narrow), b}));
        // A function of one tensor, written as a choice.
        Case one;
        const Value x = one.input("x", {12}, type);
        one.check(one.add(select_operator, {one.join("greater", x, one.constant({}, {0.5})),
                                            one.function("square", x), one.constant({}, {-1})}));
        for (const bool computed : {false, true}) {
            Case fixed;
            const Value y = fixed.input("x", {2, 3}, type);
            const Value other =
                computed ? fixed.input("y", {2, 3}, narrow) : fixed.numbers({3}, -9, 9, 0.5);
            fixed.check(fixed.add(select_operator, {fixed.constant({2, 1}, {0, 1}), y, other}));
        }
    }
}

TEST_CASE("computed positions are read and written exactly") {
    for (const bool computed : {false, true}) {
        for (const bool wrap : {false, true}) {
            for (const char* outside : {"error", "clamp", "zero"}) {
                const int more = std::string(outside) == "error" ? 0 : 3;
                const int low = (wrap ? -5 : 0) - more;
                CAPTURE(computed);
                CAPTURE(low);
                const auto data = [&](Case& c, const Shape& shape) {
                    return computed ? c.input("x", shape, narrow)
                                    : c.numbers(shape, -40, 40, 0.125);
                };
                for (const std::int64_t axis : {0, 1, 2}) {
                    Shape shape = {2, 3, 4};
                    shape[static_cast<std::size_t>(axis)] = 5;
                    Case c;
                    const Value x = data(c, shape);
                    c.check(c.add(gather_operator, GatherFields{axis, wrap, outside},
                                  {x, c.positions("i", {2, 2}, low, 4 + more)}));
                    Case e;
                    const Value y = data(e, shape);
                    Shape index = {2, 2, 4};
                    e.check(e.add(gather_elements_operator,
                                  GatherElementsFields{axis, wrap, outside},
                                  {y, e.positions("i", index, low, 4 + more)}));
                }
                for (const std::int64_t batch : {0, 1}) {
                    Case c;
                    const Value x = data(c, {2, 5, 5, 2});
                    const Shape index = batch == 0 ? Shape{3, 1} : Shape{2, 3, 2};
                    const int first = batch == 0 ? (wrap ? -2 : 0) - more : low;
                    c.check(
                        c.add(gather_nd_operator, GatherNdFields{batch, wrap, outside},
                              {x, c.positions("i", index, first, (batch == 0 ? 1 : 4) + more)}));
                }
            }
        }
    }
    for (const char* reduction : {"none", "sum", "prod", "max", "min"}) {
        for (const char* outside : {"error", "zero"}) {
            CAPTURE(reduction);
            const int more = std::string(outside) == "zero" ? 2 : 0;
            Case c;
            const Value x = c.input("x", {2, 3}, narrow);
            const Value i = c.positions("i", {2, 2}, -3 - more, 2 + more);
            c.check(c.add(scatter_operator,
                          ScatterFields{"elements", 1, reduction, true, true, outside},
                          {x, i, c.input("u", {2, 2}, narrow)}));
            Case nd;
            const Value y = nd.numbers({2, 3, 2}, -8, 8, 0.25);
            const Value at = nd.positions("i", {3, 1}, 0 - more, 1 + more);
            nd.check(nd.add(scatter_operator,
                            ScatterFields{"nd", 0, reduction, true, false, outside},
                            {y, at, nd.input("u", {3, 3, 2}, narrow)}));
            Case known;
            const Value z = known.input("x", {4, 2}, narrow);
            known.check(known.add(
                scatter_operator, ScatterFields{"nd", 0, reduction, true, false, outside},
                {z, known.constant({3, 1}, {3, 0, 3}), known.input("u", {3, 2}, narrow)}));
        }
    }
}

TEST_CASE("cumulative layers and products along axes are exact") {
    for (const char* kind : {"sum", "prod", "max", "min"}) {
        for (const bool reverse : {false, true}) {
            for (const bool exclusive : {false, true}) {
                const std::string name = kind;
                if (exclusive && (name == "max" || name == "min")) {
                    continue;
                }
                CAPTURE(kind);
                Case c;
                c.check(c.add(cumulative_operator, CumulativeFields{kind, 1, exclusive, reverse},
                              {c.input("x", {2, 5, 3}, narrow)}));
            }
        }
    }
    Case c;
    c.check(c.add(reduce_operator, ReduceFields{"prod", {0, 2}, true},
                  {c.input("x", {2, 2, 3}, narrow)}));
}

TEST_CASE("a product of computed tensors broadcasts its leading axes") {
    for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{
             {{2, 3, 4}, {4, 5}}, {{2, 1, 3, 4}, {3, 4, 2}}, {{4}, {2, 4, 3}}, {{2, 3, 4}, {4}}}) {
        for (const bool computed : {true, false}) {
            Case c;
            const Value x = c.input("a", a, narrow);
            const Value y = computed ? c.input("b", b, narrow) : c.numbers(b, -9, 9, 0.25);
            c.check(c.add(matmul_operator, MatmulFields{}, {x, y}));
            Case other;
            const Value p = computed ? other.input("a", a, narrow) : other.numbers(a, -9, 9, 0.5);
            const Value q = other.input("b", b, narrow);
            other.check(other.add(matmul_operator, MatmulFields{}, {p, q}));
        }
    }
}
