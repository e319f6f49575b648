#pragma once

#include <optional>
#include <string>
#include <vector>

#include "network/network.h"

/// Where a network of layers on real numbers takes fixed-point types, and the network with them.
/// Who chooses the types (a configuration, a calibration) is not known here.
namespace gatewright::project {

enum class Role { input, weight, bias, accumulator, result };
std::string_view role_name(Role role);

/// One tensor that can be typed.
struct Site {
    Role role = Role::result;
    network::Value value;      ///< input, result: the tensor itself
    network::NodeId node = 0;  ///< weight, bias: the node that uses it; accumulator: that adds up
    std::size_t argument = 0;  ///< weight, bias: which of its inputs it is

    auto operator<=>(const Site&) const = default;
};

struct SiteType {
    FixedType type;
    Rounding rounding = Rounding::half_even;
    Overflow overflow = Overflow::saturate;
};

struct TypedSite {
    Site site;
    SiteType type;
};

/// The layer a user would name for it.
const std::string& layer_of(const network::Network& network, const Site& site);

/// True if the network has quantisers of its own.
bool is_quantised(const network::Network& network);

/// All sites that one type per role for the whole model covers:
///  - every input that is not quantised at once;
///  - constant weights and biases of products and sums that the model does not quantise;
///  - the sums of products with constants: without a type they are exact;
///  - results: of products, sums, means and functions, at the end of each chain that rounds once. A
///    product, the sum with its bias, a batch normalisation and a piecewise linear function (ReLU)
///    that follow each other alone are one chain; before any other function it ends, so that a
///    table has few entries. All functions of one such tensor's elements, also where they meet
///    again (x sigmoid(x)), are one function, typed where it ends, if any of them is curved. A last
///    softmax, sigmoid or other curved function stays real: it is computed from the circuit's
///    outputs.
std::vector<Site> model_sites(const network::Network& network);

/// The tensors that leave the nodes of one layer. `named`: also those that only move.
std::vector<Site> layer_results(const network::Network& network, const std::string& layer,
                                bool named);

/// The elements of a weight or bias.
Tensor constant_of(const network::Network& network, const Site& site);

/// A result that cannot exceed what calibration saw for the sum before it: a bounded curve, or a
/// function that is never negative.
bool is_bounded(const network::Network& network, const Site& site);

/// The network with a quantiser (fake_quantize) at each of the sites, and with accumulators of
/// those types. The sums of a matrix product in an accumulator begin with the constant that is
/// added to them next, if nothing rounds or uses the product before: its bias.
network::Network with_types(const network::Network& network, const std::vector<TypedSite>& types);

}  // namespace gatewright::project
