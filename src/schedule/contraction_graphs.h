#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "linear/search.h"
#include "network/network.h"
#include "operators/core.h"
#include "passes/delay_model.h"
#include "schedule/bit_groups.h"
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
    ContractionGraphs(const network::Network& network, const linear::Search& search,
                      const passes::DelayModel& delays);

    /// Values that contractions read.
    std::vector<network::Value> values() const;

    /// Ways to a graph. The first is the search as it is; the others allow more levels and take
    /// half as long. The search goes on from the first graph, which is quick to find what few more
    /// levels give, or begins anew.
    struct Step {
        int more_levels;
        bool goes_on;
    };
    static constexpr std::array steps = {Step{0, false}, Step{1, true}, Step{2, false},
                                         Step{4, false}};

    /// From now on, what reads `value` gets graphs of this step. They are found when they are asked
    /// for, all that are missing at once.
    void choose(network::Value value, std::size_t step);
    /// The steps chosen, for each of `values()`. Throws Failure (not_a_design) if they are of
    /// another number, or unknown.
    std::vector<int> chosen() const;
    void choose(const std::vector<int>& steps);

    /// Full-adder bits of all contractions that read `value`, for all of their rows, as chosen.
    std::int64_t full_adder_bits(network::Value value);

    /// One graph for each form of a contraction (operators::contract_forms).
    const std::vector<RowGraph>& of(network::NodeId id);
    /// What is cheaper than the graph of a contraction's form, for each of its forms; null where
    /// nothing is. What shares its graph with others has none.
    const std::vector<const GroupedGraph*>& grouped(network::NodeId id);

  private:
    struct Member {
        network::NodeId id;
        operators::ContractForms forms;
    };
    /// Contractions that read the same value.
    struct Readers {
        std::vector<Member> members;
        bool same_inputs = false;  ///< all multiply the same vectors
        std::size_t step = 0;
    };
    /// A matrix to solve, and its graphs.
    struct Solved {
        linear::Matrix matrix;
        std::vector<Interval> ranges;
        std::array<std::optional<linear::AdderGraph>, steps.size()> graphs;  ///< [step]
        std::array<std::optional<GroupedGraph>, steps.size()> grouped;       ///< [step]
        std::array<bool, steps.size()> is_needed{};
        bool is_form = false;  ///< of one contraction as it is
    };

    /// A contraction whose rows overlap.
    struct Overlapping {
        operators::ContractForms forms;
        std::vector<network::Source> sources;  ///< of the elements of all rows
        Patches patches;
        std::vector<Products> products;  ///< of each family
    };

    void solve_all();
    Solved& will_need(const linear::Matrix& matrix, const std::vector<Interval>& ranges,
                      std::size_t step);
    const linear::AdderGraph& solved(const linear::Matrix& matrix,
                                     const std::vector<Interval>& ranges, std::size_t step) const;
    void solve(bool going_on);
    linear::AdderGraph graph_of(const Solved& each, std::size_t step) const;
    void share(const Readers& readers);
    void find_patches_of(const Member& member);
    void share_patches(network::NodeId id, std::size_t step);

    const network::Network& network_;
    const linear::Search& search_;
    const passes::DelayModel& delays_;
    std::map<network::Value, Readers> readers_;
    std::map<std::string, Solved> solved_;
    std::map<network::NodeId, Overlapping> overlapping_;
    std::map<network::NodeId, std::vector<RowGraph>> graphs_;  ///< as chosen
    std::map<network::NodeId, std::vector<const GroupedGraph*>> grouped_;
    bool all_solved_ = false;
};

}  // namespace gatewright::schedule
