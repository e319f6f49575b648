#include "import/torch/storage.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

namespace gatewright::torch {

namespace {

struct TypeRow {
    ScalarType type;
    std::string_view name;
    std::string_view other_name;  ///< torch's second name of the type
    std::string_view storage;     ///< the class of its storages
    std::size_t width;            ///< 0: not read
};

const TypeRow types[] = {
    {ScalarType::uint8, "uint8", "uint8", "ByteStorage", 1},
    {ScalarType::int8, "int8", "int8", "CharStorage", 1},
    {ScalarType::int16, "int16", "short", "ShortStorage", 2},
    {ScalarType::int32, "int32", "int", "IntStorage", 4},
    {ScalarType::int64, "int64", "long", "LongStorage", 8},
    {ScalarType::float16, "float16", "half", "HalfStorage", 2},
    {ScalarType::float32, "float32", "float", "FloatStorage", 4},
    {ScalarType::float64, "float64", "double", "DoubleStorage", 8},
    {ScalarType::complex32, "complex32", "chalf", "ComplexHalfStorage", 0},
    {ScalarType::complex64, "complex64", "cfloat", "ComplexFloatStorage", 0},
    {ScalarType::complex128, "complex128", "cdouble", "ComplexDoubleStorage", 0},
    {ScalarType::boolean, "bool", "bool", "BoolStorage", 1},
    {ScalarType::bfloat16, "bfloat16", "bfloat16", "BFloat16Storage", 2},
};

const TypeRow* row_of(ScalarType type) {
    for (const TypeRow& row : types) {
        if (row.type == type) {
            return &row;
        }
    }
    return nullptr;
}

/// Views may repeat elements (stride 0), but not without measure.
constexpr std::int64_t most_repeats = 256;

double half_value(std::uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const int mantissa = bits & 1023;
    double value = 0;
    if (exponent == 31) {
        value = mantissa == 0 ? HUGE_VAL : std::nan("");
    } else if (exponent == 0) {
        value = std::ldexp(mantissa, -24);
    } else {
        value = std::ldexp(mantissa + 1024, exponent - 25);
    }
    return (bits >> 15) != 0 ? -value : value;
}

template <class T>
T word(const std::byte* at, bool big_endian) {
    std::byte bytes[sizeof(T)];
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        bytes[i] = at[big_endian ? sizeof(T) - 1 - i : i];
    }
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    return value;
}

double element(ScalarType type, const std::byte* at, bool big, bool& exact) {
    switch (type) {
        case ScalarType::uint8:
            return static_cast<double>(std::to_integer<std::uint8_t>(*at));
        case ScalarType::boolean:
            return std::to_integer<std::uint8_t>(*at) != 0 ? 1 : 0;
        case ScalarType::int8:
            return static_cast<double>(word<std::int8_t>(at, big));
        case ScalarType::int16:
            return static_cast<double>(word<std::int16_t>(at, big));
        case ScalarType::int32:
            return static_cast<double>(word<std::int32_t>(at, big));
        case ScalarType::int64: {
            const auto value = word<std::int64_t>(at, big);
            const std::int64_t most = std::int64_t{1} << 53;
            exact = exact && value >= -most && value <= most;
            return static_cast<double>(value);
        }
        case ScalarType::float16:
            return half_value(word<std::uint16_t>(at, big));
        case ScalarType::bfloat16:
            return static_cast<double>(std::bit_cast<float>(
                static_cast<std::uint32_t>(word<std::uint16_t>(at, big)) << 16));
        case ScalarType::float32:
            return static_cast<double>(word<float>(at, big));
        default:
            return word<double>(at, big);
    }
}

}  // namespace

std::string to_string(ScalarType type) {
    const TypeRow* row = row_of(type);
    return row == nullptr ? fmt::format("element type {}", static_cast<std::int64_t>(type))
                          : std::string(row->name);
}

ScalarType scalar_type_named(std::string_view name) {
    for (const TypeRow& row : types) {
        if (name == row.name || name == row.other_name || name == row.storage) {
            return row.type;
        }
    }
    return ScalarType::unknown;
}

std::size_t width_of(ScalarType type) {
    const TypeRow* row = row_of(type);
    return row == nullptr ? 0 : row->width;
}

bool is_integral(ScalarType type) {
    switch (type) {
        case ScalarType::uint8:
        case ScalarType::int8:
        case ScalarType::int16:
        case ScalarType::int32:
        case ScalarType::int64:
        case ScalarType::boolean:
            return true;
        default:
            return false;
    }
}

bool is_real(ScalarType type) {
    return type == ScalarType::float32 || type == ScalarType::float64;
}

StoredTensor read_view(const View& view, std::span<const std::byte> bytes, bool big_endian,
                       const Location& where) {
    const auto malformed = [&](std::string message) -> Failure {
        return {Code::store_malformed, where, std::move(message), "Save the model again."};
    };
    const std::size_t width = width_of(view.type);
    if (width == 0) {
        throw Failure(Code::unsupported_form, where,
                      fmt::format("its elements are of type {}", to_string(view.type)),
                      "Keep the model's tensors in float32.");
    }
    const auto count = checked_element_count(view.sizes);
    if (!count || view.strides.size() != view.sizes.size() || view.sizes.size() > 64) {
        throw malformed("its sizes and strides do not describe a tensor");
    }
    const auto stored = static_cast<std::int64_t>(bytes.size() / width);
    if (*count > most_repeats * (stored + 1)) {
        throw malformed(fmt::format("{} elements are shown of {} stored", *count, stored));
    }
    StoredTensor out;
    out.type = view.type;
    out.tensor.shape = view.sizes;
    if (*count == 0) {
        return out;
    }
    // The largest element reached, in steps that cannot overflow.
    __extension__ using Wide = __int128;
    Wide last = view.offset;
    for (std::size_t i = 0; i < view.sizes.size(); ++i) {
        if (view.strides[i] < 0) {
            throw malformed("a stride is negative");
        }
        last += Wide{view.sizes[i] - 1} * view.strides[i];
    }
    if (view.offset < 0 || last >= stored) {
        throw malformed("it lies beyond the end of its data");
    }
    out.tensor.values.reserve(static_cast<std::size_t>(*count));
    std::vector<std::int64_t> position(view.sizes.size(), 0);
    std::int64_t at = view.offset;
    for (std::int64_t n = 0; n < *count; ++n) {
        out.tensor.values.push_back(element(
            view.type, bytes.data() + static_cast<std::size_t>(at) * width, big_endian, out.exact));
        for (std::size_t i = view.sizes.size(); i-- > 0;) {
            at += view.strides[i];
            if (++position[i] < view.sizes[i]) {
                break;
            }
            at -= view.strides[i] * view.sizes[i];
            position[i] = 0;
        }
    }
    return out;
}

}  // namespace gatewright::torch
