#include "network/fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <limits>

namespace gatewright::network {

namespace {

template <class T>
bool parse_number(std::string_view text, T& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

/// Parses "[2, 3]: 1 2 3" into a shape and its elements.
template <class T>
bool parse_tensor(std::string_view text, Shape& shape, std::vector<T>& values) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || !parse_field(trim(text.substr(0, colon)), shape)) {
        return false;
    }
    const auto count = checked_element_count(shape);
    // Each element takes at least two characters, so a false count is refused before memory is.
    if (!count || static_cast<std::uint64_t>(*count) > text.size()) {
        return false;
    }
    values.clear();
    values.reserve(static_cast<std::size_t>(*count));
    const char* at = text.data() + colon + 1;
    const char* const end = text.data() + text.size();
    while (at != end) {
        if (*at == ' ') {
            ++at;
            continue;
        }
        T value{};
        const auto [next, error] = std::from_chars(at, end, value);
        if (error != std::errc()) {
            return false;
        }
        values.push_back(value);
        at = next;
    }
    return static_cast<std::int64_t>(values.size()) == *count;
}

template <class T>
std::string print_tensor(const Shape& shape, const std::vector<T>& values) {
    std::string out = to_string(shape) + ":";
    std::array<char, 40> buffer{};
    for (const T value : values) {
        const auto [end, error] =
            std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
        out.push_back(' ');
        out.append(buffer.data(), end);
    }
    return out;
}

}  // namespace

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
        text.remove_suffix(1);
    }
    return text;
}

std::vector<std::string_view> split_list(std::string_view text, char separator) {
    std::vector<std::string_view> items;
    if (trim(text).empty()) {
        return items;
    }
    int depth = 0;
    bool quoted = false;
    std::size_t start = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\') {
                ++i;
            } else if (c == '"') {
                quoted = false;
            }
        } else if (c == '"') {
            quoted = true;
        } else if (c == '(' || c == '[' || c == '{' || c == '<') {
            ++depth;
        } else if (c == ')' || c == ']' || c == '}' || c == '>') {
            --depth;
        } else if (c == separator && depth == 0) {
            items.push_back(trim(text.substr(start, i - start)));
            start = i + 1;
        }
    }
    items.push_back(trim(text.substr(start)));
    return items;
}

std::string print_field(bool value) {
    return value ? "true" : "false";
}
std::string print_field(std::int64_t value) {
    return std::to_string(value);
}
std::string print_field(Int128 value) {
    return to_string(value);
}
std::string print_field(double value) {
    std::array<char, 40> buffer{};
    const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    return std::string(buffer.data(), end);
}
std::string print_field(const std::string& value) {
    std::string out = "\"";
    for (const char c : value) {
        if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(c);
        } else if (static_cast<unsigned char>(c) < 0x20) {
            out += fmt::format("\\x{:02x}", static_cast<int>(c));
        } else {
            out.push_back(c);
        }
    }
    return out + "\"";
}
std::string print_field(Rounding value) {
    return to_string(value);
}
std::string print_field(Overflow value) {
    return to_string(value);
}
std::string print_field(const FixedType& value) {
    return to_string(value);
}
std::string print_field(const Rational& value) {
    return to_string(value);
}
std::string print_field(const Shape& value) {
    return to_string(value);
}
std::string print_field(const Tensor& value) {
    return print_tensor(value.shape, value.values);
}
std::string print_field(const IntTensor& value) {
    return print_tensor(value.shape, value.values);
}
std::string print_field(const Interval& value) {
    return fmt::format("[{}, {}]", to_string(value.low), to_string(value.high));
}
std::string print_field(const std::vector<Int128>& value) {
    std::string out = "{";
    for (std::size_t i = 0; i < value.size(); ++i) {
        out += (i == 0 ? "" : ", ") + to_string(value[i]);
    }
    return out + "}";
}

bool parse_field(std::string_view text, bool& value) {
    value = text == "true";
    return value || text == "false";
}
bool parse_field(std::string_view text, std::int64_t& value) {
    return parse_number(text, value);
}
bool parse_field(std::string_view text, Int128& value) {
    return parse_int128(text, value);
}
bool parse_field(std::string_view text, double& value) {
    return parse_number(text, value);
}
bool parse_field(std::string_view text, std::string& value) {
    if (text.size() < 2 || text.front() != '"' || text.back() != '"') {
        return false;
    }
    value.clear();
    text = text.substr(1, text.size() - 2);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            value.push_back(text[i]);
        } else if (i + 3 < text.size() && text[i + 1] == 'x') {
            int code = 0;
            const auto [end, error] =
                std::from_chars(text.data() + i + 2, text.data() + i + 4, code, 16);
            if (error != std::errc() || end != text.data() + i + 4) {
                return false;
            }
            value.push_back(static_cast<char>(code));
            i += 3;
        } else if (i + 1 < text.size()) {
            value.push_back(text[++i]);
        } else {
            return false;
        }
    }
    return true;
}

template <class T>
bool parse_optional(std::optional<T> parsed, T& value) {
    if (parsed) {
        value = *std::move(parsed);
    }
    return parsed.has_value();
}

bool parse_field(std::string_view text, Rounding& value) {
    return parse_optional(parse_rounding(text), value);
}
bool parse_field(std::string_view text, Overflow& value) {
    return parse_optional(parse_overflow(text), value);
}
bool parse_field(std::string_view text, FixedType& value) {
    return parse_optional(parse_fixed_type(text), value);
}
bool parse_field(std::string_view text, Rational& value) {
    return parse_optional(parse_rational(text), value);
}
bool parse_field(std::string_view text, Shape& value) {
    if (!text.starts_with('[') || !text.ends_with(']')) {
        return false;
    }
    value.clear();
    for (const std::string_view item : split_list(text.substr(1, text.size() - 2), ',')) {
        if (!parse_number(item, value.emplace_back())) {
            return false;
        }
    }
    return true;
}
bool parse_field(std::string_view text, Tensor& value) {
    return parse_tensor(text, value.shape, value.values);
}
bool parse_field(std::string_view text, IntTensor& value) {
    return parse_tensor(text, value.shape, value.values);
}
bool parse_field(std::string_view text, Interval& value) {
    if (!text.starts_with('[') || !text.ends_with(']')) {
        return false;
    }
    const auto items = split_list(text.substr(1, text.size() - 2), ',');
    return items.size() == 2 && parse_int128(items[0], value.low) &&
           parse_int128(items[1], value.high);
}
bool parse_field(std::string_view text, std::vector<Int128>& value) {
    if (!text.starts_with('{') || !text.ends_with('}')) {
        return false;
    }
    value.clear();
    for (const std::string_view item : split_list(text.substr(1, text.size() - 2), ',')) {
        if (!parse_int128(item, value.emplace_back())) {
            return false;
        }
    }
    return true;
}

}  // namespace gatewright::network
