#pragma once

#include <string>
#include <vector>

#include "import/torch/model.h"
#include "import/torch/torch_file.h"

/// Pickled modules: an nn.Sequential of PyTorch's own layers becomes the program that torch.export
/// would make of it. The code of a module of another class is not in its file, so it is refused.
namespace gatewright::torch {

/// Whether the root of a file is a module.
bool holds_module(const TorchFile& file);

/// Throws Failure.
Program program_of_module(const TorchFile& file, const layers::ImportOptions& options = {});

}  // namespace gatewright::torch
