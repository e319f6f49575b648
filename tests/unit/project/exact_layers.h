#pragma once

#include <vector>

#include "network/network.h"
#include "types/rational.h"

/// The layers of a network in rational numbers, written a second time from their definitions, so
/// that circuits are compared with something that shares no code with them.
namespace gatewright::exact_layers {

/// A number of a layer. Transcendental functions are only known up to `error`; a quantiser makes
/// their values exact again where the margin allows, and unknown where it does not.
struct Number {
    Rational value;
    Rational error = 0;
    bool known = true;

    bool is_exact() const { return known && error == 0; }
};

struct Numbers {
    Shape shape;
    std::vector<Number> values;
};

/// The network's outputs for one sample of its inputs.
std::vector<Numbers> evaluate(const network::Network& layers, const std::vector<Tensor>& inputs);

}  // namespace gatewright::exact_layers
