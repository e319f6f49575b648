#include "types/zip_archive.h"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

#include "base/plain_text.h"

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

}  // namespace

struct ZipArchive::State {
    Archive archive;
};

bool is_zip(std::span<const std::byte> bytes) {
    return bytes.size() >= 4 && std::memcmp(bytes.data(), "PK", 2) == 0;
}

ZipArchive::ZipArchive(std::span<const std::byte> bytes, ZipRules rules)
    : rules_(std::move(rules)), state_(std::make_unique<State>()) {
    if (!is_zip(bytes)) {
        refuse({}, bytes.empty() ? "it is empty" : "it is not a zip archive");
    }
    zip_error_t error;
    zip_error_init(&error);
    Source source(zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error));
    Archive archive(source ? zip_open_from_source(source.get(), ZIP_RDONLY, &error) : nullptr);
    if (!archive) {
        const std::string text = zip_error_strerror(&error);
        zip_error_fini(&error);
        // Archives end with their table of contents, so what was cut short has none.
        refuse({}, fmt::format("the file is cut short or damaged: its zip archive has no sound end "
                               "({})",
                               text));
    }
    source.release();  // the archive owns it now

    const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
    std::set<std::string> names;
    std::uint64_t packed = 0;
    std::uint64_t total = 0;
    for (zip_int64_t i = 0; i < count; ++i) {
        zip_stat_t stat;
        zip_stat_init(&stat);
        constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                        ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
        if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW, &stat) !=
                0 ||
            (stat.valid & needed) != needed) {
            refuse({}, fmt::format("entry {} has no name or size", i));
        }
        const std::string shown = printable(stat.name);
        if (!names.insert(stat.name).second) {
            refuse(shown, fmt::format("two {} of the archive have this name", rules_.plural));
        }
        if (stat.encryption_method != ZIP_EM_NONE) {
            refuse(shown, "it is encrypted");
        }
        if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE) {
            refuse(shown, "it is neither stored nor deflated");
        }
        // Entries that share bytes of the archive, as in a bomb, add up to more than it has.
        packed += std::min<std::uint64_t>(stat.comp_size, bytes.size() + 1);
        total += std::min(stat.size, rules_.limit + 1);
        // Deflate never shrinks by more than 1032.
        const std::uint64_t most = stat.comp_method == ZIP_CM_STORE ? 1 : 1032;
        if (packed > bytes.size() || stat.size / most > stat.comp_size) {
            refuse(shown, "it claims more bytes than the archive can hold");
        }
        if (total > rules_.limit) {
            refuse(shown, fmt::format("the {} up to this one need more than {} bytes",
                                      rules_.plural, rules_.limit));
        }
        if (total > rules_.unjudged && total / rules_.most_ratio > bytes.size()) {
            refuse(shown, fmt::format("the {} up to this one unfold to over {} times the size of "
                                      "the archive",
                                      rules_.plural, rules_.most_ratio));
        }
        entries_.push_back({stat.name, stat.size});
    }
    state_->archive = std::move(archive);
}

ZipArchive::~ZipArchive() = default;
ZipArchive::ZipArchive(ZipArchive&&) noexcept = default;
ZipArchive& ZipArchive::operator=(ZipArchive&&) noexcept = default;

void ZipArchive::refuse(const std::string& entry, const std::string& message) const {
    rules_.refuse(entry, message);
    std::abort();  // refuse() has thrown
}

std::vector<std::byte> ZipArchive::read(std::size_t index) const {
    const auto& [name, size] = entries_.at(index);
    const Entry entry(zip_fopen_index(state_->archive.get(), index, 0));
    if (!entry) {
        refuse(printable(name), "it cannot be read from the archive");
    }
    std::vector<std::byte> data;
    constexpr std::size_t step = std::size_t{1} << 22;
    while (true) {
        const std::size_t old = data.size();
        // Memory grows with what is really there. The last step asks for one byte too many, so
        // that the end, and with it the checksum, is met.
        data.resize(old + std::min<std::uint64_t>(std::max(step, old), size - old + 1));
        const zip_int64_t read = zip_fread(entry.get(), data.data() + old, data.size() - old);
        if (read < 0) {
            refuse(printable(name), "its compressed bytes or its checksum are damaged");
        }
        data.resize(old + static_cast<std::size_t>(read));
        if (data.size() > size) {
            refuse(printable(name), "it is longer than the archive says");
        }
        if (read == 0) {
            break;
        }
    }
    if (data.size() != size) {
        refuse(printable(name), "it is shorter than the archive says");
    }
    return data;
}

}  // namespace gatewright
