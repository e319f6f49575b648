#include <charconv>
#include <cstdint>
#include <system_error>

#include "cli/commands.h"

namespace gatewright::cli {

namespace {

template <class Number>
bool read_all(const std::string& text, Number& number) {
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && stopped == end;
}

}  // namespace

std::string is_seed(const std::string& text) {
    std::uint64_t seed = 0;
    return read_all(text, seed) ? "" : text + " is no integer of 0 to 18446744073709551615";
}

std::string is_duration(const std::string& text) {
    double seconds = 0;
    // NaN is no duration: it compares false.
    return read_all(text, seconds) && seconds >= 0 ? "" : text + " is no number of 0 or more";
}

std::string is_extra_depth(const std::string& text) {
    int levels = 0;
    return text == "auto" || (read_all(text, levels) && levels >= -1)
               ? ""
               : text + " is neither auto nor an integer of -1 or more";
}

}  // namespace gatewright::cli
