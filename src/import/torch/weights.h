#pragma once

#include <string>

#include "import/torch/model.h"
#include "import/torch/torch_file.h"

/// Files of weights alone: state dictionaries of torch.save and .safetensors.
namespace gatewright::torch {

/// The tensors of a .safetensors file's bytes. Throws Failure.
TensorStore read_safetensors(std::vector<std::byte> bytes, const std::string& file);

/// The tensors of a state dictionary, or of a checkpoint that holds one.
TensorStore state_of(const TorchFile& file);

/// Puts a file's tensors in the place of the program's, by name. Throws Failure where one is
/// missing, is unknown or has another shape: all such at once.
void replace_weights(Program& program, const std::string& file);

}  // namespace gatewright::torch
