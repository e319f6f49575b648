#include "types/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/diagnostics.h"
#include "base/file.h"
#include "types/small_float.h"

namespace gatewright {

static_assert(std::endian::native == std::endian::little,
              "arrays in memory are little-endian, and elements are copied as they are");

namespace {

struct DTypeInfo {
    DType dtype;
    std::string_view name;
    std::string_view code;  ///< kind and size as in the header's descr
    std::size_t size;
};

constexpr auto dtypes = std::to_array<DTypeInfo>({
    {DType::boolean, "bool", "b1", 1},
    {DType::int8, "int8", "i1", 1},
    {DType::int16, "int16", "i2", 2},
    {DType::int32, "int32", "i4", 4},
    {DType::int64, "int64", "i8", 8},
    {DType::uint8, "uint8", "u1", 1},
    {DType::uint16, "uint16", "u2", 2},
    {DType::uint32, "uint32", "u4", 4},
    {DType::uint64, "uint64", "u8", 8},
    {DType::float16, "float16", "f2", 2},
    {DType::float32, "float32", "f4", 4},
    {DType::float64, "float64", "f8", 8},
});

const DTypeInfo& info_of(DType dtype) {
    return dtypes.at(static_cast<std::size_t>(dtype));
}

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t max_header = max_npy_header - 12;
constexpr std::size_t max_rank = 64;

[[noreturn]] void malformed(const std::string& file, const std::string& array,
                            const std::string& message) {
    throw Failure(Code::array_file_malformed, {file, {}, {}, array}, message,
                  "Write it again with numpy.save or numpy.savez");
}

/// Reads the literal of a Python dictionary that is the header: {'descr': '<f4', 'fortran_order':
/// False, 'shape': (3, 4), }. Keys come in any order, each once; nothing else is accepted.
class HeaderParser {
  public:
    HeaderParser(std::string_view text, const std::string& file, const std::string& array)
        : text_(text), file_(file), array_(array) {}

    NpyLayout parse() {
        NpyLayout header;
        std::array<bool, 3> seen{};
        expect('{');
        while (!take('}')) {
            const std::string key = quoted();
            expect(':');
            const std::size_t which = key == "descr"           ? 0
                                      : key == "fortran_order" ? 1
                                      : key == "shape"         ? 2
                                                               : 3;
            if (which == 3 || seen[which]) {
                fail("its header has an unknown or repeated key");
            }
            seen[which] = true;
            if (which == 0) {
                descr(header);
            } else if (which == 1) {
                header.fortran = boolean();
            } else {
                shape(header);
            }
            if (!take(',')) {
                expect('}');
                break;
            }
        }
        skip_space();
        if (position_ != text_.size()) {
            fail("its header goes on after the dictionary");
        }
        if (!seen[0] || !seen[1] || !seen[2]) {
            fail("its header lacks one of 'descr', 'fortran_order', 'shape'");
        }
        return header;
    }

  private:
    [[noreturn]] void fail(const std::string& message) const { malformed(file_, array_, message); }

    void skip_space() {
        while (position_ < text_.size() &&
               (text_[position_] == ' ' || text_[position_] == '\n' || text_[position_] == '\t')) {
            ++position_;
        }
    }

    bool take(char c) {
        skip_space();
        if (position_ < text_.size() && text_[position_] == c) {
            ++position_;
            return true;
        }
        return false;
    }

    void expect(char c) {
        if (!take(c)) {
            fail(fmt::format("its header is not a dictionary: '{}' is missing", c));
        }
    }

    std::string quoted() {
        skip_space();
        if (position_ >= text_.size() || (text_[position_] != '\'' && text_[position_] != '"')) {
            fail("its header does not describe an array of plain numbers");
        }
        const char quote = text_[position_++];
        const std::size_t end = text_.find(quote, position_);
        if (end == std::string_view::npos) {
            fail("its header holds an unfinished string");
        }
        std::string out(text_.substr(position_, end - position_));
        position_ = end + 1;
        return out;
    }

    bool boolean() {
        skip_space();
        for (const auto& [word, value] : {std::pair<std::string_view, bool>{"False", false},
                                          std::pair<std::string_view, bool>{"True", true}}) {
            if (text_.substr(position_).starts_with(word)) {
                position_ += word.size();
                return value;
            }
        }
        fail("'fortran_order' in its header is neither True nor False");
    }

    void descr(NpyLayout& header) {
        const std::string text = quoted();
        const std::string_view order = "<>|=";
        if (!text.empty() && order.find(text[0]) != std::string_view::npos) {
            for (const DTypeInfo& row : dtypes) {
                if (text.substr(1) == row.code) {
                    header.dtype = row.dtype;
                    header.big_endian = text[0] == '>';
                    if (text[0] == '|' && row.size != 1) {
                        break;
                    }
                    return;
                }
            }
        }
        std::string shown;
        for (const char c : text.substr(0, 20)) {
            shown += c >= ' ' && c <= '~' ? c : '?';
        }
        throw Failure(Code::array_type_unsupported, {file_, {}, {}, array_},
                      fmt::format("the element type '{}' is not read", shown),
                      "Convert it to float32, float64, float16, bool or an integer type: "
                      "x.astype('float32')");
    }

    void shape(NpyLayout& header) {
        expect('(');
        while (!take(')')) {
            skip_space();
            std::int64_t extent = 0;
            const char* begin = text_.data() + position_;
            const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), extent);
            if (error != std::errc{} || extent < 0) {
                fail("its header has an impossible shape");
            }
            position_ += static_cast<std::size_t>(end - begin);
            take('L');  // Python 2 wrote (3L, 4L)
            header.shape.push_back(extent);
            if (header.shape.size() > max_rank) {
                fail(fmt::format("it has more than {} axes", max_rank));
            }
            if (!take(',')) {
                expect(')');
                break;
            }
        }
    }

    std::string_view text_;
    const std::string& file_;
    const std::string& array_;
    std::size_t position_ = 0;
};

std::uint32_t byte_at(std::span<const std::byte> bytes, std::size_t i) {
    return std::to_integer<std::uint32_t>(bytes[i]);
}

/// Column-major to row-major.
std::vector<std::byte> reorder(const std::vector<std::byte>& from, const Shape& shape,
                               std::size_t size) {
    std::vector<std::byte> out(from.size());
    std::vector<std::size_t> step(shape.size());
    std::size_t stride = 1;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        step[axis] = stride;
        stride *= static_cast<std::size_t>(shape[axis]);
    }
    std::vector<std::int64_t> position(shape.size(), 0);
    std::size_t source = 0;
    for (std::size_t to = 0; to < out.size(); to += size) {
        std::memcpy(out.data() + to, from.data() + source * size, size);
        for (std::size_t axis = shape.size(); axis-- > 0;) {
            source += step[axis];
            if (++position[axis] < shape[axis]) {
                break;
            }
            source -= step[axis] * static_cast<std::size_t>(shape[axis]);
            position[axis] = 0;
        }
    }
    return out;
}

template <typename T>
NpyArray make(DType dtype, Shape shape, std::span<const T> values) {
    NpyArray out{dtype, std::move(shape), std::vector<std::byte>(values.size_bytes())};
    if (!values.empty()) {
        std::memcpy(out.data.data(), values.data(), values.size_bytes());
    }
    return out;
}

template <typename T, typename Function>
void each(const NpyArray& array, Function function) {
    for (std::size_t i = 0; i + sizeof(T) <= array.data.size(); i += sizeof(T)) {
        T value;
        std::memcpy(&value, array.data.data() + i, sizeof(T));
        function(value);
    }
}

/// Calls `function` with each element as its own C++ type (float16 as its double, bool as uint8).
template <typename Function>
void visit_elements(const NpyArray& array, Function function) {
    switch (array.dtype) {
        case DType::boolean:
        case DType::uint8:
            return each<std::uint8_t>(array, function);
        case DType::int8:
            return each<std::int8_t>(array, function);
        case DType::int16:
            return each<std::int16_t>(array, function);
        case DType::int32:
            return each<std::int32_t>(array, function);
        case DType::int64:
            return each<std::int64_t>(array, function);
        case DType::uint16:
            return each<std::uint16_t>(array, function);
        case DType::uint32:
            return each<std::uint32_t>(array, function);
        case DType::uint64:
            return each<std::uint64_t>(array, function);
        case DType::float16:
            return each<std::uint16_t>(array, [&](std::uint16_t bits) {
                function(decode_small_float(float16_format, bits));
            });
        case DType::float32:
            return each<float>(array, function);
        case DType::float64:
            return each<double>(array, function);
    }
}

}  // namespace

std::size_t item_size(DType dtype) {
    return info_of(dtype).size;
}
std::string_view to_string(DType dtype) {
    return info_of(dtype).name;
}

NpyArray NpyArray::of(Shape shape, std::span<const float> values) {
    return make(DType::float32, std::move(shape), values);
}
NpyArray NpyArray::of(Shape shape, std::span<const double> values) {
    return make(DType::float64, std::move(shape), values);
}
NpyArray NpyArray::of(Shape shape, std::span<const std::int64_t> values) {
    return make(DType::int64, std::move(shape), values);
}
NpyArray NpyArray::of(Shape shape, std::span<const std::int32_t> values) {
    return make(DType::int32, std::move(shape), values);
}
NpyArray NpyArray::of(Shape shape, std::span<const std::uint8_t> values) {
    return make(DType::uint8, std::move(shape), values);
}

std::optional<std::vector<double>> to_doubles(const NpyArray& array) {
    std::vector<double> out;
    out.reserve(array.data.size() / item_size(array.dtype));
    bool exact = true;
    visit_elements(array, [&](auto value) {
        out.push_back(static_cast<double>(value));
        if constexpr (sizeof(value) == 8 && std::is_integral_v<decltype(value)>) {
            // 2^63 and 2^64 are no values of the type, so the way back must be guarded.
            exact = exact &&
                    out.back() < std::ldexp(1.0, std::numeric_limits<decltype(value)>::digits) &&
                    static_cast<decltype(value)>(out.back()) == value;
        }
    });
    return exact ? std::optional(std::move(out)) : std::nullopt;
}

std::optional<std::vector<std::int64_t>> to_integers(const NpyArray& array) {
    std::vector<std::int64_t> out;
    out.reserve(array.data.size() / item_size(array.dtype));
    bool exact = true;
    visit_elements(array, [&](auto value) {
        bool fits = true;
        if constexpr (std::is_floating_point_v<decltype(value)>) {
            fits = std::trunc(value) == value && std::abs(static_cast<double>(value)) < 0x1p63;
        } else {
            fits = std::in_range<std::int64_t>(value);
        }
        out.push_back(fits ? static_cast<std::int64_t>(value) : 0);
        exact = exact && fits;
    });
    return exact ? std::optional(std::move(out)) : std::nullopt;
}

NpyLayout parse_npy_header(std::span<const std::byte> front, std::uint64_t size,
                           const std::string& file, const std::string& array) {
    if (front.size() < 10 || std::memcmp(front.data(), magic.data(), magic.size()) != 0) {
        malformed(file, array, size == 0 ? "it is empty" : "it is not a .npy file");
    }
    const std::uint32_t version = byte_at(front, 6);
    if (version < 1 || version > 3 || byte_at(front, 7) != 0) {
        malformed(file, array, fmt::format("format version {} is not read", version));
    }
    const std::size_t length_bytes = version == 1 ? 2 : 4;
    const std::size_t start = 8 + length_bytes;
    std::size_t length = 0;
    if (front.size() < start) {
        malformed(file, array, "it ends within its header");
    }
    for (std::size_t i = 0; i < length_bytes; ++i) {
        length |= std::size_t{byte_at(front, 8 + i)} << (8 * i);
    }
    if (length > front.size() - start || length > max_header) {
        malformed(file, array, "its header is longer than the file");
    }
    const std::string_view text(reinterpret_cast<const char*>(front.data()) + start, length);
    NpyLayout layout = HeaderParser(text, file, array).parse();
    layout.offset = start + length;

    const std::size_t item = item_size(layout.dtype);
    const std::optional<std::int64_t> count = checked_element_count(layout.shape);
    const std::uint64_t available = size - layout.offset;
    // Dividing keeps the comparison free of overflow.
    if (!count || static_cast<std::uint64_t>(*count) > available / item ||
        static_cast<std::uint64_t>(*count) * item != available) {
        malformed(file, array,
                  fmt::format("its header says shape {} of {}, but {} bytes of data follow",
                              to_string(layout.shape), to_string(layout.dtype), available));
    }
    return layout;
}

NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& file,
                   const std::string& array) {
    NpyLayout header = parse_npy_header(bytes, bytes.size(), file, array);
    const std::size_t size = item_size(header.dtype);
    const auto data = bytes.subspan(header.offset);
    NpyArray out{header.dtype, std::move(header.shape), {data.begin(), data.end()}};
    if (header.big_endian && size > 1) {
        for (std::size_t i = 0; i < out.data.size(); i += size) {
            std::reverse(out.data.begin() + static_cast<std::ptrdiff_t>(i),
                         out.data.begin() + static_cast<std::ptrdiff_t>(i + size));
        }
    }
    if (header.fortran && out.shape.size() > 1) {
        out.data = reorder(out.data, out.shape, size);
    }
    if (out.dtype == DType::boolean) {
        for (const std::byte b : out.data) {
            if (std::to_integer<unsigned>(b) > 1) {
                malformed(file, array, "an element of type bool is neither 0 nor 1");
            }
        }
    }
    return out;
}

std::vector<std::byte> format_npy(const NpyArray& array) {
    std::string header =
        fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': (",
                    item_size(array.dtype) == 1 ? '|' : '<', info_of(array.dtype).code);
    for (std::size_t i = 0; i < array.shape.size(); ++i) {
        header += fmt::format("{}{}", i == 0 ? "" : ", ", array.shape[i]);
    }
    header += array.shape.size() == 1 ? ",), }" : "), }";
    // The data start at a multiple of 64 bytes and the header ends with a newline.
    const std::size_t length_bytes = header.size() + 80 > 0xffff ? 4 : 2;
    const std::size_t unpadded = 8 + length_bytes + header.size() + 1;
    header.append((64 - unpadded % 64) % 64, ' ');
    header += '\n';

    std::string out(magic);
    out += static_cast<char>(length_bytes == 2 ? 1 : 2);
    out += '\0';
    for (std::size_t i = 0; i < length_bytes; ++i) {
        out += static_cast<char>((header.size() >> (8 * i)) & 0xff);
    }
    out += header;
    std::vector<std::byte> bytes(out.size() + array.data.size());
    std::memcpy(bytes.data(), out.data(), out.size());
    if (!array.data.empty()) {
        std::memcpy(bytes.data() + out.size(), array.data.data(), array.data.size());
    }
    return bytes;
}

NpyArray read_npy(const std::string& file) {
    return parse_npy(read_file_bytes(file), file);
}

void write_npy(const std::string& file, const NpyArray& array) {
    write_file_bytes(file, format_npy(array));
}

}  // namespace gatewright
