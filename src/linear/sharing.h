#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "linear/adder_graph.h"

namespace gatewright::linear {

/// One term of a column's sum: sign * (value << shift).
struct Term {
    std::int32_t value = 0;
    std::uint8_t shift = 0;
    bool negative = false;

    bool operator==(const Term&) const = default;
};

/// Appends coefficient * value as terms, one for each digit of the canonical form.
void append_digits(std::int32_t value, std::int64_t coefficient, std::vector<Term>& terms);

/// What the search knows of a value: its exact range lies within `range` (by interval arithmetic,
/// saturated at 120 bits: it only guides choices), `width` holds that range.
struct ValueInfo {
    Interval range;
    int width = 0;
    int depth = 0;
};

/// An input within `range`, there at level `arrival`.
ValueInfo input_info(const Interval& range, int arrival = 0);

/// The value of `addition` over operands `a` and `b`.
ValueInfo info_of(const Addition& addition, const ValueInfo& a, const ValueInfo& b);

/// Full-adder bits of an addition whose result is `width` bits wide: the low bits that are a plain
/// copy of the unshifted operand cost nothing, unless that operand is subtracted.
int full_adder_bits(const Addition& addition, int width);

/// How the greedy search ranks expressions.
struct Ranking {
    enum class Weight { overlap, adder_bits, count } weight = Weight::overlap;
    std::uint64_t seed = 0;  ///< order among equals; 0: the expression made last comes first
};

/// Sums of terms that share two-term expressions.
///
/// Invariant: for each column, the sum of its terms over the values is unchanged by every step.
/// Each step makes the expression `low + sign * (high << distance)` of highest rank (times it
/// occurs, weighted by what its adder costs) a new value and puts it in place of each occurrence.
///
/// An expression occurs most often at the moment when the younger of its operands is made; later
/// steps only take occurrences away. So the queue holds upper bounds, and only the pair at its
/// front is recounted.
class Sharing {
  public:
    /// `columns` are sums over the values 0 .. inputs.size()-1. `depth_limits`: empty for none, or
    /// one per column, which must be summable within that many levels, and stays so.
    Sharing(std::vector<ValueInfo> inputs, const std::vector<std::vector<Term>>& columns,
            const std::vector<int>& depth_limits, const Ranking& ranking);

    /// Shares among the values `members` and what is made of them, until no expression occurs
    /// twice. Other values keep their terms.
    void share(const std::vector<std::int32_t>& members);

    /// The terms left, in a fixed order, per column.
    std::vector<std::vector<Term>> terms() const;
    const std::vector<ValueInfo>& values() const { return values_; }
    const std::vector<Addition>& additions() const { return additions_; }

    /// Term updates and recounts so far: a measure of work that is the same on every machine.
    std::int64_t work() const { return work_; }

  private:
    struct Entry {  ///< the digits of one value in one column
        std::int32_t column = 0;
        std::uint64_t positive = 0;
        std::uint64_t negative = 0;
    };
    struct Pair {
        std::int32_t a = 0;
        std::int32_t b = 0;
    };
    struct Pattern {  ///< low + (negative ? -1 : 1) * (high << distance)
        std::int32_t low = -1;
        std::int32_t high = -1;
        int distance = 0;
        bool negative = false;
        std::int64_t score = 0;
    };
    struct Occurrence {
        std::int32_t column = 0;
        int shift = 0;  ///< of the low operand
        bool negative = false;
    };

    int weight(const Pattern& pattern) const;
    Pattern pattern_of(std::int32_t a, std::int32_t b, int distance, bool negative) const;
    std::int64_t slack_needed(std::int32_t a, std::int32_t b) const;
    void count_new(std::int32_t value);
    void enlist(std::int32_t value);
    void push(std::int64_t score, Pair pair);
    bool pop(std::int64_t& score, Pair& pair);
    Pattern best_pattern(Pair pair);
    void count_cross(std::int32_t a, std::int32_t b);
    void count_own(std::int32_t value);
    std::vector<Occurrence> occurrences(const Pattern& pattern);
    void replace(const Pattern& pattern, const std::vector<Occurrence>& where);
    void remove_term(std::int32_t value, int shift, const Occurrence& where, bool negative);

    Ranking ranking_;
    bool limited_ = false;
    std::vector<ValueInfo> values_;
    std::vector<Addition> additions_;
    std::vector<std::vector<Entry>> entries_;          ///< per value, by column
    std::vector<std::vector<std::uint32_t>> columns_;  ///< per column, the members' terms, packed
    std::vector<std::int64_t> slack_;                  ///< per column: 2^limit - sum of 2^depth
    std::vector<std::vector<Pair>> queue_;             ///< by score
    std::int64_t top_ = -1;
    std::int64_t work_ = 0;
    std::uint64_t random_ = 0;
    int max_shift_ = 0;

    // Scratch counters, all zero between calls. An index is (distance + 63) * 2 + sign.
    std::array<std::int32_t, 254> counts_{};
    std::array<std::int32_t, 254> column_counts_{};
    std::vector<std::int32_t> touched_;
    std::vector<std::int32_t> row_counts_;  ///< per other value, distance and sign
    std::vector<std::size_t> row_touched_;
    std::vector<std::int64_t> row_best_;  ///< per other value
    std::vector<std::int32_t> rows_touched_;
};

}  // namespace gatewright::linear
