#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "bits/evaluator.h"
#include "emulate/lane_kernels.h"
#include "network/network.h"
#include "types/fixed_type.h"

/// A function of one integer in a few vector instructions, in one of two forms: few steps, or a
/// ramp, that is shifted, rounded, and clamped or wrapped. It is read off a compiled body by
/// evaluating that for every number of its exact range, so it has no arithmetic of its own.
namespace gatewright::emulate {

/// The narrowest lane that holds every element of a tensor of integers.
bits::Lane lane_of(const network::TensorType& type);

class LaneFunction {
  public:
    /// Nothing if the body has neither form in the range, or the range more than `budget` numbers.
    /// What is evaluated is taken off the budget.
    static std::optional<LaneFunction> of(const bits::Evaluator& body, const Interval& range,
                                          std::int64_t& budget);

    /// `count` lanes, a multiple of 64, as the body takes and gives them.
    void run(const std::byte* in, std::byte* out, std::int64_t count) const;

  private:
    static constexpr std::size_t most_steps = 40;
    static constexpr std::size_t few_steps = 5;  ///< take no longer than a ramp

    bool read_steps(std::int32_t low, const std::vector<std::int32_t>& values);
    bool read_ramp(std::int32_t low, const std::vector<std::int32_t>& values);

    bits::Lane in_ = bits::Lane::i8;
    bits::Lane out_ = bits::Lane::i8;
    std::int32_t base_ = 0;
    std::vector<std::int32_t> edges_;
    std::vector<std::int32_t> rises_;
    bool unit_ = false;  ///< all rises are 1
    std::optional<Ramp> ramp_;
};

}  // namespace gatewright::emulate
