#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/diagnostics.h"

namespace gatewright::torch {

/// The bytes of a pickle, taken from front to back; more than there are is a Failure.
class PickleBytes {
  public:
    PickleBytes(std::span<const std::byte> bytes, const std::string& file)
        : bytes_(bytes), file_(file) {}

    [[noreturn]] void malformed(const std::string& message) const {
        throw Failure(Code::store_malformed, {file_, "", "", ""},
                      fmt::format("its pickle {} (byte {})", message, at_), "Save the file again.");
    }

    std::span<const std::byte> take(std::uint64_t count) {
        if (count > bytes_.size() - at_) {
            malformed("ends early");
        }
        const auto out = bytes_.subspan(at_, static_cast<std::size_t>(count));
        at_ += static_cast<std::size_t>(count);
        return out;
    }

    std::uint64_t number(std::size_t width) {
        std::uint64_t value = 0;
        const auto bytes = take(width);
        for (std::size_t i = 0; i < width; ++i) {
            value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
        }
        return value;
    }

    std::string text(std::uint64_t count) {
        const auto bytes = take(count);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    std::string line() {
        std::string out;
        while (true) {
            const char c = static_cast<char>(take(1)[0]);
            if (c == '\n') {
                break;
            }
            out.push_back(c);
        }
        if (out.ends_with('\r')) {
            out.pop_back();
        }
        return out;
    }

    std::size_t at() const { return at_; }
    std::size_t size() const { return bytes_.size(); }
    std::size_t left() const { return bytes_.size() - at_; }
    const std::string& file() const { return file_; }

  private:
    std::span<const std::byte> bytes_;
    const std::string& file_;
    std::size_t at_ = 0;
};

}  // namespace gatewright::torch
