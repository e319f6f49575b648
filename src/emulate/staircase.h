#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "bits/evaluator.h"
#include "types/fixed_type.h"

/// A function of one integer with few steps, as base + the sum of the rises whose edge x has
/// reached. It is read off a compiled body by evaluating that for every number of its exact range,
/// so it has no arithmetic of its own.
namespace gatewright::emulate {

class Staircase {
  public:
    /// Nothing if the body has more than `most_steps` steps in the range, or the range more than
    /// `budget` numbers. What is evaluated is taken off the budget.
    static std::optional<Staircase> of(const bits::Evaluator& body, const Interval& range,
                                       std::int64_t& budget);
    static constexpr std::size_t most_steps = 40;

    /// `count` lanes, as the body takes and gives them.
    void run(const std::byte* in, std::byte* out, std::int64_t count) const;

  private:
    bits::Lane in_ = bits::Lane::i8;
    bits::Lane out_ = bits::Lane::i8;
    std::int32_t base_ = 0;
    std::vector<std::int32_t> edges_;
    std::vector<std::int32_t> rises_;
    bool unit_ = false;  ///< all rises are 1
};

}  // namespace gatewright::emulate
