#pragma once

#include <vector>

#include "bits/function.h"
#include "design/machine.h"

/// What pipelining passes and the machine that carries a pipeline out must agree on.
namespace gatewright::design {

/// Whether a node is wiring that carries all bits of its operand, inverted or not (what reads them
/// inverts them): then the operand crosses the registers and the node is made anew, at no cost, in
/// each stage that uses it.
bool is_transparent(const bits::Function& function, bits::NodeId node);

/// The node whose bits cross a register where `node` is used in a later stage.
bits::NodeId register_source(const bits::Function& function, bits::NodeId node);

/// The last stage in which each node is used, through transparent nodes; outputs are used in stage
/// `last`. A node that nothing uses has its own stage; constants have 0.
std::vector<std::int32_t> last_uses(const bits::Function& function,
                                    const std::vector<std::int32_t>& stage, std::int32_t last);

/// [node] the level of each value of a pipeline: 0 is that of the input ports.
std::vector<std::int32_t> levels_of(const bits::Function& function, const Pipeline& pipeline);

/// All delay lines of two register levels and more, by value and level.
std::vector<DelayLine> delay_lines(const bits::Function& function, const Pipeline& pipeline);

}  // namespace gatewright::design
