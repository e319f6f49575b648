#pragma once

#include <optional>
#include <span>
#include <vector>

#include "operators/function.h"

namespace gatewright::operators {

/// x / d rounded to an integer; d > 0.
Int128 divided(Int128 x, Int128 d, Rounding rounding);
/// The number of [low, high] that is x modulo their count.
Int128 wrapped(Int128 x, Int128 low, Int128 high);

/// A chain of exact steps and a quantiser, in integers: for each value of an integer n what
/// quantize_integer(quantiser, apply(steps, n * unit)) gives, many times as fast. Between the steps
/// a value is an integer over a denominator that depends on the parameters alone.
class IntegerChain {
  public:
    /// Nothing if a step is of another kind (affine, maximum, minimum, leaky, absolute and quantize
    /// are known), or an integer in between may need more than 120 bits for |n| <= `most`.
    static std::optional<IntegerChain> of(const Rational& unit, std::span<const Step> steps,
                                          const Step& quantiser, std::int64_t element, Int128 most);

    Int128 at(Int128 n) const;

  private:
    enum class Kind { affine, maximum, minimum, leaky, absolute, divide, clip, wrap };
    /// affine: a x + b; maximum, minimum: of x and a; leaky: a x, where x < 0 b x; divide: x / a,
    /// rounded; clip: to a .. b; wrap: into a .. b.
    struct Work {
        Kind kind;
        Int128 a = 0;
        Int128 b = 0;
        Rounding rounding = Rounding::floor;
    };
    struct Maker;

    std::vector<Work> work_;
};

}  // namespace gatewright::operators
