#include "passes/merged_sums.h"

#include <array>

#include "bits/range.h"
#include "design/chain_sum.h"

namespace gatewright::passes {

using bits::NodeId;

namespace {

constexpr NodeId none = design::ChainOperand::none;

/// A shorter chain is lookup tables, whatever it adds.
constexpr int shortest_chain = 4;

class Merger {
  public:
    explicit Merger(const bits::Function& function)
        : function_(function),
          ranges_(bits::find_ranges(function)),
          inner_(function.nodes.size(), {none, none}),
          rest_(function.nodes.size(), 0),
          alone_(function.nodes.size(), 0),
          taken_(function.nodes.size(), none),
          merged_(function.nodes.size(), 0) {}

    std::vector<char> run() {
        find_inner();
        for (NodeId id = 0; id < function_.nodes.size(); ++id) {
            if (inner_[id][0] != none) {
                choose(id);
            }
        }
        for (NodeId id = static_cast<NodeId>(function_.nodes.size()); id-- > 0;) {
            if (merged_[id] == 0 && taken_[id] != none) {
                merged_[taken_[id]] = 1;
            }
        }
        return std::move(merged_);
    }

  private:
    /// Of each sum, the sums that nothing else reads.
    void find_inner() {
        const std::vector<design::ChainReader> readers = design::chain_readers(function_);
        for (NodeId id = 0; id < readers.size(); ++id) {
            const NodeId outer = readers[id].node;
            if (outer == none) {
                continue;
            }
            const bool reaches = readers[id].shift + function_.nodes[id].type.width >=
                                 function_.nodes[outer].type.width;
            if (!ranges_[id].reduced || reaches) {
                auto& inner = inner_[outer];
                (inner[0] == none ? inner[0] : inner[1]) = id;
            }
        }
    }

    /// Tables saved by merging `inner` into `outer`.
    int gain(NodeId outer, NodeId inner) {
        merged_[inner] = 1;
        const auto both = design::chain_sum(function_, outer, merged_);
        merged_[inner] = 0;
        const auto first = design::chain_sum(function_, inner);
        const auto second = design::chain_sum(function_, outer);
        if (!both || !first || !second || first->length() <= shortest_chain) {
            return 0;
        }
        return first->cells + second->cells - (both->three ? both->tables : both->cells);
    }

    /// The most that the sums up to this one can save: `rest_` where this one is merged and takes
    /// none, `alone_` where it is not.
    void choose(NodeId id) {
        int all = 0;
        for (const NodeId inner : inner_[id]) {
            all += inner == none ? 0 : alone_[inner];
        }
        rest_[id] = alone_[id] = all;
        for (const NodeId inner : inner_[id]) {
            if (inner == none) {
                continue;
            }
            const int saved = gain(id, inner);
            const int now = all - alone_[inner] + rest_[inner] + saved;
            if (saved > 0 && now > alone_[id]) {
                alone_[id] = now;
                taken_[id] = inner;
            }
        }
    }

    const bits::Function& function_;
    std::vector<bits::Range> ranges_;
    std::vector<std::array<NodeId, 2>> inner_;
    std::vector<int> rest_;
    std::vector<int> alone_;
    std::vector<NodeId> taken_;  ///< where the sum is not merged itself
    std::vector<char> merged_;
};

}  // namespace

std::vector<char> merged_sums(const bits::Function& function) {
    return Merger(function).run();
}

}  // namespace gatewright::passes
