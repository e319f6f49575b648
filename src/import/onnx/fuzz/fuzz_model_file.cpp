// libFuzzer target of the ONNX reader: any bytes give a network or a Failure, never a crash, and
// memory in proportion to the file. Seeds: the .onnx files of tests/diagnostics, tests/fixtures and
// examples.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/diagnostics.h"
#include "import/onnx/import.h"
#include "import/onnx/model_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace gatewright;
    try {
        const auto bytes = std::as_bytes(std::span(data, size));
        const layers::ImportOptions options;
        onnx::import_model(onnx::parse_model(bytes, "fuzz.onnx", ""), options);
    } catch (const Failure&) {
    }
    return 0;
}
