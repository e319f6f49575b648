#include "types/array_source.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <numeric>

#include "base/diagnostics.h"
#include "base/file.h"

using namespace gatewright;

namespace {

/// A file of these bytes, which goes with this object.
struct TestFile {
    std::string path = (std::filesystem::temp_directory_path() /
                        fmt::format("gatewright_source_{}.npy", ::getpid()))
                           .string();

    explicit TestFile(const std::vector<std::byte>& bytes) { write_file_bytes(path, bytes); }
    ~TestFile() { std::filesystem::remove(path); }
    TestFile(const TestFile&) = delete;
    TestFile& operator=(const TestFile&) = delete;
};

NpyArray ramp(Shape shape) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    std::iota(values.begin(), values.end(), 1.0F);
    return NpyArray::of(std::move(shape), std::span<const float>(values));
}

Code code_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const Failure& failure) {
        return failure.diagnostics().at(0).code;
    }
    FAIL("nothing was refused");
    return {};
}

NpyArray opened(const std::string& file) {
    const NamedSources arrays = open_arrays(file);
    REQUIRE(arrays.size() == 1);
    CHECK(arrays[0].first == "x");
    return arrays[0].second.whole();
}

}  // namespace

TEST_CASE("an array source gives the elements of memory and of a file, in parts") {
    const NpyArray array = ramp({50, 3, 7});
    const TestFile file(format_npy(array));
    const NamedSources from_file = open_arrays(file.path);
    for (const ArraySource& source : {from_file.at(0).second, ArraySource(array),
                                      ArraySource(array.dtype, array.shape, array.data.data())}) {
        CHECK(source.dtype() == DType::float32);
        CHECK(source.shape() == array.shape);
        CHECK(source.whole() == array);
        std::vector<std::byte> buffer;
        for (const auto& [first, count] :
             {std::pair{0, 1050}, {1, 1049}, {17, 21}, {1049, 1}, {1050, 0}, {0, 0}}) {
            const std::byte* got = source.read(first, count, buffer);
            CHECK(std::equal(array.data.begin() + first * 4,
                             array.data.begin() + (first + count) * 4, got));
        }
        CHECK(source.part(21, 42, {2, 21}).shape == Shape{2, 21});
        CHECK(wholes({{"a", source}}) == NamedArrays{{"a", array}});
    }
}

TEST_CASE("an opened file gives what a read one does, whatever its order") {
    const auto same = [](const std::vector<std::byte>& bytes) {
        const TestFile file(bytes);
        CHECK(opened(file.path) == read_npy(file.path));
    };
    for (const Shape& shape : std::vector<Shape>{{}, {0, 4}, {1}, {3, 2}, {2, 3, 4}}) {
        const std::vector<std::byte> bytes = format_npy(ramp(shape));
        same(bytes);
        std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        for (const auto& [from, to] : {std::pair{"'<f4'", "'>f4'"}, {"'<f4'", "'<i4'"}}) {
            std::string other = text;
            other.replace(other.find(from), 5, to);
            const auto view = std::as_bytes(std::span(other));
            same({view.begin(), view.end()});
        }
        text.replace(text.find("False"), 5, "True ");
        const auto view = std::as_bytes(std::span(text));
        same({view.begin(), view.end()});
    }
    const NpyArray flags{DType::boolean, {3}, {std::byte{1}, std::byte{0}, std::byte{1}}};
    same(format_npy(flags));
    // A header of format version 2, longer than what is read first.
    NpyArray deep = ramp({1});
    deep.shape.assign(64, 1);
    std::vector<std::byte> bytes = format_npy(deep);
    const std::vector<std::byte> spaces(100'000, std::byte{' '});
    bytes[6] = std::byte{2};
    const std::size_t length = 100'000 + bytes.size() - 10 - deep.data.size();
    bytes.insert(bytes.begin() + 10, {std::byte{}, std::byte{}});
    for (std::size_t i = 0; i < 4; ++i) {
        bytes[8 + i] = static_cast<std::byte>((length >> (8 * i)) & 0xff);
    }
    bytes.insert(bytes.begin() + 12, spaces.begin(), spaces.end());
    same(bytes);
}

TEST_CASE("a file that is cut short, before or while it is read, is one message") {
    const std::vector<std::byte> bytes = format_npy(ramp({2000, 10}));
    for (const std::size_t cut : {std::size_t{0}, std::size_t{5}, std::size_t{9}, std::size_t{40},
                                  std::size_t{128}, bytes.size() - 1}) {
        const TestFile file({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(cut)});
        CHECK(code_of([&] { open_arrays(file.path); }) == Code::array_file_malformed);
    }
    const TestFile file(bytes);
    const NamedSources arrays = open_arrays(file.path);
    std::filesystem::resize_file(file.path, bytes.size() / 2);
    std::vector<std::byte> buffer;
    CHECK(code_of([&] { arrays[0].second.read(0, 20'000, buffer); }) == Code::array_file_malformed);
    CHECK_NOTHROW(arrays[0].second.read(0, 5'000, buffer));
    CHECK(code_of([&] { open_arrays(file.path); }) == Code::array_file_malformed);
    CHECK(code_of([] { open_arrays("no such file.npy"); }) == Code::file_missing);
    CHECK(code_of([] { open_arrays("/"); }) == Code::file_missing);
}

TEST_CASE("an opened archive gives all its arrays") {
    const NamedArrays arrays{{"b", ramp({2, 3})}, {"a", ramp({4})}};
    const TestFile file({});
    write_npz(file.path, arrays);
    CHECK(wholes(open_arrays(file.path)) == arrays);
}
