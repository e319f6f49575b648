#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "linear/sums.h"

namespace gatewright::linear {

/// Writes a linear form as a sum of values that a graph has: again and again the value, shifted and
/// signed, that leaves the fewest signed digits. So a sum is found whatever it was made of, and
/// whatever signed-digit form its coefficients had.
///
/// What each value takes away is added up from rows, one for each distinct coefficient of an input:
/// the digits that subtracting the coefficient, shifted by 0, 1, 2 ..., takes from what is left of
/// that input. Only rows of inputs that change are made again.
class Cover {
  public:
    /// Forms of all values. False: their coefficients are too large for this search.
    bool reset(const Sums& sums);

    /// The form of a value that is new.
    void enter(const Sums& sums, std::int32_t value);

    /// Terms that add up to `root`, at most `most_terms` of values below `level` that are not
    /// `taken`, so that their sum can be made at that level. Empty: nothing found.
    const std::vector<Term>& find(const Sums& sums, const Term& root, int level,
                                  const std::vector<char>& taken, std::size_t most_terms,
                                  std::uint64_t& random);

    std::int64_t work() const { return work_; }

  private:
    static constexpr int lanes = 8;
    typedef std::int16_t Lanes __attribute__((vector_size(2 * lanes)));

    struct Row {
        std::int32_t input = 0;
        std::int32_t factor = 0;  ///< positive
    };
    struct Form {
        std::uint32_t first = 0;
        std::uint32_t last = 0;
        std::uint64_t key = 0;  ///< of the value then: its sign may have changed since
    };

    /// Digits taken from what is left by a factor; shared by all inputs, never made twice.
    struct Known {
        std::uint64_t key = 0;  ///< factor << 32 | left, neither of them 0
        std::uint32_t place = 0;
    };
    const Lanes* known_digits(std::int32_t factor, std::int32_t left);
    void make_digits(std::int32_t factor, std::int32_t left, Lanes* lanes_of_row) const;

    struct Gains {
        Lanes subtracted;
        Lanes added;
    };
    Gains gains_of(std::int32_t value, int block);
    int most_of(std::int32_t value);
    std::int32_t row_of(std::int32_t input, std::int32_t factor);
    bool search(const Sums& sums, int total, int level, const std::vector<char>& taken,
                std::size_t most_terms, std::uint64_t& random);
    void fill_row(std::uint32_t row);
    bool change(const Sums& sums, const Term& term, int sign);

    int blocks_ = 1;  ///< of `lanes` shifts
    std::vector<Row> rows_;
    std::vector<std::vector<std::int32_t>> rows_of_input_;
    struct RowState {
        std::int32_t input = 0;
        std::int32_t left = 0;  ///< of the input, when the row was filled
    };
    std::vector<RowState> states_;
    std::vector<Lanes> digits_;            ///< [row][block][subtracted, added]
    std::vector<std::uint32_t> elements_;  ///< of forms: row * 2 + (negative ? 1 : 0)
    std::vector<Form> forms_;
    std::vector<std::int32_t> residual_;
    std::vector<char> filled_;  ///< inputs in `touched_`
    std::vector<std::int32_t> touched_;
    std::vector<Known> known_;
    std::vector<Lanes> known_lanes_;
    std::size_t known_count_ = 0;
    int known_shift_ = 0;
    std::vector<std::vector<std::int32_t>> buckets_;  ///< by digits taken, now or before
    std::vector<std::pair<std::int32_t, int>> looked_at_;
    std::vector<Term> terms_;
    std::int64_t work_ = 0;
};

}  // namespace gatewright::linear
