#pragma once

#include <cstdint>
#include <vector>

#include "emulate/float_plan.h"

/// The steps of layers that sum products with constant weights: they are most of a network's work,
/// and share how weights are packed. Internal to the float engine.
namespace gatewright::emulate {

/// Null where the reference is what computes a node (row_step).
FloatStep matmul_step(const FloatNode& node);
FloatStep conv_step(const FloatNode& node);
FloatStep conv_transpose_step(const FloatNode& node);

/// Which elements of the input each element of a single-input move copies; -1: zero.
std::vector<std::int64_t> sources_of(const network::Operator& op, network::Attributes attributes,
                                     const Shape& x);

}  // namespace gatewright::emulate
