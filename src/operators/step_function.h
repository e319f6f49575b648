#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "operators/function.h"
#include "types/fixed_type.h"

/// Integer step functions: what a chain of real functions between a fixed-point tensor and a
/// quantiser is, for one element. Found exactly, then given the cheapest form.
namespace gatewright::operators {

/// integer(y) for integer(x) = n in `domain`: from the chain of steps applied to n * unit, then the
/// quantiser. All elements of a tensor with equal parameters share one.
struct StepFunction {
    Interval domain;
    Rational unit;                ///< of n
    std::span<const Step> steps;  ///< before the quantiser
    const Step* quantiser = nullptr;
    std::int64_t element = 0;  ///< whose parameters apply

    /// The integer of y, exactly (quantize_integer of the chain).
    Int128 at(Int128 n) const;
    /// +1 rising, -1 falling, 0 neither.
    int direction() const;
};

/// y = clamp(round((multiplier n + addend) / 2^shift), range) + base; with overflow `wrap`, modulo
/// the range instead of clamped.
struct AffineForm {
    Int128 multiplier = 0;
    Int128 addend = 0;
    int shift = 0;
    Rounding rounding = Rounding::floor;
    Overflow overflow = Overflow::saturate;
    Interval range;
    Int128 base = 0;
};

/// y = base + step * (number of thresholds t with n >= t).
struct ThresholdForm {
    std::vector<Int128> thresholds;
    Int128 base = 0;
    int step = 1;
};

/// The thresholds of a monotone function, or nothing if it has more than `most` levels.
std::optional<ThresholdForm> threshold_form(const StepFunction& f, std::int64_t most);

/// The affine form with the shortest multiplier that has exactly these thresholds, or nothing.
std::optional<AffineForm> fit_affine(const ThresholdForm& form);

/// An affine form of a chain of affine, maximum and minimum steps before a quantiser, found without
/// listing levels and exact by construction: either all of it is dyadic, or the multiplier has so
/// many bits that no integer of the domain can fall on the other side of a boundary. With
/// `keep_rounding` the form rounds as the quantiser does; else it may round down with another
/// addend, where that is the same function.
std::optional<AffineForm> direct_affine(const StepFunction& f, bool keep_rounding);

/// y for every n of the domain, or nothing if there are more than `most`.
std::optional<std::vector<Int128>> table_form(const StepFunction& f, std::int64_t most);

/// Rough costs in lookup tables, for choosing between the forms.
double cost(const AffineForm& form, const Interval& domain);
double cost(const ThresholdForm& form, const Interval& domain);
double table_cost(std::span<const Int128> words);

}  // namespace gatewright::operators
