#include "linear/adder_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <span>

#include "base/diagnostics.h"
#include "linear/decomposition.h"
#include "linear/local_search.h"
#include "linear/search.h"
#include "linear/sharing.h"
#include "linear/signed_digits.h"
#include "linear/tree.h"

namespace gatewright::linear {

namespace {

using IntegerColumn = std::vector<std::int64_t>;

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

/// A matrix's distinct columns, up to sign and powers of two.
struct Columns {
    std::vector<IntegerColumn> weights;
    std::vector<Output> outputs;  ///< per column of the matrix: index in `weights`, shift, sign
};

bool has_minimum(const IntegerColumn& weights) {
    return std::ranges::find(weights, std::numeric_limits<std::int64_t>::min()) != weights.end();
}

Columns distinct_columns(const std::vector<IntegerColumn>& all) {
    Columns columns;
    std::map<IntegerColumn, std::int32_t> seen;
    for (IntegerColumn weights : all) {
        std::uint64_t bits = 0;
        for (const std::int64_t weight : weights) {
            bits |= static_cast<std::uint64_t>(weight);
        }
        if (bits == 0) {
            columns.outputs.push_back({});
            continue;
        }
        const int shift = std::countr_zero(bits);
        for (std::int64_t& weight : weights) {
            weight >>= shift;  // exact: the low bits are zero
        }
        Output output{.shift = static_cast<std::uint8_t>(shift)};
        auto same = seen.find(weights);
        if (same == seen.end() && !has_minimum(weights)) {
            IntegerColumn opposite(weights.size());
            std::ranges::transform(weights, opposite.begin(), std::negate<>());
            same = seen.find(opposite);
            output.negate = same != seen.end();
        }
        if (same != seen.end()) {
            output.value = same->second;
        } else {
            output.value = static_cast<std::int32_t>(columns.weights.size());
            seen.emplace(weights, output.value);
            columns.weights.push_back(std::move(weights));
        }
        columns.outputs.push_back(output);
    }
    return columns;
}

std::vector<Term> terms_of(const IntegerColumn& weights) {
    std::vector<Term> terms;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const SignedDigits digits = canonical_digits(weights[i]);
        for (std::uint8_t k = 0; k < 64; ++k) {
            if (((digits.positive | digits.negative) >> k & 1) != 0) {
                terms.push_back({static_cast<std::int32_t>(i), k, (digits.negative >> k & 1) != 0});
            }
        }
    }
    return terms;
}

std::vector<std::vector<Term>> terms_of(const std::vector<IntegerColumn>& columns) {
    std::vector<std::vector<Term>> terms;
    for (const IntegerColumn& column : columns) {
        terms.push_back(terms_of(column));
    }
    return terms;
}

/// Pairs of terms that a search over all of the columns compares.
std::int64_t pairs_of_terms(const std::vector<std::vector<Term>>& columns) {
    std::int64_t pairs = 0;
    for (const std::vector<Term>& terms : columns) {
        pairs += static_cast<std::int64_t>(terms.size() * terms.size());
    }
    return pairs;
}

/// Shares within blocks of inputs that are small enough, then, where the terms left are few enough,
/// among all. With g blocks a search costs 1/g^2 of the whole, and there are g of them.
void share_in_blocks(Sharing& sharing, std::int64_t n_in, std::int64_t work) {
    const std::int64_t pairs = pairs_of_terms(sharing.terms());
    const std::int64_t blocks =
        std::clamp<std::int64_t>((pairs + work - 1) / std::max<std::int64_t>(work, 1), 1, n_in);
    for (std::int64_t block = 0; block < blocks; ++block) {
        const std::int64_t first = n_in * block / blocks;
        const std::int64_t last = n_in * (block + 1) / blocks;
        std::vector<std::int32_t> members(static_cast<std::size_t>(last - first));
        std::iota(members.begin(), members.end(), static_cast<std::int32_t>(first));
        sharing.share(members);
    }
    if (blocks > 1 && pairs_of_terms(sharing.terms()) <= work) {
        std::vector<std::int32_t> members(sharing.values().size());
        std::iota(members.begin(), members.end(), 0);
        sharing.share(members);
    }
}

/// A graph in the making, its values known.
struct Draft {
    std::vector<ValueInfo> values;
    std::vector<Addition> additions;
};

/// Adds to the draft the sums `columns` of its values; returns where they are.
std::vector<Output> add_columns(Draft& draft, const std::vector<std::vector<Term>>& columns,
                                const std::vector<int>& depth_limits, std::int64_t work,
                                const Ranking& ranking) {
    const auto known = static_cast<std::int64_t>(draft.values.size());
    Sharing sharing(std::move(draft.values), columns, depth_limits, ranking);
    share_in_blocks(sharing, known, work);
    draft.values = sharing.values();
    draft.additions.insert(draft.additions.end(), sharing.additions().begin(),
                           sharing.additions().end());
    std::vector<Output> sums;
    for (const std::vector<Term>& terms : sharing.terms()) {
        sums.push_back(add_up(terms, draft.values, draft.additions));
    }
    return sums;
}

/// The graph whose outputs are `sums`, scaled and signed as `outputs` say.
AdderGraph finish(Draft&& draft, std::size_t n_in, const std::vector<Output>& sums,
                  const std::vector<Output>& outputs) {
    AdderGraph graph;
    graph.n_in = static_cast<std::int32_t>(n_in);
    graph.additions = std::move(draft.additions);
    for (const Output& output : outputs) {
        if (output.value < 0) {
            graph.outputs.push_back({});
            continue;
        }
        Output sum = sums[static_cast<std::size_t>(output.value)];
        sum.shift = static_cast<std::uint8_t>(sum.shift + output.shift);
        sum.negate = sum.negate != output.negate;
        graph.outputs.push_back(sum);
    }
    absorb_signs(graph);
    return graph;
}

AdderGraph solve_directly(const Columns& columns, const std::vector<ValueInfo>& inputs,
                          int depth_limit, std::int64_t work, const Ranking& ranking) {
    Draft draft{inputs, {}};
    std::vector<int> limits;
    if (depth_limit >= 0) {
        limits.assign(columns.weights.size(), depth_limit);
    }
    const auto sums = add_columns(draft, terms_of(columns.weights), limits, work, ranking);
    return finish(std::move(draft), inputs.size(), sums, columns.outputs);
}

int ceil_log2(std::size_t value) {
    return value <= 1 ? 0 : std::bit_width(value - 1);
}

/// Solves W = parts * combine as two matrices, one after the other.
AdderGraph solve_in_parts(const Columns& columns, const Decomposition& decomposition,
                          const std::vector<ValueInfo>& inputs, int depth_limit, std::int64_t work,
                          const Ranking& ranking) {
    const Columns parts = distinct_columns(decomposition.parts);
    std::vector<int> limits;
    std::vector<int> part_limits;
    if (depth_limit >= 0) {
        limits.assign(columns.weights.size(), depth_limit);
        part_limits.assign(parts.weights.size(), depth_limit);
        for (const auto& path : decomposition.columns) {
            for (const Decomposition::Step& step : path) {
                const Output& part = parts.outputs[static_cast<std::size_t>(step.part)];
                int& limit = part_limits[static_cast<std::size_t>(part.value)];
                limit = std::min(limit, depth_limit - ceil_log2(path.size()));
            }
        }
    }
    Draft draft{inputs, {}};
    const auto sums = add_columns(draft, terms_of(parts.weights), part_limits, work, ranking);
    // A part may occur in a column twice, scaled: the coefficients are added first.
    std::vector<std::vector<Term>> combine;
    for (const auto& path : decomposition.columns) {
        std::map<std::int32_t, std::int64_t> coefficients;
        for (const Decomposition::Step& step : path) {
            const Output& part = parts.outputs[static_cast<std::size_t>(step.part)];
            const Output& sum = sums[static_cast<std::size_t>(part.value)];
            const bool negative = (step.negative != part.negate) != sum.negate;
            coefficients[sum.value] +=
                (negative ? -1 : 1) * (std::int64_t{1} << (part.shift + sum.shift));
        }
        std::vector<Term> terms;
        for (const auto& [value, coefficient] : coefficients) {
            for (Term term : terms_of(IntegerColumn{coefficient})) {
                term.value = value;
                terms.push_back(term);
            }
        }
        combine.push_back(std::move(terms));
    }
    const auto outputs = add_columns(draft, combine, limits, work, ranking);
    return finish(std::move(draft), inputs.size(), outputs, columns.outputs);
}

/// Largest magnitude whose sums and differences of a path's columns stay well within 64 bits.
constexpr std::int64_t largest_to_decompose = std::int64_t{1} << 40;

bool can_decompose(const Columns& columns, std::int64_t work) {
    const auto n = static_cast<std::int64_t>(columns.weights.size());
    if (n < 2 || n * n * static_cast<std::int64_t>(columns.weights.front().size()) > work) {
        return false;
    }
    return std::ranges::all_of(columns.weights, [](const IntegerColumn& column) {
        return std::ranges::all_of(column, [](std::int64_t weight) {
            return -largest_to_decompose < weight && weight < largest_to_decompose;
        });
    });
}

/// How one attempt searches.
struct Attempt {
    int longest_path = 1;  ///< 1: no decomposition
    int penalty = 0;
    Ranking ranking;
};

/// The attempts, those first that are best together; later ones differ by their seed.
Attempt attempt_of(int k, bool limited, std::uint64_t seed) {
    constexpr int any_length = 1 << 20;
    constexpr Attempt kinds[] = {
        {1, 0, {Ranking::Weight::overlap, 0}},
        {4, 4, {Ranking::Weight::adder_bits, 0}},
        {any_length, 4, {Ranking::Weight::overlap, 0}},
        {3, 4, {Ranking::Weight::adder_bits, 0}},
        {1, 0, {Ranking::Weight::adder_bits, 0}},
        {any_length, 4, {Ranking::Weight::adder_bits, 0}},
        {4, 4, {Ranking::Weight::overlap, 0}},
        {2, 4, {Ranking::Weight::adder_bits, 0}},
    };
    // Long paths would leave their parts no levels.
    constexpr Attempt kinds_of_limited[] = {
        {3, 4, {Ranking::Weight::adder_bits, 0}}, {2, 4, {Ranking::Weight::overlap, 0}},
        {1, 0, {Ranking::Weight::overlap, 0}},    {1, 0, {Ranking::Weight::adder_bits, 0}},
        {2, 4, {Ranking::Weight::adder_bits, 0}}, {3, 4, {Ranking::Weight::overlap, 0}},
    };
    const auto those = limited ? std::span<const Attempt>(kinds_of_limited) : kinds;
    Attempt attempt = those[index(k) % those.size()];
    attempt.ranking.seed = seed + index(k) / those.size();
    return attempt;
}

/// Digits that a part may have where paths of `longest_path` parts are added up after it.
std::int64_t most_digits(int depth_limit, int longest_path) {
    if (depth_limit < 0) {
        return std::numeric_limits<std::int64_t>::max();
    }
    return std::int64_t{1} << std::max(
               0, depth_limit - ceil_log2(static_cast<std::size_t>(longest_path)));
}

/// The best of some attempts.
AdderGraph best_attempt(const Columns& columns, const std::vector<ValueInfo>& inputs,
                        const std::vector<Interval>& ranges, int depth_limit, std::int64_t pairs,
                        const Search& search) {
    const Effort& effort = search.attempts;
    // Binary matrices gain a third from the second attempt, so all but the largest are given it.
    const std::int64_t least = pairs <= 50'000'000 ? 2 : 1;
    const int attempts = static_cast<int>(std::min<std::int64_t>(
        std::max(effort.search / pairs, least), std::max(effort.most_attempts, 1)));
    // A part's levels are counted from inputs that are all there at the start.
    const bool decomposable =
        can_decompose(columns, effort.work) &&
        (depth_limit < 0 ||
         std::ranges::all_of(inputs, [](const ValueInfo& input) { return input.depth == 0; }));
    AdderGraph best;
    std::int64_t best_cost = 0;
    for (int k = 0; k < attempts; ++k) {
        const Attempt attempt = attempt_of(k, depth_limit >= 0, search.seed);
        AdderGraph graph =
            attempt.longest_path > 1 && decomposable
                ? solve_in_parts(
                      columns,
                      decompose(columns.weights, attempt.longest_path,
                                most_digits(depth_limit, attempt.longest_path), attempt.penalty),
                      inputs, depth_limit, effort.work, attempt.ranking)
                : solve_directly(columns, inputs, depth_limit, effort.work, attempt.ranking);
        if (attempts == 1) {
            return graph;
        }
        const std::int64_t cost = linear::cost_of(graph, ranges, search.price);
        if (k == 0 || cost < best_cost) {
            best = std::move(graph);
            best_cost = cost;
        }
    }
    return best;
}

/// The search's `improvement` times digits^(2/3).
std::int64_t improvement_work(std::int64_t digits, const Search& search) {
    std::int64_t power = 0;
    const std::int64_t square = digits * digits;
    while ((power + 1) * (power + 1) * (power + 1) <= square) {
        ++power;
    }
    return power > 0 && search.improvement > search.most_improvement / power
               ? search.most_improvement
               : search.improvement * power;
}

/// Arrival after the first input.
std::vector<int> relative(std::vector<int> arrival, std::size_t inputs) {
    arrival.resize(inputs);
    if (inputs > 0) {
        const auto [first, last] = std::ranges::minmax(arrival);
        if (first < 0 || last - first > most_arrival) {
            throw Failure(Code::unknown_option, {},
                          fmt::format("inputs of an adder graph arrive at levels {} to {}; allowed "
                                      "are levels from 0 on, at most {} apart",
                                      first, last, most_arrival));
        }
        for (int& level : arrival) {
            level -= first;
        }
    }
    return arrival;
}

/// Improves `start`, or the best attempt if there is none.
AdderGraph search_from(const AdderGraph* start, const Matrix& matrix,
                       const std::vector<Interval>& ranges, const Search& search,
                       const std::vector<int>& arrival) {
    const Effort& effort = search.attempts;
    std::vector<IntegerColumn> all(index(matrix.n_out));
    for (std::int64_t o = 0; o < matrix.n_out; ++o) {
        for (std::int64_t i = 0; i < matrix.n_in; ++i) {
            all[index(o)].push_back(matrix.at(i, o));
        }
    }
    const Columns columns = distinct_columns(all);
    const auto terms = terms_of(columns.weights);
    const std::vector<int> levels = relative(arrival, ranges.size());
    std::vector<ValueInfo> inputs;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        inputs.push_back(input_info(ranges[i], levels[i]));
    }
    std::int64_t digits = 0;
    int depth_limit = -1;
    for (const auto& column : terms) {
        digits += static_cast<std::int64_t>(column.size());
        if (effort.extra_depth >= 0) {
            depth_limit = std::max(depth_limit, least_depth(column, inputs));
        }
    }
    if (effort.extra_depth >= 0) {
        // Beyond this no sum of this size notices the limit.
        depth_limit = std::max(depth_limit, 0) + std::min(effort.extra_depth, 24);
    }
    const std::int64_t pairs = std::max<std::int64_t>(pairs_of_terms(terms), 1);
    AdderGraph graph = start != nullptr
                           ? *start
                           : best_attempt(columns, inputs, ranges, depth_limit, pairs, search);
    if (const std::int64_t work = improvement_work(digits, search); work > 0) {
        AdderGraph better =
            improve(graph, ranges, levels, depth_limit, search.price, work, search.seed);
        absorb_signs(better);
        // The search tells values by keys that are equal by chance once in 2^64.
        if (prove(better, matrix).empty()) {
            graph = std::move(better);
        }
    }
    return graph;
}

}  // namespace

AdderGraph find_adder_graph(const Matrix& matrix, const std::vector<Interval>& ranges,
                            const Search& search, const std::vector<int>& arrival) {
    return search_from(nullptr, matrix, ranges, search, arrival);
}

AdderGraph deepened(const AdderGraph& graph, const Matrix& matrix,
                    const std::vector<Interval>& ranges, const Search& search) {
    return search_from(&graph, matrix, ranges, search, {});
}

AdderGraph build_adder_graph(const Matrix& matrix, const std::vector<Interval>& ranges,
                             const Effort& effort) {
    return find_adder_graph(matrix, ranges, {.attempts = effort, .improvement = 0});
}

}  // namespace gatewright::linear
