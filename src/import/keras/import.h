#pragma once

#include <string>

#include "import/layers/options.h"
#include "network/imported_model.h"

/// Reader of Keras models: Keras 2 (.h5, or .json with a .h5 of weights), Keras 3 (.keras), and
/// the quantised layers of QKeras, HGQ and HGQ2 in these files. Needs neither Python nor
/// TensorFlow.
namespace gatewright::keras {

/// Reads a model. `weights` is the file of weights of a .json; empty: the model holds them itself.
/// Throws Failure, with all errors of a stage at once.
network::ImportedModel import_keras(const std::string& file, const std::string& weights,
                                    const layers::ImportOptions& options = {});

}  // namespace gatewright::keras
