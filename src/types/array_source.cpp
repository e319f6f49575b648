#include "types/array_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/diagnostics.h"

namespace gatewright {

/// An open file. A map of it into memory would end the program where the file is cut short, so it
/// is read; in parts that stay in the cache this is no slower.
struct ArraySource::File {
    std::string name;
    int descriptor = -1;
    std::size_t offset = 0;  ///< of the first element

    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (descriptor >= 0) {
            ::close(descriptor);
        }
    }

    /// As many bytes as there are from `from` on, `count` at most.
    std::size_t read(std::byte* to, std::size_t count, std::size_t from) const {
        std::size_t done = 0;
        while (done < count) {
            const ssize_t got =
                ::pread(descriptor, to + done, count - done, static_cast<off_t>(from + done));
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0) {
                throw Failure(Code::file_missing, {name, {}, {}, {}},
                              "it cannot be read: " + std::generic_category().message(errno),
                              "Check the disk");
            }
            if (got == 0) {
                break;
            }
            done += static_cast<std::size_t>(got);
        }
        return done;
    }
};

ArraySource::ArraySource(NpyArray array)
    : dtype_(array.dtype),
      shape_(array.shape),
      owned_(std::make_shared<const NpyArray>(std::move(array))) {
    elements_ = owned_->data.data();
}

ArraySource::ArraySource(DType dtype, Shape shape, const std::byte* elements)
    : dtype_(dtype), shape_(std::move(shape)), elements_(elements) {}

const std::byte* ArraySource::read(std::int64_t first, std::int64_t count,
                                   std::vector<std::byte>& buffer) const {
    const std::size_t from = static_cast<std::size_t>(first) * item_size(dtype_);
    if (file_ == nullptr) {
        return elements_ + from;
    }
    const std::size_t bytes = static_cast<std::size_t>(count) * item_size(dtype_);
    if (buffer.size() < bytes) {
        buffer.resize(bytes);
    }
    if (file_->read(buffer.data(), bytes, file_->offset + from) != bytes) {
        throw Failure(Code::array_file_malformed, {file_->name, {}, {}, {}},
                      "it has become shorter while it was read",
                      "Run again when nothing writes to it any more");
    }
    return buffer.data();
}

NpyArray ArraySource::part(std::int64_t first, std::int64_t count, Shape shape) const {
    NpyArray out{dtype_, std::move(shape), {}};
    const std::byte* data = read(first, count, out.data);
    const std::size_t bytes = static_cast<std::size_t>(count) * item_size(dtype_);
    if (file_ == nullptr && bytes != 0) {
        out.data.assign(data, data + bytes);
    }
    return out;
}

NamedSources sources(NamedArrays arrays) {
    NamedSources out;
    for (auto& [name, array] : arrays) {
        out.emplace_back(std::move(name), std::move(array));
    }
    return out;
}

NamedArrays wholes(const NamedSources& arrays) {
    NamedArrays out;
    for (const auto& [name, array] : arrays) {
        out.emplace_back(name, array.whole());
    }
    return out;
}

NamedSources open_arrays(const std::string& file) {
    auto open = std::make_shared<ArraySource::File>();
    open->name = file;
    open->descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status{};
    // What cannot be read in parts, or at all, is left to the reader of whole files.
    if (open->descriptor < 0 || ::fstat(open->descriptor, &status) != 0 ||
        !S_ISREG(status.st_mode)) {
        return sources(read_arrays(file));
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    std::vector<std::byte> front(std::min<std::uint64_t>(size, 4096));
    front.resize(open->read(front.data(), front.size(), 0));
    constexpr std::string_view magic = "\x93NUMPY";
    if (front.size() < magic.size() || std::memcmp(front.data(), magic.data(), magic.size()) != 0) {
        return sources(read_arrays(file));
    }
    constexpr auto longest = static_cast<std::uint64_t>(max_npy_header);
    if (front.size() > 8 && std::to_integer<int>(front[6]) != 1) {
        front.resize(std::min(size, longest));
    } else {
        front.resize(std::min<std::uint64_t>(size, 10 + 0xffff));
    }
    front.resize(open->read(front.data(), front.size(), 0));
    NpyLayout layout = parse_npy_header(front, size, file);
    const bool reordered = layout.fortran && layout.shape.size() > 1;
    if (layout.big_endian || reordered || layout.dtype == DType::boolean) {
        return sources(read_arrays(file));
    }
    open->offset = layout.offset;
    NamedSources out;
    out.emplace_back("x", ArraySource(layout.dtype, std::move(layout.shape), std::move(open)));
    return out;
}

}  // namespace gatewright
