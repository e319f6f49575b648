// libFuzzer target of the reader of .pt2 archives, and of what becomes of their programs.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/diagnostics.h"
#include "import/torch/importer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        gatewright::torch::import_program(
            gatewright::torch::read_program({bytes.begin(), bytes.end()}, "fuzz.pt2"));
    } catch (const gatewright::Failure&) {
    }
    return 0;
}
