// libFuzzer target of the ONNX reader: any bytes give a model or a Failure, never a crash, and
// memory in proportion to the file. Seeds: the .onnx files of tests/diagnostics and examples.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/diagnostics.h"
#include "import/onnx/model_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        gatewright::onnx::parse_model(std::as_bytes(std::span(data, size)), "fuzz.onnx", "");
    } catch (const gatewright::Failure&) {
    }
    return 0;
}
