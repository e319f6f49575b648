#include "emulate/design_emulator.h"

#include <fmt/format.h>

#include <deque>
#include <optional>
#include <stdexcept>

namespace gatewright::emulate {

namespace {

using Word = std::vector<Int128>;
using design::End;

[[noreturn]] void fail(const std::string& message) {
    throw std::logic_error("design emulator: " + message);
}

/// One way to fill what has no value.
class Filling {
  public:
    explicit Filling(std::uint64_t seed) : state_(seed) {}

    Word word(const std::vector<design::Lane>& lanes) {
        Word out;
        for (const design::Lane& lane : lanes) {
            state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
            const auto bits = static_cast<UInt128>(state_ ^ (state_ >> 29));
            out.push_back(bits::wrap(static_cast<Int128>(bits << 64 | bits), lane.bits()));
        }
        return out;
    }

  private:
    std::uint64_t state_;
};

class ProcessRun {
  public:
    ProcessRun(const design::Process& process, int number, const design::Design& design)
        : process_(process), counters_(process.loops.size(), 0) {
        for (std::size_t c = 0; c < design.channels.size(); ++c) {
            const design::Channel& channel = design.channels[c];
            const auto attach = [&](const End& end, std::vector<std::size_t>& to) {
                if (end.process == number) {
                    const auto port = static_cast<std::size_t>(end.port);
                    to.resize(std::max(to.size(), port + 1), design.channels.size());
                    to[port] = c;
                }
            };
            attach(channel.to, inputs_);
            attach(channel.from, outputs_);
        }
        if (inputs_.size() != process.inputs.size() || outputs_.size() != process.outputs.size()) {
            fail(fmt::format("process {} has ports without channels", process.name));
        }
        for (const design::Register& state : process.registers) {
            registers_.push_back(state.initial);
        }
        for (const design::Memory& memory : process.memories) {
            auto& words = memories_.emplace_back(static_cast<std::size_t>(memory.words));
            for (std::size_t w = 0; w < memory.contents.size(); ++w) {
                words.at(w) = memory.contents[w];
            }
        }
        for (const design::Loop& loop : process.loops) {
            left_ *= loop.count;
        }
    }

    bool finished() const { return left_ == 0; }

    /// One iteration if its words are there.
    bool step(std::vector<std::deque<Word>>& queues, Filling& filling) {
        if (finished()) {
            return false;
        }
        const Word control = bits::evaluate(process_.control, counters_);
        if (control.size() != control_outputs()) {
            fail(fmt::format("the control of process {} has {} outputs instead of {}",
                             process_.name, control.size(), control_outputs()));
        }
        for (std::size_t p = 0; p < inputs_.size(); ++p) {
            if (control[p] != 0 && queues[inputs_[p]].empty()) {
                return false;
            }
        }
        Word arguments = counters_;
        const auto append = [&](const Word& word) {
            arguments.insert(arguments.end(), word.begin(), word.end());
        };
        for (std::size_t p = 0; p < inputs_.size(); ++p) {
            if (control[p] == 0) {
                append(filling.word(process_.inputs[p].lanes));
                continue;
            }
            append(queues[inputs_[p]].front());
            queues[inputs_[p]].pop_front();
        }
        append(registers_);
        std::size_t slot = inputs_.size() + outputs_.size();
        for (std::size_t m = 0; m < memories_.size(); ++m) {
            const std::optional<Word>& word = at(m, control[slot]);
            append(word ? *word : filling.word(process_.memories[m].lanes));
            slot += is_rom(m) ? 1 : 3;
        }
        const Word results = bits::evaluate(process_.body, arguments);
        std::size_t next = 0;
        const auto take = [&](std::size_t count) {
            next += count;
            if (next > results.size()) {
                fail(fmt::format("the body of process {} has too few outputs", process_.name));
            }
            return Word(results.begin() + static_cast<std::ptrdiff_t>(next - count),
                        results.begin() + static_cast<std::ptrdiff_t>(next));
        };
        for (std::size_t p = 0; p < outputs_.size(); ++p) {
            Word word = take(process_.outputs[p].lanes.size());
            if (control[inputs_.size() + p] != 0) {
                check(process_.outputs[p].name, process_.outputs[p].lanes, word);
                queues[outputs_[p]].push_back(std::move(word));
            }
        }
        registers_ = take(registers_.size());
        slot = inputs_.size() + outputs_.size();
        for (std::size_t m = 0; m < memories_.size(); ++m) {
            if (is_rom(m)) {
                ++slot;
                continue;
            }
            Word word = take(process_.memories[m].lanes.size());
            if (control[slot + 1] != 0) {
                at(m, control[slot + 2]) = std::move(word);
            }
            slot += 3;
        }
        if (next != results.size()) {
            fail(fmt::format("process {} has outputs that nobody asked for", process_.name));
        }
        count();
        return true;
    }

  private:
    std::size_t control_outputs() const {
        std::size_t count = inputs_.size() + outputs_.size();
        for (std::size_t m = 0; m < memories_.size(); ++m) {
            count += is_rom(m) ? 1 : 3;
        }
        return count;
    }

    bool is_rom(std::size_t memory) const { return !process_.memories[memory].contents.empty(); }

    std::optional<Word>& at(std::size_t memory, Int128 address) {
        if (address < 0 || address >= process_.memories[memory].words) {
            fail(fmt::format("process {} addresses word {} of memory {}", process_.name,
                             to_string(address), process_.memories[memory].name));
        }
        return memories_[memory][static_cast<std::size_t>(address)];
    }

    void check(const std::string& port, const std::vector<design::Lane>& lanes,
               const Word& word) const {
        for (std::size_t l = 0; l < lanes.size(); ++l) {
            if (!lanes[l].range.contains(word[l])) {
                fail(fmt::format("process {} sends {} as {}.{}, outside its range", process_.name,
                                 to_string(word[l]), port, l));
            }
        }
    }

    void count() {
        --left_;
        for (std::size_t l = counters_.size(); l-- > 0;) {
            if (++counters_[l] < process_.loops[l].count) {
                break;
            }
            counters_[l] = 0;
        }
    }

    const design::Process& process_;
    Word counters_;
    std::vector<std::size_t> inputs_, outputs_;  ///< channels of the ports
    Word registers_;
    std::vector<std::vector<std::optional<Word>>> memories_;
    std::int64_t left_ = 1;
};

/// Element of the tensor that is lane l of word w.
std::size_t element(const design::TopPort& port, std::size_t w, std::size_t l) {
    const std::size_t at = w * port.lanes.size() + l;
    return port.order.empty() ? at : static_cast<std::size_t>(port.order[at]);
}

std::vector<Word> run_once(const design::Design& design, const std::vector<Word>& inputs,
                           Filling filling) {
    std::vector<std::deque<Word>> queues(design.channels.size());
    for (std::size_t c = 0; c < design.channels.size(); ++c) {
        if (design.channels[c].from.process < 0) {
            const auto number = static_cast<std::size_t>(design.channels[c].from.port);
            const design::TopPort& port = design.inputs[number];
            for (std::int64_t w = 0; w < port.words; ++w) {
                Word& word = queues[c].emplace_back();
                for (std::size_t l = 0; l < port.lanes.size(); ++l) {
                    word.push_back(
                        inputs.at(number).at(element(port, static_cast<std::size_t>(w), l)));
                }
            }
        }
    }
    std::vector<ProcessRun> processes;
    for (std::size_t p = 0; p < design.processes.size(); ++p) {
        processes.emplace_back(design.processes[p], static_cast<int>(p), design);
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (ProcessRun& process : processes) {
            while (process.step(queues, filling)) {
                moved = true;
            }
        }
    }
    for (std::size_t p = 0; p < processes.size(); ++p) {
        if (!processes[p].finished()) {
            fail(fmt::format("process {} waits for words that never come",
                             design.processes[p].name));
        }
    }
    std::vector<Word> outputs(design.outputs.size());
    for (std::size_t c = 0; c < design.channels.size(); ++c) {
        const End& to = design.channels[c].to;
        std::size_t words = 0;
        if (to.process < 0) {
            const design::TopPort& port = design.outputs[static_cast<std::size_t>(to.port)];
            words = static_cast<std::size_t>(port.words);
            Word& tensor = outputs[static_cast<std::size_t>(to.port)];
            tensor.resize(words * port.lanes.size());
            for (std::size_t w = 0; w < std::min(words, queues[c].size()); ++w) {
                for (std::size_t l = 0; l < port.lanes.size(); ++l) {
                    tensor[element(port, w, l)] = queues[c][w][l];
                }
            }
        }
        if (queues[c].size() != words) {
            fail(fmt::format("channel {} ends its frame with {} words instead of {}", c,
                             queues[c].size(), words));
        }
    }
    return outputs;
}

}  // namespace

std::vector<Word> DesignEmulator::run(const std::vector<Word>& inputs) const {
    std::vector<Word> outputs = run_once(design_, inputs, Filling(1));
    if (outputs != run_once(design_, inputs, Filling(0x9e3779b97f4a7c15ULL))) {
        fail("an output shows a word that was not written in its frame");
    }
    return outputs;
}

}  // namespace gatewright::emulate
