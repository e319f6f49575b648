#pragma once

#include "operators/layers.h"
#include "operators/lowering.h"
#include "operators/move.h"

/// What convolutions of all kinds are made of.
namespace gatewright::operators {

/// Weights (input 1) of a convolution; refuses computed weights and biases (input 2).
const Tensor& constant_weights(Lowering& lowering, const Node& node);

/// y[o, p] = bias[o] + sum over c, k of weights[o, c, k] x[c, patch p, k], with the patches of
/// `window` and weights[O, C / groups, kernel...]. The bias may be empty.
RealTensor convolve(Lowering& lowering, const RealTensor& x, const WindowFields& window,
                    const Tensor& weights, std::int64_t groups, const Tensor& bias,
                    const Accumulation& accumulator);

/// One product in a transposed convolution: a position of the input through a tap of the kernel.
struct Contribution {
    std::int64_t position = 0;
    std::int64_t tap = 0;
};

/// For each position of y, what reaches it, by position of x; w has shape [C, O / groups, kernel].
std::vector<std::vector<Contribution>> contributions(const ConvTransposeFields& fields,
                                                     const Shape& x, const Shape& w,
                                                     const Shape& y);

}  // namespace gatewright::operators
