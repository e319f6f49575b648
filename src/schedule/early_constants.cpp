#include "schedule/early_constants.h"

#include <algorithm>
#include <utility>

namespace gatewright::schedule {

namespace {

using linear::Addition;

/// How far below an output a constant may enter.
constexpr int most_steps = 64;

/// Wider numbers keep their constants behind.
constexpr int most_bits = 100;

Int128 power(int exponent) {
    return static_cast<Int128>(1) << exponent;
}

class Search {
  public:
    Search(const linear::AdderGraph& graph, std::span<const Interval> ranges, std::size_t shared)
        : graph_(graph),
          ranges_(ranges),
          shared_(shared),
          level_(ranges.size(), 0),
          users_(ranges.size(), 0) {
        for (std::size_t i = 0; i < graph_.additions.size(); ++i) {
            const Addition& addition = graph_.additions[i];
            level_[inputs() + i] = std::max(level(addition.a), level(addition.b)) + 1;
            ++users_[static_cast<std::size_t>(addition.a)];
            ++users_[static_cast<std::size_t>(addition.b)];
        }
        for (const linear::Output& output : graph_.outputs) {
            if (output.value >= 0) {
                ++users_[static_cast<std::size_t>(output.value)];
            }
        }
        way_.resize(graph_.additions.size());
        out_.to_a.resize(graph_.additions.size());
        out_.to_b.resize(graph_.additions.size());
        out_.value.resize(ranges.size());
        out_.output.resize(graph_.outputs.size());
    }

    void add(std::size_t o, Int128 constant) {
        const linear::Output& output = graph_.outputs[o];
        const Int128 unit = power(output.shift);
        // A constant behind a negated sum is what it is subtracted from, and costs nothing more.
        if (constant == 0 || constant % unit != 0 || output.negate || !is_own(output.value)) {
            return;
        }
        const Int128 k = constant / unit;
        const Cost behind = entered(output.value, 0, k);
        if (best(output.value, k, 0) < behind) {
            enter(output.value, k);
            out_.output[o] = constant;
        }
    }

    EarlyConstants take() { return std::move(out_); }

  private:
    /// When a sum is there, and the length of the addition that its constant takes.
    using Cost = std::pair<int, int>;

    enum class Way : std::uint8_t { into_a, into_b, to_a, to_b };

    std::size_t inputs() const { return static_cast<std::size_t>(graph_.n_in); }
    int level(std::int32_t id) const { return level_[static_cast<std::size_t>(id)]; }

    /// Whether it is an addition with one user, which is of this row.
    bool is_own(std::int32_t id) const {
        return static_cast<std::size_t>(id) >= inputs() + shared_ &&
               users_[static_cast<std::size_t>(id)] == 1;
    }

    /// Of (value << shift) + k.
    Cost entered(std::int32_t id, int shift, Int128 k) const {
        const Interval& range = ranges_[static_cast<std::size_t>(id)];
        const Interval sum{range.low * power(shift) + k, range.high * power(shift) + k};
        const int low = std::max(shift, trailing_zeros(static_cast<UInt128>(k)));
        return {level(id) + 1, std::max(0, width_for(sum) - low)};
    }

    /// The best way to make an addition of one user larger by k.
    Cost best(std::int32_t id, Int128 k, int steps) {
        const std::size_t i = static_cast<std::size_t>(id) - inputs();
        const Addition& addition = graph_.additions[i];
        Cost least{level(id) + 2, 0};
        const auto look = [&](const Cost& operand, std::int32_t other, Way way) {
            const Cost cost{std::max(operand.first, level(other)) + 1, operand.second};
            if (cost < least) {
                least = cost;
                way_[i] = way;
            }
        };
        const auto look_at = [&](std::int32_t operand, int shift, bool negate, std::int32_t other,
                                 Way into, Way to) {
            const Int128 at_operand = negate ? -k : k;
            if (is_own(operand) && steps < most_steps && at_operand % power(shift) == 0) {
                look(best(operand, at_operand / power(shift), steps + 1), other, into);
            }
            look(entered(operand, shift, at_operand), other, to);
        };
        look_at(addition.a, addition.shift_a, addition.negate_a, addition.b, Way::into_a,
                Way::to_a);
        look_at(addition.b, addition.shift_b, addition.negate_b, addition.a, Way::into_b,
                Way::to_b);
        return least;
    }

    /// Goes the way that `best` has found.
    void enter(std::int32_t id, Int128 k) {
        while (true) {
            out_.value[static_cast<std::size_t>(id)] = k;
            const std::size_t i = static_cast<std::size_t>(id) - inputs();
            const Addition& addition = graph_.additions[i];
            const bool at_a = way_[i] == Way::into_a || way_[i] == Way::to_a;
            k = (at_a ? addition.negate_a : addition.negate_b) ? -k : k;
            if (way_[i] == Way::to_a || way_[i] == Way::to_b) {
                (at_a ? out_.to_a : out_.to_b)[i] = k;
                return;
            }
            k /= power(at_a ? addition.shift_a : addition.shift_b);
            id = at_a ? addition.a : addition.b;
        }
    }

    const linear::AdderGraph& graph_;
    std::span<const Interval> ranges_;
    std::size_t shared_;
    std::vector<int> level_;
    std::vector<int> users_;
    std::vector<Way> way_;
    EarlyConstants out_;
};

}  // namespace

EarlyConstants early_constants(const linear::AdderGraph& graph, std::span<const Interval> ranges,
                               const Constants& constants, std::size_t shared) {
    Search search(graph, ranges, shared);
    int shift = 0;
    for (const Addition& addition : graph.additions) {
        shift = std::max<int>({shift, addition.shift_a, addition.shift_b});
    }
    const Int128 most = power(std::max(0, most_bits - shift));
    const auto fits = [&](Int128 value) { return -most < value && value < most; };
    const bool all_fit = std::ranges::all_of(
        ranges, [&](const Interval& range) { return fits(range.low) && fits(range.high); });
    for (std::size_t o = 0; all_fit && o < constants.size(); ++o) {
        if (constants[o] && fits(*constants[o]) && graph.outputs[o].value >= 0) {
            search.add(o, *constants[o]);
        }
    }
    return search.take();
}

}  // namespace gatewright::schedule
