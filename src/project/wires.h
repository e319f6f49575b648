#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bits/function.h"
#include "types/fixed_type.h"

/// Ranges of all wires of a circuit: proof that no result is cut short, but where it is meant to
/// be.
namespace gatewright::project {

/// What is known of the values of one wire.
enum class WireProof : std::uint8_t {
    interval,     ///< the exact result fits the wire, by the intervals of the operands
    linear_form,  ///< it fits, because it is a sum of multiples of earlier wires that does
    reduced,      ///< it is reduced modulo 2^width
};

struct WireRanges {
    std::vector<Interval> ranges;   ///< [node]
    std::vector<WireProof> proofs;  ///< [node]
};

/// A range that is known of a wire from elsewhere.
struct KnownRange {
    bits::NodeId wire = 0;
    Interval range;
};

/// Ranges of every node of `function`, whose inputs lie in `inputs`. But for `known` they follow
/// from the function alone: additions, subtractions, shifts, lossless casts and products with
/// constants are carried as linear forms over the wires that are none of these, whose hull is
/// exact; all other operations by interval arithmetic.
WireRanges find_wire_ranges(const bits::Function& function, const std::vector<Interval>& inputs,
                            const std::vector<KnownRange>& known = {});

}  // namespace gatewright::project
