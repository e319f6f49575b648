#pragma once

#include <cstddef>
#include <vector>

#include "import/store/hdf5_file.h"
#include "import/store/hdf5_object.h"
#include "import/store/hdf5_values.h"

/// Where the elements of a dataset lie: in its object header, in one piece, or in chunks that
/// filters have packed.
namespace gatewright::store {

/// The elements of a dataset, row-major, as bytes.
std::vector<std::byte> read_hdf5_data(const Hdf5File& file, const Hdf5Object& object,
                                      const Hdf5Type& type, const Hdf5Space& space);

}  // namespace gatewright::store
