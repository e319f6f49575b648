#include "passes/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <span>

#include "base/diagnostics.h"
#include "design/pipeline.h"

namespace gatewright::passes {

using bits::Function;
using bits::Node;
using bits::NodeId;
using bits::Op;
using design::Pipeline;

namespace {

/// When the bits of a value are there, in picoseconds after the clock: the lowest, and all. The
/// difference matters because a chain of carry chains costs its carries once.
struct Arrival {
    int early = 0;
    int late = 0;
};

constexpr int max_leaves = 6;

/// What is known of one node in its stage.
struct Timed {
    Arrival arrival;
    /// Of a bitwise operation: the values that the one lookup table per bit sees.
    std::array<NodeId, max_leaves> leaves{};
    int leaf_count = 0;  ///< 0: not a bitwise operation
};

bool is_bitwise(Op op) {
    return op == Op::bit_and || op == Op::bit_or || op == Op::bit_xor || op == Op::bit_not ||
           op == Op::mux;
}

bool is_wiring(Op op) {
    return op == Op::cast || op == Op::shl || op == Op::shr;
}

int log2_ceil(int value) {
    return value <= 1 ? 0 : bit_length(static_cast<UInt128>(value - 1));
}

/// Non-zero digits of the canonical signed form: the additions of a product with a constant.
int signed_digits(Int128 value) {
    const auto x = static_cast<UInt128>(value < 0 ? -value : value);
    const UInt128 changed = x ^ (x * 3);
    int count = 0;
    for (UInt128 rest = changed; rest != 0; rest &= rest - 1) {
        ++count;
    }
    return count;
}

class Timing {
  public:
    Timing(const Function& function, const DelayModel& model)
        : function_(function), model_(model), timed_(function.nodes.size()) {}

    std::vector<Timed>& timed() { return timed_; }

    /// The node in stage `s`, its operands where `stage` says.
    Timed evaluate(NodeId id, std::int32_t s, const std::vector<std::int32_t>& stage) const {
        const Node& node = function_.nodes[id];
        Timed result;
        if (node.op == Op::constant) {
            return result;
        }
        if (node.op == Op::input) {
            result.arrival = {model_.register_ps, model_.register_ps};
            return result;
        }
        const int operands = bits::info(node.op).operands;
        Arrival in;
        int in_bits = 0;
        for (int k = 0; k < operands; ++k) {
            const NodeId o = node.operand[k];
            if (function_.nodes[o].op == Op::constant) {
                continue;
            }
            const Arrival a = at(o, s, stage);
            in.early = std::max(in.early, a.early);
            in.late = std::max(in.late, a.late);
            in_bits += function_.nodes[o].type.width;
        }
        if (is_wiring(node.op)) {
            result = stage[node.operand[0]] == s ? timed_[node.operand[0]] : Timed{};
            result.arrival = in;
            return result;
        }
        if (is_bitwise(node.op)) {
            fuse(node, s, stage, result);
            return result;
        }
        const int table = model_.routing_ps + model_.lut_ps;
        if (in_bits <= model_.lut_inputs) {
            result.arrival = {in.late + table, in.late + table};
            return result;
        }
        result.arrival = operation(node, in, in_bits, table);
        return result;
    }

  private:
    Arrival at(NodeId id, std::int32_t s, const std::vector<std::int32_t>& stage) const {
        return stage[id] < s ? Arrival{model_.register_ps, model_.register_ps} : timed_[id].arrival;
    }

    /// One lookup table over the operands' leaves if they fit, else over the operands.
    void fuse(const Node& node, std::int32_t s, const std::vector<std::int32_t>& stage,
              Timed& result) const {
        const int limit = std::min(model_.lut_inputs, max_leaves);
        bool fits = true;
        const auto add = [&](NodeId leaf) {
            const auto end = result.leaves.begin() + result.leaf_count;
            if (std::find(result.leaves.begin(), end, leaf) != end) {
                return;
            }
            if (result.leaf_count == limit) {
                fits = false;
                return;
            }
            result.leaves[static_cast<std::size_t>(result.leaf_count++)] = leaf;
        };
        const int operands = bits::info(node.op).operands;
        for (int k = 0; k < operands && fits; ++k) {
            const NodeId o = node.operand[k];
            if (function_.nodes[o].op == Op::constant) {
                continue;
            }
            const Timed& t = timed_[o];
            if (stage[o] < s || t.leaf_count == 0) {
                add(o);
                continue;
            }
            for (int i = 0; i < t.leaf_count && fits; ++i) {
                add(t.leaves[static_cast<std::size_t>(i)]);
            }
        }
        if (!fits) {
            result.leaf_count = 0;
            for (int k = 0; k < operands; ++k) {
                if (function_.nodes[node.operand[k]].op != Op::constant &&
                    result.leaf_count < max_leaves) {
                    result.leaves[static_cast<std::size_t>(result.leaf_count++)] = node.operand[k];
                }
            }
        }
        Arrival in;
        for (int i = 0; i < result.leaf_count; ++i) {
            const Arrival a = at(result.leaves[static_cast<std::size_t>(i)], s, stage);
            in.early = std::max(in.early, a.early);
            in.late = std::max(in.late, a.late);
        }
        if (node.op == Op::mux) {
            in.early = std::max(in.early, at(node.operand[0], s, stage).late);
            in.late = std::max(in.late, in.early);
        }
        const int table = model_.routing_ps + model_.lut_ps;
        result.arrival = {in.early + table, in.late + table};
    }

    Arrival operation(const Node& node, Arrival in, int in_bits, int table) const {
        const auto carry_chain = [&](Arrival from, int width) {
            const int early = from.early + table;
            const int carries = model_.carry_ps * std::max(width - 1, 0);
            const int late = std::max(from.late + table, early + carries) + model_.carry_entry_ps;
            return Arrival{early, late};
        };
        const auto levels = [&](int count) {
            const int late = in.late + count * table;
            return Arrival{late, late};
        };
        const auto& a = function_.nodes[node.operand[0]];
        const auto& b = function_.nodes[node.operand[1]];
        switch (node.op) {
            case Op::add:
            case Op::sub:
                return carry_chain(in, node.type.width);
            case Op::less: {
                const int late = carry_chain(in, std::max(a.type.width, b.type.width)).late;
                return {late, late};
            }
            case Op::equal: {
                int count = 1;
                for (int bits = in_bits; bits > model_.lut_inputs; ++count) {
                    bits = (bits + model_.lut_inputs - 1) / model_.lut_inputs;
                }
                return levels(count);
            }
            case Op::mul: {
                int terms = std::min(a.type.width, b.type.width);
                for (const Node* constant : {&a, &b}) {
                    if (constant->op == Op::constant) {
                        terms = signed_digits(function_.constant(*constant));
                    }
                }
                Arrival out = in;
                for (int level = log2_ceil(terms); level > 0; --level) {
                    out = carry_chain(out, node.type.width);
                }
                if (model_.multiplier_ps != 0 && a.op != Op::constant && b.op != Op::constant) {
                    const int hard = in.late + model_.multiplier_ps;
                    out = out.late <= hard ? out : Arrival{hard, hard};
                }
                return out;
            }
            case Op::read:
                return levels(1 + (a.type.width - model_.lut_inputs + 1) / 2);
            default:
                return levels(1);
        }
    }

    const Function& function_;
    const DelayModel& model_;
    std::vector<Timed> timed_;
};

/// Stages of all nodes, each as early as `period` (picoseconds) allows. `slowest` is the time of
/// the slowest node that stands alone in a stage: no period below it can be met.
struct Placement {
    std::vector<std::int32_t> stage;
    std::int32_t stages = 1;
    int slowest = 0;
    int critical = 0;
};

class Placer {
  public:
    Placer(const Function& function, const DelayModel& model)
        : function_(function), timing_(function, model) {}

    Placement as_early_as(int period) {
        Placement p;
        p.stage.assign(function_.nodes.size(), 0);
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            const Node& node = function_.nodes[id];
            std::int32_t s = 0;
            for (int k = 0; k < bits::info(node.op).operands; ++k) {
                s = std::max(s, p.stage[node.operand[k]]);
            }
            Timed timed = timing_.evaluate(id, s, p.stage);
            if (timed.arrival.late > period) {
                const Timed fresh = timing_.evaluate(id, s + 1, p.stage);
                if (fresh.arrival.late < timed.arrival.late) {
                    timed = fresh;
                    ++s;
                }
                p.slowest = std::max(p.slowest, timed.arrival.late);
            }
            p.stage[id] = s;
            p.stages = std::max(p.stages, s + 1);
            p.critical = std::max(p.critical, timed.arrival.late);
            timing_.timed()[id] = timed;
        }
        return p;
    }

    /// Moves nodes to later stages where fewer bits cross; call right after as_early_as.
    void save_registers(Placement& p, int period) {
        list_users();
        std::vector<std::int32_t> use = design::last_uses(function_, p.stage, p.stages - 1);
        for (NodeId id = static_cast<NodeId>(function_.nodes.size()); id-- > 0;) {
            const Node& node = function_.nodes[id];
            if (node.op == Op::input || node.op == Op::constant ||
                design::is_transparent(function_, id)) {
                continue;
            }
            while (p.stage[id] < first_use(id, p) && saves(id, p, use) &&
                   move_later(id, p, period)) {
                for (int k = 0; k < bits::info(node.op).operands; ++k) {
                    const NodeId o = design::register_source(function_, node.operand[k]);
                    if (function_.nodes[o].op != Op::constant) {
                        use[o] = std::max(use[o], p.stage[id]);
                    }
                }
            }
        }
    }

    /// Longest path with the stages as they are.
    int critical(const std::vector<std::int32_t>& stage) {
        int worst = 0;
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            timing_.timed()[id] = timing_.evaluate(id, stage[id], stage);
            worst = std::max(worst, timing_.timed()[id].arrival.late);
        }
        return worst;
    }

  private:
    void list_users() {
        const std::size_t n = function_.nodes.size();
        first_user_.assign(n + 1, 0);
        const auto each = [&](auto&& visit) {
            for (NodeId id = 0; id < n; ++id) {
                const Node& node = function_.nodes[id];
                for (int k = 0; k < bits::info(node.op).operands; ++k) {
                    visit(node.operand[k], id);
                }
            }
        };
        each([&](NodeId operand, NodeId) { ++first_user_[operand + 1]; });
        for (std::size_t i = 0; i < n; ++i) {
            first_user_[i + 1] += first_user_[i];
        }
        users_.resize(first_user_[n]);
        std::vector<std::size_t> next(first_user_.begin(), first_user_.end() - 1);
        each([&](NodeId operand, NodeId user) { users_[next[operand]++] = user; });
    }

    std::span<const NodeId> users(NodeId id) const {
        return {users_.data() + first_user_[id], first_user_[id + 1] - first_user_[id]};
    }

    /// First stage that uses the node, through transparent nodes.
    std::int32_t first_use(NodeId id, const Placement& p) const {
        std::int32_t first = p.stages - 1;
        for (const NodeId user : users(id)) {
            first = std::min(first, design::is_transparent(function_, user) ? first_use(user, p)
                                                                            : p.stage[user]);
        }
        return first;
    }

    bool saves(NodeId id, const Placement& p, const std::vector<std::int32_t>& use) const {
        const Node& node = function_.nodes[id];
        int cost = 0;
        std::array<NodeId, 3> seen{};
        int seen_count = 0;
        for (int k = 0; k < bits::info(node.op).operands; ++k) {
            const NodeId o = design::register_source(function_, node.operand[k]);
            const auto end = seen.begin() + seen_count;
            if (function_.nodes[o].op == Op::constant || use[o] > p.stage[id] ||
                std::find(seen.begin(), end, o) != end) {
                continue;
            }
            seen[static_cast<std::size_t>(seen_count++)] = o;
            cost += function_.nodes[o].type.width;
        }
        return cost < node.type.width;
    }

    /// Puts the node one stage later, with the transparent nodes on it that nothing in its old
    /// stage needs, if the new stage still meets the period.
    bool move_later(NodeId id, Placement& p, int period) {
        const std::int32_t s = p.stage[id] + 1;
        struct Old {
            NodeId id;
            std::int32_t stage;
            Timed timed;
        };
        std::vector<Old> old;
        std::set<NodeId> pending{id};
        const auto is_moved = [&](NodeId n) {
            return n == id || (design::is_transparent(function_, n) && p.stage[n] < s);
        };
        bool met = true;
        while (met && !pending.empty()) {
            const NodeId n = *pending.begin();
            pending.erase(pending.begin());
            const bool moved = is_moved(n);
            if (!moved && p.stage[n] != s) {
                continue;
            }
            old.push_back({n, p.stage[n], timing_.timed()[n]});
            p.stage[n] = s;
            timing_.timed()[n] = timing_.evaluate(n, s, p.stage);
            met = timing_.timed()[n].arrival.late <= period && old.size() < 256;
            for (const NodeId user : users(n)) {
                pending.insert(user);
            }
        }
        if (!met) {
            for (auto it = old.rbegin(); it != old.rend(); ++it) {
                p.stage[it->id] = it->stage;
                timing_.timed()[it->id] = it->timed;
            }
        }
        return met;
    }

    const Function& function_;
    Timing timing_;
    std::vector<std::size_t> first_user_;
    std::vector<NodeId> users_;
};

int picoseconds(double ns) {
    return static_cast<int>(std::floor(ns * 1000 + 0.5));
}

[[noreturn]] void unreachable(const Function& function, double asked, int best,
                              std::optional<int> stages) {
    const std::string period = fmt::format("{:.3f} ns", best / 1000.0);
    throw Failure(
        Code::clock_unreachable, Location{},
        stages ? fmt::format("a clock period of {} ns cannot be met by '{}' in {} stages; the best "
                             "reachable is {}",
                             asked, function.name, *stages, period)
               : fmt::format("a clock period of {} ns cannot be met by '{}': its slowest single "
                             "operation needs {}",
                             asked, function.name, period),
        stages ? "Allow more stages, or a longer period" : "Ask for this period or a longer one");
}

}  // namespace

double critical_path_ns(const Function& function, const DelayModel& model,
                        const Pipeline& pipeline) {
    return Placer(function, model).critical(pipeline.stage) / 1000.0;
}

Pipeline pipeline(const Function& function, const DelayModel& model,
                  const PipelineOptions& options) {
    constexpr int any_period = 1 << 30;
    Placer placer(function, model);
    Placement placement = placer.as_early_as(any_period);
    int period = std::max(placement.critical, 1);
    if (options.stages && *options.stages > 1) {
        int low = 0;  // too short; `period` is long enough
        while (period - low > 1) {
            const int middle = low + (period - low) / 2;
            const Placement tried = placer.as_early_as(middle);
            (tried.stages <= *options.stages && tried.slowest <= middle ? period : low) = middle;
        }
    }
    if (options.clock_period_ns) {
        const int asked = picoseconds(*options.clock_period_ns);
        if (options.stages && period > asked) {
            unreachable(function, *options.clock_period_ns, period, options.stages);
        }
        period = options.stages ? period : std::max(asked, 1);
    }
    placement = placer.as_early_as(period);
    if (placement.slowest > period) {
        unreachable(function, *options.clock_period_ns, placer.as_early_as(0).slowest,
                    std::nullopt);
    }
    if (options.stages) {
        placement.stages = std::max(placement.stages, *options.stages);
    }
    placer.save_registers(placement, period);
    Pipeline result;
    result.stage = std::move(placement.stage);
    result.stages = placement.stages;
    result.register_inputs = options.register_inputs;
    result.register_outputs = options.register_outputs;
    result.critical_path_ns = placer.critical(result.stage) / 1000.0;
    return result;
}

}  // namespace gatewright::passes
