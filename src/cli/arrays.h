#pragma once

#include <string>

#include "types/npy.h"

namespace gatewright::cli {

/// Refuses an output name that is neither .npy nor .npz, before any work is done.
void check_output_name(const std::string& file);

/// Writes one array to .npy, or any number to .npz. The file appears whole or not at all.
void write_arrays(const std::string& file, const NamedArrays& arrays);

}  // namespace gatewright::cli
