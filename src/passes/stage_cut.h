#pragma once

#include <cstdint>
#include <vector>

#include "passes/delay_lines.h"
#include "passes/timing.h"

namespace gatewright::passes {

/// Which register bits can be saved by moving one register level, with all others where they are:
/// a smallest cut, found exactly.
///
/// Of the values in the two stages beside a level, those that the first stage has no time for are
/// fixed behind it, and those that the second has no time for before it. Between these, any set
/// that holds the operands of all its members can be the first stage; a value costs its width if it
/// or an operand from further up is used behind the level, or less if it would wait in a cell of
/// its own then and only one place reads it. The times need no second look: they are the longest of
/// a value's whole way through each stage.
class StageCut {
  public:
    StageCut(const TimingGraph& graph, const Waiting& waiting, int period)
        : graph_(graph), waiting_(waiting), period_(period) {}

    /// Moves values over the level between stages k and k + 1 of `stages`. `members` lists the
    /// values placed in the two stages, operands first. Returns the number of edges looked at.
    std::int64_t move(std::vector<std::int32_t>& stage, std::int32_t k, std::int32_t stages,
                      const std::vector<bits::NodeId>& members);

  private:
    struct Edge {
        std::uint32_t to = 0;
        std::int32_t capacity = 0;
    };
    enum class Side : std::uint8_t { free, first, second };

    void find_sides(const std::vector<std::int32_t>& stage, std::int32_t k);
    void build(const std::vector<std::int32_t>& stage, std::int32_t k, std::int32_t stages);
    void add_net(bits::NodeId value, std::uint32_t from, const std::vector<std::int32_t>& stage,
                 std::int32_t k, std::int32_t stages);
    void add_edge(std::uint32_t from, std::uint32_t to, std::int32_t capacity);
    void index_edges();
    bool find_levels();
    void push_flow();

    std::uint32_t vertex_of(bits::NodeId id, const std::vector<std::int32_t>& stage,
                            std::int32_t k) const;

    std::int32_t more_levels(std::int32_t levels) const {
        return waiting_.cost(levels) - waiting_.cost(levels - 1);
    }

    const TimingGraph& graph_;
    const Waiting& waiting_;
    int period_;
    const std::vector<bits::NodeId>* members_ = nullptr;

    // By node; what belongs to other stages is never read.
    std::vector<Arrival> arrival_;
    std::vector<Arrival> left_;  ///< time that the rest of the second stage needs
    std::vector<Side> side_;
    std::vector<std::uint32_t> vertex_;

    // The flow network: vertex 0 is before the level, 1 behind it. Edge 2i and 2i+1 are a pair.
    std::vector<Edge> edges_;
    std::vector<std::uint32_t> order_;  ///< edges by the vertex that they leave
    std::vector<std::uint32_t> first_;
    std::vector<std::uint32_t> next_;
    std::vector<std::int32_t> level_;
    std::uint32_t vertices_ = 0;
    std::int64_t work_ = 0;
};

}  // namespace gatewright::passes
