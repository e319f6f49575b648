#pragma once

#include <vector>

#include "bits/function.h"

namespace gatewright::bits {

/// All values that a node can take lie between low and high. Follows from the types of the inputs
/// and the values of constants and tables alone, and is exact for each operation by itself.
struct Range {
    Int128 low = 0;
    Int128 high = 0;
    /// Whether the exact result can exceed the node's type, so that it has to be reduced. Then the
    /// range is the type's.
    bool reduced = false;
};

/// The exact range of the result of an operation on values of these ranges, before its reduction;
/// false where it might need more than 128 bits, and for input, constant and read.
bool exact_range(Op op, std::int64_t immediate, const Range& a, const Range& b, const Range& c,
                 Range& result);

/// The range of each node.
std::vector<Range> find_ranges(const Function& function);

/// Bits of the narrowest signed type that holds the range.
int signed_bits(const Range& range);

}  // namespace gatewright::bits
