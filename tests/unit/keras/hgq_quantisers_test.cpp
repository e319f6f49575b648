// A quantiser acts on a constant in float32 arithmetic and on an activation by operators. On
// numbers that float32 holds with room to spare both are the same function, in every mode.

#include <doctest/doctest.h>

#include <cmath>

#include "emulate/reference.h"
#include "import/keras/hgq_quantisers.h"

using namespace gatewright;
using namespace gatewright::keras;

namespace {

constexpr Rounding roundings[] = {Rounding::floor,      Rounding::half_up,   Rounding::half_even,
                                  Rounding::half_zero,  Rounding::half_down, Rounding::half_away,
                                  Rounding::toward_zero};
constexpr Confine modes[] = {Confine::wrap, Confine::saturate, Confine::symmetric, Confine::zero,
                             Confine::reflect};

/// Numbers with ties, at many times the range of the widths below.
Tensor numbers() {
    Tensor x{{0}, {}};
    for (int n = -700; n <= 700; ++n) {
        x.values.push_back(n / 16.0);
    }
    x.shape = {static_cast<std::int64_t>(x.values.size())};
    return x;
}

Tensor by_operators(const Tensor& x, const HgqQuantiser& q) {
    network::Network net;
    layers::Builder builder(net, {"model", "layer", "Quantizer", ""});
    layers::Operand input;
    input.value = net.add_input("x", {x.shape, std::nullopt}, builder.where());
    input.shape = x.shape;
    input.batch_axis = 0;
    const layers::Operand y = quantised(builder, input, q);
    return emulate::reference_values(net, {x})[y.value.node][y.value.output];
}

}  // namespace

TEST_CASE("operators quantise as float32 arithmetic does") {
    const Tensor x = numbers();
    int compared = 0;
    for (const Rounding rounding : roundings) {
        for (const Confine mode : modes) {
            for (const double sign : {0.0, 1.0}) {
                for (const auto& [integer, fraction] : {std::pair{2.0, 1.0},
                                                        {0.0, 3.0},
                                                        {3.0, -1.0},
                                                        {-1.0, 3.0},
                                                        {0.0, 0.0},
                                                        {-1.0, 1.0},
                                                        {1.0, -3.0}}) {
                    HgqQuantiser q;
                    q.kind = HgqQuantiser::Kind::fixed_point;
                    q.rounding = rounding;
                    q.confine = mode;
                    q.fixed = {{{1, 1}, {sign}}, {{1, 1}, {integer}}, {{1, 1}, {fraction}}};
                    network::Network none;
                    const layers::Builder nowhere(none, {});
                    CAPTURE(to_string(rounding));
                    CAPTURE(static_cast<int>(mode));
                    CAPTURE(sign);
                    CAPTURE(integer);
                    CAPTURE(fraction);
                    CHECK(quantised(nowhere, x, q).values == by_operators(x, q).values);
                    ++compared;
                }
            }
        }
    }
    CHECK(compared == 7 * 5 * 2 * 7);
}

TEST_CASE("elements have widths of their own") {
    HgqQuantiser q;
    q.kind = HgqQuantiser::Kind::fixed_point;
    q.confine = Confine::saturate;
    q.fixed = {{{1, 3}, {1, 0, 1}}, {{1, 3}, {1, 2, 0}}, {{1, 3}, {0, 1, -1}}};
    const Tensor x{{3}, {-5.7, 2.8, 0.9}};
    CHECK(by_operators(x, q).values == std::vector<double>{-2, 2.5, 0});
}

TEST_CASE("traced weights are not wrapped") {
    const nlohmann::ordered_json config = {{"module", "hgq.quantizer.config"},
                                           {"class_name", "QuantizerConfig"},
                                           {"config",
                                            {{"q_type", "kif"},
                                             {"place", "weight"},
                                             {"round_mode", "RND"},
                                             {"overflow_mode", "WRAP"},
                                             {"is_weight", true},
                                             {"trainable", true}}}};
    network::Network net;
    const layers::Builder builder(net, {"model", "layer", "QDense", ""});
    const auto one = [](double v) { return Tensor{{1}, {v}}; };
    const std::vector<Tensor> variables = {one(1), one(1), one(0), one(0.01)};
    const Tensor x{{2}, {0.5, 3}};
    CHECK(quantised(builder, x, hgq2_quantiser(builder, config, variables, true, "kq")) == x);
    // Where the layer is frozen, what overflows would depend on how the model is loaded.
    CHECK_THROWS_AS(quantised(builder, x, hgq2_quantiser(builder, config, variables, false, "kq")),
                    Failure);
}
