// Operators on quantised integers: those of the standard, and those that onnxruntime's quantisation
// writes (domain com.microsoft). Their scales are constants; factors are rounded to float32 as the
// runtime rounds them.

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "import/onnx/products.h"
#include "import/onnx/rules.h"
#include "operators/layers.h"
#include "operators/map.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

Operand exactly(Call& call, const Operator& op, const Operand& a, const Operand& b) {
    return call.elementwise(op, Attributes(), {a, b}, true);
}

/// Scale and zero point of a tensor of integers: two constant inputs.
struct Affine {
    Tensor scale;
    Tensor zero_point = Tensor::scalar(0);
    ElementType type = ElementType::uint8;
};

/// They stand at `input`; per position along `axis` of `rank` where they are lists.
Affine affine_of(Call& call, std::size_t input, std::int64_t axis, std::int64_t rank) {
    Affine out;
    out.scale = along(call, positive(call, input, "scale"), axis, rank);
    if (call.has(input + 1)) {
        out.zero_point = along(call, call.constant(input + 1, "zero point"), axis, rank);
        out.type = element_of(call, input + 1);
    }
    return out;
}

/// Of results: one number each.
Affine result_of(Call& call, std::size_t input) {
    Affine out = affine_of(call, input, 0, 1);
    if (out.scale.values.size() != 1 || out.zero_point.values.size() != 1) {
        call.refuse("its result has a scale for each channel", "Quantise results per tensor.");
    }
    if (out.type == ElementType::undefined) {
        call.refuse("the element type of its result's zero point is not known",
                    "Store the zero point as an initialiser.");
    }
    return out;
}

/// Integers less their zero point.
Operand centred(Call& call, Operand x, const Tensor& zero_point) {
    x.is_integer = false;
    const bool zero = std::all_of(zero_point.values.begin(), zero_point.values.end(),
                                  [](double z) { return z == 0; });
    return zero ? x : exactly(call, subtract_operator, x, Call::tensor(zero_point));
}

Operand real_of(Call& call, const Operand& x, const Affine& a) {
    return exactly(call, multiply_operator, centred(call, x, a.zero_point), Call::tensor(a.scale));
}

void set_levels(Call& call, const Operand& x, const Affine& y) {
    call.set(levels_of(call, x, y.scale, y.zero_point, y.type));
    call.set_type(y.type);
}

/// sums * (a.scale * b.scale / y.scale), a factor in float32, rounded to y's levels.
void set_requantised(Call& call, const Operand& sums, const Affine& a, const Affine& b,
                     const Affine& y) {
    Tensor factor;
    const auto shape = broadcast(a.scale.shape, b.scale.shape);
    if (!shape) {
        call.refuse("its scales do not fit each other");
    }
    factor.shape = *shape;
    const auto at_a = broadcast_index(a.scale.shape, factor.shape);
    const auto at_b = broadcast_index(b.scale.shape, factor.shape);
    for (std::size_t i = 0; i < at_a.size(); ++i) {
        const auto p = static_cast<float>(a.scale.values[static_cast<std::size_t>(at_a[i])]);
        const auto q = static_cast<float>(b.scale.values[static_cast<std::size_t>(at_b[i])]);
        const float product = p * q;
        factor.values.push_back(
            static_cast<double>(product / static_cast<float>(y.scale.values.front())));
    }
    const Operand scaled = exactly(call, multiply_operator, sums, Call::tensor(std::move(factor)));
    call.set(levels_of(call, scaled, Tensor::scalar(1), y.zero_point, y.type));
    call.set_type(y.type);
}

Operand added_bias(Call& call, const Operand& sums, std::size_t input) {
    if (!call.has(input)) {
        return sums;
    }
    Operand bias = call.operand(input);
    bias.is_integer = false;
    return exactly(call, add_operator, sums, bias);
}

void qlinear_conv(Call& call) {
    const std::int64_t rank = call.operand(0).rank();
    const Affine x = affine_of(call, 1, 0, 1);
    if (x.scale.values.size() != 1 || x.zero_point.values.size() != 1) {
        call.refuse("its input has a scale for each channel", "Quantise inputs per tensor.");
    }
    call.constant(3, "weights");
    const Affine on_weights = affine_of(call, 4, 0, call.operand(3).rank());
    const Affine on_result = affine_of(call, 4, 1, rank);
    const Affine y = result_of(call, 6);
    std::optional<Operand> bias;
    if (call.has(8)) {
        bias = call.operand(8);
        bias->is_integer = false;
    }
    const Operand sums = convolution(call, centred(call, call.operand(0), x.zero_point),
                                     centred(call, call.operand(3), on_weights.zero_point), bias);
    set_requantised(call, sums, x, on_result, y);
}

/// Lists of a left operand go along its rows, those of a right one along its columns.
Affine of_factor(Call& call, std::size_t input, const Operand& x, bool left) {
    return affine_of(call, input, std::max<std::int64_t>(0, x.rank() - (left ? 2 : 1)), x.rank());
}

void qlinear_matmul(Call& call) {
    const Affine a = of_factor(call, 1, call.operand(0), true);
    const Affine b = of_factor(call, 4, call.operand(3), false);
    const Affine y = result_of(call, 6);
    const Operand sums = matrix_product(call, centred(call, call.operand(0), a.zero_point),
                                        centred(call, call.operand(3), b.zero_point));
    set_requantised(call, sums, a, b, y);
}

/// Integers less a zero point that may be computed.
Operand centred_by(Call& call, std::size_t x, std::size_t zero_point, std::int64_t axis) {
    Operand operand = call.operand(x);
    operand.is_integer = false;
    if (!call.has(zero_point)) {
        return operand;
    }
    const Operand& z = call.operand(zero_point);
    if (z.is_constant) {
        return centred(call, operand, along(call, z.constant, axis, operand.rank()));
    }
    return exactly(call, subtract_operator, operand, z);
}

void matmul_integer(Call& call) {
    const Operand a = centred_by(call, 0, 2, std::max<std::int64_t>(0, call.operand(0).rank() - 2));
    const Operand b = centred_by(call, 1, 3, std::max<std::int64_t>(0, call.operand(1).rank() - 1));
    call.set(matrix_product(call, a, b));
    call.set_type(ElementType::int32);
}

void conv_integer(Call& call) {
    call.constant(1, "weights");
    call.set(convolution(call, centred_by(call, 0, 2, 0), centred_by(call, 1, 3, 0), std::nullopt));
    call.set_type(ElementType::int32);
}

/// Scale and zero point follow from the values of a whole tensor, samples together.
void dynamic_quantize(Call& call) {
    const Operand& x = call.operand(0);
    if (x.batch_axis >= 0) {
        throw BatchMixed();
    }
    Shape axes(x.sample_shape().size());
    std::iota(axes.begin(), axes.end(), std::int64_t{0});
    const Operand zero = Call::number(0);
    const Operand high = call.maximum(call.reduced(x, "max", axes, false), zero);
    const Operand low = call.minimum(call.reduced(x, "min", axes, false), zero);
    const auto in_float32 = [&](const Operand& v) {
        return call.function("float_round", v,
                             {Call::number(8), Call::number(23), Call::number(127)});
    };
    const Operand range = in_float32(call.subtract(high, low));
    // Of zeros alone the scale is 1, as the runtime has it.
    const Operand scale =
        call.add(in_float32(call.divide(range, Call::number(255))), call.function("not", range));
    const auto level = [&](const Operand& v) {
        return call.minimum(call.maximum(call.function("round", v), zero), Call::number(255));
    };
    const Operand point = level(in_float32(call.divide(call.subtract(zero, low), scale)));
    const Operand rounded = call.function("round", in_float32(call.divide(x, scale)));
    call.set(call.minimum(call.maximum(call.add(rounded, point), zero), Call::number(255)));
    call.set_type(ElementType::uint8);
    call.set(scale, 1);
    call.set_type(ElementType::float32, 1);
    call.set(point, 2);
    call.set_type(ElementType::uint8, 2);
}

/// Two tensors joined as real numbers.
void qlinear_binary(Call& call, const Operator& op) {
    const Affine a = affine_of(call, 1, 0, 1);
    const Affine b = affine_of(call, 4, 0, 1);
    const Affine y = result_of(call, 6);
    set_levels(
        call,
        exactly(call, op, real_of(call, call.operand(0), a), real_of(call, call.operand(3), b)), y);
}

/// A function of one tensor.
void qlinear_unary(Call& call, const std::function<Operand(const Operand&)>& function) {
    const Affine x = affine_of(call, 1, 0, 1);
    const Affine y = result_of(call, 3);
    set_levels(call, function(real_of(call, call.operand(0), x)), y);
}

void qlinear_pool(Call& call, bool global) {
    const Channels channels =
        call.integer("channels_last", 0) != 0 ? Channels::last : Channels::first;
    qlinear_unary(call, [&](const Operand& x) {
        if (!global) {
            return pooled(call, x, "average", channels);
        }
        const Operand sample = call.samples(x);
        const auto rank = static_cast<std::int64_t>(sample.sample_shape().size());
        Shape axes(static_cast<std::size_t>(std::max<std::int64_t>(rank - 1, 0)));
        std::iota(axes.begin(), axes.end(), std::int64_t{channels == Channels::first ? 1 : 0});
        return call.restore(call.reduced(sample, "mean", axes, true), x);
    });
}

void qlinear_concat(Call& call) {
    const Affine y = result_of(call, 0);
    const std::int64_t file_axis = call.integer("axis", 0);
    std::vector<Operand> parts;
    for (std::size_t i = 2; i + 2 < call.inputs(); i += 3) {
        parts.push_back(real_of(call, call.operand(i), affine_of(call, i + 1, 0, 1)));
    }
    if (parts.empty()) {
        call.refuse("it joins nothing");
    }
    const auto computed =
        std::find_if(parts.begin(), parts.end(), [](const Operand& p) { return !p.is_constant; });
    const Operand& like = computed == parts.end() ? parts.front() : *computed;
    for (Operand& part : parts) {
        part = call.per_sample(part, like.batch_axis);
    }
    set_levels(call, call.concatenated(parts, call.axis(like, file_axis)), y);
}

void qgemm(Call& call) {
    if (call.real("alpha", 1) != 1) {
        call.refuse("it is not 1", "Scale the result.", "alpha");
    }
    Operand a = call.operand(0);
    Operand b = call.operand(3);
    if (a.rank() != 2 || b.rank() != 2) {
        call.refuse("its operands are no matrices");
    }
    const bool transpose_a = call.integer("transA", 0) != 0;
    const bool transpose_b = call.integer("transB", 0) != 0;
    const Affine on_a = affine_of(call, 1, 0, 1);
    const Affine on_weights = affine_of(call, 4, transpose_b ? 0 : 1, 2);
    const Affine on_result = affine_of(call, 4, 1, 2);
    a = centred(call, a, on_a.zero_point);
    b = centred(call, b, on_weights.zero_point);
    if (transpose_a) {
        if (a.batch_axis >= 0) {
            throw BatchMixed();
        }
        a = call.transposed(a, {1, 0}, -1);
    }
    if (transpose_b) {
        if (b.batch_axis >= 0) {
            throw BatchMixed();
        }
        b = call.transposed(b, {1, 0}, -1);
    }
    const Operand sums = added_bias(call, matrix_product(call, a, b), 6);
    if (call.has(7)) {
        set_requantised(call, sums, on_a, on_result, result_of(call, 7));
        return;
    }
    const Operand scaled = exactly(call, multiply_operator, sums, Call::tensor(on_a.scale));
    call.set(exactly(call, multiply_operator, scaled, Call::tensor(on_result.scale)));
    call.set_type(ElementType::float32);
}

/// x sigmoid(alpha x)
void quick_gelu(Call& call) {
    const Operand& x = call.operand(0);
    const Operand inner = call.multiply(x, Call::number(call.real("alpha", 1.702F)));
    call.set(call.multiply(x, call.function("sigmoid", inner)));
}

void gelu(Call& call, const char* function) {
    Operand x = call.operand(0);
    if (call.has(1)) {
        x = call.add(x, call.operand(1));
    }
    call.set(call.function(function, x));
}

const RuleRow standard[] = {
    {"QLinearConv", &qlinear_conv},
    {"QLinearMatMul", &qlinear_matmul},
    {"MatMulInteger", &matmul_integer},
    {"ConvInteger", &conv_integer},
    {"DynamicQuantizeLinear", &dynamic_quantize},
};

const RuleRow microsoft[] = {
    {"QLinearAdd", [](Call& c) { qlinear_binary(c, add_operator); }},
    {"QLinearMul", [](Call& c) { qlinear_binary(c, multiply_operator); }},
    {"QLinearConcat", &qlinear_concat},
    {"QLinearAveragePool", [](Call& c) { qlinear_pool(c, false); }},
    {"QLinearGlobalAveragePool", [](Call& c) { qlinear_pool(c, true); }},
    {"QLinearSigmoid",
     [](Call& c) { qlinear_unary(c, [&](const Operand& x) { return c.function("sigmoid", x); }); }},
    {"QLinearLeakyRelu",
     [](Call& c) {
         const double alpha = c.real("alpha", static_cast<double>(0.01F));
         qlinear_unary(
             c, [&](const Operand& x) { return c.function("leaky", x, {Call::number(alpha)}); });
     }},
    {"QGemm", &qgemm},
    {"Gelu", [](Call& c) { gelu(c, "gelu"); }},
    {"BiasGelu", [](Call& c) { gelu(c, "gelu"); }},
    {"FastGelu", [](Call& c) { gelu(c, "gelu_tanh"); }},
    {"QuickGelu", &quick_gelu},
};

}  // namespace

std::span<const RuleRow> integer_rules() {
    return standard;
}
std::span<const RuleRow> microsoft_rules() {
    return microsoft;
}

}  // namespace gatewright::onnx
