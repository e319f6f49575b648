#include "schedule/unsigned_sums.h"

#include <algorithm>
#include <bit>

namespace gatewright::schedule {

namespace {

using bits::Type;
using fixed::Fixed;
using linear::Addition;

/// Numbers of more bits keep their signs.
constexpr int most_bits = 100;

/// Sums that the search for few inverters may look at.
constexpr std::int64_t most_work = 20'000'000;

Int128 power(int exponent) {
    return static_cast<Int128>(1) << exponent;
}

int ones(Int128 value, int width) {
    const UInt128 kept = static_cast<UInt128>(value) & ((static_cast<UInt128>(1) << width) - 1);
    return std::popcount(static_cast<std::uint64_t>(kept)) +
           std::popcount(static_cast<std::uint64_t>(kept >> 64));
}

/// offset + u, or offset - u, with u in a range that is not negative.
struct Offset {
    Interval u;
    Int128 offset = 0;
    bool negative = false;

    int width() const { return width_for({0, u.high}); }
};

Interval range_of_u(const Interval& value, Int128 offset, bool negative) {
    return negative ? Interval{offset - value.high, offset - value.low}
                    : Interval{value.low - offset, value.high - offset};
}

/// Which bits of a sum an operand reaches.
struct Reach {
    int low = 0;
    int high = 0;  ///< one beyond

    /// Bits of this that `other` does not meet.
    int alone(const Reach& other) const {
        const int met = std::max(0, std::min(high, other.high) - std::max(low, other.low));
        return high - low - met;
    }
};

Interval times(const Interval& range, const linear::Output& output) {
    const Int128 factor = output.negate ? -power(output.shift) : power(output.shift);
    const Int128 a = range.low * factor;
    const Int128 b = range.high * factor;
    return {std::min(a, b), std::max(a, b)};
}

/// How every value is held.
class Plan {
  public:
    Plan(const linear::AdderGraph& graph, std::vector<Interval> ranges, const Following& following,
         std::size_t shared)
        : graph_(graph),
          ranges_(std::move(ranges)),
          following_(following),
          shared_(shared),
          values_(ranges_.size()),
          swapped_(graph.additions.size(), 0) {
        for (std::size_t i = 0; i < inputs(); ++i) {
            values_[i] = entered(ranges_[i]);
        }
        for (std::size_t i = 0; i < graph_.additions.size(); ++i) {
            add(i);
        }
        save_inverters();
    }

    bool compares() const { return following_.compares; }
    const Offset& value(std::size_t id) const { return values_[id]; }
    const Interval& range(std::size_t id) const { return ranges_[id]; }

    /// Of a difference, whether its first operand is the inverted one.
    struct Operands {
        bool minus_a = false;
        bool minus_b = false;
        bool invert_a = false;
        Reach at_a;
        Reach at_b;

        bool differ() const { return minus_a != minus_b; }
    };
    Operands operands(std::size_t i) const {
        const Addition& addition = graph_.additions[i];
        const Offset& a = values_[static_cast<std::size_t>(addition.a)];
        const Offset& b = values_[static_cast<std::size_t>(addition.b)];
        Operands out;
        out.minus_a = a.negative != addition.negate_a;
        out.minus_b = b.negative != addition.negate_b;
        out.at_a = {addition.shift_a, addition.shift_a + a.width()};
        out.at_b = {addition.shift_b, addition.shift_b + b.width()};
        const int alone_a = out.at_a.alone(out.at_b);
        const int alone_b = out.at_b.alone(out.at_a);
        out.invert_a = alone_a != alone_b ? alone_a < alone_b : out.minus_a;
        out.invert_a = out.invert_a != (swapped_[i] != 0);
        return out;
    }

  private:
    std::size_t inputs() const { return static_cast<std::size_t>(graph_.n_in); }

    /// A signed input with its sign inverted is larger by half its span.
    static Offset entered(const Interval& range) {
        if (range.low == range.high) {
            return {{0, 0}, range.low, false};
        }
        const Int128 half = range.low >= 0 ? 0 : power(width_for(range) - 1);
        return {{range.low + half, range.high + half}, -half, false};
    }

    /// Holds the result of addition i; returns the inverters that it needs.
    int add(std::size_t i) {
        const Addition& addition = graph_.additions[i];
        const Operands at = operands(i);
        const Int128 offset_a =
            values_[static_cast<std::size_t>(addition.a)].offset * power(addition.shift_a);
        const Int128 offset_b =
            values_[static_cast<std::size_t>(addition.b)].offset * power(addition.shift_b);
        Offset& out = values_[inputs() + i];
        out.offset =
            (addition.negate_a ? -offset_a : offset_a) + (addition.negate_b ? -offset_b : offset_b);
        out.negative = at.invert_a ? at.minus_b : at.minus_a;
        int inverters = 0;
        if (at.differ()) {
            const Reach& turned = at.invert_a ? at.at_a : at.at_b;
            const Int128 more = power(turned.high) - power(turned.low);
            out.offset += out.negative ? more : -more;
            inverters = turned.alone(at.invert_a ? at.at_b : at.at_a);
        }
        out.u = range_of_u(ranges_[inputs() + i], out.offset, out.negative);
        return inverters;
    }

    /// A constant added to u inverts where it has ones; u subtracted, where it has zeros. Where
    /// numbers are compared, a constant that is added vanishes.
    int inverters_of_output(std::size_t o) const {
        const linear::Output& output = graph_.outputs[o];
        const Offset& value = values_[static_cast<std::size_t>(output.value)];
        const Int128 follows = following_.constants.empty() ? 0 : following_.constants[o];
        const Int128 factor = output.negate ? -power(output.shift) : power(output.shift);
        const Interval range = times(ranges_[static_cast<std::size_t>(output.value)], output);
        const int width = width_for({range.low + follows, range.high + follows});
        const bool is_subtracted = value.negative != output.negate;
        if (following_.compares) {
            return is_subtracted ? width : 0;
        }
        const int set = ones(value.offset * factor + follows, width);
        return is_subtracted ? width - set : set;
    }

    /// Additions that only one output needs, by one way, are turned for the sake of that output.
    void save_inverters() {
        constexpr std::int32_t nobody = -1;
        constexpr std::int32_t many = -2;
        std::vector<std::int32_t> owner(values_.size(), nobody);
        const auto used = [&](std::int32_t value, std::int32_t by) {
            std::int32_t& of = owner[static_cast<std::size_t>(value)];
            of = of == nobody ? by : many;
        };
        for (std::size_t o = 0; o < graph_.outputs.size(); ++o) {
            if (graph_.outputs[o].value >= 0) {
                used(graph_.outputs[o].value, static_cast<std::int32_t>(o));
            }
        }
        std::vector<std::vector<std::size_t>> trees(graph_.outputs.size());
        for (std::size_t i = graph_.additions.size(); i-- > 0;) {
            const std::int32_t by = owner[inputs() + i];
            used(graph_.additions[i].a, by == nobody ? many : by);
            used(graph_.additions[i].b, by == nobody ? many : by);
            if (by >= 0 && i >= shared_) {
                trees[static_cast<std::size_t>(by)].push_back(i);
            }
        }
        for (std::size_t o = 0; o < trees.size(); ++o) {
            std::reverse(trees[o].begin(), trees[o].end());
            improve(trees[o], o);
        }
    }

    int inverters(const std::vector<std::size_t>& tree, std::size_t output) {
        int total = 0;
        for (const std::size_t i : tree) {
            total += add(i);
        }
        work_ += static_cast<std::int64_t>(tree.size());
        return total + inverters_of_output(output);
    }

    /// Turns one or two additions at a time while that saves inverters.
    void improve(const std::vector<std::size_t>& tree, std::size_t output) {
        int best = tree.empty() ? 0 : inverters(tree, output);
        bool improved = best > 0;
        const auto turned = [&](std::size_t i, std::size_t j) {
            swapped_[tree[i]] ^= 1;
            swapped_[tree[j]] ^= i != j ? 1 : 0;
        };
        while (improved && work_ < most_work) {
            improved = false;
            for (std::size_t i = 0; i < tree.size(); ++i) {
                for (std::size_t j = i; j < tree.size() && work_ < most_work; ++j) {
                    turned(i, j);
                    const int now = inverters(tree, output);
                    if (now < best) {
                        best = now;
                        improved = true;
                    } else {
                        turned(i, j);
                    }
                }
            }
        }
        if (!tree.empty()) {
            inverters(tree, output);
        }
    }

    const linear::AdderGraph& graph_;
    std::vector<Interval> ranges_;
    const Following& following_;
    std::size_t shared_;
    std::vector<Offset> values_;
    std::vector<char> swapped_;  ///< additions whose operands change places
    std::int64_t work_ = 0;
};

/// Builds what is planned.
class Sums {
  public:
    Sums(fixed::Builder& builder, const linear::AdderGraph& graph, const Plan& plan)
        : builder_(builder), graph_(graph), plan_(plan) {}

    std::vector<Fixed> run(std::span<const Fixed> x) {
        for (const Fixed& value : x) {
            const std::size_t id = values_.size();
            values_.push_back(entered(value, plan_.range(id), plan_.value(id)));
        }
        for (std::size_t i = 0; i < graph_.additions.size(); ++i) {
            values_.push_back(added(i));
        }
        std::vector<Fixed> outputs;
        for (const linear::Output& output : graph_.outputs) {
            outputs.push_back(output.value < 0 ? builder_.constant(0, 0) : left(output));
        }
        return outputs;
    }

  private:
    static Type unsigned_of(const Offset& value) {
        return {false, static_cast<std::uint8_t>(value.width())};
    }

    Fixed entered(const Fixed& x, const Interval& range, const Offset& as) {
        if (range.low == range.high) {
            return builder_.constant(0, 0);
        }
        if (as.offset == 0) {
            return x;
        }
        const Type type{false, static_cast<std::uint8_t>(width_for(range))};
        bits::Builder& bits = builder_.bits();
        return builder_.value(bits.bit_xor(x.bits, bits.constant(-as.offset), type), as.u, 0);
    }

    Fixed moved(const Fixed& u, int shift) { return builder_.align(builder_.scale(u, shift), 0); }

    /// 2^width - 1 - u: all bits inverted.
    Fixed inverted(std::int32_t id) {
        const Offset& as = plan_.value(static_cast<std::size_t>(id));
        const Int128 all = power(as.width()) - 1;
        const Fixed& u = values_[static_cast<std::size_t>(id)];
        return builder_.value(builder_.bits().bit_not(u.bits, unsigned_of(as)),
                              {all - as.u.high, all - as.u.low}, 0);
    }

    Fixed added(std::size_t i) {
        const Addition& addition = graph_.additions[i];
        const Plan::Operands at = plan_.operands(i);
        const auto operand = [&](std::int32_t id, int shift, bool invert) {
            return moved(invert ? inverted(id) : values_[static_cast<std::size_t>(id)], shift);
        };
        const Fixed a = operand(addition.a, addition.shift_a, at.differ() && at.invert_a);
        const Fixed b = operand(addition.b, addition.shift_b, at.differ() && !at.invert_a);
        return builder_.assume_range(builder_.add(a, b), plan_.value(values_.size()).u);
    }

    Fixed left(const linear::Output& output) {
        const auto id = static_cast<std::size_t>(output.value);
        const Offset& as = plan_.value(id);
        const Fixed u = moved(values_[id], output.shift);
        const Int128 factor = output.negate ? -power(output.shift) : power(output.shift);
        const Fixed offset = builder_.constant(as.offset * factor, 0);
        // Where only numbers are compared with it, it is as wide as all that u's bits could hold:
        // so its type tells that the constant can be taken away again.
        const Fixed all{u.bits, u.type, plan_.compares() ? u.type.range() : u.range};
        Fixed y =
            as.negative != output.negate ? builder_.sub(offset, all) : builder_.add(all, offset);
        if (plan_.compares()) {
            y.range = times(plan_.range(id), output);
            return y;
        }
        return builder_.assume_range(y, times(plan_.range(id), output));
    }

    fixed::Builder& builder_;
    const linear::AdderGraph& graph_;
    const Plan& plan_;
    std::vector<Fixed> values_;
};

}  // namespace

std::optional<std::vector<std::vector<Fixed>>> unsigned_sums(
    fixed::Builder& builder, const linear::AdderGraph& graph, const std::vector<Interval>& ranges,
    const Following& following, std::span<const std::vector<Fixed>> rows, std::size_t shared) {
    std::vector<Interval> all = linear::ranges_of(graph, ranges);
    int shift = 0;
    for (const Addition& addition : graph.additions) {
        shift = std::max<int>({shift, addition.shift_a, addition.shift_b});
    }
    for (const linear::Output& output : graph.outputs) {
        shift = std::max<int>(shift, output.shift);
    }
    const Int128 most = power(std::max(0, most_bits - shift));
    const auto fits = [&](const Interval& range) { return -most < range.low && range.high < most; };
    const bool all_fit =
        std::all_of(all.begin(), all.end(), fits) &&
        std::ranges::all_of(following.constants, [&](Int128 c) { return fits({c, c}); });
    if (!all_fit) {
        return std::nullopt;
    }
    const Plan plan(graph, std::move(all), following, shared);
    std::vector<std::vector<Fixed>> out;
    for (const std::vector<Fixed>& x : rows) {
        out.push_back(Sums(builder, graph, plan).run(x));
    }
    return out;
}

}  // namespace gatewright::schedule
