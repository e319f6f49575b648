#pragma once

#include <string>
#include <vector>

#include "import/layers/builder.h"

/// Einstein's sums of products: "abc,cd->abd".
namespace gatewright::layers {

/// Letters (of both cases) and "..." as NumPy, ONNX, PyTorch and Keras have them: repeated letters
/// of one term take the diagonal, letters that the result lacks are summed, without "->" the result
/// has the letters that occur once, sorted. Terms are in the file's shapes: where an operand has a
/// batch axis its letter must be in the result, else BatchMixed. Refuses an equation that is
/// malformed or does not fit.
Operand einsum(Builder& builder, const std::string& equation, const std::vector<Operand>& operands);

/// The sum of products over axes `of_a` of a and `of_b` of b, in the file's shapes; the other axes
/// of a, then those of b. BatchMixed as above.
Operand tensordot(Builder& builder, const Operand& a, const Operand& b, const Shape& of_a,
                  const Shape& of_b);

}  // namespace gatewright::layers
