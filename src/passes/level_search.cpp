#include "passes/level_search.h"

#include <algorithm>
#include <deque>
#include <limits>

namespace gatewright::passes {

using bits::NodeId;

namespace {

/// Values that may be looked at for all places of one order, and places.
constexpr std::int64_t most_work = 50'000'000;
constexpr std::int64_t most_places = 1000;
constexpr std::int64_t fewest_places = 20;

/// Places times levels; of more nothing is looked for.
constexpr std::int64_t most_states = 10'000'000;

constexpr std::int64_t unreachable = std::numeric_limits<std::int64_t>::max() / 2;

}  // namespace

LevelSearch::LevelSearch(const TimingGraph& graph) : graph_(graph), arrival_(graph.size()) {}

/// When each value is there without registers, picoseconds.
LevelSearch::Order LevelSearch::by_arrival() const {
    const std::vector<std::int32_t> together(graph_.size(), 0);
    std::vector<Arrival> arrival(graph_.size());
    Order order(graph_.size(), 0);
    for (NodeId id = 0; id < graph_.size(); ++id) {
        if (graph_.is_placed(id)) {
            arrival[id] = graph_.evaluate(id, 0, together, arrival);
            order[id] = arrival[id].late;
        }
    }
    return order;
}

/// How long before the end each value must be there, counted from the start.
LevelSearch::Order LevelSearch::by_rest() const {
    std::vector<Arrival> rest(graph_.size());
    int longest = 0;
    for (NodeId id = static_cast<NodeId>(graph_.size()); id-- > 0;) {
        if (!graph_.is_placed(id)) {
            continue;
        }
        for (const TimingGraph::Operand& operand : graph_.operands(id)) {
            const Arrival need = graph_.delay(id, operand, true).before(rest[id]);
            Arrival& of = rest[operand.source];
            of = {std::max(of.early, need.early), std::max(of.late, need.late)};
            longest = std::max(longest, of.late);
        }
    }
    Order order(graph_.size(), 0);
    for (NodeId id = 0; id < graph_.size(); ++id) {
        if (graph_.is_placed(id)) {
            order[id] = std::max(1, longest + 1 - rest[id].late);
        }
    }
    return order;
}

/// [time] bits that a level behind all values of this time and less would hold.
std::vector<std::int64_t> LevelSearch::crossing_bits(const Order& order, int last) const {
    std::vector<std::int64_t> bits(static_cast<std::size_t>(last) + 1, 0);
    for (NodeId id = 0; id < graph_.size(); ++id) {
        int until = graph_.is_output(id) ? last : order[id];
        for (const NodeId user : graph_.users(id)) {
            until = std::max(until, order[user]);
        }
        bits[static_cast<std::size_t>(order[id])] += graph_.width(id);
        bits[static_cast<std::size_t>(until)] -= graph_.width(id);
    }
    for (std::size_t t = 1; t < bits.size(); ++t) {
        bits[t] += bits[t - 1];
    }
    return bits;
}

/// Times for levels: the cheapest of each of some pieces of equal length, and the last.
std::vector<int> LevelSearch::places(const std::vector<std::int64_t>& bits) const {
    const auto last = static_cast<std::int64_t>(bits.size()) - 1;
    const std::int64_t count = std::clamp(most_work / static_cast<std::int64_t>(graph_.size() + 1),
                                          fewest_places, most_places);
    std::vector<int> out;
    for (std::int64_t piece = 0; piece < count; ++piece) {
        const auto first = bits.begin() + last * piece / count;
        const auto end = bits.begin() + last * (piece + 1) / count;
        if (first != end) {
            out.push_back(static_cast<int>(std::min_element(first, end) - bits.begin()));
        }
    }
    out.push_back(static_cast<int>(last));
    return out;
}

/// The time of the first value that a stage behind `place` has no time for.
int LevelSearch::reach(const Order& order, const std::vector<NodeId>& sorted, int place,
                       int period) {
    const auto first = std::upper_bound(sorted.begin(), sorted.end(), place,
                                        [&](int time, NodeId id) { return time < order[id]; });
    for (auto it = first; it != sorted.end(); ++it) {
        Arrival out{0, 0};
        for (const TimingGraph::Operand& operand : graph_.operands(*it)) {
            const bool together = order[operand.source] > place;
            const Arrival in =
                together ? arrival_[operand.source] : graph_.registered(operand.source);
            const Arrival via = graph_.delay(*it, operand, together).after(in);
            out = {std::max(out.early, via.early), std::max(out.late, via.late)};
        }
        out.late = std::max(out.late, out.early);
        if (out.late > period) {
            return order[*it];
        }
        arrival_[*it] = out;
    }
    return std::numeric_limits<int>::max();
}

std::optional<std::vector<std::int32_t>> LevelSearch::best(const Order& order, int period,
                                                           std::int32_t stages) {
    std::vector<NodeId> sorted;
    for (NodeId id = 0; id < graph_.size(); ++id) {
        if (graph_.is_placed(id)) {
            sorted.push_back(id);
        }
    }
    std::ranges::stable_sort(sorted, {}, [&](NodeId id) { return order[id]; });
    if (sorted.empty()) {
        return std::nullopt;
    }
    const std::vector<std::int64_t> bits = crossing_bits(order, order[sorted.back()]);
    const std::vector<int> at = places(bits);
    const std::size_t count = at.size();
    if (static_cast<std::int64_t>(count) * stages > most_states) {
        return std::nullopt;
    }
    // reaches[i]: the first time that a stage behind place i does not hold; never less than that of
    // an earlier place, so that the places before each are a window that only moves on.
    std::vector<int> reaches(count);
    int least = std::numeric_limits<int>::max();
    for (std::size_t i = count; i-- > 0;) {
        least = std::min(least, reach(order, sorted, at[i], period));
        reaches[i] = least;
    }
    const int from_start = reach(order, sorted, 0, period);
    const auto bits_at = [&](std::size_t j, std::int32_t level) {
        return level == stages ? 0 : bits[static_cast<std::size_t>(at[j])];  // the end has none
    };
    // cost[j]: of the levels so far, the last of them at place j.
    std::vector<std::int64_t> cost(count, unreachable);
    for (std::size_t j = 0; j < count && at[j] < from_start; ++j) {
        cost[j] = bits_at(j, 1);
    }
    std::vector<std::vector<std::uint16_t>> before;
    for (std::int32_t level = 2; level <= stages; ++level) {
        std::vector<std::uint16_t>& from = before.emplace_back(count, 0);
        std::vector<std::int64_t> next(count, unreachable);
        std::deque<std::size_t> window;  // places with ever higher costs
        for (std::size_t j = 0; j < count; ++j) {
            while (!window.empty() && cost[window.back()] >= cost[j]) {
                window.pop_back();
            }
            window.push_back(j);
            while (!window.empty() && reaches[window.front()] <= at[j]) {
                window.pop_front();
            }
            if (!window.empty() && cost[window.front()] < unreachable) {
                next[j] = cost[window.front()] + bits_at(j, level);
                from[j] = static_cast<std::uint16_t>(window.front());
            }
        }
        cost = std::move(next);
    }
    if (cost.back() >= unreachable) {
        return std::nullopt;
    }
    std::vector<int> levels(static_cast<std::size_t>(stages) - 1);
    std::size_t j = count - 1;
    for (std::size_t k = levels.size(); k-- > 0;) {
        j = before[k][j];
        levels[k] = at[j];
    }
    std::vector<std::int32_t> stage(graph_.size(), 0);
    for (const NodeId id : sorted) {
        stage[id] =
            static_cast<std::int32_t>(std::ranges::lower_bound(levels, order[id]) - levels.begin());
    }
    return stage;
}

std::vector<std::vector<std::int32_t>> LevelSearch::find(int period, std::int32_t stages) {
    const Order early = by_arrival();
    const Order late = by_rest();
    Order between = early;
    for (std::size_t id = 0; id < between.size(); ++id) {
        between[id] = (early[id] + late[id] + 1) / 2;
    }
    std::vector<std::vector<std::int32_t>> out;
    for (const Order& order : {early, between, late}) {
        if (auto stage = best(order, period, stages)) {
            out.push_back(std::move(*stage));
        }
    }
    return out;
}

}  // namespace gatewright::passes
