#include "operators/integer_chain.h"

#include <doctest/doctest.h>

#include <random>

namespace gatewright::operators {

namespace {

/// Small numbers with odd and even denominators.
Rational any_number(std::mt19937& random) {
    constexpr int denominators[] = {1, 2, 3, 4, 7, 8, 10, 16};
    return ratio(static_cast<int>(random() % 41) - 20, denominators[random() % 8]);
}

Step any_quantiser(std::mt19937& random) {
    Rational scale = any_number(random);
    if (scale == 0) {
        scale = 1;
    }
    const int low = -static_cast<int>(random() % 9);
    Step step = make_step("quantize",
                          {scale, random() % 4 == 0 ? any_number(random) : Rational(random() % 3),
                           Rational(low), Rational(low + static_cast<int>(random() % 17))});
    step.rounding = static_cast<Rounding>(random() % 9);
    step.overflow = random() % 2 == 0 ? Overflow::wrap : Overflow::saturate;
    return step;
}

Step any_step(std::mt19937& random) {
    switch (random() % 6) {
        case 0:
            return make_step("affine", {any_number(random), any_number(random)});
        case 1:
            return make_step("maximum", {any_number(random)});
        case 2:
            return make_step("minimum", {any_number(random)});
        case 3:
            return make_step("leaky", {any_number(random)});
        case 4:
            return make_step("absolute");
        default:
            return any_quantiser(random);
    }
}

}  // namespace

TEST_CASE("a chain in integers gives what the chain of rationals gives") {
    std::mt19937 random(3);
    for (int round = 0; round < 400; ++round) {
        std::vector<Step> steps(random() % 4);
        for (Step& step : steps) {
            step = any_step(random);
        }
        const Step quantiser = any_quantiser(random);
        const Rational unit = power_of_two(static_cast<int>(random() % 9) - 6);
        const auto chain = IntegerChain::of(unit, steps, quantiser, 0, 40);
        REQUIRE(chain);
        for (int n = -40; n <= 40; ++n) {
            const Real x = apply(steps, {Rational(unit * n), 0}, 0);
            CAPTURE(print_field(steps));
            CAPTURE(n);
            CHECK(to_bigint(chain->at(n)) == quantize_integer(quantiser, exact_value(x), 0));
        }
    }
}

TEST_CASE("a chain of other functions, or of wider integers, has no form in integers") {
    std::mt19937 random(5);
    const Step quantiser = any_quantiser(random);
    const std::vector<Step> curved = {make_step("tanh")};
    CHECK_FALSE(IntegerChain::of(1, curved, quantiser, 0, 100));
    const std::vector<Step> wide = {make_step("affine", {power_of_two(80), Rational(0)})};
    CHECK(IntegerChain::of(1, wide, quantiser, 0, 100));
    CHECK_FALSE(IntegerChain::of(power_of_two(40), wide, quantiser, 0, 100));
}

}  // namespace gatewright::operators
