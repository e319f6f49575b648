// libFuzzer target of the reader of archives: any bytes give an archive or a Failure, never a
// crash. Seeds: .keras and .pt2 files.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/diagnostics.h"
#include "import/store/archive.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        const gatewright::store::Archive archive({bytes.begin(), bytes.end()}, "fuzz.keras");
        for (const auto& name : archive.names()) {
            try {
                archive.read(name);
            } catch (const gatewright::Failure&) {
            }
        }
    } catch (const gatewright::Failure&) {
    }
    return 0;
}
