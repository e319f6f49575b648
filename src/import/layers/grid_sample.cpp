#include "import/layers/grid_sample.h"

#include <fmt/format.h>

#include <optional>

#include "operators/layers.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::layers {

namespace {

using Mode = GridSampling::Mode;
using Outside = GridSampling::Outside;

/// An element near a position: its index along each axis, and what it counts.
struct Tap {
    std::vector<Operand> index;
    std::vector<Operand> weights;
};

class Sampler {
  public:
    Sampler(Builder& builder, const Operand& x, const Operand& grid, const GridSampling& sampling)
        : builder_(builder), sampling_(sampling), extents_(x.sample_shape()) {
        channels_ = extents_.front();
        extents_.erase(extents_.begin());
        positions_ = grid.sample_shape();
        positions_.pop_back();
        // A ring of zeros, on which all positions outside fall.
        operators::PadFields ring;
        ring.before.assign(extents_.size() + 1, 1);
        ring.before.front() = 0;
        ring.after = ring.before;
        std::int64_t count = 1;
        for (std::int64_t& extent : extents_) {
            count *= extent + 2;
        }
        const int batch = x.batch_axis >= 0 ? 0 : -1;
        x_ = builder.emit(operators::pad_operator, Attributes::of(ring), {x}, batch).front();
        x_ = builder.reshaped(x_, {channels_, count}, batch);
    }

    Operand run(const Operand& grid) {
        const auto axes = static_cast<std::int64_t>(extents_.size());
        std::vector<Tap> taps = {{}};
        for (std::int64_t axis = 0; axis < axes; ++axis) {
            const Operand at = builder_.selected(grid, static_cast<std::int64_t>(positions_.size()),
                                                 axes - 1 - axis);
            const auto line = taps_of(at, extents_[static_cast<std::size_t>(axis)]);
            std::vector<Tap> next;
            for (const Tap& tap : taps) {
                for (const auto& [index, weight] : line) {
                    Tap both = tap;
                    both.index.push_back(index);
                    if (weight) {
                        both.weights.push_back(*weight);
                    }
                    next.push_back(std::move(both));
                }
            }
            taps = std::move(next);
        }
        std::optional<Operand> sum;
        for (const Tap& tap : taps) {
            const Operand term = value_of(tap);
            sum = sum ? builder_.add(*sum, term) : term;
        }
        return *sum;
    }

  private:
    Operand line(const Operand& x, double scale, double offset) {
        return builder_.function("affine", x, {Builder::number(scale), Builder::number(offset)});
    }
    Operand clipped(const Operand& x, double low, double high) {
        return builder_.minimum(builder_.maximum(x, Builder::number(low)), Builder::number(high));
    }

    /// Positions mirrored at the ends, then within [0, extent - 1].
    Operand reflected(const Operand& x, std::int64_t extent) {
        const auto size = static_cast<double>(extent);
        const double low = sampling_.align_corners ? 0 : -0.5;
        const double span = sampling_.align_corners ? size - 1 : size;
        if (span == 0) {
            return line(x, 0, 0);
        }
        const Operand distance = builder_.function("absolute", line(x, 1, -low));
        const Operand rounds = builder_.function("floor", line(distance, 1 / (2 * span), 0));
        const Operand rest = builder_.subtract(distance, line(rounds, 2 * span, 0));
        const Operand y = line(builder_.function("absolute", line(rest, 1, -span)), -1, low + span);
        return clipped(y, 0, size - 1);
    }

    Operand inside(const Operand& x, std::int64_t extent) {
        switch (sampling_.outside) {
            case Outside::border:
                return clipped(x, 0, static_cast<double>(extent - 1));
            case Outside::reflection:
                return reflected(x, extent);
            default:
                return x;
        }
    }

    using Taps = std::vector<std::pair<Operand, std::optional<Operand>>>;

    Taps taps_of(const Operand& at, std::int64_t extent) {
        const auto size = static_cast<double>(extent);
        const Operand x = sampling_.align_corners ? line(at, (size - 1) / 2, (size - 1) / 2)
                                                  : line(at, size / 2, (size - 1) / 2);
        if (sampling_.mode == Mode::cubic) {
            return cubic_taps(x, extent);
        }
        const Operand y = inside(x, extent);
        if (sampling_.mode == Mode::nearest) {
            return {{builder_.function("round", y), std::nullopt}};
        }
        const Operand first = builder_.function("floor", y);
        const Operand rest = builder_.subtract(y, first);
        return {{first, line(rest, -1, 1)}, {line(first, 1, 1), rest}};
    }

    Taps cubic_taps(const Operand& x, std::int64_t extent) {
        constexpr double a = -0.75;
        const Operand first = builder_.function("floor", x);
        const Operand t = builder_.subtract(x, first);
        // Near the centre (a + 2) d^3 - (a + 3) d^2 + 1, then a d^3 - 5 a d^2 + 8 a d - 4 a.
        const auto near = [&](const Operand& d) {
            const Operand inner = line(d, a + 2, -(a + 3));
            return line(builder_.multiply(builder_.multiply(inner, d), d), 1, 1);
        };
        const auto far = [&](const Operand& d) {
            const Operand inner = line(builder_.multiply(line(d, a, -5 * a), d), 1, 8 * a);
            return line(builder_.multiply(inner, d), 1, -4 * a);
        };
        const Operand back = line(t, -1, 1);
        const auto tap = [&](double step) { return inside(line(first, 1, step), extent); };
        return {{tap(-1), far(line(t, 1, 1))},
                {tap(0), near(t)},
                {tap(1), near(back)},
                {tap(2), far(line(back, 1, 1))}};
    }

    /// The elements at a tap's positions times its weights.
    Operand value_of(const Tap& tap) {
        std::optional<Operand> flat;
        for (std::size_t i = 0; i < extents_.size(); ++i) {
            const auto extent = static_cast<double>(extents_[i]);
            const Operand at = line(clipped(tap.index[i], -1, extent), 1, 1);
            flat = flat ? builder_.add(line(*flat, extent + 2, 0), at) : at;
        }
        Operand value = read(*flat);
        for (const Operand& weight : tap.weights) {
            Shape shape = weight.sample_shape();
            shape.insert(shape.begin(), 1);
            value = builder_.multiply(
                value, builder_.reshaped(weight, std::move(shape), weight.batch_axis));
        }
        return value;
    }

    /// Constant positions are a move.
    Operand read(const Operand& flat) {
        const int batch = x_.batch_axis >= 0 || flat.batch_axis >= 0 ? 0 : -1;
        if (!flat.is_constant || x_.is_constant) {
            return builder_
                .emit(operators::gather_operator,
                      Attributes::of(operators::GatherFields{1, false, "clamp"}), {x_, flat}, batch)
                .front();
        }
        operators::IndexFields fields;
        fields.shape = positions_;
        fields.shape.insert(fields.shape.begin(), channels_);
        for (std::int64_t c = 0; c < channels_; ++c) {
            for (const double v : flat.constant.values) {
                fields.index.values.push_back(c * x_.sample_shape()[1] +
                                              static_cast<std::int64_t>(v));
            }
        }
        fields.index.shape = {static_cast<std::int64_t>(fields.index.values.size())};
        return builder_
            .emit(operators::index_operator, Attributes::of(std::move(fields)), {x_}, batch)
            .front();
    }

    Builder& builder_;
    const GridSampling& sampling_;
    Shape extents_;  ///< spatial ones of x
    std::int64_t channels_ = 0;
    Shape positions_;
    Operand x_;  ///< [channels, elements with the ring]
};

}  // namespace

Operand grid_sampled(Builder& builder, const Operand& x, const Operand& grid,
                     const GridSampling& sampling) {
    const Shape& image = x.sample_shape();
    const Shape& at = grid.sample_shape();
    const bool sound = image.size() >= 2 && at.size() == image.size() &&
                       at.back() == static_cast<std::int64_t>(image.size()) - 1 &&
                       element_count(image) > 0 && element_count(at) > 0;
    if (!sound || x.batch_axis > 0 || grid.batch_axis > 0) {
        builder.refuse(fmt::format("a grid of shape {} does not fit an image of shape {}",
                                   to_string(at), to_string(image)));
    }
    if (sampling.mode == Mode::cubic && image.size() != 3) {
        builder.refuse("cubic kernels are of two axes", "Use linear ones.", "mode");
    }
    return Sampler(builder, x, grid, sampling).run(grid);
}

Operand affine_grid(Builder& builder, const Operand& theta, const Shape& extents,
                    bool align_corners) {
    const auto axes = static_cast<std::int64_t>(extents.size());
    if (theta.sample_shape() != Shape{axes, axes + 1}) {
        builder.refuse(fmt::format("a map of shape {} does not fit {} axes",
                                   to_string(theta.sample_shape()), axes));
    }
    const std::int64_t count = element_count(extents);
    // Homogeneous coordinates of all positions, of the last axis first.
    Tensor base{{count, axes + 1}, {}};
    const Shape strides = strides_of(extents);
    for (std::int64_t e = 0; e < count; ++e) {
        for (std::int64_t i = axes - 1; i >= 0; --i) {
            const auto size = static_cast<double>(extents[static_cast<std::size_t>(i)]);
            const auto at = static_cast<double>(e / strides[static_cast<std::size_t>(i)] %
                                                extents[static_cast<std::size_t>(i)]);
            const double wide = size > 1 ? 2 * at / (size - 1) - 1 : 0;
            base.values.push_back(align_corners ? wide : (2 * at + 1) / size - 1);
        }
        base.values.push_back(1);
    }
    const int batch = theta.batch_axis >= 0 ? 0 : -1;
    const Operand maps = builder.transposed(theta, {1, 0}, batch);
    const Operand y = builder.matmul(Builder::tensor(std::move(base)), maps);
    Shape shape = extents;
    shape.push_back(axes);
    return builder.reshaped(y, std::move(shape), batch);
}

}  // namespace gatewright::layers
