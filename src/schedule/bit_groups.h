#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "fixed/fixed.h"
#include "linear/search.h"
#include "passes/delay_model.h"

namespace gatewright::schedule {

/// Some inputs of a matrix, each with its weight: one value.
struct BitGroup {
    std::vector<std::int32_t> inputs;
    std::vector<std::int64_t> weights;
};

/// y = x * W where inputs of few bits are added up in groups, each of which is a function of so few
/// bits that lookup tables give it, before an adder graph does the rest. Columns that weigh a group
/// alike, up to sign and shift, share its tables.
struct GroupedGraph {
    std::vector<std::int32_t> alone;  ///< inputs that columns also take as they are
    std::vector<BitGroup> groups;
    std::vector<Interval> ranges;  ///< of the graph's inputs: those alone, then the groups
    linear::AdderGraph graph;
};

/// The form with groups of up to `bits` bits, or nothing where no two inputs are so narrow.
std::optional<GroupedGraph> grouped_graph(const linear::Matrix& matrix,
                                          const std::vector<Interval>& ranges, int bits,
                                          const linear::Search& search);

/// The cheaper form of y = x * matrix by the family's cells, if that is one with groups: no slower
/// than `plain`, the best graph without any, and proven. Only for families of tables of six inputs
/// beside the carries, where this was found to hold after synthesis.
std::optional<GroupedGraph> find_groups(const linear::Matrix& matrix,
                                        const std::vector<Interval>& ranges,
                                        const linear::AdderGraph& plain,
                                        const linear::Search& search,
                                        const passes::DelayModel& delays);

/// The same sums as additions of the inputs alone, for proofs; nothing where a group's sum is no
/// value of such a graph.
std::optional<linear::AdderGraph> without_groups(const GroupedGraph& grouped,
                                                 const std::vector<Interval>& ranges);

/// The graph's inputs from those of the matrix (integers, frac 0), by tables of `lut_inputs` bits.
std::vector<fixed::Fixed> add_groups(fixed::Builder& builder, const GroupedGraph& grouped,
                                     std::span<const fixed::Fixed> x, int lut_inputs);

}  // namespace gatewright::schedule
