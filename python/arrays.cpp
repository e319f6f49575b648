#include "arrays.h"

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace gatewright {

namespace {

struct DTypeRow {
    DType dtype;
    nb::dlpack::dtype dlpack;
};

constexpr DTypeRow dtype_row(DType dtype, nb::dlpack::dtype_code code, std::uint8_t bits) {
    return {dtype, {static_cast<std::uint8_t>(code), bits, 1}};
}

constexpr DTypeRow dtype_rows[] = {
    dtype_row(DType::boolean, nb::dlpack::dtype_code::Bool, 8),
    dtype_row(DType::int8, nb::dlpack::dtype_code::Int, 8),
    dtype_row(DType::int16, nb::dlpack::dtype_code::Int, 16),
    dtype_row(DType::int32, nb::dlpack::dtype_code::Int, 32),
    dtype_row(DType::int64, nb::dlpack::dtype_code::Int, 64),
    dtype_row(DType::uint8, nb::dlpack::dtype_code::UInt, 8),
    dtype_row(DType::uint16, nb::dlpack::dtype_code::UInt, 16),
    dtype_row(DType::uint32, nb::dlpack::dtype_code::UInt, 32),
    dtype_row(DType::uint64, nb::dlpack::dtype_code::UInt, 64),
    dtype_row(DType::float16, nb::dlpack::dtype_code::Float, 16),
    dtype_row(DType::float32, nb::dlpack::dtype_code::Float, 32),
    dtype_row(DType::float64, nb::dlpack::dtype_code::Float, 64),
};

}  // namespace

DType dtype_of(const InputArray& array) {
    for (const DTypeRow& row : dtype_rows) {
        if (row.dlpack == array.dtype()) {
            return row.dtype;
        }
    }
    throw nb::type_error("arrays hold bool, integers, float16, float32 or float64");
}

Shape shape_of(const InputArray& array) {
    Shape out;
    for (std::size_t axis = 0; axis < array.ndim(); ++axis) {
        out.push_back(static_cast<std::int64_t>(array.shape(axis)));
    }
    return out;
}

NpyArray from_python(const InputArray& array) {
    const auto* data = static_cast<const std::byte*>(array.data());
    NpyArray out{dtype_of(array), shape_of(array), {}};
    if (array.nbytes() != 0) {
        out.data.assign(data, data + array.nbytes());
    }
    return out;
}

OutputArray to_python(NpyArray array) {
    auto held = std::make_unique<NpyArray>(std::move(array));
    NpyArray* const kept = held.get();
    std::vector<std::size_t> shape(kept->shape.begin(), kept->shape.end());
    nb::dlpack::dtype dtype{};
    for (const DTypeRow& row : dtype_rows) {
        if (row.dtype == kept->dtype) {
            dtype = row.dlpack;
        }
    }
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<NpyArray*>(p); });
    held.release();
    return OutputArray(kept->data.data(), shape.size(), shape.data(), owner, nullptr, dtype);
}

}  // namespace gatewright
