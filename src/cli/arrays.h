#pragma once

#include <string>

#include "base/diagnostics.h"
#include "types/npy.h"

namespace gatewright::cli {

/// Refuses an output name that is neither .npy nor .npz, before any work is done.
void check_output_name(const std::string& file);

/// Writes one array to .npy, or any number to .npz. The file appears whole or not at all.
void write_arrays(const std::string& file, const NamedArrays& arrays);

/// The failure with `file` named where an array's numbers are at fault and no file is named yet:
/// only the caller knows where they came from.
Failure with_file(const Failure& failure, const std::string& file);

/// The result of `work`; its failures name `file`, see above.
template <class Work>
auto naming(const std::string& file, const Work& work) {
    try {
        return work();
    } catch (const Failure& failure) {
        throw with_file(failure, file);
    }
}

}  // namespace gatewright::cli
