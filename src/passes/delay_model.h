#pragma once

#include <span>
#include <string>
#include <string_view>

/// What a family of devices needs in time for the pieces that circuits are made of.
namespace gatewright::passes {

/// The cell of a family in which values wait over register levels.
struct LineCell {
    int bits = 0;            ///< side by side; 0: there is no such cell
    int words = 0;           ///< levels
    int tables = 0;          ///< whose place it takes
    bool is_memory = false;  ///< with a counter as its address; else a shift register
};

/// What Yosys makes of a circuit's pieces with a family's cells.
struct Mapping {
    int chain_bits = 1;         ///< of a sum, in each carry cell; 0: carries lie beside the tables
    bool subtracts = true;      ///< carry cells invert what they subtract; else tables before them
    int longest_in_tables = 4;  ///< sums of so many bits and fewer are lookup tables instead
    bool resets = true;         ///< flip-flops have a reset, which selects a constant for nothing
};

/// One row of targets/families.def. Times are in picoseconds, routing before a piece included
/// where it says so. They are estimates that place pipeline registers; the tools report the truth.
/// docs/delays.md says how they were found, and how far off they are.
struct DelayModel {
    std::string_view name;
    std::string_view help;
    int lut_inputs = 4;
    int lut_ps = 0;          ///< through one lookup table
    int routing_ps = 0;      ///< one net between two tables
    int carry_ps = 0;        ///< one bit of a carry chain
    int carry_entry_ps = 0;  ///< on to and off a carry chain, beyond one lookup table
    int register_ps = 0;     ///< clock to output, and setup
    int multiplier_ps = 0;   ///< a hard multiplier of any size with its routing; 0: there is none
    int fanout_ps = 0;       ///< more routing for each doubling of a net's readers
    bool inverts = false;    ///< an operand of a sum can be inverted for nothing
    bool lone_bits_are_free = false;  ///< bits of a chain that one operand has need no table
    int ternary_ps = 0;      ///< more for a carry chain of three operands; 0: there is none
    int margin_percent = 0;  ///< of a clock period, left for what the estimate does not see
    int growth_ps = 0;       ///< more routing for each doubling of the tables above 2000
    Mapping mapping;
    LineCell line;
};

std::span<const DelayModel> delay_models();

/// The family's model; throws Failure(unknown_target) with the nearest name.
const DelayModel& delay_model(std::string_view name);

}  // namespace gatewright::passes
