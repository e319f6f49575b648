#include "import/store/hdf5_filters.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/plain_text.h"

namespace gatewright::store {

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t deflate = 1;
constexpr std::uint64_t shuffle = 2;
constexpr std::uint64_t fletcher32 = 3;

/// Ends the inflation however it is left.
struct Inflation {
    z_stream stream{};
    Inflation() = default;
    ~Inflation() { inflateEnd(&stream); }
    Inflation(const Inflation&) = delete;
    Inflation& operator=(const Inflation&) = delete;
};

/// Memory grows with what is inflated, and never beyond `limit`.
Bytes inflated(const Hdf5File& file, std::span<const std::byte> packed, std::uint64_t limit) {
    Inflation inflation;
    z_stream& stream = inflation.stream;
    if (packed.size() > std::numeric_limits<uInt>::max() || inflateInit(&stream) != Z_OK) {
        file.fail("a chunk cannot be inflated");
    }
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    Bytes out;
    int state = Z_OK;
    while (state == Z_OK) {
        const std::size_t old = out.size();
        constexpr std::uint64_t first = 1 << 16;
        // One byte more than may be: a chunk that is too long must show.
        const std::uint64_t step = std::min({std::max<std::uint64_t>(first, old), limit + 1 - old,
                                             std::uint64_t{std::numeric_limits<uInt>::max()}});
        out.resize(old + step);
        stream.next_out = reinterpret_cast<Bytef*>(out.data() + old);
        stream.avail_out = static_cast<uInt>(step);
        state = inflate(&stream, Z_NO_FLUSH);
        out.resize(old + step - stream.avail_out);
        if (out.size() > limit) {
            file.fail("a chunk inflates to more than its shape says");
        }
    }
    if (state != Z_STREAM_END) {
        file.fail("the compressed bytes of a chunk are damaged");
    }
    return out;
}

/// Undoes the sorting of the bytes of the elements by their places.
Bytes unshuffled(const Bytes& in, std::uint64_t size) {
    if (size < 2 || in.size() < size) {
        return in;
    }
    const std::size_t count = in.size() / size;
    Bytes out = in;  // what is left over after the last element stays where it is
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t k = 0; k < size; ++k) {
            out[i * size + k] = in[k * count + i];
        }
    }
    return out;
}

/// Fletcher's checksum over the big-endian 16-bit words.
std::uint32_t fletcher(std::span<const std::byte> bytes) {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        const auto high = std::to_integer<std::uint64_t>(bytes[i]);
        const auto low = i + 1 < bytes.size() ? std::to_integer<std::uint64_t>(bytes[i + 1]) : 0;
        a += (high << 8) | low;
        b += a;
        if (i % 256 == 254 || i + 2 >= bytes.size()) {
            a = (a & 0xffff) + (a >> 16);
            b = (b & 0xffff) + (b >> 16);
        }
    }
    const auto fold = [](std::uint64_t n) {
        while (n > 0xffff) {
            n = (n & 0xffff) + (n >> 16);
        }
        return static_cast<std::uint32_t>(n);
    };
    return (fold(b) << 16) | fold(a);
}

}  // namespace

Hdf5Filters::Hdf5Filters(const Hdf5File& file, std::optional<Hdf5Cursor> message) : file_(&file) {
    if (!message) {
        return;
    }
    Hdf5Cursor& in = *message;
    const std::uint64_t version = in.number(1);
    const std::uint64_t count = in.number(1);
    if (version != 1 && version != 2) {
        file.fail(fmt::format("version {} of a list of filters is not known", version));
    }
    if (count > 32) {
        file.fail("a dataset has more filters than there can be");
    }
    in.skip(version == 1 ? 6 : 0);
    for (std::uint64_t i = 0; i < count; ++i) {
        Filter filter;
        filter.id = in.number(2);
        const std::uint64_t name_size = version == 1 || filter.id >= 256 ? in.number(2) : 0;
        in.skip(2);
        const std::uint64_t values = in.number(2);
        const std::string_view name = in.text(name_size);
        in.skip(version == 1 ? (8 - name_size % 8) % 8 : 0);
        for (std::uint64_t k = 0; k < values; ++k) {
            filter.values.push_back(in.number(4));
        }
        in.skip(version == 1 && values % 2 == 1 ? 4 : 0);
        if (filter.id != deflate && filter.id != shuffle && filter.id != fletcher32) {
            file.unsupported(fmt::format("a dataset is packed by filter {} '{}', which is not read",
                                         filter.id, printable(name.substr(0, name.find('\0')))));
        }
        if (filter.id == shuffle && (filter.values.empty() || filter.values[0] == 0)) {
            file.fail("a shuffled dataset does not say how");
        }
        filters_.push_back(std::move(filter));
    }
}

Bytes Hdf5Filters::unpack(std::span<const std::byte> stored, std::uint64_t skipped,
                          std::uint64_t size) const {
    // Each filter may add a little: a checksum.
    const std::uint64_t limit = size + 4 * filters_.size();
    Bytes data;
    bool packed = true;  // data are still the stored ones
    const auto now = [&] { return packed ? stored : std::span<const std::byte>(data); };
    for (std::size_t i = filters_.size(); i-- > 0;) {
        if (((skipped >> i) & 1U) != 0) {
            continue;
        }
        const Filter& filter = filters_[i];
        if (filter.id == deflate) {
            data = inflated(*file_, now(), limit);
        } else if (filter.id == shuffle) {
            const auto from = now();
            data = unshuffled(Bytes(from.begin(), from.end()), filter.values[0]);
        } else {
            const auto from = now();
            if (from.size() < 4) {
                file_->fail("a chunk lacks its checksum");
            }
            const auto content = from.first(from.size() - 4);
            const std::uint32_t expected = fletcher(content);
            const auto found = static_cast<std::uint32_t>(
                Hdf5Cursor(*file_, from.last(4), "checksum of a chunk").number(4));
            if (found != expected) {
                file_->fail("a chunk does not match its checksum");
            }
            data = Bytes(content.begin(), content.end());
        }
        packed = false;
    }
    if (now().size() != size) {
        file_->fail(fmt::format("a chunk has {} instead of {} bytes", now().size(), size));
    }
    if (packed) {
        data.assign(stored.begin(), stored.end());
    }
    return data;
}

}  // namespace gatewright::store
