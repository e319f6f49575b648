#pragma once

#include <vector>

#include "network/network.h"

namespace gatewright::project {

/// How the integer of one element depends on the integers of the network's inputs, to first order:
/// [input in the order of Network::inputs()][element]. Quantisers and clamps count as straight
/// lines, tables and thresholds as the line between their ends. It only guides searches.
std::vector<std::vector<double>> sensitivity(const network::Network& network, network::Value value,
                                             std::int64_t element);

}  // namespace gatewright::project
