#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "types/shape.h"

/// Arrays in files: .npy (format versions 1 to 3) and .npz (a zip archive of .npy files).
///
/// A reader trusts nothing that a file says: sizes are compared with what the file really holds
/// before memory is taken, and whatever is not plain numbers (pickled objects, strings, records) is
/// refused. All errors are a Failure that names the file and, in an .npz, the array.
namespace gatewright {

enum class DType {
    boolean,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
    float16,
    float32,
    float64,
};

/// Bytes of one element.
std::size_t item_size(DType dtype);
/// NumPy's name of the type: "float32", "bool".
std::string_view to_string(DType dtype);

/// An array in memory. Invariant: `data` holds element_count(shape) elements of item_size(dtype)
/// bytes, row-major, little-endian; whatever order the file had.
struct NpyArray {
    DType dtype = DType::float64;
    Shape shape;
    std::vector<std::byte> data;

    bool operator==(const NpyArray&) const = default;

    static NpyArray of(Shape shape, std::span<const float> values);
    static NpyArray of(Shape shape, std::span<const double> values);
    static NpyArray of(Shape shape, std::span<const std::int64_t> values);
    static NpyArray of(Shape shape, std::span<const std::int32_t> values);
    static NpyArray of(Shape shape, std::span<const std::uint8_t> values);

    std::int64_t size() const { return element_count(shape); }
};

/// The elements as real numbers; nothing if one (a 64-bit integer) is not exact in a double.
std::optional<std::vector<double>> to_doubles(const NpyArray& array);

/// The elements as integers; nothing if one is not an integer or does not fit 64 bits.
std::optional<std::vector<std::int64_t>> to_integers(const NpyArray& array);

using NamedArrays = std::vector<std::pair<std::string, NpyArray>>;

/// How the elements of a .npy file lie in it.
struct NpyLayout {
    DType dtype = DType::float64;
    Shape shape;
    bool big_endian = false;
    bool fortran = false;    ///< column-major
    std::size_t offset = 0;  ///< of the first element's byte
};
/// Reads the header at the front of a .npy file of `size` bytes. Throws if `front` ends before the
/// header does, or if the elements that it promises are not what follows it.
NpyLayout parse_npy_header(std::span<const std::byte> front, std::uint64_t size,
                           const std::string& file, const std::string& array = {});
/// No header that is read is longer than this.
inline constexpr std::size_t max_npy_header = (1 << 20) + 12;

/// The bytes of a .npy file. `file` and `array` (may be empty) only name the source in errors.
NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& file,
                   const std::string& array = {});
/// Row-major, little-endian, format version 1 (2 for a header beyond 64 KiB).
std::vector<std::byte> format_npy(const NpyArray& array);

NpyArray read_npy(const std::string& file);
void write_npy(const std::string& file, const NpyArray& array);

/// More than this many bytes of arrays in one .npz are refused: an archive of a few kilobytes can
/// claim, and deflate to, any size.
inline constexpr std::uint64_t default_npz_limit = std::uint64_t{4} << 30;

/// All arrays of an .npz, in the order of the archive, names without ".npy".
NamedArrays read_npz(const std::string& file, std::uint64_t limit = default_npz_limit);
/// The same arrays give the same bytes: entries are stored uncompressed with a fixed date.
void write_npz(const std::string& file, const NamedArrays& arrays);

/// A .npy file gives one array named "x", an .npz all of its arrays; told apart by content.
NamedArrays read_arrays(const std::string& file);

}  // namespace gatewright
