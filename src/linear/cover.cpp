#include "linear/cover.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "linear/signed_digits.h"

namespace gatewright::linear {

namespace {

constexpr std::int32_t largest_coefficient = 1 << 22;
constexpr std::int32_t unknown = 1 << 30;
constexpr std::int64_t largest_left = 1 << 28;
constexpr std::int32_t most_inputs = 2048;  ///< digits of all of them are counted in 16 bits
constexpr std::size_t most_elements = std::size_t{1} << 25;  ///< 128 MiB

int count_digits(std::uint64_t magnitude) {
    std::uint64_t digits = magnitude ^ (magnitude * 3);
    int count = 0;
    for (; digits != 0; digits &= digits - 1) {
        ++count;
    }
    return count;
}

/// Non-zero canonical digits.
int digits_of(std::int64_t x) {
    constexpr std::int64_t known = 1 << 12;
    static const auto table = [] {
        std::array<std::int8_t, known> counts{};
        for (std::size_t k = 0; k < counts.size(); ++k) {
            counts[k] = static_cast<std::int8_t>(count_digits(k));
        }
        return counts;
    }();
    const std::int64_t magnitude = x < 0 ? -x : x;
    return magnitude < known ? table[static_cast<std::size_t>(magnitude)]
                             : count_digits(static_cast<std::uint64_t>(magnitude));
}

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

}  // namespace

std::int32_t Cover::row_of(std::int32_t input, std::int32_t factor) {
    auto& rows = rows_of_input_[index(input)];
    const auto at = std::lower_bound(
        rows.begin(), rows.end(), factor,
        [&](std::int32_t row, std::int32_t f) { return rows_[index(row)].factor < f; });
    if (at != rows.end() && rows_[index(*at)].factor == factor) {
        return *at;
    }
    const auto row = static_cast<std::int32_t>(rows_.size());
    rows_.push_back({input, factor});
    rows.insert(at, row);
    return row;
}

void Cover::enter(const Sums& sums, std::int32_t value) {
    if (forms_.size() <= index(value)) {
        forms_.resize(index(value) + 1);
    }
    Form form;
    form.first = static_cast<std::uint32_t>(elements_.size());
    form.key = sums.at(value).key;
    if (value < sums.inputs()) {
        elements_.push_back(static_cast<std::uint32_t>(row_of(value, 1)) * 2);
    } else {
        const Sum& sum = sums.at(value);
        const Form low = forms_[index(sum.low)];
        const Form high = forms_[index(sum.high)];
        const bool low_negative = low.key != sums.at(sum.low).key;
        const bool high_negative = (high.key != sums.at(sum.high).key) != sum.negative;
        const auto coefficient = [&](std::uint32_t at, bool negative) {
            const std::int32_t factor = rows_[index(elements_[at] >> 1)].factor;
            return ((elements_[at] & 1) != 0) != negative ? -factor : factor;
        };
        const auto input = [&](std::uint32_t at, const Form& f) {
            return at < f.last ? rows_[index(elements_[at] >> 1)].input : 1 << 30;
        };
        for (std::uint32_t a = low.first, b = high.first; a < low.last || b < high.last;) {
            const std::int32_t of_a = input(a, low);
            const std::int32_t of_b = input(b, high);
            std::int32_t sum_of_both = 0;
            if (of_a <= of_b) {
                sum_of_both += coefficient(a++, low_negative);
            }
            if (of_b <= of_a) {
                sum_of_both += coefficient(b++, high_negative) * (1 << sum.distance);
            }
            if (sum_of_both != 0) {
                const std::int32_t row = row_of(std::min(of_a, of_b), std::abs(sum_of_both));
                elements_.push_back(static_cast<std::uint32_t>(row) * 2 +
                                    (sum_of_both < 0 ? 1u : 0u));
            }
        }
    }
    form.last = static_cast<std::uint32_t>(elements_.size());
    forms_[index(value)] = form;
}

bool Cover::reset(const Sums& sums) {
    if (sums.inputs() > most_inputs) {
        return false;
    }
    rows_.clear();
    rows_of_input_.assign(index(sums.inputs()), {});
    elements_.clear();
    forms_.clear();
    residual_.assign(index(sums.inputs()), 0);
    filled_.assign(index(sums.inputs()), 0);
    touched_.clear();
    states_.clear();
    std::vector<std::int64_t> bounds(sums.values().size(), 1);
    std::int64_t largest = 1;
    for (const std::int32_t value : sums.in_order()) {
        if (value >= sums.inputs()) {
            const Sum& sum = sums.at(value);
            if (sum.distance > 22) {
                return false;
            }
            std::int64_t& bound = bounds[index(value)];
            bound = bounds[index(sum.low)] + (bounds[index(sum.high)] << sum.distance);
            if (bound > largest_coefficient) {
                return false;
            }
        }
        enter(sums, value);
        if (elements_.size() > most_elements) {
            return false;
        }
    }
    for (const Row& row : rows_) {
        largest = std::max<std::int64_t>(largest, row.factor);
    }
    const auto bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(largest)));
    const int blocks = std::max(1, (bits - 1 + lanes - 1) / lanes);
    if (blocks != blocks_ || known_count_ == 0 || known_count_ > 100'000) {
        blocks_ = blocks;
        known_.assign(1 << 10, {});
        known_shift_ = 64 - 10;
        known_lanes_.clear();
        known_count_ = 0;
    }
    return true;
}

void Cover::make_digits(std::int32_t factor, std::int32_t left, Lanes* lanes_of_row) const {
    const int before = digits_of(left);
    for (int block = 0; block < blocks_; ++block) {
        for (int lane = 0; lane < lanes; ++lane) {
            const std::int64_t shifted = std::int64_t{factor} << (block * lanes + lane);
            lanes_of_row[block * 2][lane] =
                static_cast<std::int16_t>(before - digits_of(left - shifted));
            lanes_of_row[block * 2 + 1][lane] =
                static_cast<std::int16_t>(before - digits_of(left + shifted));
        }
    }
}

const Cover::Lanes* Cover::known_digits(std::int32_t factor, std::int32_t left) {
    const std::uint64_t key =
        static_cast<std::uint64_t>(factor) << 32 | static_cast<std::uint32_t>(left + 1);
    std::size_t at = key * 0x9e3779b97f4a7c15u >> known_shift_;
    while (known_[at].key != 0) {
        if (known_[at].key == key) {
            return &known_lanes_[known_[at].place];
        }
        at = (at + 1) & (known_.size() - 1);
    }
    const std::size_t place = known_lanes_.size();
    known_[at] = {key, static_cast<std::uint32_t>(place)};
    known_lanes_.resize(place + index(blocks_) * 2);
    make_digits(factor, left, &known_lanes_[place]);
    work_ += 8 * blocks_;
    if (++known_count_ * 2 > known_.size()) {
        const std::vector<Known> before = std::move(known_);
        known_.assign(before.size() * 2, {});
        --known_shift_;
        for (const Known& known : before) {
            if (known.key != 0) {
                std::size_t to = known.key * 0x9e3779b97f4a7c15u >> known_shift_;
                while (known_[to].key != 0) {
                    to = (to + 1) & (known_.size() - 1);
                }
                known_[to] = known;
            }
        }
    }
    return &known_lanes_[place];
}

// Digits that the row's factor takes away from what is left of its input.
void Cover::fill_row(std::uint32_t row) {
    const std::size_t width = index(blocks_) * 2;
    const std::int32_t left = residual_[index(rows_[row].input)];
    states_[row].left = left;
    const Lanes* const known = known_digits(rows_[row].factor, std::abs(left));
    Lanes* const to = &digits_[row * width];
    const std::size_t swap = left < 0 ? 1 : 0;
    for (std::size_t k = 0; k < width; ++k) {
        to[k] = known[k ^ swap];
    }
    work_ += blocks_;
}

// Adds the term to what is left, or takes it away. False: that becomes too large.
bool Cover::change(const Sums& sums, const Term& term, int sign) {
    bool fits = true;
    const Form& form = forms_[index(term.value)];
    const bool opposite = ((form.key != sums.at(term.value).key) != term.negative) != (sign < 0);
    for (std::uint32_t at = form.first; at < form.last; ++at) {
        const Row& row = rows_[index(elements_[at] >> 1)];
        const std::int64_t factor = row.factor * (std::int64_t{1} << term.shift);
        const std::int64_t left = residual_[index(row.input)] +
                                  (((elements_[at] & 1) != 0) != opposite ? -factor : factor);
        fits = fits && -largest_left < left && left < largest_left;
        residual_[index(row.input)] = fits ? static_cast<std::int32_t>(left) : 0;
        if (filled_[index(row.input)] == 0) {
            filled_[index(row.input)] = 1;
            touched_.push_back(row.input);
        }
    }
    return fits;
}

const std::vector<Term>& Cover::find(const Sums& sums, const Term& root, int level,
                                     const std::vector<char>& taken, std::size_t most_terms,
                                     std::uint64_t& random) {
    terms_.clear();
    if (digits_.size() < rows_.size() * 2 * index(blocks_)) {
        digits_.resize((rows_.size() + rows_.size() / 2) * 2 * index(blocks_));
    }
    for (std::size_t row = states_.size(); row < rows_.size(); ++row) {
        states_.push_back({rows_[row].input, unknown});
    }
    change(sums, root, 1);
    int total = 0;
    for (const std::int32_t input : touched_) {
        total += digits_of(residual_[index(input)]);
    }
    if (!search(sums, total, level, taken, most_terms, random)) {
        terms_.clear();
    }
    for (const std::int32_t input : touched_) {
        residual_[index(input)] = 0;
        filled_[index(input)] = 0;
    }
    touched_.clear();
    return terms_;
}

Cover::Gains Cover::gains_of(std::int32_t value, int block) {
    const Form form = forms_[index(value)];
    const std::size_t width = index(blocks_);
    const Lanes* const digits = &digits_[index(block) * 2];
    Gains gains{};
    for (std::uint32_t at = form.first; at < form.last; ++at) {
        const std::uint32_t element = elements_[at];
        const RowState& state = states_[element >> 1];
        if (state.left != residual_[index(state.input)]) {
            fill_row(element >> 1);
        }
        const Lanes* const row = digits + (element & ~1u) * width;
        gains.subtracted += row[element & 1];
        gains.added += row[(element & 1) ^ 1];
    }
    return gains;
}

// Most digits that any shift of the value takes away.
int Cover::most_of(std::int32_t value) {
    int most = 0;
    for (int block = 0; block < blocks_; ++block) {
        const Gains gains = gains_of(value, block);
        const Lanes larger = gains.subtracted > gains.added ? gains.subtracted : gains.added;
        for (int lane = 0; lane < lanes; ++lane) {
            most = std::max<int>(most, larger[lane]);
        }
    }
    return most;
}

bool Cover::search(const Sums& sums, int total, int level, const std::vector<char>& taken,
                   std::size_t most_terms, std::uint64_t& random) {
    std::int64_t slack = (std::int64_t{1} << level) - total;
    const auto values = static_cast<std::int32_t>(sums.values().size());
    std::size_t elements = 0;
    for (auto& bucket : buckets_) {
        bucket.clear();
    }
    for (std::int32_t v = sums.inputs(); v < values; ++v) {
        const Sum& sum = sums.at(v);
        if (!sum.alive || taken[index(v)] != 0 || sum.level >= level) {
            continue;
        }
        elements += forms_[index(v)].last - forms_[index(v)].first + 4;
        if (const int most = most_of(v); most >= 2) {
            buckets_.resize(std::max(buckets_.size(), index(most) + 1));
            buckets_[index(most)].push_back(v);
        }
    }
    work_ += static_cast<std::int64_t>(elements) * blocks_ / 4;
    while (total > 0) {
        // Values take less the less is left, so those that took little before need no look.
        int most = 1;
        int ties = 0;
        Term chosen{-1, 0, false};
        for (std::size_t b = buckets_.size(); b-- > index(most) + 1;) {
            for (const std::int32_t v : buckets_[b]) {
                const std::int64_t needed = std::int64_t{1} << sums.at(v).level;
                int bound = 0;
                for (int block = 0; block < blocks_; ++block) {
                    const Gains gains = gains_of(v, block);
                    for (int k = 0; k < 2 * lanes; ++k) {
                        const int gain = k < lanes ? gains.subtracted[k] : gains.added[k - lanes];
                        bound = std::max(bound, gain);
                        if (gain < most || gain < 2 || needed - gain > slack) {
                            continue;
                        }
                        ties = gain == most ? ties + 1 : 1;
                        most = gain;
                        if (ties == 1 ||
                            next_random(random) % static_cast<std::uint64_t>(ties) == 0) {
                            chosen = {v, static_cast<std::uint8_t>(block * lanes + k % lanes),
                                      k >= lanes};
                        }
                    }
                }
                looked_at_.push_back({v, bound});
            }
            buckets_[b].clear();
        }
        for (const auto& [v, bound] : looked_at_) {
            if (bound >= 2) {
                buckets_.resize(std::max(buckets_.size(), index(bound) + 1));
                buckets_[index(bound)].push_back(v);
            }
        }
        work_ += static_cast<std::int64_t>(looked_at_.size()) * blocks_ * 2;
        looked_at_.clear();
        // Later values take no more than this one does.
        const int steps = chosen.value < 0 ? total : (total + most - 1) / most;
        if (terms_.size() + index(steps) > most_terms) {
            return false;
        }
        if (chosen.value < 0) {
            break;
        }
        const Form& form = forms_[index(chosen.value)];
        if (form.key != sums.at(chosen.value).key) {
            chosen.negative = !chosen.negative;
        }
        if (!change(sums, chosen, -1)) {
            return false;
        }
        total -= most;
        slack += most - (std::int64_t{1} << sums.at(chosen.value).level);
        terms_.push_back(chosen);
    }
    for (const std::int32_t input : touched_) {
        append_digits(input, residual_[index(input)], terms_);
    }
    return terms_.size() <= most_terms;
}

}  // namespace gatewright::linear
