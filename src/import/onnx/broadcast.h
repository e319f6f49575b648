#pragma once

#include <utility>

#include "import/onnx/importer.h"

/// How operators of two inputs bring them to one shape, and how narrow integers wrap.
namespace gatewright::onnx {

/// The two inputs, so that they broadcast as NumPy's: before opset 7 an operator says by its
/// attributes whether the second one does, and at which axis of the first.
std::pair<Operand, Operand> broadcast_operands(Call& call);

/// Results of arithmetic on integers of up to 16 bits wrap; all others are as they are.
Operand wrapped(Call& call, const Operand& y, ElementType type);

}  // namespace gatewright::onnx
