#pragma once

#include <string_view>
#include <vector>

/// Arguments that PyTorch's operators have no default for. A program without one is damaged: a rule
/// must not take a default of its own then.
namespace gatewright::torch {

/// Those of an operator ("torch.ops.aten.softmax.int") besides its tensors, without which rules
/// refuse of themselves; and besides what is_harmless (rules.h).
std::vector<std::string_view> required_arguments(std::string_view target);

}  // namespace gatewright::torch
