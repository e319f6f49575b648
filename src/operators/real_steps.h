#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "operators/function.h"

namespace gatewright::operators {

/// Steps on tensors of doubles, as a float framework would apply them, made ready once for many
/// tensors of one shape. Understands `softmax`, whose parameter is the axis, besides element-wise
/// functions. The steps must outlive it.
class RealSteps {
  public:
    RealSteps(std::span<const Step> steps, Shape shape);

    /// In place, on the elements of one tensor.
    void apply(std::span<double> values) const;

  private:
    struct Ready {
        const Step* step;
        std::vector<PerElement<long double>> parameters;
        /// The parameters of element e at e * pitch, where that is not too much; pitch 0: the same
        /// for all elements.
        std::vector<long double> table;
        std::size_t pitch = 0;
        std::vector<RealSteps> branches;
    };
    void fill_table(Ready& ready) const;
    void apply(const Ready& ready, std::span<double> values) const;

    Shape shape_;
    std::vector<Ready> steps_;
};

}  // namespace gatewright::operators
