#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "import/store/hdf5_file.h"

/// The indexes by which HDF5 finds the chunks of a dataset.
namespace gatewright::store {

struct Hdf5Chunk {
    std::vector<std::uint64_t> place;  ///< of its first element, counted in chunks
    std::uint64_t address = 0;
    std::uint64_t size = 0;     ///< as stored
    std::uint64_t skipped = 0;  ///< filters that were not applied to it
};

/// A dataset in chunks, and what its layout message says of their index.
struct Hdf5ChunkLayout {
    std::vector<std::uint64_t> extents;  ///< of the dataset, along each axis
    std::vector<std::uint64_t> largest;  ///< what the dataset's extents may grow to
    std::vector<std::uint64_t> chunk;    ///< of a chunk
    std::uint64_t chunk_bytes = 0;       ///< not packed
    bool filtered = false;

    enum class Index { tree_v1, single, implicit, fixed_array, growing_array, tree_v2 };
    Index index = Index::tree_v1;
    std::uint64_t address = no_address;  ///< of the index, or of the first chunk
    Hdf5Chunk single;                    ///< size and skipped filters of an only chunk

    /// How many chunks lie along an axis.
    std::uint64_t chunks_along(std::size_t axis) const { return chunks(extents, axis); }
    /// How many could, once the dataset has grown. Arrays of chunks have places for these.
    std::uint64_t most_along(std::size_t axis) const { return chunks(largest, axis); }

  private:
    std::uint64_t chunks(const std::vector<std::uint64_t>& all, std::size_t axis) const {
        return all[axis] / chunk[axis] + (all[axis] % chunk[axis] != 0 ? 1 : 0);
    }
};

/// Calls `chunk` with each chunk that is stored. Places are not checked yet, and may be those of
/// chunks that the dataset has not grown to.
void visit_hdf5_chunks(const Hdf5File& file, const Hdf5ChunkLayout& layout,
                       const std::function<void(const Hdf5Chunk&)>& chunk);

/// One of them: an array for datasets that can grow along one axis.
void visit_hdf5_growing_array(const Hdf5File& file, const Hdf5ChunkLayout& layout,
                              const std::function<void(const Hdf5Chunk&)>& chunk);

}  // namespace gatewright::store
