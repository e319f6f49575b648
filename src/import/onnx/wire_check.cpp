#include "import/onnx/wire_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace gatewright::onnx {

namespace {

struct Signature {
    std::string_view start;
    std::string_view what;
    std::string_view remedy;
};

using namespace std::string_view_literals;

constexpr auto signatures = std::to_array<Signature>({
    {"PK\3\4"sv, "a zip archive", "A .keras or .pt2 file must keep its ending, not .onnx"},
    {"\x89HDF"sv, "an HDF5 file", "A .h5 file must keep its ending, not .onnx"},
    {"version https://git-lfs"sv, "a pointer of Git LFS", "Fetch the model itself: git lfs pull"},
    {"<!DOCTYPE"sv, "a web page", "Download the file itself, not the page that shows it"},
    {"<html"sv, "a web page", "Download the file itself, not the page that shows it"},
    {"{"sv, "a JSON file", "Name the .onnx file itself"},
    {"\x93NUMPY"sv, "a NumPy array", "Name the model first, arrays with -i"},
});

/// Fields of ModelProto that may occur once, and those that repeat.
constexpr std::array single_fields{1, 2, 3, 4, 5, 6, 7};
constexpr std::array repeated_fields{8, 14, 20, 25, 26};

constexpr std::string_view again = "Download or export it again";

class Scanner {
  public:
    explicit Scanner(std::span<const std::byte> bytes) : bytes_(bytes) {}

    bool at_end() const { return position_ == bytes_.size(); }
    std::size_t position() const { return position_; }

    std::optional<std::uint64_t> varint() {
        std::uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            if (at_end()) {
                return std::nullopt;
            }
            const auto byte = std::to_integer<std::uint64_t>(bytes_[position_++]);
            value |= (byte & 0x7f) << shift;
            if (byte < 0x80) {
                return value;
            }
        }
        return std::nullopt;
    }

    bool skip(std::uint64_t count) {
        if (count > bytes_.size() - position_) {
            return false;
        }
        position_ += count;
        return true;
    }

    std::size_t left() const { return bytes_.size() - position_; }

  private:
    std::span<const std::byte> bytes_;
    std::size_t position_ = 0;
};

template <typename List>
bool has(const List& list, std::uint64_t value) {
    return std::any_of(list.begin(), list.end(),
                       [&](int entry) { return static_cast<std::uint64_t>(entry) == value; });
}

}  // namespace

std::optional<WireProblem> check_wire(std::span<const std::byte> bytes) {
    if (bytes.empty()) {
        return WireProblem{"the file is empty", std::string(again)};
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (const Signature& signature : signatures) {
        if (text.starts_with(signature.start)) {
            return WireProblem{fmt::format("it is {}, not an ONNX model", signature.what),
                               std::string(signature.remedy)};
        }
    }
    Scanner scanner(bytes);
    std::array<bool, 8> seen{};
    while (!scanner.at_end()) {
        const std::size_t start = scanner.position();
        const std::optional<std::uint64_t> tag = scanner.varint();
        const std::uint64_t field = tag.value_or(0) >> 3;
        const std::uint64_t wire = tag.value_or(0) & 7;
        const bool known = tag && (has(single_fields, field) || has(repeated_fields, field));
        const bool number = field == 1 || field == 5;
        if (!known || wire != (number ? 0U : 2U)) {
            // With a graph before it the file is a model followed by something else.
            return seen[7]
                       ? WireProblem{fmt::format("after the model, at byte {}, come {} bytes that "
                                                 "are no part of it",
                                                 start, bytes.size() - start),
                                     std::string(again)}
                       : WireProblem{fmt::format("it is not an ONNX model (byte {} begins no part "
                                                 "of one)",
                                                 start),
                                     "Name the .onnx file that the exporter wrote"};
        }
        const std::optional<std::uint64_t> value = scanner.varint();
        if (!value) {
            return WireProblem{fmt::format("it ends in the middle, at byte {}", bytes.size()),
                               std::string(again)};
        }
        if (!number && !scanner.skip(*value)) {
            return WireProblem{fmt::format("it ends in the middle: at byte {}, {} bytes are "
                                           "announced but {} are left",
                                           start, *value, scanner.left()),
                               std::string(again)};
        }
        if (field < seen.size()) {
            if (seen[field]) {
                return WireProblem{
                    fmt::format("at byte {} a second model begins in the same file", start),
                    std::string(again)};
            }
            seen[field] = true;
        }
    }
    return std::nullopt;
}

}  // namespace gatewright::onnx
