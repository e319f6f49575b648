#pragma once

#include "operators/core_model.h"

namespace gatewright::project {

/// What came of reading functions of one integer: tables, thresholds, quantisers and the like.
struct FunctionCheck {
    std::int64_t functions = 0;  ///< distinct bodies of maps with one operand
    std::int64_t in_full = 0;    ///< of these, read at every integer of their range
    std::int64_t at_edges = 0;   ///< of these, read at the edges, and at integers spread between
    std::int64_t entries = 0;    ///< results compared
    std::int64_t wrong = 0;

    /// Whether every layer's functions were read in full.
    bool complete() const { return in_full == functions; }
};

/// Compares the body of each map of one operand, as the circuit has it, with the operator's fields
/// read plainly: at every integer of its exact range where that has at most 2^24 integers (tables
/// and thresholds first, up to about 2^32 operations in all), else at both ends, around zero, at
/// each threshold and the integer before it, where a quantiser's result changes its sign or leaves
/// its type, and at 65536 integers spread over the range.
FunctionCheck check_functions(const operators::CoreModel& model);

}  // namespace gatewright::project
