#pragma once

#include <cstdint>
#include <vector>

namespace gatewright::linear {

/// Columns of integers as sums of parts, W = parts * combine, where columns that resemble each
/// other share: a column is `+-parent + part`, and its parent likewise, up to a part of its own.
struct Decomposition {
    struct Step {
        std::int32_t part = 0;
        bool negative = false;
    };
    std::vector<std::vector<std::int64_t>> parts;
    std::vector<std::vector<Step>> columns;  ///< per column: the parts that it is the sum of
};

/// Spans the columns by a tree of least total digits, no path of which has more than
/// `longest_path` parts; parts of paths longer than one have at most `most_digits` digits. A part
/// that is not a column itself counts `penalty` digits more, for the addition that joins it.
/// Weights must be below 2^62 in magnitude.
Decomposition decompose(const std::vector<std::vector<std::int64_t>>& columns, int longest_path,
                        std::int64_t most_digits, int penalty);

}  // namespace gatewright::linear
