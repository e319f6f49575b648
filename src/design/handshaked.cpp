#include <fmt/format.h>

#include "bits/builder.h"
#include "design/machine.h"
#include "design/rates.h"

namespace gatewright::design {

namespace {

using bits::NodeId;
using bits::Type;

constexpr Type bit{false, 1};

/// Derives one clock cycle of a process: control and body side by side, with the counters, the
/// conditions under which an iteration happens, and the first values of a frame.
class Handshake {
  public:
    explicit Handshake(const Process& process) : process_(process), step_(process.name) {
        machine_.name = process.name;
    }

    Machine run() {
        add_ports();
        add_state();
        call_control();
        const std::vector<NodeId> results = call_body();
        put_ports(results);
        put_state(results);
        machine_.step = step_.take();
        machine_.interval = process_.iterations();
        machine_.latency = latency_of(process_);
        return std::move(machine_);
    }

  private:
    NodeId both(NodeId a, NodeId b) { return step_.bit_and(a, b, bit); }
    NodeId either(NodeId a, NodeId b) { return step_.bit_or(a, b, bit); }
    NodeId inverse(NodeId a) { return step_.bit_not(a, bit); }
    NodeId one() { return step_.constant(1, bit); }

    std::vector<NodeId> lanes_in(const std::string& name, const std::vector<Lane>& lanes,
                                 std::vector<Type>& types) {
        std::vector<NodeId> out;
        for (const Lane& lane : lanes) {
            types.push_back(lane.bits());
            out.push_back(step_.input(fmt::format("{}.{}", name, out.size()), lane.bits()));
        }
        return out;
    }

    void add_ports() {
        for (const Port& port : process_.inputs) {
            machine_.inputs.push_back({port.name, {}});
            words_.push_back(lanes_in(port.name, port.lanes, machine_.inputs.back().lanes));
            machine_.inputs.push_back({port.name + "_valid", {bit}});
            partner_.push_back(step_.input(port.name + "_valid", bit));
        }
        for (const Port& port : process_.outputs) {
            machine_.inputs.push_back({port.name + "_ready", {bit}});
            partner_.push_back(step_.input(port.name + "_ready", bit));
        }
    }

    void add_state() {
        for (const Loop& loop : process_.loops) {
            const Type type = bits::narrowest(loop.count - 1);
            machine_.registers.push_back({loop.name, type, true, 0, 0});
            counters_.push_back(step_.input(loop.name, type));
        }
        for (const Register& state : process_.registers) {
            const Type type = state.lane.bits();
            machine_.registers.push_back({state.name, type, false, 0, 0});
            registers_.push_back(step_.input(state.name, type));
        }
        for (const Memory& memory : process_.memories) {
            Machine::Memory out{memory.name, {}, memory.words, memory.contents};
            read_.push_back(lanes_in(memory.name, memory.lanes, out.lanes));
            machine_.memories.push_back(std::move(out));
        }
        machine_.enables.push_back("fire");
    }

    void call_control() {
        control_ = step_.inline_call(process_.control, counters_);
        // A port that this iteration does not use holds nothing up.
        std::vector<NodeId> agreed;
        for (std::size_t p = 0; p < partner_.size(); ++p) {
            agreed.push_back(either(inverse(control_[p]), partner_[p]));
        }
        fire_ = one();
        for (std::size_t p = 0; p < partner_.size(); ++p) {
            NodeId others = control_[p];
            for (std::size_t q = 0; q < partner_.size(); ++q) {
                others = q == p ? others : both(others, agreed[q]);
            }
            offers_.push_back(others);
            fire_ = both(fire_, agreed[p]);
        }
        // Counters count from the innermost loop outwards.
        NodeId carry = one();
        first_ = one();
        next_counters_.resize(counters_.size());
        for (std::size_t l = counters_.size(); l-- > 0;) {
            const NodeId now = counters_[l];
            const Type type = machine_.registers[l].type;
            const NodeId last = step_.equal(now, step_.constant(process_.loops[l].count - 1));
            const NodeId counted = step_.mux(last, step_.constant(0, type),
                                             step_.add(now, step_.constant(1), type), type);
            next_counters_[l] = step_.mux(carry, counted, now, type);
            carry = both(carry, last);
            first_ = both(first_, step_.equal(now, step_.constant(0)));
        }
    }

    std::vector<NodeId> call_body() {
        std::vector<NodeId> arguments = counters_;
        for (const auto& word : words_) {
            arguments.insert(arguments.end(), word.begin(), word.end());
        }
        for (std::size_t r = 0; r < registers_.size(); ++r) {
            const Type type = process_.registers[r].lane.bits();
            const NodeId initial = step_.constant(process_.registers[r].initial, type);
            arguments.push_back(step_.mux(first_, initial, registers_[r], type));
        }
        for (const auto& word : read_) {
            arguments.insert(arguments.end(), word.begin(), word.end());
        }
        return step_.inline_call(process_.body, arguments);
    }

    void put(const std::string& name, NodeId node, Type type) {
        step_.output(name, step_.cast(node, type));
    }

    void put_ports(const std::vector<NodeId>& results) {
        for (std::size_t p = 0; p < process_.inputs.size(); ++p) {
            const std::string name = process_.inputs[p].name + "_ready";
            machine_.outputs.push_back({name, {bit}});
            put(name, offers_[p], bit);
        }
        for (std::size_t q = 0; q < process_.outputs.size(); ++q) {
            const Port& port = process_.outputs[q];
            machine_.outputs.push_back({port.name, {}});
            for (std::size_t l = 0; l < port.lanes.size(); ++l) {
                machine_.outputs.back().lanes.push_back(port.lanes[l].bits());
                put(fmt::format("{}.{}", port.name, l), results[next_result_++],
                    port.lanes[l].bits());
            }
            machine_.outputs.push_back({port.name + "_valid", {bit}});
            put(port.name + "_valid", offers_[process_.inputs.size() + q], bit);
        }
    }

    void put_state(const std::vector<NodeId>& results) {
        for (std::size_t l = 0; l < next_counters_.size(); ++l) {
            put(machine_.registers[l].name + ".next", next_counters_[l],
                machine_.registers[l].type);
        }
        for (const Register& state : process_.registers) {
            put(state.name + ".next", results[next_result_++], state.lane.bits());
        }
        put("fire", fire_, bit);
        std::size_t slot = partner_.size();
        for (const Memory& memory : process_.memories) {
            step_.output(memory.name + ".read_address", control_[slot++]);
            if (!memory.contents.empty()) {
                continue;
            }
            put(memory.name + ".write_when", both(fire_, control_[slot]), bit);
            step_.output(memory.name + ".write_address", control_[slot + 1]);
            slot += 2;
            for (std::size_t l = 0; l < memory.lanes.size(); ++l) {
                put(fmt::format("{}.{}", memory.name, l), results[next_result_++],
                    memory.lanes[l].bits());
            }
        }
    }

    const Process& process_;
    bits::Builder step_;
    Machine machine_;
    std::vector<std::vector<NodeId>> words_;  ///< of the input ports
    std::vector<NodeId> partner_;             ///< valid of each input, then ready of each output
    std::vector<NodeId> counters_;
    std::vector<NodeId> registers_;
    std::vector<std::vector<NodeId>> read_;  ///< from the memories
    std::vector<NodeId> control_;            ///< outputs of the control function
    std::vector<NodeId> offers_;             ///< ready of each input, then valid of each output
    NodeId fire_ = 0;                        ///< an iteration happens in this cycle
    NodeId first_ = 0;                       ///< it is the first of its frame
    std::vector<NodeId> next_counters_;
    std::size_t next_result_ = 0;
};

}  // namespace

Machine handshaked(const Process& process) {
    return Handshake(process).run();
}

}  // namespace gatewright::design
