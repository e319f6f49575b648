#pragma once

#include <map>
#include <string>
#include <vector>

#include "linear/search.h"
#include "network/network.h"
#include "operators/core.h"

namespace gatewright::schedule {

/// The adder graphs of a model's contractions. Equal matrices of equal ranges are solved once.
/// Contractions that read the same values (queries, keys and values; parallel branches) are also
/// solved as one matrix, whose sums they share; that is taken where it is cheaper and, if the depth
/// is limited, makes none of them deeper. Each still has a graph of its own: what two of them have
/// in common is the same additions of the same values, which the builder of bits makes once.
class ContractionGraphs {
  public:
    ContractionGraphs(const network::Network& network, const linear::Search& search)
        : network_(network), search_(search) {}

    /// One graph for each of the node's forms.
    std::vector<linear::AdderGraph> of(network::NodeId id, const operators::ContractForms& forms);

  private:
    struct Member {
        network::NodeId id;
        operators::ContractForms forms;
    };

    const linear::AdderGraph& solve(const linear::Matrix& matrix,
                                    const std::vector<Interval>& ranges);
    void solve_together(std::vector<Member> members);

    const network::Network& network_;
    const linear::Search& search_;
    std::map<std::string, linear::AdderGraph> solved_;
    std::map<network::NodeId, std::vector<linear::AdderGraph>> together_;
    bool looked_ = false;

    void look();
};

}  // namespace gatewright::schedule
