#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"

namespace gatewright::test {

/// The message of the Failure that the function throws; empty if it throws none.
template <typename Function>
std::string refusal(Function function) {
    try {
        function();
    } catch (const Failure& failure) {
        return failure.what();
    }
    return "";
}

inline bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

inline std::vector<std::byte> bytes_of(std::string_view text) {
    std::vector<std::byte> out(text.size());
    if (!text.empty()) {
        std::memcpy(out.data(), text.data(), text.size());
    }
    return out;
}

}  // namespace gatewright::test
