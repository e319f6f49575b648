#include "import/store/hdf5_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "types/small_float.h"

namespace gatewright::store {

namespace {

constexpr const char* class_names[] = {
    "integer",
    "real number",
    "time",
    "text",
    "bit field",
    "opaque",
    "compound",
    "reference",
    "enumeration",
    "list",
    "array within an array",
    "complex number",
};

void read_integer(Hdf5Cursor& in, std::uint64_t bits, Hdf5Type& type) {
    type.kind = Hdf5Type::Kind::integer;
    type.big_endian = (bits & 1U) != 0;
    type.is_signed = (bits & 8U) != 0;
    type.offset = static_cast<unsigned>(in.number(2));
    type.precision = static_cast<unsigned>(in.number(2));
}

void read_real(const Hdf5File& file, Hdf5Cursor& in, std::uint64_t bits, Hdf5Type& type) {
    type.kind = Hdf5Type::Kind::real;
    type.big_endian = (bits & 1U) != 0;
    const std::uint64_t hidden_bit = (bits >> 4) & 3U;
    if ((bits & 0x40U) != 0 || hidden_bit != 2) {
        file.unsupported("real numbers in another form than IEEE 754's are not read");
    }
    type.sign_at = static_cast<unsigned>((bits >> 8) & 0xffU);
    type.offset = static_cast<unsigned>(in.number(2));
    type.precision = static_cast<unsigned>(in.number(2));
    type.exponent_at = static_cast<unsigned>(in.number(1));
    type.exponent_bits = static_cast<unsigned>(in.number(1));
    type.fraction_at = static_cast<unsigned>(in.number(1));
    type.fraction_bits = static_cast<unsigned>(in.number(1));
    type.bias = static_cast<std::int64_t>(in.number(4));
    // Wider ones would be rounded.
    const auto inside = [&](unsigned at, unsigned count) {
        return at >= type.offset && at + count <= type.offset + type.precision;
    };
    if (type.exponent_bits == 0 || type.exponent_bits > 11 || type.fraction_bits == 0 ||
        type.fraction_bits > 52 || type.bias > 1023 ||
        !inside(type.exponent_at, type.exponent_bits) ||
        !inside(type.fraction_at, type.fraction_bits) || !inside(type.sign_at, 1) ||
        (type.exponent_bits == 11 && type.bias != 1023)) {
        file.unsupported("real numbers of this form are not read");
    }
}

void read_text(const Hdf5File& file, std::uint64_t bits, Hdf5Type& type) {
    type.kind = Hdf5Type::Kind::text;
    if ((bits & 15U) > 2) {
        file.fail("a text has an unknown padding");
    }
    type.padding = static_cast<Hdf5Type::Padding>(bits & 15U);
}

/// Numbers of at most 8 bytes in the byte order of this machine.
std::uint64_t bits_of(const Hdf5Type& type, const std::byte* data) {
    std::uint64_t out = 0;
    for (std::uint64_t i = 0; i < type.size; ++i) {
        const std::uint64_t place = type.big_endian ? type.size - 1 - i : i;
        out |= std::to_integer<std::uint64_t>(data[i]) << (8 * place);
    }
    return out;
}

std::uint64_t low_bits(unsigned count) {
    return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

double integer_value(const Hdf5File& file, const Hdf5Type& type, std::uint64_t bits) {
    const std::uint64_t mask = low_bits(type.precision);
    bits = (bits >> type.offset) & mask;
    const bool negative = type.is_signed && ((bits >> (type.precision - 1)) & 1U) != 0;
    const std::uint64_t magnitude = negative ? (~bits & mask) + 1 : bits;
    const auto value = static_cast<double>(magnitude);
    // 2^64 is no value of the type, so the way back must be guarded.
    if (value >= 0x1p64 || static_cast<std::uint64_t>(value) != magnitude) {
        file.fail("an integer in it is beyond what is held exactly (53 bits)");
    }
    return negative ? -value : value;
}

double real_value(const Hdf5Type& type, std::uint64_t bits) {
    const std::uint64_t fraction = (bits >> type.fraction_at) & low_bits(type.fraction_bits);
    const std::uint64_t exponent = (bits >> type.exponent_at) & low_bits(type.exponent_bits);
    const bool negative = ((bits >> type.sign_at) & 1U) != 0;
    double value = 0;
    if (exponent == low_bits(type.exponent_bits)) {
        value = fraction == 0 ? std::numeric_limits<double>::infinity()
                              : std::numeric_limits<double>::quiet_NaN();
    } else {
        const std::uint64_t hidden = exponent == 0 ? 0 : std::uint64_t{1} << type.fraction_bits;
        const std::int64_t scale = static_cast<std::int64_t>(std::max<std::uint64_t>(exponent, 1)) -
                                   type.bias - static_cast<std::int64_t>(type.fraction_bits);
        value = std::ldexp(static_cast<double>(fraction | hidden), static_cast<int>(scale));
    }
    return negative ? -value : value;
}

/// Whether the type is float32 or float64, whose bits this machine knows itself.
template <typename Float>
bool is_native(const Hdf5Type& type) {
    constexpr unsigned fraction = std::numeric_limits<Float>::digits - 1;
    constexpr unsigned width = 8 * sizeof(Float);
    return type.size == sizeof(Float) && type.offset == 0 && type.precision == width &&
           type.sign_at == width - 1 && type.fraction_at == 0 && type.fraction_bits == fraction &&
           type.exponent_at == fraction && type.exponent_bits == width - 1 - fraction &&
           type.bias == std::numeric_limits<Float>::max_exponent - 1;
}

struct OpaqueFormat {
    std::string_view name;
    std::uint64_t size;
    SmallFloatFormat format;
};
/// Types of numbers that HDF5 does not know; Keras names them in the dataset's attribute "dtype".
constexpr OpaqueFormat opaque_formats[] = {
    {"bfloat16", 2, bfloat16_format},
    {"float8_e4m3fn", 1, float8_e4m3fn_format},
    {"float8_e5m2", 1, float8_e5m2_format},
};

template <typename Value>
Tensor each(const Hdf5Type& type, const Hdf5Space& space, std::span<const std::byte> data,
            Value value) {
    Tensor out;
    out.shape = space.shape;
    out.values.reserve(space.count);
    for (std::uint64_t i = 0; i < space.count; ++i) {
        out.values.push_back(value(bits_of(type, data.data() + i * type.size)));
    }
    return out;
}

std::string fixed_text(const Hdf5Type& type, std::span<const std::byte> data) {
    std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
    if (type.padding == Hdf5Type::Padding::terminated) {
        text = text.substr(0, text.find('\0'));
    }
    const char filler = type.padding == Hdf5Type::Padding::spaces ? ' ' : '\0';
    return std::string(text.substr(0, text.find_last_not_of(filler) + 1));
}

std::string heap_text(const Hdf5File& file, Hdf5GlobalHeap& heap, std::span<const std::byte> data) {
    Hdf5Cursor in(file, data, "text");
    const std::uint64_t length = in.number(4);
    const std::uint64_t collection = in.address();
    const std::uint64_t index = in.number(4);
    if (length == 0) {
        return {};
    }
    const auto object = heap.object(collection, index);
    if (length > object.size()) {
        file.fail("a text is longer than its place in the global heap");
    }
    file.use_memory(length);
    std::string_view text(reinterpret_cast<const char*>(object.data()), length);
    return std::string(text.substr(0, text.find_last_not_of('\0') + 1));
}

}  // namespace

Hdf5Type read_hdf5_type(const Hdf5File& file, Hdf5Cursor& in) {
    const std::uint64_t head = in.number(1);
    const std::uint64_t kind = head & 15U;
    const std::uint64_t version = head >> 4;
    const std::uint64_t bits = in.number(3);
    Hdf5Type type;
    type.size = in.number(4);
    if (version == 0 || version > 5) {
        file.fail(fmt::format("version {} of an element type is not known", version));
    }
    if (type.size == 0) {
        file.fail("an element type has no bytes");
    }
    switch (kind) {
        case 0:
            read_integer(in, bits, type);
            break;
        case 1:
            read_real(file, in, bits, type);
            break;
        case 3:
            read_text(file, bits, type);
            break;
        case 5:
            type.kind = Hdf5Type::Kind::opaque;
            in.skip(in.left());
            break;
        case 8: {
            // The numbers count, not their names; h5py writes booleans so.
            const std::uint64_t size = type.size;
            Hdf5Cursor names = in;
            if ((names.number(1) & 15U) != 0) {
                file.unsupported("an enumeration of other things than integers is not read");
            }
            type = read_hdf5_type(file, in);
            if (type.size != size) {
                file.fail("an enumeration and its numbers differ in size");
            }
            in.skip(in.left());
            break;
        }
        case 9:
            if ((bits & 15U) != 1) {
                file.unsupported("lists of different lengths are not read");
            }
            type.kind = Hdf5Type::Kind::texts;
            in.skip(in.left());
            if (type.size != 8 + file.address_size()) {
                file.fail("a text's place in the global heap has an impossible size");
            }
            break;
        default:
            file.unsupported(
                fmt::format("elements of the class '{}' are not read",
                            kind < std::size(class_names) ? class_names[kind] : "unknown"));
    }
    if (type.kind == Hdf5Type::Kind::integer || type.kind == Hdf5Type::Kind::real) {
        if (type.size > 8) {
            file.unsupported(fmt::format("numbers of {} bytes are not read", type.size));
        }
        if (type.precision == 0 || type.offset + type.precision > 8 * type.size) {
            file.fail("an element type has more bits than bytes");
        }
    }
    return type;
}

Hdf5Space read_hdf5_space(const Hdf5File& file, Hdf5Cursor& in) {
    const std::uint64_t version = in.number(1);
    const std::uint64_t axes = in.number(1);
    const std::uint64_t flags = in.number(1);
    if (version == 1) {
        in.skip(5);
    } else if (version != 2) {
        file.fail(fmt::format("version {} of a shape is not known", version));
    }
    const std::uint64_t kind = version == 1 ? (axes == 0 ? 0 : 1) : in.number(1);
    constexpr std::uint64_t most_axes = 32;
    if (axes > most_axes || kind > 2 || (kind != 1 && axes != 0) || (kind == 1 && axes == 0)) {
        file.fail("a shape is impossible");
    }
    Hdf5Space space;
    for (std::uint64_t i = 0; i < axes; ++i) {
        const std::uint64_t extent = in.length();
        if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            file.fail("a shape is impossible");
        }
        space.shape.push_back(static_cast<std::int64_t>(extent));
    }
    for (std::uint64_t i = 0; i < axes; ++i) {
        const auto extent = static_cast<std::uint64_t>(space.shape[i]);
        space.largest.push_back((flags & 1U) != 0 ? in.length() : extent);
        if (space.largest.back() < extent) {
            file.fail("a shape is larger than it may be");
        }
    }
    if ((flags & 2U) != 0) {
        file.unsupported("elements in an order of their own are not read");
    }
    if (kind == 2) {
        space.none = true;
        space.shape = {0};
    }
    const std::optional<std::int64_t> count = checked_element_count(space.shape);
    if (!count) {
        file.fail("a shape has more elements than can be counted");
    }
    space.count = static_cast<std::uint64_t>(*count);
    return space;
}

Hdf5Value read_hdf5_elements(const Hdf5File& file, Hdf5GlobalHeap& heap, const Hdf5Type& type,
                             const Hdf5Space& space, std::span<const std::byte> data,
                             std::string_view name) {
    if (space.count != 0 && data.size() / space.count < type.size) {
        file.fail("it has fewer elements than its shape says");
    }
    const bool texts = type.kind == Hdf5Type::Kind::text || type.kind == Hdf5Type::Kind::texts;
    const std::uint64_t each_takes = texts ? sizeof(std::string) : sizeof(double);
    if (space.count > std::numeric_limits<std::uint32_t>::max() * std::uint64_t{16}) {
        file.fail("it claims far more data than its size can hold");
    }
    file.use_memory(space.count * each_takes);
    switch (type.kind) {
        case Hdf5Type::Kind::integer:
            return each(type, space, data,
                        [&](std::uint64_t bits) { return integer_value(file, type, bits); });
        case Hdf5Type::Kind::real:
            if (is_native<float>(type)) {
                return each(type, space, data, [](std::uint64_t bits) {
                    return double{std::bit_cast<float>(static_cast<std::uint32_t>(bits))};
                });
            }
            if (is_native<double>(type)) {
                return each(type, space, data,
                            [](std::uint64_t bits) { return std::bit_cast<double>(bits); });
            }
            return each(type, space, data,
                        [&](std::uint64_t bits) { return real_value(type, bits); });
        case Hdf5Type::Kind::opaque:
            for (const OpaqueFormat& known : opaque_formats) {
                if (known.name == name && known.size == type.size) {
                    return each(type, space, data, [&](std::uint64_t bits) {
                        return decode_small_float(known.format, static_cast<std::uint32_t>(bits));
                    });
                }
            }
            file.unsupported("elements without a known meaning (opaque) are not read");
        case Hdf5Type::Kind::text:
        case Hdf5Type::Kind::texts:
            break;
    }
    Texts out;
    out.reserve(space.count);
    for (std::uint64_t i = 0; i < space.count; ++i) {
        const auto element = data.subspan(i * type.size, type.size);
        if (type.kind == Hdf5Type::Kind::text) {
            file.use_memory(type.size);
            out.push_back(fixed_text(type, element));
        } else {
            out.push_back(heap_text(file, heap, element));
        }
    }
    return out;
}

}  // namespace gatewright::store
