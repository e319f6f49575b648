#pragma once

#include <optional>
#include <span>

#include "operators/function.h"

namespace gatewright::operators {

/// A chain that begins with a function without exact values (a sigmoid, say), and a quantiser of a
/// power of two: for each value of an integer n what quantize_integer(quantiser, exact_value(
/// apply(steps, n * unit))) gives, many times as fast, as no rational is made.
class RealChain {
  public:
    /// Nothing if the chain or the quantiser is of another kind, or n may need more than 60 bits.
    static std::optional<RealChain> of(const Rational& unit, std::span<const Step> steps,
                                       const Step& quantiser, std::int64_t element, Int128 most);

    Int128 at(Int128 n) const;

  private:
    int unit_ = 0;  ///< n is times 2^unit
    std::span<const Step> steps_;
    const Step* quantiser_ = nullptr;
    std::int64_t element_ = 0;
    int scale_ = 0;  ///< of the quantiser, as a power of two
    Int128 low_ = 0;
    Int128 high_ = 0;
};

}  // namespace gatewright::operators
