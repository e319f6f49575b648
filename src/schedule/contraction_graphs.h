#pragma once

#include <map>
#include <string>
#include <vector>

#include "linear/search.h"
#include "network/network.h"
#include "operators/core.h"
#include "schedule/patches.h"

namespace gatewright::schedule {

/// What pixels of a channel each, within `ranges`, are multiplied by.
struct Products {
    linear::Matrix matrix;
    std::vector<Interval> ranges;
};

/// The adder graphs of a model's contractions, found by as many threads as there are processors; no
/// graph depends on that. Equal matrices of equal ranges are solved once.
/// Contractions that read the same values (queries, keys and values; parallel branches) are also
/// solved as one matrix, whose sums they share; that is taken where it is cheaper and, if the depth
/// is limited, makes none of them deeper. Each still has a graph of its own: what two of them have
/// in common is the same additions of the same values, which the builder of bits makes once.
class ContractionGraphs {
  public:
    ContractionGraphs(const network::Network& network, const linear::Search& search)
        : network_(network), search_(search) {}

    /// One graph for each of the node's forms.
    std::vector<RowGraph> of(network::NodeId id, const operators::ContractForms& forms);

  private:
    struct Member {
        network::NodeId id;
        operators::ContractForms forms;
    };
    /// A matrix to solve, and its graph.
    struct Solved {
        linear::Matrix matrix;
        std::vector<Interval> ranges;
        linear::AdderGraph graph;
    };

    /// A contraction whose rows overlap.
    struct Overlapping {
        operators::ContractForms forms;
        std::vector<network::Source> sources;  ///< of the elements of all rows
        Patches patches;
        std::vector<Products> products;  ///< of each family
    };

    void solve_all();
    void will_need(const linear::Matrix& matrix, const std::vector<Interval>& ranges);
    const linear::AdderGraph& solved(const linear::Matrix& matrix,
                                     const std::vector<Interval>& ranges) const;
    void share(const std::vector<Member>& members);
    void need_patches(const Member& member);
    void share_patches(network::NodeId id);

    const network::Network& network_;
    const linear::Search& search_;
    std::map<std::string, Solved> solved_;
    std::map<network::NodeId, std::vector<linear::AdderGraph>> together_;
    std::map<network::NodeId, Overlapping> overlapping_;
    std::map<network::NodeId, std::vector<RowGraph>> in_products_;
    bool all_solved_ = false;
};

}  // namespace gatewright::schedule
