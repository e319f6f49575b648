#include "linear/local_search.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "base/diagnostics.h"
#include "linear/search.h"
#include "linear/transpose.h"

using namespace gatewright;
using namespace gatewright::linear;

namespace {

Matrix random_matrix(std::mt19937_64& random, std::int64_t n_in, std::int64_t n_out,
                     std::int64_t largest, int percent_zero = 0) {
    Matrix matrix{n_in, n_out, {}};
    for (std::int64_t k = 0; k < n_in * n_out; ++k) {
        const auto span = static_cast<std::uint64_t>(2 * largest) + 1;
        const auto weight = static_cast<std::int64_t>(random() % span) - largest;
        matrix.weights.push_back(static_cast<int>(random() % 100) < percent_zero ? 0 : weight);
    }
    return matrix;
}

std::vector<Interval> bytes(const Matrix& matrix) {
    return std::vector<Interval>(static_cast<std::size_t>(matrix.n_in), Interval{-128, 127});
}

std::int64_t adders(const Matrix& matrix, const Search& search = {}) {
    const AdderGraph graph = find_adder_graph(matrix, bytes(matrix), search);
    REQUIRE(prove(graph, matrix) == "");
    return static_cast<std::int64_t>(graph.additions.size());
}

/// A linear form of up to two inputs, without its sign and powers of two.
using Form = std::pair<std::int64_t, std::int64_t>;

Form normal(Form f) {
    while (f != Form{} && f.first % 2 == 0 && f.second % 2 == 0) {
        f = {f.first / 2, f.second / 2};
    }
    return f.first < 0 || (f.first == 0 && f.second < 0) ? Form{-f.first, -f.second} : f;
}

/// All forms that one addition makes of two values.
std::set<Form> sums_of(const std::vector<Form>& values, int widest, std::int64_t largest) {
    std::set<Form> sums;
    for (const Form& a : values) {
        for (const Form& b : values) {
            for (int shift = 0; shift <= widest; ++shift) {
                for (const std::int64_t sign : {1, -1}) {
                    const Form sum{a.first + sign * b.first * (1 << shift),
                                   a.second + sign * b.second * (1 << shift)};
                    if (std::abs(sum.first) <= largest && std::abs(sum.second) <= largest &&
                        sum != Form{}) {
                        sums.insert(normal(sum));
                    }
                }
            }
        }
    }
    return sums;
}

/// Calls `found` for each set of values that `additions` additions make.
template <class Found>
void each_set(std::vector<Form>& values, int additions, int widest, std::int64_t largest,
              const Found& found) {
    found(values);
    if (additions == 0) {
        return;
    }
    for (const Form& sum : sums_of(values, widest, largest)) {
        if (std::find(values.begin(), values.end(), sum) == values.end()) {
            values.push_back(sum);
            each_set(values, additions - 1, widest, largest, found);
            values.pop_back();
        }
    }
}

}  // namespace

TEST_CASE("constants of eight bits take hardly more additions than the fewest there are") {
    std::map<std::int64_t, std::size_t> fewest;
    std::vector<Form> values = {{1, 0}};
    each_set(values, 2, 9, 512, [&](const std::vector<Form>& set) {
        const auto [at, added] = fewest.emplace(set.back().first, set.size() - 1);
        at->second = std::min(at->second, set.size() - 1);
    });
    int more = 0;
    for (std::int64_t constant = 1; constant < 256; ++constant) {
        CAPTURE(constant);
        const auto known = fewest.find(normal({constant, 0}).first);
        const std::size_t optimum = known == fewest.end() ? 3 : known->second;
        const std::int64_t reached = adders({1, 1, {constant}});
        CHECK(reached >= static_cast<std::int64_t>(optimum));
        more += reached > static_cast<std::int64_t>(optimum) ? 1 : 0;
    }
    CHECK(more <= 4);
}

TEST_CASE("matrices of two by two take hardly more additions than the fewest there are") {
    std::map<std::pair<Form, Form>, std::size_t> fewest;
    std::vector<Form> values = {{1, 0}, {0, 1}};
    each_set(values, 3, 2, 7, [&](const std::vector<Form>& set) {
        for (const Form& a : set) {
            const auto [at, added] = fewest.emplace(std::pair(a, set.back()), set.size() - 2);
            at->second = std::min(at->second, set.size() - 2);
        }
    });
    std::mt19937_64 random(17);
    int compared = 0;
    int more = 0;
    for (int trial = 0; trial < 150; ++trial) {
        const Matrix matrix = random_matrix(random, 2, 2, 7);
        const Form a = normal({matrix.at(0, 0), matrix.at(1, 0)});
        const Form b = normal({matrix.at(0, 1), matrix.at(1, 1)});
        const auto one = fewest.find({a, b});
        const auto other = fewest.find({b, a});
        if (one == fewest.end() && other == fewest.end()) {
            continue;  // more than three, or zero
        }
        const std::size_t optimum = std::min(one == fewest.end() ? 9 : one->second,
                                             other == fewest.end() ? 9 : other->second);
        CAPTURE(matrix.weights);
        const std::int64_t reached = adders(matrix);
        // Wider shifts than those of the search above may save one more.
        CHECK(reached + 1 >= static_cast<std::int64_t>(optimum));
        ++compared;
        more += reached > static_cast<std::int64_t>(optimum) ? 1 : 0;
    }
    CHECK(compared > 50);
    CHECK(more * 10 <= compared);
}

TEST_CASE("the search makes graphs better, and what it makes is proven and no deeper") {
    std::mt19937_64 random(23);
    for (int trial = 0; trial < 40; ++trial) {
        CAPTURE(trial);
        const auto n_in = static_cast<std::int64_t>(random() % 14 + 1);
        const auto n_out = static_cast<std::int64_t>(random() % 14 + 1);
        const Matrix matrix =
            random_matrix(random, n_in, n_out, std::int64_t{1} << random() % 14, trial % 3 * 30);
        std::vector<Interval> ranges;
        std::vector<int> arrival;
        for (std::int64_t i = 0; i < n_in; ++i) {
            const auto low = -static_cast<std::int64_t>(random() % 300);
            ranges.push_back({low, low + static_cast<std::int64_t>(random() % 1000)});
            arrival.push_back(trial % 2 == 0 ? 0 : static_cast<int>(random() % 5));
        }
        for (const int extra : {-1, 0, 2}) {
            Search search{.attempts = {.extra_depth = extra}, .improvement = 0};
            const AdderGraph before = find_adder_graph(matrix, ranges, search, arrival);
            search.improvement = 100;
            const AdderGraph after = find_adder_graph(matrix, ranges, search, arrival);
            REQUIRE(prove(before, matrix) == "");
            REQUIRE(prove(after, matrix) == "");
            const Figures worse = figures_of(before, ranges, arrival);
            const Figures better = figures_of(after, ranges, arrival);
            // Absorbing the signs of outputs, in the end, may cost some bits.
            CHECK(better.full_adder_bits + 8 * better.adders <=
                  worse.full_adder_bits + 8 * worse.adders + 2 * n_out);
            if (extra >= 0) {
                const Figures least = figures_of(
                    find_adder_graph(matrix, ranges, {.attempts = {.extra_depth = 0}}, arrival),
                    ranges, arrival);
                CHECK(better.depth <= least.depth + extra);
                CHECK(worse.depth <= least.depth + extra);
            }
        }
    }
}

TEST_CASE("a graph that may become deeper becomes cheaper, and no deeper than that") {
    std::mt19937_64 random(8);
    std::int64_t saved = 0;
    for (int trial = 0; trial < 6; ++trial) {
        const Matrix matrix = random_matrix(random, 16, 12, 100);
        const std::vector<Interval> ranges = bytes(matrix);
        Search search{.attempts = {.extra_depth = 0}};
        AdderGraph graph = find_adder_graph(matrix, ranges, search);
        const Figures first = figures_of(graph, ranges);
        for (const int extra : {1, 2}) {
            search.attempts.extra_depth = extra;
            const Figures before = figures_of(graph, ranges);
            graph = deepened(graph, matrix, ranges, search);
            REQUIRE(prove(graph, matrix) == "");
            const Figures after = figures_of(graph, ranges);
            CHECK(after.depth <= first.depth + extra);
            CHECK(after.full_adder_bits + 8 * after.adders <=
                  before.full_adder_bits + 8 * before.adders + 2 * matrix.n_out);
            saved += before.full_adder_bits - after.full_adder_bits;
        }
    }
    CHECK(saved > 0);
}

TEST_CASE("a normal effort saves some in a hundred additions, a high one more") {
    std::mt19937_64 random(29);
    const Matrix matrix = random_matrix(random, 16, 16, 31);
    const std::int64_t fast = adders(matrix, search_named("fast"));
    const std::int64_t normal_effort = adders(matrix, search_named("normal"));
    const std::int64_t high = adders(matrix, search_named("high"));
    CHECK(normal_effort * 100 <= fast * 98);
    CHECK(high * 100 <= normal_effort * 98);
    CHECK_THROWS_AS(search_named("higher"), Failure);
}

TEST_CASE("a seed decides the graph, and the same seed gives the same") {
    std::mt19937_64 random(31);
    const Matrix matrix = random_matrix(random, 12, 12, 100);
    const auto build = [&](std::uint64_t seed) {
        return find_adder_graph(matrix, bytes(matrix), {.seed = seed}).additions;
    };
    CHECK(build(3) == build(3));
    CHECK(build(3) != build(4));
}

TEST_CASE("a transposed graph is one of the transposed matrix") {
    std::mt19937_64 random(37);
    for (int trial = 0; trial < 20; ++trial) {
        const Matrix matrix = random_matrix(random, 5, 9, 40, 40);
        Matrix turned{9, 5, {}};
        for (std::int64_t o = 0; o < 9; ++o) {
            for (std::int64_t i = 0; i < 5; ++i) {
                turned.weights.push_back(matrix.at(i, o));
            }
        }
        const AdderGraph graph = find_adder_graph(matrix, bytes(matrix), {});
        CHECK(prove(transposed(graph), turned) == "");
        CHECK(prove(transposed(transposed(graph)), matrix) == "");
    }
}

TEST_CASE("a part of a graph is a graph of those columns") {
    std::mt19937_64 random(43);
    const Matrix matrix = random_matrix(random, 5, 9, 40, 30);
    const AdderGraph graph = find_adder_graph(matrix, bytes(matrix), {});
    Matrix part{5, 4, {}};
    for (std::int64_t i = 0; i < 5; ++i) {
        for (std::int64_t o = 3; o < 7; ++o) {
            part.weights.push_back(matrix.at(i, o));
        }
    }
    CHECK(prove(part_of(graph, 3, 4), part) == "");
    CHECK(part_of(graph, 3, 4).additions.size() < graph.additions.size());
    CHECK(part_of(graph, 0, 0).additions.empty());
}

TEST_CASE("late inputs are added last") {
    // Seven inputs at once and one at level 3: one addition after it.
    const Matrix matrix{8, 1, std::vector<std::int64_t>(8, 1)};
    std::vector<int> arrival(8, 0);
    arrival[5] = 3;
    for (const int extra : {-1, 0}) {
        const AdderGraph graph =
            find_adder_graph(matrix, bytes(matrix), {.attempts = {.extra_depth = extra}}, arrival);
        CHECK(prove(graph, matrix) == "");
        if (extra == 0) {
            CHECK(figures_of(graph, bytes(matrix), arrival).depth == 4);
        }
    }
    arrival[5] = most_arrival + 1;
    CHECK_THROWS_AS(find_adder_graph(matrix, bytes(matrix), {}, arrival), Failure);
    arrival[5] = -1;
    CHECK_THROWS_AS(find_adder_graph(matrix, bytes(matrix), {}, arrival), Failure);
}

TEST_CASE("coefficients and ranges too large for the search are left to the attempts") {
    std::mt19937_64 random(41);
    const Int128 wide = static_cast<Int128>(1) << 70;
    for (const std::int64_t largest : {std::int64_t{1} << 20, std::int64_t{1} << 30,
                                       std::numeric_limits<std::int64_t>::max() / 4}) {
        const Matrix matrix = random_matrix(random, 3, 4, largest);
        for (const Int128 bound : {Int128{1}, Int128{1} << 20, wide}) {
            const std::vector<Interval> ranges(3, Interval{-bound, bound});
            if (largest > (std::int64_t{1} << 30) && bound == wide) {
                continue;  // beyond 128 bits
            }
            CHECK(prove(find_adder_graph(matrix, ranges, search_named("normal")), matrix) == "");
        }
    }
}
