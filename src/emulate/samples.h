#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operators/core_model.h"
#include "types/array_source.h"

namespace gatewright::emulate {

/// The model's inputs: one array each, in order, as doubles or as the source's own type.
/// `samples` arrays lie one after the other in each.
struct Samples {
    std::int64_t count = 0;
    bool has_batch_axis = true;  ///< false: the arrays are one sample without a leading axis
    std::vector<ArraySource> inputs;
};

/// Takes arrays by the model's input names, else `x`, or `x0`, `x1`, ... in order, and checks
/// shapes and types. `file` names the source in errors. Throws Failure(array_mismatch).
Samples match_sources(const operators::CoreModel& model, const NamedSources& arrays,
                      const std::string& file);
/// The same for any list of inputs (the float reference has no core model).
Samples match_sources(const std::vector<operators::ModelInput>& inputs, bool batched,
                      const NamedSources& arrays, const std::string& file);
/// Of arrays in memory; they are taken over, not copied, where they are moved in.
Samples match_arrays(const operators::CoreModel& model, NamedArrays arrays,
                     const std::string& file);
Samples match_arrays(const std::vector<operators::ModelInput>& inputs, bool batched,
                     NamedArrays arrays, const std::string& file);

}  // namespace gatewright::emulate
