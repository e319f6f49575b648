#pragma once

#include <string>

#include "import/keras/call.h"

/// The types that layers of Keras compute in, by their policies ("mixed_float16"). In half
/// precision the inputs, the weights and the results of a layer are rounded; how its sums are
/// rounded on the way differs between machines, and is left out.
namespace gatewright::keras {

/// What a policy says.
struct Policy {
    Precision compute = Precision::single;
    bool int8 = false;  ///< weights are integers with scales, as Model.quantize makes them
};

/// Refuses what is not supported, and policies of layers that are not known to keep to them.
Policy policy_of(const Call& call);

/// x as a number of that type holds it; as it is for the usual one.
Operand rounded_to(layers::Builder& builder, const Operand& x, Precision precision);

/// What an operation without a policy computes in: what its tensors have in common, or float32.
Precision common_precision(const Call& call, const Arguments& arguments);

/// Tensors among the arguments, rounded.
void round_arguments(layers::Builder& builder, Arguments& arguments, Precision precision);

}  // namespace gatewright::keras
