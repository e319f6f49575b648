// libFuzzer target of the reader of .safetensors files: any bytes give tensors or a Failure, never
// a crash, and memory in proportion to the file.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/diagnostics.h"
#include "import/store/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        const gatewright::store::SafeTensors file({bytes.begin(), bytes.end()}, "fuzz.safetensors");
        for (const auto& name : file.names()) {
            file.read(name);
        }
    } catch (const gatewright::Failure&) {
    }
    return 0;
}
