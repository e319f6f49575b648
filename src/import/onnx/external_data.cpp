#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "import/onnx/reading.h"

namespace gatewright::onnx {

namespace fs = std::filesystem;

namespace {

/// Exporters let tied weights share bytes; beyond this multiple of the file it is an attempt to
/// fill the memory.
constexpr std::uint64_t max_reuse = 8;

struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

bool leads_elsewhere(const std::string& location) {
    if (location.find('\\') != std::string::npos || location.find('\0') != std::string::npos ||
        (location.size() > 1 && location[1] == ':')) {
        return true;
    }
    const fs::path path(location);
    if (path.is_absolute()) {
        return true;
    }
    for (const fs::path& part : path) {
        if (part == "..") {
            return true;
        }
    }
    return false;
}

bool lies_within(const fs::path& path, const fs::path& folder) {
    const fs::path relative = path.lexically_relative(folder);
    return !relative.empty() && *relative.begin() != ".." && relative != ".";
}

}  // namespace

ExternalData::File& ExternalData::open(const std::string& location) {
    if (const auto known = files_.find(location); known != files_.end()) {
        return known->second;
    }
    if (folder_.empty()) {
        throw std::runtime_error(
            "the model is not read from a folder, so it can have no such file");
    }
    if (location.empty()) {
        throw std::runtime_error("no file is named");
    }
    if (leads_elsewhere(location)) {
        throw std::runtime_error(
            fmt::format("'{}' leads out of the model's folder, which is not followed", location));
    }
    std::error_code error;
    const fs::path folder = fs::canonical(folder_, error);
    const fs::path path = error ? fs::path() : fs::canonical(folder / location, error);
    if (error) {
        throw std::runtime_error(fmt::format("'{}' is not there", location));
    }
    if (!lies_within(path, folder)) {
        throw std::runtime_error(fmt::format(
            "'{}' is a link that leads out of the model's folder, which is not followed",
            location));
    }
    if (!fs::is_regular_file(path, error) || error) {
        throw std::runtime_error(fmt::format("'{}' is not a plain file", location));
    }
    const std::uint64_t size = fs::file_size(path, error);
    if (error) {
        throw std::runtime_error(fmt::format("'{}' cannot be read", location));
    }
    return files_.emplace(location, File{path, size, 0}).first->second;
}

std::vector<std::byte> ExternalData::read(const Request& request, std::uint64_t needed) {
    File& file = open(request.location);
    const std::uint64_t offset = request.offset.value_or(0);
    if (offset > file.size) {
        throw std::runtime_error(fmt::format("offset {} lies beyond the {} bytes of '{}'", offset,
                                             file.size, request.location));
    }
    const std::uint64_t length = request.length.value_or(file.size - offset);
    if (length > file.size - offset) {
        throw std::runtime_error(
            fmt::format("{} bytes at offset {} lie beyond the {} bytes of '{}'", length, offset,
                        file.size, request.location));
    }
    if (length != needed) {
        throw std::runtime_error(fmt::format("its shape needs {} bytes, but {} are given in '{}'",
                                             needed, length, request.location));
    }
    if (length > max_reuse * file.size - file.taken) {
        throw std::runtime_error(fmt::format("more than {} times the bytes of '{}' are asked for",
                                             max_reuse, request.location));
    }
    file.taken += length;
    const std::unique_ptr<std::FILE, Close> handle(std::fopen(file.path.c_str(), "rb"));
    std::vector<std::byte> bytes;
    if (handle && fseeko(handle.get(), static_cast<off_t>(offset), SEEK_SET) == 0) {
        bytes.resize(length);
        bytes.resize(std::fread(bytes.data(), 1, length, handle.get()));
    }
    if (!handle || bytes.size() != length) {
        throw std::runtime_error(fmt::format("'{}' cannot be read", request.location));
    }
    return bytes;
}

}  // namespace gatewright::onnx
