#include "linear/price.h"

#include <algorithm>

#include "linear/sharing.h"

namespace gatewright::linear {

namespace {

/// The most that third operands save in a graph, found exactly: additions that one other reads are
/// trees, and in each an addition is made within its reader, or has one of its operands made within
/// itself, or neither.
std::int64_t saved_by_third_operands(const AdderGraph& graph, const std::vector<Interval>& ranges,
                                     const Price& price) {
    const auto index = [](std::int64_t i) { return static_cast<std::size_t>(i); };
    const std::size_t inputs = index(graph.n_in);
    const std::size_t values = inputs + graph.additions.size();
    std::vector<int> uses(values);
    std::vector<char> is_output(values);
    for (const Addition& addition : graph.additions) {
        ++uses[index(addition.a)];
        ++uses[index(addition.b)];
    }
    for (const Output& output : graph.outputs) {
        if (output.value >= 0) {
            is_output[index(output.value)] = 1;
        }
    }
    struct Chain {
        int bits = 0;
        int start = 0;            ///< its lowest bit within the value
        std::int64_t within = 0;  ///< saved below it if it is made within its reader
        std::int64_t most = 0;    ///< saved below it if it is not
    };
    std::vector<Chain> chains(values);
    const std::vector<Interval> known = ranges_of(graph, ranges);
    std::int64_t saved = 0;
    for (std::size_t k = 0; k < graph.additions.size(); ++k) {
        const Addition& addition = graph.additions[k];
        Chain& chain = chains[inputs + k];
        const int width = width_for(known[inputs + k]);
        chain.bits = full_adder_bits(addition, width);
        chain.start = width - chain.bits;
        std::int64_t gain = 0;
        const auto look_at = [&](std::int32_t operand, int shift) {
            const std::size_t id = index(operand);
            if (id < inputs || uses[id] != 1 || is_output[id] != 0) {
                return;
            }
            const Chain& inner = chains[id];
            chain.within += inner.most;
            // The chain of both starts where the first of them does.
            const int earlier = std::max(0, chain.start - shift - inner.start);
            gain = std::max(gain, inner.within - inner.most + price.per_adder +
                                      price.per_bit * (inner.bits - earlier));
        };
        look_at(addition.a, addition.shift_a);
        look_at(addition.b, addition.shift_b);
        chain.most = chain.within + gain;
        if (uses[inputs + k] != 1 || is_output[inputs + k] != 0) {
            saved += chain.most;
        }
    }
    return saved;
}

}  // namespace

std::int64_t cost_of(const AdderGraph& graph, const std::vector<Interval>& ranges,
                     const Price& price) {
    const Figures figures = figures_of(graph, ranges);
    const std::int64_t saved =
        price.three_operands ? saved_by_third_operands(graph, ranges, price) : 0;
    return price.per_bit * figures.full_adder_bits + price.per_adder * figures.adders - saved;
}

}  // namespace gatewright::linear
