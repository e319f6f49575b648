#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "network/network.h"
#include "operators/function.h"

namespace gatewright::operators {

/// How numbers enter the circuit: element e of the network's input is the integer (at its format)
/// of steps(x[index[e]]), where x is input `model_input` of the model. The steps end in `quantize`,
/// and the integer is that of quantize_integer.
struct Encoding {
    std::string model_input;
    std::vector<std::int64_t> index;  ///< empty: e itself
    std::vector<Step> steps;
};

/// How the circuit's numbers become the model's: output[e] = steps(value of the port's element e).
struct Decoding {
    std::vector<Step> steps;
};

struct ModelInput {
    std::string name;
    Shape shape;
};

/// A layer whose circuit is not exactly the real function, and by how much it may be off at most.
struct Approximation {
    std::string layer;
    std::string description;
    double bound = 0;  ///< largest absolute error of the layer's result, its own rounding included
};

/// A model lowered to core operators, with what lies at its borders. This is all that `predict`
/// needs, and what design.json holds.
struct CoreModel {
    network::Network network;              ///< core operators on fixed-point tensors only
    std::vector<ModelInput> model_inputs;  ///< as the user's file names them
    std::vector<Encoding> encodings;       ///< one per input of the network, in order
    std::vector<Decoding> decodings;       ///< one per output of the network, in order
    std::vector<Approximation> approximations;
    std::string batch = "free";  ///< "free": a leading batch axis; "none": see importer
};

std::string to_text(const CoreModel& model);
CoreModel core_model_from_text(std::string_view text);

}  // namespace gatewright::operators
