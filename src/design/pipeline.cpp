#include "design/pipeline.h"

#include <algorithm>
#include <stdexcept>

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

std::int64_t register_bits(const bits::Function& function, const Pipeline& pipeline) {
    const std::int32_t before = pipeline.register_inputs ? 1 : 0;
    std::vector<std::int32_t> stage(pipeline.stage);
    for (NodeId id = 0; id < stage.size(); ++id) {
        const Op op = function.nodes[id].op;
        stage[id] = op == Op::input || op == Op::constant ? 0 : stage[id] + before;
    }
    const auto latency = static_cast<std::int32_t>(pipeline.latency());
    const std::vector<std::int32_t> use = last_uses(function, stage, latency);
    std::int64_t total = 0;
    for (NodeId id = 0; id < stage.size(); ++id) {
        if (function.nodes[id].op != Op::constant && !is_transparent(function, id)) {
            total += static_cast<std::int64_t>(use[id] - stage[id]) * function.nodes[id].type.width;
        }
    }
    return total;
}

}  // namespace gatewright::design
