// libFuzzer target of the PyTorch reader: any bytes give values or a Failure, never a crash, and
// memory in proportion to the file. Seeds: the .pt files of the tests and of ../shared/models.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/diagnostics.h"
#include "import/torch/modules.h"
#include "import/torch/torch_file.h"
#include "import/torch/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace gatewright;
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        torch::read_pickle(bytes, "fuzz.pkl");
    } catch (const Failure&) {
    }
    try {
        const torch::TorchFile file({bytes.begin(), bytes.end()}, "fuzz.pt");
        if (torch::holds_module(file)) {
            torch::program_of_module(file);
        } else {
            torch::state_of(file);
        }
    } catch (const Failure&) {
    }
    return 0;
}
