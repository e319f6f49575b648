#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "bits/function.h"

/// Sums as one carry chain adds them where the carry cells have a lookup table each: two or three
/// operands, inverted or not, a constant, and no inverters. rtl/gatewright_sum.v is such a chain.
namespace gatewright::design {

/// Bits of a value beside constant bits. Below `low` of the sum nothing is added.
struct ChainOperand {
    static constexpr bits::NodeId none = ~bits::NodeId{0};
    bits::NodeId node = none;  ///< none: all bits are constant
    int first = 0;             ///< where the value's lowest bit lies in the sum
    int end = 0;               ///< behind its highest; the sum's width if its sign is repeated
    bool inverted = false;     ///< the value's bits, in the sum's table
    UInt128 constant = 0;      ///< the other bits, as they are added
};

struct ChainSum {
    int width = 0;
    int low = 0;     ///< bits below are those of the first operand as they are, and zeros
    int tables = 0;  ///< from `low` on, bits that need a table; all above are operand 0's
    int ones = 0;    ///< added at `low`
    bool three = false;
    std::array<ChainOperand, 3> operands;  ///< the one that reaches highest comes first
    int wires = 0;                         ///< the operand whose bits lie below `low`
    int cells = 0;  ///< of the tables, those that are more than a wire for their bit

    int length() const { return width - low; }
};

/// A sum or difference as a chain; nothing where it is none. `merged` (by node, or empty) tells
/// sums that are added by their reader: their operands are the chain's.
std::optional<ChainSum> chain_sum(const bits::Function& function, bits::NodeId sum,
                                  std::span<const char> merged = {});

/// The sum that alone reads a sum, through nodes that a chain looks through.
struct ChainReader {
    bits::NodeId node = ChainOperand::none;
    std::int64_t shift = 0;  ///< of what it reads
};
/// By node; none for all that is no such sum.
std::vector<ChainReader> chain_readers(const bits::Function& function);

/// Whether a node is a cast, shift or inversion that a chain looks through: its value is that of
/// its operand, times a power of two or inverted, and never reduced.
bool is_seen_through(const bits::Function& function, bits::NodeId node);

}  // namespace gatewright::design
