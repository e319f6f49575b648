#include "passes/small_values.h"

#include <algorithm>

namespace gatewright::passes {

using bits::Node;
using bits::NodeId;
using bits::Op;

SmallValues::SmallValues(const bits::Function& function, const TimingGraph& graph,
                         const DelayModel& model, std::span<const std::int32_t> stage)
    : stage_(stage), sources_(function.nodes.size()), vanishes_(function.nodes.size(), 0) {
    const int inputs = std::min(model.lut_inputs, most_sources);
    for (NodeId id = 0; id < function.nodes.size(); ++id) {
        const Node& node = function.nodes[id];
        const bool is_sum = node.op == Op::add || node.op == Op::sub || node.op == Op::less;
        if (graph.is_placed(id) && node.op != Op::mul && !graph.merges(id) &&
            (!is_sum || graph.chain_length(id) <= model.mapping.longest_in_tables)) {
            sources_[id] = find(graph, inputs, id);
        }
    }
    for (NodeId id = 0; id < function.nodes.size(); ++id) {
        const auto users = graph.users(id);
        vanishes_[id] =
            is_small(id) && !graph.is_output(id) && std::ranges::all_of(users, [&](NodeId user) {
                return together(user, id) && is_small(user);
            });
    }
}

/// None where the bits that decide the value are more than a lookup table takes.
SmallValues::Sources SmallValues::find(const TimingGraph& graph, int lut_inputs, NodeId id) const {
    Sources all;
    int bits = 0;
    const auto add = [&](NodeId source) {
        const auto end = all.node.begin() + all.count;
        if (std::find(all.node.begin(), end, source) != end) {
            return;
        }
        bits += std::max(graph.width(source), 1);
        if (bits <= lut_inputs) {
            all.node[all.count++] = source;
        }
    };
    for (const TimingGraph::Operand& operand : graph.operands(id)) {
        const NodeId o = operand.source;
        if (!graph.is_placed(o) || !together(o, id)) {
            add(o);
            continue;
        }
        if (!is_small(o)) {
            return {};
        }
        for (int k = 0; k < sources_[o].count; ++k) {
            add(sources_[o].node[static_cast<std::size_t>(k)]);
        }
    }
    return bits <= lut_inputs ? all : Sources{};
}

}  // namespace gatewright::passes
