#pragma once

#include <optional>
#include <string>

#include "import/layers/options.h"
#include "network/imported_model.h"
#include "operators/core_model.h"

/// From a model's file to a core model: what every command starts with.
namespace gatewright::project {

/// What becomes of a last softmax or sigmoid that the model does not quantise.
enum class FinalActivation {
    keep,    ///< its numbers are computed from the circuit's exact outputs when these are read
    drop,    ///< the outputs are the values before it
    argmax,  ///< the outputs are the positions of the largest value, computed in the circuit
};
FinalActivation final_activation_named(const std::string& name);

struct ModelSource {
    std::string file;
    std::string weights;  ///< a second file with the weights; empty: none
    layers::ImportOptions options;
};

/// Reads a model file of any known format; told apart by content and ending.
/// Throws Failure: file_missing, unknown_format and the reader's own.
network::ImportedModel load_model(const ModelSource& source);

/// The layers with the last softmax or sigmoid of each output dropped or replaced by argmax.
network::Network with_final_activation(const network::Network& network, FinalActivation choice);

/// Refuses inputs and outputs without elements: no circuit has a port of no bits. Failure
/// (operator_inputs), naming each.
void check_extents(const network::Network& network, const std::string& file);

/// Lowers an imported model. `input_type` tells the type of inputs that the model does not quantise
/// (LoweringOptions).
operators::CoreModel lower_model(
    const network::ImportedModel& model, FinalActivation choice,
    const std::function<std::optional<FixedType>(const std::string& input)>& input_type);

}  // namespace gatewright::project
