#pragma once

#include <cstdint>
#include <vector>

#include "design/machine.h"
#include "passes/delay_model.h"
#include "passes/pipeline.h"
#include "schedule/contraction_graphs.h"
#include "schedule/parallel.h"

/// Deeper sums need fewer adders. A clock leaves time that they can use: on paths beside the
/// longest one, and in the whole function, which seldom fills its last stage.
namespace gatewright::project {

/// A circuit with its registers.
struct Circuit {
    schedule::ParallelDesign parallel;
    design::Pipeline pipeline;
};

/// A model's circuit with adder graphs as `graphs` is told.
Circuit build(const operators::CoreModel& model, schedule::ContractionGraphs& graphs,
              const passes::DelayModel& delays, const passes::PipelineOptions& options);

/// Gives the time that `circuit`, whose sums are as shallow as can be, leaves to contractions: to
/// those first where deeper sums save most, and of their graphs the one that saves most of those
/// that go. No stage is added at the
/// asked period, and the shortest period of the asked stages stays as short. Each choice saves some
/// of the tables and registers together; `graphs` holds the steps chosen.
Circuit with_spare_time_used(Circuit circuit, const operators::CoreModel& model,
                             schedule::ContractionGraphs& graphs, const passes::DelayModel& delays,
                             const passes::PipelineOptions& options);

}  // namespace gatewright::project
