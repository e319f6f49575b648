#include "import/onnx/tensor_reader.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <stdexcept>

#include "types/small_float.h"

namespace gatewright::onnx {

static_assert(std::endian::native == std::endian::little, "raw data are copied as they are");

namespace pb = ::onnx;

namespace {

constexpr int max_rank = 64;

/// Which typed field of a TensorProto holds an element type.
enum class Field { floats, doubles, int32s, int64s, uint64s };

struct Layout {
    int bits;
    Field field;
    bool is_signed;  ///< of integers
};

/// Nothing for the types that have no place in a circuit.
std::optional<Layout> layout_of(ElementType type) {
    switch (type) {
        case ElementType::float32:
            return Layout{32, Field::floats, false};
        case ElementType::float64:
            return Layout{64, Field::doubles, false};
        case ElementType::int64:
            return Layout{64, Field::int64s, true};
        case ElementType::uint64:
            return Layout{64, Field::uint64s, false};
        case ElementType::uint32:
            return Layout{32, Field::uint64s, false};
        case ElementType::int32:
            return Layout{32, Field::int32s, true};
        case ElementType::int16:
            return Layout{16, Field::int32s, true};
        case ElementType::int8:
            return Layout{8, Field::int32s, true};
        case ElementType::int4:
            return Layout{4, Field::int32s, true};
        case ElementType::int2:
            return Layout{2, Field::int32s, true};
        case ElementType::uint16:
        case ElementType::float16:
        case ElementType::bfloat16:
            return Layout{16, Field::int32s, false};
        case ElementType::uint8:
        case ElementType::boolean:
        case ElementType::float8_e4m3fn:
        case ElementType::float8_e4m3fnuz:
        case ElementType::float8_e5m2:
        case ElementType::float8_e5m2fnuz:
        case ElementType::float8_e8m0:
            return Layout{8, Field::int32s, false};
        case ElementType::float6_e2m3:
        case ElementType::float6_e3m2:
            return Layout{6, Field::int32s, false};
        case ElementType::uint4:
        case ElementType::float4_e2m1:
            return Layout{4, Field::int32s, false};
        case ElementType::uint2:
            return Layout{2, Field::int32s, false};
        default:
            return std::nullopt;
    }
}

std::int64_t sign_extended(std::uint64_t pattern, int bits) {
    const int shift = 64 - bits;
    return static_cast<std::int64_t>(pattern << shift) >> shift;
}

/// The value of one element from its bits.
double decode(ElementType type, const Layout& layout, std::uint64_t pattern) {
    const auto small = static_cast<std::uint32_t>(pattern);
    switch (type) {
        case ElementType::float32:
            return static_cast<double>(std::bit_cast<float>(small));
        case ElementType::float64:
            return std::bit_cast<double>(pattern);
        case ElementType::float16:
            return decode_small_float(float16_format, small);
        case ElementType::bfloat16:
            return decode_small_float(bfloat16_format, small);
        case ElementType::float8_e4m3fn:
            return decode_small_float(float8_e4m3fn_format, small);
        case ElementType::float8_e4m3fnuz:
            return decode_small_float(float8_e4m3fnuz_format, small);
        case ElementType::float8_e5m2:
            return decode_small_float(float8_e5m2_format, small);
        case ElementType::float8_e5m2fnuz:
            return decode_small_float(float8_e5m2fnuz_format, small);
        case ElementType::float6_e2m3:
            return decode_small_float(float6_e2m3_format, small);
        case ElementType::float6_e3m2:
            return decode_small_float(float6_e3m2_format, small);
        case ElementType::float4_e2m1:
            return decode_small_float(float4_e2m1_format, small);
        case ElementType::float8_e8m0:  // a power of two, no sign, no fraction
            return small == 255 ? std::numeric_limits<double>::quiet_NaN()
                                : std::ldexp(1.0, static_cast<int>(small) - 127);
        default:
            return layout.is_signed ? static_cast<double>(sign_extended(pattern, layout.bits))
                                    : static_cast<double>(pattern);
    }
}

/// Bits of element `index` of packed bytes; the first element is in the lowest bits.
std::uint64_t packed_pattern(std::span<const std::byte> bytes, std::size_t index, int bits) {
    if (bits >= 8) {
        std::uint64_t pattern = 0;
        const auto size = static_cast<std::size_t>(bits / 8);
        std::memcpy(&pattern, bytes.data() + index * size, size);
        return pattern;
    }
    const std::size_t first = index * static_cast<std::size_t>(bits);
    std::uint32_t word = std::to_integer<std::uint32_t>(bytes[first / 8]);
    if (first / 8 + 1 < bytes.size()) {  // six bits may lie across two bytes
        word |= std::to_integer<std::uint32_t>(bytes[first / 8 + 1]) << 8;
    }
    return (word >> (first % 8)) & ((1U << bits) - 1);
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

std::uint64_t bytes_needed(std::uint64_t count, int bits) {
    // Split so that nothing overflows for any 63-bit count that can be compared with real data.
    const std::uint64_t eighth = count / 8 * static_cast<std::uint64_t>(bits);
    return eighth + (count % 8 * static_cast<std::uint64_t>(bits) + 7) / 8;
}

struct TensorReader {
    Reading& reading;
    const pb::TensorProto& proto;
    const Location& where;

    void fail(Code code, std::string message, std::string remedy = {}) const {
        reading.error(code, where, std::move(message), std::move(remedy));
    }

    std::optional<OnnxTensor> read() const {
        OnnxTensor out;
        out.element = static_cast<ElementType>(proto.data_type());
        const std::optional<Layout> layout = layout_of(out.element);
        if (!layout) {
            fail(Code::element_type_unsupported,
                 out.element == ElementType::undefined
                     ? "it has no element type"
                     : fmt::format("its element type is {}", to_string(out.element)),
                 "Store it as float32 or as integers");
            return std::nullopt;
        }
        if (proto.has_segment() || !proto.unknown_fields().empty()) {
            fail(Code::model_file_malformed,
                 proto.has_segment() ? "it is one segment of a larger tensor"
                                     : "it holds fields that no known version of the format has",
                 "Save the model again with onnx.save");
            return std::nullopt;
        }
        const std::optional<std::size_t> count = read_shape(*layout, out.tensor.shape);
        if (!count) {
            return std::nullopt;
        }
        std::optional<bool> read;
        if (proto.data_location() == pb::TensorProto::EXTERNAL) {
            read = read_external(*layout, *count, out);
        } else if (proto.external_data_size() != 0) {
            fail(Code::tensor_data, "it names an external file but says that its data are inside");
            read = false;
        } else if (proto.has_raw_data()) {
            read = read_raw(*layout, *count, out);
        } else {
            read = read_typed(*layout, *count, out);
        }
        return *read && values_are_sound(out) ? std::optional(std::move(out)) : std::nullopt;
    }

    /// The element count, small enough that bytes_needed does not overflow.
    std::optional<std::size_t> read_shape(const Layout& layout, Shape& shape) const {
        shape.assign(proto.dims().begin(), proto.dims().end());
        bool negative = false;
        for (const std::int64_t extent : shape) {
            negative = negative || extent < 0;
        }
        if (shape.size() > max_rank) {
            fail(Code::tensor_data,
                 fmt::format("it has {} axes; at most {} are read", shape.size(), max_rank));
            return std::nullopt;
        }
        const std::optional<std::int64_t> count =
            negative ? std::nullopt : checked_element_count(shape);
        if (!count || *count > std::numeric_limits<std::int64_t>::max() / layout.bits) {
            fail(Code::tensor_data,
                 fmt::format(
                     "its shape {} is impossible: {}", to_string(shape),
                     negative ? "an extent is negative" : "no memory holds so many elements"),
                 "Export the model again");
            return std::nullopt;
        }
        return static_cast<std::size_t>(*count);
    }

    int typed_entries() const {
        return proto.float_data_size() + proto.double_data_size() + proto.int32_data_size() +
               proto.int64_data_size() + proto.uint64_data_size() + proto.string_data_size();
    }

    bool read_external(const Layout& layout, std::size_t count, OnnxTensor& out) const {
        if (proto.has_raw_data() || typed_entries() != 0) {
            fail(Code::tensor_data, "it has data both inside the model and in an external file");
            return false;
        }
        ExternalData::Request request;
        std::map<std::string, std::string> entries;
        for (const pb::StringStringEntryProto& entry : proto.external_data()) {
            if (!entries.emplace(entry.key(), entry.value()).second) {
                fail(Code::external_data, fmt::format("the entry '{}' is given twice",
                                                      reading.text(entry.key(), "external data")));
                return false;
            }
        }
        for (const auto& [key, value] : entries) {
            if (key == "location") {
                request.location = reading.text(value, "external file");
            } else if (key == "offset" || key == "length") {
                std::uint64_t number = 0;
                const char* const end = value.data() + value.size();
                const auto [stop, error] = std::from_chars(value.data(), end, number);
                if (error != std::errc{} || stop != end) {
                    fail(Code::external_data, fmt::format("its {} is not a number", key));
                    return false;
                }
                (key == "offset" ? request.offset : request.length) = number;
            } else if (key != "checksum") {  // a checksum guards the copy, it changes no value
                fail(Code::external_data,
                     fmt::format("the entry '{}' is unknown", reading.text(key, "external data")),
                     "Known are location, offset, length and checksum");
                return false;
            }
        }
        try {
            const std::vector<std::byte> bytes =
                reading.external.read(request, bytes_needed(count, layout.bits));
            return decode_packed(layout, count, bytes, out);
        } catch (const std::runtime_error& error) {
            fail(Code::external_data, std::string("its external data: ") + error.what(),
                 "Put the file beside the model, or save the model with its weights inside "
                 "(onnx.save(model, path))");
            return false;
        }
    }

    bool read_raw(const Layout& layout, std::size_t count, OnnxTensor& out) const {
        if (typed_entries() != 0) {
            fail(Code::tensor_data, "it has its data twice: as raw bytes and in a typed field");
            return false;
        }
        const std::uint64_t needed = bytes_needed(count, layout.bits);
        if (proto.raw_data().size() != needed) {
            return wrong_size(needed, proto.raw_data().size(), "bytes", out.tensor.shape);
        }
        return decode_packed(layout, count, bytes_of(proto.raw_data()), out);
    }

    bool wrong_size(std::uint64_t needed, std::uint64_t present, std::string_view unit,
                    const Shape& shape) const {
        fail(Code::tensor_data,
             fmt::format("its shape {} of {} needs {} {} of data, but the file holds {}",
                         to_string(shape), to_string(static_cast<ElementType>(proto.data_type())),
                         needed, unit, present),
             "The file is damaged or its weights were left out: export the model again");
        return false;
    }

    bool decode_packed(const Layout& layout, std::size_t count, std::span<const std::byte> bytes,
                       OnnxTensor& out) const {
        out.tensor.values.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            if (!append(layout, packed_pattern(bytes, i, layout.bits), out)) {
                return false;
            }
        }
        return true;
    }

    bool append(const Layout& layout, std::uint64_t pattern, OnnxTensor& out) const {
        if (out.element == ElementType::boolean && pattern > 1) {
            fail(Code::tensor_data, "an element of type bool is neither 0 nor 1");
            return false;
        }
        if (out.element == ElementType::uint64 && pattern >> 63 != 0) {
            fail(Code::tensor_data, fmt::format("the value {} needs 64 bits without sign", pattern),
                 "Store it as int64");
            return false;
        }
        if (out.element == ElementType::uint64 || out.element == ElementType::int64) {
            out.integers.push_back(static_cast<std::int64_t>(pattern));
        }
        out.tensor.values.push_back(decode(out.element, layout, pattern));
        return true;
    }

    /// One entry a element.
    template <typename Entries, typename Pattern>
    bool decode_entries(const Layout& layout, std::size_t count, const Entries& entries,
                        OnnxTensor& out, Pattern pattern) const {
        const auto present = static_cast<std::size_t>(entries.size());
        if (present != count || typed_entries() != entries.size()) {
            return wrong_size(count, static_cast<std::uint64_t>(typed_entries()), "entries",
                              out.tensor.shape);
        }
        out.tensor.values.reserve(count);
        for (const auto entry : entries) {
            const std::optional<std::uint64_t> bits = pattern(entry);
            if (!bits) {
                fail(Code::tensor_data,
                     fmt::format("the entry {} does not fit {}", entry, to_string(out.element)));
                return false;
            }
            if (!append(layout, *bits, out)) {
                return false;
            }
        }
        return true;
    }

    bool read_typed(const Layout& layout, std::size_t count, OnnxTensor& out) const {
        using Bits = std::optional<std::uint64_t>;
        switch (layout.field) {
            case Field::floats:
                return decode_entries(layout, count, proto.float_data(), out, [](float value) {
                    return Bits(std::bit_cast<std::uint32_t>(value));
                });
            case Field::doubles:
                return decode_entries(layout, count, proto.double_data(), out, [](double value) {
                    return Bits(std::bit_cast<std::uint64_t>(value));
                });
            case Field::int64s:
                return decode_entries(
                    layout, count, proto.int64_data(), out,
                    [](std::int64_t value) { return Bits(static_cast<std::uint64_t>(value)); });
            case Field::uint64s:
                return decode_entries(
                    layout, count, proto.uint64_data(), out, [&](std::uint64_t value) {
                        return layout.bits == 64 || value >> 32 == 0 ? Bits(value) : std::nullopt;
                    });
            case Field::int32s:
                break;
        }
        if (layout.bits == 2 || layout.bits == 4) {
            return read_nibbles(layout, count, out);
        }
        const std::int64_t high = std::int64_t{1}
                                  << (layout.is_signed ? layout.bits - 1 : layout.bits);
        const std::int64_t low = layout.is_signed ? -high : 0;
        return decode_entries(layout, count, proto.int32_data(), out, [&](std::int32_t value) {
            return value >= low && value < high
                       ? Bits(static_cast<std::uint64_t>(static_cast<std::int64_t>(value)))
                       : std::nullopt;
        });
    }

    /// Elements of 2 and 4 bits: each entry of int32_data is a byte that holds several.
    bool read_nibbles(const Layout& layout, std::size_t count, OnnxTensor& out) const {
        const std::uint64_t needed = bytes_needed(count, layout.bits);
        if (static_cast<std::uint64_t>(typed_entries()) != needed ||
            typed_entries() != proto.int32_data_size()) {
            return wrong_size(needed, static_cast<std::uint64_t>(typed_entries()), "entries",
                              out.tensor.shape);
        }
        std::vector<std::byte> bytes;
        bytes.reserve(needed);
        for (const std::int32_t entry : proto.int32_data()) {
            if (entry < -128 || entry > 255) {
                fail(Code::tensor_data, fmt::format("the entry {} is not a byte", entry));
                return false;
            }
            bytes.push_back(static_cast<std::byte>(entry & 0xff));
        }
        return decode_packed(layout, count, bytes, out);
    }

    bool values_are_sound(OnnxTensor& out) const {
        if (!is_float(out.element)) {
            return true;
        }
        for (std::size_t i = 0; i < out.tensor.values.size(); ++i) {
            if (std::isnan(out.tensor.values[i])) {
                fail(Code::weight_not_finite,
                     fmt::format("its value number {} is not a number "
                                 "(NaN)",
                                 i),
                     "Train again with a smaller learning rate, or find the layer whose values "
                     "overflow");
                return false;
            }
            out.has_infinity = out.has_infinity || std::isinf(out.tensor.values[i]);
        }
        return true;
    }
};

}  // namespace

std::optional<OnnxTensor> read_tensor(Reading& reading, const pb::TensorProto& proto,
                                      const Location& where) {
    return TensorReader{reading, proto, where}.read();
}

std::optional<OnnxTensor> read_sparse_tensor(Reading& reading, const pb::SparseTensorProto& proto,
                                             const Location& where) {
    const auto fail = [&](std::string message) {
        reading.error(Code::tensor_data, where, std::move(message), "Store it as a dense tensor");
        return std::nullopt;
    };
    const std::optional<OnnxTensor> values = read_tensor(reading, proto.values(), where);
    const std::optional<OnnxTensor> indices = read_tensor(reading, proto.indices(), where);
    if (!values || !indices) {
        return std::nullopt;
    }
    OnnxTensor out;
    out.element = values->element;
    out.has_infinity = values->has_infinity;
    out.tensor.shape.assign(proto.dims().begin(), proto.dims().end());
    const Shape& shape = out.tensor.shape;
    for (const std::int64_t extent : shape) {
        if (extent < 0) {
            return fail("an extent of it is negative");
        }
    }
    const std::optional<std::int64_t> count = checked_element_count(shape);
    if (shape.empty() || shape.size() > max_rank || !count || *count > reading.sparse_budget) {
        return fail(fmt::format("it is sparse and its shape {} is too large to unfold",
                                shape.size() > max_rank ? "" : to_string(shape)));
    }
    const auto entries = static_cast<std::int64_t>(values->tensor.values.size());
    const auto rank = static_cast<std::int64_t>(shape.size());
    const bool linear = indices->tensor.shape == Shape{entries};
    if (values->tensor.shape != Shape{entries} || indices->element != ElementType::int64 ||
        (!linear && indices->tensor.shape != Shape{entries, rank})) {
        return fail("its sparse values and indices do not fit each other");
    }
    reading.sparse_budget -= *count;
    out.tensor.values.assign(static_cast<std::size_t>(*count), 0.0);
    const bool exact = !values->integers.empty();
    out.integers.assign(exact ? out.tensor.values.size() : 0, 0);
    std::int64_t last = -1;
    for (std::int64_t i = 0; i < entries; ++i) {
        std::int64_t position = 0;
        if (linear) {
            position = indices->integers[static_cast<std::size_t>(i)];
        } else {
            for (std::int64_t axis = 0; axis < rank; ++axis) {
                const std::int64_t index =
                    indices->integers[static_cast<std::size_t>(i * rank + axis)];
                const std::int64_t extent = shape[static_cast<std::size_t>(axis)];
                if (index < 0 || index >= extent) {
                    return fail("a sparse index lies outside of its shape");
                }
                position = position * extent + index;
            }
        }
        if (position <= last || position >= *count) {
            return fail("its sparse indices do not rise, or lie outside of its shape");
        }
        last = position;
        const auto from = static_cast<std::size_t>(i);
        const auto to = static_cast<std::size_t>(position);
        out.tensor.values[to] = values->tensor.values[from];
        if (exact) {
            out.integers[to] = values->integers[from];
        }
    }
    if (out.element == ElementType::int64 && !exact) {
        out.integers.assign(out.tensor.values.size(), 0);
    }
    return out;
}

}  // namespace gatewright::onnx
