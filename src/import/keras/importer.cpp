#include "base/diagnostics.h"
#include "import/keras/import.h"

namespace gatewright::keras {

network::ImportedModel import_keras(const std::string& file, const std::string&) {
    throw Failure(Code::unknown_format, {file, "", "", ""}, "Keras models are not read yet");
}

}  // namespace gatewright::keras
