#include "linear/cover.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "linear/signed_digits.h"

namespace gatewright::linear {

namespace {

constexpr std::int32_t largest_coefficient = 1 << 22;
constexpr std::int64_t largest_left = 1 << 28;
constexpr std::int32_t most_inputs = 1 << 11;                ///< they have 11 bits of an element
constexpr std::size_t most_elements = std::size_t{1} << 25;  ///< 128 MiB
constexpr std::size_t most_digits = std::size_t{1} << 21;    ///< 64 MiB; the tables are begun anew

/// Factors of former rounds stay, so that their digits are not made again, up to so many.
constexpr std::size_t most_former_factors = 1000;

int count_digits(std::uint64_t magnitude) {
    return std::popcount(magnitude ^ (magnitude * 3));
}

/// Non-zero canonical digits of 0, 1, 2 ...
const auto small_counts = [] {
    std::array<std::int8_t, 1 << 12> counts{};
    for (std::size_t k = 0; k < counts.size(); ++k) {
        counts[k] = static_cast<std::int8_t>(count_digits(k));
    }
    return counts;
}();

int digits_of(std::int64_t x) {
    const auto magnitude = static_cast<std::uint64_t>(x < 0 ? -x : x);
    return magnitude < small_counts.size() ? small_counts[magnitude] : count_digits(magnitude);
}

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

Cover::Gains saturated_sum(Cover::Gains a, Cover::Gains b) {
#ifdef __SSE2__
    return reinterpret_cast<Cover::Gains>(
        _mm_adds_epi8(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
    Cover::Gains sum;
    for (std::size_t k = 0; k < sizeof sum; ++k) {
        sum[k] = static_cast<std::int8_t>(std::clamp(a[k] + b[k], -128, 127));
    }
    return sum;
#endif
}

int largest_of(Cover::Gains gains) {
#ifdef __SSE2__
    const __m128i sign = _mm_set1_epi8(-128);  // bytes are compared without signs
    __m128i all = _mm_xor_si128(reinterpret_cast<__m128i>(gains), sign);
    all = _mm_max_epu8(all, _mm_srli_si128(all, 8));
    all = _mm_max_epu8(all, _mm_srli_si128(all, 4));
    all = _mm_max_epu8(all, _mm_srli_si128(all, 2));
    all = _mm_max_epu8(all, _mm_srli_si128(all, 1));
    return (_mm_cvtsi128_si32(all) & 255) - 128;
#else
    int largest = gains[0];
    for (std::size_t k = 1; k < sizeof gains; ++k) {
        largest = std::max<int>(largest, gains[k]);
    }
    return largest;
#endif
}

}  // namespace

void Cover::append(std::int32_t input, std::int32_t coefficient) {
    const std::int32_t factor = std::abs(coefficient);
    const auto [known, is_new] =
        ids_.try_emplace(factor, static_cast<std::uint32_t>(factors_.size()));
    if (is_new) {
        factors_.push_back(factor);
    }
    const std::uint32_t id = known->second;
    FactorsOfInput& of_input = factors_of_input_[index(input)];
    if (of_input.has.size() <= id) {
        of_input.has.resize(factors_.size() * 2);
    }
    if (!of_input.has[id]) {
        of_input.has[id] = true;
        of_input.ids.push_back(id);
    }
    elements_.push_back({static_cast<std::uint32_t>(input), id * 4 + (coefficient < 0 ? 1 : 0)});
}

std::int32_t Cover::coefficient(Element element) const {
    const std::int32_t factor = factors_[element.place >> 2];
    return (element.place & 1) != 0 ? -factor : factor;
}

void Cover::enter(const Sums& sums, std::int32_t value) {
    if (forms_.size() <= index(value)) {
        forms_.resize(index(value) + 1);
    }
    Form form;
    form.first = static_cast<std::uint32_t>(elements_.size());
    form.key = sums.at(value).key;
    if (value < sums.inputs()) {
        append(value, 1);
    } else {
        const Sum& sum = sums.at(value);
        const Form low = forms_[index(sum.low)];
        const Form high = forms_[index(sum.high)];
        const int of_low = low.key != sums.at(sum.low).key ? -1 : 1;
        const bool high_negative = (high.key != sums.at(sum.high).key) != sum.negative;
        const int of_high = (high_negative ? -1 : 1) * (1 << sum.distance);
        const auto input = [&](std::uint32_t at, const Form& f) {
            return at < f.last ? static_cast<std::int32_t>(elements_[at].input) : most_inputs;
        };
        for (std::uint32_t a = low.first, b = high.first; a < low.last || b < high.last;) {
            const std::int32_t of_a = input(a, low);
            const std::int32_t of_b = input(b, high);
            std::int32_t both = 0;
            if (of_a <= of_b) {
                both += coefficient(elements_[a++]) * of_low;
            }
            if (of_b <= of_a) {
                both += coefficient(elements_[b++]) * of_high;
            }
            if (both != 0) {
                append(std::min(of_a, of_b), both);
            }
        }
    }
    form.last = static_cast<std::uint32_t>(elements_.size());
    forms_[index(value)] = form;
    if (value >= sums.inputs()) {
        int digits = 0;
        for (std::uint32_t at = form.first; at < form.last; ++at) {
            digits += digits_of(coefficient(elements_[at]));
        }
        candidates_[std::min(index(digits), most_gain)].push_back(
            {value, form.first, static_cast<std::uint16_t>(form.last - form.first),
             static_cast<std::int16_t>(sums.at(value).level)});
    }
}

bool Cover::reset(const Sums& sums) {
    if (sums.inputs() > most_inputs) {
        return false;
    }
    if (factors_.size() > most_former_factors) {
        factors_.clear();
        ids_.clear();
        capacity_ = 0;
    }
    factors_of_input_.assign(index(sums.inputs()), {});
    elements_.clear();
    forms_.clear();
    candidates_.assign(most_gain + 1, {});
    alive_.assign(most_gain + 1, 0);
    looked_at_.resize(most_gain + 1);
    left_.assign(index(sums.inputs()), 0);
    std::vector<std::int64_t> bounds(sums.values().size(), 1);
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
    for (std::size_t digits = 0; digits <= most_gain; ++digits) {
        // Loops of equal lengths, one after the other, are predicted.
        std::ranges::stable_sort(candidates_[digits], {}, &Candidate::elements);
        alive_[digits] = candidates_[digits].size();
    }
    const std::size_t blocks = blocks_for(sums);
    if (blocks != blocks_) {
        blocks_ = blocks;
        capacity_ = 0;
    }
    for (Table& table : tables_) {
        table.ready.assign(left_.size(), 0);
    }
    bases_.assign(left_.size(), {});
    return true;
}

// As many shifts as the largest coefficient of an output has bits; few values are larger.
std::size_t Cover::blocks_for(const Sums& sums) const {
    std::int32_t largest = 1;
    for (std::size_t v = 0; v < forms_.size(); ++v) {
        const Sum& sum = sums.values()[v];
        if (sum.alive && sum.outputs > 0) {
            for (std::uint32_t at = forms_[v].first; at < forms_[v].last; ++at) {
                largest = std::max(largest, std::abs(coefficient(elements_[at])));
            }
        }
    }
    const int bits = std::bit_width(static_cast<std::uint32_t>(largest));
    return static_cast<std::size_t>(std::max(1, (bits - 1 + shifts - 1) / shifts));
}

void Cover::forget_tables() {
    capacity_ = factors_.size() + factors_.size() / 2 + 64;
    tables_.clear();
    table_of_.clear();
    bases_.assign(left_.size(), {});
}

void Cover::make_digits(std::int32_t factor, std::int32_t left, Digits* digits) const {
    const int before = digits_of(left);
    for (std::size_t block = 0; block < blocks_; ++block) {
        auto& lanes = digits[block * capacity_].lanes;
        for (int k = 0; k < shifts; ++k) {
            const std::int64_t shifted = std::int64_t{factor}
                                         << (static_cast<int>(block) * shifts + k);
            lanes[k] = lanes[k + 2 * shifts] =
                static_cast<std::int8_t>(before - digits_of(left - shifted));
            lanes[k + shifts] = lanes[k + 3 * shifts] =
                static_cast<std::int8_t>(before - digits_of(left + shifted));
        }
    }
}

// Makes ready what the factors of an input take from what is left of it.
void Cover::look_up(std::size_t input) {
    const std::int32_t left = left_[input];
    const auto [known, is_new] = table_of_.try_emplace(std::abs(left), tables_.size());
    if (is_new) {
        tables_.push_back(
            {std::vector<Digits>(capacity_ * blocks_), std::vector<std::uint32_t>(left_.size())});
        work_ += static_cast<std::int64_t>(capacity_ * blocks_) / 16;
    }
    Table& table = tables_[known->second];
    std::uint32_t& ready = table.ready[input];
    const std::vector<std::uint32_t>& ids = factors_of_input_[input].ids;
    for (; ready < ids.size(); ++ready) {
        Digits& digits = table.digits[ids[ready]];
        if (digits.lanes[0] == unknown) {
            make_digits(factors_[ids[ready]], std::abs(left), &digits);
            work_ += static_cast<std::int64_t>(blocks_);
        }
    }
    bases_[input] = {table.digits.front().lanes + (left < 0 ? shifts : 0), left};
}

// Adds the term to what is left (sign 1), or takes it away (-1), and counts its digits in `total`.
// False: it becomes too large.
bool Cover::change(const Sums& sums, const Term& term, int sign, int& total) {
    bool fits = true;
    const Form& form = forms_[index(term.value)];
    const bool opposite = ((form.key != sums.at(term.value).key) != term.negative) != (sign < 0);
    for (std::uint32_t at = form.first; at < form.last; ++at) {
        std::int32_t& left = left_[elements_[at].input];
        const std::int64_t factor = coefficient(elements_[at]) * (std::int64_t{1} << term.shift);
        const std::int64_t after = left + (opposite ? -factor : factor);
        fits = fits && -largest_left < after && after < largest_left;
        if (fits) {
            total += digits_of(after) - digits_of(left);
            left = static_cast<std::int32_t>(after);
        }
    }
    return fits;
}

// Once in a while, as it takes time as well.
void Cover::forget_dead(const Sums& sums, std::size_t digits) {
    std::vector<Candidate>& all = candidates_[digits];
    if (all.size() > alive_[digits] + alive_[digits] / 4 + 4) {
        std::erase_if(all, [&](const Candidate& c) { return !sums.at(c.value).alive; });
        alive_[digits] = all.size();
    }
}

const std::vector<Term>& Cover::find(const Sums& sums, const Term& root, int level,
                                     const std::vector<char>& taken, std::size_t most_terms,
                                     std::uint64_t& random) {
    terms_.clear();
    if (factors_.size() > capacity_ || tables_.size() * capacity_ * blocks_ > most_digits) {
        forget_tables();
    }
    int total = 0;
    if (!change(sums, root, 1, total) || !search(sums, total, level, taken, most_terms, random)) {
        terms_.clear();
    }
    std::fill(left_.begin(), left_.end(), 0);
    return terms_;
}

inline Cover::Gains Cover::gains_of(const Candidate& candidate, std::size_t block) const {
    const std::size_t offset = block * capacity_ * sizeof(Digits);
    const Element* const elements = &elements_[candidate.first];
    Gains gains{};
    for (std::uint32_t k = 0; k < candidate.elements; ++k) {
        const Element element = elements[k];
        Gains of_element;
        std::memcpy(&of_element,
                    bases_[element.input].lanes + offset + element.place * std::size_t{shifts},
                    sizeof of_element);
        gains = saturated_sum(gains, of_element);
    }
    return gains;
}

// Chooses the value if it takes more than what was chosen before, or by chance if as much.
inline void Cover::look_at(const Sums& sums, const Candidate& candidate, Choice& choice,
                           std::uint64_t& random) {
    int bound = 0;
    for (std::size_t block = 0; block < blocks_; ++block) {
        const Gains gains = gains_of(candidate, block);
        const int larger = largest_of(gains);
        bound = std::max(bound, larger);
        if (larger < choice.gain || !sums.at(candidate.value).alive) {
            continue;
        }
        const std::int64_t needed = std::int64_t{1} << candidate.level;
        for (int k = 0; k < 2 * shifts; ++k) {
            const int gain = gains[k];
            if (gain < choice.gain || needed - gain > choice.slack) {
                continue;
            }
            choice.ties = gain == choice.gain ? choice.ties + 1 : 1;
            choice.gain = gain;
            if (choice.ties == 1 || (next_random(random) >> 32) * choice.ties >> 32 == 0) {
                choice.term = {
                    candidate.value,
                    static_cast<std::uint8_t>(static_cast<int>(block) * shifts + k % shifts),
                    k >= shifts};
            }
        }
    }
    if (bound >= least_gain) {
        looked_at_[index(bound)].push_back(candidate);
    }
}

bool Cover::search(const Sums& sums, int total, int level, const std::vector<char>& taken,
                   std::size_t most_terms, std::uint64_t& random) {
    std::int64_t slack = (std::int64_t{1} << level) - total;
    for (auto& some : looked_at_) {
        some.clear();
    }
    std::size_t digits_looked_at = most_gain + 1;  // values of fewer were not looked at yet
    for (bool is_first = true; total > 0; is_first = false) {
        for (std::size_t input = 0; input < left_.size(); ++input) {
            if (is_first || bases_[input].left != left_[input]) {
                look_up(input);
            }
        }
        // Later values take no more than this one does, so it must take its share.
        const int places = static_cast<int>(most_terms - terms_.size());
        if (places == 0) {
            return false;
        }
        Choice choice{.slack = slack, .gain = std::max(least_gain, (total + places - 1) / places)};
        std::size_t looked_at = 0;
        // A value takes no more than its digits, nor more than it took when more was left.
        for (std::size_t b = most_gain + 1; b-- > index(choice.gain + (choice.ties > 0 ? 1 : 0));) {
            waiting_.swap(looked_at_[b]);
            for (const Candidate& candidate : waiting_) {
                look_at(sums, candidate, choice, random);
                looked_at += candidate.elements + 8u;
            }
            waiting_.clear();
            if (b < digits_looked_at) {
                digits_looked_at = b;
                forget_dead(sums, b);
                for (const Candidate& candidate : candidates_[b]) {
                    if (candidate.level < level && taken[index(candidate.value)] == 0) {
                        look_at(sums, candidate, choice, random);
                        looked_at += candidate.elements + 8u;
                    }
                }
            }
        }
        work_ += static_cast<std::int64_t>(looked_at * blocks_) / 24;
        if (choice.term.value < 0) {
            break;
        }
        Term& term = choice.term;
        term.negative = term.negative != (forms_[index(term.value)].key != sums.at(term.value).key);
        const int before = total;
        if (!change(sums, term, -1, total)) {
            return false;
        }
        slack += before - total - (std::int64_t{1} << sums.at(term.value).level);
        terms_.push_back(term);
    }
    for (std::size_t input = 0; input < left_.size(); ++input) {
        append_digits(static_cast<std::int32_t>(input), left_[input], terms_);
    }
    return terms_.size() <= most_terms;
}

}  // namespace gatewright::linear
