#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "linear/sums.h"

namespace gatewright::linear {

/// Sums of terms that are to be made of additions, sharing as much as they can with each other and
/// with what the graph has.
class Repair {
  public:
    Repair(Sums& sums, std::uint64_t& random) : sums_(sums), random_(random) {}

    struct Column {
        std::int32_t value = 0;  ///< what the terms add up to
        std::vector<Term> terms;
        std::vector<char> alive;
        std::vector<std::array<std::uint64_t, 2>>
            counted;  ///< per term, those whose pair with it is counted
        int left = 0;
        std::int64_t slack = 0;
    };

    void clear();
    /// Terms add up to `value`, whose level they respect. At least two, at most `most_terms`.
    static constexpr std::size_t most_terms = 64;
    void add(std::int32_t value, const std::vector<Term>& terms);

    /// Appends values to the graph until each column has two terms left. `taken`: values that
    /// cannot be read, as they will be gone. False: there is no way within the levels.
    bool run(const std::vector<char>& taken);

    const std::vector<Column>& columns() const { return columns_; }
    std::size_t count() const { return count_; }
    const Column& column(std::size_t k) const { return columns_[k]; }
    Sum last_sum(const Column& column) const;
    std::int64_t work() const { return work_; }

  private:
    struct Occurrence {
        std::int32_t column = 0;
        std::int32_t first = 0;
        std::int32_t second = 0;
        std::int32_t next = -1;
    };
    struct Pattern {
        std::uint64_t key = 0;
        std::int32_t count = 0;
        std::int32_t existing = -1;
        std::int32_t bits = 0;
        std::int32_t occurrences = -1;
        std::int32_t jitter = 0;
    };

    std::uint64_t key_of(const Term& a, const Term& b) const;
    std::int32_t find(std::uint64_t key) const;
    void add_pair(std::int32_t column, std::int32_t first, std::int32_t second);
    void forget_pairs(std::int32_t column, std::int32_t term);
    std::int64_t slack_needed(std::int32_t a, std::int32_t b, int level) const;
    void take(std::int32_t pattern);
    std::int32_t best() const;

    Sums& sums_;
    std::uint64_t& random_;
    const std::vector<char>* taken_ = nullptr;
    std::vector<Column> columns_;
    std::size_t count_ = 0;
    std::vector<Pattern> patterns_;
    std::vector<Occurrence> occurrences_;
    std::vector<std::int32_t> index_;
    std::size_t mask_ = 0;
    std::int64_t work_ = 0;
};

}  // namespace gatewright::linear
