#include "project/spare_time.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/diagnostics.h"
#include "passes/cells.h"
#include "passes/delay_lines.h"

namespace gatewright::project {

using network::Value;
using schedule::ContractionGraphs;

namespace {

/// Bits of sums that a choice must save, and their share of all.
constexpr std::int64_t least_saving = 8;
constexpr std::int64_t least_share = 200;

/// Nodes of all circuits that are tried, about 5 us each.
constexpr std::int64_t most_nodes = 500'000;
constexpr std::int64_t fewest_trials = 4;

std::int64_t nodes_of(const Circuit& circuit) {
    return static_cast<std::int64_t>(circuit.parallel.design.processes.front().body.nodes.size());
}

class Spender {
  public:
    Spender(const operators::CoreModel& model, ContractionGraphs& graphs,
            const passes::DelayModel& delays, const passes::PipelineOptions& options)
        : model_(model), graphs_(graphs), delays_(delays), options_(options) {}

    Circuit run(Circuit circuit) {
        std::int64_t left = most_nodes / std::max<std::int64_t>(nodes_of(circuit), 1);
        if (left < fewest_trials) {
            return circuit;
        }
        const passes::Plan asked = plan_of(circuit);
        for (const Saving& saving : savings()) {
            std::size_t taken = 0;
            for (const std::size_t step : saving.steps) {
                graphs_.choose(saving.value, step);
                std::optional<Circuit> better =
                    left-- > 0 ? built(asked, cost_of(circuit)) : std::nullopt;
                if (better) {
                    circuit = std::move(*better);
                    taken = step;
                    break;
                }
            }
            graphs_.choose(saving.value, taken);
        }
        return circuit;
    }

  private:
    struct Saving {
        Value value;
        std::vector<std::int64_t> bits;  ///< [step] fewer than at step 0
        std::vector<std::size_t> steps;  ///< that save enough, the most first
    };

    /// What deeper sums save for the readers of each value; the most first, where it is worth it.
    std::vector<Saving> savings() {
        std::vector<Saving> out;
        for (const Value value : graphs_.values()) {
            out.push_back({value, {}, {}});
        }
        for (std::size_t step = 0; step < ContractionGraphs::steps.size(); ++step) {
            for (const Saving& each : out) {
                graphs_.choose(each.value, step);
            }
            for (Saving& each : out) {
                each.bits.push_back(graphs_.full_adder_bits(each.value));
            }
        }
        std::int64_t all = 0;
        for (Saving& each : out) {
            graphs_.choose(each.value, 0);
            const std::int64_t shallow = each.bits.front();
            all += shallow;
            for (std::int64_t& bits : each.bits) {
                bits = shallow - bits;
            }
        }
        const std::int64_t least = std::max(least_saving, all / least_share);
        for (Saving& each : out) {
            for (std::size_t step = 1; step < each.bits.size(); ++step) {
                if (each.bits[step] >= least) {
                    each.steps.push_back(step);
                }
            }
            std::ranges::stable_sort(each.steps, std::ranges::greater{},
                                     [&](std::size_t step) { return each.bits[step]; });
        }
        std::ranges::stable_sort(out, std::ranges::greater{},
                                 [](const Saving& each) { return std::ranges::max(each.bits); });
        return out;
    }

    /// The circuit with what is chosen, if it needs no more time and costs less.
    std::optional<Circuit> built(const passes::Plan& asked, std::int64_t cost) {
        try {
            Circuit circuit{schedule::parallel(model_, graphs_, delays_), {}};
            const passes::Plan needed = plan_of(circuit);
            const bool holds = options_.clock_period_ns ? needed.stages <= asked.stages
                                                        : needed.period_ps <= asked.period_ps;
            if (!holds) {
                return std::nullopt;
            }
            circuit.pipeline = passes::pipeline(body_of(circuit), delays_, options_);
            return cost_of(circuit) < cost ? std::optional(std::move(circuit)) : std::nullopt;
        } catch (const Failure&) {
            return std::nullopt;  // the asked stages are too few
        }
    }

    static const bits::Function& body_of(const Circuit& circuit) {
        return circuit.parallel.design.processes.front().body;
    }

    passes::Plan plan_of(const Circuit& circuit) const {
        return passes::plan(body_of(circuit), delays_, options_);
    }

    /// Tables and registers.
    std::int64_t cost_of(const Circuit& circuit) const {
        const bits::Function& body = body_of(circuit);
        return passes::estimate_cells(body, delays_, circuit.pipeline.stage,
                                      circuit.pipeline.merged)
                   .luts() +
               passes::stored_tables(body, delays_, circuit.pipeline) +
               design::register_bits(body, circuit.pipeline);
    }

    const operators::CoreModel& model_;
    ContractionGraphs& graphs_;
    const passes::DelayModel& delays_;
    const passes::PipelineOptions& options_;
};

}  // namespace

Circuit build(const operators::CoreModel& model, ContractionGraphs& graphs,
              const passes::DelayModel& delays, const passes::PipelineOptions& options) {
    Circuit circuit{schedule::parallel(model, graphs, delays), {}};
    circuit.pipeline =
        passes::pipeline(circuit.parallel.design.processes.front().body, delays, options);
    return circuit;
}

Circuit with_spare_time_used(Circuit circuit, const operators::CoreModel& model,
                             ContractionGraphs& graphs, const passes::DelayModel& delays,
                             const passes::PipelineOptions& options) {
    return Spender(model, graphs, delays, options).run(std::move(circuit));
}

}  // namespace gatewright::project
