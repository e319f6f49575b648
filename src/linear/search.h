#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "linear/adder_graph.h"
#include "linear/price.h"

namespace gatewright::linear {

/// How an adder graph is looked for: the best of some attempts, which a local search improves. What
/// it may spend is counted in steps, not in time, so that all machines find the same graph.
struct Search {
    Effort attempts{.most_attempts = 4};

    /// Spent on the best attempt, in units of about 40 ns: this much times the non-zero digits to
    /// the power of 2/3 (so a large matrix gets less for each of its digits, as it gains less by
    /// them), at most `most_improvement`.
    std::int64_t improvement = 16'000;
    std::int64_t most_improvement = 100'000'000;

    std::uint64_t seed = 0;
    Price price{};  ///< of the device that the graph is for
};

/// The efforts that users name, from the quickest to the most thorough.
struct NamedSearch {
    std::string_view name;
    std::string_view help;  ///< how much time it may take
    Search search;
};
std::span<const NamedSearch> named_searches();
/// Throws Failure (unknown_option) if there is none of that name.
const Search& search_named(std::string_view name);

/// Builds an adder graph for `matrix`, whose inputs lie in `ranges` (one per row) and are there at
/// the levels `arrival` (empty: all at 0; at most `most_arrival` apart). Deterministic.
AdderGraph find_adder_graph(const Matrix& matrix, const std::vector<Interval>& ranges,
                            const Search& search, const std::vector<int>& arrival = {});
constexpr int most_arrival = 16;

/// A cheaper graph for `matrix`, as deep as `search` allows: the search goes on from `graph`, which
/// may be shallower. Proven, or `graph` itself.
AdderGraph deepened(const AdderGraph& graph, const Matrix& matrix,
                    const std::vector<Interval>& ranges, const Search& search);

/// The graph of the outputs [first, first + count) alone, its additions in the same order.
AdderGraph part_of(const AdderGraph& graph, std::int64_t first, std::int64_t count);

/// Figures of a graph; the depth is counted from when the inputs arrive.
Figures figures_of(const AdderGraph& graph, const std::vector<Interval>& ranges,
                   const std::vector<int>& arrival);

}  // namespace gatewright::linear
