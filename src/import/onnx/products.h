#pragma once

#include <optional>

#include "import/onnx/importer.h"

/// Products that several operators of the format compute: with real numbers, or with integers that
/// scales belong to.
namespace gatewright::onnx {

/// Where a layer's input and result have their channels: QONNX has layers with channels last.
enum class Channels { first, last };

/// a b, as NumPy's matmul on the shapes of the file.
Operand matrix_product(Call& call, Operand a, Operand b);

/// Convolution by constant weights, as the attributes of the call say.
Operand convolution(Call& call, const Operand& input, Operand weights,
                    const std::optional<Operand>& bias, Channels channels = Channels::first);

/// Pooling of kind max, average or norm, as the attributes of the call say.
Operand pooled(Call& call, const Operand& input, const char* kind,
               Channels channels = Channels::first);

/// The p of a norm, an attribute.
double norm_of(Call& call);

/// clip(round(x / scale) + zero point) in an integer type.
Operand levels_of(Call& call, const Operand& x, const Tensor& scale, const Tensor& zero_point,
                  ElementType type);

/// A constant parameter that holds a number, or one for each position along axis `axis` of an
/// operand of rank `rank`, shaped so that it broadcasts.
Tensor along(Call& call, const Tensor& parameter, std::int64_t axis, std::int64_t rank);

/// A scale: positive and finite everywhere.
const Tensor& positive(Call& call, std::size_t input, const char* role);

/// The element type of a constant input.
ElementType element_of(Call& call, std::size_t input);

}  // namespace gatewright::onnx
