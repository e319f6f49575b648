#pragma once

#include <span>
#include <string_view>

#include "network/network.h"

namespace gatewright::operators {

/// All operators, layers and core, by name.
std::span<const network::Operator* const> catalogue();

/// The operator of that name, or null.
const network::Operator* find(std::string_view name);

}  // namespace gatewright::operators
