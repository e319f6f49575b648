#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "import/store/hdf5.h"
#include "import/store/hdf5_file.h"
#include "import/store/hdf5_heaps.h"
#include "types/shape.h"

/// Element types, shapes and elements as HDF5 writes them.
namespace gatewright::store {

struct Hdf5Type {
    enum class Kind {
        integer,
        real,
        text,    ///< of one length
        texts,   ///< in the global heap
        opaque,  ///< bytes whose meaning another place tells
    };
    Kind kind = Kind::integer;
    std::uint64_t size = 0;  ///< bytes of an element
    bool big_endian = false;
    // Integers and reals: the bits of the element that count.
    unsigned offset = 0;
    unsigned precision = 0;
    bool is_signed = false;
    // Reals.
    unsigned sign_at = 0;
    unsigned exponent_at = 0;
    unsigned exponent_bits = 0;
    unsigned fraction_at = 0;
    unsigned fraction_bits = 0;
    std::int64_t bias = 0;
    // Texts of one length: how what is left of it is filled.
    enum class Padding { terminated, zeros, spaces } padding = Padding::terminated;
};

/// Reads a datatype message. Fails for types that no model holds.
Hdf5Type read_hdf5_type(const Hdf5File& file, Hdf5Cursor& in);

struct Hdf5Space {
    Shape shape;
    std::vector<std::uint64_t>
        largest;        ///< what the extents may grow to; the format's ~0: any size
    bool none = false;  ///< no element at all, as of h5py.Empty
    std::uint64_t count = 1;
};

/// Reads a dataspace message.
Hdf5Space read_hdf5_space(const Hdf5File& file, Hdf5Cursor& in);

/// The elements, row-major in `data`. `name` is what frameworks call the numbers of an opaque type;
/// empty if the file does not say.
Hdf5Value read_hdf5_elements(const Hdf5File& file, Hdf5GlobalHeap& heap, const Hdf5Type& type,
                             const Hdf5Space& space, std::span<const std::byte> data,
                             std::string_view name);

}  // namespace gatewright::store
