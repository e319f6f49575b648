#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "import/store/hdf5_file.h"

/// What HDF5 does to a chunk before it is stored, undone.
namespace gatewright::store {

class Hdf5Filters {
  public:
    /// Without a message there are none.
    Hdf5Filters(const Hdf5File& file, std::optional<Hdf5Cursor> message);

    bool empty() const { return filters_.empty(); }
    /// The chunk of `size` bytes that is stored so. Bit i of `skipped` says that filter i was not
    /// applied to it.
    std::vector<std::byte> unpack(std::span<const std::byte> stored, std::uint64_t skipped,
                                  std::uint64_t size) const;

  private:
    struct Filter {
        std::uint64_t id = 0;
        std::vector<std::uint64_t> values;
    };

    const Hdf5File* file_;
    std::vector<Filter> filters_;
};

}  // namespace gatewright::store
