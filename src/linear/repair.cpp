#include "linear/repair.h"

#include <algorithm>
#include <bit>

namespace gatewright::linear {

void Repair::clear() {
    count_ = 0;
}

void Repair::add(std::int32_t value, const std::vector<Term>& terms) {
    if (count_ == columns_.size()) {
        columns_.emplace_back();
    }
    Column& column = columns_[count_++];
    column.value = value;
    column.terms = terms;
    column.alive.assign(terms.size(), 1);
    column.counted.assign(terms.size(), {});
    column.left = static_cast<int>(terms.size());
    column.slack = std::int64_t{1} << sums_.at(value).level;
    for (const Term& term : terms) {
        column.slack -= std::int64_t{1} << sums_.at(term.value).level;
    }
}

std::uint64_t Repair::key_of(const Term& a, const Term& b) const {
    const bool swap = a.shift > b.shift;
    const Term& low = swap ? b : a;
    const Term& high = swap ? a : b;
    const std::uint64_t key = sums_.at(high.value).key << (high.shift - low.shift);
    const std::uint64_t low_key = sums_.at(low.value).key;
    return unsigned_key(low.negative != high.negative ? low_key - key : low_key + key);
}

// Where the key is, or where it would be, in `index_`.
std::int32_t Repair::find(std::uint64_t key) const {
    std::size_t at = static_cast<std::size_t>(key * 0x9e3779b97f4a7c15u >> 32) & mask_;
    while (index_[at] >= 0 && patterns_[static_cast<std::size_t>(index_[at])].key != key) {
        at = (at + 1) & mask_;
    }
    return static_cast<std::int32_t>(at);
}

std::int64_t Repair::slack_needed(std::int32_t a, std::int32_t b, int level) const {
    return (std::int64_t{1} << level) - (std::int64_t{1} << sums_.at(a).level) -
           (std::int64_t{1} << sums_.at(b).level);
}

void Repair::add_pair(std::int32_t column, std::int32_t first, std::int32_t second) {
    ++work_;
    Column& c = columns_[static_cast<std::size_t>(column)];
    const Term& a = c.terms[static_cast<std::size_t>(first)];
    const Term& b = c.terms[static_cast<std::size_t>(second)];
    const std::uint64_t key = key_of(a, b);
    if (key == 0) {
        return;
    }
    const auto at = static_cast<std::size_t>(find(key));
    const int level = std::max(sums_.at(a.value).level, sums_.at(b.value).level) + 1;
    const bool fits = slack_needed(a.value, b.value, level) <= c.slack;
    if (index_[at] < 0) {
        const std::int32_t existing = sums_.table().find(key, [&](std::int32_t v) {
            const Sum& sum = sums_.at(v);
            return (static_cast<std::size_t>(v) >= taken_->size() ||
                    (*taken_)[static_cast<std::size_t>(v)] == 0) &&
                   sum.level < sums_.at(c.value).level &&
                   slack_needed(a.value, b.value, sum.level) <= c.slack;
        });
        if (existing < 0 && !fits) {
            return;
        }
        index_[at] = static_cast<std::int32_t>(patterns_.size());
        patterns_.push_back({key, 0, existing, sums_.sum_of(a, b).bits, -1,
                             static_cast<std::int32_t>(next_random(random_) % 4)});
    } else if (!fits) {
        const std::int32_t existing = patterns_[static_cast<std::size_t>(index_[at])].existing;
        if (existing < 0 || sums_.at(existing).level >= sums_.at(c.value).level ||
            slack_needed(a.value, b.value, sums_.at(existing).level) > c.slack) {
            return;
        }
    }
    Pattern& pattern = patterns_[static_cast<std::size_t>(index_[at])];
    ++pattern.count;
    c.counted[static_cast<std::size_t>(first)][static_cast<std::size_t>(second >> 6)] |=
        std::uint64_t{1} << (second & 63);
    c.counted[static_cast<std::size_t>(second)][static_cast<std::size_t>(first >> 6)] |=
        std::uint64_t{1} << (first & 63);
    occurrences_.push_back({column, first, second, pattern.occurrences});
    pattern.occurrences = static_cast<std::int32_t>(occurrences_.size()) - 1;
}

void Repair::forget_pairs(std::int32_t column, std::int32_t term) {
    const Column& c = columns_[static_cast<std::size_t>(column)];
    for (std::size_t k = 0; k < c.terms.size(); ++k) {
        if (c.alive[k] == 0 ||
            (c.counted[static_cast<std::size_t>(term)][k >> 6] >> (k & 63) & 1) == 0) {
            continue;
        }
        ++work_;
        const std::uint64_t key = key_of(c.terms[static_cast<std::size_t>(term)], c.terms[k]);
        const std::int32_t found = index_[static_cast<std::size_t>(find(key))];
        --patterns_[static_cast<std::size_t>(found)].count;
    }
}

std::int32_t Repair::best() const {
    std::int32_t best = -1;
    std::int64_t most = 0;
    for (std::size_t p = 0; p < patterns_.size(); ++p) {
        const Pattern& pattern = patterns_[p];
        if (pattern.count <= 0) {
            continue;
        }
        const std::int64_t saved = pattern.count - (pattern.existing >= 0 ? 0 : 1);
        const std::int64_t score = saved > 0
                                       ? 4096 + saved * (4 * (pattern.bits + 4) + pattern.jitter)
                                       : 4095 - 4 * pattern.bits - pattern.jitter;
        if (best < 0 || score > most) {
            best = static_cast<std::int32_t>(p);
            most = score;
        }
    }
    return best;
}

// Makes the pattern a value, if it is none, and puts it in place of its occurrences.
void Repair::take(std::int32_t index) {
    const Pattern pattern = patterns_[static_cast<std::size_t>(index)];
    patterns_[static_cast<std::size_t>(index)].count = 0;
    std::int32_t value = pattern.existing;
    const auto holds = [&](const Occurrence& o) {
        const Column& c = columns_[static_cast<std::size_t>(o.column)];
        return c.left > 2 && c.alive[static_cast<std::size_t>(o.first)] != 0 &&
               c.alive[static_cast<std::size_t>(o.second)] != 0;
    };
    const auto term = [&](const Occurrence& o, std::int32_t which) -> const Term& {
        return columns_[static_cast<std::size_t>(o.column)].terms[static_cast<std::size_t>(which)];
    };
    if (value < 0) {
        int level = 1 << 20;
        Sum chosen;
        for (std::int32_t k = pattern.occurrences; k >= 0;) {
            const Occurrence& o = occurrences_[static_cast<std::size_t>(k)];
            k = o.next;
            if (!holds(o)) {
                continue;
            }
            const Sum sum = sums_.sum_of(term(o, o.first), term(o, o.second));
            if (sum.level < level && slack_needed(sum.low, sum.high, sum.level) <=
                                         columns_[static_cast<std::size_t>(o.column)].slack) {
                level = sum.level;
                chosen = sum;
            }
        }
        if (chosen.low < 0) {
            return;
        }
        value = static_cast<std::int32_t>(sums_.values().size());
        sums_.values().push_back(chosen);
        patterns_[static_cast<std::size_t>(index)].existing = value;
    }
    const Sum made = sums_.at(value);
    for (std::int32_t k = pattern.occurrences; k >= 0;) {
        const Occurrence o = occurrences_[static_cast<std::size_t>(k)];
        k = o.next;
        if (!holds(o)) {
            continue;
        }
        Column& c = columns_[static_cast<std::size_t>(o.column)];
        const Term a = term(o, o.first);
        const Term b = term(o, o.second);
        const std::int64_t needed = slack_needed(a.value, b.value, made.level);
        if (needed > c.slack || made.level >= sums_.at(c.value).level) {
            continue;
        }
        c.slack -= needed;
        const Term& low = a.shift <= b.shift ? a : b;
        const Term& high = a.shift <= b.shift ? b : a;
        const std::uint64_t high_key = sums_.at(high.value).key << (high.shift - low.shift);
        const std::uint64_t low_key = sums_.at(low.value).key;
        const std::uint64_t key =
            low.negative != high.negative ? low_key - high_key : low_key + high_key;
        const Term together{value, low.shift, low.negative != (key != made.key)};
        forget_pairs(o.column, o.first);
        c.alive[static_cast<std::size_t>(o.first)] = 0;
        forget_pairs(o.column, o.second);
        c.alive[static_cast<std::size_t>(o.second)] = 0;
        --c.left;
        if (c.left == 2) {
            // The last addition makes the column's own value.
            for (std::size_t t = 0; t < c.terms.size(); ++t) {
                if (c.alive[t] != 0) {
                    forget_pairs(o.column, static_cast<std::int32_t>(t));
                    break;
                }
            }
            c.terms.push_back(together);
            c.alive.push_back(1);
            c.counted.push_back({});
            continue;
        }
        c.terms.push_back(together);
        c.alive.push_back(1);
        c.counted.push_back({});
        const auto added = static_cast<std::int32_t>(c.terms.size()) - 1;
        for (std::int32_t t = 0; t < added; ++t) {
            if (c.alive[static_cast<std::size_t>(t)] != 0) {
                add_pair(o.column, t, added);
            }
        }
    }
}

bool Repair::run(const std::vector<char>& taken) {
    taken_ = &taken;
    patterns_.clear();
    occurrences_.clear();
    std::size_t pairs = 0;
    for (std::size_t k = 0; k < count_; ++k) {
        pairs += columns_[k].terms.size() * columns_[k].terms.size();
    }
    const std::size_t size = std::bit_ceil(pairs * 4 + 16);
    if (index_.size() < size) {
        index_.resize(size);
    }
    mask_ = size - 1;
    std::fill_n(index_.begin(), size, -1);
    for (std::size_t k = 0; k < count_; ++k) {
        const auto terms = static_cast<std::int32_t>(columns_[k].terms.size());
        if (terms <= 2) {
            continue;
        }
        for (std::int32_t b = 1; b < terms; ++b) {
            for (std::int32_t a = 0; a < b; ++a) {
                add_pair(static_cast<std::int32_t>(k), a, b);
            }
        }
    }
    for (std::int32_t pattern = best(); pattern >= 0; pattern = best()) {
        work_ += static_cast<std::int64_t>(patterns_.size()) / 4;
        take(pattern);
    }
    return std::all_of(columns_.begin(), columns_.begin() + static_cast<std::ptrdiff_t>(count_),
                       [](const Column& column) { return column.left == 2; });
}

Sum Repair::last_sum(const Column& column) const {
    std::vector<Term> left;
    for (std::size_t t = 0; t < column.terms.size(); ++t) {
        if (column.alive[t] != 0) {
            left.push_back(column.terms[t]);
        }
    }
    return sums_.sum_of(left[0], left[1]);
}

}  // namespace gatewright::linear
