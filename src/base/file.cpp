#include "base/file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "base/diagnostics.h"

namespace gatewright {

namespace {

struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using Handle = std::unique_ptr<std::FILE, Close>;

std::string reason(int error) {
    return std::generic_category().message(error);
}

}  // namespace

std::vector<std::byte> read_file_bytes(const std::string& file, std::uint64_t limit) {
    const auto fail = [&](const std::string& message, const std::string& remedy) {
        throw Failure(Code::file_missing, {file, {}, {}, {}}, message, remedy);
    };
    std::error_code ignored;
    if (std::filesystem::is_directory(file, ignored)) {
        fail("it is a folder, not a file", "Name the file within it");
    }
    const Handle handle(std::fopen(file.c_str(), "rb"));
    if (!handle) {
        fail("it cannot be read: " + reason(errno), "Check the path and its permissions");
    }
    std::vector<std::byte> bytes;
    const std::uint64_t size = std::filesystem::file_size(file, ignored);
    if (ignored) {
        // Neither a pipe nor a device tells its size, and a device may never end.
        limit = std::min(limit, std::uint64_t{1} << 30);
    } else if (size <= limit) {
        bytes.reserve(size + 1);  // one more shows the end without growing
    }
    constexpr std::size_t step = std::size_t{1} << 20;
    while (true) {
        const std::size_t old = bytes.size();
        bytes.resize(std::max(bytes.capacity(), old + step));
        const std::size_t read =
            std::fread(bytes.data() + old, 1, bytes.size() - old, handle.get());
        bytes.resize(old + read);
        if (std::ferror(handle.get()) != 0) {
            fail("it cannot be read: " + reason(errno), "Check the disk");
        }
        if (bytes.size() > limit) {
            fail(fmt::format("it is larger than {} bytes", limit), "Split it into smaller files");
        }
        if (read == 0) {
            return bytes;
        }
    }
}

void write_file_bytes(const std::string& file, std::span<const std::byte> bytes) {
    const auto fail = [&](int error) {
        throw Failure(Code::file_unwritable, {file, {}, {}, {}},
                      "it cannot be written: " + reason(error),
                      "Check that its folder exists, is yours, and that the disk is not full");
    };
    std::error_code error;
    const auto status = std::filesystem::symlink_status(file, error);
    // What is no plain file (a device, a pipe, a link) is written to where it is.
    const bool direct =
        std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
    if (!direct && std::filesystem::exists(status) && ::access(file.c_str(), W_OK) != 0) {
        fail(errno);
    }
    static std::atomic<unsigned> count = 0;
    std::filesystem::path written = file;
    if (!direct) {
        written.replace_filename(fmt::format(".gatewright-{}-{}", ::getpid(), count++));
    }
    Handle handle(std::fopen(written.c_str(), "wb"));
    if (!handle) {
        fail(errno);
    }
    const auto abandon = [&](int reason_) {
        if (!direct) {
            std::filesystem::remove(written, error);
        }
        fail(reason_);
    };
    if (std::fwrite(bytes.data(), 1, bytes.size(), handle.get()) != bytes.size()) {
        abandon(errno);
    }
    // Buffered bytes meet a full disk only here.
    if (std::fclose(handle.release()) != 0) {
        abandon(errno);
    }
    if (!direct && std::rename(written.c_str(), file.c_str()) != 0) {
        abandon(errno);
    }
}

}  // namespace gatewright
