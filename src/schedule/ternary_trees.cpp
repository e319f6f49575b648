#include "schedule/ternary_trees.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>

namespace gatewright::schedule {

namespace {

using linear::AdderGraph;
using linear::Addition;
using linear::Output;

/// Times of chains of two and three operands: one table and net more beside a chain's own.
constexpr int time_of_two = 7;
constexpr int time_of_three = 10;

/// Of trees of more terms, not all threes are looked at, but those of neighbours.
constexpr std::size_t most_terms = 10;

/// A term of a sum: (+-)(value << shift).
struct Term {
    std::int32_t value = 0;
    int shift = 0;
    bool negate = false;
};

/// How a sum's terms are added up: by threes, but in one step by two if their number is even.
struct Plan {
    int two_at = -1;
    int time = 0;

    int size(int step) const { return step == two_at ? 2 : 3; }
};

/// Terms as they are added up.
struct Part {
    Term term;
    int time = 0;
    Interval range;  ///< of the term, or wider
};

Interval shifted(const Interval& range, int shift, bool negate) {
    const Int128 factor = (static_cast<Int128>(1) << shift) * (negate ? -1 : 1);
    const Int128 a = range.low * factor;
    const Int128 b = range.high * factor;
    return {std::min(a, b), std::max(a, b)};
}

class Trees {
  public:
    Trees(const AdderGraph& graph, const std::vector<Interval>& ranges)
        : graph_(graph), ranges_(linear::ranges_of(graph, ranges)) {
        out_.n_in = graph.n_in;
        const std::size_t values = ranges_.size();
        std::vector<int> uses(values, 0);
        for (const Addition& addition : graph.additions) {
            ++uses[index(addition.a)];
            ++uses[index(addition.b)];
        }
        for (const Output& output : graph.outputs) {
            if (output.value >= 0) {
                uses[index(output.value)] += 2;  // what an output shows is a sum of its own
            }
        }
        for (std::size_t i = 0; i < values; ++i) {
            is_inner_.push_back(i >= index(graph.n_in) && uses[i] == 1 ? 1 : 0);
        }
        made_.resize(values);
        for (std::int32_t i = 0; i < graph.n_in; ++i) {
            made_[index(i)] = {i, 0, false};
        }
        time_.assign(index(graph.n_in), 0);
    }

    AdderGraph run() {
        for (std::size_t i = index(graph_.n_in); i < ranges_.size(); ++i) {
            if (is_inner_[i] == 0) {
                made_[i] = build(i);
            }
        }
        for (Output output : graph_.outputs) {
            if (output.value >= 0) {
                const Term& term = made_[index(output.value)];
                output.value = term.value;
                output.shift = static_cast<std::uint8_t>(output.shift + term.shift);
                output.negate = output.negate != term.negate;
            }
            out_.outputs.push_back(output);
        }
        return std::move(out_);
    }

  private:
    template <class T>
    static std::size_t index(T value) {
        return static_cast<std::size_t>(value);
    }

    /// The fastest way.
    static Plan choose(const std::vector<int>& times) {
        const int additions = static_cast<int>(times.size()) - 1;
        if (additions % 2 == 0) {
            return {-1, finish(times, 0, {})};
        }
        Plan best{-1, std::numeric_limits<int>::max()};
        // Late is best, as constants that are added to the sum find room there.
        for (int step = additions / 2; step >= 0; --step) {
            const int time = finish(times, 0, {step, 0});
            if (time < best.time) {
                best = {step, time};
            }
        }
        return best;
    }

    /// The terms of a sum, those beneath inner sums among them, from left to right.
    void collect(std::size_t value, const Term& as, std::vector<Part>& parts) {
        std::vector<std::pair<std::size_t, Term>> open{{value, as}};
        bool is_root = true;
        while (!open.empty()) {
            const auto [id, term] = open.back();
            open.pop_back();
            if (!is_root && is_inner_[id] == 0) {
                const Term& made = made_[id];
                const Interval range = shifted(ranges_[id], term.shift, term.negate);
                parts.push_back({{made.value, made.shift + term.shift, made.negate != term.negate},
                                 time_[index(made.value)],
                                 range});
                continue;
            }
            is_root = false;
            const Addition& a = graph_.additions[id - index(graph_.n_in)];
            open.push_back({index(a.b), {0, term.shift + a.shift_b, term.negate != a.negate_b}});
            open.push_back({index(a.a), {0, term.shift + a.shift_a, term.negate != a.negate_a}});
        }
    }

    Term build(std::size_t value) {
        std::vector<Part> parts;
        collect(value, {}, parts);
        const Plan plan = choose(times_of(parts, {}));
        for (int step = 0; parts.size() > 1; ++step) {
            join(parts, step, plan);
        }
        return parts.front().term;
    }

    /// Times of the parts, those of a group as one.
    static std::vector<int> times_of(const std::vector<Part>& parts,
                                     std::span<const std::size_t> group) {
        std::vector<int> times;
        int latest = 0;
        for (std::size_t i = 0; i < parts.size(); ++i) {
            if (std::ranges::find(group, i) == group.end()) {
                times.push_back(parts[i].time);
            } else {
                latest = std::max(latest, parts[i].time);
            }
        }
        if (!group.empty()) {
            times.push_back(latest + (group.size() == 2 ? time_of_two : time_of_three));
        }
        return times;
    }

    /// When all are added up, if the earliest ones always go first.
    static int finish(std::vector<int> times, int step, const Plan& plan) {
        std::ranges::sort(times);
        std::size_t first = 0;
        for (; times.size() - first > 1; ++step) {
            const std::size_t count =
                std::min<std::size_t>(index(plan.size(step)), times.size() - first);
            const int done = times[first + count - 1] + (count == 2 ? time_of_two : time_of_three);
            first += count;
            const auto at = std::upper_bound(times.begin() + static_cast<std::ptrdiff_t>(first),
                                             times.end(), done);
            // One place is free in front of those that are left.
            std::move(times.begin() + static_cast<std::ptrdiff_t>(first), at,
                      times.begin() + static_cast<std::ptrdiff_t>(first) - 1);
            *(at - 1) = done;
            --first;
        }
        return times[first];
    }

    /// Bits of the chain that adds a group.
    static int length(const std::vector<Part>& parts, std::span<const std::size_t> group) {
        Interval range{0, 0};
        int first = std::numeric_limits<int>::max();
        int second = first;
        for (const std::size_t i : group) {
            range = {range.low + parts[i].range.low, range.high + parts[i].range.high};
            second = std::min(second, std::max(first, parts[i].term.shift));
            first = std::min(first, parts[i].term.shift);
        }
        return width_for(range) - second;
    }

    /// Adds up the group of the shortest chain that leaves enough time for the rest.
    void join(std::vector<Part>& parts, int step, const Plan& plan) {
        struct Choice {
            int length = 0;
            std::array<std::size_t, 3> group{};
        };
        const std::size_t size = std::min(index(plan.size(step)), parts.size());
        std::vector<Choice> choices;
        const auto offer = [&](std::size_t a, std::size_t b, std::size_t c) {
            Choice choice{0, {a, b, c}};
            choice.length = length(parts, std::span(choice.group).first(size));
            choices.push_back(choice);
        };
        const std::size_t n = parts.size();
        const std::size_t reach = n <= most_terms ? n : 3;
        for (std::size_t a = 0; a < n; ++a) {
            for (std::size_t b = a + 1; b < std::min(n, a + reach); ++b) {
                if (size == 2) {
                    offer(a, b, b);
                }
                for (std::size_t c = b + 1; size == 3 && c < std::min(n, a + reach); ++c) {
                    offer(a, b, c);
                }
            }
        }
        std::vector<std::size_t> earliest(n);
        for (std::size_t i = 0; i < n; ++i) {
            earliest[i] = i;
        }
        std::ranges::stable_sort(earliest, {}, [&](std::size_t i) { return parts[i].time; });
        std::ranges::sort(earliest.begin(), earliest.begin() + static_cast<std::ptrdiff_t>(size));
        Choice chosen{0, {earliest[0], earliest[1], earliest[size - 1]}};
        std::ranges::stable_sort(choices, {}, &Choice::length);
        for (const Choice& choice : choices) {
            const auto group = std::span(choice.group).first(size);
            if (finish(times_of(parts, group), step + 1, plan) <= plan.time) {
                chosen = choice;
                break;
            }
        }
        const auto [a, b, c] = chosen.group;
        if (size == 2) {
            parts[a] = add(parts[a], parts[b], time_of_two);
        } else {
            // The shortest of the three first, which costs least where it is not merged.
            std::array<std::array<std::size_t, 3>, 3> orders{{{a, b, c}, {a, c, b}, {b, c, a}}};
            const auto first = std::ranges::min_element(orders, {}, [&](const auto& order) {
                return length(parts, std::span(order).first(2));
            });
            const Part inner = add(parts[(*first)[0]], parts[(*first)[1]], 0);
            parts[a] = add(inner, parts[(*first)[2]], time_of_three);
            parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(c));
        }
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(b));
    }

    Part add(const Part& a, const Part& b, int time) {
        const int shift = std::min(a.term.shift, b.term.shift);
        Addition addition;
        addition.a = a.term.value;
        addition.b = b.term.value;
        addition.shift_a = static_cast<std::uint8_t>(a.term.shift - shift);
        addition.shift_b = static_cast<std::uint8_t>(b.term.shift - shift);
        const bool differ = a.term.negate != b.term.negate;
        addition.negate_a = differ && a.term.negate;
        addition.negate_b = differ && b.term.negate;
        const auto made = static_cast<std::int32_t>(index(out_.n_in) + out_.additions.size());
        out_.additions.push_back(addition);
        const int done = std::max(a.time, b.time) + time;
        time_.push_back(done);
        return {{made, shift, !differ && a.term.negate},
                done,
                {a.range.low + b.range.low, a.range.high + b.range.high}};
    }

    const AdderGraph& graph_;
    std::vector<Interval> ranges_;
    std::vector<char> is_inner_;  ///< sums that one sum alone reads
    std::vector<Term> made_;      ///< of the other values, what they are in the new graph
    AdderGraph out_;
    std::vector<int> time_;  ///< of the new graph's values
};

}  // namespace

AdderGraph ternary_trees(const AdderGraph& graph, const std::vector<Interval>& ranges) {
    return Trees(graph, ranges).run();
}

}  // namespace gatewright::schedule
