#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "import/layers/builder.h"

/// Resizing along axes, as ONNX, PyTorch, TensorFlow and Keras have it: nearest elements are an
/// index, all other kinds a constant matrix for each axis.
namespace gatewright::layers {

enum class Interpolation { nearest, linear, cubic };

/// Where position i of y lies in x, with scale = out / in (or what the file says).
enum class Coordinates {
    half_pixel,            ///< (i + 1/2) / scale - 1/2
    half_pixel_symmetric,  ///< the same, moved so that a cut result stays centred
    pytorch_half_pixel,    ///< half_pixel, but 0 if y has one position
    align_corners,         ///< i (in - 1) / (out - 1)
    asymmetric,            ///< i / scale
    tf_half_pixel,         ///< (i + 1/2) / scale, for nearest elements
    crop,                  ///< tf_crop_and_resize: a region of x, given by its two ends
};

enum class NearestRounding { prefer_floor, prefer_ceil, floor, ceil };

struct Resizing {
    Interpolation interpolation = Interpolation::nearest;
    Coordinates coordinates = Coordinates::half_pixel;
    NearestRounding rounding = NearestRounding::prefer_floor;
    double cubic = -0.75;          ///< the coefficient a of cubic convolution
    bool exclude_outside = false;  ///< weights of positions outside x are dropped, the rest scaled
    /// Where y is smaller, kernels are as wide as the distance of its positions. Beyond the edges
    /// lies the edge as ONNX has it; PyTorch and TensorFlow exclude_outside there.
    bool antialias = false;
    double extrapolation = 0;  ///< crop: the value of positions outside x
    /// Whether coordinates are rounded to float32 on the way, as most frameworks' are: that may
    /// decide which element is the nearest.
    bool single_precision = true;
};

/// One axis of a sample that is resized.
struct ResizedAxis {
    std::int64_t axis = 0;
    std::int64_t out = 0;         ///< the new extent
    std::optional<double> scale;  ///< as the file has it; without: out / in
    double begin = 0;             ///< crop: the region's ends, from 0 to 1
    double end = 1;
};

/// The weights [in, out] of one axis.
Tensor resizing_weights(const Resizing& resizing, const ResizedAxis& axis, std::int64_t in);

Operand resized(Builder& builder, const Operand& x, const Resizing& resizing,
                const std::vector<ResizedAxis>& axes);

}  // namespace gatewright::layers
