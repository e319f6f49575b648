#include "schedule/bit_groups.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "schedule/graph_sums.h"

using namespace gatewright;
using namespace gatewright::schedule;

namespace {

struct Case {
    linear::Matrix matrix;
    std::vector<Interval> ranges;
};

/// Inputs of one bit, two bits with and without sign, and wide ones; weights that are mostly small.
Case random_case(std::mt19937_64& random) {
    const auto draw = [&](std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    Case out{{draw(1, 14), draw(1, 8), {}}, {}};
    const std::int64_t largest = draw(0, 2) == 0 ? 9 : 1;
    for (std::int64_t i = 0; i < out.matrix.n_in * out.matrix.n_out; ++i) {
        out.matrix.weights.push_back(draw(0, 3) == 0 ? 0 : draw(-largest, largest));
    }
    const std::int64_t narrow = draw(0, 1);
    for (std::int64_t i = 0; i < out.matrix.n_in; ++i) {
        const Interval kinds[] = {{0, 1}, {0, 1}, {-1, 1}, {0, 3}, {-1, 0}, {-2, 1}, {-37, 90}};
        out.ranges.push_back(kinds[draw(0, narrow == 0 ? 1 : 6)]);
    }
    return out;
}

void check(const Case& c, const GroupedGraph& grouped, int lut_inputs, std::mt19937_64& random) {
    if (const auto all = without_groups(grouped, c.ranges)) {
        CHECK(linear::prove(*all, c.matrix) == "");
    }
    bits::Builder bits("sums");
    fixed::Builder builder(bits);
    std::vector<fixed::Fixed> x;
    for (const Interval& range : c.ranges) {
        x.push_back(builder.input("x" + std::to_string(x.size()), type_for(range, 0), range));
    }
    const std::vector<std::vector<fixed::Fixed>> rows{add_groups(builder, grouped, x, lut_inputs)};
    for (std::size_t k = 0; k < rows[0].size(); ++k) {
        CHECK(rows[0][k].range == grouped.ranges[k]);
    }
    const bool are_unsigned = lut_inputs == 6;
    const auto sums =
        graph_sums(builder, grouped.graph, grouped.ranges, rows, Next{}, are_unsigned);
    for (std::size_t o = 0; o < sums[0].size(); ++o) {
        bits.output("y" + std::to_string(o), sums[0][o].bits);
    }
    const bits::Function function = bits.take();
    CHECK(bits::verify(function) == std::vector<std::string>{});
    for (int sample = 0; sample < 30; ++sample) {
        std::vector<Int128> values;
        for (const Interval& range : c.ranges) {
            const auto low = static_cast<std::int64_t>(range.low);
            const auto high = static_cast<std::int64_t>(range.high);
            values.push_back(sample == 0 ? low
                             : sample == 1
                                 ? high
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

}  // namespace

TEST_CASE("groups of narrow inputs give the products of any matrix") {
    std::mt19937_64 random(1);
    int grouped_ones = 0;
    for (int round = 0; round < 100; ++round) {
        CAPTURE(round);
        const Case c = random_case(random);
        for (const int bits : {2, 3, 4, 5, 6}) {
            const auto grouped = grouped_graph(c.matrix, c.ranges, bits, {});
            if (grouped) {
                ++grouped_ones;
                check(c, *grouped, round % 2 == 0 ? 4 : 6, random);
            }
        }
    }
    CHECK(grouped_ones > 150);
}

TEST_CASE("groups that are taken are proven, and wide inputs have none") {
    std::mt19937_64 random(2);
    Case c{{32, 32, {}}, std::vector<Interval>(32, Interval{0, 1})};
    for (int i = 0; i < 32 * 32; ++i) {
        c.matrix.weights.push_back(random() % 2 == 0 ? -1 : 1);
    }
    const passes::DelayModel& delays = passes::delay_model("xcup");
    const auto sums = linear::find_adder_graph(c.matrix, c.ranges, {});
    if (const auto grouped = find_groups(c.matrix, c.ranges, sums, {}, delays)) {
        REQUIRE(without_groups(*grouped, c.ranges).has_value());
        check(c, *grouped, delays.lut_inputs, random);
    }
    CHECK(!find_groups(c.matrix, c.ranges, sums, {}, passes::delay_model("ecp5")).has_value());
    c.ranges.assign(32, {-128, 127});
    const auto plain = linear::find_adder_graph(c.matrix, c.ranges, {});
    CHECK(!find_groups(c.matrix, c.ranges, plain, {}, passes::delay_model("xcup")).has_value());
}
