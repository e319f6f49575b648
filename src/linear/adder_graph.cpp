#include "linear/adder_graph.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/diagnostics.h"
#include "linear/sharing.h"
#include "linear/signed_digits.h"
#include "linear/tree.h"

namespace gatewright::linear {

namespace {

/// A matrix's distinct columns, up to sign and powers of two.
struct Columns {
    std::vector<std::vector<Term>> terms;
    std::vector<Output> outputs;  ///< per column of the matrix: index in `terms`, shift, sign
};

Columns distinct_columns(const Matrix& matrix) {
    Columns columns;
    std::map<std::vector<std::int64_t>, std::int32_t> seen;
    for (std::int64_t o = 0; o < matrix.n_out; ++o) {
        std::vector<std::int64_t> weights;
        std::uint64_t bits = 0;
        for (std::int64_t i = 0; i < matrix.n_in; ++i) {
            weights.push_back(matrix.at(i, o));
            bits |= static_cast<std::uint64_t>(weights.back());
        }
        if (bits == 0) {
            columns.outputs.push_back({});
            continue;
        }
        const int shift = std::countr_zero(bits);
        for (std::int64_t& weight : weights) {
            weight >>= shift;  // exact: the low bits are zero
        }
        std::vector<std::int64_t> negated = weights;
        const bool can_negate = std::ranges::none_of(
            weights, [](std::int64_t w) { return w == std::numeric_limits<std::int64_t>::min(); });
        if (can_negate) {
            std::ranges::transform(weights, negated.begin(), std::negate<>());
        }
        Output output{.shift = static_cast<std::uint8_t>(shift)};
        if (const auto same = seen.find(weights); same != seen.end()) {
            output.value = same->second;
        } else if (const auto opposite = seen.find(negated); opposite != seen.end()) {
            output.value = opposite->second;
            output.negate = true;
        } else {
            output.value = static_cast<std::int32_t>(columns.terms.size());
            seen.emplace(weights, output.value);
            std::vector<Term> terms;
            for (std::size_t i = 0; i < weights.size(); ++i) {
                const SignedDigits digits = canonical_digits(weights[i]);
                for (std::uint8_t k = 0; k < 64; ++k) {
                    if (((digits.positive | digits.negative) >> k & 1) != 0) {
                        terms.push_back({static_cast<std::int32_t>(i), k,
                                         (digits.negative >> k & 1) != 0});
                    }
                }
            }
            columns.terms.push_back(std::move(terms));
        }
        columns.outputs.push_back(output);
    }
    return columns;
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

AdderGraph solve(const Columns& columns, const std::vector<ValueInfo>& inputs, int depth_limit,
                 std::int64_t work, const Ranking& ranking) {
    Sharing sharing(inputs, columns.terms, depth_limit, ranking);
    share_in_blocks(sharing, static_cast<std::int64_t>(inputs.size()), work);
    AdderGraph graph;
    graph.n_in = static_cast<std::int32_t>(inputs.size());
    std::vector<ValueInfo> values = sharing.values();
    graph.additions = sharing.additions();
    std::vector<Output> sums;
    for (const std::vector<Term>& terms : sharing.terms()) {
        sums.push_back(add_up(terms, values, graph.additions));
    }
    for (const Output& output : columns.outputs) {
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

}  // namespace

AdderGraph build_adder_graph(const Matrix& matrix, const std::vector<Interval>& ranges,
                             const Effort& effort) {
    const Columns columns = distinct_columns(matrix);
    std::vector<ValueInfo> inputs;
    for (const Interval& range : ranges) {
        inputs.push_back(input_info(range));
    }
    int depth_limit = -1;
    if (effort.extra_depth >= 0) {
        for (const std::vector<Term>& terms : columns.terms) {
            depth_limit = std::max(depth_limit, least_depth(terms, inputs));
        }
        // Beyond this no sum of this size notices the limit.
        depth_limit += std::min(effort.extra_depth, 30);
    }
    return solve(columns, inputs, depth_limit, effort.work, {static_cast<Ranking::Weight>(effort.weight), effort.seed});
}

}  // namespace gatewright::linear
