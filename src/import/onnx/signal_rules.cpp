// Operators of vision, audio and language beyond the usual layers: sampling at positions, spectra
// and windows, rotary embeddings, gates.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "import/layers/grid_sample.h"
#include "import/layers/spectrum.h"
#include "import/onnx/broadcast.h"
#include "import/onnx/rules.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;
using layers::GridSampling;

/// One number of a constant input, an integer.
std::int64_t whole(Call& call, std::size_t input, const char* role, std::int64_t most) {
    const double value = call.scalar(input, role);
    if (!(value >= 0) || value > static_cast<double>(most) || value != std::floor(value)) {
        call.refuse(fmt::format("its {} (input {}) is {}", role, input, value));
    }
    return static_cast<std::int64_t>(value);
}

void grid_sample(Call& call) {
    const Operand& x = call.operand(0);
    GridSampling sampling;
    const std::string mode = call.text("mode", call.opset() < 20 ? "bilinear" : "linear");
    if (mode == "nearest") {
        sampling.mode = GridSampling::Mode::nearest;
    } else if (mode == "cubic" || mode == "bicubic") {
        sampling.mode = GridSampling::Mode::cubic;
    } else if (mode != "linear" && mode != "bilinear") {
        call.refuse(fmt::format("there is no mode {}", mode), {}, "mode");
    }
    const std::string outside = call.text("padding_mode", "zeros");
    if (outside == "border") {
        sampling.outside = GridSampling::Outside::border;
    } else if (outside == "reflection") {
        sampling.outside = GridSampling::Outside::reflection;
    } else if (outside != "zeros") {
        call.refuse(fmt::format("there is no padding {}", outside), {}, "padding_mode");
    }
    sampling.align_corners = call.integer("align_corners", 0) != 0;
    const Operand image = call.samples(x);
    const Operand& grid = call.operand(1);
    const Operand positions =
        x.batch_axis >= 0 ? call.samples(call.per_sample(grid, 0)) : call.samples(grid);
    const Operand& like = x.batch_axis >= 0 ? x : grid;
    call.set(call.restore(layers::grid_sampled(call, image, positions, sampling), like));
}

void affine_grid(Call& call) {
    const Operand& theta = call.operand(0);
    Shape size = call.integers(1, "size");
    if (size.size() != 4 && size.size() != 5) {
        call.refuse("its size has neither four nor five extents");
    }
    for (const std::int64_t extent : std::span(size).subspan(2)) {
        if (extent < 1 || extent > 1 << 14) {
            call.refuse(fmt::format("it makes an extent of {}", extent));
        }
    }
    const bool align_corners = call.integer("align_corners", 0) != 0;
    call.set(call.restore(layers::affine_grid(call, call.samples(theta),
                                              Shape(size.begin() + 2, size.end()), align_corners),
                          theta));
}

void dft(Call& call) {
    const Operand& x = call.operand(0);
    std::int64_t axis = 1;
    if (call.opset() < 20) {
        axis = call.integer("axis", 1);
    } else {
        axis = call.has(2) ? static_cast<std::int64_t>(call.scalar(2, "axis")) : -2;
    }
    layers::Transform transform;
    transform.inverse = call.integer("inverse", 0) != 0;
    transform.onesided = call.integer("onesided", 0) != 0;
    axis = call.axis(x, axis);
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    const bool halves = transform.inverse && transform.onesided;
    transform.length =
        call.has(1) ? whole(call, 1, "length", 1 << 14) : (halves ? 2 * (extent - 1) : extent);
    call.set(layers::fourier(call, x, axis, transform));
}

void stft(Call& call) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const Shape& shape = x.sample_shape();
    const bool real = shape.size() == 1 || (shape.size() == 2 && shape[1] == 1);
    if (!real) {
        call.refuse("its signal is complex", "Transform real and imaginary parts by themselves.");
    }
    const bool onesided = call.integer("onesided", 1) != 0;
    const std::int64_t step = whole(call, 1, "step", 1 << 20);
    std::vector<double> window;
    if (call.has(2)) {
        window = call.constant(2, "window").values;
    }
    if (call.has(3)) {
        const std::int64_t length = whole(call, 3, "frame length", 1 << 14);
        window.resize(window.empty() ? static_cast<std::size_t>(length) : window.size(), 1.0);
        if (static_cast<std::int64_t>(window.size()) != length) {
            call.refuse("its window and its frames differ in length");
        }
    } else if (window.empty()) {
        window.assign(static_cast<std::size_t>(shape[0]), 1.0);
    }
    const Operand signal = call.reshaped(x, {shape[0]}, x.batch_axis);
    call.set(call.restore(layers::frame_spectra(call, signal, window, step, onesided), input));
}

void set_constant(Call& call, Tensor value) {
    const auto type = static_cast<ElementType>(
        call.integer("output_datatype", static_cast<std::int64_t>(ElementType::float32)));
    if (type != ElementType::float32 && type != ElementType::float64) {
        call.refuse("its result is neither float32 nor float64", {}, "output_datatype");
    }
    for (double& v : value.values) {
        v = type == ElementType::float32 ? static_cast<double>(static_cast<float>(v)) : v;
    }
    call.set(Call::tensor(std::move(value)));
    call.set_type(type);
}

/// a - b cos(2 pi n / N) + c cos(4 pi n / N)
void window(Call& call, double a, double b, double c) {
    const std::int64_t size = whole(call, 0, "size", 1 << 20);
    const bool periodic = call.integer("periodic", 1) != 0;
    const auto period = static_cast<double>(periodic ? size : size - 1);
    Tensor out{{size}, {}};
    for (std::int64_t n = 0; n < size; ++n) {
        const double angle =
            period == 0 ? 0 : 2 * std::numbers::pi * static_cast<double>(n) / period;
        out.values.push_back(a - b * std::cos(angle) + c * std::cos(2 * angle));
    }
    set_constant(call, std::move(out));
}

void mel_weights(Call& call) {
    constexpr std::int64_t most = 1 << 14;
    const std::int64_t bins = whole(call, 0, "number of bands", most);
    const std::int64_t length = whole(call, 1, "length", most);
    const std::int64_t rate = whole(call, 2, "sample rate", 1 << 30);
    const double low = call.scalar(3, "lower edge");
    const double high = call.scalar(4, "upper edge");
    if (rate == 0 || !(low >= 0) || !(high >= low)) {
        call.refuse("its rate or its edges are out of range");
    }
    const auto mel = [](double f) { return 2595 * std::log10(1 + f / 700); };
    const double step = (mel(high) - mel(low)) / static_cast<double>(bins + 2);
    const std::int64_t rows = length / 2 + 1;
    std::vector<std::int64_t> edges;
    for (std::int64_t i = 0; i < bins + 2; ++i) {
        const double at = mel(low) + static_cast<double>(i) * step;
        const double hertz = 700 * (std::pow(10.0, at / 2595) - 1);
        edges.push_back(static_cast<std::int64_t>(
            std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate))));
        if (edges.back() < 0 || edges.back() >= rows + 1) {
            call.refuse("its upper edge lies beyond half of the sample rate");
        }
    }
    Tensor out = Tensor::filled({rows, bins}, 0);
    const auto put = [&](std::int64_t row, std::int64_t bin, double value) {
        if (row < rows) {
            out.values[static_cast<std::size_t>(row * bins + bin)] = value;
        }
    };
    for (std::int64_t i = 0; i < bins; ++i) {
        const std::int64_t left = edges[static_cast<std::size_t>(i)];
        const std::int64_t centre = edges[static_cast<std::size_t>(i + 1)];
        const std::int64_t right = edges[static_cast<std::size_t>(i + 2)];
        for (std::int64_t j = left; j <= centre; ++j) {
            put(j, i,
                centre == left
                    ? 1
                    : static_cast<double>(j - left) / static_cast<double>(centre - left));
        }
        for (std::int64_t j = centre; j < right; ++j) {
            put(j, i, static_cast<double>(right - j) / static_cast<double>(right - centre));
        }
    }
    set_constant(call, std::move(out));
}

/// a sigmoid(alpha a) b
void swiglu(Call& call) {
    const Operand& a = call.operand(0);
    const Operand inner = call.multiply(a, Call::number(call.real("alpha", 1)));
    call.set(call.multiply(call.multiply(a, call.function("sigmoid", inner)), call.operand(1)));
}

/// What lies around the centre of the axes, or zeros around what there is.
void center_crop_pad(Call& call) {
    Operand x = call.operand(0);
    const Shape target = call.integers(1, "shape");
    Shape axes(static_cast<std::size_t>(x.rank()));
    std::iota(axes.begin(), axes.end(), std::int64_t{0});
    if (const auto given = call.integer_list("axes")) {
        axes = *given;
    }
    if (target.size() != axes.size()) {
        call.refuse(fmt::format("it has {} extents for {} axes", target.size(), axes.size()));
    }
    PadFields pads;
    pads.before.assign(x.sample_shape().size(), 0);
    pads.after = pads.before;
    for (std::size_t i = 0; i < axes.size(); ++i) {
        const std::int64_t file_axis = call.normalised(axes[i], x.rank());
        if (file_axis == x.batch_axis) {
            const auto declared = call.importer().declared_batch();
            if (target[i] != static_cast<std::int64_t>(layers::batch_extent) &&
                !(declared && target[i] == *declared)) {
                throw BatchMixed();
            }
            continue;
        }
        const std::int64_t axis = call.axis(x, file_axis);
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
        if (target[i] < 0 || target[i] > 1 << 24) {
            call.refuse(fmt::format("it makes an extent of {}", target[i]));
        }
        if (target[i] < extent) {
            x = call.sliced(x, axis, (extent - target[i]) / 2, target[i]);
        } else {
            const std::int64_t more = target[i] - extent;
            pads.before[static_cast<std::size_t>(axis)] = more / 2;
            pads.after[static_cast<std::size_t>(axis)] = more - more / 2;
        }
    }
    call.set(call.emit(pad_operator, Attributes::of(pads), {x}, x.batch_axis).front());
}

/// Pairs of elements turned by an angle that depends on the position.
void rotary_embedding(Call& call) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const bool flat = x.sample_shape().size() == 2;
    if (!flat && x.sample_shape().size() != 3) {
        call.refuse(fmt::format("its input has shape {}", to_string(x.sample_shape())));
    }
    const bool interleaved = call.integer("interleaved", 0) != 0;
    const std::int64_t heads = call.integer("num_heads", 0);
    // [heads, positions, size]
    Operand h = x;
    if (flat) {
        const Shape& shape = x.sample_shape();
        if (heads < 1 || shape[1] % heads != 0) {
            call.refuse("its input does not divide into heads", {}, "num_heads");
        }
        h = call.transposed(call.reshaped(x, {shape[0], heads, shape[1] / heads}, x.batch_axis),
                            {1, 0, 2}, x.batch_axis);
    }
    const Shape full = h.sample_shape();
    std::int64_t size = call.integer("rotary_embedding_dim", 0);
    size = size == 0 ? full[2] : size;
    if (size < 2 || size > full[2] || size % 2 != 0) {
        call.refuse("it turns a number of elements that does not fit", {}, "rotary_embedding_dim");
    }
    const auto cache = [&](std::size_t i) {
        Operand c = call.operand(i);
        if (call.has(3)) {
            // Rows by position; the result has the positions' batch in front.
            const Operand& at = call.operand(3);
            const Operand row = call.samples(at);
            c = call.emit(gather_operator, Attributes::of(GatherFields{0, true, "error"}), {c, row},
                          row.batch_axis >= 0 ? 0 : -1, true)
                    .front();
        } else {
            c = x.batch_axis >= 0 ? call.per_sample(c, 0) : call.samples(c);
        }
        Shape shape = c.sample_shape();
        if (shape != Shape{full[1], size / 2}) {
            call.refuse(fmt::format("its table of shape {} does not fit", to_string(shape)));
        }
        return call.reshaped(c, {1, full[1], size / 2}, c.batch_axis);
    };
    const Operand cosine = cache(1);
    const Operand sine = cache(2);
    const Operand turned = call.sliced(h, 2, 0, size);
    const std::int64_t half = size / 2;
    const Operand first =
        interleaved ? call.sliced(turned, 2, 0, half, 2) : call.sliced(turned, 2, 0, half);
    const Operand second =
        interleaved ? call.sliced(turned, 2, 1, half, 2) : call.sliced(turned, 2, half, half);
    const Operand real = call.subtract(call.multiply(first, cosine), call.multiply(second, sine));
    const Operand imaginary = call.add(call.multiply(first, sine), call.multiply(second, cosine));
    Operand y = interleaved ? call.reshaped(call.stacked({real, imaginary}, 3),
                                            {full[0], full[1], size}, real.batch_axis)
                            : call.concatenated({real, imaginary}, 2);
    if (size < full[2]) {
        y = call.concatenated({y, call.sliced(h, 2, size, full[2] - size)}, 2);
    }
    if (flat) {
        y = call.reshaped(call.transposed(y, {1, 0, 2}, y.batch_axis), x.sample_shape(),
                          y.batch_axis);
    }
    call.set(call.restore(y, input));
}

/// A convolution of each channel with its past, of which the last positions are a second result.
void causal_conv(Call& call) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const Tensor& w = call.constant(1, "weights");
    const Shape& shape = x.sample_shape();
    if (shape.size() != 2 || w.shape.size() != 3 || w.shape[0] != shape[0] || w.shape[1] != 1) {
        call.refuse(fmt::format("weights of shape {} do not fit an input of shape {}",
                                to_string(w.shape), to_string(shape)));
    }
    const std::int64_t past = w.shape[2] - 1;
    Operand state = Call::tensor(Tensor::filled({shape[0], past}, 0));
    if (call.has(3)) {
        const Operand& given = call.operand(3);
        state = input.batch_axis >= 0 ? call.per_sample(given, 0) : call.samples(given);
        if (state.sample_shape() != Shape{shape[0], past}) {
            call.refuse("its past does not fit its kernel");
        }
    }
    const Operand whole_input = past == 0 ? x : call.concatenated({state, x}, 1);
    ConvFields fields;
    fields.strides = {1};
    fields.dilations = {1};
    fields.before = {0};
    fields.after = {0};
    fields.groups = shape[0];
    std::vector<Operand> operands = {whole_input, call.operand(1)};
    if (call.has(2)) {
        operands.push_back(call.operand(2));
    }
    Operand y = call.emit(conv_operator, Attributes::of(std::move(fields)), operands,
                          whole_input.batch_axis)
                    .front();
    const std::string activation = call.text("activation", "none");
    if (activation == "silu" || activation == "swish") {
        y = call.multiply(y, call.function("sigmoid", y));
    } else if (activation != "none") {
        call.refuse(fmt::format("there is no function {}", activation), {}, "activation");
    }
    call.set(call.restore(y, input));
    if (call.node().outputs.size() > 1 && !call.node().outputs[1].empty()) {
        const std::int64_t length = whole_input.sample_shape()[1];
        call.set(call.restore(call.sliced(whole_input, 1, length - past, past), input), 1);
    }
}

/// Columns added up to an image: a transposed convolution with kernels of a single one.
void col2im(Call& call) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const Shape extents = call.integers(1, "image's shape");
    const Shape kernel = call.integers(2, "block's shape");
    const std::size_t rank = kernel.size();
    const auto list = [&](const char* name, std::int64_t otherwise, std::size_t size) {
        const Shape value = call.integer_list(name).value_or(Shape(size, otherwise));
        if (value.size() != size) {
            call.refuse(fmt::format("it has {} numbers for {} axes", value.size(), rank), {}, name);
        }
        return value;
    };
    ConvTransposeFields fields;
    fields.strides = list("strides", 1, rank);
    fields.dilations = list("dilations", 1, rank);
    const Shape pads = list("pads", 0, 2 * rank);
    std::int64_t count = 1;
    std::int64_t places = 1;
    Shape grid;
    for (std::size_t i = 0; i < rank && extents.size() == rank; ++i) {
        fields.before.push_back(pads[i]);
        fields.after.push_back(pads[rank + i]);
        const std::int64_t room =
            extents[i] + pads[i] + pads[rank + i] - fields.dilations[i] * (kernel[i] - 1) - 1;
        if (kernel[i] < 1 || kernel[i] > 1 << 10 || room < 0 || fields.strides[i] < 1) {
            call.refuse("its blocks do not fit its image");
        }
        grid.push_back(room / fields.strides[i] + 1);
        fields.extra.push_back(room % fields.strides[i]);  // reached by no block
        count *= kernel[i];
        places *= grid.back();
    }
    const Shape& shape = x.sample_shape();
    if (grid.empty() || shape.size() != 2 || shape[0] % count != 0 || shape[1] != places ||
        count > 1 << 12) {
        call.refuse("its columns do not fit its blocks and its image");
    }
    Tensor ones{{shape[0], 1}, {}};
    ones.shape.insert(ones.shape.end(), kernel.begin(), kernel.end());
    ones.values.assign(static_cast<std::size_t>(shape[0] * count), 0);
    for (std::int64_t i = 0; i < shape[0]; ++i) {
        ones.values[static_cast<std::size_t>(i * count + i % count)] = 1;
    }
    fields.groups = shape[0] / count;
    Shape rows = grid;
    rows.insert(rows.begin(), shape[0]);
    const Operand blocks = call.reshaped(x, std::move(rows), x.batch_axis);
    call.set(call.restore(call.emit(conv_transpose_operator, Attributes::of(fields),
                                    {blocks, Call::tensor(std::move(ones))}, x.batch_axis)
                              .front(),
                          input));
}

/// Integers times or divided by powers of two.
void bit_shift(Call& call) {
    const Operand& x = call.operand(0);
    const ElementType type = call.type(0);
    const bool left = call.text("direction", "") == "LEFT";
    const Tensor& amounts = call.constant(1, "amounts");
    if (!is_integer(type)) {
        call.refuse("the type of its input is not known");
    }
    Tensor factors = amounts;
    for (double& v : factors.values) {
        // A shift by the width or more, or by a negative number, is not defined alike everywhere.
        if (!(v >= 0) || v >= 8 || v != std::floor(v)) {
            call.refuse(fmt::format("it shifts by {}", v), "Shift by 0 to 7 bits.");
        }
        v = std::exp2(left ? v : -v);
    }
    Operand y = call.elementwise(multiply_operator, Attributes(), {x, Call::tensor(factors)}, true);
    if (left) {
        const bool narrow = type == ElementType::int8 || type == ElementType::uint8 ||
                            type == ElementType::int16 || type == ElementType::uint16;
        if (!narrow) {
            call.refuse("it shifts integers of 32 bits or more to the left",
                        "Multiply by a power of two.", "direction");
        }
        y = wrapped(call, y, type);
    } else {
        y = call.function("floor", y);
        y.is_integer = y.is_constant;
    }
    call.set(y);
}

const RuleRow rows[] = {
    {"GridSample", &grid_sample},
    {"AffineGrid", &affine_grid},
    {"DFT", &dft},
    {"STFT", &stft},
    {"HannWindow", [](Call& c) { window(c, 0.5, 0.5, 0); }},
    {"HammingWindow", [](Call& c) { window(c, 25.0 / 46, 21.0 / 46, 0); }},
    {"BlackmanWindow", [](Call& c) { window(c, 0.42, 0.5, 0.08); }},
    {"MelWeightMatrix", &mel_weights},
    {"SwiGLU", &swiglu},
    {"CenterCropPad", &center_crop_pad},
    {"RotaryEmbedding", &rotary_embedding},
    {"CausalConvWithState", &causal_conv},
    {"Col2Im", &col2im},
    {"BitShift", &bit_shift},
};

}  // namespace

std::span<const RuleRow> signal_rules() {
    return rows;
}

}  // namespace gatewright::onnx
