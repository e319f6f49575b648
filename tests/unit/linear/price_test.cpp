#include "linear/price.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "linear/search.h"
#include "linear/sharing.h"

using namespace gatewright;
using namespace gatewright::linear;

namespace {

constexpr Price two{};
constexpr Price three{.three_operands = true};

/// An addition that may be made within the only one that reads it, and what that saves.
struct Pair {
    std::size_t inner = 0;
    std::size_t outer = 0;
    std::int64_t saved = 0;
};

std::vector<Pair> pairs_of(const AdderGraph& graph, const std::vector<Interval>& ranges) {
    const auto n_in = static_cast<std::size_t>(graph.n_in);
    const std::vector<Interval> known = ranges_of(graph, ranges);
    std::vector<Pair> pairs;
    for (std::size_t inner = 0; inner < graph.additions.size(); ++inner) {
        const auto value = static_cast<std::int32_t>(n_in + inner);
        const auto is_read = [&](const Output& output) { return output.value == value; };
        std::int64_t uses = std::ranges::count_if(graph.outputs, is_read) * 2;
        Pair pair{inner};
        int shift = 0;
        for (std::size_t outer = 0; outer < graph.additions.size(); ++outer) {
            const Addition& addition = graph.additions[outer];
            if (addition.a == value || addition.b == value) {
                uses += (addition.a == value ? 1 : 0) + (addition.b == value ? 1 : 0);
                pair.outer = outer;
                shift = addition.a == value ? addition.shift_a : addition.shift_b;
            }
        }
        if (uses != 1) {
            continue;
        }
        const auto bits = [&](std::size_t i) {
            return full_adder_bits(graph.additions[i], width_for(known[n_in + i]));
        };
        const auto start = [&](std::size_t i) { return width_for(known[n_in + i]) - bits(i); };
        // Together they take the bits from the lower start to the end of the outer one.
        const int apart = bits(inner) + bits(pair.outer);
        const int end = width_for(known[n_in + pair.outer]);
        const int together = end - std::min(start(pair.outer), shift + start(inner));
        pair.saved = two.per_bit * (apart - together) + two.per_adder;
        pairs.push_back(pair);
    }
    return pairs;
}

/// The most that pairs with no addition in common save, by trying all.
std::int64_t most_saved(const std::vector<Pair>& pairs, std::size_t next, std::vector<char>& used) {
    if (next == pairs.size()) {
        return 0;
    }
    std::int64_t most = most_saved(pairs, next + 1, used);
    const Pair& pair = pairs[next];
    if (used[pair.inner] == 0 && used[pair.outer] == 0) {
        used[pair.inner] = used[pair.outer] = 1;
        most = std::max(most, pair.saved + most_saved(pairs, next + 1, used));
        used[pair.inner] = used[pair.outer] = 0;
    }
    return most;
}

Matrix random_matrix(std::mt19937& random, std::int64_t n_in, std::int64_t n_out) {
    Matrix matrix{n_in, n_out, {}};
    for (std::int64_t k = 0; k < n_in * n_out; ++k) {
        matrix.weights.push_back(static_cast<int>(random() % 31) - 15);
    }
    return matrix;
}

}  // namespace

TEST_CASE("third operands are chosen as well as by trying all") {
    std::mt19937 random(3);
    std::int64_t saved = 0;
    for (int round = 0; round < 60; ++round) {
        CAPTURE(round);
        const Matrix matrix = random_matrix(random, 1 + random() % 4, 1 + random() % 3);
        const std::vector<Interval> ranges(static_cast<std::size_t>(matrix.n_in), {-8, 7});
        const AdderGraph graph = find_adder_graph(matrix, ranges, search_named("fast"));
        const std::vector<Pair> pairs = pairs_of(graph, ranges);
        std::vector<char> used(graph.additions.size());
        const std::int64_t most = most_saved(pairs, 0, used);
        CHECK(cost_of(graph, ranges, two) - cost_of(graph, ranges, three) == most);
        saved += most;
    }
    CHECK(saved > 0);
}

TEST_CASE("a search for third operands finds graphs that cost less with them, and proves them") {
    std::mt19937 random(4);
    std::int64_t plain = 0;
    std::int64_t better = 0;
    for (int round = 0; round < 8; ++round) {
        const Matrix matrix = random_matrix(random, 8, 6);
        const std::vector<Interval> ranges(8, {-128, 127});
        Search search;
        plain += cost_of(find_adder_graph(matrix, ranges, search), ranges, three);
        search.price = three;
        const AdderGraph graph = find_adder_graph(matrix, ranges, search);
        CHECK(prove(graph, matrix).empty());
        better += cost_of(graph, ranges, three);
    }
    CHECK(better < plain);
}
