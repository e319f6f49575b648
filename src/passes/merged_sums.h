#pragma once

#include <vector>

#include "bits/function.h"

namespace gatewright::passes {

/// Sums that their only reader, a sum as well, adds in its own carry chain: such a chain takes
/// three operands where a bit has a table of six inputs and two outputs (rtl/gatewright_sum.v).
/// Returns for each node whether it is such a sum. Each reader takes at most one, which takes none
/// itself; of all choices, one that saves the most tables.
///
/// A sum is merged only if its exact value is never reduced, or by no more than its reader is.
std::vector<char> merged_sums(const bits::Function& function);

}  // namespace gatewright::passes
