#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "import/store/hdf5_file.h"

/// Where an HDF5 file keeps things of any size (heaps), and the trees that find them.
namespace gatewright::store {

/// Names of links in a group of the old style.
class Hdf5LocalHeap {
  public:
    Hdf5LocalHeap(const Hdf5File& file, std::uint64_t address);
    std::string_view text(std::uint64_t offset) const;

  private:
    const Hdf5File* file_;
    std::uint64_t address_ = 0;
    std::uint64_t size_ = 0;
};

/// Strings of any length, in collections that many datasets and attributes share.
class Hdf5GlobalHeap {
  public:
    explicit Hdf5GlobalHeap(const Hdf5File& file) : file_(&file) {}
    std::span<const std::byte> object(std::uint64_t collection, std::uint64_t index);

  private:
    const Hdf5File* file_;
    std::map<std::uint64_t, std::map<std::uint64_t, std::span<const std::byte>>> collections_;
};

/// Calls `leaf` with each of the keys and addresses in the leaves of a B-tree of version 1, in
/// their order. `key` is the size of a key; `kind` 0 is a tree of groups, 1 of chunks.
void visit_hdf5_tree_v1(const Hdf5File& file, std::uint64_t address, int kind, std::size_t key,
                        const std::function<void(Hdf5Cursor key, std::uint64_t address)>& leaf);

/// Calls `record` with each record of a B-tree of version 2, in their order.
void visit_hdf5_tree_v2(const Hdf5File& file, std::uint64_t address, int kind,
                        const std::function<void(Hdf5Cursor record)>& record);

/// Links and attributes of an object that has many of them.
class Hdf5FractalHeap {
  public:
    Hdf5FractalHeap(const Hdf5File& file, std::uint64_t address);
    /// The object of an identifier that a B-tree's record holds.
    Hdf5Cursor object(Hdf5Cursor record);

  private:
    struct Place {
        std::uint64_t address = 0;  ///< of a direct block
        std::uint64_t offset = 0;   ///< in that block
        std::uint64_t size = 0;     ///< of that block
    };
    Place find(std::uint64_t offset) const;
    std::uint64_t row_size(std::uint64_t row) const;
    std::uint64_t row_offset(std::uint64_t row) const;
    Hdf5Cursor huge(std::uint64_t identifier);

    const Hdf5File* file_;
    std::uint64_t address_ = 0;
    std::size_t identifier_size_ = 0;
    bool checksums_ = false;
    std::uint64_t huge_tree_ = no_address;
    std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> huge_objects_;
    bool huge_read_ = false;
    std::uint64_t width_ = 0;
    std::uint64_t start_size_ = 0;
    std::uint64_t max_direct_ = 0;
    std::size_t offset_size_ = 0;
    std::size_t length_size_ = 0;
    std::uint64_t root_ = no_address;
    std::uint64_t root_rows_ = 0;
};

}  // namespace gatewright::store
