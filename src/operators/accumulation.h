#pragma once

#include <string>
#include <string_view>

#include "types/fixed_type.h"

/// How a layer adds its products up. Exact is the default: the sum loses nothing and may be formed
/// in any order. With a type it is a running sum in an accumulator of that type,
///
///     a_0 = quantize(bias),    a_k = quantize(a_(k-1) + w_k x_k),    k in the order of the weights
///
/// so that the order is part of what is computed.
namespace gatewright::operators {

struct Accumulation {
    FixedType type;  ///< width 0: exact
    Rounding rounding = Rounding::half_even;
    Overflow overflow = Overflow::saturate;

    bool operator==(const Accumulation&) const = default;
    bool is_exact() const { return type.width == 0; }
    /// The integers that the accumulator can hold.
    Interval range() const;
};

/// "exact", or "fixed<16,8> half_even saturate".
std::string print_field(const Accumulation& value);
bool parse_field(std::string_view text, Accumulation& value);

/// What the accumulator makes of a sum, on doubles; the sum itself if it is exact.
double quantized(double sum, const Accumulation& accumulator);

}  // namespace gatewright::operators
