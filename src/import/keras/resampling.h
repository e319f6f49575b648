#pragma once

#include <string>
#include <vector>

#include "import/keras/call.h"

/// Resizing of images as TensorFlow's image.resize does it, which both versions of Keras use.
namespace gatewright::keras {

struct Resampling {
    /// nearest, bilinear, bicubic, area, lanczos3, lanczos5, gaussian or mitchellcubic
    std::string interpolation = "nearest";
    bool antialias = false;  ///< where y is smaller, kernels are as wide as its positions
    /// The layer computes in float32 whatever its type: kinds with inexact weights are refused.
    bool single_precision = false;
};

struct ResampledAxis {
    std::int64_t axis = 0;    ///< of a sample
    std::int64_t extent = 0;  ///< the new one
};

/// Refuses kinds that TensorFlow does not know.
Operand resampled(Call& call, const Operand& x, const Resampling& how,
                  const std::vector<ResampledAxis>& axes);

}  // namespace gatewright::keras
