#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bits/builder.h"
#include "types/fixed_type.h"
#include "types/rational.h"

/// Fixed-point numbers over bits: the binary point, alignment, growth, rounding and overflow. This
/// is the only place that creates arithmetic. Adding, multiplying and comparing never loses a bit:
/// the result's type is as wide as its exact range needs. Only `quantize` rounds.
namespace gatewright::fixed {

/// A fixed-point value under construction.
/// Invariant: every value the node can take lies in `range`, and `type` is type_for(range, frac) or
/// wider; the node's bits type has the sign and width of `type`.
struct Fixed {
    bits::NodeId bits = 0;
    FixedType type;
    Interval range;  ///< of the integer, at type.frac
};

/// Builds fixed-point arithmetic into a bits::Builder. A value that would need more than 128 bits
/// throws Failure(width_exceeded) naming the current origin.
class Builder {
  public:
    explicit Builder(bits::Builder& builder) : bits_(builder) {}

    bits::Builder& bits() { return bits_; }
    void set_origin(std::string_view layer);

    /// An input of the function, of which only values within `range` come; the result is cut to the
    /// bits that these need.
    Fixed input(std::string name, const FixedType& type, const Interval& range);
    /// A node of any origin, known to lie within `range`; its bits are cast to type_for(range).
    Fixed value(bits::NodeId node, const Interval& range, int frac);
    /// integer * 2^-frac
    Fixed constant(Int128 integer, int frac);

    Fixed add(const Fixed& a, const Fixed& b);
    Fixed sub(const Fixed& a, const Fixed& b);
    Fixed neg(const Fixed& a);
    Fixed mul(const Fixed& a, const Fixed& b);
    /// a * 2^amount: only the binary point moves.
    Fixed scale(const Fixed& a, int amount);
    /// a * integer * 2^-frac by shifts and additions of canonical signed digits.
    Fixed mul_constant(const Fixed& a, Int128 integer, int frac);

    Fixed max(const Fixed& a, const Fixed& b);
    Fixed min(const Fixed& a, const Fixed& b);
    Fixed abs(const Fixed& a);
    /// Comparisons give one unsigned bit (0 or 1, frac 0).
    Fixed less(const Fixed& a, const Fixed& b);
    Fixed equal(const Fixed& a, const Fixed& b);
    /// a >= threshold (an integer at a's frac), by as few bits of a as its range allows.
    Fixed at_least(const Fixed& a, Int128 threshold);
    /// Of values with the range [0, 1] and frac 0, as comparisons give them.
    Fixed logical_not(const Fixed& a);
    Fixed logical_and(const Fixed& a, const Fixed& b);
    Fixed logical_or(const Fixed& a, const Fixed& b);
    /// if_set where `condition` (one unsigned bit) is 1, else if_clear; both aligned to one type.
    Fixed select(const Fixed& condition, const Fixed& if_set, const Fixed& if_clear);

    /// The one operator that rounds: to the grid 2^-type.frac, then into the type's range. The
    /// result has type.frac and the narrowest width for its range, which may be less than
    /// type.width.
    Fixed quantize(const Fixed& a, const FixedType& type, Rounding rounding, Overflow overflow);
    /// Clamps the integer (at a's frac) into [low, high]; low <= high.
    Fixed clamp(const Fixed& a, Int128 low, Int128 high);

    /// a at `frac` >= a.type.frac: exact, low zeros appended.
    Fixed align(const Fixed& a, int frac);
    /// Only declares what is known: the range becomes its intersection with `range`.
    Fixed assume_range(const Fixed& a, const Interval& range);

    /// Sum of all, as a balanced tree; the exact range of the sum.
    Fixed sum(std::span<const Fixed> terms);
    /// table[a - low] for a's integer in [low, low + size); words are integers at `frac`.
    Fixed lookup(const Fixed& a, std::string_view name, Int128 low,
                 const std::vector<Int128>& words, int frac);
    /// base + number of thresholds T_k (sorted, integers at a's frac) with a >= T_k.
    Fixed count_thresholds(const Fixed& a, const std::vector<Int128>& thresholds, Int128 base);

  private:
    Fixed finish(bits::NodeId node, const Interval& range, int frac);
    Fixed choose(const Fixed& condition, const Fixed& if_set, const Fixed& if_clear,
                 const Interval& range);
    Fixed shifted_down(const Fixed& a, int amount);
    Fixed low_bits(const Fixed& a, int count);
    Fixed round_up_bit(const Fixed& a, int dropped, Rounding rounding);
    Fixed shifted_up(const Fixed& a, int amount, const FixedType& type, Overflow overflow);
    Fixed rounded_far(const Fixed& a, int dropped, Rounding rounding);
    Fixed by_table(const Fixed& a, const std::vector<Int128>& thresholds,
                   const std::vector<Int128>& values);
    Fixed by_search(const Fixed& a, const std::vector<Int128>& thresholds,
                    const std::vector<Int128>& values);
    Fixed by_comparators(const Fixed& a, const std::vector<Int128>& thresholds,
                         const std::vector<Int128>& values);
    [[noreturn]] void fail_width(std::string_view what) const;

    bits::Builder& bits_;
    std::string origin_;
};

/// round(value * 2^-dropped) as an integer; dropped >= 0, of any size.
Int128 round_shift(Int128 value, int dropped, Rounding rounding);

/// What quantize(type, rounding, overflow) makes of the integer `value` at `frac`: the plain
/// definition on one number, for folding constants and for tests.
Int128 quantize(Int128 value, int frac, const FixedType& type, Rounding rounding,
                Overflow overflow);

}  // namespace gatewright::fixed
