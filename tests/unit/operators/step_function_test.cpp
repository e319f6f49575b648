#include "operators/step_function.h"

#include <doctest/doctest.h>

#include <random>

namespace gatewright::operators {

TEST_CASE("thresholds say what the function says, for each integer of its domain") {
    std::mt19937 random(7);
    const auto number = [&] {
        constexpr int denominators[] = {1, 2, 3, 4, 7, 8, 10, 16};
        return ratio(static_cast<int>(random() % 41) - 20, denominators[random() % 8]);
    };
    int forms = 0;
    for (int round = 0; round < 600; ++round) {
        std::vector<Step> steps;
        for (std::size_t k = random() % 4; k > 0; --k) {
            switch (random() % 4) {
                case 0:
                    steps.push_back(make_step("affine", {number(), number()}));
                    break;
                case 1:
                    steps.push_back(make_step("maximum", {number()}));
                    break;
                case 2:
                    steps.push_back(make_step("minimum", {number()}));
                    break;
                default:
                    steps.push_back(make_step("tanh"));
            }
        }
        Step quantiser =
            make_step("quantize", {power_of_two(1 - static_cast<int>(random() % 8)),
                                   Rational(random() % 3), Rational(-60), Rational(60)});
        quantiser.rounding = static_cast<Rounding>(random() % 9);
        quantiser.overflow = Overflow::saturate;
        const StepFunction f{{-50, 40}, power_of_two(-3), steps, &quantiser, 0};
        const auto form = threshold_form(f, 1000);
        if (!form) {
            CHECK(f.direction() == 0);
            continue;
        }
        ++forms;
        for (Int128 n = f.domain.low; n <= f.domain.high; ++n) {
            Int128 y = form->base;
            for (const Int128 threshold : form->thresholds) {
                y += n >= threshold ? form->step : 0;
            }
            REQUIRE(y == f.at(n));
        }
    }
    CHECK(forms > 300);
}

}  // namespace gatewright::operators
