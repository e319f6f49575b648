#include "schedule/parallel.h"

#include <doctest/doctest.h>

#include <random>

#include "bits/function.h"
#include "operators/catalogue.h"
#include "operators/core.h"
#include "operators/layers.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/selection.h"

using namespace gatewright;
using namespace gatewright::operators;
using network::Attributes;
using network::Network;
using network::TensorType;
using network::Value;

namespace {

Location at(const char* layer) {
    return {"model", layer, "Test", ""};
}

Value constant(Network& n, Shape shape, std::vector<double> values) {
    return n.add(network::constant_operator,
                 Attributes::of(network::ConstantFields{{std::move(shape), std::move(values)}}), {},
                 at("constant"));
}

Value quantise(Network& n, Value x, double scale, double low, double high, Rounding rounding,
               double zero_point = 0) {
    FakeQuantizeFields f;
    f.scale = Tensor::scalar(scale);
    f.zero_point = Tensor::scalar(zero_point);
    f.low = Tensor::scalar(low);
    f.high = Tensor::scalar(high);
    f.rounding = rounding;
    return n.add(fake_quantize_operator, Attributes::of(f), {x}, at("quant"));
}

Value function(Network& n, const char* name, std::vector<Value> inputs) {
    return n.add(function_operator, Attributes::of(FunctionFields{name}), std::move(inputs),
                 at(name));
}

/// The layers on real numbers, node by node.
std::vector<Tensor> reference(const Network& n, const std::vector<Tensor>& inputs) {
    std::map<Value, Tensor> values;
    std::size_t next = 0;
    for (network::NodeId id = 0; id < n.nodes().size(); ++id) {
        const network::Node& node = n.node(id);
        if (node.op == &network::input_operator) {
            values[{id, 0}] = inputs[next++];
            continue;
        }
        std::vector<const Tensor*> arguments;
        for (const Value v : node.inputs) {
            arguments.push_back(&values.at(v));
        }
        const auto results = node.op->reference(node, arguments);
        for (std::uint32_t i = 0; i < results.size(); ++i) {
            values[{id, i}] = results[i];
        }
    }
    std::vector<Tensor> out;
    for (const auto& output : n.outputs()) {
        out.push_back(values.at(output.value));
    }
    return out;
}

/// The unrolled circuit, with encoding and decoding.
std::vector<Tensor> circuit(const CoreModel& model, const schedule::ParallelDesign& design,
                            const std::vector<Tensor>& inputs) {
    std::vector<Int128> words;
    const auto ports = model.network.inputs();
    for (std::size_t p = 0; p < ports.size(); ++p) {
        const Encoding& encoding = model.encodings[p];
        std::size_t source = 0;
        while (model.model_inputs[source].name != encoding.model_input) {
            ++source;
        }
        const auto count = element_count(model.network.node(ports[p]).types.front().shape);
        const auto steps = std::span(encoding.steps);
        for (std::int64_t e = 0; e < count; ++e) {
            const auto from = static_cast<std::size_t>(
                encoding.index.empty() ? e : encoding.index[static_cast<std::size_t>(e)]);
            const Real x = apply(steps.first(steps.size() - 1),
                                 {to_rational(inputs[source].values[from]), 0}, e);
            words.push_back(*to_int128(quantize_integer(steps.back(), exact_value(x), e)));
        }
    }
    const auto results = bits::evaluate(design.design.processes[0].body, words);
    std::vector<Tensor> out;
    std::size_t next = 0;
    for (std::size_t o = 0; o < model.network.outputs().size(); ++o) {
        const TensorType& type = model.network.type(model.network.outputs()[o].value);
        Tensor y{type.shape, {}};
        for (std::int64_t e = 0; e < element_count(type.shape); ++e) {
            y.values.push_back(to_double(Rational(to_bigint(results[next++])) *
                                         power_of_two(-type.fixed->at(e).type.frac)));
        }
        apply_in_place(model.decodings[o].steps, y);
        out.push_back(y);
    }
    return out;
}

void check_equal(const Network& n, const std::vector<Shape>& shapes, double grid, int samples) {
    const CoreModel model = lower(n, {});
    CHECK(network::verify(model.network).empty());
    const CoreModel again = core_model_from_text(to_text(model));
    CHECK(to_text(again) == to_text(model));
    const auto design = schedule::parallel(model, {});
    CHECK(bits::verify(design.design.processes[0].body).empty());
    for (const auto& contraction : design.contractions) {
        CHECK(linear::prove(contraction.graph, contraction.matrix).empty());
    }
    std::mt19937 random(7);
    for (int i = 0; i < samples; ++i) {
        std::vector<Tensor> inputs;
        for (const Shape& shape : shapes) {
            Tensor x{shape, {}};
            for (std::int64_t e = 0; e < element_count(shape); ++e) {
                x.values.push_back((static_cast<int>(random() % 129) - 64) * grid);
            }
            inputs.push_back(x);
        }
        CHECK(circuit(model, design, inputs) == reference(n, inputs));
    }
}

}  // namespace

TEST_CASE("a dense layer with bias, ReLU and quantisers is the same in layers and in the circuit") {
    for (const Rounding rounding :
         {Rounding::half_even, Rounding::floor, Rounding::ceil, Rounding::toward_zero,
          Rounding::away, Rounding::half_up, Rounding::half_down}) {
        Network n;
        n.name = "dense";
        Value x = n.add_input("x", {{4}, std::nullopt}, at("x"));
        x = quantise(n, x, 0.25, -8, 7, rounding);
        const Value w = constant(n, {4, 3}, {1, -2, 3, 0.5, 0, -1.5, 2, 2.5, -0.5, -3, 1, 0.25});
        x = n.add(matmul_operator, Attributes(), {x, w}, at("fc"));
        x = n.add(add_operator, Attributes(), {x, constant(n, {3}, {0.125, -1, 0.3125})}, at("fc"));
        x = function(n, "maximum", {x, constant(n, {}, {0})});
        x = quantise(n, x, 0.5, 0, 15, rounding);
        n.set_output("y", x);
        check_equal(n, {{4}}, 0.0625, 60);
    }
}

TEST_CASE("scales that differ by channel and are no powers of two reach the next quantiser") {
    Network n;
    n.name = "scales";
    Value x = n.add_input("x", {{3}, std::nullopt}, at("x"));
    x = quantise(n, x, 0.5, -8, 7, Rounding::half_even);
    const Value w = constant(n, {3, 2}, {3, 5, -6, 10, 9, -15});
    x = n.add(matmul_operator, Attributes(), {x, w}, at("fc"));
    x = n.add(multiply_operator, Attributes(), {x, constant(n, {2}, {0.75, -1.25})}, at("scale"));
    x = quantise(n, x, 3, -7, 7, Rounding::half_even);
    n.set_output("y", x);
    check_equal(n, {{3}}, 0.125, 100);
}

TEST_CASE("branches with different scales are added, compared and joined exactly") {
    Network n;
    n.name = "branches";
    Value x = n.add_input("x", {{4}, std::nullopt}, at("x"));
    const Value a = quantise(n, x, 0.75, -8, 7, Rounding::half_even);
    const Value b = quantise(n, x, 0.5, -4, 3, Rounding::floor, 1);
    n.set_output("sum", n.add(add_operator, Attributes(), {a, b}, at("sum")));
    n.set_output("difference", n.add(subtract_operator, Attributes(), {a, b}, at("difference")));
    n.set_output("larger", n.add(maximum_operator, Attributes(), {a, b}, at("larger")));
    n.set_output("smaller", n.add(minimum_operator, Attributes(), {a, b}, at("smaller")));
    n.set_output("product", n.add(multiply_operator, Attributes(), {a, b}, at("product")));
    const Value joined =
        n.add(concat_operator, Attributes::of(ConcatFields{0}), {a, b}, at("joined"));
    n.set_output("joined", joined);
    n.set_output("leaky", function(n, "leaky", {joined, constant(n, {}, {0.25})}));
    n.set_output("position",
                 n.add(argmax_operator, Attributes::of(ArgLayerFields{}), {joined}, at("argmax")));
    const Value top =
        n.add(top_k_operator, Attributes::of(TopKLayerFields{0, 3, false}), {joined}, at("top"));
    n.set_output("top", top);
    n.set_output("top_positions", {top.node, 1});
    check_equal(n, {{4}}, 0.125, 60);
}

TEST_CASE("layers that read the same values share sums, and each is still proven") {
    Network n;
    n.name = "shared";
    const Value x =
        quantise(n, n.add_input("x", {{6}, std::nullopt}, at("x")), 0.25, -8, 7, Rounding::floor);
    std::mt19937 random(5);
    std::vector<double> queries;
    for (int k = 0; k < 24; ++k) {
        queries.push_back(static_cast<int>(random() % 31) - 15);
    }
    // Keys are twice the queries less one of them, so most sums are the same.
    std::vector<double> keys = queries;
    for (int k = 0; k < 24; ++k) {
        keys[static_cast<std::size_t>(k)] *= k % 4 == 0 ? -1 : 2;
    }
    const Value q =
        n.add(matmul_operator, Attributes(), {x, constant(n, {6, 4}, queries)}, at("q"));
    const Value k = n.add(matmul_operator, Attributes(), {x, constant(n, {6, 4}, keys)}, at("k"));
    n.set_output("q", q);
    n.set_output("k", k);
    check_equal(n, {{6}}, 0.0625, 40);
    const auto design = schedule::parallel(lower(n, {}), {});
    REQUIRE(design.contractions.size() == 2);
    std::int64_t apart = 0;
    std::int64_t together = 0;
    for (const auto& contraction : design.contractions) {
        apart += static_cast<std::int64_t>(contraction.graph.additions.size());
    }
    for (const auto& layer : design.layers) {
        together += layer.adders;
    }
    CHECK(together * 4 < apart * 3);
}

TEST_CASE("patches of a convolution make products of a pixel once, at borders too") {
    Network n;
    n.name = "patches";
    const Value x = quantise(n, n.add_input("x", {{4, 7}, std::nullopt}, at("x")), 0.25, -8, 7,
                             Rounding::floor);
    std::mt19937 random(5);
    std::vector<double> weights;
    for (int k = 0; k < 4 * 4 * 3; ++k) {
        weights.push_back(static_cast<int>(random() % 4095) - 2047);
    }
    const Value y = n.add(conv_operator, Attributes::of(ConvFields{{1}, {1}, {1}, {1}, 1, {}}),
                          {x, constant(n, {4, 4, 3}, weights)}, at("conv"));
    n.set_output("y", y);
    check_equal(n, {{4, 7}}, 0.0625, 30);
    const auto design = schedule::parallel(lower(n, {}), {});
    std::int64_t of_rows = 0;
    for (const auto& contraction : design.contractions) {
        CHECK(contraction.shared > 0);
        of_rows +=
            contraction.copies * static_cast<std::int64_t>(contraction.graph.additions.size());
    }
    REQUIRE(design.layers.size() == 1);
    CHECK(design.layers.front().adders * 4 < of_rows * 3);
}

TEST_CASE("transposed convolution") {
    const auto fields = [](std::int64_t stride, std::int64_t dilation, std::int64_t cut,
                           std::int64_t extra, std::int64_t groups) {
        return ConvTransposeFields{{stride, 1}, {dilation, 1}, {cut, 0},
                                   {cut, 1},    {extra, 0},    groups};
    };
    for (const ConvTransposeFields& f :
         {fields(1, 1, 0, 0, 1), fields(2, 1, 0, 0, 1), fields(2, 1, 1, 1, 1),
          fields(3, 1, 0, 2, 1), fields(2, 2, 2, 0, 1), fields(2, 1, 1, 0, 2)}) {
        Network n;
        n.name = "transposed";
        Value x = n.add_input("x", {{2, 3, 2}, std::nullopt}, at("x"));
        x = quantise(n, x, 0.5, -8, 7, Rounding::half_even);
        const Shape shape{2, 4 / f.groups, 3, 2};
        std::vector<double> weights;
        for (int i = 0; i < element_count(shape); ++i) {
            weights.push_back(((i * 7) % 15 - 7) * 0.25);
        }
        const Value w = constant(n, shape, weights);
        const Value bias = constant(n, {4}, {0.5, -1, 2, 0.125});
        x = n.add(conv_transpose_operator, Attributes::of(f), {x, w, bias}, at("up"));
        n.set_output("y", quantise(n, x, 0.5, -32, 31, Rounding::floor));
        n.set_output("sums", x);
        check_equal(n, {{2, 3, 2}}, 0.125, 8);
    }
}

TEST_CASE("convolution, ReLU, quantiser and pooling") {
    Network n;
    n.name = "conv";
    Value x = n.add_input("x", {{2, 6, 6}, std::nullopt}, at("x"));
    x = quantise(n, x, 0.5, -8, 7, Rounding::half_even);
    std::vector<double> weights;
    for (int i = 0; i < 3 * 2 * 9; ++i) {
        weights.push_back((i * 7 % 9 - 4) * 0.25);
    }
    ConvFields conv;
    conv.strides = {1, 1};
    conv.dilations = {1, 1};
    conv.before = {1, 1};
    conv.after = {1, 1};
    x = n.add(conv_operator, Attributes::of(conv),
              {x, constant(n, {3, 2, 3, 3}, weights), constant(n, {3}, {0.5, -0.25, 1})},
              at("conv"));
    x = function(n, "maximum", {x, constant(n, {}, {0})});
    x = quantise(n, x, 1, 0, 15, Rounding::half_even);
    PoolFields pool;
    pool.kind = "max";
    pool.kernel = {2, 2};
    pool.strides = {2, 2};
    pool.dilations = {1, 1};
    pool.before = {0, 0};
    pool.after = {0, 0};
    const Value largest = n.add(pool_operator, Attributes::of(pool), {x}, at("pool"));
    n.set_output("largest", largest);
    pool.kind = "average";
    n.set_output("mean", n.add(pool_operator, Attributes::of(pool), {x}, at("mean")));
    check_equal(n, {{2, 6, 6}}, 0.25, 10);
}

TEST_CASE("zeros of a padding have the binary point of what they stand among") {
    Network n;
    n.name = "padded";
    Value x = n.add_input("x", {{1, 3, 2}, std::nullopt}, at("x"));
    x = quantise(n, x, 4, -8, 7, Rounding::half_even);
    PoolFields pool;
    pool.kind = "average";
    pool.kernel = {2, 1};
    pool.strides = {1, 1};
    pool.dilations = {1, 1};
    pool.before = {0, 0};
    pool.after = {1, 0};
    n.set_output("mean", n.add(pool_operator, Attributes::of(pool), {x}, at("mean")));
    check_equal(n, {{1, 3, 2}}, 0.5, 10);
}

TEST_CASE("moves of constants that lowering finds are constants") {
    Network n;
    n.name = "found";
    Value x = n.add_input("x", {{1}, std::nullopt}, at("x"));
    x = quantise(n, x, 0.5, -8, 7, Rounding::half_even);
    CumulativeFields largest;
    largest.kind = "max";
    largest.axis = 0;
    const Value y = n.add(cumulative_operator, Attributes::of(largest), {x}, at("largest"));
    n.set_output("largest", y);
    n.set_output("where", {y.node, 1});
    check_equal(n, {{1}}, 0.25, 10);
}

TEST_CASE("an output of more than 64 bits is rounded with a bound, not cut off") {
    Network n;
    n.name = "wide";
    const double most = 9223372036854774784.0;  // the largest double below 2^63
    Value a = n.add_input("a", {{1}, std::nullopt}, at("a"));
    Value b = n.add_input("b", {{1}, std::nullopt}, at("b"));
    a = quantise(n, a, 1, 0, most, Rounding::half_even);
    b = quantise(n, b, 1, 0, most, Rounding::half_even);
    Value sum = n.add(add_operator, Attributes(), {a, b}, at("sum"));
    Network fits = n;
    fits.set_output("a", a);
    CHECK_NOTHROW(lower(fits, {}));
    n.set_output("sum", n.add(add_operator, Attributes(), {sum, sum}, at("twice")));
    const CoreModel core = lower(n, {});
    const Value port = core.network.outputs().front().value;
    for (const network::Format& format : core.network.type(port).fixed->values()) {
        CHECK(format.type.width <= 64);
    }
    REQUIRE(core.approximations.size() == 1);
    CHECK(core.approximations.front().layer == "twice");
    CHECK(core.approximations.front().bound >= 1);
}
