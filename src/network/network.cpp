#include "network/network.h"

#include <fmt/format.h>

namespace gatewright::network {

namespace {

std::vector<TensorType> infer_constant(const Node& node, std::span<const TensorType>) {
    return {{node.fields<ConstantFields>().value.shape, std::nullopt}};
}

std::vector<Tensor> constant_reference(const Node& node, std::span<const Tensor* const>) {
    return {node.fields<ConstantFields>().value};
}

}  // namespace

const Operator input_operator = {.name = "input",
                                 .formula = "the network's input",
                                 .min_inputs = 0,
                                 .max_inputs = 0,
                                 .fields = &field_table<InputFields>};

const Operator constant_operator = {.name = "constant",
                                    .formula = "y = value",
                                    .min_inputs = 0,
                                    .max_inputs = 0,
                                    .fields = &field_table<ConstantFields>,
                                    .infer = &infer_constant,
                                    .reference = &constant_reference};

std::string print_field(const Format& value) {
    const std::string type = to_string(value.type);
    return value.range == value.type.range() ? type : type + " in " + print_field(value.range);
}

bool parse_field(std::string_view text, Format& value) {
    const std::size_t in = text.find(" in ");
    if (!parse_field(trim(text.substr(0, in)), value.type)) {
        return false;
    }
    if (in == std::string_view::npos) {
        value.range = value.type.range();
        return true;
    }
    return parse_field(trim(text.substr(in + 4)), value.range) &&
           value.range.low <= value.range.high && value.type.range().contains(value.range);
}

std::string to_string(const TensorType& type) {
    const std::string shape = gatewright::to_string(type.shape);
    if (type.is_float()) {
        return shape + " float";
    }
    return shape + " " +
           (type.fixed->is_uniform() ? print_field(type.fixed->values().front())
                                     : print_field(*type.fixed));
}

Value Network::add_input(std::string input_name, TensorType type, Location where) {
    nodes_.push_back({&input_operator,
                      Attributes::of(InputFields{std::move(input_name)}),
                      {},
                      {std::move(type)},
                      std::move(where)});
    return {static_cast<NodeId>(nodes_.size() - 1), 0};
}

Value Network::add(const Operator& op, Attributes attributes, std::vector<Value> inputs,
                   Location where) {
    // No fields given means their defaults.
    if (op.fields != nullptr && &attributes.table() == &field_table<NoFields>()) {
        const FieldTable& table = op.fields();
        attributes = Attributes(table.make(), &table);
    }
    Node node{&op, std::move(attributes), std::move(inputs), {}, std::move(where)};
    const int count = static_cast<int>(node.inputs.size());
    if (count < op.min_inputs || count > op.max_inputs) {
        throw Failure(Code::operator_inputs, node.where,
                      fmt::format("operator {} takes {} to {} inputs, not {}", op.name,
                                  op.min_inputs, op.max_inputs, count));
    }
    std::vector<TensorType> types;
    types.reserve(node.inputs.size());
    for (const Value value : node.inputs) {
        types.push_back(type(value));
    }
    node.types = op.infer(node, types);
    nodes_.push_back(std::move(node));
    return {static_cast<NodeId>(nodes_.size() - 1), 0};
}

void Network::set_output(std::string output_name, Value value) {
    outputs_.push_back({std::move(output_name), value});
}

std::vector<NodeId> Network::inputs() const {
    std::vector<NodeId> out;
    for (NodeId id = 0; id < nodes_.size(); ++id) {
        if (nodes_[id].op == &input_operator) {
            out.push_back(id);
        }
    }
    return out;
}

std::string_view Network::input_name(NodeId input) const {
    return nodes_[input].fields<InputFields>().name;
}

Network Network::pruned() const {
    std::vector<bool> needed(nodes_.size(), false);
    for (const NetworkOutput& output : outputs_) {
        needed[output.value.node] = true;
    }
    for (NodeId id = static_cast<NodeId>(nodes_.size()); id-- > 0;) {
        needed[id] = needed[id] || nodes_[id].op == &input_operator;
        if (needed[id]) {
            for (const Value value : nodes_[id].inputs) {
                needed[value.node] = true;
            }
        }
    }
    Network out;
    out.name = name;
    std::vector<NodeId> renumbered(nodes_.size(), 0);
    for (NodeId id = 0; id < nodes_.size(); ++id) {
        if (needed[id]) {
            Node node = nodes_[id];
            for (Value& value : node.inputs) {
                value.node = renumbered[value.node];
            }
            renumbered[id] = static_cast<NodeId>(out.nodes_.size());
            out.nodes_.push_back(std::move(node));
        }
    }
    for (const NetworkOutput& output : outputs_) {
        out.set_output(output.name, {renumbered[output.value.node], output.value.output});
    }
    return out;
}

std::vector<std::string> verify(const Network& network) {
    std::vector<std::string> faults;
    const auto& nodes = network.nodes();
    for (NodeId id = 0; id < nodes.size(); ++id) {
        const Node& node = nodes[id];
        const auto fault = [&](const std::string& what) {
            faults.push_back(fmt::format("%{} = {}: {}", id, node.op->name, what));
        };
        std::vector<TensorType> types;
        bool ordered = true;
        for (const Value value : node.inputs) {
            if (value.node >= id || value.output >= nodes[value.node].types.size()) {
                fault(
                    fmt::format("input %{}.{} does not come before it", value.node, value.output));
                ordered = false;
            } else {
                types.push_back(network.type(value));
            }
        }
        if (!ordered || node.op == &input_operator) {
            continue;
        }
        try {
            if (node.op->infer(node, types) != node.types) {
                fault("its types are not what it infers from its inputs");
            }
        } catch (const Failure& failure) {
            fault(failure.what());
        }
    }
    for (const NetworkOutput& output : network.outputs()) {
        if (output.value.node >= nodes.size() ||
            output.value.output >= nodes[output.value.node].types.size()) {
            faults.push_back(fmt::format("output '{}' names no value", output.name));
        }
    }
    return faults;
}

}  // namespace gatewright::network
