#pragma once

#include <string>

#include "import/layers/options.h"
#include "network/imported_model.h"

namespace gatewright::onnx {

struct OnnxModel;

/// Reads an ONNX or QONNX file into a network of layers. The batch axis is found by following the
/// first axis of the inputs through the graph: if every operator keeps samples apart, it is left
/// out of all shapes, whatever extent the file declares for it; else the model is taken as it is.
/// Throws one Failure with all that is unsupported, by layer and attribute.
network::ImportedModel import_onnx(const std::string& file,
                                   const layers::ImportOptions& options = {});

/// The same of a model in memory.
network::ImportedModel import_model(const OnnxModel& model, const layers::ImportOptions& options);

}  // namespace gatewright::onnx
