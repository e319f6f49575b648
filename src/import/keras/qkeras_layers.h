#pragma once

#include <map>
#include <string>

#include "import/keras/call.h"
#include "import/keras/qkeras_quantisers.h"
#include "import/layers/recurrent.h"

/// What the rules of QKeras' layers share.
namespace gatewright::keras {

/// A weight through the quantiser in the layer's configuration under `key`; null leaves it as it
/// is. `computes`: the layer lets QKeras compute an alpha that is not given.
Operand quantised_weight(Call& call, const std::string& key, const Operand& weight, bool computes);
/// The same of another configuration than the layer's: a cell's.
Operand quantised_weight(Call& call, Settings& settings, const std::string& key,
                         const Operand& weight, bool computes);
/// The quantiser under `key`, on values; empty if it is null.
layers::Change quantiser_of(Call& call, Settings& settings, const std::string& key);

/// The layer's weights by the last part of their names in the file ("kernel").
std::map<std::string, Tensor> named_weights(Call& call);

/// Converts by the rule of a plain layer of Keras, with weights through the quantisers under their
/// keys and activations that are QKeras' first.
void plain_rule(Call& call, const char* class_name);

void quantised_batch_normalisation(Call& call);
void folded_convolution(Call& call);
void folded_depthwise_convolution(Call& call);

}  // namespace gatewright::keras
