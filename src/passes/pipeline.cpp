#include "passes/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/diagnostics.h"
#include "design/pipeline.h"
#include "passes/cells.h"
#include "passes/delay_lines.h"
#include "passes/level_search.h"
#include "passes/merged_sums.h"
#include "passes/stage_cut.h"
#include "passes/timing.h"

namespace gatewright::passes {

using bits::Function;
using bits::NodeId;
using bits::Op;
using design::Pipeline;

namespace {

/// Edges that saving registers may look at, about 3 ns each, and rounds over all levels.
constexpr std::int64_t most_work = 1'500'000'000;
constexpr int most_rounds = 8;

/// Over the shortest period that given stages allow; the estimate is no better than this.
constexpr int slack_percent = 4;

/// Stages of all nodes.
struct Placement {
    std::vector<std::int32_t> stage;
    std::int32_t stages = 1;
    int slowest = 0;   ///< of the operations that meet no period in a stage of their own
    int critical = 0;  ///< the longest path
};

class Placer {
  public:
    Placer(const Function& function, const DelayModel& model, std::span<const char> merged,
           const PipelineOptions& options = {})
        : function_(function),
          graph_(function, model, merged),
          waiting_{{}, options.register_inputs, options.register_outputs},
          arrival_(function.nodes.size()) {}

    /// What registers are saved for: values that wait in flip-flops or in such cells.
    void set_line_cell(const LineCell& cell) { waiting_.cell = cell; }

    /// Each node as early as `period` (picoseconds) allows: the fewest stages.
    Placement as_early_as(int period) {
        Placement p;
        p.stage.assign(function_.nodes.size(), 0);
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            if (!graph_.is_placed(id)) {
                continue;
            }
            std::int32_t s = 0;
            for (const TimingGraph::Operand& operand : graph_.operands(id)) {
                s = std::max(s, p.stage[operand.source]);
            }
            Arrival arrival = graph_.evaluate(id, s, p.stage, arrival_);
            if (arrival.late > period) {
                const Arrival fresh = graph_.evaluate(id, s + 1, p.stage, arrival_);
                if (fresh.late < arrival.late) {
                    arrival = fresh;
                    ++s;
                }
                if (arrival.late > period) {
                    p.slowest = std::max(p.slowest, arrival.late);
                }
            }
            arrival_[id] = arrival;
            p.stage[id] = s;
            p.stages = std::max(p.stages, s + 1);
            p.critical = std::max(p.critical, arrival.late);
        }
        return p;
    }

    /// Finds other levels that meet the period, and of what they and the given ones become by
    /// moving single levels, keeps what has the fewest bits.
    void save_registers(Placement& p, int period) {
        if (p.stages < 2) {
            return;
        }
        std::vector<std::vector<std::int32_t>> starts = LevelSearch(graph_).find(period, p.stages);
        std::ranges::stable_sort(starts, {},
                                 [&](const auto& stage) { return register_bits(stage, p.stages); });
        starts.push_back(std::move(p.stage));
        std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
        std::int64_t work = 0;
        for (std::vector<std::int32_t>& stage : starts) {
            const std::int64_t bits = move_levels(stage, p.stages, period, work);
            if (bits < fewest) {
                fewest = bits;
                p.stage = std::move(stage);
            }
        }
    }

    /// Longest path with the stages as they are.
    int critical(const std::vector<std::int32_t>& stage) {
        int worst = 0;
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            if (graph_.is_placed(id)) {
                arrival_[id] = graph_.evaluate(id, stage[id], stage, arrival_);
                worst = std::max(worst, arrival_[id].late);
            }
        }
        return worst;
    }

    /// Transparent nodes stand where what they carry stands; registers do not depend on them.
    void place_wiring(std::vector<std::int32_t>& stage) const {
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            if (graph_.is_merged(id)) {
                stage[id] = stage[graph_.reader(id)];
            }
        }
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            if (!graph_.is_placed(id) && !graph_.is_merged(id) &&
                function_.nodes[id].op != Op::input && function_.nodes[id].op != Op::constant) {
                stage[id] = stage[graph_.source(id)];
            }
        }
    }

  private:
    /// Moves register levels one after the other, each to where the fewest bits cross it, from the
    /// last to the first and again until nothing is saved. Returns the bits that are left.
    std::int64_t move_levels(std::vector<std::int32_t>& stage, std::int32_t stages, int period,
                             std::int64_t& work) const {
        std::vector<std::vector<NodeId>> members(static_cast<std::size_t>(stages));
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            if (graph_.is_placed(id)) {
                members[static_cast<std::size_t>(stage[id])].push_back(id);
            }
        }
        StageCut cut(graph_, waiting_, period);
        std::int64_t bits = register_bits(stage, stages);
        for (int round = 0; round < most_rounds; ++round) {
            for (std::int32_t k = stages - 1; k-- > 0 && work < most_work;) {
                std::vector<NodeId>& first = members[static_cast<std::size_t>(k)];
                std::vector<NodeId>& second = members[static_cast<std::size_t>(k) + 1];
                std::vector<NodeId> both;
                both.reserve(first.size() + second.size());
                std::merge(first.begin(), first.end(), second.begin(), second.end(),
                           std::back_inserter(both));
                work += cut.move(stage, k, stages, both);
                first.clear();
                second.clear();
                for (const NodeId id : both) {
                    (stage[id] == k ? first : second).push_back(id);
                }
            }
            const std::int64_t before = std::exchange(bits, register_bits(stage, stages));
            if (bits >= before || work >= most_work) {
                break;
            }
        }
        return bits;
    }

    /// What all registers cost, or the cells that values wait in.
    std::int64_t register_bits(const std::vector<std::int32_t>& stage, std::int32_t stages) const {
        std::int64_t total = 0;
        std::vector<std::int32_t> reads;
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            if (function_.nodes[id].op == Op::constant) {
                continue;
            }
            reads.clear();
            for (const NodeId user : graph_.users(id)) {
                reads.push_back(stage[user]);
            }
            if (graph_.is_output(id)) {
                reads.push_back(waiting_.last_level(stages));
            }
            std::ranges::sort(reads);
            std::int32_t at = waiting_.first_level(graph_, id, stage);
            for (const std::int32_t read : reads) {
                total += static_cast<std::int64_t>(waiting_.cost(read - at)) * graph_.width(id);
                at = read;
            }
        }
        return total;
    }

    const Function& function_;
    TimingGraph graph_;
    Waiting waiting_;
    std::vector<Arrival> arrival_;
};

int picoseconds(double ns) {
    return static_cast<int>(std::clamp(std::floor(ns * 1000 + 0.5), 0.0, 1e9));
}

/// The family's model for a circuit of this size: nets are longer in large ones.
DelayModel grown(const Function& function, DelayModel model, std::span<const char> merged) {
    constexpr double small = 2000;
    if (model.growth_ps != 0) {
        const std::vector<std::int32_t> one_stage(function.nodes.size());
        const auto tables =
            static_cast<double>(estimate_cells(function, model, one_stage, merged).luts());
        model.routing_ps +=
            static_cast<int>(model.growth_ps * std::log2(std::max(tables / small, 1.0)));
    }
    return model;
}

[[noreturn]] void unreachable(const Function& function, double asked, double best,
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

/// Which sums may be merged into others, what is best first. The last way is to merge none, as a
/// merged sum makes the one that it is in slower.
std::vector<std::vector<char>> ways_to_merge(const Function& function, const DelayModel& model) {
    std::vector<std::vector<char>> ways;
    if (model.ternary_ps != 0) {
        ways.push_back(merged_sums(function));
    }
    ways.emplace_back();
    return ways;
}

/// Sets the period and the stages; the placement is as early as they allow. Where the period cannot
/// be met: nothing, or a failure if it `must` be.
std::optional<Placement> place(Placer& placer, const Function& function, const DelayModel& model,
                               const PipelineOptions& options, bool must, int& period) {
    constexpr int any_period = 1 << 30;
    Placement placement = placer.as_early_as(any_period);
    period = std::max(placement.critical, 1);
    if (options.stages && *options.stages > 1) {
        int low = period / *options.stages - 1;  // too short; `period` is long enough
        while (period - low > 1) {
            const int middle = low + (period - low) / 2;
            const Placement tried = placer.as_early_as(middle);
            const bool fits = tried.stages <= *options.stages && tried.slowest == 0;
            (fits ? period : low) = middle;
        }
    }
    if (options.clock_period_ns) {
        const double room = 1 + model.margin_percent / 100.0;
        const int most = static_cast<int>(picoseconds(*options.clock_period_ns) / room);
        const int needed = options.stages ? period : placer.as_early_as(0).slowest;
        if (needed > most) {
            if (!must) {
                return std::nullopt;
            }
            unreachable(function, *options.clock_period_ns, needed * room, options.stages);
        }
        period = std::max(most, 1);
    }
    placement = placer.as_early_as(period);
    if (options.stages) {
        placement.stages = std::max(placement.stages, *options.stages);
    }
    return placement;
}

/// The first of the ways to merge sums that meets the options. What nets of large circuits take
/// more is left out where it would leave no circuit at all.
template <class Use>
auto with_merged(const Function& function, const DelayModel& model, const PipelineOptions& options,
                 Use&& use) {
    const std::vector<std::vector<char>> ways = ways_to_merge(function, model);
    for (std::size_t w = 0;; ++w) {
        const DelayModel sized = grown(function, model, ways[w]);
        const bool grows = sized.routing_ps != model.routing_ps;
        for (const DelayModel* tried : {&sized, &model}) {
            if (tried == &model && !grows) {
                continue;
            }
            Placer placer(function, *tried, ways[w], options);
            int period = 0;
            const bool is_last = w + 1 == ways.size() && (tried == &model || !grows);
            if (auto placement = place(placer, function, *tried, options, is_last, period)) {
                return use(placer, std::move(*placement), period, ways[w]);
            }
        }
    }
}

}  // namespace

double critical_path_ns(const Function& function, const DelayModel& model,
                        const Pipeline& pipeline) {
    const DelayModel sized = grown(function, model, pipeline.merged);
    return Placer(function, sized, pipeline.merged).critical(pipeline.stage) / 1000.0;
}

Plan plan(const Function& function, const DelayModel& model, const PipelineOptions& options) {
    return with_merged(function, model, options,
                       [](Placer&, Placement placement, int period, const std::vector<char>&) {
                           return Plan{period, placement.stages};
                       });
}

Pipeline pipeline(const Function& function, const DelayModel& model,
                  const PipelineOptions& options) {
    return with_merged(
        function, model, options,
        [&](Placer& placer, Placement placement, int period, const std::vector<char>& merged) {
            if (options.stages && !options.clock_period_ns) {
                // At the very shortest period hardly a register can move; a little more saves many.
                period += period * slack_percent / 100;
                placement = placer.as_early_as(period);
                placement.stages = std::max(placement.stages, *options.stages);
            }
            const auto finished = [&](Placement placed) {
                placer.save_registers(placed, period);
                placer.place_wiring(placed.stage);
                Pipeline result;
                result.stage = std::move(placed.stage);
                result.stages = placed.stages;
                result.merged = merged;
                result.register_inputs = options.register_inputs;
                result.register_outputs = options.register_outputs;
                result.critical_path_ns = placer.critical(result.stage) / 1000.0;
                store_delay_lines(function, model, result);
                return result;
            };
            Pipeline result = finished(placement);
            if (!result.stored.empty()) {
                // Levels may lie elsewhere if it is known that waiting is cheap; what counters and
                // the rest of a memory's word cost is seen in the end only.
                placer.set_line_cell(model.line);
                Pipeline other = finished(std::move(placement));
                if (cost_of_registers(function, model, other) <
                    cost_of_registers(function, model, result)) {
                    result = std::move(other);
                }
            }
            return result;
        });
}

}  // namespace gatewright::passes
