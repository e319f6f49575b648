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
Policy policy_of(const Object& object, const Location& where);

/// Refuses a layer inside another one that has another policy: wrappers call past what keeps it.
void expect_policy_within(const Call& outer, const Object& inner);

/// x as a number of that type holds it; as it is for the usual one.
Operand rounded_to(layers::Builder& builder, const Operand& x, Precision precision);

/// What a call computes in, and its arguments as it takes them: in half precision they are rounded.
/// An operation without a policy computes in what its tensors have in common, or in float32.
Policy take_arguments(layers::Builder& builder, const Call& call, Arguments& arguments);

}  // namespace gatewright::keras
