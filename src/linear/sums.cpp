#include "linear/sums.h"

#include <algorithm>
#include <bit>

namespace gatewright::linear {

namespace {

constexpr Int128 largest = static_cast<Int128>(1) << 60;

int width_of(std::int64_t least, std::int64_t most) {
    const auto magnitude = [](std::int64_t bound) {
        return static_cast<std::uint64_t>(bound < 0 ? ~bound : bound);
    };
    if (least >= 0) {
        return static_cast<int>(std::bit_width(magnitude(most)));
    }
    return static_cast<int>(
               std::bit_width(std::max(magnitude(least), most > 0 ? magnitude(most) : 0))) +
           1;
}

}  // namespace

std::uint64_t next_random(std::uint64_t& state) {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t mixed = state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

KeyTable::KeyTable(std::size_t values) {
    const std::size_t size = std::bit_ceil(std::max<std::size_t>(values, 16) * 4);
    slots_.resize(size);
    mask_ = size - 1;
    shift_ = 64 - std::countr_zero(size);
}

void KeyTable::insert(std::uint64_t key, std::int32_t value) {
    if (++used_ * 2 > slots_.size()) {
        std::vector<Slot> before = std::move(slots_);
        slots_.assign(before.size() * 2, {});
        mask_ = slots_.size() - 1;
        --shift_;
        used_ = 1;
        for (const Slot& slot : before) {
            if (slot.value >= 0) {
                insert(slot.key, slot.value);
            }
        }
    }
    std::size_t at = home(key);
    while (slots_[at].value >= 0) {
        at = (at + 1) & mask_;
    }
    slots_[at] = {key, value};
}

void KeyTable::erase(std::uint64_t key, std::int32_t value) {
    std::size_t at = home(key);
    while (slots_[at].value != value) {
        if (slots_[at].value < 0) {
            return;
        }
        at = (at + 1) & mask_;
    }
    // Those behind it move up, so that none is cut off from its home.
    --used_;
    for (std::size_t next = (at + 1) & mask_; slots_[next].value >= 0; next = (next + 1) & mask_) {
        if (((next - home(slots_[next].key)) & mask_) >= ((next - at) & mask_)) {
            slots_[at] = slots_[next];
            at = next;
        }
    }
    slots_[at] = {};
}

Sum Sums::sum_of(const Term& a, const Term& b) const {
    const Sum& of_a = at(a.value);
    const Sum& of_b = at(b.value);
    // Of two unshifted operands the positive one is the low one.
    const bool swap = a.shift > b.shift;
    const Term& low = swap ? b : a;
    const Term& high = swap ? a : b;
    const Sum& of_low = swap ? of_b : of_a;
    const Sum& of_high = swap ? of_a : of_b;
    Sum sum;
    sum.low = low.value;
    sum.high = high.value;
    sum.distance = static_cast<std::uint8_t>(high.shift - low.shift);
    sum.negative = low.negative != high.negative;
    sum.level = std::max(of_low.level, of_high.level) + 1;
    const std::uint64_t key = of_high.key << sum.distance;
    const std::int64_t least = of_high.least * (std::int64_t{1} << sum.distance);
    const std::int64_t most = of_high.most * (std::int64_t{1} << sum.distance);
    sum.key = sum.negative ? of_low.key - key : of_low.key + key;
    sum.least = of_low.least + (sum.negative ? -most : least);
    sum.most = of_low.most + (sum.negative ? -least : most);
    sum.bits = std::max(0, width_of(sum.least, sum.most) - sum.distance);
    return sum;
}

std::optional<Sums> Sums::from(const AdderGraph& graph, const std::vector<Interval>& ranges,
                               const std::vector<int>& arrival) {
    Sums sums(static_cast<std::size_t>(graph.n_in) + graph.additions.size());
    sums.n_in_ = graph.n_in;
    std::uint64_t random = 0x6a09e667f3bcc908u;
    const std::vector<Interval> exact = ranges_of(graph, ranges);
    for (const Interval& range : exact) {
        if (range.low < -largest || range.high > largest) {
            return std::nullopt;
        }
    }
    std::vector<Term> place;  // of each value of the graph
    for (std::int32_t i = 0; i < graph.n_in; ++i) {
        Sum input;
        input.key = next_random(random) | 1;
        input.level = arrival[static_cast<std::size_t>(i)];
        input.least = static_cast<std::int64_t>(ranges[static_cast<std::size_t>(i)].low);
        input.most = static_cast<std::int64_t>(ranges[static_cast<std::size_t>(i)].high);
        sums.values_.push_back(input);
        sums.table_.insert(unsigned_key(input.key), i);
        place.push_back({i, 0, false});
    }
    const auto placed = [&](std::int32_t value, int shift, bool negate) {
        Term term = place[static_cast<std::size_t>(value)];
        term.shift = static_cast<std::uint8_t>(term.shift + shift);
        term.negative = term.negative != negate;
        return term;
    };
    for (const Addition& addition : graph.additions) {
        const Term a = placed(addition.a, addition.shift_a, addition.negate_a);
        const Term b = placed(addition.b, addition.shift_b, addition.negate_b);
        if (a.shift > 60 || b.shift > 60) {
            return std::nullopt;
        }
        Sum sum = sums.sum_of(a, b);
        if (sum.key == 0) {
            return std::nullopt;
        }
        const Term& low = a.shift <= b.shift ? a : b;
        Term result{static_cast<std::int32_t>(sums.values_.size()), low.shift, low.negative};
        const Interval& range = exact[place.size()];
        const auto scale = std::int64_t{1} << low.shift;
        // Exact, where the sum's own range may be too wide.
        const std::int64_t least = static_cast<std::int64_t>(range.low) / scale;
        const std::int64_t most = static_cast<std::int64_t>(range.high) / scale;
        sum.least = low.negative ? -most : least;
        sum.most = low.negative ? -least : most;
        sum.bits = std::max(0, width_of(sum.least, sum.most) - sum.distance);
        const std::int32_t same = sums.table_.find(
            unsigned_key(sum.key), [&](std::int32_t v) { return sums.at(v).level <= sum.level; });
        if (same >= 0) {
            result.value = same;
            result.negative = low.negative != (sums.at(same).key != sum.key);
        } else {
            sums.values_.push_back(sum);
            sums.table_.insert(unsigned_key(sum.key), result.value);
        }
        place.push_back(result);
    }
    for (const Output& output : graph.outputs) {
        Output placed_output;
        if (output.value >= 0) {
            const Term term = placed(output.value, output.shift, output.negate);
            placed_output = {term.value, term.shift, term.negative};
            ++sums.at(term.value).outputs;
        }
        sums.outputs_.push_back(placed_output);
    }
    sums.readers_.resize(sums.values_.size());
    for (std::size_t v = static_cast<std::size_t>(sums.n_in_); v < sums.values_.size(); ++v) {
        sums.readers_[static_cast<std::size_t>(sums.values_[v].low)].push_back(
            static_cast<std::int32_t>(v));
        sums.readers_[static_cast<std::size_t>(sums.values_[v].high)].push_back(
            static_cast<std::int32_t>(v));
    }
    for (auto v = static_cast<std::int32_t>(sums.values_.size()); v-- > sums.n_in_;) {
        if (sums.readers(v).empty() && sums.at(v).outputs == 0) {
            sums.erase(v);
        }
    }
    return sums;
}

void Sums::enter(std::int32_t first) {
    readers_.resize(values_.size());
    for (auto v = first; v < static_cast<std::int32_t>(values_.size()); ++v) {
        if (at(v).alive) {
            readers_[static_cast<std::size_t>(at(v).low)].push_back(v);
            readers_[static_cast<std::size_t>(at(v).high)].push_back(v);
            table_.insert(unsigned_key(at(v).key), v);
        }
    }
}

void Sums::forget_reader(std::int32_t operand, std::int32_t reader) {
    auto& readers = readers_[static_cast<std::size_t>(operand)];
    const auto found = std::find(readers.begin(), readers.end(), reader);
    *found = readers.back();
    readers.pop_back();
}

void Sums::negate_readers(std::int32_t value) {
    for (Output& output : outputs_) {
        if (at(value).outputs > 0 && output.value == value) {
            output.negate = !output.negate;
        }
    }
    // A reader of both operands is listed twice; its sign changes as a whole.
    const std::vector<std::int32_t> readers = readers_[static_cast<std::size_t>(value)];
    for (std::size_t k = 0; k < readers.size(); ++k) {
        const std::int32_t reader = readers[k];
        Sum& sum = at(reader);
        if (sum.low == value && sum.high == value) {
            if (std::find(readers.begin(), readers.begin() + static_cast<std::ptrdiff_t>(k),
                          reader) == readers.begin() + static_cast<std::ptrdiff_t>(k)) {
                negate(reader);
            }
            continue;
        }
        sum.negative = !sum.negative;
        if (sum.low == value) {
            negate(reader);
        }
    }
}

// The value is made of the same operands, but is now the negative of what it was.
void Sums::negate(std::int32_t value) {
    Sum& sum = at(value);
    sum.key = 0 - sum.key;
    std::swap(sum.least, sum.most);
    sum.least = -sum.least;
    sum.most = -sum.most;
    sum.bits = std::max(0, width_of(sum.least, sum.most) - sum.distance);
    negate_readers(value);
}

bool Sums::redefine(std::int32_t value, const Sum& sum) {
    Sum& old = at(value);
    forget_reader(old.low, value);
    forget_reader(old.high, value);
    readers_[static_cast<std::size_t>(sum.low)].push_back(value);
    readers_[static_cast<std::size_t>(sum.high)].push_back(value);
    const bool opposite = old.key != sum.key;
    const Sum before = old;
    old = sum;
    old.outputs = before.outputs;
    old.level = before.level;
    // The range known before is the better one.
    old.least = opposite ? -before.most : before.least;
    old.most = opposite ? -before.least : before.most;
    old.bits = std::max(0, width_of(old.least, old.most) - old.distance);
    return opposite;
}

void Sums::substitute(std::int32_t value, std::int32_t other) {
    if (at(value).key != at(other).key) {
        negate_readers(value);
    }
    for (const std::int32_t reader : readers_[static_cast<std::size_t>(value)]) {
        Sum& sum = at(reader);
        (sum.low == value ? sum.low : sum.high) = other;
        readers_[static_cast<std::size_t>(other)].push_back(reader);
    }
    readers_[static_cast<std::size_t>(value)].clear();
    for (Output& output : outputs_) {
        if (output.value == value) {
            output.value = other;
        }
    }
    at(other).outputs += at(value).outputs;
    at(value).outputs = 0;
    erase(value);
}

void Sums::erase(std::int32_t value) {
    Sum& sum = at(value);
    sum.alive = false;
    table_.erase(unsigned_key(sum.key), value);
    forget_reader(sum.low, value);
    forget_reader(sum.high, value);
    for (const std::int32_t operand : {sum.low, sum.high}) {
        if (operand >= n_in_ && at(operand).alive && at(operand).outputs == 0 &&
            readers(operand).empty()) {
            erase(operand);
        }
    }
}

std::vector<std::int32_t> Sums::in_order() const {
    std::vector<std::int32_t> order;
    std::vector<char> seen(values_.size());
    for (std::int32_t i = 0; i < n_in_; ++i) {
        order.push_back(i);
        seen[static_cast<std::size_t>(i)] = 1;
    }
    std::vector<std::int32_t> stack;
    for (const Output& output : outputs_) {
        if (output.value < 0) {
            continue;
        }
        stack.push_back(output.value);
        while (!stack.empty()) {
            const std::int32_t value = stack.back();
            const Sum& sum = at(value);
            if (seen[static_cast<std::size_t>(value)] != 0) {
                stack.pop_back();
                continue;
            }
            bool ready = true;
            for (const std::int32_t operand : {sum.high, sum.low}) {
                if (seen[static_cast<std::size_t>(operand)] == 0) {
                    stack.push_back(operand);
                    ready = false;
                }
            }
            if (ready) {
                seen[static_cast<std::size_t>(value)] = 1;
                order.push_back(value);
                stack.pop_back();
            }
        }
    }
    return order;
}

void Sums::levels(int limit, std::vector<int>& lowest, std::vector<int>& highest) const {
    const std::vector<std::int32_t> order = in_order();
    lowest.assign(values_.size(), 0);
    highest.assign(values_.size(), limit);
    for (const std::int32_t value : order) {
        const auto v = static_cast<std::size_t>(value);
        lowest[v] = value < n_in_ ? at(value).level
                                  : 1 + std::max(lowest[static_cast<std::size_t>(at(value).low)],
                                                 lowest[static_cast<std::size_t>(at(value).high)]);
    }
    for (auto value = order.rbegin(); value != order.rend(); ++value) {
        if (*value < n_in_) {
            break;
        }
        for (const std::int32_t operand : {at(*value).low, at(*value).high}) {
            int& level = highest[static_cast<std::size_t>(operand)];
            level = std::min(level, highest[static_cast<std::size_t>(*value)] - 1);
        }
    }
}

int Sums::deepest() const {
    std::vector<int> lowest;
    std::vector<int> highest;
    levels(0, lowest, highest);
    return lowest.empty() ? 0 : *std::max_element(lowest.begin(), lowest.end());
}

AdderGraph Sums::graph() const {
    AdderGraph graph;
    graph.n_in = n_in_;
    std::vector<std::int32_t> place(values_.size(), -1);
    for (const std::int32_t value : in_order()) {
        std::int32_t& here = place[static_cast<std::size_t>(value)];
        if (value < n_in_) {
            here = value;
            continue;
        }
        const Sum& sum = at(value);
        here = n_in_ + static_cast<std::int32_t>(graph.additions.size());
        graph.additions.push_back({.a = place[static_cast<std::size_t>(sum.low)],
                                   .b = place[static_cast<std::size_t>(sum.high)],
                                   .shift_b = sum.distance,
                                   .negate_b = sum.negative});
    }
    for (Output output : outputs_) {
        if (output.value >= 0) {
            output.value = place[static_cast<std::size_t>(output.value)];
        }
        graph.outputs.push_back(output);
    }
    return graph;
}

}  // namespace gatewright::linear
