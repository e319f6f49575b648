#pragma once

#include <optional>
#include <string>

#include "import/keras/call.h"

/// What Model.quantize("int8") makes of a layer: its weights are integers with a scale for each
/// column, and its inputs become integers too, by their largest magnitude in each row.
namespace gatewright::keras {

/// How such a layer takes its inputs.
struct Int8 {
    bool of_inputs = true;  ///< else they stay as they are
    double low = -127;
    double high = 127;
    double epsilon = 1e-7;
};

/// Reads quantization_config; nothing if the layer is as it was built.
std::optional<Int8> read_int8(Call& call);

/// Inputs as integers, and the scale that made them so, with the reduced axes of extent 1.
struct Levels {
    Operand x;
    std::optional<Operand> scale;
};

/// `axes` are those of a sample that products sum over.
Levels levels_of(Call& call, const Int8& int8, const Operand& x, const Shape& axes);

/// The same for the first operand of an einsum with the axes `x_axes`, whose result has `y_axes`.
Levels levels_for(Call& call, const Int8& int8, const std::string& x_axes,
                  const std::string& y_axes);
/// The result of that einsum divided by both scales; reads that of the kernel.
Operand unscaled(Call& call, const Operand& y, const Levels& levels, const std::string& x_axes,
                 const std::string& y_axes);

}  // namespace gatewright::keras
