#pragma once

#include <optional>
#include <span>
#include <vector>

#include "fixed/fixed.h"
#include "linear/adder_graph.h"
#include "schedule/early_constants.h"

namespace gatewright::schedule {

/// What all that read a contraction do with constants.
struct Next {
    Constants constants;   ///< added to its elements; empty where not known
    bool compares = true;  ///< with numbers that can be any: a constant costs nothing
};

/// The outputs of an adder graph over integers (rows of them, frac 0) that lie in `ranges`, one
/// result for each of `rows`. `next` is what reads the results, nothing where that is not known.
/// `unsigned_sums`: sums are held as unsigned numbers where that is known to pay. The first
/// `shared` additions do not depend on `next`: other rows may make them too.
std::vector<std::vector<fixed::Fixed>> graph_sums(fixed::Builder& builder,
                                                  const linear::AdderGraph& graph,
                                                  const std::vector<Interval>& ranges,
                                                  std::span<const std::vector<fixed::Fixed>> rows,
                                                  const std::optional<Next>& next,
                                                  bool unsigned_sums, std::size_t shared = 0);

}  // namespace gatewright::schedule
