// libFuzzer target of the Keras reader: a configuration (JSON), a byte of zero, and the HDF5 file
// of its weights give a network or a Failure, never a crash, and memory in proportion to the input.
// Seeds: config.json and model.weights.h5 of .keras files, joined so; tools/fuzz_seeds.py makes
// them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "base/diagnostics.h"
#include "import/keras/importer.h"
#include "import/store/hdf5.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace gatewright;
    const std::span<const std::uint8_t> all(data, size);
    const void* zero = std::memchr(data, 0, size);
    const std::size_t end =
        zero == nullptr ? size
                        : static_cast<std::size_t>(static_cast<const std::uint8_t*>(zero) - data);
    try {
        const std::string config(reinterpret_cast<const char*>(data), end);
        const auto weights = std::as_bytes(all.subspan(std::min(size, end + 1)));
        const auto root =
            std::make_shared<const store::Hdf5Group>(store::read_hdf5(weights, "weights.h5"));
        const int version = config.find("\"module\"") == std::string::npos ? 2 : 3;
        const keras::Model model =
            keras::make_model(config, version, root, "fuzz.json", "weights.h5");
        const layers::ImportOptions options;
        keras::Importer(model, options).run();
    } catch (const Failure&) {
    }
    return 0;
}
