#include "schedule/bit_groups.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "passes/cells.h"
#include "passes/merged_sums.h"
#include "passes/timing.h"
#include "schedule/graph_sums.h"
#include "schedule/ternary_trees.h"

namespace gatewright::schedule {

namespace {

using fixed::Fixed;
using linear::AdderGraph;
using linear::Addition;
using linear::Matrix;
using linear::Output;

constexpr int most_input_bits = 2;

/// Larger weights are left alone.
constexpr std::int64_t largest_weight = std::int64_t{1} << 40;

/// Weights looked at while inputs are sorted into groups.
constexpr std::int64_t most_work = 400'000'000;

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

Int128 power(int exponent) {
    return static_cast<Int128>(1) << exponent;
}

// Groups of inputs.

/// A column's weights on a group: sign and power of two taken out.
struct Pattern {
    std::vector<std::int64_t> weights;
    int shift = 0;
    bool negative = false;
};

Pattern pattern_of(std::vector<std::int64_t> weights) {
    std::int64_t all = 0;
    Pattern out;
    for (const std::int64_t weight : weights) {
        out.negative = all == 0 && weight != 0 ? weight < 0 : out.negative;
        all |= weight;
    }
    if (all == 0) {
        return {};
    }
    out.shift = trailing_zeros(static_cast<UInt128>(all));
    for (std::int64_t& weight : weights) {
        weight = (out.negative ? -weight : weight) / (std::int64_t{1} << out.shift);
    }
    out.weights = std::move(weights);
    return out;
}

/// Sorts inputs into groups of at most `bits` bits, of few different patterns: each takes the input
/// next that adds the fewest.
class Grouping {
  public:
    Grouping(const Matrix& matrix, const std::vector<Interval>& ranges, int bits)
        : matrix_(matrix), ranges_(ranges), bits_(bits) {
        for (std::int64_t i = 0; i < matrix.n_in; ++i) {
            const Interval& range = ranges[index(i)];
            bool is_used = false;
            for (std::int64_t o = 0; o < matrix.n_out; ++o) {
                is_used = is_used || matrix.at(i, o) != 0;
            }
            if (is_used && range.low < range.high &&
                width_for(range) <= std::min(most_input_bits, bits / 2)) {
                left_.push_back(static_cast<std::int32_t>(i));
            }
        }
        const std::int64_t steps = std::max<std::int64_t>(
            1, static_cast<std::int64_t>(left_.size()) * std::max<std::int64_t>(matrix.n_out, 1));
        window_ = index(std::max<std::int64_t>(8, most_work / steps));
    }

    std::vector<std::vector<std::int32_t>> run() {
        std::vector<std::vector<std::int32_t>> groups;
        while (!left_.empty()) {
            groups.push_back(next());
        }
        std::erase_if(groups, [](const auto& group) { return group.size() < 2; });
        return groups;
    }

  private:
    int width(std::int32_t input) const { return width_for(ranges_[index(input)]); }

    std::vector<std::int32_t> next() {
        std::vector<std::int32_t> group;
        // Of each column, which pattern it has so far, and the sign of its first weight.
        pattern_.assign(index(matrix_.n_out), 0);
        sign_.assign(index(matrix_.n_out), 0);
        int room = bits_;
        const auto take = [&](std::size_t at) {
            const std::int32_t input = left_[at];
            group.push_back(input);
            room -= width(input);
            left_.erase(left_.begin() + static_cast<std::ptrdiff_t>(at));
            extend(input);
        };
        take(0);
        while (true) {
            std::size_t best = left_.size();
            int fewest = std::numeric_limits<int>::max();
            for (std::size_t k = 0; k < std::min(left_.size(), window_); ++k) {
                if (width(left_[k]) > room) {
                    continue;
                }
                if (const int count = patterns_with(left_[k]); count < fewest) {
                    fewest = count;
                    best = k;
                }
            }
            if (best == left_.size()) {
                return group;
            }
            take(best);
        }
    }

    using Key = std::pair<std::int32_t, std::int64_t>;

    Key key(std::int32_t input, std::int64_t o) const {
        const std::int64_t weight = matrix_.at(input, o);
        const bool negative = sign_[index(o)] == 0 ? weight < 0 : sign_[index(o)] < 0;
        return {pattern_[index(o)], negative ? -weight : weight};
    }

    int patterns_with(std::int32_t input) {
        keys_.clear();
        for (std::int64_t o = 0; o < matrix_.n_out; ++o) {
            keys_.push_back(key(input, o));
        }
        std::ranges::sort(keys_);
        return static_cast<int>(keys_.size() - std::ranges::unique(keys_).size());
    }

    void extend(std::int32_t input) {
        std::map<Key, std::int32_t> numbers{{{0, 0}, 0}};  // pattern 0: no weight at all
        std::vector<std::int32_t> now;
        for (std::int64_t o = 0; o < matrix_.n_out; ++o) {
            const auto next = static_cast<std::int32_t>(numbers.size());
            now.push_back(numbers.try_emplace(key(input, o), next).first->second);
        }
        for (std::int64_t o = 0; o < matrix_.n_out; ++o) {
            const std::int64_t weight = matrix_.at(input, o);
            if (sign_[index(o)] == 0 && weight != 0) {
                sign_[index(o)] = weight < 0 ? -1 : 1;
            }
        }
        pattern_ = std::move(now);
    }

    const Matrix& matrix_;
    const std::vector<Interval>& ranges_;
    const int bits_;
    std::size_t window_ = 0;
    std::vector<std::int32_t> left_;
    std::vector<std::int32_t> pattern_;
    std::vector<int> sign_;
    std::vector<Key> keys_;
};

/// The groups, and the matrix from them to the outputs.
struct Grouped {
    GroupedGraph form;
    Matrix matrix;
};

Interval range_of(const BitGroup& group, const std::vector<Interval>& ranges) {
    Interval out{0, 0};
    for (std::size_t k = 0; k < group.inputs.size(); ++k) {
        const Interval& range = ranges[index(group.inputs[k])];
        const Int128 weight = group.weights[k];
        out.low += weight * (weight > 0 ? range.low : range.high);
        out.high += weight * (weight > 0 ? range.high : range.low);
    }
    return out;
}

std::optional<Grouped> group_inputs(const Matrix& matrix, const std::vector<Interval>& ranges,
                                    int bits) {
    using Row = std::vector<std::int64_t>;
    if (!std::ranges::all_of(matrix.weights, [](std::int64_t weight) {
            return -largest_weight < weight && weight < largest_weight;
        })) {
        return std::nullopt;
    }
    const Row none(index(matrix.n_out), 0);
    std::map<std::int32_t, Row> alone;
    Grouped out;
    std::vector<Row> rows;
    std::vector<char> is_grouped(index(matrix.n_in), 0);
    for (const auto& inputs : Grouping(matrix, ranges, bits).run()) {
        std::map<Row, std::size_t> found;
        for (const std::int32_t input : inputs) {
            is_grouped[index(input)] = 1;
        }
        for (std::int64_t o = 0; o < matrix.n_out; ++o) {
            Row weights;
            for (const std::int32_t input : inputs) {
                weights.push_back(matrix.at(input, o));
            }
            const Pattern pattern = pattern_of(std::move(weights));
            const auto count =
                std::ranges::count_if(pattern.weights, [](auto w) { return w != 0; });
            if (count == 0) {
                continue;
            }
            const std::int64_t unit =
                (pattern.negative ? -1 : 1) * (std::int64_t{1} << pattern.shift);
            if (count == 1) {
                const auto at =
                    std::ranges::find_if(pattern.weights, [](auto w) { return w != 0; });
                const std::int32_t input = inputs[index(at - pattern.weights.begin())];
                alone.try_emplace(input, none).first->second[index(o)] = matrix.at(input, o);
                continue;
            }
            const auto [place, is_new] = found.try_emplace(pattern.weights, rows.size());
            if (is_new) {
                rows.push_back(none);
                BitGroup& group = out.form.groups.emplace_back();
                for (std::size_t k = 0; k < inputs.size(); ++k) {
                    if (pattern.weights[k] != 0) {
                        group.inputs.push_back(inputs[k]);
                        group.weights.push_back(pattern.weights[k]);
                    }
                }
            }
            rows[place->second][index(o)] = unit;
        }
    }
    if (out.form.groups.empty()) {
        return std::nullopt;
    }
    for (std::int64_t i = 0; i < matrix.n_in; ++i) {
        if (is_grouped[index(i)] == 0) {
            Row& row = alone.try_emplace(static_cast<std::int32_t>(i), none).first->second;
            for (std::int64_t o = 0; o < matrix.n_out; ++o) {
                row[index(o)] = matrix.at(i, o);
            }
        }
    }
    const auto append = [&](const Row& row, const Interval& range) {
        out.matrix.weights.insert(out.matrix.weights.end(), row.begin(), row.end());
        out.form.ranges.push_back(range);
        ++out.matrix.n_in;
    };
    out.matrix.n_out = matrix.n_out;
    for (const auto& [input, row] : alone) {
        out.form.alone.push_back(input);
        append(row, ranges[index(input)]);
    }
    for (std::size_t k = 0; k < rows.size(); ++k) {
        append(rows[k], range_of(out.form.groups[k], ranges));
    }
    return out;
}

// Tables.

/// Some bits, and the sum that they stand for.
struct Part {
    bits::NodeId address = 0;
    int bits = 0;
    std::vector<Int128> sums;  ///< [address]
};

class Tables {
  public:
    Tables(fixed::Builder& builder, std::span<const Fixed> x, int lut_inputs)
        : builder_(builder), bits_(builder.bits()), x_(x), lut_inputs_(lut_inputs) {}

    Fixed sum(const BitGroup& group) {
        std::vector<Part> parts;
        int bits = 0;
        for (std::size_t k = 0; k < group.inputs.size(); ++k) {
            parts.push_back(input(x_[index(group.inputs[k])], group.weights[k]));
            bits += parts.back().bits;
        }
        if (bits > lut_inputs_) {
            // Halves are told by numbers of their sums, which halves of other groups share.
            std::vector<Part> halves;
            const auto middle = parts.begin() + static_cast<std::ptrdiff_t>((parts.size() + 1) / 2);
            halves.push_back(numbered(joined({parts.begin(), middle})));
            halves.push_back(numbered(joined({middle, parts.end()})));
            parts = std::move(halves);
        }
        const Part all = joined(parts);
        const auto [low, high] = std::ranges::minmax(all.sums);
        const bits::Type type = type_of({low, high});
        const int table = bits_.table("sum", type, all.sums);
        return builder_.value(bits_.read(table, all.address, type), {low, high}, 0);
    }

  private:
    static bits::Type type_of(const Interval& range) {
        return {range.low < 0, static_cast<std::uint8_t>(width_for(range))};
    }

    /// A signed input has its sign inverted, which makes it larger by half its span.
    Part input(const Fixed& x, std::int64_t weight) {
        Part out{x.bits, x.type.width, {}};
        const bits::Type type{false, static_cast<std::uint8_t>(x.type.width)};
        Int128 half = 0;
        if (x.type.is_signed) {
            half = power(x.type.width - 1);
            out.address = bits_.bit_xor(x.bits, bits_.constant(half), type);
        }
        for (Int128 address = 0; address < power(out.bits); ++address) {
            out.sums.push_back(weight * std::clamp(address - half, x.range.low, x.range.high));
        }
        return out;
    }

    Part joined(const std::vector<Part>& parts) {
        Part out{bits_.constant(0), 0, {0}};
        for (const Part& part : parts) {
            std::vector<Int128> sums;
            for (const Int128 high : part.sums) {
                for (const Int128 low : out.sums) {
                    sums.push_back(high + low);
                }
            }
            const bits::Type type{false, static_cast<std::uint8_t>(out.bits + part.bits)};
            out.address = bits_.bit_or(out.address, bits_.shl(part.address, out.bits, type), type);
            out.bits += part.bits;
            out.sums = std::move(sums);
        }
        return out;
    }

    /// The sums by their numbers, if these have fewer bits.
    Part numbered(const Part& part) {
        const bool turned = part.sums.size() > 1 && part.sums[1] < part.sums[0];
        std::vector<Int128> distinct = part.sums;
        std::ranges::sort(distinct);
        distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
        const int bits = bit_length(static_cast<UInt128>(distinct.size() - 1));
        if (bits >= part.bits) {
            return part;
        }
        if (turned) {  // so that the opposite sum has the same numbers
            std::ranges::reverse(distinct);
        }
        std::vector<Int128> words;
        for (const Int128 sum : part.sums) {
            words.push_back(std::ranges::find(distinct, sum) - distinct.begin());
        }
        const bits::Type type{false, static_cast<std::uint8_t>(bits)};
        const int table = bits_.table("number", type, words);
        distinct.resize(std::size_t{1} << bits, distinct.back());
        return {bits_.read(table, part.address, type), bits, std::move(distinct)};
    }

    fixed::Builder& builder_;
    bits::Builder& bits_;
    std::span<const Fixed> x_;
    const int lut_inputs_;
};

// The choice.

struct Cost {
    std::int64_t luts = 0;
    int path = 0;
};

/// Of a form that `make` builds from inputs.
template <class Make>
Cost cost_of(const std::vector<Interval>& ranges, const passes::DelayModel& delays, Make&& make) {
    bits::Builder nodes("sums");
    fixed::Builder builder(nodes);
    std::vector<Fixed> x;
    for (const Interval& range : ranges) {
        x.push_back(builder.input("x", type_for(range, 0), range));
    }
    const std::vector<Fixed> y = make(builder, x);
    for (const Fixed& value : y) {
        nodes.output("y", value.bits);
    }
    const bits::Function function = nodes.take();
    const std::vector<std::int32_t> stage(function.nodes.size(), 0);
    const std::vector<char> merged =
        delays.ternary_ps != 0 ? passes::merged_sums(function) : std::vector<char>();
    const passes::TimingGraph graph(function, delays, merged);
    std::vector<passes::Arrival> arrival(function.nodes.size());
    Cost out{passes::estimate_cells(function, delays, stage, merged).luts(), 0};
    for (bits::NodeId id = 0; id < function.nodes.size(); ++id) {
        if (graph.is_placed(id)) {
            arrival[id] = graph.evaluate(id, 0, stage, arrival);
            out.path = std::max(out.path, arrival[id].late);
        }
    }
    return out;
}

/// As if what follows took constants, where that decides how sums are held.
std::vector<Fixed> sums_of(fixed::Builder& builder, const AdderGraph& graph,
                           const std::vector<Interval>& ranges, const std::vector<Fixed>& x,
                           const passes::DelayModel& delays) {
    const std::vector<std::vector<Fixed>> rows{x};
    return graph_sums(builder, graph, ranges, rows, Next{}, delays.inverts).front();
}

Cost cost_of(const GroupedGraph& grouped, const std::vector<Interval>& ranges,
             const passes::DelayModel& delays) {
    return cost_of(ranges, delays, [&](fixed::Builder& builder, const std::vector<Fixed>& x) {
        return sums_of(builder, grouped.graph, grouped.ranges,
                       add_groups(builder, grouped, x, delays.lut_inputs), delays);
    });
}

}  // namespace

std::optional<GroupedGraph> grouped_graph(const Matrix& matrix, const std::vector<Interval>& ranges,
                                          int bits, const linear::Search& search) {
    std::optional<Grouped> grouped = group_inputs(matrix, ranges, bits);
    if (!grouped) {
        return std::nullopt;
    }
    GroupedGraph& form = grouped->form;
    form.graph = linear::find_adder_graph(grouped->matrix, form.ranges, search);
    if (search.price.three_operands) {
        form.graph = ternary_trees(form.graph, form.ranges);
    }
    return std::move(form);
}

std::vector<Fixed> add_groups(fixed::Builder& builder, const GroupedGraph& grouped,
                              std::span<const Fixed> x, int lut_inputs) {
    std::vector<Fixed> out;
    for (const std::int32_t input : grouped.alone) {
        out.push_back(x[index(input)]);
    }
    Tables tables(builder, x, lut_inputs);
    for (const BitGroup& group : grouped.groups) {
        out.push_back(tables.sum(group));
    }
    return out;
}

std::optional<AdderGraph> without_groups(const GroupedGraph& grouped,
                                         const std::vector<Interval>& ranges) {
    AdderGraph out;
    out.n_in = static_cast<std::int32_t>(ranges.size());
    std::vector<std::int32_t> place = grouped.alone;
    const auto append = [&](Addition addition, std::span<const std::int32_t> places) {
        addition.a = places[index(addition.a)];
        addition.b = places[index(addition.b)];
        out.additions.push_back(addition);
        return out.n_in + static_cast<std::int32_t>(out.additions.size()) - 1;
    };
    for (const BitGroup& group : grouped.groups) {
        std::vector<Interval> own;
        for (const std::int32_t input : group.inputs) {
            own.push_back(ranges[index(input)]);
        }
        const Matrix column{static_cast<std::int64_t>(own.size()), 1, group.weights};
        const AdderGraph graph = linear::build_adder_graph(column, own, {.most_attempts = 1});
        std::vector<std::int32_t> places = group.inputs;
        for (const Addition& addition : graph.additions) {
            places.push_back(append(addition, places));
        }
        const Output& sum = graph.outputs.front();
        if (sum.value < 0 || sum.shift != 0 || sum.negate) {
            return std::nullopt;
        }
        place.push_back(places[index(sum.value)]);
    }
    for (const Addition& addition : grouped.graph.additions) {
        place.push_back(append(addition, place));
    }
    for (Output output : grouped.graph.outputs) {
        output.value = output.value < 0 ? output.value : place[index(output.value)];
        out.outputs.push_back(output);
    }
    return out;
}

std::optional<GroupedGraph> find_groups(const Matrix& matrix, const std::vector<Interval>& ranges,
                                        const AdderGraph& plain, const linear::Search& search,
                                        const passes::DelayModel& delays) {
    // Elsewhere synthesis makes short sums tables of its own, and the estimate does not hold
    // (docs/benchmarks.md).
    constexpr int bits_of_tables = 6;
    if (delays.lut_inputs < bits_of_tables || !delays.lone_bits_are_free) {
        return std::nullopt;
    }
    constexpr int sizes[] = {3, 5, 6};
    linear::Search quick = search;
    quick.attempts.most_attempts = 1;
    quick.improvement = 0;
    int best_size = 0;
    Cost least;
    for (const int size : sizes) {
        if (const auto grouped = grouped_graph(matrix, ranges, size, quick)) {
            const Cost cost = cost_of(*grouped, ranges, delays);
            if (best_size == 0 || cost.luts < least.luts) {
                best_size = size;
                least = cost;
            }
        }
    }
    if (best_size == 0) {
        return std::nullopt;
    }
    std::optional<GroupedGraph> best = grouped_graph(matrix, ranges, best_size, search);
    least = cost_of(*best, ranges, delays);
    const Cost now = cost_of(ranges, delays, [&](fixed::Builder& builder, const auto& x) {
        return sums_of(builder, plain, ranges, x, delays);
    });
    if (least.luts >= now.luts || least.path > now.path) {
        return std::nullopt;
    }
    const std::optional<AdderGraph> all = without_groups(*best, ranges);
    if (!all || !linear::prove(*all, matrix).empty()) {
        return std::nullopt;
    }
    return best;
}

}  // namespace gatewright::schedule
