#include "passes/cells.h"

#include <algorithm>

#include "passes/timing.h"

namespace gatewright::passes {

using bits::Node;
using bits::NodeId;
using bits::Op;

namespace {

/// Whether every user's table sees through the value, so that it needs none of its own.
bool is_absorbed(const TimingGraph& graph, NodeId id) {
    if (graph.is_output(id)) {
        return false;
    }
    const auto users = graph.users(id);
    return std::all_of(users.begin(), users.end(), [&](NodeId user) {
        const auto operands = graph.operands(user);
        return std::all_of(operands.begin(), operands.end(), [&](const auto& operand) {
            return operand.source != id || operand.is_fused;
        });
    });
}

/// Bits of a bitwise operation that are neither constant nor a copy. A mask that is one bit and
/// ones leaves all but that bit as it is.
int working_bits(const bits::Function& function, const TimingGraph& graph, const Node& node,
                 NodeId id) {
    if (node.op == Op::bit_not) {
        return 0;  // what reads it inverts it
    }
    if (node.op == Op::bit_and) {
        for (const NodeId o : {node.operand[0], node.operand[1]}) {
            const Node& mask = function.nodes[o];
            if (mask.op == Op::bit_not && mask.type.is_signed &&
                function.nodes[mask.operand[0]].type == bits::Type{false, 1}) {
                return 1;
            }
        }
    }
    return std::max(0, node.type.width - graph.low_zeros(id));
}

}  // namespace

CellEstimate estimate_cells(const bits::Function& function, const DelayModel& model) {
    const TimingGraph graph(function, model);
    CellEstimate out;
    for (NodeId id = 0; id < function.nodes.size(); ++id) {
        const Node& node = function.nodes[id];
        const auto width = [&](int k) { return function.nodes[node.operand[k]].type.width; };
        const auto is_zero = [&](int k) {
            const Node& operand = function.nodes[node.operand[k]];
            return operand.op == Op::constant && function.constant(operand) == 0;
        };
        switch (node.op) {
            case Op::add:
            case Op::sub:
                out.carry_bits += graph.chain_length(node);
                break;
            case Op::less:
                out.carry_bits += is_zero(1) ? 0 : graph.chain_length(node);  // or a sign bit
                break;
            case Op::mul:
                out.carry_bits += static_cast<std::int64_t>(std::min(width(0), width(1))) *
                                  std::max(width(0), width(1));
                break;
            case Op::equal: {
                const int inputs = function.nodes[node.operand[1]].op == Op::constant
                                       ? width(0)
                                       : width(0) + width(1);
                out.tables +=
                    (std::max(inputs - 1, 1) + model.lut_inputs - 2) / (model.lut_inputs - 1);
                break;
            }
            case Op::read: {
                const int more = std::clamp(width(0) - model.lut_inputs, 0, 40);
                out.tables += static_cast<std::int64_t>(node.type.width) << more;
                break;
            }
            case Op::bit_and:
            case Op::bit_or:
            case Op::bit_xor:
            case Op::bit_not:
            case Op::mux:
                if (graph.is_placed(id) && !is_absorbed(graph, id)) {
                    out.tables += working_bits(function, graph, node, id);
                }
                break;
            default:
                break;  // wires
        }
    }
    return out;
}

}  // namespace gatewright::passes
