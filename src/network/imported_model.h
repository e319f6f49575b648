#pragma once

#include <string>
#include <vector>

#include "base/diagnostics.h"
#include "network/network.h"

namespace gatewright::network {

/// How the file declares one input.
struct InputDeclaration {
    std::string name;
    std::vector<std::int64_t> declared;  ///< the file's extents; -1 for a free one
};

/// A model as an importer gives it: layers on real numbers, one sample at a time.
struct ImportedModel {
    Network network;
    /// True: the first axis of every declared input and output is the batch, which the network's
    /// shapes leave out, and each sample is computed by itself. False: the model mixes along its
    /// first axis (or has none), and the declared shapes are those of one sample.
    bool batched = true;
    std::vector<InputDeclaration> inputs;  ///< in the order of the network's inputs
    std::vector<Diagnostic> notes;         ///< what was left aside or renamed; never an error
};

}  // namespace gatewright::network
