#include "linear/sharing.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace gatewright::linear {

namespace {

constexpr int zero_distance = 63;

std::size_t index_of(int distance, bool negative) {
    return static_cast<std::size_t>((distance + zero_distance) * 2 + (negative ? 1 : 0));
}

// A column's term in 32 bits: 25 for the value, 6 for the shift, 1 for the sign.
constexpr std::int32_t value_limit = 1 << 25;

std::uint32_t pack(std::int32_t value, int shift, bool negative) {
    return static_cast<std::uint32_t>(value) << 7 | static_cast<std::uint32_t>(shift) << 1 |
           (negative ? 1u : 0u);
}

std::uint64_t next_random(std::uint64_t& state) {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t mixed = state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

int lowest(std::uint64_t& mask) {
    const int bit = std::countr_zero(mask);
    mask &= mask - 1;
    return bit;
}

}  // namespace

Sharing::Sharing(std::vector<ValueInfo> inputs, const std::vector<std::vector<Term>>& columns,
                 const std::vector<int>& depth_limits, const Ranking& ranking)
    : ranking_(ranking),
      limited_(!depth_limits.empty()),
      values_(std::move(inputs)),
      entries_(values_.size()),
      columns_(columns.size()),
      slack_(columns.size(), std::numeric_limits<std::int64_t>::max()),
      random_(ranking.seed) {
    for (std::size_t column = 0; column < columns.size(); ++column) {
        if (limited_) {
            slack_[column] = std::int64_t{1} << depth_limits[column];
        }
        for (const Term& term : columns[column]) {
            auto& entries = entries_[static_cast<std::size_t>(term.value)];
            if (entries.empty() || entries.back().column != static_cast<std::int32_t>(column)) {
                entries.push_back({static_cast<std::int32_t>(column), 0, 0});
            }
            (term.negative ? entries.back().negative : entries.back().positive) |= std::uint64_t{1}
                                                                                   << term.shift;
            max_shift_ = std::max<int>(max_shift_, term.shift);
            if (limited_) {
                slack_[column] -= std::int64_t{1}
                                  << values_[static_cast<std::size_t>(term.value)].depth;
            }
        }
    }
}

void Sharing::share(const std::vector<std::int32_t>& members) {
    for (auto& column : columns_) {
        column.clear();
    }
    for (const std::int32_t member : members) {
        count_new(member);
        enlist(member);
    }
    std::int64_t score = 0;
    Pair pair;
    while (pop(score, pair)) {
        const Pattern pattern = best_pattern(pair);
        if (pattern.low < 0) {
            continue;
        }
        if (pattern.score < score) {
            push(pattern.score, pair);
            continue;
        }
        if (static_cast<std::int32_t>(values_.size()) >= value_limit) {
            break;
        }
        replace(pattern, occurrences(pattern));
        const Pattern next = best_pattern(pair);
        if (next.low >= 0) {
            push(next.score, pair);
        }
    }
    for (auto& bucket : queue_) {
        bucket.clear();
    }
    top_ = -1;
}

std::vector<std::vector<Term>> Sharing::terms() const {
    std::vector<std::vector<Term>> columns(columns_.size());
    for (std::size_t value = 0; value < entries_.size(); ++value) {
        for (const Entry& entry : entries_[value]) {
            for (std::uint64_t rest = entry.positive | entry.negative; rest != 0;) {
                const int shift = lowest(rest);
                columns[static_cast<std::size_t>(entry.column)].push_back(
                    {static_cast<std::int32_t>(value), static_cast<std::uint8_t>(shift),
                     (entry.negative >> shift & 1) != 0});
            }
        }
    }
    return columns;
}

Sharing::Pattern Sharing::pattern_of(std::int32_t a, std::int32_t b, int distance,
                                     bool negative) const {
    return distance >= 0 ? Pattern{a, b, distance, negative, 0}
                         : Pattern{b, a, -distance, negative, 0};
}

int Sharing::weight(const Pattern& pattern) const {
    const int low = values_[static_cast<std::size_t>(pattern.low)].width;
    const int high = values_[static_cast<std::size_t>(pattern.high)].width + pattern.distance;
    switch (ranking_.weight) {
        case Ranking::Weight::overlap:
            return std::max(std::min(low, high) - pattern.distance, 0) + 1;
        case Ranking::Weight::adder_bits:
            return std::max(low, high) + 1 - pattern.distance;
        case Ranking::Weight::count:
            break;
    }
    return 1;
}

std::int64_t Sharing::slack_needed(std::int32_t a, std::int32_t b) const {
    const int depth_a = values_[static_cast<std::size_t>(a)].depth;
    const int depth_b = values_[static_cast<std::size_t>(b)].depth;
    return (std::int64_t{1} << std::max(depth_a, depth_b)) -
           (std::int64_t{1} << std::min(depth_a, depth_b));
}

void Sharing::push(std::int64_t score, Pair pair) {
    if (score >= static_cast<std::int64_t>(queue_.size())) {
        queue_.resize(static_cast<std::size_t>(score) + 1);
    }
    queue_[static_cast<std::size_t>(score)].push_back(pair);
    top_ = std::max(top_, score);
}

bool Sharing::pop(std::int64_t& score, Pair& pair) {
    while (top_ >= 0 && queue_[static_cast<std::size_t>(top_)].empty()) {
        --top_;
    }
    if (top_ < 0) {
        return false;
    }
    auto& bucket = queue_[static_cast<std::size_t>(top_)];
    if (ranking_.seed != 0) {
        std::swap(bucket.back(), bucket[next_random(random_) % bucket.size()]);
    }
    score = top_;
    pair = bucket.back();
    bucket.pop_back();
    return true;
}

// Counts the patterns of `value` with all members so far, and queues each pair that has one twice.
void Sharing::count_new(std::int32_t value) {
    const auto stride = static_cast<std::size_t>(2 * max_shift_ + 1) * 2;
    row_counts_.resize(values_.size() * stride);
    row_best_.resize(values_.size());
    for (const Entry& entry : entries_[static_cast<std::size_t>(value)]) {
        const auto& column = columns_[static_cast<std::size_t>(entry.column)];
        work_ += static_cast<std::int64_t>(column.size());
        for (std::uint64_t rest = entry.positive | entry.negative; rest != 0;) {
            const int shift = lowest(rest);
            const bool negative = (entry.negative >> shift & 1) != 0;
            // The other term's distance is its shift less ours.
            const std::size_t base = static_cast<std::size_t>(max_shift_ - shift) * 2;
            for (const std::uint32_t term : column) {
                if (limited_ && slack_needed(value, static_cast<std::int32_t>(term >> 7)) >
                                    slack_[static_cast<std::size_t>(entry.column)]) {
                    continue;
                }
                const std::size_t index =
                    (term >> 7) * stride + base + ((term & 127) ^ (negative ? 1 : 0));
                if (row_counts_[index]++ == 0) {
                    row_touched_.push_back(index);
                }
            }
        }
    }
    for (const std::size_t index : row_touched_) {
        if (row_counts_[index] >= 2) {
            const auto other = static_cast<std::int32_t>(index / stride);
            const int offset = static_cast<int>(index % stride);
            const std::int64_t score =
                std::int64_t{row_counts_[index]} *
                weight(pattern_of(value, other, offset / 2 - max_shift_, (offset & 1) != 0));
            std::int64_t& best = row_best_[static_cast<std::size_t>(other)];
            if (best == 0) {
                rows_touched_.push_back(other);
            }
            best = std::max(best, score);
        }
        row_counts_[index] = 0;
    }
    for (const std::int32_t other : rows_touched_) {
        push(row_best_[static_cast<std::size_t>(other)], {value, other});
        row_best_[static_cast<std::size_t>(other)] = 0;
    }
    row_touched_.clear();
    rows_touched_.clear();
    const Pattern own = best_pattern({value, value});
    if (own.low >= 0) {
        push(own.score, {value, value});
    }
}

void Sharing::enlist(std::int32_t value) {
    for (const Entry& entry : entries_[static_cast<std::size_t>(value)]) {
        for (std::uint64_t rest = entry.positive | entry.negative; rest != 0;) {
            const int shift = lowest(rest);
            columns_[static_cast<std::size_t>(entry.column)].push_back(
                pack(value, shift, (entry.negative >> shift & 1) != 0));
        }
    }
}

// Fills counts_ and touched_ with the patterns of two different values.
void Sharing::count_cross(std::int32_t a, std::int32_t b) {
    const auto& entries_a = entries_[static_cast<std::size_t>(a)];
    const auto& entries_b = entries_[static_cast<std::size_t>(b)];
    const std::int64_t needed = limited_ ? slack_needed(a, b) : 0;
    auto other = entries_b.begin();
    for (const Entry& entry : entries_a) {
        while (other != entries_b.end() && other->column < entry.column) {
            ++other;
        }
        if (other == entries_b.end()) {
            break;
        }
        if (other->column != entry.column) {
            continue;
        }
        const std::int64_t slack = slack_[static_cast<std::size_t>(entry.column)];
        if (needed > slack) {
            continue;
        }
        const std::int64_t most = needed == 0 ? 64 : slack / needed;
        const std::uint64_t digits_b = other->positive | other->negative;
        for (std::uint64_t rest_a = entry.positive | entry.negative; rest_a != 0;) {
            const int shift_a = lowest(rest_a);
            const bool negative_a = (entry.negative >> shift_a & 1) != 0;
            for (std::uint64_t rest_b = digits_b; rest_b != 0;) {
                const int shift_b = lowest(rest_b);
                const bool negative_b = (other->negative >> shift_b & 1) != 0;
                const std::size_t index = index_of(shift_b - shift_a, negative_a != negative_b);
                if (most < 64 && column_counts_[index]++ >= most) {
                    continue;
                }
                if (counts_[index]++ == 0) {
                    touched_.push_back(static_cast<std::int32_t>(index));
                }
            }
        }
        if (most < 64) {
            column_counts_.fill(0);
        }
    }
    work_ += static_cast<std::int64_t>(entries_a.size() + entries_b.size());
}

// Fills counts_ and touched_ with the patterns of a value with itself, without overlaps.
void Sharing::count_own(std::int32_t value) {
    for (const Entry& entry : entries_[static_cast<std::size_t>(value)]) {
        const std::uint64_t digits = entry.positive | entry.negative;
        if ((digits & (digits - 1)) == 0) {
            continue;
        }
        std::array<std::uint64_t, 128> used{};
        for (std::uint64_t rest_a = digits; rest_a != 0;) {
            const int shift_a = lowest(rest_a);
            for (std::uint64_t rest_b = rest_a; rest_b != 0;) {
                const int shift_b = lowest(rest_b);
                const bool negative =
                    ((entry.negative >> shift_a ^ entry.negative >> shift_b) & 1) != 0;
                const auto slot =
                    static_cast<std::size_t>((shift_b - shift_a) * 2 + (negative ? 1 : 0));
                const std::uint64_t both = std::uint64_t{1} << shift_a | std::uint64_t{1}
                                                                             << shift_b;
                if ((used[slot] & both) != 0) {
                    continue;
                }
                used[slot] |= both;
                const std::size_t index = index_of(shift_b - shift_a, negative);
                if (counts_[index]++ == 0) {
                    touched_.push_back(static_cast<std::int32_t>(index));
                }
            }
        }
    }
    work_ += static_cast<std::int64_t>(entries_[static_cast<std::size_t>(value)].size());
}

Sharing::Pattern Sharing::best_pattern(Pair pair) {
    if (pair.a == pair.b) {
        count_own(pair.a);
    } else {
        count_cross(pair.a, pair.b);
    }
    Pattern best;
    for (const std::int32_t index : touched_) {
        const std::int32_t count = counts_[static_cast<std::size_t>(index)];
        counts_[static_cast<std::size_t>(index)] = 0;
        if (count < 2) {
            continue;
        }
        Pattern pattern = pattern_of(pair.a, pair.b, index / 2 - zero_distance, (index & 1) != 0);
        pattern.score = std::int64_t{count} * weight(pattern);
        if (pattern.score > best.score) {
            best = pattern;
        }
    }
    touched_.clear();
    return best;
}

std::vector<Sharing::Occurrence> Sharing::occurrences(const Pattern& pattern) {
    std::vector<Occurrence> found;
    const auto& lows = entries_[static_cast<std::size_t>(pattern.low)];
    const auto& highs = entries_[static_cast<std::size_t>(pattern.high)];
    const std::int64_t needed = limited_ ? slack_needed(pattern.low, pattern.high) : 0;
    auto high = highs.begin();
    for (const Entry& low : lows) {
        while (high != highs.end() && high->column < low.column) {
            ++high;
        }
        if (high == highs.end()) {
            break;
        }
        if (high->column != low.column) {
            continue;
        }
        const std::uint64_t high_positive = high->positive >> pattern.distance;
        const std::uint64_t high_negative = high->negative >> pattern.distance;
        std::uint64_t matches =
            pattern.negative ? (low.positive & high_negative) | (low.negative & high_positive)
                             : (low.positive & high_positive) | (low.negative & high_negative);
        std::uint64_t used = 0;
        std::int64_t& slack = slack_[static_cast<std::size_t>(low.column)];
        while (matches != 0 && slack >= needed) {
            const int shift = lowest(matches);
            if (pattern.low == pattern.high) {
                const std::uint64_t both =
                    std::uint64_t{1} << shift | std::uint64_t{1} << (shift + pattern.distance);
                if ((used & both) != 0) {
                    continue;
                }
                used |= both;
            }
            slack -= needed;
            found.push_back({low.column, shift, (low.negative >> shift & 1) != 0});
        }
    }
    return found;
}

// Makes the pattern a value and puts it in place of its occurrences.
void Sharing::replace(const Pattern& pattern, const std::vector<Occurrence>& where) {
    const auto made = static_cast<std::int32_t>(values_.size());
    const Addition addition{.a = pattern.low,
                            .b = pattern.high,
                            .shift_b = static_cast<std::uint8_t>(pattern.distance),
                            .negate_b = pattern.negative};
    additions_.push_back(addition);
    values_.push_back(info_of(addition, values_[static_cast<std::size_t>(pattern.low)],
                              values_[static_cast<std::size_t>(pattern.high)]));
    std::vector<Entry> entries;
    for (const Occurrence& occurrence : where) {
        remove_term(pattern.low, occurrence.shift, occurrence, occurrence.negative);
        remove_term(pattern.high, occurrence.shift + pattern.distance, occurrence,
                    occurrence.negative != pattern.negative);
        if (entries.empty() || entries.back().column != occurrence.column) {
            entries.push_back({occurrence.column, 0, 0});
        }
        (occurrence.negative ? entries.back().negative : entries.back().positive) |=
            std::uint64_t{1} << occurrence.shift;
    }
    for (const std::int32_t operand : {pattern.low, pattern.high}) {
        std::erase_if(entries_[static_cast<std::size_t>(operand)],
                      [](const Entry& entry) { return (entry.positive | entry.negative) == 0; });
    }
    entries_.push_back(std::move(entries));
    count_new(made);
    enlist(made);
}

void Sharing::remove_term(std::int32_t value, int shift, const Occurrence& where, bool negative) {
    auto& entries = entries_[static_cast<std::size_t>(value)];
    const auto entry =
        std::lower_bound(entries.begin(), entries.end(), where.column,
                         [](const Entry& e, std::int32_t column) { return e.column < column; });
    (negative ? entry->negative : entry->positive) &= ~(std::uint64_t{1} << shift);
    auto& column = columns_[static_cast<std::size_t>(where.column)];
    const auto term = std::find(column.begin(), column.end(), pack(value, shift, negative));
    *term = column.back();
    column.pop_back();
}

}  // namespace gatewright::linear
