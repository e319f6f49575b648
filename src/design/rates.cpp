#include "design/rates.h"

#include <algorithm>
#include <stdexcept>

namespace gatewright::design {

namespace {

/// One process's place in its frame.
struct Place {
    std::vector<std::vector<bool>> uses;
    std::vector<int> channels;  ///< of the input ports, then of the output ports
    std::int64_t iterations = 1;
    std::int64_t at = 0;

    bool uses_now(std::size_t port) const { return uses[port][static_cast<std::size_t>(at)]; }
};

/// A channel in one cycle. `valid` and `ready` are those of its writer and its reader; with a queue
/// between, each side talks with the queue.
struct Link {
    std::int64_t words = 0;  ///< in the queue
    bool writer_valid = false;
    bool reader_ready = false;
};

class Stepper {
  public:
    Stepper(const Design& design, std::int64_t frames)
        : design_(design), frames_(frames), links_(design.channels.size()) {
        for (const Process& process : design.processes) {
            Place place{port_uses(process), {}, process.iterations(), 0};
            place.channels.assign(process.inputs.size() + process.outputs.size(), -1);
            places_.push_back(std::move(place));
        }
        for (std::size_t c = 0; c < design.channels.size(); ++c) {
            const Channel& channel = design.channels[c];
            if (channel.to.process >= 0) {
                const auto p = static_cast<std::size_t>(channel.to.process);
                places_[p].channels.at(static_cast<std::size_t>(channel.to.port)) =
                    static_cast<int>(c);
            }
            if (channel.from.process >= 0) {
                const auto p = static_cast<std::size_t>(channel.from.process);
                places_[p].channels.at(design.processes[p].inputs.size() +
                                       static_cast<std::size_t>(channel.from.port)) =
                    static_cast<int>(c);
            }
        }
        moved_.assign(design.channels.size(), 0);
        taken_.assign(design.channels.size(), 0);
        rates_.most_words.assign(design.channels.size(), 0);
    }

    Rates run() {
        std::int64_t first_in = -1;
        std::int64_t last_out = 0;
        std::int64_t done = 0;
        for (std::int64_t cycle = 0; done < frames_; ++cycle) {
            settle();
            if (!advance(cycle, first_in)) {
                throw std::logic_error("design " + design_.name + " waits for ever");
            }
            while (done < frames_ && given(done + 1)) {
                if (done == 0) {
                    rates_.latency = first_in < 0 ? 0 : cycle - first_in;
                }
                rates_.interval = done == 0 ? 0 : cycle - last_out;
                last_out = cycle;
                ++done;
            }
        }
        return rates_;
    }

  private:
    bool queued(std::size_t c) const { return design_.channels[c].depth > 0; }
    /// As the reader sees it, and as the writer does.
    bool valid(std::size_t c) const {
        return queued(c) ? links_[c].words > 0 : links_[c].writer_valid;
    }
    bool ready(std::size_t c) const {
        return queued(c) ? links_[c].words < design_.channels[c].depth : links_[c].reader_ready;
    }
    bool agreed(const Place& place, std::size_t port, std::size_t inputs) const {
        const auto c = static_cast<std::size_t>(place.channels[port]);
        return !place.uses_now(port) || (port < inputs ? valid(c) : ready(c));
    }

    /// The wires' values: the least solution of the handshakes, which are monotone.
    void settle() {
        for (std::size_t c = 0; c < links_.size(); ++c) {
            const Channel& channel = design_.channels[c];
            links_[c].writer_valid =
                channel.from.process < 0 && taken_[c] < frames_ * top_words(channel);
            links_[c].reader_ready = channel.to.process < 0;
        }
        for (bool changed = true; changed;) {
            changed = false;
            for (std::size_t p = 0; p < places_.size(); ++p) {
                const Place& place = places_[p];
                const std::size_t inputs = design_.processes[p].inputs.size();
                for (std::size_t port = 0; port < place.channels.size(); ++port) {
                    bool offer = place.uses_now(port);
                    for (std::size_t other = 0; offer && other < place.channels.size(); ++other) {
                        offer = other == port || agreed(place, other, inputs);
                    }
                    Link& link = links_[static_cast<std::size_t>(place.channels[port])];
                    bool& wire = port < inputs ? link.reader_ready : link.writer_valid;
                    changed = changed || (offer && !wire);
                    wire = wire || offer;
                }
            }
        }
    }

    /// One clock edge. False if nothing moved.
    bool advance(std::int64_t cycle, std::int64_t& first_in) {
        bool moved = false;
        std::vector<bool> fires;
        for (std::size_t p = 0; p < places_.size(); ++p) {
            bool fire = true;
            for (std::size_t port = 0; port < places_[p].channels.size(); ++port) {
                fire = fire && agreed(places_[p], port, design_.processes[p].inputs.size());
            }
            fires.push_back(fire);
        }
        for (std::size_t c = 0; c < links_.size(); ++c) {
            Link& link = links_[c];
            const bool in = link.writer_valid && ready(c);
            const bool out = valid(c) && link.reader_ready;
            moved = moved || in || out;
            if (in && design_.channels[c].from.process < 0) {
                first_in = first_in < 0 ? cycle : first_in;
                ++taken_[c];
            }
            moved_[c] += out ? 1 : 0;
            if (queued(c)) {
                link.words += (in ? 1 : 0) - (out ? 1 : 0);
                rates_.most_words[c] = std::max(rates_.most_words[c], link.words);
            }
        }
        for (std::size_t p = 0; p < places_.size(); ++p) {
            if (fires[p]) {
                places_[p].at = (places_[p].at + 1) % places_[p].iterations;
                moved = true;
            }
        }
        return moved;
    }

    std::int64_t top_words(const Channel& channel) const {
        return channel.from.process < 0
                   ? design_.inputs[static_cast<std::size_t>(channel.from.port)].words
                   : design_.outputs[static_cast<std::size_t>(channel.to.port)].words;
    }
    /// Whether all outputs have given this many frames.
    bool given(std::int64_t frames) const {
        for (std::size_t c = 0; c < links_.size(); ++c) {
            const Channel& channel = design_.channels[c];
            if (channel.to.process < 0 &&
                moved_[c] <
                    frames * design_.outputs[static_cast<std::size_t>(channel.to.port)].words) {
                return false;
            }
        }
        return true;
    }

    const Design& design_;
    std::int64_t frames_;
    std::vector<Link> links_;
    std::vector<Place> places_;
    std::vector<std::int64_t> moved_;  ///< words that reached the reader
    std::vector<std::int64_t> taken_;  ///< words that the top's writers gave
    Rates rates_;
};

}  // namespace

std::vector<std::vector<bool>> port_uses(const Process& process) {
    const std::size_t ports = process.inputs.size() + process.outputs.size();
    std::vector<std::vector<bool>> uses(ports);
    std::vector<Int128> counters(process.loops.size(), 0);
    for (std::int64_t i = process.iterations(); i > 0; --i) {
        const std::vector<Int128> control = bits::evaluate(process.control, counters);
        for (std::size_t p = 0; p < ports; ++p) {
            uses[p].push_back(control.at(p) != 0);
        }
        for (std::size_t l = counters.size(); l-- > 0;) {
            if (++counters[l] < process.loops[l].count) {
                break;
            }
            counters[l] = 0;
        }
    }
    return uses;
}

std::int64_t latency_of(const Process& process) {
    const auto uses = port_uses(process);
    const std::int64_t iterations = process.iterations();
    std::int64_t first = iterations;
    std::int64_t last = 0;
    for (std::size_t p = 0; p < uses.size(); ++p) {
        for (std::int64_t i = 0; i < iterations; ++i) {
            if (uses[p][static_cast<std::size_t>(i)]) {
                first = p < process.inputs.size() ? std::min(first, i) : first;
                last = p < process.inputs.size() ? last : std::max(last, i);
            }
        }
    }
    return first == iterations ? 0 : std::max<std::int64_t>(0, last - first);
}

Rates rates_of(const Design& design, std::int64_t frames) {
    return Stepper(design, frames).run();
}

}  // namespace gatewright::design
