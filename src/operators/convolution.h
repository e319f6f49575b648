#pragma once

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

}  // namespace gatewright::operators
