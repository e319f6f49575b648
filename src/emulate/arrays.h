#pragma once

#include <cstdint>
#include <vector>

#include "base/int128.h"
#include "types/npy.h"

/// What goes into an emulator and comes out of it: plain arrays of samples, row-major, the sample
/// outermost.
namespace gatewright::emulate {

/// An input of the model: `data` points at samples * element_count(shape) elements of `dtype`.
struct InputArray {
    const void* data = nullptr;
    DType dtype = DType::float32;
};

/// Where an output of the model goes: float64, or float32, which is float64 rounded once.
struct OutputArray {
    void* data = nullptr;
    DType dtype = DType::float64;
};

/// The integers of one port of the network (at the formats of its elements): what a circuit sees.
struct Integers {
    std::int64_t elements = 0;   ///< of one sample
    std::vector<Int128> values;  ///< [sample][element]

    bool operator==(const Integers&) const = default;
};

}  // namespace gatewright::emulate
