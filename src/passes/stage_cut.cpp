#include "passes/stage_cut.h"

#include <algorithm>

namespace gatewright::passes {

using bits::NodeId;

namespace {

constexpr std::uint32_t before = 0;
constexpr std::uint32_t behind = 1;
constexpr std::int32_t unlimited = 1 << 30;

}  // namespace

std::int64_t StageCut::move(std::vector<std::int32_t>& stage, std::int32_t k, std::int32_t stages,
                            const std::vector<NodeId>& members) {
    work_ = 0;
    members_ = &members;
    arrival_.resize(graph_.size());
    left_.resize(graph_.size());
    side_.resize(graph_.size());
    vertex_.resize(graph_.size());
    find_sides(stage, k);
    build(stage, k, stages);
    if (vertices_ > 2) {
        index_edges();
        while (find_levels()) {
            push_flow();
        }
        // What the last search has reached lies before the level: as little as possible, which
        // leaves the most time to what moves next.
        for (const NodeId id : members) {
            if (side_[id] == Side::free) {
                stage[id] = level_[vertex_[id]] >= 0 ? k : k + 1;
            }
        }
    }
    return work_;
}

/// Times of all members as if all were in the first stage, and as if all were in the second.
void StageCut::find_sides(const std::vector<std::int32_t>& stage, std::int32_t k) {
    const auto is_member = [&](NodeId id) {
        return graph_.is_placed(id) && (stage[id] == k || stage[id] == k + 1);
    };
    for (const NodeId id : *members_) {
        Arrival out{0, 0};
        for (const TimingGraph::Operand& operand : graph_.operands(id)) {
            const bool inside = is_member(operand.source);
            const Arrival in =
                inside ? arrival_[operand.source] : graph_.registered(operand.source);
            const Arrival via = graph_.delay(id, operand, inside).after(in);
            out.early = std::max(out.early, via.early);
            out.late = std::max(out.late, via.late);
            ++work_;
        }
        out.late = std::max(out.late, out.early);
        arrival_[id] = out;
        left_[id] = {0, 0};
        side_[id] = out.late > period_ ? Side::second : Side::free;
    }
    for (auto it = members_->rbegin(); it != members_->rend(); ++it) {
        const NodeId id = *it;
        const Arrival out = left_[id];
        int alone = 0;  // with all operands in registers
        for (const TimingGraph::Operand& operand : graph_.operands(id)) {
            const Arrival cut = graph_.registered(operand.source);
            const Arrival need = graph_.delay(id, operand, false).before(out);
            alone = std::max({alone, cut.early + need.early, cut.late + need.late});
            if (is_member(operand.source)) {
                const Arrival through = graph_.delay(id, operand, true).before(out);
                Arrival& left = left_[operand.source];
                left.early = std::max(left.early, through.early);
                left.late = std::max(left.late, through.late);
            }
        }
        if (alone > period_ && side_[id] == Side::free) {
            side_[id] = Side::first;
        }
        // A value that has time in neither stage alone cannot be; it stays where it is.
        if (side_[id] == Side::second && stage[id] == k) {
            side_[id] = Side::first;
        }
        if (side_[id] == Side::first && stage[id] == k + 1) {
            side_[id] = Side::second;
        }
    }
}

std::uint32_t StageCut::vertex_of(NodeId id, const std::vector<std::int32_t>& stage,
                                  std::int32_t k) const {
    if (!graph_.is_placed(id) || stage[id] < k) {
        return before;
    }
    if (stage[id] > k + 1) {
        return behind;
    }
    switch (side_[id]) {
        case Side::first:
            return before;
        case Side::second:
            return behind;
        case Side::free:
            break;
    }
    return vertex_[id];
}

void StageCut::build(const std::vector<std::int32_t>& stage, std::int32_t k, std::int32_t stages) {
    edges_.clear();
    vertices_ = 2;
    // What is forced draws its operands or users with it.
    for (auto it = members_->rbegin(); it != members_->rend(); ++it) {
        if (side_[*it] == Side::first) {
            for (const TimingGraph::Operand& operand : graph_.operands(*it)) {
                if (graph_.is_placed(operand.source) && stage[operand.source] >= k) {
                    side_[operand.source] = Side::first;
                }
            }
        }
    }
    for (const NodeId id : *members_) {
        bool pulled = false;
        for (const TimingGraph::Operand& operand : graph_.operands(id)) {
            const NodeId o = operand.source;
            pulled = pulled || (graph_.is_placed(o) && stage[o] >= k && side_[o] == Side::second);
        }
        if (pulled) {
            side_[id] = Side::second;
        }
        if (side_[id] == Side::free) {
            vertex_[id] = vertices_++;
        }
    }
    if (vertices_ == 2) {
        return;
    }
    std::vector<NodeId> outside;
    for (const NodeId id : *members_) {
        for (const TimingGraph::Operand& operand : graph_.operands(id)) {
            const std::uint32_t from = vertex_of(operand.source, stage, k);
            if (from > behind && side_[id] == Side::free) {
                add_edge(vertex_[id], from, unlimited);
            }
            if (from == before) {
                outside.push_back(operand.source);
            }
        }
        if (side_[id] == Side::free) {
            add_net(id, vertex_[id], stage, k, stages);
        }
    }
    std::sort(outside.begin(), outside.end());
    outside.erase(std::unique(outside.begin(), outside.end()), outside.end());
    for (const NodeId id : outside) {
        add_net(id, before, stage, k, stages);
    }
}

/// A value costs its width if it is before the level and one of its users is not.
void StageCut::add_net(NodeId value, std::uint32_t from, const std::vector<std::int32_t>& stage,
                       std::int32_t k, std::int32_t stages) {
    bool crosses = graph_.is_output(value) && k + 1 < stages;
    std::int32_t until = waiting_.last_level(stages);  // if it crosses: where it is read next
    std::uint32_t users = 0;
    std::uint32_t last = behind;
    for (const NodeId user : graph_.users(value)) {
        const std::uint32_t to = vertex_of(user, stage, k);
        if (to == behind) {
            crosses = true;
            until = std::min(until, stage[user]);
        }
        if (to > behind && to != last) {
            last = to;
            ++users;
        }
        ++work_;
    }
    const std::int32_t width = graph_.width(value);
    if (crosses) {
        if (from != before) {
            add_edge(from, behind, users == 0 ? width * more_levels(until - k) : width);
        }
        return;
    }
    if (users == 0) {
        return;
    }
    if (users == 1) {
        const bool waits = from == before && graph_.users(value).size() == 1;
        const std::int32_t since = waiting_.first_level(graph_, value, stage);
        add_edge(from, last, waits ? width * more_levels(k + 1 - since) : width);
        return;
    }
    const std::uint32_t net = vertices_++;
    add_edge(from, net, width);
    for (const NodeId user : graph_.users(value)) {
        const std::uint32_t to = vertex_of(user, stage, k);
        if (to > behind) {
            add_edge(net, to, unlimited);
        }
    }
}

void StageCut::add_edge(std::uint32_t from, std::uint32_t to, std::int32_t capacity) {
    edges_.push_back({to, capacity});
    edges_.push_back({from, 0});
}

void StageCut::index_edges() {
    first_.assign(vertices_ + 1, 0);
    for (std::size_t e = 0; e < edges_.size(); ++e) {
        ++first_[edges_[e ^ 1].to + 1];
    }
    for (std::uint32_t v = 0; v < vertices_; ++v) {
        first_[v + 1] += first_[v];
    }
    order_.resize(edges_.size());
    next_.assign(first_.begin(), first_.end() - 1);
    for (std::uint32_t e = 0; e < edges_.size(); ++e) {
        order_[next_[edges_[e ^ 1].to]++] = e;
    }
    work_ += static_cast<std::int64_t>(edges_.size());
}

/// Distances from the source over edges with room; false where the sink is not reached.
bool StageCut::find_levels() {
    level_.assign(vertices_, -1);
    std::vector<std::uint32_t> queue{before};
    level_[before] = 0;
    for (std::size_t i = 0; i < queue.size(); ++i) {
        const std::uint32_t v = queue[i];
        for (std::uint32_t j = first_[v]; j < first_[v + 1]; ++j) {
            const Edge& edge = edges_[order_[j]];
            ++work_;
            if (edge.capacity > 0 && level_[edge.to] < 0) {
                level_[edge.to] = level_[v] + 1;
                queue.push_back(edge.to);
            }
        }
    }
    return level_[behind] >= 0;
}

/// Fills shortest ways until none is left (Dinic), without recursion.
void StageCut::push_flow() {
    next_.assign(first_.begin(), first_.end() - 1);
    std::vector<std::uint32_t> way;  // edges
    std::uint32_t v = before;
    while (true) {
        if (v == behind) {
            std::int32_t room = unlimited;
            for (const std::uint32_t e : way) {
                room = std::min(room, edges_[e].capacity);
            }
            std::size_t keep = way.size();
            for (std::size_t i = way.size(); i-- > 0;) {
                edges_[way[i]].capacity -= room;
                edges_[way[i] ^ 1].capacity += room;
                keep = edges_[way[i]].capacity == 0 ? i : keep;
            }
            work_ += static_cast<std::int64_t>(way.size());
            v = edges_[way[keep] ^ 1].to;
            way.resize(keep);
            continue;
        }
        bool advanced = false;
        for (std::uint32_t& j = next_[v]; j < first_[v + 1]; ++j) {
            const std::uint32_t e = order_[j];
            ++work_;
            if (edges_[e].capacity > 0 && level_[edges_[e].to] == level_[v] + 1) {
                way.push_back(e);
                v = edges_[e].to;
                advanced = true;
                break;
            }
        }
        if (advanced) {
            continue;
        }
        level_[v] = -1;  // no way from here
        if (way.empty()) {
            return;
        }
        v = edges_[way.back() ^ 1].to;
        way.pop_back();
        ++next_[v];
    }
}

}  // namespace gatewright::passes
