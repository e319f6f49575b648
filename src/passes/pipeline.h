#pragma once

#include <cstdint>
#include <optional>

#include "bits/function.h"
#include "design/machine.h"
#include "passes/delay_model.h"

namespace gatewright::passes {

struct PipelineOptions {
    std::optional<double> clock_period_ns;  ///< as few stages as meet it
    std::optional<int> stages;              ///< this many, with about as short a period as can be
    bool register_inputs = false;
    bool register_outputs = false;
};

/// Places the stages of a function for a device. With neither period nor stages there is one stage.
/// With both, the stages must meet the period. Nodes are placed as early as the period allows,
/// which gives the fewest stages. From there, and from levels looked for over the whole function,
/// each register level is moved to where the fewest bits cross it, an exact cut between its
/// neighbours, until nothing is saved.
///
/// Throws Failure(clock_unreachable), which names the best reachable period, if a single operation
/// (or the given number of stages) is too slow.
design::Pipeline pipeline(const bits::Function& function, const DelayModel& model,
                          const PipelineOptions& options);

/// What a function needs: the fewest stages that meet the asked period, or the shortest period that
/// the asked stages allow. Throws as `pipeline` does.
struct Plan {
    int period_ps = 0;
    std::int32_t stages = 1;
};
Plan plan(const bits::Function& function, const DelayModel& model, const PipelineOptions& options);

/// Estimated time of the longest combinational path of all stages, registers included.
double critical_path_ns(const bits::Function& function, const DelayModel& model,
                        const design::Pipeline& pipeline);

}  // namespace gatewright::passes
