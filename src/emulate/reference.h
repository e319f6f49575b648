#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "emulate/arrays.h"
#include "network/network.h"

namespace gatewright::emulate {

/// Runs a network of layers as it was trained: each layer's `reference` on real numbers in double,
/// sample by sample. Inputs and outputs in the network's order.
void run_reference(const network::Network& layers, std::span<const InputArray> inputs,
                   std::int64_t samples, std::span<const OutputArray> outputs, int threads = 1);

/// One sample; tensors without a batch axis.
std::vector<Tensor> run_reference(const network::Network& layers, std::span<const Tensor> inputs);

}  // namespace gatewright::emulate
