#pragma once

#include "import/layers/builder.h"

/// Fourier transforms: constant matrices along an axis.
namespace gatewright::layers {

struct Transform {
    std::int64_t length = 0;  ///< of the transform; the axis is cut or continued with zeros
    bool inverse = false;
    /// Only the frequencies up to half of the length: of the result, or, inverse, of x, which is
    /// then the transform of real numbers.
    bool onesided = false;
};

/// x[..., 1 (real) or 2 (real, imaginary)] of one sample, along one of its other axes. Gives [...,
/// 2], or [..., 1] where the result is real.
Operand fourier(Builder& builder, const Operand& x, std::int64_t axis, const Transform& transform);

/// Transforms of frames of x[positions] (the batch in front) that begin `step` apart, each times a
/// window: [frames, frequencies, 2].
Operand frame_spectra(Builder& builder, const Operand& x, const std::vector<double>& window,
                      std::int64_t step, bool onesided);

}  // namespace gatewright::layers
