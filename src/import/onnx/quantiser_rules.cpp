// Quantisers: QuantizeLinear and DequantizeLinear, and those of QONNX. Facts about the latter are
// those of the qonnx package's reference executor.

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "import/onnx/products.h"
#include "import/onnx/rules.h"
#include "operators/function.h"
#include "operators/layers.h"
#include "operators/map.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

Rounding rounding_mode(Call& call, const std::string& otherwise) {
    std::string mode = call.text("rounding_mode", otherwise);
    const std::string written = mode;
    std::transform(mode.begin(), mode.end(), mode.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    const std::pair<const char*, Rounding> modes[] = {
        {"ROUND", Rounding::half_even},
        {"HALF_EVEN", Rounding::half_even},
        {"CEIL", Rounding::ceil},
        {"FLOOR", Rounding::floor},
        {"UP", Rounding::away},
        {"DOWN", Rounding::toward_zero},
        {"ROUND_TO_ZERO", Rounding::toward_zero},
        {"HALF_UP", Rounding::half_away},
        {"HALF_DOWN", Rounding::half_zero},
    };
    for (const auto& [name, rounding] : modes) {
        if (mode == name) {
            return rounding;
        }
    }
    call.refuse(fmt::format("there is no rounding mode '{}'", written),
                "Use ROUND, HALF_EVEN, CEIL, FLOOR, UP, DOWN, ROUND_TO_ZERO, HALF_UP or HALF_DOWN.",
                "rounding_mode");
}

bool flag(Call& call, const char* name, std::int64_t otherwise) {
    const std::int64_t value = call.integer(name, otherwise);
    if (value != 0 && value != 1) {
        call.refuse(fmt::format("it is {}, neither 0 nor 1", value), {}, name);
    }
    return value == 1;
}

struct Levels {
    double low = 0;
    double high = 0;
};

/// Lowest and highest integer of a width that need not be an integer; the bounds apply before the
/// rounding, so they are rounded like any value.
Levels levels(Call& call, double bits, bool is_signed, bool narrow, Rounding rounding) {
    if (!(bits >= 1) || bits > 63) {
        call.refuse(fmt::format("its bit width is {}", bits), "Use 1 to 63 bits.");
    }
    const double low = is_signed ? -std::exp2(bits - 1) + (narrow ? 1 : 0) : 0;
    const double high = is_signed ? std::exp2(bits - 1) - 1 : std::exp2(bits) - (narrow ? 2 : 1);
    const auto rounded = [&](double v) {
        return round(to_rational(v), rounding).convert_to<double>();
    };
    return {rounded(low), rounded(high)};
}

Operand fake_quantize(Call& call, const Operand& x, FakeQuantizeFields fields) {
    for (Tensor* t : {&fields.scale, &fields.zero_point, &fields.low, &fields.high}) {
        *t = call.without_batch(*t, x);
        const Shape& shape = x.sample_shape();
        if (broadcast(t->shape, shape) != shape) {
            call.refuse(
                fmt::format("a parameter of shape {} does not broadcast to its input of "
                            "shape {}",
                            to_string(t->shape), to_string(shape)));
        }
    }
    return call.emit(fake_quantize_operator, Attributes::of(std::move(fields)), {x}, x.batch_axis)
        .front();
}

/// scale where x >= 0, else -scale: one bit, then a line.
Operand bipolar(Call& call, const Operand& x, const Tensor& scale) {
    Operand bit = call.function("count_thresholds", x, {Call::number(0)});
    FakeQuantizeFields one_bit{Tensor::scalar(1), Tensor::scalar(0), Tensor::scalar(0),
                               Tensor::scalar(1)};
    bit = fake_quantize(call, bit, one_bit);
    Operand twice;
    twice.is_constant = true;
    twice.constant = scale;
    Operand minus = twice;
    for (double& v : twice.constant.values) {
        v *= 2;
    }
    return call.elementwise(
        subtract_operator, Attributes(),
        {call.elementwise(multiply_operator, Attributes(), {bit, twice}, true), minus}, true);
}

void quant(Call& call) {
    const Operand& x = call.operand(0);
    const Tensor& scale = positive(call, 1, "scale");
    const Tensor& zero_point = call.constant(2, "zero point");
    const Tensor& bits = call.constant(3, "bit width");
    const bool is_signed = flag(call, "signed", 1);
    const bool narrow = flag(call, "narrow", 1);
    const Rounding rounding = rounding_mode(call, "ROUND");
    const bool one_bit =
        std::all_of(bits.values.begin(), bits.values.end(), [](double b) { return b == 1; });
    if (one_bit && is_signed) {
        // The reference takes a signed bit as bipolar: +-1 by the sign of x / scale + zero point.
        for (const double z : zero_point.values) {
            if (z != 0) {
                call.refuse("a signed quantiser of one bit has a zero point", "Use zero point 0.");
            }
        }
        call.set(bipolar(call, x, scale));
        return;
    }
    FakeQuantizeFields fields;
    fields.scale = scale;
    fields.zero_point = zero_point;
    fields.low = bits;
    fields.high = bits;
    fields.rounding = rounding;
    for (std::size_t i = 0; i < bits.values.size(); ++i) {
        const Levels l = levels(call, bits.values[i], is_signed, narrow, rounding);
        fields.low.values[i] = l.low;
        fields.high.values[i] = l.high;
    }
    call.set(fake_quantize(call, x, std::move(fields)));
}

void bipolar_quant(Call& call) {
    call.set(bipolar(call, call.operand(0), positive(call, 1, "scale")));
}

/// The integers round(x / scale + zero_point), without bounds: far wider than any accumulator.
Operand unbounded_levels(Call& call, const Operand& x, double scale, double zero_point) {
    const double most = std::exp2(40);
    FakeQuantizeFields fields{Tensor::scalar(scale), Tensor::scalar(zero_point),
                              Tensor::scalar(-most), Tensor::scalar(most - 1)};
    return fake_quantize(call, x, std::move(fields));
}

/// (round(level / 2^t) - zero point) * scale, with level = round(x / scale + zero point).
void trunc_v1(Call& call) {
    const Operand& x = call.operand(0);
    positive(call, 1, "scale");
    const double scale = call.scalar(1, "scale");
    const double zero_point = call.scalar(2, "zero point");
    const double dropped = call.scalar(3, "input bit width") - call.scalar(4, "output bit width");
    const Rounding rounding = rounding_mode(call, "FLOOR");
    const double step = std::exp2(dropped);
    const double most = std::exp2(41);
    const Operand fine = unbounded_levels(call, x, scale, zero_point);
    FakeQuantizeFields fields{Tensor::scalar(scale * step), Tensor::scalar(zero_point / step),
                              Tensor::scalar(-most), Tensor::scalar(most - 1), rounding};
    Operand y = fake_quantize(call, fine, std::move(fields));
    // y = scale step (level - zero_point / step); wanted is scale (level - zero_point).
    y = call.function(
        "affine", y,
        {Call::number(1 / step), Call::number(scale * zero_point / step - scale * zero_point)});
    call.set(y);
}

void trunc_v2(Call& call) {
    const Operand& x = call.operand(0);
    positive(call, 1, "scale");
    positive(call, 4, "output scale");
    const double scale = call.scalar(1, "scale");
    const double zero_point = call.scalar(2, "zero point");
    call.scalar(3, "input bit width");  // says nothing that the scales do not
    const double out_scale = call.scalar(4, "output scale");
    const double bits = call.scalar(5, "output bit width");
    const bool is_signed = flag(call, "signed", 1);
    const bool narrow = flag(call, "narrow", 1);
    const Rounding rounding = rounding_mode(call, "FLOOR");
    const double step = std::exp2(std::nearbyint(std::log2(out_scale / scale)));
    const Levels l = levels(call, bits, is_signed, narrow, rounding);
    const Operand fine = unbounded_levels(call, x, scale, zero_point);
    FakeQuantizeFields fields{Tensor::scalar(scale * step), Tensor::scalar(zero_point / step),
                              Tensor::scalar(l.low), Tensor::scalar(l.high), rounding};
    Operand y = fake_quantize(call, fine, std::move(fields));
    if (out_scale != scale * step) {
        y = call.function("affine", y, {Call::number(out_scale / (scale * step)), Call::number(0)});
    }
    call.set(y);
}

void trunc(Call& call) {
    // Version 1 has five inputs, version 2 six; files do not always state the version.
    call.inputs() >= 6 ? trunc_v2(call) : trunc_v1(call);
}

void float_quant(Call& call) {
    const Operand& x = call.operand(0);
    positive(call, 1, "scale");
    const double scale = call.scalar(1, "scale");
    const double exponent_bits = call.scalar(2, "exponent bit width");
    const double mantissa_bits = call.scalar(3, "mantissa bit width");
    const double bias =
        call.has(4) ? call.scalar(4, "exponent bias") : std::exp2(exponent_bits - 1) - 1;
    double largest =
        (2 - std::exp2(-mantissa_bits)) * std::exp2(std::exp2(exponent_bits) - 1 - bias);
    largest = call.has(5) ? std::min(largest, call.scalar(5, "largest value")) : largest;
    const Rounding rounding = rounding_mode(call, "ROUND");
    for (const char* name : {"has_inf", "has_nan", "has_subnormal"}) {
        call.ignore(name);  // with saturation they change no finite result
    }
    if (!flag(call, "saturation", 1)) {
        call.refuse("values beyond the largest become infinite or no number", "Use saturation 1.",
                    "saturation");
    }
    const bool sound = exponent_bits >= 1 && exponent_bits <= 6 && mantissa_bits >= 0 &&
                       mantissa_bits <= 12 && bias == std::floor(bias) &&
                       exponent_bits == std::floor(exponent_bits) &&
                       mantissa_bits == std::floor(mantissa_bits) && largest > 0;
    if (!sound) {
        call.refuse("its format is not supported",
                    "Use 1 to 6 exponent bits and up to 12 mantissa bits.");
    }
    Operand y = call.function("float_quantize", x,
                              {Call::number(exponent_bits), Call::number(mantissa_bits),
                               Call::number(bias), Call::number(largest), Call::number(scale),
                               Call::number(static_cast<double>(static_cast<int>(rounding)))});
    // All results lie on the grid of the smallest step.
    const double step = std::exp2(1 - bias - mantissa_bits);
    FakeQuantizeFields grid{Tensor::scalar(scale * step), Tensor::scalar(0),
                            Tensor::scalar(-std::floor(largest / step)),
                            Tensor::scalar(std::floor(largest / step))};
    call.set(fake_quantize(call, y, std::move(grid)));
}

void multi_threshold(Call& call) {
    const Operand& x = call.operand(0);
    const Tensor& t = call.constant(1, "thresholds");
    const double scale = call.real("out_scale", 1);
    const double bias = call.real("out_bias", 0);
    call.ignore("out_dtype");  // a remark on the result: its values say it already
    std::string layout = call.text("data_layout", "");
    if (layout.empty()) {
        layout = x.rank() == 3 ? "NWC" : "NC";
    }
    const std::size_t at = layout.find('C');
    if (at == std::string::npos || layout.find_first_not_of("NCDHW") != std::string::npos) {
        call.refuse("it names no axis of channels", {}, "data_layout");
    }
    const std::int64_t channel_axis = call.normalised(static_cast<std::int64_t>(at), x.rank());
    if (t.shape.size() != 2) {
        call.refuse("its thresholds are no matrix");
    }
    // A parameter per threshold, one element a channel.
    std::vector<Operand> parameters;
    Shape shape(static_cast<std::size_t>(x.rank()), 1);
    shape[static_cast<std::size_t>(channel_axis)] = t.shape[0];
    for (std::int64_t k = 0; k < t.shape[1]; ++k) {
        Operand& p = parameters.emplace_back();
        p.is_constant = true;
        p.constant.shape = shape;
        for (std::int64_t c = 0; c < t.shape[0]; ++c) {
            p.constant.values.push_back(t.values[static_cast<std::size_t>(c * t.shape[1] + k)]);
        }
    }
    Operand y = call.function("count_thresholds", x, parameters);
    FakeQuantizeFields levels_of{Tensor::scalar(1), Tensor::scalar(0), Tensor::scalar(0),
                                 Tensor::scalar(static_cast<double>(t.shape[1]))};
    y = fake_quantize(call, y, std::move(levels_of));
    if (scale != 1 || bias != 0) {
        y = call.function("affine", y, {Call::number(scale), Call::number(bias)});
    }
    call.set(y);
}

/// Sums of patches of integers, of which the lowest bits go so that `obits` are left.
void quant_avg_pool(Call& call) {
    const std::int64_t kernel = call.integer("kernel", 0);
    const std::int64_t stride = call.integer("stride", 0);
    const std::int64_t ibits = call.integer("ibits", 0);
    const std::int64_t obits = call.integer("obits", 0);
    const std::string layout = call.text("data_layout", "NCHW");
    call.ignore("signed");  // a remark on the result
    if (kernel < 1 || kernel > 1 << 10 || stride < 1 || ibits < 1 || ibits > 32 || obits < 1 ||
        obits > 32 || (layout != "NCHW" && layout != "NHWC")) {
        call.refuse("its kernel, its stride, a width or its layout is out of range");
    }
    const Operand& input = call.operand(0);
    Operand x = call.samples(input);
    if (x.sample_shape().size() != 3) {
        call.refuse(fmt::format("its input has shape {}", to_string(x.sample_shape())));
    }
    if (layout == "NHWC") {
        x = call.transposed(x, {2, 0, 1}, x.batch_axis);
    }
    const Shape none = {0, 0};
    const PoolFields fields{
        "average", {kernel, kernel}, {stride, stride}, {1, 1}, none, none, false, {}};
    Operand y = call.emit(pool_operator, Attributes::of(fields), {x}, x.batch_axis).front();
    const std::int64_t size = kernel * kernel;
    const std::int64_t most = ((std::int64_t{1} << ibits) - 1) * size;
    const std::int64_t shift = std::max<std::int64_t>(
        0, static_cast<std::int64_t>(std::floor(std::log2(static_cast<double>(most)))) + 1 - obits);
    y = call.function("affine", y, {Call::number(static_cast<double>(size)), Call::number(0)});
    y = call.function("round", y);  // the float mean may lie a little beside a multiple
    const double step = std::exp2(static_cast<double>(-shift));
    y = call.function("floor", call.function("affine", y, {Call::number(step), Call::number(0)}));
    if (layout == "NHWC") {
        y = call.transposed(y, {1, 2, 0}, y.batch_axis);
    }
    call.set(call.restore(y, input));
}

Levels range_of(Call& call, ElementType type) {
    switch (type) {
        case ElementType::int8:
            return {-128, 127};
        case ElementType::uint8:
            return {0, 255};
        case ElementType::int16:
            return {-32768, 32767};
        case ElementType::uint16:
            return {0, 65535};
        case ElementType::int4:
            return {-8, 7};
        case ElementType::uint4:
            return {0, 15};
        case ElementType::int2:
            return {-2, 1};
        case ElementType::uint2:
            return {0, 3};
        default:
            call.refuse(fmt::format("it quantises to {}", to_string(type)),
                        "Use an integer type of 2 to 16 bits.");
    }
}

/// The parameters of blocks along an axis, one for each position.
Tensor of_blocks(Call& call, const Tensor& parameter, const Operand& x, std::int64_t axis,
                 std::int64_t block) {
    const Shape& shape = parameter.shape;
    const auto at = static_cast<std::size_t>(axis);
    if (x.batch_axis == axis) {
        throw BatchMixed();
    }
    const auto in_sample =
        static_cast<std::size_t>(axis - (x.batch_axis >= 0 && x.batch_axis < axis ? 1 : 0));
    if (static_cast<std::int64_t>(shape.size()) != x.rank() || block < 1 ||
        in_sample >= x.sample_shape().size() ||
        shape[at] != (x.sample_shape()[in_sample] + block - 1) / block) {
        call.refuse(fmt::format("its parameters of shape {} do not fit blocks of {}",
                                to_string(shape), block),
                    {}, "block_size");
    }
    Tensor out{shape, {}};
    out.shape[at] = x.sample_shape()[in_sample];
    const std::int64_t inner = strides_of(shape)[at];
    const std::int64_t outer = element_count(shape) / std::max<std::int64_t>(1, shape[at] * inner);
    for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t i = 0; i < out.shape[at]; ++i) {
            for (std::int64_t k = 0; k < inner; ++k) {
                out.values.push_back(
                    parameter
                        .values[static_cast<std::size_t>((o * shape[at] + i / block) * inner + k)]);
            }
        }
    }
    return out;
}

/// A parameter for all elements, for each position of an axis or for each block along it, shaped
/// so that it broadcasts to x in the file's shape.
Tensor along_axis(Call& call, const Tensor& parameter, const Operand& x) {
    const std::int64_t block = call.integer("block_size", 0);
    if (parameter.values.size() == 1 && block == 0) {
        return Tensor::scalar(parameter.values.front());
    }
    const std::int64_t axis = call.normalised(call.integer("axis", 1), x.rank());
    return block != 0 ? of_blocks(call, parameter, x, axis, block)
                      : along(call, parameter, axis, x.rank());
}

/// Refuses a type of fewer bits than float32, whose rounding would show.
void expect_wide(Call& call, const char* attribute) {
    const auto type = static_cast<ElementType>(call.integer(attribute, 0));
    if (type != ElementType::undefined && type != ElementType::float32 &&
        type != ElementType::float64) {
        call.refuse(fmt::format("it is {}", to_string(type)), "Use float32.", attribute);
    }
}

/// The integer levels clip(round(x / scale) + zero point), as numbers.
void quantize_linear(Call& call) {
    const Operand& x = call.operand(0);
    const Tensor scale = along_axis(call, positive(call, 1, "scale"), x);
    call.ignore("axis");
    call.ignore("block_size");
    call.ignore("saturate");  // concerns 8-bit floats only
    expect_wide(call, "precision");
    ElementType type = ElementType::uint8;
    Tensor zero_point = Tensor::scalar(0);
    const auto output_type = static_cast<ElementType>(call.integer("output_dtype", 0));
    if (call.has(2)) {
        zero_point = along_axis(call, call.constant(2, "zero point"), x);
        type = element_of(call, 2);
        if (type == ElementType::undefined) {
            call.refuse("the element type of its zero point is not known",
                        "Store the zero point as an initialiser.");
        }
    } else if (output_type != ElementType::undefined) {
        type = output_type;
    }
    call.set(levels_of(call, x, scale, zero_point, type));
    call.set_type(type);
}

void dequantize_linear(Call& call) {
    Operand x = call.operand(0);
    x.is_integer = false;
    Operand scale;
    scale.is_constant = true;
    scale.constant = along_axis(call, positive(call, 1, "scale"), x);
    call.ignore("axis");
    call.ignore("block_size");
    expect_wide(call, "output_dtype");
    Operand y = x;
    if (call.has(2)) {
        Operand zero_point;
        zero_point.is_constant = true;
        zero_point.constant = along_axis(call, call.constant(2, "zero point"), x);
        y = call.elementwise(subtract_operator, Attributes(), {y, zero_point}, true);
    }
    call.set(call.elementwise(multiply_operator, Attributes(), {y, scale}, true));
    call.set_type(ElementType::float32);
}

const RuleRow standard[] = {
    {"QuantizeLinear", &quantize_linear},
    {"DequantizeLinear", &dequantize_linear},
};

const RuleRow qonnx[] = {
    {"Quant", &quant},
    {"IntQuant", &quant},
    {"BipolarQuant", &bipolar_quant},
    {"Trunc", &trunc},
    {"FloatQuant", &float_quant},
    {"MultiThreshold", &multi_threshold},
    {"QuantAvgPool2d", &quant_avg_pool},
    {"MaxPoolNHWC", [](Call& c) { c.set(pooled(c, c.operand(0), "max", Channels::last)); }},
};

}  // namespace

/// A parameter that must be positive and finite everywhere.
const Tensor& positive(Call& call, std::size_t input, const char* role) {
    const Tensor& t = call.constant(input, role);
    for (const double v : t.values) {
        if (!(v > 0) || !std::isfinite(v)) {
            call.refuse(
                fmt::format("its {} (input {}) holds {}, which is not positive", role, input, v),
                "Quantisers need positive scales.");
        }
    }
    return t;
}

Tensor along(Call& call, const Tensor& parameter, std::int64_t axis, std::int64_t rank) {
    if (parameter.values.size() == 1) {
        return Tensor::scalar(parameter.values.front());
    }
    if (parameter.shape.size() != 1) {
        call.refuse(fmt::format("a parameter of shape {} is no list", to_string(parameter.shape)),
                    "Use one number, or one for each channel.");
    }
    Tensor out = parameter;
    out.shape.assign(static_cast<std::size_t>(rank), 1);
    out.shape[static_cast<std::size_t>(axis)] = parameter.shape[0];
    return out;
}

ElementType element_of(Call& call, std::size_t input) {
    const auto& initializers = call.importer().model().graph.initializers;
    const auto at = initializers.find(call.node().inputs[input]);
    return at == initializers.end() ? call.type(input) : at->second.element;
}

Operand levels_of(Call& call, const Operand& x, const Tensor& scale, const Tensor& zero_point,
                  ElementType type) {
    const Levels l = range_of(call, type);
    // The rounding comes before the zero point is added, so the zero point moves the bounds.
    FakeQuantizeFields fields;
    fields.scale = scale;
    fields.zero_point = Tensor::scalar(0);
    fields.low = zero_point;
    fields.high = zero_point;
    for (std::size_t i = 0; i < zero_point.values.size(); ++i) {
        fields.low.values[i] = l.low - zero_point.values[i];
        fields.high.values[i] = l.high - zero_point.values[i];
    }
    const Operand y =
        call.elementwise(divide_operator, Attributes(),
                         {fake_quantize(call, x, std::move(fields)), Call::tensor(scale)}, true);
    return call.elementwise(add_operator, Attributes(), {y, Call::tensor(zero_point)}, true);
}

std::span<const RuleRow> quantiser_rules() {
    return standard;
}
std::span<const RuleRow> qonnx_rules() {
    return qonnx;
}

}  // namespace gatewright::onnx
