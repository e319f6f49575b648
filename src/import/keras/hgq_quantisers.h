#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "import/layers/builder.h"
#include "types/fixed_type.h"

/// Quantisers of HGQ and HGQ2: fixed point with widths of their own for each element, channel or
/// tensor, and small floats. They quantise constants as the framework does, in float32, and
/// activations by operators of the network.
namespace gatewright::keras {

/// What a quantiser does with levels beyond its own.
enum class Confine {
    wrap,       ///< modulo the number of levels
    saturate,   ///< to the nearest level
    symmetric,  ///< the same, without the lowest level of signed types
    zero,       ///< to zero
    reflect,    ///< back and forth between the ends (ap_fixed's WRAP_SM on whole levels)
    none,       ///< no bounds: weights of HGQ2 that are traced instead of wrapped
};

/// Widths of fixed-point numbers: three tensors of one shape, which broadcasts to what is quantised
/// in the file's axes (with the batch axis). A number has 2^integer as its bound, 2^-fraction as
/// its step and, if `negative` is 1, a sign besides.
struct FixedWidths {
    Tensor negative;
    Tensor integer;
    Tensor fraction;
};

/// Widths of small floats, likewise: mantissa bits, exponent bits and the exponents' offset.
struct FloatWidths {
    Tensor mantissa;
    Tensor exponent;
    Tensor offset;
};

struct HgqQuantiser {
    enum class Kind { identity, fixed_point, small_float };
    Kind kind = Kind::identity;
    Rounding rounding = Rounding::floor;
    Confine confine = Confine::saturate;
    FixedWidths fixed;
    FloatWidths small;
    /// Fixed point: whether weights that overflow wrap depends on what the file does not say.
    bool uncertain = false;
    std::optional<double> scaler;                     ///< quantises x / scaler, times scaler
    std::optional<std::pair<double, double>> affine;  ///< then times the first, plus the second
};

/// The rounding of that name, which both frameworks share; "S_" in front (stochastic in training)
/// is taken off by HGQ2 alone. Refuses an unknown one.
Rounding hgq_rounding(const layers::Builder& layer, std::string name, bool may_be_stochastic);

/// The quantiser of a serialised QuantizerConfig, HardTanhConfig or HardSigmoidConfig of HGQ2
/// (`attribute` names it in errors), its variables in the order of the file, and whether its layer
/// is trainable.
HgqQuantiser hgq2_quantiser(const layers::Builder& layer, const nlohmann::ordered_json& serialised,
                            const std::vector<Tensor>& variables, bool trainable,
                            const std::string& attribute);

/// The quantiser of HGQ 1: bits include the sign and the integer bits; `integer` includes the sign.
HgqQuantiser hgq1_quantiser(const layers::Builder& layer, const Tensor& keep_negative,
                            const Tensor& bits, const Tensor& integer, const std::string& rounding,
                            const std::string& overflow);

/// x quantised: a constant as the framework's float32 arithmetic does it, else by operators.
layers::Operand quantised(layers::Builder& layer, const layers::Operand& x,
                          const HgqQuantiser& quantiser);
/// A constant of the file quantised so.
Tensor quantised(const layers::Builder& layer, const Tensor& x, const HgqQuantiser& quantiser);

}  // namespace gatewright::keras
