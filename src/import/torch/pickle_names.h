#pragma once

#include <string_view>

namespace gatewright::torch {

/// Whether a pickle may mention the name: PyTorch's own layers and what holds plain data.
bool is_known_name(std::string_view name);

}  // namespace gatewright::torch
