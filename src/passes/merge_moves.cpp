#include "passes/merge_moves.h"

#include <map>
#include <optional>
#include <utility>

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
    Index index;
};

/// What a move of one tensor copies; nothing if the node is no such move, makes zeros, or is a
/// window: schedules build line buffers from those.
std::optional<Index> index_of(const Node& node, const network::TensorType& input) {
    if (node.op->sources == nullptr || node.inputs.size() != 1 ||
        node.op == &operators::window_operator || element_count(node.types.front().shape) == 0) {
        return std::nullopt;
    }
    Index index;
    if (node.op == &operators::reshape_operator) {
        return index;
    }
    for (const network::Source& source : node.op->sources(node, std::span(&input, 1))) {
        if (source.input < 0) {
            return std::nullopt;
        }
        index.push_back(source.element);
    }
    return index;
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

}  // namespace

Network merge_moves(const Network& network) {
    Network out;
    out.name = network.name;
    std::map<Value, Value> renamed;
    std::map<Value, Origin> origins;  // of the moves in `out`
    for (NodeId id = 0; id < network.nodes().size(); ++id) {
        const Node& node = network.node(id);
        if (node.op == &network::input_operator) {
            renamed[{id, 0}] =
                out.add_input(std::string(network.input_name(id)), node.types.front(), node.where);
            continue;
        }
        std::vector<Value> inputs;
        for (const Value value : node.inputs) {
            inputs.push_back(renamed.at(value));
        }
        auto index =
            node.inputs.empty() ? std::nullopt : index_of(node, network.type(node.inputs.front()));
        if (!index) {
            const Value added = out.add(*node.op, node.attributes, std::move(inputs), node.where);
            for (std::uint32_t i = 0; i < node.types.size(); ++i) {
                renamed[{id, i}] = {added.node, i};
            }
            continue;
        }
        Value from = inputs.front();
        const Shape shape = node.types.front().shape;
        if (shape == out.type(from).shape && keeps_order(*index, element_count(shape))) {
            renamed[{id, 0}] = from;
            continue;
        }
        const auto before = origins.find(from);
        const bool is_chain = before != origins.end();
        if (is_chain) {
            from = before->second.value;
            index = composed(before->second.index, std::move(*index));
        }
        const Shape& given = out.type(from).shape;
        Value& y = renamed[{id, 0}];
        if (keeps_order(*index, element_count(given))) {
            y = shape == given
                    ? from
                    : out.add(operators::reshape_operator,
                              Attributes::of(operators::ReshapeFields{shape}), {from}, node.where);
        } else if (!is_chain) {
            y = out.add(*node.op, node.attributes, {from}, node.where);
        } else {
            operators::IndexFields fields{shape, {shape, *index}};
            y = out.add(operators::index_operator, Attributes::of(std::move(fields)), {from},
                        node.where);
        }
        if (y != from) {
            origins[y] = {from, std::move(*index)};
        }
    }
    for (const network::NetworkOutput& output : network.outputs()) {
        out.set_output(output.name, renamed.at(output.value));
    }
    return out;
}

}  // namespace gatewright::passes
