#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "types/npy.h"

/// An array whose elements are read in parts: they lie in memory, or still in their file, which may
/// be larger than the memory. Type and shape are known, and checked against the file's size, before
/// the first element is read. Copies share the elements; several threads may read.
namespace gatewright {

class ArraySource {
  public:
    /// An array in memory is one.
    ArraySource(NpyArray array);
    /// Memory of someone else, row-major and little-endian, which outlives the source.
    ArraySource(DType dtype, Shape shape, const std::byte* elements);

    DType dtype() const { return dtype_; }
    const Shape& shape() const { return shape_; }
    std::int64_t size() const { return element_count(shape_); }

    /// The bytes of the row-major elements [first, first + count), little-endian: in place, or read
    /// into `buffer`. Throws Failure (array_file_malformed) if the file has become shorter.
    const std::byte* read(std::int64_t first, std::int64_t count,
                          std::vector<std::byte>& buffer) const;
    /// Elements [first, first + count) as an array of this shape.
    NpyArray part(std::int64_t first, std::int64_t count, Shape shape) const;
    /// All elements.
    NpyArray whole() const { return part(0, size(), shape_); }

  private:
    struct File;
    friend std::vector<std::pair<std::string, ArraySource>> open_arrays(const std::string& file);
    ArraySource(DType dtype, Shape shape, std::shared_ptr<const File> file)
        : dtype_(dtype), shape_(std::move(shape)), file_(std::move(file)) {}

    DType dtype_;
    Shape shape_;
    const std::byte* elements_ = nullptr;    ///< null if they lie in the file
    std::shared_ptr<const NpyArray> owned_;  ///< what holds `elements_`, unless someone else does
    std::shared_ptr<const File> file_;
};

using NamedSources = std::vector<std::pair<std::string, ArraySource>>;

NamedSources sources(NamedArrays arrays);
NamedArrays wholes(const NamedSources& arrays);

/// The arrays that read_arrays() would give; elements of a .npy file stay in it if they lie there
/// as they would in memory.
NamedSources open_arrays(const std::string& file);

}  // namespace gatewright
