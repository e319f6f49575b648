#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "network/network.h"

/// Random small networks of layers. A network is built from a recipe that stays a recipe when any
/// layer is taken out, so that a failing one can be shrunk.
namespace gatewright::network_recipe {

enum class Kind : std::uint8_t {
    quantise,
    dense,
    scale,
    batch_norm,
    piecewise,
    transcendental,
    binary,
    concat,
    reshape,
    transpose,
    slice,
    reduce,
    argmax,
    top_k,
    convolution,
    pool,
    gate,
    compare,
    select,
    gather,
    scatter,
    cumulative,
    product,
    pad,
    expand,
    recurrence,
};
inline constexpr int kinds = 26;

/// A layer that does not fit the tensor it is given is left out. `from` chooses among the latest
/// tensors, `seed` everything else.
struct Layer {
    Kind kind = Kind::quantise;
    std::uint32_t from = 0;
    std::uint64_t seed = 0;
};

struct Recipe {
    std::uint64_t seed = 0;  ///< of inputs and their quantisers
    int inputs = 1;
    int rank = 1;
    std::int64_t extent = 4;  ///< largest extent of an axis of the inputs
    std::vector<Layer> layers;
    int outputs = 1;
};

Recipe random_recipe(std::uint64_t seed);

/// Inputs are named x0, x1, ...
network::Network build(const Recipe& recipe);

/// "samples" of the inputs: multiples of 1/64, many of which are ties of quantisers, and others.
std::vector<std::vector<Tensor>> samples_of(const network::Network& network, std::uint64_t seed,
                                            int count);

std::string to_string(const Recipe& recipe);

}  // namespace gatewright::network_recipe
