#pragma once

#include <cstdint>
#include <vector>

#include "bits/function.h"
#include "design/machine.h"
#include "passes/delay_model.h"
#include "passes/timing.h"

/// Values that wait over many register levels, in cells that hold them cheaper than flip-flops.
namespace gatewright::passes {

/// What a bit costs that waits over `levels` register levels, in flip-flops. Two of them count as
/// much as a lookup table: devices have one or two for each table, and circuits need fewer.
std::int32_t waiting_cost(const LineCell& cell, std::int32_t levels);

/// What values cost that wait in a pipeline, whose levels are numbered like the stages before them.
struct Waiting {
    LineCell cell;
    bool register_inputs = false;
    bool register_outputs = false;

    std::int32_t cost(std::int32_t levels) const { return waiting_cost(cell, levels); }
    /// Where a value comes from; the level behind the inputs is before stage 0.
    std::int32_t first_level(const TimingGraph& graph, bits::NodeId value,
                             const std::vector<std::int32_t>& stage) const {
        return graph.is_placed(value) || !register_inputs ? stage[value] : -1;
    }
    /// Where outputs are read.
    std::int32_t last_level(std::int32_t stages) const {
        return stages - 1 + (register_outputs ? 1 : 0);
    }
};

/// Sets `pipeline.stored`: the delay lines, or pieces of them, that cost less in the family's cell,
/// the counters of memories included. Memories whose address would make the longest path longer are
/// left out. Shift registers are plain registers in Verilog, which tools find.
void store_delay_lines(const bits::Function& function, const DelayModel& model,
                       design::Pipeline& pipeline);

/// What all registers of a pipeline cost, stored delay lines and their counters among them; in
/// flip-flops, as `waiting_cost` counts.
std::int64_t cost_of_registers(const bits::Function& function, const DelayModel& model,
                               const design::Pipeline& pipeline);

/// Lookup tables that the stored delay lines take, without those of counters.
std::int64_t stored_tables(const bits::Function& function, const DelayModel& model,
                           const design::Pipeline& pipeline);

}  // namespace gatewright::passes
