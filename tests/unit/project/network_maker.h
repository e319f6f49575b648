#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "network_recipe.h"
#include "operators/layers.h"
#include "operators/map.h"

/// Makes networks of recipes; see network_recipe.h.
namespace gatewright::network_recipe {

namespace ops = operators;
using network::Attributes;
using network::Network;
using network::Operator;
using network::Value;

/// splitmix64: the same everywhere, unlike the distributions of the standard library.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    /// low .. high
    std::int64_t in(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
    }
    bool one_in(std::int64_t n) { return in(1, n) == 1; }
    template <class T>
    T of(std::initializer_list<T> list) {
        return list.begin()[in(0, static_cast<std::int64_t>(list.size()) - 1)];
    }

  private:
    std::uint64_t state_;
};

/// A tensor of the network under construction; `bits` estimates the width of its integers, so that
/// products do not grow beyond what outputs may have.
struct Made {
    Value value;
    Shape shape;
    int bits = 0;
};

class Maker {
  public:
    explicit Maker(const Recipe& recipe) : recipe_(recipe), random_(recipe.seed) {}

    Network run() {
        network_.name = "random";
        for (int i = 0; i < recipe_.inputs; ++i) {
            Shape shape;
            for (int axis = 0; axis < recipe_.rank; ++axis) {
                shape.push_back(random_.in(2, recipe_.extent));
            }
            const std::string name = "x" + std::to_string(i);
            const Value x = network_.add_input(name, {shape, std::nullopt}, at(name));
            made_.push_back(quantised({x, shape, 60}));
        }
        int number = 0;
        for (const Layer& layer : recipe_.layers) {
            random_ = Random(layer.seed);
            layer_ = fmt::format("layer{}", number++);
            const std::size_t recent = std::min<std::size_t>(made_.size(), 3);
            add(layer.kind, made_[made_.size() - 1 - layer.from % recent]);
        }
        random_ = Random(recipe_.seed + 1);
        network_.set_output("y0", made_.back().value);
        for (int i = 1; i < recipe_.outputs; ++i) {
            const auto which = random_.in(0, static_cast<std::int64_t>(made_.size()) - 1);
            network_.set_output("y" + std::to_string(i),
                                made_[static_cast<std::size_t>(which)].value);
        }
        return std::move(network_);
    }

  private:
    Location at(const std::string& layer) const { return {"model", layer, "Random", ""}; }

    Value add(const Operator& op, Attributes attributes, std::vector<Value> inputs) {
        return network_.add(op, std::move(attributes), std::move(inputs), at(layer_));
    }

    Value constant(Shape shape, std::vector<double> values) {
        return add(network::constant_operator,
                   Attributes::of(network::ConstantFields{{std::move(shape), std::move(values)}}),
                   {});
    }

    /// Mostly exact sums, else an accumulator that rounds, overflows, both or neither.
    ops::Accumulation accumulation() {
        if (!random_.one_in(4)) {
            return {};
        }
        const bool is_signed = !random_.one_in(4);
        return {
            {is_signed, static_cast<int>(random_.in(2, 14)), static_cast<int>(random_.in(-1, 7))},
            random_.of({Rounding::floor, Rounding::ceil, Rounding::toward_zero, Rounding::away,
                        Rounding::half_up, Rounding::half_down, Rounding::half_even,
                        Rounding::half_away, Rounding::half_zero}),
            random_.of({Overflow::wrap, Overflow::wrap, Overflow::saturate,
                        Overflow::saturate_symmetric})};
    }

    template <class F>
    Tensor tensor(Shape shape, F value) {
        Tensor out{std::move(shape), {}};
        for (std::int64_t e = 0; e < element_count(out.shape); ++e) {
            out.values.push_back(value());
        }
        return out;
    }
    template <class F>
    Value constant_of(Shape shape, F value) {
        Tensor t = tensor(std::move(shape), value);
        return constant(t.shape, t.values);
    }

    double scale() {
        return random_.one_in(8) ? random_.of({0.1, 0.3, 1.0 / 3, 0.7})
                                 : random_.of({0.125, 0.25, 0.5, 1.0, 2.0, 0.75, 1.5, 0.625, 3.0});
    }

    /// One value for all, or one for each position of an axis.
    Shape parameter_shape(const Shape& x) {
        if (x.empty() || !random_.one_in(3)) {
            return {};
        }
        Shape shape(x.size(), 1);
        const auto axis =
            static_cast<std::size_t>(random_.in(0, static_cast<std::int64_t>(x.size()) - 1));
        shape[axis] = x[axis];
        return shape;
    }

    Made quantised(const Made& x) {
        ops::FakeQuantizeFields f;
        const int bits = static_cast<int>(random_.in(1, 5));
        f.scale = tensor(parameter_shape(x.shape), [&] { return scale(); });
        const bool is_signed = !random_.one_in(3);
        double low = is_signed ? -static_cast<double>(1 << (bits - 1)) : 0;
        double high = static_cast<double>((1 << (is_signed ? bits - 1 : bits)) - 1);
        f.overflow = random_.one_in(5) ? Overflow::wrap : Overflow::saturate;
        if (f.overflow == Overflow::saturate) {
            if (random_.one_in(4) && is_signed && bits > 1) {
                low = -high;
            } else if (random_.one_in(6)) {
                low = static_cast<double>(random_.in(-9, 3));
                high = low + static_cast<double>(random_.in(0, 12));
            }
        }
        f.low = Tensor::scalar(low);
        f.high = Tensor::scalar(high);
        f.zero_point = tensor(random_.one_in(4) ? parameter_shape(x.shape) : Shape{}, [&] {
            return random_.one_in(3)
                       ? static_cast<double>(random_.in(static_cast<std::int64_t>(low),
                                                        static_cast<std::int64_t>(high)))
                       : 0.0;
        });
        f.rounding =
            random_.of({Rounding::floor, Rounding::ceil, Rounding::toward_zero, Rounding::away,
                        Rounding::half_up, Rounding::half_down, Rounding::half_even,
                        Rounding::half_even, Rounding::half_away, Rounding::half_zero});
        return {add(ops::fake_quantize_operator, Attributes::of(f), {x.value}), x.shape, bits + 2};
    }

    /// Keeps a tensor; one whose integers have grown wide is quantised first.
    void keep(Made made) {
        if (element_count(made.shape) > 40) {
            return;
        }
        made_.push_back(made.bits > 22 ? quantised(made) : std::move(made));
    }

    void keep(Value value, int bits) { keep({value, network_.type(value).shape, bits}); }

    Value function(const char* name, const std::vector<Value>& inputs) {
        return add(ops::function_operator, Attributes::of(ops::FunctionFields{name}), inputs);
    }

    Value small_constant(const Shape& shape, std::int64_t range, double step) {
        return constant_of(shape,
                           [&] { return static_cast<double>(random_.in(-range, range)) * step; });
    }

    Made other() {
        return made_[static_cast<std::size_t>(
            random_.in(0, static_cast<std::int64_t>(made_.size()) - 1))];
    }

    void add(Kind kind, const Made x);
    /// Layers that compare, choose, read and write at positions, pad and accumulate.
    void add_choice(Kind kind, const Made& x);
    Value truths(const Made& x, const Made& y);
    Value positions(const Shape& shape, std::int64_t extent, bool wrap, const std::string& outside);
    void recurrence(const Made& x);

    const Recipe& recipe_;
    Random random_;
    Network network_;
    std::vector<Made> made_;
    std::string layer_ = "input";
};

}  // namespace gatewright::network_recipe
