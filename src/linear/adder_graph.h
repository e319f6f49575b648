#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "types/fixed_type.h"

/// Constant matrix times vector as a graph of two-operand additions.
namespace gatewright::linear {

/// value = (+-)(a << shift_a) + (+-)(b << shift_b). At most one operand is negated.
struct Addition {
    std::int32_t a = 0;  ///< index of a value: inputs are 0 .. n_in-1, addition i makes n_in + i
    std::int32_t b = 0;
    std::uint8_t shift_a = 0;
    std::uint8_t shift_b = 0;
    bool negate_a = false;
    bool negate_b = false;

    bool operator==(const Addition&) const = default;
};

/// y = (+-)(value << shift); value -1 is the constant zero.
struct Output {
    std::int32_t value = -1;
    std::uint8_t shift = 0;
    bool negate = false;

    bool operator==(const Output&) const = default;
};

/// y = x * W for a constant matrix W[n_in, n_out].
/// Invariant: each addition uses only inputs and earlier additions.
struct AdderGraph {
    std::int32_t n_in = 0;
    std::vector<Addition> additions;
    std::vector<Output> outputs;  ///< one per column
};

/// An integer matrix, row-major, W[n_in, n_out].
struct Matrix {
    std::int64_t n_in = 0;
    std::int64_t n_out = 0;
    std::vector<std::int64_t> weights;

    std::int64_t at(std::int64_t i, std::int64_t o) const {
        return weights[static_cast<std::size_t>(i * n_out + o)];
    }
};

/// What the search may use.
struct Effort {
    int extra_depth = -1;  ///< adder levels allowed over the shallowest tree; negative: no limit

    /// Pairs of terms that may be compared in one attempt, about 10 ns each. A matrix that has more
    /// (the sum over its columns of the square of their non-zero digits) is first shared within
    /// blocks of its inputs.
    std::int64_t work = 250'000'000;

    /// Pairs of terms that all attempts together should compare; the best attempt is kept. Two are
    /// made (one where a single one compares over 50 million), or more, up to `most_attempts`.
    std::int64_t search = 20'000'000;
    int most_attempts = 16;
};

/// Builds an adder graph for `matrix`, whose inputs lie in `ranges` (one per row). Deterministic.
/// Signs and powers of two are absorbed; weights of -1, 0 and 1 cost additions only.
AdderGraph build_adder_graph(const Matrix& matrix, const std::vector<Interval>& ranges,
                             const Effort& effort);

/// Proves that the graph computes x * matrix by evaluating it on linear forms (exact integer
/// coefficients, no sampling). Returns an empty string, or the first difference in words.
std::string prove(const AdderGraph& graph, const Matrix& matrix);

/// Figures of a graph as the benchmark defines them.
struct Figures {
    std::int64_t adders = 0;
    std::int64_t depth = 0;            ///< longest chain of additions
    std::int64_t full_adder_bits = 0;  ///< exact output widths less the low bits that are copies
};
Figures figures_of(const AdderGraph& graph, const std::vector<Interval>& ranges);

/// Exact range of every value of the graph (inputs, then additions): the interval over all inputs
/// within `ranges`, from the linear form of each value.
std::vector<Interval> ranges_of(const AdderGraph& graph, const std::vector<Interval>& ranges);

}  // namespace gatewright::linear
