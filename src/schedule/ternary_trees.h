#pragma once

#include <vector>

#include "linear/adder_graph.h"

namespace gatewright::schedule {

/// The same outputs by as many additions, for carry chains that add three operands: where nothing
/// but one sum reads a sum, the two are one of more terms, and such trees are built anew from
/// threes, with as few chains as there can be. Of these, one of those that are done soonest, and
/// then with short chains. A three is an addition that alone reads another one.
linear::AdderGraph ternary_trees(const linear::AdderGraph& graph,
                                 const std::vector<Interval>& ranges);

}  // namespace gatewright::schedule
