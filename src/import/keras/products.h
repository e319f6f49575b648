#pragma once

#include <optional>

#include "import/keras/call.h"

/// Products with weights, in the layouts of Keras: what dense layers and convolutions share with
/// their quantised kin.
namespace gatewright::keras {

/// x[..., n] kernel[n, m] + bias[m].
Operand dense_product(Call& call, const Operand& x, const Operand& kernel,
                      const std::optional<Operand>& bias);

}  // namespace gatewright::keras
