#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/layers/builder.h"

/// The quantisers of QKeras 0.9: what a file says of one, as an object or as text, and what it does
/// at inference, to weights and to values of the network.
namespace gatewright::keras {

using layers::Builder;
using layers::Operand;

/// The factor on what a quantiser gives: none, a number, or one that QKeras computes anew from the
/// tensor each time ("auto", "auto_po2").
struct Alpha {
    enum class Kind { none, number, automatic, automatic_po2 };
    Kind kind = Kind::none;
    double value = 1;

    bool is_automatic() const { return kind == Kind::automatic || kind == Kind::automatic_po2; }
    /// The factor, in float32 as QKeras has it.
    float factor() const { return kind == Kind::number ? static_cast<float>(value) : 1.0F; }
};

/// A quantiser with all its parameters; those that its class does not have keep their values here.
struct Quantiser {
    enum class Kind {
        bits,
        hswish,
        relu,
        ulaw,
        tanh,
        sigmoid,
        po2,
        relu_po2,
        binary,
        ternary,
        bernoulli,
        function,  ///< a function of QKeras without parameters (hard_tanh and its kin)
    };

    Kind kind = Kind::bits;
    std::string name;  ///< of its class or function
    double bits = 8;
    double integer = 0;
    /// Integer bits of each channel in place of `integer` (QAdaptiveActivation).
    std::vector<double> integers;
    bool symmetric = false;
    bool keep_negative = true;
    Alpha alpha;
    std::optional<double> scale_axis;
    double qnoise_factor = 1;
    bool use_stochastic_rounding = false;
    bool use_sigmoid = false;
    double negative_slope = 0;
    std::optional<double> relu_upper_bound;
    bool is_quantized_clip = true;
    double u = 255;
    bool use_real = false;  ///< the real sigmoid or hyperbolic tangent
    std::optional<double> max_value;
    bool quadratic_approximation = false;
    std::string log2_rounding = "rnd";
    bool use_01 = false;
    std::optional<double> threshold;
    double number_of_unrolls = 5;
    double relu_shift = 3;
    double hswish_bound = 6;
};

/// Whether the object or text names a quantiser or a function of QKeras.
bool names_quantiser(const nlohmann::ordered_json& serialised);

/// Reads {"class_name": ..., "config": ...} or text like "quantized_bits(4, 0, alpha='auto')". Each
/// parameter is used or known to change nothing at inference. Throws Failure, which names `where`.
Quantiser read_quantiser(const nlohmann::ordered_json& serialised, const Location& where);

/// What layers do to the quantisers of their weights: without an alpha it becomes "auto_po2".
void compute_alpha(Quantiser& quantiser);

/// The quantised constant, in float32 and in QKeras' order of operations.
Tensor quantised_constant(const Quantiser& quantiser, const Tensor& x, const Location& where);

/// The quantiser on a value of the network (a constant: quantised_constant).
Operand quantised(Builder& builder, const Quantiser& quantiser, const Operand& x);

/// One number of a quantiser without automatic alpha and without qnoise_factor, in float32. Not for
/// Kind::function.
float quantised_number(const Quantiser& quantiser, float x);

/// How QAdaptiveActivation chooses its integer bits.
struct AdaptiveBits {
    double bits = 8;
    bool symmetric = true;
    bool keep_negative = true;
    bool round = false;  ///< to the next power of two, down too, instead of up
};
/// The integer bits for numbers between two extremes.
double adaptive_integer(const AdaptiveBits& bits, double lowest, double highest);

}  // namespace gatewright::keras
