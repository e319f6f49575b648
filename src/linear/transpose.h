#pragma once

#include "linear/adder_graph.h"

namespace gatewright::linear {

/// The graph of the transposed matrix: every edge is turned round, so that readers are added up and
/// operands are read. It has n_out - n_in additions more (zero rows and columns aside).
AdderGraph transposed(const AdderGraph& graph);

}  // namespace gatewright::linear
