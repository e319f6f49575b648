#include "schedule/unsigned_sums.h"

#include <doctest/doctest.h>

#include <random>

#include "linear/search.h"

using namespace gatewright;
using namespace gatewright::schedule;

namespace {

struct Case {
    linear::Matrix matrix;
    std::vector<Interval> ranges;
    Following following;
};

Case random_case(std::mt19937_64& random) {
    const auto draw = [&](std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    Case out;
    out.matrix = {draw(1, 6), draw(1, 5), {}};
    for (std::int64_t i = 0; i < out.matrix.n_in * out.matrix.n_out; ++i) {
        out.matrix.weights.push_back(draw(0, 3) == 0 ? 0 : draw(-40, 40));
    }
    for (std::int64_t i = 0; i < out.matrix.n_in; ++i) {
        const std::int64_t low = draw(-70, 70);
        out.ranges.push_back({low, low + draw(0, 90)});
    }
    for (std::int64_t o = 0; o < out.matrix.n_out; ++o) {
        out.following.constants.push_back(draw(-500, 500));
    }
    out.following.compares = draw(0, 1) == 1;
    return out;
}

}  // namespace

TEST_CASE("unsigned sums give the products of any matrix, at the ends of all ranges too") {
    std::mt19937_64 random(1);
    for (int round = 0; round < 300; ++round) {
        CAPTURE(round);
        const Case c = random_case(random);
        const linear::AdderGraph graph = linear::find_adder_graph(c.matrix, c.ranges, {});
        bits::Builder bits("sums");
        fixed::Builder builder(bits);
        std::vector<std::vector<fixed::Fixed>> rows(1);
        for (const Interval& range : c.ranges) {
            rows[0].push_back(builder.input("x", type_for(range, 0), range));
        }
        const auto sums = unsigned_sums(builder, graph, c.ranges, c.following, rows);
        REQUIRE(sums.has_value());
        for (const fixed::Fixed& y : sums->front()) {
            bits.output("y", y.bits);
        }
        const bits::Function function = bits.take();
        for (int sample = 0; sample < 20; ++sample) {
            std::vector<Int128> values;
            for (const Interval& range : c.ranges) {
                const auto low = static_cast<std::int64_t>(range.low);
                const auto high = static_cast<std::int64_t>(range.high);
                values.push_back(
                    sample == 0   ? low
                    : sample == 1 ? high
                    : sample < 8  ? (random() % 2 == 0 ? low : high)
                                  : std::uniform_int_distribution<std::int64_t>(low, high)(random));
            }
            const std::vector<Int128> results = bits::evaluate(function, values);
            for (std::int64_t o = 0; o < c.matrix.n_out; ++o) {
                Int128 expected = 0;
                for (std::int64_t i = 0; i < c.matrix.n_in; ++i) {
                    expected += values[static_cast<std::size_t>(i)] * c.matrix.at(i, o);
                }
                CHECK(results[static_cast<std::size_t>(o)] == expected);
            }
        }
    }
}

TEST_CASE("unsigned sums refuse numbers beyond their room") {
    const linear::Matrix matrix{1, 1, {3}};
    const Interval wide{0, static_cast<Int128>(1) << 110};
    bits::Builder bits("wide");
    fixed::Builder builder(bits);
    const std::vector<std::vector<fixed::Fixed>> rows{
        {builder.input("x", type_for(wide, 0), wide)}};
    const linear::AdderGraph graph = linear::find_adder_graph(matrix, {wide}, {});
    CHECK(!unsigned_sums(builder, graph, {wide}, {}, rows).has_value());
}
