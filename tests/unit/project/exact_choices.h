#pragma once

#include <optional>
#include <vector>

#include "exact_layers.h"

namespace gatewright::exact_layers {

/// Layers that compare, choose, read and write at positions, pad and accumulate; nothing for any
/// other.
std::optional<std::vector<Numbers>> choice(const network::Node& node,
                                           const std::vector<const Numbers*>& inputs);

}  // namespace gatewright::exact_layers
