#pragma once

#include <string>

#include "import/keras/call.h"

namespace gatewright::keras {

/// An activation as layers hold it: null, a name, a serialised layer or a quantiser. Refuses
/// functions of the user's own.
Operand activation(Call& call, const Json& serialised, const Operand& x);
/// The same of the key `key` of the layer's configuration; linear if it is missing.
Operand activation(Call& call, const Operand& x, const std::string& key = "activation");
/// A function of Keras' by name ("relu"), with its defaults. Refuses unknown names.
Operand named_activation(Call& call, const std::string& name, const Operand& x);
/// Whether a name is one of Keras' functions.
bool is_activation_name(const std::string& name);

}  // namespace gatewright::keras
