#include "operators/real_chain.h"

#include <doctest/doctest.h>

#include <random>

namespace gatewright::operators {

namespace {

Step quantiser_of(const Rational& scale, int low, int high) {
    return make_step("quantize", {scale, Rational(0), Rational(low), Rational(high)});
}

}  // namespace

TEST_CASE("a chain in floating point gives what the chain of rationals gives") {
    std::mt19937 random(3);
    const std::vector<std::vector<Step>> chains = {
        {make_step("sigmoid")},
        {make_step("tanh"), make_step("affine", {ratio(3, 7), Rational(-1)})},
        {make_step("exp"), make_step("absolute")},
        {make_step("tanh"), quantiser_of(power_of_two(-4), -8, 7)},
    };
    for (int round = 0; round < 600; ++round) {
        const std::vector<Step>& steps = chains[random() % chains.size()];
        Step quantiser = quantiser_of(power_of_two(3 - static_cast<int>(random() % 14)),
                                      -static_cast<int>(random() % 40), 1 + random() % 300);
        quantiser.rounding = static_cast<Rounding>(random() % 9);
        quantiser.overflow = random() % 2 == 0 ? Overflow::wrap : Overflow::saturate;
        const Rational unit = power_of_two(static_cast<int>(random() % 9) - 6);
        const auto chain = RealChain::of(unit, steps, quantiser, 0, 40);
        REQUIRE(chain);
        for (int n = -40; n <= 40; ++n) {
            const Real x = apply(steps, {Rational(unit * n), 0}, 0);
            REQUIRE(chain->at(n) == *to_int128(quantize_integer(quantiser, exact_value(x), 0)));
        }
    }
}

TEST_CASE("values at a tie, and tiny and huge ones, round as rationals do") {
    // exp(0) = 1 lies on a tie of this quantiser; exp(-5000) is less than any other number.
    const std::vector<Step> steps = {make_step("exp")};
    for (int mode = 0; mode < 9; ++mode) {
        Step quantiser = quantiser_of(2, 0, 7);
        quantiser.rounding = static_cast<Rounding>(mode);
        const auto chain = RealChain::of(1, steps, quantiser, 0, 10000);
        REQUIRE(chain);
        for (const int n : {0, 1, 3, -50, -5000, 100, 5000}) {
            const Real x = apply(steps, {Rational(n), 0}, 0);
            CHECK(chain->at(n) == *to_int128(quantize_integer(quantiser, exact_value(x), 0)));
        }
    }
}

TEST_CASE("chains that begin with exact steps, and other quantisers, have no such form") {
    const Step quantiser = quantiser_of(1, -8, 7);
    const std::vector<Step> curved = {make_step("tanh")};
    CHECK(RealChain::of(1, curved, quantiser, 0, 100));
    CHECK_FALSE(RealChain::of(1, std::vector<Step>{make_step("absolute")}, quantiser, 0, 100));
    CHECK_FALSE(RealChain::of(1, {}, quantiser, 0, 100));
    CHECK_FALSE(RealChain::of(ratio(1, 3), curved, quantiser, 0, 100));
    CHECK_FALSE(RealChain::of(-1, curved, quantiser, 0, 100));
    CHECK_FALSE(RealChain::of(1, curved, quantiser_of(-1, -8, 7), 0, 100));
    CHECK_FALSE(RealChain::of(1, curved, quantiser_of(ratio(3, 8), -8, 7), 0, 100));
    CHECK_FALSE(RealChain::of(1, curved, quantiser, 0, Int128{1} << 70));
}

}  // namespace gatewright::operators
