#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

#include "base/diagnostics.h"
#include "base/file.h"
#include "types/npy.h"

namespace gatewright {

namespace {

struct Discard {
    void operator()(zip_t* archive) const { zip_discard(archive); }
    void operator()(zip_file_t* entry) const { zip_fclose(entry); }
    void operator()(zip_source_t* source) const { zip_source_free(source); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using Entry = std::unique_ptr<zip_file_t, Discard>;
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

/// A name that can stand in a message: plain printable text, cut to a bearable length.
std::string shown(std::string_view name) {
    std::string out;
    for (const char c : name.substr(0, 60)) {
        out += c >= ' ' && c <= '~' ? c : '?';
    }
    return out;
}

bool is_zip(std::span<const std::byte> bytes) {
    return bytes.size() >= 4 && std::memcmp(bytes.data(), "PK", 2) == 0;
}

NamedArrays parse_npz(std::span<const std::byte> bytes, const std::string& file,
                      std::uint64_t limit) {
    if (!is_zip(bytes)) {
        malformed(file, {}, bytes.empty() ? "it is empty" : "it is not a zip archive");
    }
    zip_error_t error;
    zip_error_init(&error);
    Source source(zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error));
    Archive archive(source ? zip_open_from_source(source.get(), ZIP_RDONLY, &error) : nullptr);
    if (!archive) {
        malformed(file, {}, "it is not a sound zip archive: " + text_of(error));
    }
    source.release();  // the archive owns it now

    const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
    std::set<std::string> names;
    std::uint64_t compressed = 0;
    std::uint64_t total = 0;
    NamedArrays arrays;
    // All sizes are judged before the first byte is inflated.
    for (zip_int64_t i = 0; i < count; ++i) {
        const auto index = static_cast<zip_uint64_t>(i);
        zip_stat_t stat;
        zip_stat_init(&stat);
        constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                        ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
        if (zip_stat_index(archive.get(), index, ZIP_FL_ENC_RAW, &stat) != 0 ||
            (stat.valid & needed) != needed) {
            malformed(file, {}, fmt::format("entry {} has no name or size", i));
        }
        std::string name = stat.name;
        if (!name.ends_with(".npy") || name.size() == 4) {
            malformed(file, shown(name), "the archive holds something that is not a .npy array");
        }
        name.resize(name.size() - 4);
        if (!names.insert(name).second) {
            malformed(file, shown(name), "two arrays of the archive have this name");
        }
        if (stat.encryption_method != ZIP_EM_NONE) {
            malformed(file, shown(name), "it is encrypted");
        }
        if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE) {
            malformed(file, shown(name), "it is neither stored nor deflated");
        }
        // Entries that share bytes of the archive, as in a bomb, add up to more than it has.
        compressed += std::min<std::uint64_t>(stat.comp_size, bytes.size() + 1);
        total += std::min(stat.size, limit + 1);
        // Deflate never shrinks by more than 1032.
        if (compressed > bytes.size() || stat.size / 1032 > stat.comp_size) {
            malformed(file, shown(name), "it claims more bytes than the archive can hold");
        }
        if (total > limit) {
            malformed(file, shown(name),
                      fmt::format("the arrays up to this one need more than {} bytes", limit));
        }
        arrays.emplace_back(std::move(name), NpyArray{});
    }
    for (zip_int64_t i = 0; i < count; ++i) {
        auto& [name, array] = arrays[static_cast<std::size_t>(i)];
        const auto index = static_cast<zip_uint64_t>(i);
        zip_stat_t stat;
        zip_stat_init(&stat);
        zip_stat_index(archive.get(), index, 0, &stat);
        const Entry entry(zip_fopen_index(archive.get(), index, 0));
        if (!entry) {
            malformed(file, shown(name), "it cannot be read from the archive");
        }
        std::vector<std::byte> data;
        constexpr std::size_t step = std::size_t{1} << 22;
        while (true) {
            const std::size_t old = data.size();
            data.resize(old + std::min<std::uint64_t>(step, stat.size - old + 1));
            const zip_int64_t read = zip_fread(entry.get(), data.data() + old, data.size() - old);
            if (read < 0) {
                malformed(file, shown(name), "its compressed bytes or its checksum are damaged");
            }
            data.resize(old + static_cast<std::size_t>(read));
            if (data.size() > stat.size) {
                malformed(file, shown(name), "it is longer than the archive says");
            }
            if (read == 0) {
                break;
            }
        }
        array = parse_npy(data, file, shown(name));
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
