#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "operators/core_model.h"
#include "operators/real_steps.h"

namespace gatewright::emulate {

/// From the integers of one output of a core model to numbers. Emulation and simulation share this.
class Decoder {
  public:
    Decoder(const operators::CoreModel& model, std::size_t output);

    const Shape& shape() const { return shape_; }
    /// integers[e * stride + s] to values[s * elements + e], for s below `samples`.
    void decode(const std::int64_t* integers, std::int64_t stride, std::int64_t samples,
                float* values) const;

  private:
    Shape shape_;
    std::vector<int> frac_;
    std::vector<double> unit_;  ///< 2^-frac, unless one is near a double's limits
    bool is_plain_ = false;     ///< no step at all
    /// One affine step; else all of them.
    std::vector<long double> scale_;
    std::vector<long double> offset_;
    std::optional<operators::RealSteps> steps_;
};

}  // namespace gatewright::emulate
