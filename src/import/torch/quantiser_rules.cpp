// Quantisers: fake quantisation, and the pairs of quantize and dequantize that pt2e writes.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/torch/rules.h"
#include "operators/layers.h"
#include "operators/map.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

double single(double value) {
    return static_cast<double>(static_cast<float>(value));
}

/// Scales and zero points as the framework uses them; per channel they broadcast along an axis.
struct Parameters {
    Tensor scale;
    Tensor zero_point;
    bool real_zero_point = false;  ///< added before the rounding
    double low = 0;
    double high = 0;
};

Tensor number_or_tensor(Call& call, const char* name) {
    const Operand x = call.operand(name);
    if (!x.is_constant) {
        call.refuse("it is computed from the model's inputs (dynamic quantisation)",
                    "Quantise the model statically.", name);
    }
    return x.constant;
}

/// What PyTorch takes for the type of levels.
struct LevelRange {
    ScalarType type;
    double low;
    double high;
};

constexpr LevelRange ranges[] = {
    {ScalarType::uint8, 0, 255},
    {ScalarType::int8, -128, 127},
    {ScalarType::int16, -32768, 32767},
    {ScalarType::int32, -0x1p31, 0x1p31 - 1},
};

/// A parameter per position of an axis, shaped to broadcast to x in the program's shape.
Tensor along(Call& call, Tensor parameter, const Operand& x, const char* name) {
    const std::int64_t axis = call.normalised(call.integer("axis"), x.rank());
    call.demand(parameter.shape.size() <= 1, name, "it is no vector");
    const auto count = static_cast<std::int64_t>(parameter.values.size());
    parameter.shape.assign(static_cast<std::size_t>(x.rank()), 1);
    if (axis == x.batch_axis && count != 1) {
        throw BatchMixed();
    }
    parameter.shape[static_cast<std::size_t>(axis)] = count;
    return parameter;
}

Parameters parameters_of(Call& call, const Operand& x, const char* scale, const char* zero_point) {
    Parameters p;
    p.scale = number_or_tensor(call, scale);
    for (double& value : p.scale.values) {
        value = single(value);
        call.demand(value > 0 && std::isfinite(value), scale,
                    fmt::format("it holds {}, which is not positive", value));
    }
    p.zero_point = call.has(zero_point) ? number_or_tensor(call, zero_point)
                                        : Tensor::filled(p.scale.shape, 0);
    p.real_zero_point = is_real(call.type_of(zero_point));
    p.low = call.real("quant_min");
    p.high = call.real("quant_max");
    call.demand(p.low <= p.high && p.low == std::floor(p.low) && p.high == std::floor(p.high) &&
                    std::abs(p.low) < 0x1p31 && std::abs(p.high) < 0x1p32,
                "quant_min", fmt::format("{} to {} is no range of levels", p.low, p.high));
    if (call.node().target.find("per_channel") != std::string::npos) {
        call.demand(p.scale.values.size() == p.zero_point.values.size(), zero_point,
                    "there is not one for each scale");
        p.scale = along(call, p.scale, x, scale);
        p.zero_point = along(call, p.zero_point, x, zero_point);
    } else {
        call.demand(p.scale.values.size() == 1 && p.zero_point.values.size() == 1, scale,
                    "it is not one number");
        p.scale = Tensor::scalar(p.scale.values.front());
        p.zero_point = Tensor::scalar(p.zero_point.values.front());
    }
    return p;
}

/// PyTorch runs no fake quantiser whose zero point is no level, unless it is a tensor for all of x
/// or not an integer.
void expect_zero_among_levels(Call& call, const Parameters& p) {
    const bool per_tensor = call.node().target.find("per_tensor") != std::string::npos;
    if (p.real_zero_point || (per_tensor && call.type_of("zero_point") != ScalarType::unknown)) {
        return;
    }
    for (const double value : p.zero_point.values) {
        call.demand(value >= p.low && value <= p.high, "zero_point",
                    fmt::format("{} is not within quant_min {} and quant_max {}, and PyTorch "
                                "refuses to run it",
                                value, p.low, p.high),
                    "Use a zero point that is one of the levels.");
    }
}

/// The levels must be numbers of the type that is written.
void expect_levels_of(Call& call, const Parameters& p) {
    const ScalarType type = call.type("dtype", ScalarType::unknown);
    const auto* row = std::find_if(std::begin(ranges), std::end(ranges),
                                   [&](const LevelRange& r) { return r.type == type; });
    call.demand(row != std::end(ranges), "dtype", "levels of that type are not supported",
                "Quantise to int8, uint8, int16 or int32.");
    for (const auto& [name, value] : {std::pair("quant_min", p.low), {"quant_max", p.high}}) {
        call.demand(value >= row->low && value <= row->high, name,
                    fmt::format("a level of {} does not fit the type, and PyTorch refuses to run "
                                "it",
                                value),
                    "Use levels within the type's range.");
    }
}

/// scale (clip(round(x / scale) + z, low, high) - z)
Operand fake_quantised(Call& call, const Operand& x, const Parameters& p) {
    FakeQuantizeFields fields;
    fields.scale = call.without_batch(p.scale, x);
    const Tensor zero_point = call.without_batch(p.zero_point, x);
    if (p.real_zero_point) {
        fields.zero_point = zero_point;
        fields.low = Tensor::filled(zero_point.shape, p.low);
        fields.high = Tensor::filled(zero_point.shape, p.high);
    } else {
        // The rounding comes before the zero point is added, so that only moves the bounds.
        fields.zero_point = Tensor::scalar(0);
        fields.low = zero_point;
        fields.high = zero_point;
        for (std::size_t i = 0; i < zero_point.values.size(); ++i) {
            fields.low.values[i] = p.low - zero_point.values[i];
            fields.high.values[i] = p.high - zero_point.values[i];
        }
    }
    return call.emit(fake_quantize_operator, Attributes::of(std::move(fields)), {x}, x.batch_axis)
        .front();
}

void fake_quantize(Call& call) {
    const Operand x = call.operand("self");
    const Parameters p = parameters_of(call, x, "scale", "zero_point");
    expect_zero_among_levels(call, p);
    if (call.has("fake_quant_enabled")) {
        const Tensor enabled = call.constant("fake_quant_enabled");
        call.demand(enabled.values.size() == 1, "fake_quant_enabled", "it is not one number");
        if (enabled.values.front() == 0) {
            call.set(x);
            return;
        }
    }
    call.set(fake_quantised(call, x, p));
    // The second result, a mask, serves training.
}

Operand exact(Call& call, const Operator& op, const Operand& a, Tensor b) {
    return call.elementwise(op, Attributes(), {a, Call::tensor(std::move(b))}, true);
}

/// The integer levels, as numbers.
void quantize(Call& call, bool channels) {
    const Operand x = call.operand("input");
    const Parameters p = parameters_of(call, x, channels ? "scales" : "scale",
                                       channels ? "zero_points" : "zero_point");
    expect_levels_of(call, p);
    const Operand y = fake_quantised(call, x, p);
    call.set(exact(call, add_operator, exact(call, divide_operator, y, p.scale), p.zero_point));
}

void dequantize(Call& call, bool channels) {
    Operand x = call.operand("input");
    x.is_integer = false;
    call.demand(call.type("dtype", ScalarType::unknown) == call.type_of("input"), "dtype",
                "it is not the type of the levels that come in");
    call.ignore("out_dtype");  // the program says the result's type
    const Parameters p = parameters_of(call, x, channels ? "scales" : "scale",
                                       channels ? "zero_points" : "zero_point");
    call.set(
        exact(call, multiply_operator, exact(call, subtract_operator, x, p.zero_point), p.scale));
}

const RuleRow rows[] = {
    {"aten.fake_quantize_per_tensor_affine", "default tensor_qparams", &fake_quantize},
    {"aten.fake_quantize_per_tensor_affine_cachemask", "default", &fake_quantize},
    {"aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams", "default", &fake_quantize},
    {"aten.fake_quantize_per_channel_affine", "default", &fake_quantize},
    {"aten.fake_quantize_per_channel_affine_cachemask", "default", &fake_quantize},
    {"quantized_decomposed.quantize_per_tensor", "default tensor tensor2",
     [](Call& c) { quantize(c, false); }},
    {"quantized_decomposed.quantize_per_channel", "default", [](Call& c) { quantize(c, true); }},
    {"quantized_decomposed.dequantize_per_tensor", "default tensor tensor2",
     [](Call& c) { dequantize(c, false); }},
    {"quantized_decomposed.dequantize_per_channel", "default",
     [](Call& c) { dequantize(c, true); }},
};

}  // namespace

std::span<const RuleRow> quantiser_rules() {
    return rows;
}

}  // namespace gatewright::torch
