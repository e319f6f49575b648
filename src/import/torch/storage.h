#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"
#include "types/tensor.h"

/// Numbers as PyTorch stores them: bytes of one element type, seen through a shape, strides and an
/// offset.
namespace gatewright::torch {

/// Element types, with the numbers that torch.export writes.
enum class ScalarType : std::int64_t {
    unknown = 0,
    uint8 = 1,
    int8 = 2,
    int16 = 3,
    int32 = 4,
    int64 = 5,
    float16 = 6,
    float32 = 7,
    float64 = 8,
    complex32 = 9,
    complex64 = 10,
    complex128 = 11,
    boolean = 12,
    bfloat16 = 13,
};

using gatewright::to_string;
std::string to_string(ScalarType type);
/// By the name of a torch.dtype ("float32", "half") or of a storage class ("FloatStorage").
ScalarType scalar_type_named(std::string_view name);
/// Bytes of one element; 0 if such elements are not read.
std::size_t width_of(ScalarType type);
bool is_integral(ScalarType type);  ///< booleans too
bool is_real(ScalarType type);      ///< float32 or float64

/// A tensor of a file.
struct StoredTensor {
    Tensor tensor;
    ScalarType type = ScalarType::unknown;
    bool exact = true;  ///< false: an integer of it has more than 53 bits
};

/// A tensor as a view of a storage.
struct View {
    ScalarType type = ScalarType::unknown;
    Shape sizes;
    std::vector<std::int64_t> strides;  ///< in elements
    std::int64_t offset = 0;            ///< in elements
};

/// Reads what the view shows. Throws Failure (store_malformed) if it leaves the bytes.
StoredTensor read_view(const View& view, std::span<const std::byte> bytes, bool big_endian,
                       const Location& where);

/// Tensors by their names in the model ("0.weight").
using TensorStore = std::map<std::string, StoredTensor>;

}  // namespace gatewright::torch
