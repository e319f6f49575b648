#include "import/layers/spectrum.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "import/layers/sample.h"
#include "operators/layers.h"

namespace gatewright::layers {

namespace {

/// e^(2 pi i k n / length)
struct Turn {
    double cosine = 1;
    double sine = 0;
};

Turn turn(std::int64_t k, std::int64_t n, std::int64_t length) {
    const std::int64_t rest = k % length * (n % length) % length;
    if (rest * 4 % length == 0) {  // quarters are exact
        const double cosines[] = {1, 0, -1, 0};
        const double sines[] = {0, 1, 0, -1};
        const auto quarter = static_cast<std::size_t>(rest * 4 / length);
        return {cosines[quarter], sines[quarter]};
    }
    const double angle =
        2 * std::numbers::pi * static_cast<double>(rest) / static_cast<double>(length);
    return {std::cos(angle), std::sin(angle)};
}

struct Matrices {
    Tensor cosine;  ///< [in, out]
    Tensor sine;
};

Matrices matrices_of(std::int64_t in, std::int64_t out, const Transform& t) {
    Matrices m{{{in, out}, {}}, {{in, out}, {}}};
    const bool halves = t.inverse && t.onesided;
    const std::int64_t used = halves ? t.length / 2 + 1 : t.length;
    for (std::int64_t n = 0; n < in; ++n) {
        double scale = n < used ? 1 : 0;
        if (t.inverse) {
            // The other half of the frequencies mirrors this one.
            const bool alone = n == 0 || 2 * n == t.length;
            scale *= (halves && !alone ? 2.0 : 1.0) / static_cast<double>(t.length);
        }
        for (std::int64_t k = 0; k < out; ++k) {
            const Turn at = turn(k, n, t.length);
            m.cosine.values.push_back(scale * at.cosine);
            m.sine.values.push_back((t.inverse ? scale : -scale) * at.sine);
        }
    }
    return m;
}

}  // namespace

Operand fourier(Builder& builder, const Operand& input, std::int64_t axis,
                const Transform& transform) {
    const Operand x = in_front(input);
    const Shape& shape = x.sample_shape();
    const auto last = static_cast<std::int64_t>(shape.size()) - 1;
    const std::int64_t parts = shape.empty() ? 0 : shape.back();
    const std::int64_t in = axis >= 0 && axis < last ? shape[static_cast<std::size_t>(axis)] : 0;
    constexpr std::int64_t most = 1 << 14;  // matrices, which a fast transform would not need
    if (in < 1 || in > most || transform.length < 1 || transform.length > most ||
        (parts != 1 && parts != 2)) {
        builder.refuse("its axis, its length or its last extent is out of range");
    }
    const bool real_result = transform.inverse && transform.onesided;
    const std::int64_t out =
        transform.onesided && !transform.inverse ? transform.length / 2 + 1 : transform.length;
    const Matrices m = matrices_of(in, out, transform);
    const Operand real = builder.selected(x, last, 0);
    Operand y_real = weighted(builder, real, axis, m.cosine);
    Operand y_imaginary = weighted(builder, real, axis, m.sine);
    if (parts == 2) {
        const Operand imaginary = builder.selected(x, last, 1);
        y_real = builder.subtract(y_real, weighted(builder, imaginary, axis, m.sine));
        y_imaginary = builder.add(y_imaginary, weighted(builder, imaginary, axis, m.cosine));
    }
    const Operand y = real_result ? builder.stacked({y_real}, last)
                                  : builder.stacked({y_real, y_imaginary}, last);
    return batched_as(y, input);
}

Operand frame_spectra(Builder& builder, const Operand& x, const std::vector<double>& window,
                      std::int64_t step, bool onesided) {
    const auto length = static_cast<std::int64_t>(window.size());
    const Shape& shape = x.sample_shape();
    if (shape.size() != 1 || length < 1 || length > shape[0] || length > 1 << 14 || step < 1) {
        builder.refuse("its frames do not fit the signal");
    }
    // A convolution: one output channel for each part of a frequency.
    const std::int64_t count = onesided ? length / 2 + 1 : length;
    const Matrices m = matrices_of(length, count, {length, false, onesided});
    Tensor kernels{{2 * count, 1, length}, {}};
    for (const Tensor* part : {&m.cosine, &m.sine}) {
        for (std::int64_t k = 0; k < count; ++k) {
            for (std::int64_t n = 0; n < length; ++n) {
                kernels.values.push_back(window[static_cast<std::size_t>(n)] *
                                         part->values[static_cast<std::size_t>(n * count + k)]);
            }
        }
    }
    const int batch = x.batch_axis >= 0 ? 0 : -1;
    const Operand signal = builder.reshaped(x, {1, shape[0]}, batch);
    operators::ConvFields fields;
    fields.strides = {step};
    fields.dilations = {1};
    fields.before = {0};
    fields.after = {0};
    const Operand y = builder
                          .emit(operators::conv_operator, Attributes::of(std::move(fields)),
                                {signal, Builder::tensor(std::move(kernels))}, batch)
                          .front();
    const std::int64_t frames = y.sample_shape()[1];
    return builder.transposed(builder.reshaped(y, {2, count, frames}, batch), {2, 1, 0}, batch);
}

}  // namespace gatewright::layers
