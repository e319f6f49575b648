#include "design/layer_functions.h"

#include <fmt/format.h>

#include <map>

namespace gatewright::design {

namespace {

using bits::Node;
using bits::NodeId;
using bits::Op;

/// A layer's function while its nodes are gathered.
struct Part {
    bits::Function function;
    std::map<NodeId, NodeId> copies;  ///< of nodes of the whole, here
    std::map<std::int64_t, std::int64_t> tables;
};

bool is_operation(const Node& node) {
    return node.op != Op::input && node.op != Op::constant;
}

class Splitter {
  public:
    explicit Splitter(const bits::Function& whole)
        : whole_(whole), part_of_(whole.origins.size(), -1) {}

    std::vector<bits::Function> run() {
        for (NodeId id = 0; id < whole_.nodes.size(); ++id) {
            if (is_operation(whole_.nodes[id])) {
                add(id);
            }
        }
        for (NodeId id = 0; id < whole_.nodes.size(); ++id) {
            const Node& node = whole_.nodes[id];
            for (int k = 0; is_operation(node) && k < bits::info(node.op).operands; ++k) {
                const Node& operand = whole_.nodes[node.operand[k]];
                if (is_operation(operand) && operand.origin != node.origin) {
                    put_output(node.operand[k]);
                }
            }
        }
        for (const bits::Output& output : whole_.outputs) {
            if (is_operation(whole_.nodes[output.node])) {
                put_output(output.node);
            }
        }
        std::vector<bits::Function> out;
        for (Part& part : parts_) {
            out.push_back(std::move(part.function));
        }
        return out;
    }

  private:
    Part& part(std::uint32_t origin) {
        int& number = part_of_[origin];
        if (number < 0) {
            number = static_cast<int>(parts_.size());
            parts_.emplace_back().function.name = whole_.origins[origin];
        }
        return parts_[static_cast<std::size_t>(number)];
    }

    static NodeId append(bits::Function& f, Node node) {
        node.origin = 0;
        f.nodes.push_back(node);
        return static_cast<NodeId>(f.nodes.size() - 1);
    }

    /// A constant as it is; anything from elsewhere as an input.
    NodeId operand(Part& part, NodeId id, std::uint32_t origin) {
        const auto known = part.copies.find(id);
        if (known != part.copies.end()) {
            return known->second;
        }
        Node copy = whole_.nodes[id];
        if (copy.op == Op::constant) {
            if (copy.type.width > 64) {
                part.function.wide_constants.push_back(whole_.constant(copy));
                copy.immediate = static_cast<std::int64_t>(part.function.wide_constants.size()) - 1;
            }
        } else if (copy.op == Op::input || copy.origin != origin) {
            const bits::Type type = copy.type;
            copy = Node();
            copy.op = Op::input;
            copy.type = type;
            copy.immediate = static_cast<std::int64_t>(part.function.inputs.size());
            part.function.inputs.push_back({fmt::format("x{}", copy.immediate), type});
        }
        return part.copies[id] = append(part.function, copy);
    }

    void add(NodeId id) {
        Node copy = whole_.nodes[id];
        const std::uint32_t origin = copy.origin;
        Part& to = part(origin);
        for (int k = 0; k < bits::info(copy.op).operands; ++k) {
            copy.operand[k] = operand(to, copy.operand[k], origin);
        }
        if (copy.op == Op::read) {
            const auto [at, added] = to.tables.try_emplace(
                copy.immediate, static_cast<std::int64_t>(to.function.tables.size()));
            if (added) {
                to.function.tables.push_back(
                    whole_.tables[static_cast<std::size_t>(copy.immediate)]);
            }
            copy.immediate = at->second;
        }
        to.copies[id] = append(to.function, copy);
    }

    void put_output(NodeId id) {
        if (id >= is_output_.size()) {
            is_output_.resize(whole_.nodes.size(), false);
        }
        if (!is_output_[id]) {
            is_output_[id] = true;
            Part& from = part(whole_.nodes[id].origin);
            from.function.outputs.push_back(
                {fmt::format("y{}", from.function.outputs.size()), from.copies.at(id)});
        }
    }

    const bits::Function& whole_;
    std::vector<int> part_of_;  ///< [origin]
    std::vector<Part> parts_;
    std::vector<bool> is_output_;
};

}  // namespace

std::vector<bits::Function> layer_functions(const bits::Function& function) {
    return Splitter(function).run();
}

}  // namespace gatewright::design
