#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "network/network.h"

/// What FloatEngine compiles a network to. Internal to this folder.
namespace gatewright::emulate {

/// One node at work: its operands and results, each [element][lane].
struct FloatCall {
    std::int64_t lanes = 0;
    std::span<const double* const> inputs;  ///< null where the operand is a constant
    std::span<double* const> outputs;
};

/// Computes a node's results from its operands.
using FloatStep = std::function<void(const FloatCall& call)>;

/// A node with what is known of its operands when the network is compiled.
struct FloatNode {
    const network::Node& node;
    std::vector<network::TensorType> inputs;
    std::vector<const Tensor*> constants;  ///< one an input: null where it is computed
};

/// The step on rows for a node, or null if none is better than the reference. At least one operand
/// is computed.
FloatStep row_step(const FloatNode& node);

/// The step that computes any node sample by sample with its operator's reference.
FloatStep reference_step(const FloatNode& node);

}  // namespace gatewright::emulate
