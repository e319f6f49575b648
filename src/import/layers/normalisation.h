#pragma once

#include <optional>

#include "import/layers/builder.h"

/// Normalisations whose statistics come from the sample itself. Axes and shapes are those of a
/// sample; gamma and beta broadcast to x (per sample). Results have the shape of x.
namespace gatewright::layers {

/// What follows a normalisation: y gamma + beta.
struct Affine {
    std::optional<Operand> gamma;
    std::optional<Operand> beta;
};

Operand scaled(Builder& builder, const Operand& x, const Affine& affine);

/// A standardised tensor and its statistics, with the reduced axes of extent 1.
struct Standardised {
    Operand y;
    Operand mean;
    Operand inverse_deviation;  ///< 1 / sqrt(variance + epsilon)
};

/// (x - mean) / sqrt(variance + epsilon) over `axes`, the variance of all elements (divided by
/// their number).
Standardised standardised(Builder& builder, const Operand& x, Shape axes, double epsilon);

Operand layer_norm(Builder& builder, const Operand& x, const Shape& axes, double epsilon,
                   const Affine& affine);

/// x / sqrt(mean of x^2 + epsilon)
Operand rms_norm(Builder& builder, const Operand& x, const Shape& axes, double epsilon,
                 const Affine& affine);

/// Of x[..., channels, ...] with the channels along `axis`, in groups of neighbouring channels:
/// standardised over a group's channels and all axes in `others`. Instance normalisation has as
/// many groups as channels.
Operand group_norm(Builder& builder, const Operand& x, std::int64_t axis, const Shape& others,
                   std::int64_t groups, double epsilon, const Affine& affine);

/// How a norm that may be zero is kept from dividing by zero.
enum class NormFloor {
    none,             ///< x / norm
    largest,          ///< x / max(norm, epsilon)
    largest_squared,  ///< x / sqrt(max(sum of squares, epsilon)), p = 2 only
    added,            ///< x / (norm + epsilon)
    zero,             ///< 0 where the norm is 0, else x / norm
};

/// (sum of |x|^p)^(1/p) over axes; p may be infinite. Axes stay with extent 1 if `keep`.
Operand lp_norm(Builder& builder, const Operand& x, double p, const Shape& axes, bool keep);

Operand lp_normalised(Builder& builder, const Operand& x, double p, const Shape& axes,
                      NormFloor floor, double epsilon);

/// x / (bias + alpha s)^beta with s the sum of squares over `size` channels around each, `before`
/// of them before it; channels along `axis`.
Operand local_response(Builder& builder, const Operand& x, std::int64_t axis, std::int64_t size,
                       std::int64_t before, double alpha, double beta, double bias);

}  // namespace gatewright::layers
