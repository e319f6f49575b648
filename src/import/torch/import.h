#pragma once

#include <string>

#include "import/layers/options.h"
#include "network/imported_model.h"

/// Reader of PyTorch models: .pt2 of torch.export, nn.Sequential pickles, and state dictionaries
/// and .safetensors as weights. Nothing in a file is executed.
namespace gatewright::torch {

/// Reads a model. `weights` is a file whose tensors take the place of the model's own; empty: none.
/// Throws Failure, with all errors of a stage at once.
network::ImportedModel import_torch(const std::string& file, const std::string& weights,
                                    const layers::ImportOptions& options = {});

}  // namespace gatewright::torch
