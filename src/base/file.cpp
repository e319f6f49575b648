#include "base/file.h"

#include <fmt/format.h>

#include <algorithm>
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
    if (!ignored && size <= limit) {
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
    Handle handle(std::fopen(file.c_str(), "wb"));
    if (!handle) {
        fail(errno);
    }
    if (std::fwrite(bytes.data(), 1, bytes.size(), handle.get()) != bytes.size()) {
        fail(errno);
    }
    // Buffered bytes meet a full disk only here.
    if (std::fclose(handle.release()) != 0) {
        fail(errno);
    }
}

}  // namespace gatewright
