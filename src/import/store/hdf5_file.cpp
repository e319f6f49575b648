#include "import/store/hdf5_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/diagnostics.h"
#include "base/file.h"
#include "base/plain_text.h"
#include "import/store/hdf5.h"

namespace gatewright::store {

namespace {

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
constexpr bool compare_checksums = false;  // mutation would never get past them
#else
constexpr bool compare_checksums = true;
#endif

constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";

/// Where the superblock is: at 0, or after a block of the user's own at 512, 1024, 2048, ...
std::size_t superblock(std::span<const std::byte> bytes) {
    for (std::size_t at = 0;
         bytes.size() >= signature.size() && at <= bytes.size() - signature.size();
         at = at == 0 ? 512 : 2 * at) {
        if (std::memcmp(bytes.data() + at, signature.data(), signature.size()) == 0) {
            return at;
        }
    }
    return bytes.size();
}

/// Bob Jenkins' lookup3, by which the format protects its own structures.
std::uint32_t checksum(std::span<const std::byte> bytes) {
    auto word = [&](std::size_t at) {
        std::uint32_t out = 0;
        for (std::size_t i = 0; i < 4 && at + i < bytes.size(); ++i) {
            out |= std::to_integer<std::uint32_t>(bytes[at + i]) << (8 * i);
        }
        return out;
    };
    std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size());
    std::uint32_t b = a;
    std::uint32_t c = a;
    if (bytes.empty()) {
        return c;
    }
    std::size_t at = 0;
    for (; bytes.size() - at > 12; at += 12) {
        a += word(at);
        b += word(at + 4);
        c += word(at + 8);
        a = (a - c) ^ std::rotl(c, 4), c += b;
        b = (b - a) ^ std::rotl(a, 6), a += c;
        c = (c - b) ^ std::rotl(b, 8), b += a;
        a = (a - c) ^ std::rotl(c, 16), c += b;
        b = (b - a) ^ std::rotl(a, 19), a += c;
        c = (c - b) ^ std::rotl(b, 4), b += a;
    }
    a += word(at);
    b += word(at + 4);
    c += word(at + 8);
    c = (c ^ b) - std::rotl(b, 14);
    a = (a ^ c) - std::rotl(c, 11);
    b = (b ^ a) - std::rotl(a, 25);
    c = (c ^ b) - std::rotl(b, 16);
    a = (a ^ c) - std::rotl(c, 4);
    b = (b ^ a) - std::rotl(a, 14);
    c = (c ^ b) - std::rotl(b, 24);
    return c;
}

}  // namespace

bool is_hdf5(std::span<const std::byte> bytes) {
    return superblock(bytes) != bytes.size();
}

Hdf5File::Hdf5File(std::span<const std::byte> bytes, std::string name, std::uint64_t& root)
    : name_(std::move(name)) {
    const std::size_t begin = superblock(bytes);
    if (begin == bytes.size()) {
        fail(bytes.empty() ? "it is empty" : "it is not an HDF5 file");
    }
    bytes_ = bytes.subspan(begin);
    // Each byte of a sound file is read about once. The factors leave room for links to one object
    // from several places, and for compressed weights.
    work_left_ = 16 * bytes_.size() + (std::uint64_t{1} << 16);
    memory_left_ =
        std::min(128 * bytes_.size() + (std::uint64_t{64} << 20), 8 * default_file_limit);
    nodes_left_ = bytes_.size() / 16 + 1024;

    Hdf5Cursor in = from(0, "superblock");
    in.expect(signature);
    const std::uint64_t version = in.number(1);
    std::uint64_t base = 0;
    std::uint64_t end = 0;
    const auto sizes = [&] {
        address_size_ = in.number(1);
        length_size_ = in.number(1);
        for (const std::size_t size : {address_size_, length_size_}) {
            if (size != 2 && size != 4 && size != 8) {
                fail(fmt::format("its addresses or lengths have {} bytes", size));
            }
        }
    };
    if (version <= 1) {
        in.skip(4);
        sizes();
        in.skip(version == 0 ? 9 : 13);
        base = in.address();
        in.address();
        end = in.address();
        in.address();
        in.address();  // of the root group's name
        root = in.address();
    } else if (version <= 3) {
        sizes();
        in.skip(1);
        base = in.address();
        in.address();
        end = in.address();
        root = in.address();
        const std::size_t size = in.position() + 4;
        checked(0, size, "superblock");
    } else {
        unsupported(fmt::format("version {} of the superblock is not read", version));
    }
    // Both count from the file's first byte, wherever the superblock lies.
    if (base == no_address || end == no_address || end < base || end - base > bytes_.size()) {
        fail(fmt::format("it is cut short: it has {} of {} bytes", bytes_.size(), end - base));
    }
    bytes_ = bytes_.first(end - base);
}

Hdf5Cursor Hdf5File::from(std::uint64_t address, const char* what) const {
    if (address > bytes_.size()) {
        fail(fmt::format("a {} lies outside of the file", what));
    }
    return {*this, bytes_.subspan(address), what};
}

Hdf5Cursor Hdf5File::at(std::uint64_t address, std::uint64_t size, const char* what) const {
    if (address > bytes_.size() || size > bytes_.size() - address) {
        fail(fmt::format("a {} lies outside of the file", what));
    }
    if (size > work_left_) {
        fail("its parts refer to each other so often that reading it would never end");
    }
    work_left_ -= size;
    return {*this, bytes_.subspan(address, size), what};
}

Hdf5Cursor Hdf5File::checked(std::uint64_t address, std::uint64_t size, const char* what) const {
    if (size < 4) {
        fail(fmt::format("a {} is too short", what));
    }
    const std::span<const std::byte> content = at(address, size, what).take(size - 4);
    const std::uint64_t stored = at(address + size - 4, 4, what).number(4);
    if (compare_checksums && stored != checksum(content)) {
        fail(fmt::format("a {} does not match its checksum", what));
    }
    return {*this, content, what};
}

void Hdf5File::use_memory(std::uint64_t bytes) const {
    if (bytes > memory_left_) {
        fail("it claims far more data than its size can hold");
    }
    memory_left_ -= bytes;
}

void Hdf5File::use_node() const {
    if (nodes_left_ == 0) {
        fail("its groups refer to each other so often that reading it would never end");
    }
    --nodes_left_;
}

void Hdf5File::fail(const std::string& message) const {
    throw Failure(
        Code::store_malformed, {name_, {}, {}, {}},
        path_.empty() ? message : fmt::format("'{}' in it: {}", printable(path_, 120), message),
        "Download or export it again");
}

void Hdf5File::unsupported(const std::string& message) const {
    throw Failure(
        Code::store_malformed, {name_, {}, {}, {}},
        path_.empty() ? message : fmt::format("'{}' in it: {}", printable(path_, 120), message),
        "Save the model again with Keras or h5py and their usual settings");
}

std::uint64_t Hdf5Cursor::number(std::size_t size) {
    std::uint64_t out = 0;
    const auto bytes = take(size);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        out |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    }
    return out;
}

std::uint64_t Hdf5Cursor::address() {
    const std::size_t size = file_->address_size();
    const std::uint64_t out = number(size);
    return out == no_address >> (64 - 8 * size) ? no_address : out;
}

std::span<const std::byte> Hdf5Cursor::take(std::uint64_t count) {
    if (count > left()) {
        file_->fail(fmt::format("a {} ends too early", what_));
    }
    const auto out = bytes_.subspan(position_, count);
    position_ += count;
    return out;
}

std::string_view Hdf5Cursor::text(std::uint64_t count) {
    const auto bytes = take(count);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string_view Hdf5Cursor::text_to_zero() {
    const auto rest = bytes_.subspan(position_);
    const auto zero = std::find(rest.begin(), rest.end(), std::byte{0});
    const std::string_view out = text(static_cast<std::uint64_t>(zero - rest.begin()));
    skip(1);
    return out;
}

void Hdf5Cursor::expect(std::string_view expected) {
    if (left() < expected.size() || text(expected.size()) != expected) {
        file_->fail(fmt::format("a {} does not begin as it must", what_));
    }
}

void Hdf5Cursor::align(std::size_t begin) {
    skip((8 - (position_ - begin) % 8) % 8);
}

std::string hdf5_name(const Hdf5File& file, std::string_view name) {
    if (name.empty() || !is_utf8(name)) {
        file.fail("a name in it is empty or not UTF-8");
    }
    return std::string(name);
}

}  // namespace gatewright::store
