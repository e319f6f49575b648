#pragma once

#include <span>
#include <string_view>

#include "network/network.h"

/// Passes over networks of core operators.
namespace gatewright::passes {

/// A pass makes a network that computes the same integers in another form. It keeps all inputs, and
/// names, shapes and formats of all outputs. It prints nothing and touches no disk.
struct Pass {
    std::string_view name;
    std::string_view help;
    network::Network (*run)(const network::Network& network);
};

/// One line of the way from a model's file to a circuit (`gatewright list passes`).
struct Stage {
    std::string_view name;
    std::string_view help;
};

/// Every stage, passes over core networks among them, in the order in which they run.
std::span<const Stage> stages();

/// The passes that each core network goes through behind lowering, in order.
std::span<const Pass> core_pipeline();

/// Runs passes one after the other, with the verifier behind each. Throws std::logic_error with the
/// name of a pass that broke a rule above: this is a fault of the pass, never of the user.
network::Network run(std::span<const Pass> pipeline, network::Network network);

}  // namespace gatewright::passes
