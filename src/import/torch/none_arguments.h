#pragma once

#include <string_view>

/// None as an argument: PyTorch takes it where an operator's schema says so, and nowhere else. A
/// rule must not take it for the default then.
namespace gatewright::torch {

/// Whether an operator ("torch.ops.aten.clamp.default") takes None for an argument. Operators that
/// are not PyTorch's own take what they like.
bool takes_none(std::string_view target, std::string_view argument);

}  // namespace gatewright::torch
