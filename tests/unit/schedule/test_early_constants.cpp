#include "schedule/early_constants.h"

#include <doctest/doctest.h>

#include <random>

#include "linear/search.h"

using namespace gatewright;
using namespace gatewright::schedule;

TEST_CASE("constants enter where an operand waits") {
    // (x0 + x1) + x2: x2 waits for the sum.
    const linear::AdderGraph graph{3, {{0, 1}, {3, 2}}, {{4}}};
    const std::vector<Interval> ranges = linear::ranges_of(graph, {{0, 15}, {0, 15}, {0, 15}});
    const EarlyConstants early = early_constants(graph, ranges, {5});
    CHECK(early.to_b[1] == 5);
    CHECK(early.to_a[1] == 0);
    CHECK(early.value[4] == 5);
    CHECK(early.output[0] == 5);
}

TEST_CASE("sums that others need are left alone") {
    const linear::AdderGraph graph{3, {{0, 1}, {3, 2}}, {{4}, {4, 1}}};
    const std::vector<Interval> ranges = linear::ranges_of(graph, {{0, 15}, {0, 15}, {0, 15}});
    const EarlyConstants early = early_constants(graph, ranges, {5, 7});
    CHECK(early.output == std::vector<Int128>{0, 0});
    CHECK(early.to_b[1] == 0);
}

TEST_CASE("outputs are larger by what they are said to be, whatever the matrix") {
    std::mt19937_64 random(1);
    const auto draw = [&](std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    int entered = 0;
    for (int round = 0; round < 300; ++round) {
        CAPTURE(round);
        linear::Matrix matrix{draw(1, 6), draw(1, 5), {}};
        std::vector<Interval> inputs;
        Constants constants;
        for (std::int64_t i = 0; i < matrix.n_in * matrix.n_out; ++i) {
            matrix.weights.push_back(draw(0, 3) == 0 ? 0 : draw(-40, 40));
        }
        for (std::int64_t i = 0; i < matrix.n_in; ++i) {
            const std::int64_t low = draw(-70, 70);
            inputs.push_back({low, low + draw(0, 90)});
        }
        for (std::int64_t o = 0; o < matrix.n_out; ++o) {
            constants.push_back(draw(0, 5) == 0 ? std::nullopt : std::optional(draw(-500, 500)));
        }
        const linear::AdderGraph graph = linear::find_adder_graph(matrix, inputs, {});
        const EarlyConstants early =
            early_constants(graph, linear::ranges_of(graph, inputs), constants);
        std::vector<Int128> plain;
        for (const Interval& range : inputs) {
            plain.push_back(
                draw(static_cast<std::int64_t>(range.low), static_cast<std::int64_t>(range.high)));
        }
        std::vector<Int128> with = plain;
        for (std::size_t i = 0; i < graph.additions.size(); ++i) {
            const linear::Addition& addition = graph.additions[i];
            const auto sum = [&](const std::vector<Int128>& values, Int128 to_a, Int128 to_b) {
                const Int128 a = (values[static_cast<std::size_t>(addition.a)] *
                                  (Int128{1} << addition.shift_a)) +
                                 to_a;
                const Int128 b = (values[static_cast<std::size_t>(addition.b)] *
                                  (Int128{1} << addition.shift_b)) +
                                 to_b;
                return (addition.negate_a ? -a : a) + (addition.negate_b ? -b : b);
            };
            plain.push_back(sum(plain, 0, 0));
            with.push_back(sum(with, early.to_a[i], early.to_b[i]));
            CHECK(with.back() == plain.back() + early.value[plain.size() - 1]);
        }
        for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
            const linear::Output& output = graph.outputs[o];
            const Int128 more = output.value < 0
                                    ? 0
                                    : early.value[static_cast<std::size_t>(output.value)] *
                                          (Int128{1} << output.shift);
            CHECK(early.output[o] == more);
            CHECK((more == 0 || more == constants[o]));
            entered += more != 0 ? 1 : 0;
        }
    }
    CHECK(entered > 100);
}
