#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "emulate/encode.h"
#include "network/network.h"

namespace gatewright::emulate {

/// The layers on real numbers, in double: `predict --float`.
/// Result per output: [sample][element].
struct ReferenceResult {
    std::vector<Shape> shapes;
    std::vector<std::vector<float>> values;
};
ReferenceResult run_reference(const network::Network& layers, const Samples& samples,
                              const std::function<void(std::int64_t done)>& progress = {});

/// Values of every node for one sample; `inputs` in the order of the network's inputs.
std::vector<std::vector<Tensor>> reference_values(const network::Network& layers,
                                                  const std::vector<Tensor>& inputs);

}  // namespace gatewright::emulate
