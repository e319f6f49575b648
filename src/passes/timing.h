#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "bits/function.h"
#include "passes/delay_model.h"

/// When the values of a function are there, by a family's delay model.
namespace gatewright::passes {

/// When the bits of a value are there, in picoseconds after the clock: the lowest, and all. The
/// difference matters because a chain of carry chains costs its carries once.
struct Arrival {
    int early = 0;
    int late = 0;
};

/// A piece of logic: the result's lowest bit is there `early_early` after the operand's lowest bit
/// and `late_early` after all of it, whichever is later; and so for all bits of the result.
struct Delay {
    static constexpr int never = std::numeric_limits<int>::min() / 4;
    int early_early = never;
    int late_early = never;
    int early_late = never;
    int late_late = never;

    Arrival after(Arrival in) const {
        return {std::max(early_early + in.early, late_early + in.late),
                std::max(early_late + in.early, late_late + in.late)};
    }
    /// The same backwards: how long before the result's times the operand must be there.
    Arrival before(Arrival out) const {
        return {std::max(early_early + out.early, early_late + out.late),
                std::max(late_early + out.early, late_late + out.late)};
    }
};

/// A function as the graph of its values that registers can hold: constants are left out, and
/// wiring that carries all bits of its operand (design::is_transparent) is looked through.
///
/// Bitwise operations and selections that fit one lookup table together are one: an operand is
/// *fused* with its user if the table of the user sees through it.
class TimingGraph {
  public:
    /// `merged` by node, or empty: sums that are in their reader's chain, and placed with it.
    TimingGraph(const bits::Function& function, const DelayModel& model,
                std::span<const char> merged = {});

    struct Operand {
        bits::NodeId source = 0;
        bool is_fused = false;      ///< costs nothing where both are in one stage
        bool is_condition = false;  ///< of a selection: all bits wait for it
        bool is_inverted = false;   ///< before the carries, which do not do it themselves
    };

    std::size_t size() const { return first_operand_.size() - 1; }
    /// Whether the node can be in a stage: no constant, no input, not transparent.
    bool is_placed(bits::NodeId id) const { return is_placed_[id] != 0; }
    /// Whether the node is a sum in its reader's chain; then that reader.
    bool is_merged(bits::NodeId id) const { return !merged_.empty() && merged_[id] != 0; }
    bits::NodeId reader(bits::NodeId merged) const { return reader_[merged]; }
    std::span<const char> merged() const { return merged_; }
    /// Whether a merged sum is in the node's chain.
    bool merges(bits::NodeId id) const { return !merges_.empty() && merges_[id] != 0; }
    /// Whether an operand is inverted in tables that do nothing else. Tables in the same stage that
    /// give it, those of a chain too, give its complement instead if no chain reads it as it is.
    bool has_inverters(const Operand& operand, bool together) const;
    bool is_output(bits::NodeId id) const { return is_output_[id] != 0; }
    std::span<const Operand> operands(bits::NodeId id) const {
        return {operands_.data() + first_operand_[id], first_operand_[id + 1] - first_operand_[id]};
    }
    /// Nodes that use the value; one that uses it twice is there twice.
    std::span<const bits::NodeId> users(bits::NodeId id) const {
        return {users_.data() + first_user_[id], first_user_[id + 1] - first_user_[id]};
    }
    int width(bits::NodeId id) const { return function_.nodes[id].type.width; }
    /// Bits [low, high) of a value that anything reads; no other is made.
    struct Bits {
        int low = std::numeric_limits<int>::max();
        int high = 0;
    };
    Bits needed_bits(bits::NodeId id) const { return needed_bits_[id]; }
    /// Low bits that are zero whatever the inputs are.
    int low_zeros(bits::NodeId id) const { return low_zeros_[id]; }
    /// Bits of a carry chain for a sum, a difference or a comparison: the low bits where one side
    /// is zero, and not subtracted, are wires.
    int chain_length(bits::NodeId id) const;
    /// Whether it puts the bits of two operands side by side, which is wiring.
    bool is_joining(const bits::Node& node) const;
    /// For nodes that are not placed: the node that is registered instead.
    bits::NodeId source(bits::NodeId id) const;

    /// A value that comes out of a register.
    Arrival registered(bits::NodeId id) const {
        return {model_.register_ps + load_[id], model_.register_ps + load_[id]};
    }
    /// How the operand's times carry over to the node's; `together`: both are in one stage.
    Delay delay(bits::NodeId id, const Operand& operand, bool together) const;

    /// The node's times in stage `s`, operands where `stage` says, with their times in `arrival`.
    Arrival evaluate(bits::NodeId id, std::int32_t s, const std::vector<std::int32_t>& stage,
                     const std::vector<Arrival>& arrival) const;

  private:
    void find_operands();
    void find_users();
    void find_loads();
    void fuse_small();
    void find_complements();
    bool needs_inverters(bits::NodeId id, int k) const;
    void fuse(bits::NodeId id, std::vector<std::array<bits::NodeId, 6>>& leaves,
              std::vector<std::uint8_t>& count);
    void add_operand(bits::NodeId id, bits::NodeId from, bool is_condition, bool is_inverted);
    int table_ps() const { return model_.routing_ps + model_.lut_ps; }
    int levels_of_tables(int inputs) const;
    Delay own_delay(bits::NodeId id) const;
    void find_low_zeros();
    void find_needed_bits();

    const bits::Function& function_;
    const DelayModel& model_;
    std::span<const char> merged_;
    std::vector<char> merges_;          ///< none if nothing is merged
    std::vector<bits::NodeId> reader_;  ///< of merged sums
    std::vector<char> is_placed_;
    std::vector<char> is_output_;
    std::vector<std::uint32_t> first_operand_;
    std::vector<Operand> operands_;
    std::vector<std::uint32_t> first_user_;
    std::vector<bits::NodeId> users_;
    std::vector<Delay> own_;  ///< from any operand that is neither fused nor a condition
    std::vector<int> load_;   ///< what the fanout of each value costs
    std::vector<std::uint8_t> low_zeros_;
    std::vector<Bits> needed_bits_;
    std::vector<char> reads_inverted_;  ///< what chains read of a value is its complement
};

}  // namespace gatewright::passes
