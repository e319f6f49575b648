#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "linear/sums.h"

namespace gatewright::linear {

/// Writes a linear form as a sum of values that a graph has: again and again the value, shifted and
/// signed, that leaves the fewest signed digits. So a sum is found whatever it was made of, and
/// whatever signed-digit form its coefficients had.
///
/// What a value takes away is added up from the digits that each of its coefficients, subtracted or
/// added, shifted by 0, 1, 2 ..., takes from what is left of its input. Those are in tables, one
/// for each number that was ever left.
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

    /// Digits taken away by the shifts 0 .. 7 of a block, subtracted, then added; saturated.
    typedef std::int8_t Gains __attribute__((vector_size(16)));

  private:
    static constexpr int shifts = 8;      ///< of a block
    static constexpr int least_gain = 2;  ///< what takes one digit is no better than an input
    static constexpr std::int8_t unknown = -128;

    /// A coefficient of a form.
    struct Element {
        std::uint32_t input : 11;
        std::uint32_t place : 21;  ///< of its digits: id of its magnitude * 4 + (negative ? 1 : 0)
    };
    struct Form {
        std::uint32_t first = 0;
        std::uint32_t last = 0;
        std::uint64_t key = 0;  ///< of the value then: its sign may have changed since
    };
    /// A value that may be a term, and its form once more: what the inner loop reads.
    struct Candidate {
        std::int32_t value = 0;
        std::uint32_t first = 0;
        std::uint16_t elements = 0;
        std::int16_t level = 0;
    };
    static constexpr std::size_t most_gain = 127;  ///< what a byte holds
    struct FactorsOfInput {
        std::vector<std::uint32_t> ids;
        std::vector<bool> has;  ///< by id
    };

    /// What a factor takes: subtracted, added and once more the same, so that at `shifts` bytes
    /// further there is what the opposite factor takes.
    struct Digits {
        std::int8_t lanes[4 * shifts] = {unknown};
    };
    /// For one magnitude of what is left.
    struct Table {
        std::vector<Digits> digits;        ///< [block][id of the factor, `capacity_`]
        std::vector<std::uint32_t> ready;  ///< per input, how many of its factors are there
    };
    /// Where the digits are for what is left of an input now.
    struct Base {
        const std::int8_t* lanes = nullptr;
        std::int32_t left = 0;
    };
    struct Choice {
        std::int64_t slack = 0;
        int gain = least_gain;
        std::uint64_t ties = 0;
        Term term{-1, 0, false};
    };

    void append(std::int32_t input, std::int32_t coefficient);
    std::int32_t coefficient(Element element) const;
    std::size_t blocks_for(const Sums& sums) const;
    void make_digits(std::int32_t factor, std::int32_t left, Digits* digits) const;
    void look_up(std::size_t input);
    void forget_tables();
    void forget_dead(const Sums& sums, std::size_t digits);
    bool change(const Sums& sums, const Term& term, int sign, int& total);
    Gains gains_of(const Candidate& candidate, std::size_t block) const;
    void look_at(const Sums& sums, const Candidate& candidate, Choice& choice,
                 std::uint64_t& random);
    bool search(const Sums& sums, int total, int level, const std::vector<char>& taken,
                std::size_t most_terms, std::uint64_t& random);

    std::vector<std::int32_t> factors_;  ///< by id: magnitudes of coefficients
    std::unordered_map<std::int32_t, std::uint32_t> ids_;
    std::vector<FactorsOfInput> factors_of_input_;
    std::vector<Element> elements_;                   ///< of all forms
    std::vector<Form> forms_;                         ///< by value
    std::vector<std::vector<Candidate>> candidates_;  ///< by the digits of their forms
    std::vector<std::size_t> alive_;                  ///< of each, how many were so lately

    std::size_t blocks_ = 1;
    std::size_t capacity_ = 0;
    std::vector<Table> tables_;
    std::unordered_map<std::int32_t, std::size_t> table_of_;  ///< by magnitude

    std::vector<std::int32_t> left_;                 ///< of each input
    std::vector<Base> bases_;                        ///< of each input
    std::vector<std::vector<Candidate>> looked_at_;  ///< by the digits they took when looked at
    std::vector<Candidate> waiting_;
    std::vector<Term> terms_;
    std::int64_t work_ = 0;
};

}  // namespace gatewright::linear
