#include "design/pipeline.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace gatewright::design {

using bits::Node;
using bits::NodeId;
using bits::Op;

bool is_transparent(const bits::Function& function, NodeId id) {
    const Node& node = function.nodes[id];
    switch (node.op) {
        case Op::cast:
            return node.type.width >= function.nodes[node.operand[0]].type.width;
        case Op::shl:
            return node.type.width - node.immediate >= function.nodes[node.operand[0]].type.width;
        case Op::bit_not:  // what reads it inverts it
            return node.type.width >= function.nodes[node.operand[0]].type.width;
        case Op::bit_xor:
            return function.nodes[node.operand[1]].op == Op::constant &&
                   node.type.width >= function.nodes[node.operand[0]].type.width;
        default:
            return false;
    }
}

NodeId register_source(const bits::Function& function, NodeId node) {
    while (is_transparent(function, node)) {
        node = function.nodes[node].operand[0];
    }
    return node;
}

std::vector<std::int32_t> last_uses(const bits::Function& function,
                                    const std::vector<std::int32_t>& stage, std::int32_t last) {
    std::vector<std::int32_t> use(stage);
    const auto used = [&](NodeId operand, std::int32_t when) {
        const NodeId source = register_source(function, operand);
        use[source] = std::max(use[source], when);
    };
    for (NodeId id = 0; id < function.nodes.size(); ++id) {
        const Node& node = function.nodes[id];
        if (is_transparent(function, id)) {
            continue;  // its users count
        }
        for (int k = 0; k < bits::info(node.op).operands; ++k) {
            used(node.operand[k], stage[id]);
        }
    }
    for (const bits::Output& output : function.outputs) {
        used(output.node, last);
    }
    for (NodeId id = 0; id < function.nodes.size(); ++id) {
        if (function.nodes[id].op == Op::constant) {
            use[id] = 0;
        }
    }
    return use;
}

Pipeline combinational(const bits::Function& function) {
    Pipeline pipeline;
    pipeline.stage.assign(function.nodes.size(), 0);
    return pipeline;
}

std::vector<std::int32_t> levels_of(const bits::Function& function, const Pipeline& pipeline) {
    std::vector<std::int32_t> level(pipeline.stage);
    for (NodeId id = 0; id < level.size(); ++id) {
        const Op op = function.nodes[id].op;
        level[id] = op == Op::input || op == Op::constant
                        ? 0
                        : level[id] + (pipeline.register_inputs ? 1 : 0);
    }
    return level;
}

std::vector<DelayLine> delay_lines(const bits::Function& function, const Pipeline& pipeline) {
    const std::vector<std::int32_t> level = levels_of(function, pipeline);
    std::vector<std::pair<NodeId, std::int32_t>> reads;  // and where each value is made
    const auto read = [&](NodeId operand, std::int32_t at) {
        const NodeId source = register_source(function, operand);
        if (at > level[source]) {
            reads.emplace_back(source, at);
        }
    };
    for (NodeId id = 0; id < function.nodes.size(); ++id) {
        const Node& node = function.nodes[id];
        if (node.op == Op::constant || is_transparent(function, id)) {
            continue;
        }
        reads.emplace_back(id, level[id]);
        for (int k = 0; k < bits::info(node.op).operands; ++k) {
            read(node.operand[k], level[id]);
        }
    }
    for (const bits::Output& output : function.outputs) {
        read(output.node, static_cast<std::int32_t>(pipeline.latency()));
    }
    std::ranges::sort(reads);
    std::vector<DelayLine> lines;
    for (std::size_t i = 1; i < reads.size(); ++i) {
        const auto [value, at] = reads[i];
        const std::int32_t levels = at - reads[i - 1].second;
        if (value == reads[i - 1].first && levels > 1 && function.nodes[value].op != Op::constant) {
            lines.push_back({value, reads[i - 1].second, levels});
        }
    }
    return lines;
}

std::vector<OriginTiming> timing_by_origin(const bits::Function& function,
                                           const Pipeline& pipeline) {
    const std::vector<std::int32_t> level = levels_of(function, pipeline);
    const auto latency = static_cast<std::int32_t>(pipeline.latency());
    const std::vector<std::int32_t> use = last_uses(function, level, latency);
    std::vector<OriginTiming> out(function.origins.size());
    for (NodeId id = 0; id < level.size(); ++id) {
        const Node& node = function.nodes[id];
        if (node.op == Op::constant || is_transparent(function, id)) {
            continue;
        }
        OriginTiming& timing = out[node.origin];
        timing.register_bits += static_cast<std::int64_t>(use[id] - level[id]) * node.type.width;
        if (node.op != Op::input) {
            timing.first = timing.last < 0 ? level[id] : std::min(timing.first, level[id]);
            timing.last = std::max(timing.last, level[id]);
        }
    }
    for (const DelayLine& line : pipeline.stored) {
        const Node& node = function.nodes[line.value];
        out[node.origin].register_bits -=
            static_cast<std::int64_t>(line.levels - 1) * node.type.width;
    }
    return out;
}

std::int64_t register_bits(const bits::Function& function, const Pipeline& pipeline) {
    std::int64_t total = 0;
    for (const OriginTiming& timing : timing_by_origin(function, pipeline)) {
        total += timing.register_bits;
    }
    return total;
}

}  // namespace gatewright::design
