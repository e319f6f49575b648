#include "import/store/archive.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zip.h>

#include <filesystem>

#include "../temporary_folder.h"
#include "base/file.h"
#include "refusal.h"

using namespace gatewright;
using namespace gatewright::test;
using store::Archive;

namespace {

struct Entry {
    std::string name;
    std::string content;
    int method = ZIP_CM_STORE;
};

std::vector<std::byte> zipped(const std::vector<Entry>& entries) {
    const Folder folder;
    const std::string path = (folder / "archive.zip").string();
    int error = 0;
    zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &error);
    REQUIRE(archive != nullptr);
    for (const Entry& entry : entries) {
        zip_source_t* source =
            zip_source_buffer(archive, entry.content.data(), entry.content.size(), 0);
        const zip_int64_t index =
            zip_file_add(archive, entry.name.c_str(), source, ZIP_FL_ENC_UTF_8);
        REQUIRE(index >= 0);
        zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), entry.method, 0);
    }
    REQUIRE(zip_close(archive) == 0);
    return read_file_bytes(path);
}

/// Replaces each occurrence of some bytes by others, of the same number.
std::vector<std::byte> patched(std::vector<std::byte> bytes, std::string_view from,
                               std::string_view to) {
    REQUIRE(from.size() == to.size());
    bool found = false;
    for (std::size_t i = 0; i + from.size() <= bytes.size(); ++i) {
        if (std::memcmp(bytes.data() + i, from.data(), from.size()) == 0) {
            std::memcpy(bytes.data() + i, to.data(), to.size());
            found = true;
        }
    }
    REQUIRE(found);
    return bytes;
}

std::string error_of(const std::vector<std::byte>& bytes) {
    return refusal([&] {
        const Archive archive(bytes, "m.keras");
        for (const auto& name : archive.names()) {
            archive.read(name);
        }
    });
}

}  // namespace

TEST_CASE("archive: entries by their names") {
    Archive first(
        zipped({{"config.json", "{}"}, {"a/b.bin", std::string(5000, 'x'), ZIP_CM_DEFLATE}}),
        "m.keras");
    const Archive archive = std::move(first);
    CHECK(archive.names() == std::vector<std::string>{"config.json", "a/b.bin"});
    CHECK(archive.has("config.json"));
    CHECK(!archive.has("config"));
    CHECK(archive.read_text("config.json") == "{}");
    CHECK(archive.read("a/b.bin") == bytes_of(std::string(5000, 'x')));
    CHECK(contains(refusal([&] { archive.read("other"); }),
                   "error GW0116: m.keras: 'other' in it: the archive has no such entry"));
}

TEST_CASE("archive: hostile ones are refused") {
    CHECK(contains(error_of({}), "it is empty"));
    CHECK(contains(error_of(bytes_of("version https://git-lfs")), "not a zip archive"));
    for (const char* name : {"../x", "a/../../x", "/x", "a/..", "C:x", "\\x", "a\\..\\x"}) {
        CAPTURE(name);
        CHECK(contains(error_of(zipped({{name, "x"}})), "leads out of the archive"));
    }
    CHECK(error_of(zipped({{"a..b/..c/d..", "x"}, {"folder/", ""}})).empty());
    CHECK(contains(error_of(patched(zipped({{"ab", "1"}, {"xb", "2"}}), "xb", "ab")),
                   "two entries of the archive have this name"));
    CHECK(contains(error_of(patched(zipped({{"ab", "1"}}), "ab", "\xff\xfe")), "not UTF-8"));
    CHECK(contains(error_of(zipped({{"x", std::string(90, 'x'), ZIP_CM_BZIP2}})),
                   "neither stored nor deflated"));
    CHECK(contains(error_of(patched(zipped({{"x", "content"}}), "content", "damaged")),
                   "its checksum are damaged"));
    // The general purpose flags of the central directory say that it is encrypted.
    std::vector<std::byte> locked = zipped({{"x", "content"}});
    for (std::size_t i = 0; i + 8 < locked.size(); ++i) {
        if (std::memcmp(locked.data() + i, "PK\1\2", 4) == 0) {
            locked[i + 8] |= std::byte{1};
        }
    }
    CHECK(contains(error_of(locked), "it is encrypted"));
}

TEST_CASE("archive: sizes are judged before anything is inflated") {
    const std::string zeros(std::size_t{70} << 20, '\0');
    const std::vector<std::byte> bomb = zipped({{"weights", zeros, ZIP_CM_DEFLATE}});
    CHECK(contains(error_of(bomb), "unfold to over 100 times the size of the archive"));
    // What is stored may be large, and equal weights of a small model may shrink a lot.
    CHECK(error_of(zipped({{"weights", zeros}})).empty());
    CHECK(error_of(zipped({{"weights", zeros.substr(zeros.size() / 2), ZIP_CM_DEFLATE}})).empty());
    // The central directory says far more than deflate can do.
    std::vector<std::byte> liar = zipped({{"x", std::string(5000, 'x'), ZIP_CM_DEFLATE}});
    for (std::size_t i = 0; i + 28 < liar.size(); ++i) {
        if (std::memcmp(liar.data() + i, "PK\1\2", 4) == 0) {
            std::memset(liar.data() + i + 24, 0x70, 4);
        }
    }
    CHECK(contains(error_of(liar), "claims more bytes than the archive can hold"));
}

TEST_CASE("archive: every cut and every damaged byte gives an archive or a Failure") {
    const std::vector<std::byte> whole =
        zipped({{"config.json", "{}"}, {"w", std::string(200, 'w'), ZIP_CM_DEFLATE}});
    for (std::size_t i = 0; i < whole.size(); ++i) {
        CHECK(!error_of({whole.begin(), whole.begin() + static_cast<long>(i)}).empty());
        for (const unsigned flip : {0x01U, 0x08U, 0x80U, 0xffU}) {
            std::vector<std::byte> damaged = whole;
            damaged[i] ^= static_cast<std::byte>(flip);
            error_of(damaged);
        }
    }
}
