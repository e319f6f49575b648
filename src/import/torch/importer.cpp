#include "base/diagnostics.h"
#include "import/torch/import.h"

namespace gatewright::torch {

network::ImportedModel import_torch(const std::string& file, const std::string&) {
    throw Failure(Code::unknown_format, {file, "", "", ""}, "PyTorch models are not read yet");
}

}  // namespace gatewright::torch
