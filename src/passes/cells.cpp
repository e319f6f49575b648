#include "passes/cells.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "design/chain_sum.h"
#include "passes/small_values.h"
#include "passes/timing.h"

namespace gatewright::passes {

using bits::Node;
using bits::NodeId;
using bits::Op;

namespace {

/// Whether every user's table sees through the value, so that it needs none of its own.
bool is_absorbed(const TimingGraph& graph, std::span<const std::int32_t> stage, NodeId id) {
    if (graph.is_output(id)) {
        return false;
    }
    const auto users = graph.users(id);
    return std::all_of(users.begin(), users.end(), [&](NodeId user) {
        const auto operands = graph.operands(user);
        return stage[user] == stage[id] &&
               std::all_of(operands.begin(), operands.end(), [&](const auto& operand) {
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
    const TimingGraph::Bits bits = graph.needed_bits(id);
    return std::max(0, bits.high - std::max(bits.low, graph.low_zeros(id)));
}

/// Whether flip-flops alone read a value, or parts of it.
bool is_registered(const bits::Function& function, const TimingGraph& graph,
                   std::span<const std::int32_t> stage, NodeId id) {
    return !graph.is_output(id) && std::ranges::all_of(graph.users(id), [&](NodeId user) {
        const Op op = function.nodes[user].op;
        const bool is_wiring = op == Op::cast || op == Op::shl || op == Op::shr;
        return stage[user] > stage[id] ||
               (is_wiring && is_registered(function, graph, stage, user));
    });
}

/// Whether a value is a selection of another or a constant that the resets of flip-flops make.
bool is_reset(const bits::Function& function, const TimingGraph& graph,
              std::span<const std::int32_t> stage, NodeId id) {
    const Node& node = function.nodes[id];
    const auto is_constant = [&](int k) {
        return function.nodes[node.operand[k]].op == Op::constant;
    };
    return node.op == Op::mux && (is_constant(1) || is_constant(2)) &&
           is_registered(function, graph, stage, id);
}

/// Whether a comparison with few bits is part of the table that masks one bit with it.
bool is_in_mask(const bits::Function& function, const TimingGraph& graph, const DelayModel& model,
                std::span<const std::int32_t> stage, NodeId id) {
    const auto users = graph.users(id);
    if (graph.is_output(id) || users.size() != 1) {
        return false;
    }
    int inputs = 1;
    for (const TimingGraph::Operand& operand : graph.operands(id)) {
        inputs += graph.width(operand.source);
    }
    const Node& mask = function.nodes[users.front()];
    return inputs <= model.lut_inputs && mask.op == Op::bit_and &&
           stage[users.front()] == stage[id] &&
           working_bits(function, graph, mask, users.front()) == 1;
}

/// Lookup tables of a table that is read: of each bit, the different pieces that one lookup table
/// holds, and selections between them, two of which go together. What is constant is free, as are
/// pieces met before: most of a step function is.
std::int64_t tables_of_read(const bits::Table& table, int lut_inputs) {
    using Piece = std::uint32_t;
    constexpr Piece zero = 0;
    constexpr Piece one = 1;
    std::map<std::pair<Piece, Piece>, Piece> halves;  // joined so far, at any height
    Piece next = 2;
    std::int64_t leaves = 0;
    std::int64_t selections = 0;
    for (int bit = 0; bit < table.type.width; ++bit) {
        std::vector<Piece> level;
        level.reserve(table.words.size());
        for (const Int128 word : table.words) {
            level.push_back((word >> bit & 1) != 0 ? one : zero);
        }
        const bool fits = level.size() <= std::size_t{1} << lut_inputs;
        for (int inputs = 1; level.size() > 1; ++inputs) {
            for (std::size_t i = 0; i < level.size() / 2; ++i) {
                const std::pair<Piece, Piece> pair{level[2 * i], level[2 * i + 1]};
                if (pair.first == pair.second) {
                    level[i] = pair.first;
                    continue;
                }
                const auto [found, is_new] = halves.emplace(pair, next);
                next += is_new ? 1 : 0;
                level[i] = found->second;
                const bool in_leaf = inputs == lut_inputs || (fits && level.size() == 2);
                leaves += is_new && in_leaf ? 1 : 0;
                selections += is_new && inputs > lut_inputs ? 1 : 0;
            }
            level.resize(level.size() / 2);
        }
    }
    return leaves + (selections + 1) / 2;
}

/// Tables before the carries of a sum. Where these are cells of their own, a bit that one operand
/// alone has needs none, or an inverter: where it is inverted, or added to a one.
std::int64_t tables_of_chain(const bits::Function& function, const TimingGraph& graph,
                             const DelayModel& model, NodeId id) {
    const Node& node = function.nodes[id];
    const int length = graph.chain_length(id);
    const int piece = model.mapping.chain_bits;
    if (piece == 0) {
        if (node.op == Op::less) {
            return 1;
        }
        // The lowest bit that a constant has inverts the other operand's, as does what reads it.
        const auto is_constant = [&](int k) {
            return function.nodes[node.operand[k]].op == Op::constant;
        };
        const TimingGraph::Bits bits = graph.needed_bits(id);
        const int first = bits.high - length + (is_constant(0) || is_constant(1) ? 1 : 0);
        return std::max(0, bits.high - std::max(first, bits.low));
    }
    if (!model.lone_bits_are_free || node.op == Op::less) {
        const bool is_chain = length > model.mapping.longest_in_tables;
        return is_chain ? (length + piece - 1) / piece * piece : length;
    }
    const int end = graph.needed_bits(id).high;
    const int first = end - length;
    std::int64_t count = 0;
    const Node* operand[2] = {&function.nodes[node.operand[0]], &function.nodes[node.operand[1]]};
    for (int bit = first; bit < end; ++bit) {
        bool has[2];   // a bit that varies
        bool flip[2];  // that is inverted, or a one that inverts the other
        for (int k = 0; k < 2; ++k) {
            const Node& x = *operand[k];
            const bool minus = node.op == Op::sub && k == 1;
            if (x.op == Op::constant) {
                has[k] = false;
                flip[k] = ((function.constant(x) >> std::min(bit, 127) & 1) != 0) != minus;
            } else {
                has[k] = bit >= graph.low_zeros(node.operand[k]) &&
                         (x.type.is_signed || bit < x.type.width);
                flip[k] = (has[k] && x.op == Op::bit_not) != minus;
            }
        }
        count += (has[0] && has[1]) || ((has[0] || has[1]) && flip[0] != flip[1]) ? 1 : 0;
    }
    return count;
}

}  // namespace

CellEstimate estimate_cells(const bits::Function& function, const DelayModel& model,
                            std::span<const std::int32_t> stage, std::span<const char> merged) {
    const TimingGraph graph(function, model, merged);
    const SmallValues small(function, graph, model, stage);
    CellEstimate out;
    std::set<std::pair<NodeId, std::int32_t>> inverted;  // values, in the stages that read them
    for (NodeId id = 0; id < function.nodes.size(); ++id) {
        const Node& node = function.nodes[id];
        const auto width = [&](int k) { return function.nodes[node.operand[k]].type.width; };
        const auto is_zero = [&](int k) {
            const Node& operand = function.nodes[node.operand[k]];
            return operand.op == Op::constant && function.constant(operand) == 0;
        };
        if (graph.is_merged(id) ||
            (node.op == Op::equal && is_in_mask(function, graph, model, stage, id))) {
            continue;
        }
        if (graph.merges(id)) {
            const auto sum = design::chain_sum(function, id, merged);
            out.carry_bits += sum ? sum->tables : node.type.width;
            continue;
        }
        if (small.is_small(id)) {
            out.tables += small.vanishes(id) ? 0 : node.type.width;
            continue;
        }
        for (const TimingGraph::Operand& operand : graph.operands(id)) {
            const NodeId o = operand.source;
            const bool together = graph.is_placed(o) && stage[o] == stage[id];
            if (graph.has_inverters(operand, together) && inverted.emplace(o, stage[id]).second) {
                out.tables += std::max(0, graph.needed_bits(o).high - graph.low_zeros(o));
            }
        }
        switch (node.op) {
            case Op::add:
            case Op::sub:
                out.carry_bits += tables_of_chain(function, graph, model, id);
                break;
            case Op::less:
                // Less than zero is a sign bit.
                out.carry_bits += is_zero(1) ? 0 : tables_of_chain(function, graph, model, id);
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
            case Op::read:
                out.tables += tables_of_read(
                    function.tables[static_cast<std::size_t>(node.immediate)], model.lut_inputs);
                break;
            case Op::bit_and:
            case Op::bit_or:
            case Op::bit_xor:
            case Op::bit_not:
            case Op::mux:
                if (graph.is_placed(id) && !is_absorbed(graph, stage, id) &&
                    !graph.is_joining(node) &&
                    !(model.mapping.resets && is_reset(function, graph, stage, id))) {
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
