#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/diagnostics.h"
#include "base/file.h"
#include "base/plain_text.h"
#include "types/npy.h"
#include "types/zip_archive.h"

namespace gatewright {

namespace {

struct Discard {
    void operator()(zip_t* archive) const { zip_discard(archive); }
    void operator()(zip_source_t* source) const { zip_source_free(source); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using Source = std::unique_ptr<zip_source_t, Discard>;

[[noreturn]] void malformed(const std::string& file, const std::string& array,
                            const std::string& message) {
    throw Failure(Code::array_file_malformed, {file, {}, {}, array}, message,
                  "Write it again with numpy.savez or numpy.savez_compressed");
}

std::string text_of(const zip_error_t& error) {
    zip_error_t copy = error;
    return zip_error_strerror(&copy);
}

NamedArrays parse_npz(std::span<const std::byte> bytes, const std::string& file,
                      std::uint64_t limit) {
    constexpr std::string_view ending = ".npy";
    const auto refuse = [&](const std::string& entry, const std::string& message) {
        const bool named = entry.size() > ending.size() && entry.ends_with(ending);
        malformed(file, named ? entry.substr(0, entry.size() - ending.size()) : entry, message);
    };
    const ZipArchive archive(bytes, {.refuse = refuse, .plural = "arrays", .limit = limit});
    NamedArrays arrays;
    for (const ZipEntry& entry : archive.entries()) {
        if (!entry.name.ends_with(ending) || entry.name.size() == ending.size()) {
            malformed(file, printable(entry.name),
                      "the archive holds something that is not a .npy array");
        }
        arrays.emplace_back(entry.name.substr(0, entry.name.size() - ending.size()), NpyArray{});
    }
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        auto& [name, array] = arrays[i];
        array = parse_npy(archive.read(i), file, printable(name));
    }
    return arrays;
}

}  // namespace

NamedArrays read_npz(const std::string& file, std::uint64_t limit) {
    const std::vector<std::byte> bytes = read_file_bytes(file);
    return parse_npz(bytes, file, limit);
}

void write_npz(const std::string& file, const NamedArrays& arrays) {
    zip_error_t error;
    zip_error_init(&error);
    const auto fail = [&](const std::string& message) {
        throw Failure(Code::file_unwritable, {file, {}, {}, {}}, "it cannot be written: " + message,
                      "Check that its folder exists, is yours, and that the disk is not full");
    };
    if (arrays.empty()) {  // libzip would make no archive at all
        std::vector<std::byte> end(22);
        std::memcpy(end.data(), "PK\5\6", 4);
        write_file_bytes(file, end);
        return;
    }
    // The archive is built in memory: it then meets the disk in one place, write_file_bytes.
    Source target(zip_source_buffer_create(nullptr, 0, 0, &error));
    Archive archive(target ? zip_open_from_source(target.get(), ZIP_TRUNCATE, &error) : nullptr);
    if (!archive) {
        fail(text_of(error));
    }
    zip_source_keep(target.get());  // one share for the archive, one to read the result
    std::vector<std::vector<std::byte>> contents;  // libzip reads them at zip_close
    contents.reserve(arrays.size());
    for (const auto& [name, array] : arrays) {
        const std::vector<std::byte>& data = contents.emplace_back(format_npy(array));
        Source source(zip_source_buffer(archive.get(), data.data(), data.size(), 0));
        const zip_int64_t index = source ? zip_file_add(archive.get(), (name + ".npy").c_str(),
                                                        source.get(), ZIP_FL_ENC_UTF_8)
                                         : -1;
        if (index < 0) {
            fail(zip_strerror(archive.get()));
        }
        source.release();
        const auto entry = static_cast<zip_uint64_t>(index);
        constexpr zip_uint16_t first_date = (1 << 5) | 1;  // 1 January 1980
        if (zip_set_file_compression(archive.get(), entry, ZIP_CM_STORE, 0) != 0 ||
            zip_file_set_dostime(archive.get(), entry, 0, first_date, 0) != 0) {
            fail(zip_strerror(archive.get()));
        }
    }
    if (zip_close(archive.get()) != 0) {
        fail(zip_strerror(archive.get()));
    }
    archive.release();
    std::vector<std::byte> bytes;
    if (zip_source_open(target.get()) != 0) {
        fail("the archive in memory cannot be read back");
    }
    constexpr std::size_t step = std::size_t{1} << 20;
    zip_int64_t read = 0;
    do {
        const std::size_t old = bytes.size();
        bytes.resize(std::max(2 * old, step));
        read = zip_source_read(target.get(), bytes.data() + old, bytes.size() - old);
        bytes.resize(old + static_cast<std::size_t>(std::max<zip_int64_t>(read, 0)));
    } while (read > 0);
    zip_source_close(target.get());
    if (read < 0) {
        fail("the archive in memory cannot be read back");
    }
    write_file_bytes(file, bytes);
}

NamedArrays read_arrays(const std::string& file) {
    const std::vector<std::byte> bytes = read_file_bytes(file);
    if (is_zip(bytes)) {
        return parse_npz(bytes, file, default_npz_limit);
    }
    NamedArrays arrays;
    arrays.emplace_back("x", parse_npy(bytes, file));
    return arrays;
}

}  // namespace gatewright
