#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "design/design.h"
#include "design/machine.h"
#include "design/rates.h"

namespace gatewright::design {

namespace {

/// Collects faults of one process, machine or design under its name.
class Faults {
  public:
    explicit Faults(std::string prefix) : prefix_(std::move(prefix)) {}

    template <class... Arguments>
    bool require(bool sound, fmt::format_string<Arguments...> message, Arguments&&... arguments) {
        if (!sound) {
            list_.push_back(prefix_ + fmt::format(message, std::forward<Arguments>(arguments)...));
        }
        return sound;
    }
    void add(const std::vector<std::string>& more) {
        for (const std::string& fault : more) {
            list_.push_back(prefix_ + fault);
        }
    }
    std::vector<std::string> take() { return std::move(list_); }
    bool empty() const { return list_.empty(); }

  private:
    std::string prefix_;
    std::vector<std::string> list_;
};

/// Name and type, in the order in which a function has its inputs or outputs.
struct Signal {
    std::string name;
    std::optional<bits::Type> type;  ///< absent: any
};
using Signals = std::vector<Signal>;

void append_lanes(Signals& signals, const std::string& name, const std::vector<Lane>& lanes) {
    for (std::size_t l = 0; l < lanes.size(); ++l) {
        signals.push_back({fmt::format("{}.{}", name, l), lanes[l].bits()});
    }
}

void compare(Faults& faults, const std::string& what, const Signals& expected,
             const Signals& found) {
    if (!faults.require(expected.size() == found.size(), "{} has {} signals instead of {}", what,
                        found.size(), expected.size())) {
        return;
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
        faults.require(expected[i].name == found[i].name, "{}: '{}' is expected in place of '{}'",
                       what, expected[i].name, found[i].name);
        if (expected[i].type) {
            faults.require(expected[i].type == found[i].type, "{}: '{}' is {} instead of {}", what,
                           found[i].name, bits::to_string(*found[i].type),
                           bits::to_string(*expected[i].type));
        }
    }
}

Signals inputs_of(const bits::Function& function) {
    Signals out;
    for (const bits::Input& input : function.inputs) {
        out.push_back({input.name, input.type});
    }
    return out;
}

Signals outputs_of(const bits::Function& function) {
    Signals out;
    for (const bits::Output& output : function.outputs) {
        out.push_back({output.name, function.nodes[output.node].type});
    }
    return out;
}

void check_lanes(Faults& faults, const std::string& name, const std::vector<Lane>& lanes) {
    for (const Lane& lane : lanes) {
        faults.require(bits::is_legal(lane.bits()) && lane.range.low <= lane.range.high &&
                           lane.type.range().contains(lane.range),
                       "{}: {} does not hold its range", name, to_string(lane.type));
    }
}

/// Addresses and conditions over one frame.
void run_control(Faults& faults, const Process& process) {
    std::vector<Int128> counters(process.loops.size(), 0);
    for (std::int64_t i = process.iterations(); i > 0 && faults.empty(); --i) {
        const std::vector<Int128> control = bits::evaluate(process.control, counters);
        std::size_t slot = process.inputs.size() + process.outputs.size();
        for (const Memory& memory : process.memories) {
            faults.require(control[slot] >= 0 && control[slot] < memory.words,
                           "memory '{}' is read at {}", memory.name, to_string(control[slot]));
            ++slot;
            if (memory.contents.empty()) {
                faults.require(control[slot] == 0 ||
                                   (control[slot + 1] >= 0 && control[slot + 1] < memory.words),
                               "memory '{}' is written at {}", memory.name,
                               to_string(control[slot + 1]));
                slot += 2;
            }
        }
        for (std::size_t l = counters.size(); l-- > 0;) {
            if (++counters[l] < process.loops[l].count) {
                break;
            }
            counters[l] = 0;
        }
    }
}

std::vector<std::string> faults_of(const Process& process) {
    Faults faults(fmt::format("process '{}': ", process.name));
    constexpr bits::Type bit{false, 1};
    Signals control_in;
    Signals control_out;
    Signals body_in;
    Signals body_out;
    for (const Loop& loop : process.loops) {
        if (!faults.require(loop.count > 1, "loop '{}' counts to {}", loop.name, loop.count)) {
            return faults.take();
        }
        const Signal counter{loop.name, bits::narrowest(loop.count - 1)};
        control_in.push_back(counter);
        body_in.push_back(counter);
    }
    for (const auto* ports : {&process.inputs, &process.outputs}) {
        for (const Port& port : *ports) {
            check_lanes(faults, port.name, port.lanes);
            control_out.push_back({port.name + ".when", bit});
            append_lanes(ports == &process.inputs ? body_in : body_out, port.name, port.lanes);
        }
    }
    for (const Register& state : process.registers) {
        check_lanes(faults, state.name, {state.lane});
        faults.require(state.lane.range.contains(state.initial),
                       "register '{}' starts outside its range", state.name);
        body_in.push_back({state.name, state.lane.bits()});
        body_out.push_back({state.name, state.lane.bits()});
    }
    for (const Memory& memory : process.memories) {
        check_lanes(faults, memory.name, memory.lanes);
        append_lanes(body_in, memory.name, memory.lanes);
        control_out.push_back({memory.name + ".read_address", std::nullopt});
        faults.require(memory.words > 0, "memory '{}' has no words", memory.name);
        if (memory.contents.empty()) {
            control_out.push_back({memory.name + ".write_when", bit});
            control_out.push_back({memory.name + ".write_address", std::nullopt});
            append_lanes(body_out, memory.name, memory.lanes);
            continue;
        }
        bool sound = static_cast<std::int64_t>(memory.contents.size()) == memory.words;
        for (const auto& word : memory.contents) {
            sound = sound && word.size() == memory.lanes.size();
            for (std::size_t l = 0; sound && l < word.size(); ++l) {
                sound = memory.lanes[l].range.contains(word[l]);
            }
        }
        faults.require(sound, "memory '{}' has other contents than its words and lanes",
                       memory.name);
    }
    faults.add(bits::verify(process.control));
    faults.add(bits::verify(process.body));
    if (!faults.empty()) {
        return faults.take();
    }
    compare(faults, "the inputs of its control", control_in, inputs_of(process.control));
    compare(faults, "the outputs of its control", control_out, outputs_of(process.control));
    compare(faults, "the inputs of its body", body_in, inputs_of(process.body));
    compare(faults, "the outputs of its body", body_out, outputs_of(process.body));
    if (faults.empty()) {
        run_control(faults, process);
    }
    return faults.take();
}

/// What an end of a channel is connected to.
struct EndInfo {
    const std::vector<Lane>* lanes = nullptr;
    std::int64_t words = 0;
};

class Connections {
  public:
    explicit Connections(const Design& design) : design_(design), faults_("") {}

    std::vector<std::string> check() {
        for (const Process& process : design_.processes) {
            uses_.push_back(port_uses(process));
        }
        for (std::size_t c = 0; c < design_.channels.size(); ++c) {
            const Channel& channel = design_.channels[c];
            const std::string name = fmt::format("channel {}", c);
            const EndInfo from = end(channel.from, false);
            const EndInfo to = end(channel.to, true);
            if (!faults_.require(from.lanes != nullptr && to.lanes != nullptr,
                                 "{} leads to no port", name)) {
                continue;
            }
            faults_.require(*from.lanes == channel.lanes && *to.lanes == channel.lanes,
                            "{} has other lanes than its ends", name);
            faults_.require(from.words == to.words, "{} gets {} words a frame and gives {}", name,
                            from.words, to.words);
            faults_.require(channel.depth >= 0, "{} has depth {}", name, channel.depth);
            faults_.require(writers_.insert({channel.from.process, channel.from.port}).second,
                            "{} has a writer that has another reader", name);
            faults_.require(readers_.insert({channel.to.process, channel.to.port}).second,
                            "{} has a reader that has another writer", name);
        }
        std::size_t outputs = design_.inputs.size();
        std::size_t inputs = design_.outputs.size();
        for (const Process& process : design_.processes) {
            inputs += process.inputs.size();
            outputs += process.outputs.size();
        }
        faults_.require(writers_.size() == outputs && readers_.size() == inputs,
                        "{} ports have no channel",
                        outputs - writers_.size() + inputs - readers_.size());
        return faults_.take();
    }

  private:
    EndInfo end(const End& end, bool reads) const {
        const auto port = static_cast<std::size_t>(end.port);
        if (end.process < 0) {
            const auto& ports = reads ? design_.outputs : design_.inputs;
            return end.port >= 0 && port < ports.size()
                       ? EndInfo{&ports[port].lanes, ports[port].words}
                       : EndInfo{};
        }
        const auto number = static_cast<std::size_t>(end.process);
        if (number >= design_.processes.size()) {
            return {};
        }
        const Process& process = design_.processes[number];
        const auto& ports = reads ? process.inputs : process.outputs;
        if (end.port < 0 || port >= ports.size()) {
            return {};
        }
        const auto& uses = uses_[number][reads ? port : process.inputs.size() + port];
        return {&ports[port].lanes, std::count(uses.begin(), uses.end(), true)};
    }

    const Design& design_;
    Faults faults_;
    std::vector<std::vector<std::vector<bool>>> uses_;
    std::set<std::pair<int, int>> writers_, readers_;
};

void check_order(Faults& faults, const TopPort& port) {
    check_lanes(faults, port.name, port.lanes);
    const auto elements = static_cast<std::size_t>(port.words) * port.lanes.size();
    if (port.order.empty()) {
        return;
    }
    const std::set<std::int64_t> all(port.order.begin(), port.order.end());
    faults.require(
        port.order.size() == elements && all.size() == elements &&
            (elements == 0 ||
             (*all.begin() == 0 && *all.rbegin() == static_cast<std::int64_t>(elements) - 1)),
        "the order of port '{}' is no permutation of its elements", port.name);
}

}  // namespace

std::int64_t Process::iterations() const {
    std::int64_t product = 1;
    for (const Loop& loop : loops) {
        product *= loop.count;
    }
    return product;
}

std::vector<std::string> verify(const Design& design) {
    Faults faults("");
    std::set<std::string> names;
    for (const Process& process : design.processes) {
        faults.add(faults_of(process));
        faults.require(names.insert(process.name).second, "two processes are called '{}'",
                       process.name);
    }
    for (const auto* ports : {&design.inputs, &design.outputs}) {
        for (const TopPort& port : *ports) {
            check_order(faults, port);
        }
    }
    if (faults.empty()) {
        faults.add(Connections(design).check());
    }
    return faults.take();
}

std::vector<std::string> verify(const Machine& machine) {
    Faults faults(fmt::format("machine '{}': ", machine.name));
    std::vector<bits::Type> inputs;
    std::vector<std::optional<bits::Type>> outputs;
    constexpr bits::Type bit{false, 1};
    for (const Machine::Port& port : machine.inputs) {
        inputs.insert(inputs.end(), port.lanes.begin(), port.lanes.end());
    }
    for (const Machine::Port& port : machine.outputs) {
        outputs.insert(outputs.end(), port.lanes.begin(), port.lanes.end());
    }
    for (const Machine::Register& state : machine.registers) {
        inputs.push_back(state.type);
        outputs.push_back(state.type);
        faults.require(state.enable < static_cast<int>(machine.enables.size()),
                       "register '{}' has enable {} of {}", state.name, state.enable,
                       machine.enables.size());
    }
    outputs.insert(outputs.end(), machine.enables.size(), bit);
    for (const Machine::Memory& memory : machine.memories) {
        inputs.insert(inputs.end(), memory.lanes.begin(), memory.lanes.end());
        outputs.push_back(std::nullopt);
        if (memory.contents.empty()) {
            outputs.push_back(bit);
            outputs.push_back(std::nullopt);
            outputs.insert(outputs.end(), memory.lanes.begin(), memory.lanes.end());
        }
    }
    faults.add(bits::verify(machine.step));
    if (!faults.empty()) {
        return faults.take();
    }
    faults.require(machine.step.inputs.size() == inputs.size(), "its step has {} inputs, not {}",
                   machine.step.inputs.size(), inputs.size());
    for (std::size_t i = 0; i < std::min(inputs.size(), machine.step.inputs.size()); ++i) {
        faults.require(machine.step.inputs[i].type == inputs[i], "input '{}' of its step is {}",
                       machine.step.inputs[i].name, bits::to_string(machine.step.inputs[i].type));
    }
    faults.require(machine.step.outputs.size() == outputs.size(), "its step has {} outputs, not {}",
                   machine.step.outputs.size(), outputs.size());
    for (std::size_t i = 0; i < std::min(outputs.size(), machine.step.outputs.size()); ++i) {
        const bits::Type type = machine.step.nodes[machine.step.outputs[i].node].type;
        // The printers wrap to the port's width; nothing may be lost by that.
        faults.require(
            !outputs[i] || bits::holds_all(*outputs[i], type) || type.width == outputs[i]->width,
            "output '{}' of its step is {}", machine.step.outputs[i].name, bits::to_string(type));
    }
    return faults.take();
}

}  // namespace gatewright::design
