#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "import/onnx/model.h"

namespace gatewright::onnx {

/// Reads an .onnx file and checks everything that can be said without knowing operators. Nothing
/// that the file claims is believed before it is compared with what the file holds, so memory stays
/// in proportion to its size. All errors found are in one Failure.
OnnxModel read_model_file(const std::string& file);

/// The same from memory. `file` names the source in messages; `folder` is where external data may
/// lie, "" if the model has no place on a disk (external data are then an error).
OnnxModel parse_model(std::span<const std::byte> bytes, const std::string& file,
                      const std::string& folder);

}  // namespace gatewright::onnx
