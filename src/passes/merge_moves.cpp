#include "passes/merge_moves.h"

#include <map>
#include <optional>
#include <utility>

#include "operators/axis_move.h"
#include "operators/move.h"

namespace gatewright::passes {

using network::Attributes;
using network::Network;
using network::Node;
using network::NodeId;
using network::Value;

namespace {

/// Which element each element is a copy of; empty: the same.
using Index = std::vector<std::int64_t>;

/// y[e] = value[index[e]].
struct Origin {
    Value value;
    std::optional<NodeId> move;  ///< of the given network, which has that index; else:
    Index index;
};

/// Whether a node is a move of one tensor that makes no zeros, and no window: schedules build line
/// buffers from those.
bool is_pure_move(const Node& node, const network::TensorType& input) {
    return node.op->sources != nullptr && node.inputs.size() == 1 &&
           node.op != &operators::window_operator && element_count(node.types.front().shape) != 0 &&
           !operators::makes_zeros(node, std::span(&input, 1));
}

/// What such a move copies.
Index index_of(const Node& node, const network::TensorType& input) {
    return node.op == &operators::reshape_operator
               ? Index{}
               : operators::moved_elements(node, std::span(&input, 1));
}

/// `second` of `first`.
Index composed(const Index& first, Index second) {
    if (second.empty()) {
        return first;
    }
    for (std::int64_t& e : second) {
        e = first.empty() ? e : first[static_cast<std::size_t>(e)];
    }
    return second;
}

/// Whether an index copies `elements` elements in their order.
bool keeps_order(const Index& index, std::int64_t elements) {
    if (!index.empty() && static_cast<std::int64_t>(index.size()) != elements) {
        return false;
    }
    for (std::size_t e = 0; e < index.size(); ++e) {
        if (index[e] != static_cast<std::int64_t>(e)) {
            return false;
        }
    }
    return true;
}

/// By node: false for moves that only other moves look at, which need not be there.
std::vector<bool> needed_nodes(const Network& network) {
    const auto& nodes = network.nodes();
    std::vector<bool> needed(nodes.size(), false);
    for (const network::NetworkOutput& output : network.outputs()) {
        needed[output.value.node] = true;
    }
    for (NodeId id = static_cast<NodeId>(nodes.size()); id-- > 0;) {
        const Node& node = nodes[id];
        const bool pure =
            node.inputs.size() == 1 && is_pure_move(node, network.type(node.inputs.front()));
        // A move that may turn out to move nothing stands for its input.
        const bool may_vanish =
            pure && node.types.front().shape == network.type(node.inputs.front()).shape;
        for (const Value value : node.inputs) {
            needed[value.node] = needed[value.node] || !pure || (may_vanish && needed[id]);
        }
    }
    return needed;
}

}  // namespace

Network merge_moves(const Network& network) {
    Network out;
    out.name = network.name;
    std::map<Value, Value> renamed;
    std::map<Value, Origin> origins;  // of the moves
    const std::vector<bool> needed = needed_nodes(network);
    for (NodeId id = 0; id < network.nodes().size(); ++id) {
        const Node& node = network.node(id);
        if (node.op == &network::input_operator) {
            renamed[{id, 0}] =
                out.add_input(std::string(network.input_name(id)), node.types.front(), node.where);
            continue;
        }
        if (node.inputs.size() != 1 || !is_pure_move(node, network.type(node.inputs.front()))) {
            std::vector<Value> inputs;
            for (const Value value : node.inputs) {
                inputs.push_back(renamed.at(value));
            }
            const Value added = out.add(*node.op, node.attributes, std::move(inputs), node.where);
            for (std::uint32_t i = 0; i < node.types.size(); ++i) {
                renamed[{id, i}] = {added.node, i};
            }
            continue;
        }
        const Value x = node.inputs.front();
        const auto before = origins.find(x);
        const bool is_chain = before != origins.end();
        const Shape shape = node.types.front().shape;
        const auto type_before = [&](NodeId move) -> const network::TensorType& {
            return network.type(network.node(move).inputs.front());
        };
        // Lists of elements, which are long, only where the axes do not tell it.
        const auto along_axes = operators::axis_move(node, std::span(&type_before(id), 1));
        Index index = along_axes ? Index{} : index_of(node, type_before(id));
        bool in_order = along_axes ? along_axes->keeps_order(element_count(type_before(id).shape))
                                   : keeps_order(index, element_count(type_before(id).shape));
        if (shape == network.type(x).shape && in_order) {
            if (is_chain) {
                origins[{id, 0}] = Origin(before->second);
            }
            if (const auto at = renamed.find(x); at != renamed.end()) {
                renamed[{id, 0}] = Value(at->second);
            }
            continue;
        }
        const Value from = is_chain ? before->second.value : renamed.at(x);
        if (is_chain) {
            const std::optional<NodeId> move = before->second.move;
            const Index first =
                move ? index_of(network.node(*move), type_before(*move)) : before->second.index;
            index = composed(first, index_of(node, type_before(id)));
            in_order = keeps_order(index, element_count(out.type(from).shape));
        }
        const Shape& given = out.type(from).shape;
        if (in_order && shape == given) {
            renamed[{id, 0}] = from;
            continue;
        }
        if (needed[id] && in_order) {
            renamed[{id, 0}] =
                out.add(operators::reshape_operator,
                        Attributes::of(operators::ReshapeFields{shape}), {from}, node.where);
        } else if (needed[id] && !is_chain) {
            renamed[{id, 0}] = out.add(*node.op, node.attributes, {from}, node.where);
        } else if (needed[id]) {
            operators::IndexFields fields{shape, {shape, index}};
            renamed[{id, 0}] = out.add(operators::index_operator, Attributes::of(std::move(fields)),
                                       {from}, node.where);
        }
        origins[{id, 0}] =
            is_chain ? Origin{from, std::nullopt, std::move(index)} : Origin{from, id, {}};
    }
    for (const network::NetworkOutput& output : network.outputs()) {
        out.set_output(output.name, renamed.at(output.value));
    }
    return out;
}

}  // namespace gatewright::passes
