#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

#include "bits/builder.h"
#include "design/machine.h"
#include "design/pipeline.h"

namespace gatewright::design {

namespace {

using bits::Node;
using bits::NodeId;
using bits::Op;

/// Rebuilds a body with a register wherever a value is used at a later level than its own. Level 0
/// is that of the input ports; a register level lies between each two.
class Registers {
  public:
    Registers(const Process& process, const Pipeline& pipeline, bool clock_enable)
        : body_(process.body), pipeline_(pipeline), step_(process.body.name) {
        machine_.name = process.name;
        machine_.latency = pipeline.latency();
        const bits::Type bit{false, 1};
        in_valid_ = step_.input("in_valid", bit);
        machine_.inputs.push_back({"in_valid", {bit}, true});
        if (clock_enable) {
            clock_enable_ = step_.input("clock_enable", bit);
            machine_.inputs.push_back({"clock_enable", {bit}, true});
            machine_.enables.push_back("clock_enable");
        }
        machine_.outputs.push_back({"out_valid", {bit}, true});
        std::size_t next = 0;
        for (const Port& port : process.inputs) {
            machine_.inputs.push_back({port.name, {}});
            for (const Lane& lane : port.lanes) {
                machine_.inputs.back().lanes.push_back(lane.bits());
                inputs_.push_back(step_.input(body_.inputs[next++].name, lane.bits()));
            }
        }
        for (const Port& port : process.outputs) {
            machine_.outputs.push_back({port.name, {}});
            for (const Lane& lane : port.lanes) {
                machine_.outputs.back().lanes.push_back(lane.bits());
            }
        }
        for (const DelayLine& line : pipeline.stored) {
            stored_[{line.value, line.first + line.levels}] = line.levels;
        }
        for (const bits::Table& table : body_.tables) {
            tables_.push_back(step_.table(table.name, table.type, table.words));
        }
    }

    Machine run() {
        const auto last = static_cast<std::int32_t>(pipeline_.latency());
        NodeId valid = in_valid_;
        for (std::int32_t level = 1; level <= last; ++level) {
            const NodeId now = add_register(fmt::format("valid_{}", level), {false, 1}, valid);
            machine_.registers.back().has_reset = true;
            valid = now;
        }
        std::vector<NodeId> outputs;
        for (const bits::Output& output : body_.outputs) {
            outputs.push_back(at(output.node, last));
        }
        add_counters();
        const auto give = [&](const std::string& name, NodeId value) {
            step_.output(name, value);
            live_.resize(step_.size(), 0);
            live_[value] = 1;
        };
        give("out_valid", valid);
        for (std::size_t i = 0; i < outputs.size(); ++i) {
            give(body_.outputs[i].name, outputs[i]);
        }
        for (std::size_t i = 0; i < next_.size(); ++i) {
            give(machine_.registers[i].name + ".next", next_[i]);
        }
        if (clock_enable_) {
            give("clock_enable", *clock_enable_);
        }
        give_memories();
        note_merged();
        machine_.step = step_.take();
        order_inputs();
        return std::move(machine_);
    }

  private:
    /// Merged sums by the numbers that `take` gives: what an output needs, and inputs, keep their
    /// order.
    void note_merged() {
        if (merged_.empty()) {
            return;
        }
        for (std::size_t i = live_.size(); i-- > 0;) {
            const Node& node = step_.node(static_cast<NodeId>(i));
            live_[i] = live_[i] != 0 || node.op == Op::input ? 1 : 0;
            for (int k = 0; live_[i] != 0 && k < bits::info(node.op).operands; ++k) {
                live_[node.operand[k]] = 1;
            }
        }
        for (std::size_t i = 0; i < live_.size(); ++i) {
            if (live_[i] != 0) {
                machine_.merged.push_back(merged_.contains(static_cast<NodeId>(i)) ? 1 : 0);
            }
        }
    }

    std::int32_t level_of(NodeId id) const {
        return body_.nodes[id].op == Op::input
                   ? 0
                   : pipeline_.stage[id] + (pipeline_.register_inputs ? 1 : 0);
    }

    /// The layer's name, the node and how many levels it has been carried; an input's own name.
    std::string register_name(NodeId id, std::int32_t level) const {
        const Node& node = body_.nodes[id];
        if (node.op == Op::input) {
            return fmt::format("{}_r{}",
                               body_.inputs[static_cast<std::size_t>(node.immediate)].name, level);
        }
        const std::string& origin = body_.origins[node.origin];
        return fmt::format("{}_n{}_r{}", origin.empty() ? "w" : origin, id, level);
    }

    /// The words of delay lines of the same length, one behind the other in one memory. A counter
    /// goes round its addresses: what is read was written there one round before.
    struct Memory {
        std::int32_t words = 0;
        std::vector<bits::Type> lanes;
        std::vector<NodeId> words_in;  ///< of each lane
        std::vector<std::string> names;
        NodeId address = 0;
    };

    /// `now` some register levels later, from cells that hold values; the last level is a register.
    NodeId through_cells(NodeId id, std::int32_t level, std::int32_t levels) {
        const bits::Type type = body_.nodes[id].type;
        const std::string name = register_name(id, level);
        if (pipeline_.stored_in_memories) {
            const NodeId now = at(id, level - levels);
            if (step_.is_constant(now)) {
                return now;
            }
            Memory& memory = memories_[levels];
            memory.words = levels - 1;
            memory.lanes.push_back(type);
            memory.words_in.push_back(now);
            memory.names.push_back(name + ".before");
            return add_register(name, type, step_.input(memory.names.back(), type));
        }
        const NodeId now = at(id, level - 1);
        if (step_.is_constant(now)) {
            return now;
        }
        // A reset keeps this register out of the shift register before it, which is slower.
        const NodeId last = add_register(name, type, now);
        machine_.registers.back().has_reset = true;
        return last;
    }

    void add_counters() {
        step_.set_origin("");
        for (auto& [levels, memory] : memories_) {
            const bits::Type type = bits::narrowest(memory.words - 1);
            const std::string name = fmt::format("delay_{}_address", levels);
            const std::size_t place = next_.size();
            memory.address = add_register(name, type, 0);
            machine_.registers.back().has_reset = true;
            const NodeId more = step_.add(memory.address, step_.constant(1), type);
            next_[place] = step_.mux(step_.equal(memory.address, step_.constant(memory.words - 1)),
                                     step_.constant(0), more, type);
        }
    }

    void give_memories() {
        for (const auto& [levels, memory] : memories_) {
            const std::string name = fmt::format("delay_{}", levels);
            machine_.memories.push_back({name, memory.lanes, memory.words, {}, true});
            step_.output(name + ".read_address", memory.address);
            step_.output(name + ".write_when",
                         clock_enable_ ? *clock_enable_ : step_.constant(1, {false, 1}));
            step_.output(name + ".write_address", memory.address);
            for (std::size_t l = 0; l < memory.lanes.size(); ++l) {
                step_.output(fmt::format("{}.{}", name, l), memory.words_in[l]);
            }
        }
    }

    /// What memories read comes behind all registers, in the order of the memories.
    void order_inputs() {
        std::map<std::string, std::size_t> rank;
        for (const auto& [levels, memory] : memories_) {
            for (const std::string& name : memory.names) {
                rank.emplace(name, rank.size() + 1);
            }
        }
        if (rank.empty()) {
            return;
        }
        std::vector<bits::Input>& inputs = machine_.step.inputs;
        std::vector<std::size_t> order(inputs.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, {}, [&](std::size_t i) {
            const auto found = rank.find(inputs[i].name);
            return found == rank.end() ? 0 : found->second;
        });
        std::vector<std::int64_t> place(inputs.size());
        std::vector<bits::Input> sorted;
        for (std::size_t i = 0; i < order.size(); ++i) {
            place[order[i]] = static_cast<std::int64_t>(i);
            sorted.push_back(inputs[order[i]]);
        }
        inputs = std::move(sorted);
        for (Node& node : machine_.step.nodes) {
            if (node.op == Op::input) {
                node.immediate = place[static_cast<std::size_t>(node.immediate)];
            }
        }
    }

    NodeId add_register(std::string name, bits::Type type, NodeId next) {
        machine_.registers.push_back({name, type, false, 0, clock_enable_ ? 0 : -1});
        next_.push_back(next);
        return step_.input(std::move(name), type);
    }

    /// The node's value as it stands at `level`.
    NodeId at(NodeId id, std::int32_t level) {
        const Node& node = body_.nodes[id];
        if (node.op == Op::constant) {
            return step_.constant(body_.constant(node), node.type);
        }
        const auto known = values_.find({id, level});
        if (known != values_.end()) {
            return known->second;
        }
        NodeId value = 0;
        step_.set_origin(body_.origins[node.origin]);
        if (is_transparent(body_, id)) {
            value = make(node, level);
        } else if (level <= level_of(id)) {
            value = node.op == Op::input ? inputs_[static_cast<std::size_t>(node.immediate)]
                                         : make(node, level_of(id));
        } else if (const auto line = stored_.find({id, level}); line != stored_.end()) {
            value = through_cells(id, level, line->second);
        } else {
            const NodeId before = at(id, level - 1);
            value = step_.is_constant(before)
                        ? before
                        : add_register(register_name(id, level), node.type, before);
        }
        if (!pipeline_.merged.empty() && pipeline_.merged[id] != 0) {
            merged_.insert(value);
        }
        values_[{id, level}] = value;
        return value;
    }

    NodeId make(const Node& node, std::int32_t level) {
        NodeId x[3] = {0, 0, 0};
        for (int i = 0; i < bits::info(node.op).operands; ++i) {
            x[i] = at(node.operand[i], level);
        }
        step_.set_origin(body_.origins[node.origin]);
        const int amount = static_cast<int>(node.immediate);
        switch (node.op) {
            case Op::add:
                return step_.add(x[0], x[1], node.type);
            case Op::sub:
                return step_.sub(x[0], x[1], node.type);
            case Op::mul:
                return step_.mul(x[0], x[1], node.type);
            case Op::shl:
                return step_.shl(x[0], amount, node.type);
            case Op::shr:
                return step_.shr(x[0], amount, node.type);
            case Op::bit_and:
                return step_.bit_and(x[0], x[1], node.type);
            case Op::bit_or:
                return step_.bit_or(x[0], x[1], node.type);
            case Op::bit_xor:
                return step_.bit_xor(x[0], x[1], node.type);
            case Op::bit_not:
                return step_.bit_not(x[0], node.type);
            case Op::equal:
                return step_.equal(x[0], x[1]);
            case Op::less:
                return step_.less(x[0], x[1]);
            case Op::mux:
                return step_.mux(x[0], x[1], x[2], node.type);
            case Op::cast:
                return step_.cast(x[0], node.type);
            case Op::read:
                return step_.read(tables_[static_cast<std::size_t>(node.immediate)], x[0],
                                  node.type);
            default:
                throw std::logic_error("an input or constant is no operation");
        }
    }

    const bits::Function& body_;
    const Pipeline& pipeline_;
    bits::Builder step_;
    Machine machine_;
    NodeId in_valid_ = 0;
    std::optional<NodeId> clock_enable_;
    std::vector<NodeId> inputs_;  ///< the body's inputs in the step function
    std::vector<int> tables_;
    std::vector<NodeId> next_;  ///< of each register
    std::set<NodeId> merged_;
    std::vector<char> live_;  ///< by node of the step function
    std::map<std::pair<NodeId, std::int32_t>, NodeId> values_;
    std::map<std::pair<NodeId, std::int32_t>, std::int32_t> stored_;  ///< levels, by the last one
    std::map<std::int32_t, Memory> memories_;                         ///< by levels
};

}  // namespace

Machine pipelined(const Process& process, const Pipeline& pipeline, bool clock_enable) {
    if (!process.loops.empty() || !process.registers.empty() || !process.memories.empty()) {
        throw std::logic_error("only a process without loops and state can be pipelined");
    }
    return Registers(process, pipeline, clock_enable).run();
}

}  // namespace gatewright::design
