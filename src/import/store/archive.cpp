#include "import/store/archive.h"

#include <cstdint>
#include <map>
#include <utility>

#include "base/diagnostics.h"
#include "base/file.h"
#include "base/plain_text.h"
#include "types/zip_archive.h"

namespace gatewright::store {

namespace {

[[noreturn]] void malformed(const std::string& file, const std::string& entry,
                            const std::string& message) {
    throw Failure(Code::store_malformed, {file, {}, {}, {}},
                  entry.empty() ? message : "'" + entry + "' in it: " + message,
                  "Download or export it again");
}

/// Whether a program that unpacked the entry at its name could write outside of its folder.
bool leads_out(std::string_view name) {
    if (name.empty() || name.front() == '/' || name.front() == '\\' ||
        (name.size() > 1 && name[1] == ':')) {
        return true;
    }
    while (true) {
        const std::size_t end = name.find_first_of("/\\");
        if (name.substr(0, end) == "..") {
            return true;
        }
        if (end == std::string_view::npos) {
            return false;
        }
        name.remove_prefix(end + 1);
    }
}

}  // namespace

struct Archive::State {
    std::string file;
    std::vector<std::byte> bytes;
    std::unique_ptr<ZipArchive> zip;
    std::vector<std::string> names;
    std::map<std::string, std::size_t, std::less<>> places;
};

Archive::Archive(std::vector<std::byte> bytes, std::string file)
    : state_(std::make_unique<State>()) {
    state_->file = std::move(file);
    state_->bytes = std::move(bytes);
    // The archive may be moved, its state stays.
    const auto refuse = [state = state_.get()](const std::string& entry,
                                               const std::string& message) {
        malformed(state->file, entry, message);
    };
    // Weights shrink by a small factor, only those that are all equal by hundreds. Such small
    // models are let through.
    constexpr std::uint64_t unjudged = std::uint64_t{64} << 20;
    state_->zip = std::make_unique<ZipArchive>(state_->bytes, ZipRules{.refuse = refuse,
                                                                       .limit = default_file_limit,
                                                                       .most_ratio = 100,
                                                                       .unjudged = unjudged});
    for (const ZipEntry& entry : state_->zip->entries()) {
        if (!is_utf8(entry.name)) {
            refuse(printable(entry.name), "its name is not UTF-8");
        }
        if (leads_out(entry.name)) {
            refuse(printable(entry.name), "its name leads out of the archive");
        }
        state_->places.emplace(entry.name, state_->names.size());
        state_->names.push_back(entry.name);
    }
}

Archive::~Archive() = default;
Archive::Archive(Archive&&) noexcept = default;
Archive& Archive::operator=(Archive&&) noexcept = default;

const std::vector<std::string>& Archive::names() const {
    return state_->names;
}

bool Archive::has(std::string_view name) const {
    return state_->places.contains(name);
}

std::vector<std::byte> Archive::read(std::string_view name) const {
    const auto place = state_->places.find(name);
    if (place == state_->places.end()) {
        malformed(state_->file, printable(name), "the archive has no such entry");
    }
    return state_->zip->read(place->second);
}

std::string Archive::read_text(std::string_view name) const {
    const std::vector<std::byte> bytes = read(name);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace gatewright::store
