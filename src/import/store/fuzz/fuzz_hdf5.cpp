// libFuzzer target of the reader of HDF5 files: any bytes give a tree or a Failure, never a crash,
// and memory in proportion to the file. Seeds: the .h5 files of tests/fixtures/hdf5.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/diagnostics.h"
#include "import/store/hdf5.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        gatewright::store::read_hdf5(std::as_bytes(std::span(data, size)), "fuzz.h5");
    } catch (const gatewright::Failure&) {
    }
    return 0;
}
