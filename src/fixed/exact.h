#pragma once

#include <optional>
#include <vector>

#include "bits/function.h"
#include "types/fixed_type.h"

/// Interval arithmetic on integers of at most 128 bits. Every result is exact (the smallest
/// interval that holds all results of independent operands) or nothing where it does not fit an
/// Int128.
namespace gatewright::fixed {

std::optional<Interval> sum(const Interval& a, const Interval& b);
std::optional<Interval> difference(const Interval& a, const Interval& b);
std::optional<Interval> product(const Interval& a, const Interval& b);
/// a * 2^amount, amount >= 0 of any size.
std::optional<Interval> shifted(const Interval& a, int amount);
std::optional<Interval> absolute(const Interval& a);

/// +-2^shift
struct SignedDigit {
    int shift = 0;
    bool negative = false;
};
/// The digits that add up to `value`, lowest first, no two adjacent (canonical signed digits).
std::vector<SignedDigit> signed_digits(Int128 value);

/// The narrowest bits type that holds `range`.
bits::Type bits_type(const Interval& range);
bits::Type bits_type(const FixedType& type);

}  // namespace gatewright::fixed
