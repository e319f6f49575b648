#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The bytes of an HDF5 file and the limits within which they are read. Nothing that the file says
/// is trusted: every address and size is compared with the file's end, and the work and the memory
/// that a file may cost are in proportion to its size, however its parts refer to each other.
namespace gatewright::store {

class Hdf5Cursor;

/// What an address is that leads nowhere: nothing has been stored.
inline constexpr std::uint64_t no_address = ~std::uint64_t{0};

class Hdf5File {
  public:
    /// Finds the superblock; `root` becomes the address of the root group's object header.
    Hdf5File(std::span<const std::byte> bytes, std::string name, std::uint64_t& root);

    std::size_t address_size() const { return address_size_; }
    std::size_t length_size() const { return length_size_; }

    /// The `size` bytes at an address.
    Hdf5Cursor at(std::uint64_t address, std::uint64_t size, const char* what) const;
    /// The same without the checksum in their last four bytes, which is compared.
    Hdf5Cursor checked(std::uint64_t address, std::uint64_t size, const char* what) const;
    /// The bytes from an address to the end of the file, for a part that says its own size.
    Hdf5Cursor from(std::uint64_t address, const char* what) const;

    /// Memory that what is read will take. Throws before it is taken if it is too much.
    void use_memory(std::uint64_t bytes) const;
    /// A group or a dataset more.
    void use_node() const;

    /// Which object of the file is read, for messages: "/dense/kernel".
    void enter(std::string path) const { path_ = std::move(path); }

    [[noreturn]] void fail(const std::string& message) const;
    /// For what is sound, but not written by frameworks.
    [[noreturn]] void unsupported(const std::string& message) const;

  private:
    std::span<const std::byte> bytes_;  ///< from the superblock on: addresses count from there
    std::string name_;
    mutable std::string path_;
    std::size_t address_size_ = 8;
    std::size_t length_size_ = 8;
    mutable std::uint64_t work_left_ = 0;
    mutable std::uint64_t memory_left_ = 0;
    mutable std::uint64_t nodes_left_ = 0;
};

/// A part of the file, read from its front to its end.
class Hdf5Cursor {
  public:
    Hdf5Cursor(const Hdf5File& file, std::span<const std::byte> bytes, const char* what)
        : file_(&file), bytes_(bytes), what_(what) {}

    /// An unsigned number of up to 8 bytes.
    std::uint64_t number(std::size_t size);
    std::uint64_t address();
    std::uint64_t length() { return number(file_->length_size()); }
    std::span<const std::byte> take(std::uint64_t count);
    std::string_view text(std::uint64_t count);
    /// The bytes up to a zero, which is skipped too.
    std::string_view text_to_zero();
    void skip(std::uint64_t count) { take(count); }
    /// Fails unless these characters come next.
    void expect(std::string_view signature);
    /// Skips to the next multiple of eight bytes, counted from where this part begins.
    void align(std::size_t begin = 0);

    std::size_t position() const { return position_; }
    std::uint64_t left() const { return bytes_.size() - position_; }

  private:
    const Hdf5File* file_;
    std::span<const std::byte> bytes_;
    const char* what_;
    std::size_t position_ = 0;
};

/// Checks names of links and attributes: UTF-8, not empty.
std::string hdf5_name(const Hdf5File& file, std::string_view name);

}  // namespace gatewright::store
