#include "import/onnx/reading.h"

#include <fmt/format.h>

namespace gatewright::onnx {

namespace {

constexpr std::size_t max_errors = 100;

/// Length of the UTF-8 sequence at the start of `text`; 0 if it is none, or a control character.
std::size_t printable_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) {
        return first >= 0x20 && first != 0x7f ? 1 : 0;
    }
    const std::size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                               : first >= 0xe0 && first <= 0xef ? 3
                               : first >= 0xf0 && first <= 0xf4 ? 4
                                                                : 0;
    if (length == 0 || text.size() < length) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) {
            return 0;
        }
    }
    const unsigned second = byte(1);
    const bool bad = (first == 0xe0 && second < 0xa0) ||  // longer than need be
                     (first == 0xed && second > 0x9f) ||  // halves of UTF-16 pairs
                     (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f) ||
                     (first == 0xc2 && second < 0xa0);  // control characters
    return bad ? 0 : length;
}

}  // namespace

bool is_printable_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = printable_length(text);
        if (length == 0) {
            return false;
        }
        text.remove_prefix(length);
    }
    return true;
}

void Reading::error(Code code, Location where, std::string message, std::string remedy) {
    diagnostics_.add(code, std::move(where), std::move(message), std::move(remedy));
    if (diagnostics_.all().size() >= max_errors) {
        diagnostics_.throw_if_errors();
    }
}

void Reading::note(Code code, Location where, std::string message) {
    notes.push_back({code, std::move(where), std::move(message), {}});
}

std::string Reading::text(const std::string& name, std::string_view what) {
    constexpr std::size_t max_name = 4096;
    if (name.size() <= max_name && is_printable_utf8(name)) {
        return name;
    }
    std::string out;
    std::string_view rest = std::string_view(name).substr(0, max_name);
    while (!rest.empty()) {
        const std::size_t length = printable_length(rest);
        if (length == 0) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(rest[0]));
        } else {
            out += rest.substr(0, length);
        }
        rest.remove_prefix(length == 0 ? 1 : length);
    }
    const std::string shown = out.substr(0, 60);
    error(Code::model_file_malformed, {file, {}, {}, {}},
          name.size() > max_name
              ? fmt::format("a name ({}) is {} bytes long", what, name.size())
              : fmt::format("the name '{}' ({}) holds control characters or is not UTF-8",
                            is_printable_utf8(shown) ? shown : "?", what),
          "Rename it before export");
    return out;
}

std::string normal_domain(const std::string& domain) {
    return domain == "ai.onnx" ? "" : domain;
}

}  // namespace gatewright::onnx
