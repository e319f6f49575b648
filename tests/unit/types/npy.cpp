#include "types/npy.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <zip.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "base/diagnostics.h"
#include "base/file.h"
#include "types/small_float.h"

using namespace gatewright;

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
    std::vector<std::byte> out(text.size());
    std::memcpy(out.data(), text.data(), text.size());
    return out;
}

/// A .npy file of format `version` around any header text and data.
std::vector<std::byte> npy(std::string_view header, std::string_view data, int version = 1) {
    std::string out = "\x93NUMPY";
    out += static_cast<char>(version);
    out += '\0';
    for (int i = 0; i < (version == 1 ? 2 : 4); ++i) {
        out += static_cast<char>((header.size() >> (8 * i)) & 0xff);
    }
    out += header;
    out += data;
    return bytes_of(out);
}

std::string header(std::string_view descr, std::string_view shape, bool fortran = false) {
    return fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr,
                       fortran ? "True" : "False", shape);
}

template <typename Function>
std::string error_of(Function function) {
    try {
        function();
    } catch (const Failure& failure) {
        return failure.what();
    }
    return "";
}

std::string refusal(std::string_view header_text, std::string_view data = "") {
    return error_of([&] { parse_npy(npy(header_text, data), "a.npy"); });
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// A file that is gone when the test is.
struct ScratchFile {
    std::string path;
    explicit ScratchFile(const std::string& name)
        : path((std::filesystem::temp_directory_path() /
                fmt::format("gatewright_{}_{}", static_cast<const void*>(this), name))
                   .string()) {}
    ~ScratchFile() { std::filesystem::remove(path); }
    ScratchFile(const ScratchFile&) = delete;
    ScratchFile& operator=(const ScratchFile&) = delete;
};

struct ZipEntry {
    std::string name;
    std::vector<std::byte> data;
    int method = ZIP_CM_STORE;
};

void write_zip(const std::string& path, const std::vector<ZipEntry>& entries) {
    int error = 0;
    zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &error);
    REQUIRE(archive != nullptr);
    for (const ZipEntry& entry : entries) {
        zip_source_t* source = zip_source_buffer(archive, entry.data.data(), entry.data.size(), 0);
        const zip_int64_t index =
            zip_file_add(archive, entry.name.c_str(), source, ZIP_FL_ENC_UTF_8);
        REQUIRE(index >= 0);
        zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), entry.method, 0);
    }
    REQUIRE(zip_close(archive) == 0);
}

}  // namespace

TEST_CASE("small floats decode to their exact values") {
    CHECK(decode_small_float(float16_format, 0x3c00) == 1.0);
    CHECK(decode_small_float(float16_format, 0x0001) == 0x1p-24);
    CHECK(decode_small_float(float16_format, 0xfbff) == -65504.0);
    CHECK(std::isinf(decode_small_float(float16_format, 0x7c00)));
    CHECK(std::isnan(decode_small_float(float16_format, 0x7c01)));
    CHECK(decode_small_float(bfloat16_format, 0xc0a0) == -5.0);
    CHECK(decode_small_float(float8_e4m3fn_format, 0x7e) == 448.0);
    CHECK(std::isnan(decode_small_float(float8_e4m3fn_format, 0xff)));
    CHECK(decode_small_float(float8_e4m3fnuz_format, 0x7f) == 240.0);
    CHECK(std::isnan(decode_small_float(float8_e4m3fnuz_format, 0x80)));
    CHECK(decode_small_float(float8_e5m2_format, 0x7b) == 57344.0);
    CHECK(decode_small_float(float8_e5m2fnuz_format, 0x7f) == 57344.0);
    CHECK(decode_small_float(float6_e2m3_format, 0x1f) == 7.5);
    CHECK(decode_small_float(float6_e3m2_format, 0x1f) == 28.0);
    CHECK(decode_small_float(float4_e2m1_format, 0x7) == 6.0);
    CHECK(decode_small_float(float4_e2m1_format, 0x9) == -0.5);
}

TEST_CASE("npy: every element type survives writing and reading") {
    for (int i = 0; i <= static_cast<int>(DType::float64); ++i) {
        const auto dtype = static_cast<DType>(i);
        NpyArray array{dtype, {2, 3}, std::vector<std::byte>(6 * item_size(dtype))};
        array.data[0] = std::byte{1};
        CHECK(parse_npy(format_npy(array), "a.npy") == array);
        CHECK(format_npy(array).size() % 64 == array.data.size() % 64);
    }
    const NpyArray scalar = NpyArray::of({}, std::vector<double>{2.5});
    CHECK(parse_npy(format_npy(scalar), "a.npy") == scalar);
    const NpyArray none = NpyArray::of({0, 7}, std::vector<float>{});
    CHECK(parse_npy(format_npy(none), "a.npy") == none);
    const NpyArray one = NpyArray::of({3}, std::vector<std::int64_t>{1, -2, 3});
    CHECK(to_integers(parse_npy(format_npy(one), "a.npy")) == std::vector<std::int64_t>{1, -2, 3});
}

TEST_CASE("npy: versions, byte orders and column-major order") {
    using namespace std::string_view_literals;
    const std::vector<double> expected{1, 2, 3};
    for (const int version : {1, 2, 3}) {
        const auto file = npy(header(">i2", "(3,)"), "\0\1\0\2\0\3"sv, version);
        CHECK(to_doubles(parse_npy(file, "a.npy")) == expected);
    }
    const auto fortran = npy(header("|u1", "(2, 3)", true), "\1\4\2\5\3\6"sv);
    CHECK(to_doubles(parse_npy(fortran, "a.npy")) == std::vector<double>{1, 2, 3, 4, 5, 6});
    const auto half = npy(header("<f2", "(2L, 1L)"), "\x00\x3c\x00\xc0"sv);
    CHECK(to_doubles(parse_npy(half, "a.npy")) == std::vector<double>{1, -2});
    const auto column =
        parse_npy(npy(header("<u2", "(2, 1, 3)", true), "\1\0\4\0\2\0\5\0\3\0\6\0"sv), "a.npy");
    CHECK(to_integers(column) == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("npy: numbers that a double or an integer does not hold are told") {
    const std::int64_t large = (std::int64_t{1} << 53) + 1;
    CHECK(!to_doubles(NpyArray::of({1}, std::vector<std::int64_t>{large})));
    CHECK(to_doubles(NpyArray::of({1}, std::vector<std::int64_t>{large - 1})));
    CHECK(!to_doubles(NpyArray::of({1}, std::vector<std::int64_t>{INT64_MAX})));
    CHECK(to_doubles(NpyArray::of({1}, std::vector<std::int64_t>{INT64_MIN})));
    CHECK(!to_integers(NpyArray::of({1}, std::vector<double>{0.5})));
    CHECK(!to_integers(NpyArray::of({1}, std::vector<double>{1e300})));
    CHECK(!to_integers(NpyArray::of({1}, std::vector<double>{NAN})));
    NpyArray wide{DType::uint64, {1}, std::vector<std::byte>(8, std::byte{0xff})};
    CHECK(!to_integers(wide));
    CHECK(!to_doubles(wide));
}

TEST_CASE("npy: hostile files are refused with the file's name") {
    CHECK(contains(error_of([] { parse_npy({}, "a.npy"); }), "a.npy: it is empty"));
    CHECK(contains(error_of([] { parse_npy(bytes_of("PK\3\4 and more"), "a.npy"); }),
                   "it is not a .npy file"));
    CHECK(contains(error_of([] { parse_npy(npy("{}", "", 9), "a.npy"); }), "version 9"));
    const std::string claim = header("<f8", "(3,)");
    CHECK(contains(refusal(claim), "0 bytes of data follow"));
    CHECK(contains(refusal(claim, std::string(23, 'x')), "23 bytes"));
    CHECK(contains(refusal(claim, std::string(25, 'x')), "25 bytes"));
    CHECK(refusal(claim, std::string(24, 'x')).empty());
    // Sizes whose product overflows, or that would need more memory than any machine has.
    CHECK(contains(refusal(header("<f8", "(4294967296, 4294967296)")), "header says shape"));
    CHECK(contains(refusal(header("<f8", "(2305843009213693952,)")), "header says shape"));
    CHECK(contains(refusal(header("<f8", "(99999999999999999999,)")), "impossible shape"));
    CHECK(contains(refusal(header("<f8", "(-1,)")), "impossible shape"));
    std::string axes = "(";
    for (int i = 0; i < 70; ++i) {
        axes += "1,";
    }
    CHECK(contains(refusal(header("|u1", axes + ")"), "x"), "more than 64 axes"));
    CHECK(contains(refusal(header("|O", "(1,)"), "x"), "'|O'"));
    CHECK(contains(refusal(header("<U4", "(1,)"), "x"), "GW0011"));
    CHECK(contains(refusal(header("<c8", "(1,)"), "x"), "GW0011"));
    CHECK(contains(refusal(header("|f8", "(1,)"), "xxxxxxxx"), "GW0011"));
    CHECK(contains(refusal("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (), }"),
                   "plain numbers"));
    CHECK(contains(refusal("{'descr': '<f4', 'descr': '<f4'}"), "repeated key"));
    CHECK(contains(refusal("{'descr': '<f4'}"), "lacks one of"));
    CHECK(contains(refusal("{'descr': '<f4"), "unfinished"));
    CHECK(contains(refusal(""), "not a dictionary"));
    CHECK(contains(refusal(header("|u1", "()") + "__import__('os')", "x"), "goes on"));
    CHECK(contains(refusal(header("|b1", "(1,)"), "\2"), "neither 0 nor 1"));
    std::vector<std::byte> long_header = npy("{}", "", 2);
    long_header[11] = std::byte{0x7f};
    CHECK(contains(error_of([&] { parse_npy(long_header, "a.npy"); }), "longer than the file"));
}

TEST_CASE("npy: every cut and every damaged byte of a header gives an array or a Failure") {
    const NpyArray array = NpyArray::of({2, 2}, std::vector<float>{1, 2, 3, 4});
    const std::vector<std::byte> whole = format_npy(array);
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        CHECK_THROWS_AS(parse_npy(std::span(whole).first(cut), "a.npy"), Failure);
    }
    for (std::size_t i = 0; i < whole.size(); ++i) {
        for (const unsigned flip : {0x01U, 0x20U, 0x80U, 0xffU}) {
            std::vector<std::byte> damaged = whole;
            damaged[i] ^= static_cast<std::byte>(flip);
            try {
                const NpyArray read = parse_npy(damaged, "a.npy");
                CHECK(read.data.size() ==
                      static_cast<std::size_t>(read.size()) * item_size(read.dtype));
            } catch (const Failure&) {
            }
        }
    }
}

TEST_CASE("npz: arrays keep names and order, and the same arrays give the same bytes") {
    const ScratchFile file("order.npz");
    const ScratchFile again("again.npz");
    const NamedArrays arrays{{"z", NpyArray::of({2}, std::vector<float>{1, 2})},
                             {"a", NpyArray::of({}, std::vector<std::int32_t>{-7})},
                             {"deep/name", NpyArray::of({0}, std::vector<double>{})}};
    write_npz(file.path, arrays);
    write_npz(again.path, arrays);
    CHECK(read_npz(file.path) == arrays);
    CHECK(read_arrays(file.path) == arrays);
    CHECK(read_file_bytes(file.path) == read_file_bytes(again.path));
    write_npz(file.path, {});
    CHECK(read_npz(file.path).empty());
    const ScratchFile single("single.npy");
    write_npy(single.path, arrays[0].second);
    CHECK(read_npy(single.path) == arrays[0].second);
    CHECK(read_arrays(single.path) == NamedArrays{{"x", arrays[0].second}});
}

TEST_CASE("npz: deflated entries are read, hostile archives refused") {
    const ScratchFile file("hostile.npz");
    std::vector<float> ramp(5000);
    std::iota(ramp.begin(), ramp.end(), 0.0F);
    const NpyArray array = NpyArray::of({5000}, ramp);
    write_zip(file.path, {{"x.npy", format_npy(array), ZIP_CM_DEFLATE}});
    CHECK(read_npz(file.path) == NamedArrays{{"x", array}});
    CHECK(contains(error_of([&] { read_npz(file.path, 10000); }), "more than 10000 bytes"));

    // Cut anywhere, or with any byte of the data damaged, it is refused or still sound.
    const std::vector<std::byte> whole = read_file_bytes(file.path);
    for (std::size_t cut = 0; cut < whole.size(); cut += 97) {
        write_file_bytes(file.path, std::span(whole).first(cut));
        CHECK_THROWS_AS(read_npz(file.path), Failure);
    }
    for (std::size_t i = 0; i < whole.size(); i += 11) {
        std::vector<std::byte> damaged = whole;
        damaged[i] ^= std::byte{0x55};
        write_file_bytes(file.path, damaged);
        try {
            // The checksum covers the data; what is still read is what was written.
            for (const auto& [name, read] : read_npz(file.path)) {
                CHECK(read == array);
            }
        } catch (const Failure&) {
        }
    }
    // A lie about the size: the central directory says 4 GB for a few bytes.
    std::vector<std::byte> liar = whole;
    for (std::size_t i = 0; i + 4 < liar.size(); ++i) {
        if (std::memcmp(liar.data() + i, "PK\1\2", 4) == 0) {
            std::memset(liar.data() + i + 24, 0xf0, 4);
        }
    }
    write_file_bytes(file.path, liar);
    CHECK_THROWS_AS(read_npz(file.path), Failure);

    write_zip(file.path, {{"readme.txt", bytes_of("hello")}});
    CHECK(contains(error_of([&] { read_npz(file.path); }), "'readme.txt'"));
    write_zip(file.path, {{"x.npy", bytes_of("hello there, this is text")}});
    CHECK(contains(error_of([&] { read_npz(file.path); }), "'x': it is not a .npy file"));

    // Two entries of one name: made by renaming the second in place.
    write_zip(file.path, {{"x.npy", format_npy(array)}, {"y.npy", format_npy(array)}});
    std::vector<std::byte> twins = read_file_bytes(file.path);
    for (std::size_t i = 0; i + 5 < twins.size(); ++i) {
        if (std::memcmp(twins.data() + i, "y.npy", 5) == 0) {
            twins[i] = std::byte{'x'};
        }
    }
    write_file_bytes(file.path, twins);
    CHECK(contains(error_of([&] { read_npz(file.path); }), "two arrays"));
}

TEST_CASE("files that are missing, folders or unwritable have their own messages") {
    CHECK(contains(error_of([] { read_npy("no/such/file.npy"); }), "GW0001"));
    CHECK(contains(error_of([] { read_npy("."); }), "it is a folder"));
    const NamedArrays arrays{{"x", NpyArray::of({1}, std::vector<float>{1})}};
    CHECK(contains(error_of([&] { write_npz("no/such/file.npz", arrays); }), "GW0002"));
    CHECK(contains(error_of([&] { write_npy("/dev/full", arrays[0].second); }), "GW0002"));
}
