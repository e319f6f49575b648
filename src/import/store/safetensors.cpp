#include "import/store/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "base/diagnostics.h"
#include "base/plain_text.h"
#include "import/store/json.h"
#include "types/small_float.h"

namespace gatewright::store {

namespace {

double small_float(const SmallFloatFormat& format, std::uint64_t bits) {
    return decode_small_float(format, static_cast<std::uint32_t>(bits));
}

template <typename Integer>
double integer(std::uint64_t bits) {
    return static_cast<double>(static_cast<Integer>(bits));
}

struct Type {
    std::string_view name;
    std::uint64_t size;
    double (*value)(std::uint64_t bits);
};
constexpr Type types[] = {
    {"BOOL", 1, [](std::uint64_t bits) { return bits != 0 ? 1.0 : 0.0; }},
    {"U8", 1, &integer<std::uint8_t>},
    {"I8", 1, &integer<std::int8_t>},
    {"U16", 2, &integer<std::uint16_t>},
    {"I16", 2, &integer<std::int16_t>},
    {"U32", 4, &integer<std::uint32_t>},
    {"I32", 4, &integer<std::int32_t>},
    {"U64", 8, &integer<std::uint64_t>},
    {"I64", 8, &integer<std::int64_t>},
    {"F8_E4M3", 1, [](std::uint64_t bits) { return small_float(float8_e4m3fn_format, bits); }},
    {"F8_E5M2", 1, [](std::uint64_t bits) { return small_float(float8_e5m2_format, bits); }},
    {"F16", 2, [](std::uint64_t bits) { return small_float(float16_format, bits); }},
    {"BF16", 2, [](std::uint64_t bits) { return small_float(bfloat16_format, bits); }},
    {"F32", 4,
     [](std::uint64_t bits) {
         return double{std::bit_cast<float>(static_cast<std::uint32_t>(bits))};
     }},
    {"F64", 8, [](std::uint64_t bits) { return std::bit_cast<double>(bits); }},
};

std::uint64_t number_at(std::span<const std::byte> bytes, std::uint64_t at, std::uint64_t size) {
    std::uint64_t out = 0;
    for (std::uint64_t i = 0; i < size; ++i) {
        out |= std::to_integer<std::uint64_t>(bytes[at + i]) << (8 * i);
    }
    return out;
}

/// Whole numbers only; nothing for anything else.
std::optional<std::vector<std::uint64_t>> numbers(const nlohmann::ordered_json& list) {
    if (!list.is_array()) {
        return std::nullopt;
    }
    std::vector<std::uint64_t> out;
    for (const auto& item : list) {
        if (!item.is_number_unsigned()) {
            return std::nullopt;
        }
        out.push_back(item.get<std::uint64_t>());
    }
    return out;
}

}  // namespace

SafeTensors::SafeTensors(std::vector<std::byte> bytes, std::string file)
    : bytes_(std::move(bytes)), file_(std::move(file)) {
    constexpr std::uint64_t front = 8;
    if (bytes_.size() < front) {
        fail({}, bytes_.empty() ? "it is empty" : "it is cut short");
    }
    const std::uint64_t header = number_at(bytes_, 0, front);
    if (header > bytes_.size() - front) {
        fail({},
             "it is cut short, or is not a .safetensors file: its header is longer than the "
             "file");
    }
    data_ = front + header;
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + front, header);
    const nlohmann::ordered_json json = parse_json(text, file_);
    if (!json.is_object()) {
        fail({}, "its header is no object");
    }
    for (const auto& [name, item] : json.items()) {
        if (!item.is_object()) {
            fail(name, "its header says nothing of it");
        }
        if (name == "__metadata__") {
            for (const auto& [key, note] : item.items()) {
                if (!note.is_string()) {
                    fail(name, "it holds something that is no text");
                }
                notes_.emplace(key, note.get<std::string>());
            }
            continue;
        }
        for (const auto& [key, unused] : item.items()) {
            if (key != "dtype" && key != "shape" && key != "data_offsets") {
                fail(name, fmt::format("its header has an unknown entry '{}'", printable(key)));
            }
        }
        if (item.size() != 3 || !item["dtype"].is_string()) {
            fail(name, "its header lacks one of dtype, shape and data_offsets");
        }
        Entry entry;
        const auto& type_name = item["dtype"].get_ref<const std::string&>();
        while (entry.type < std::size(types) && types[entry.type].name != type_name) {
            ++entry.type;
        }
        if (entry.type == std::size(types)) {
            fail(name, fmt::format("its element type '{}' is not read", printable(type_name)));
        }
        const auto shape = numbers(item["shape"]);
        const auto offsets = numbers(item["data_offsets"]);
        constexpr std::size_t most_axes = 64;
        if (!shape || shape->size() > most_axes || !offsets || offsets->size() != 2) {
            fail(name, "its shape or its place is not a list of whole numbers");
        }
        entry.begin = (*offsets)[0];
        entry.end = (*offsets)[1];
        for (const std::uint64_t extent : *shape) {
            if (extent >> 63 != 0) {
                fail(name, "its shape is impossible");
            }
            entry.shape.push_back(static_cast<std::int64_t>(extent));
        }
        const std::optional<std::int64_t> count = checked_element_count(entry.shape);
        const std::uint64_t size = types[entry.type].size;
        if (entry.begin > entry.end || entry.end > bytes_.size() - data_) {
            fail(name, "it lies outside of the file: the file is cut short, or damaged");
        }
        const std::uint64_t place = entry.end - entry.begin;
        // Dividing keeps the comparison free of overflow.
        if (!count || place % size != 0 || static_cast<std::uint64_t>(*count) != place / size) {
            fail(name, fmt::format("it has shape {} of {}, but a place of {} bytes",
                                   to_string(entry.shape), type_name, place));
        }
        entries_.emplace(name, std::move(entry));
    }
    check_places();
}

void SafeTensors::check_places() const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
    for (const auto& [name, entry] : entries_) {
        places.emplace_back(entry.begin, entry.end);
    }
    std::sort(places.begin(), places.end());
    std::uint64_t at = 0;
    for (const auto& [begin, end] : places) {
        if (begin != at) {
            fail({}, "its tensors overlap, or leave bytes between them");
        }
        at = end;
    }
    if (at != bytes_.size() - data_) {
        fail({}, "it holds bytes that belong to no tensor");
    }
}

std::vector<std::string> SafeTensors::names() const {
    std::vector<std::string> out;
    for (const auto& [name, entry] : entries_) {
        out.push_back(name);
    }
    return out;
}

std::string_view SafeTensors::type(std::string_view name) const {
    return types[entry(name).type].name;
}

const SafeTensors::Entry& SafeTensors::entry(std::string_view name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
        fail(name, "the file has no such tensor");
    }
    return found->second;
}

Tensor SafeTensors::read(std::string_view name) const {
    const Entry& found = entry(name);
    const Type& type = types[found.type];
    Tensor out;
    out.shape = found.shape;
    out.values.reserve((found.end - found.begin) / type.size);
    for (std::uint64_t at = found.begin; at < found.end; at += type.size) {
        const std::uint64_t bits = number_at(bytes_, data_ + at, type.size);
        out.values.push_back(type.value(bits));
        const double value = out.values.back();
        // Integers of 64 bits may be rounded; 2^63 and 2^64 are no values of theirs.
        if ((type.name == "I64" &&
             (value >= 0x1p63 ||
              static_cast<std::uint64_t>(static_cast<std::int64_t>(value)) != bits)) ||
            (type.name == "U64" &&
             (value >= 0x1p64 || static_cast<std::uint64_t>(value) != bits))) {
            fail(name, "an integer in it is beyond what is held exactly (53 bits)");
        }
    }
    return out;
}

void SafeTensors::fail(std::string_view tensor, const std::string& message) const {
    throw Failure(
        Code::store_malformed, {file_, {}, {}, {}},
        tensor.empty() ? message : fmt::format("'{}' in it: {}", printable(tensor), message),
        "Download or export it again");
}

}  // namespace gatewright::store
