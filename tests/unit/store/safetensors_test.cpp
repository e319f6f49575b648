#include "import/store/safetensors.h"

#include <doctest/doctest.h>

#include "refusal.h"

using namespace gatewright;
using namespace gatewright::test;
using store::SafeTensors;
using namespace std::string_view_literals;

namespace {

std::vector<std::byte> file(std::string_view header, std::string_view data) {
    std::string out;
    for (int i = 0; i < 8; ++i) {
        out += static_cast<char>((header.size() >> (8 * i)) & 0xff);
    }
    return bytes_of(out.append(header).append(data));
}

std::string error_of(std::string_view header, std::string_view data = "") {
    return refusal([&] {
        const SafeTensors tensors(file(header, data), "w.safetensors");
        for (const auto& name : tensors.names()) {
            tensors.read(name);
        }
    });
}

constexpr std::string_view header =
    R"({"__metadata__": {"format": "pt"},
        "half": {"dtype": "F16", "shape": [1, 2], "data_offsets": [8, 12]},
        "fc.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "none": {"dtype": "I8", "shape": [0, 3], "data_offsets": [12, 12]},
        "one": {"dtype": "BF16", "shape": [], "data_offsets": [12, 14]},
        "byte": {"dtype": "I8", "shape": [2], "data_offsets": [14, 16]}}  )";
constexpr std::string_view data = "\0\0\x80\x3f\0\0\0\xc0\0\x3c\0\xc0\xa0\xc0\xff\x7f"sv;

}  // namespace

TEST_CASE("safetensors: tensors and notes") {
    const SafeTensors tensors(file(header, data), "w.safetensors");
    CHECK(tensors.names() == std::vector<std::string>{"byte", "fc.weight", "half", "none", "one"});
    CHECK(tensors.read("fc.weight") == Tensor{{2}, {1, -2}});
    CHECK(tensors.read("half") == Tensor{{1, 2}, {1, -2}});
    CHECK(tensors.read("one") == Tensor{{}, {-5}});
    CHECK(tensors.read("byte") == Tensor{{2}, {-1, 127}});
    CHECK(tensors.read("none") == Tensor{{0, 3}, {}});
    CHECK(tensors.type("half") == "F16");
    CHECK(tensors.notes().at("format") == "pt");
    CHECK(contains(refusal([&] { tensors.read("other"); }), "'other' in it: the file has no such"));
}

TEST_CASE("safetensors: places that do not fit are refused") {
    const auto with = [](std::string_view a, std::string_view b, std::string_view bytes) {
        std::string text = R"({"a": {"dtype": "U8", )";
        text.append(a).append("}");
        if (!b.empty()) {
            text.append(R"(, "b": {"dtype": "I64", )").append(b).append("}");
        }
        return error_of(text + "}", bytes);
    };
    constexpr auto one = R"("shape": [1], "data_offsets": [0, 1])"sv;
    CHECK(with(one, "", "x").empty());
    CHECK(contains(with(one, "", ""), "outside of the file"));
    CHECK(contains(with(one, "", "xy"), "belong to no tensor"));
    CHECK(contains(with(one, R"("shape": [1], "data_offsets": [0, 8])", "12345678"), "overlap"));
    CHECK(contains(with(R"("shape": [2], "data_offsets": [0, 1])", "", "x"), "a place of 1 bytes"));
    CHECK(contains(with(R"("shape": [4294967296, 4294967296], "data_offsets": [0, 0])", "", ""),
                   "a place of 0 bytes"));
    CHECK(contains(with(R"("shape": [18446744073709551615], "data_offsets": [0, 1])", "", "x"),
                   "impossible"));
    CHECK(contains(with(R"("shape": [-1], "data_offsets": [0, 1])", "", "x"), "whole numbers"));
    CHECK(contains(with(R"("shape": [1], "data_offsets": [1, 0])", "", "x"), "outside"));
    CHECK(contains(with(R"("shape": [1], "data_offsets": [0, 1], "more": 1)", "", "x"), "'more'"));
    CHECK(contains(with(R"("shape": [1])", "", "x"), "lacks one of"));
    CHECK(contains(error_of(R"({"a": {"dtype": "C64", "shape": [], "data_offsets": [0, 8]}})"),
                   "'C64' is not read"));
    CHECK(contains(error_of(R"({"a": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]}})",
                            "\1\0\0\0\0\0\0\x40"sv),
                   "53 bits"));
    CHECK(error_of(R"({"a": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]}})",
                   "\0\0\0\0\0\0\0\x80"sv)
              .empty());
    CHECK(contains(error_of(R"({"a": 1, "a": 2})"), "GW0117"));
    CHECK(contains(error_of("[]"), "no object"));
}

TEST_CASE("safetensors: every cut and every damaged byte gives tensors or a Failure") {
    const std::vector<std::byte> whole = file(header, data);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        CHECK_THROWS_AS(SafeTensors({whole.begin(), whole.begin() + static_cast<long>(i)}, "w"),
                        Failure);
        for (const unsigned flip : {0x01U, 0x20U, 0x80U, 0xffU}) {
            std::vector<std::byte> damaged = whole;
            damaged[i] ^= static_cast<std::byte>(flip);
            refusal([&] {
                const SafeTensors tensors(damaged, "w");
                for (const auto& name : tensors.names()) {
                    tensors.read(name);
                }
            });
        }
    }
}
