#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "emulate/tensor_emulator.h"
#include "import/keras/qkeras_quantisers.h"
#include "operators/lowering.h"

using namespace gatewright;
using keras::Quantiser;
using Json = nlohmann::ordered_json;

namespace {

const Location here = {"model.h5", "act", "QActivation", ""};

Quantiser read(const std::string& text) {
    return keras::read_quantiser(Json(text), here);
}

/// The quantiser on all multiples of 1/256 from -5 to 5, as a circuit computes it.
std::vector<float> computed(const Quantiser& quantiser, const std::vector<double>& x) {
    network::Network layers;
    layers.name = "act";
    const auto size = static_cast<std::int64_t>(x.size());
    layers::Builder builder(layers, here);
    layers::Operand operand;
    operand.value = layers.add_input("x", {{1}, std::nullopt}, here);
    operand.shape = {1};
    operand.batch_axis = 0;
    layers.set_output("y", keras::quantised(builder, quantiser, operand).value);
    operators::LoweringOptions options;
    options.input_type = [](const std::string&) { return FixedType{true, 12, 8}; };
    const operators::CoreModel model = operators::lower(layers, options);
    const emulate::TensorEmulator emulator(model);
    const auto samples = emulate::match_arrays(
        model, {{"x", NpyArray::of({size, 1}, std::span<const double>(x))}}, "x");
    return emulator.run(samples, 1).values.front();
}

}  // namespace

TEST_CASE("texts of quantisers are read with positions and names") {
    const Quantiser bits = read("quantized_bits(4, 1, symmetric=1, alpha='auto_po2')");
    CHECK(bits.kind == Quantiser::Kind::bits);
    CHECK(bits.bits == 4);
    CHECK(bits.integer == 1);
    CHECK(bits.symmetric);
    CHECK(bits.alpha.kind == keras::Alpha::Kind::automatic_po2);
    CHECK(read("quantized_relu").bits == 8);
    CHECK(read("quantized_relu()").bits == 8);
    const Quantiser relu = read("quantized_relu(6,2,negative_slope=0.25,is_quantized_clip=False)");
    CHECK(relu.negative_slope == 0.25);
    CHECK_FALSE(relu.is_quantized_clip);
    CHECK(keras::names_quantiser(Json("binary(alpha=1)")));
    CHECK_FALSE(keras::names_quantiser(Json("relu")));
    CHECK_FALSE(keras::names_quantiser(Json(1)));
}

TEST_CASE("what QKeras cannot read, or reads as something else, is refused") {
    for (const char* text : {"quantized_bits(",
                             "quantized_bits(4",
                             "quantized_bits(4))",
                             "quantized_bits(4)x",
                             "quantized_bits((4),1)",
                             "quantized_bits(4,,1)",
                             "quantized_bits(4,)",
                             "quantized_bits(bits=4,1)",
                             "quantized_bits(4,bits=5)",
                             "quantized_bits(4,no=1)",
                             "quantized_bits(alpha=None)",
                             "quantized_bits(alpha='none')",
                             "quantized_bits(4.5)",
                             "quantized_bits(100)",
                             "quantized_bits(-1)",
                             "quantized_bits(4,-1)",
                             "quantized_bits(nan)",
                             "quantized_bits(inf)",
                             "quantized_bits(4,symmetric=2)",
                             "quantized_relu(4,negative_slope=0.3)",
                             "quantized_po2(4,max_value=-1)",
                             "quantized_po2(4,log2_rounding='up')",
                             "bernoulli()",
                             "quantized_tanh(0)",
                             "hard_tanh(1)",
                             "quantised_bits(4)",
                             "",
                             "()"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(read(text), Failure);
    }
    CHECK_THROWS_AS(keras::read_quantiser(Json(3), here), Failure);
    CHECK_THROWS_AS(keras::read_quantiser({{"class_name", "binary"}, {"config", 1}}, here),
                    Failure);
    CHECK_THROWS_AS(
        keras::read_quantiser({{"class_name", "binary"}, {"config", {{"alpha", {1, 2}}}}}, here),
        Failure);
}

TEST_CASE("a circuit gives the numbers that float32 gives") {
    std::vector<double> x;
    for (int i = -1280; i <= 1280; ++i) {
        x.push_back(i / 256.0);
    }
    for (const char* text : {"quantized_bits(4,1)",
                             "quantized_bits(4,1,1)",
                             "quantized_bits(3,0,keep_negative=False)",
                             "quantized_bits(1)",
                             "quantized_bits(5,2,alpha=0.75)",
                             "quantized_bits(5,1,qnoise_factor=0.5)",
                             "quantized_relu(4,2)",
                             "quantized_relu(4,1,negative_slope=0.5)",
                             "quantized_relu(3,2,negative_slope=0.125)",
                             "quantized_relu(5,1,1)",
                             "quantized_relu(5,1,1,0.25)",
                             "quantized_relu(2,0,1,0.25)",
                             "quantized_relu(6,2,relu_upper_bound=1.5,is_quantized_clip=False)",
                             "quantized_relu(4,2,qnoise_factor=0.5)",
                             "quantized_tanh(4)",
                             "quantized_tanh(4,symmetric=True)",
                             "quantized_tanh(1)",
                             "quantized_tanh(6,use_real_tanh=True)",
                             "quantized_sigmoid(4)",
                             "quantized_sigmoid(5,symmetric=True)",
                             "quantized_sigmoid(6,use_real_sigmoid=True)",
                             "quantized_po2(4)",
                             "quantized_po2(4,max_value=1)",
                             "quantized_po2(4,quadratic_approximation=True)",
                             "quantized_po2(4,log2_rounding='floor')",
                             "quantized_relu_po2(3)",
                             "quantized_relu_po2(4,negative_slope=0.5)",
                             "quantized_relu_po2(3,2,qnoise_factor=0.5)",
                             "binary",
                             "binary(use_01=True,alpha=0.5)",
                             "ternary(alpha=2)",
                             "ternary(threshold=1.5)",
                             "stochastic_ternary(alpha=1)",
                             "quantized_ulaw(5,1)",
                             "quantized_ulaw(4,symmetric=1,u=15.0)"}) {
        CAPTURE(text);
        const Quantiser quantiser = read(text);
        const Tensor expected =
            keras::quantised_constant(quantiser, {{static_cast<std::int64_t>(x.size())}, x}, here);
        const std::vector<float> y = computed(quantiser, x);
        REQUIRE(y.size() == x.size());
        std::size_t different = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            different += y[i] == static_cast<float>(expected.values[i]) ? 0 : 1;
        }
        CHECK(different == 0);
    }
}

TEST_CASE("constants are quantised with scales that fit each channel") {
    // Two channels of four weights; values by QKeras 0.9.0.
    const Tensor w{{4, 2}, {0.9, 0.1, -0.4, 0.02, 0.3, -0.12, -0.8, 0.05}};
    Quantiser ternary = read("ternary()");
    keras::compute_alpha(ternary);
    CHECK(ternary.alpha.kind == keras::Alpha::Kind::automatic_po2);
    const Tensor y = keras::quantised_constant(ternary, w, here);
    CHECK(y.values == std::vector<double>{0.5, 0.125, -0.5, 0.0, 0.5, -0.125, -0.5, 0.0});
    const Tensor z =
        keras::quantised_constant(read("quantized_bits(3,0,alpha='auto_po2')"), w, here);
    CHECK(z.values ==
          std::vector<double>{0.75, 0.09375, -0.5, 0.03125, 0.25, -0.09375, -0.75, 0.0625});
    const Tensor b = keras::quantised_constant(read("quantized_bits(3,0,alpha='auto_po2')"),
                                               {{4}, {0.9, 0.1, -0.4, 0.02}}, here);
    CHECK(b.values == std::vector<double>{0.75, 0.09375, -0.5, 0.0234375});
}
