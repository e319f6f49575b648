#pragma once

#include "network/network.h"

namespace gatewright::passes {

/// Leaves out moves that keep every element where it is, and makes one move of each chain of moves.
/// Windows stay, and so do moves that bring in zeros or join tensors. What nothing needs any more
/// is left for `prune`.
network::Network merge_moves(const network::Network& network);

}  // namespace gatewright::passes
