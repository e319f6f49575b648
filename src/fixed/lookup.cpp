#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>

#include "fixed/exact.h"
#include "fixed/fixed.h"

namespace gatewright::fixed {

namespace {

constexpr int max_table_bits = 10;  ///< of a step function made by choice, not by demand

/// Lookup tables of four inputs for one output bit of a table of 2^bits words.
std::int64_t table_luts(int bits) {
    return std::int64_t{1} << std::clamp(bits - 4, 0, 40);
}

/// For a comparison of so many bits: a carry chain takes two lookup tables for two bits.
std::int64_t comparator_luts(int bits) {
    return bits + 1;
}

/// For a step function as a table: neighbours mostly agree, so that logic minimisation finds less
/// than the size of the table, and no more than a short chain for each step. The factors are fits
/// to Yosys's results for ECP5 (widths 5 to 10, 3 to 15 steps), right within a fifth.
std::int64_t step_table_luts(int address_bits, int result_bits, std::int64_t steps) {
    return std::min(result_bits * table_luts(address_bits), steps * std::max(1, address_bits - 3)) *
           3 / 4;
}

int span_bits(const Interval& range) {
    return bit_length(static_cast<UInt128>(range.high) - static_cast<UInt128>(range.low));
}

}  // namespace

Fixed Builder::lookup(const Fixed& a, std::string_view name, Int128 low,
                      const std::vector<Int128>& words, int frac) {
    const auto size = static_cast<Int128>(words.size());
    if (a.range.low < low || a.range.high - low >= size) {
        throw std::logic_error("fixed: a table has no word for some value of its address");
    }
    const auto first = words.begin() + static_cast<std::ptrdiff_t>(a.range.low - low);
    const auto last = words.begin() + static_cast<std::ptrdiff_t>(a.range.high - low);
    const auto [least, greatest] = std::minmax_element(first, last + 1);
    const Interval range{*least, *greatest};
    if (range.low == range.high) {
        return constant(range.low, frac);
    }
    // The low bits of `a` number its values without a subtraction; the words are turned to match.
    const int address_bits = span_bits(a.range);
    const bits::Type address_type{false, static_cast<std::uint8_t>(address_bits)};
    std::vector<Int128> turned(std::size_t{1} << address_bits, *last);
    for (Int128 value = a.range.low; value <= a.range.high; ++value) {
        turned[static_cast<std::size_t>(bits::wrap(value, address_type))] =
            words[static_cast<std::size_t>(value - low)];
    }
    const int table = bits_.table(std::string(name), bits_type(range), std::move(turned));
    const bits::NodeId address = bits_.cast(a.bits, address_type);
    return finish(bits_.read(table, address, bits_type(range)), range, frac);
}

Fixed Builder::count_thresholds(const Fixed& a, const std::vector<Int128>& thresholds,
                                Int128 base) {
    if (!std::is_sorted(thresholds.begin(), thresholds.end())) {
        throw std::logic_error("fixed: thresholds must be sorted");
    }
    // Keep the distinct thresholds that some values reach and others do not; values[i] is the
    // result above the first i of them.
    std::vector<Int128> kept;
    std::vector<Int128> values{base};
    for (const Int128 threshold : thresholds) {
        if (threshold > a.range.high) {
            break;
        }
        if (threshold > a.range.low && (kept.empty() || kept.back() != threshold)) {
            kept.push_back(threshold);
            values.push_back(values.back());
        }
        if (__builtin_add_overflow(values.back(), Int128{1}, &values.back())) {
            fail_width("a count of thresholds");
        }
    }
    if (kept.empty()) {
        return constant(values.front(), 0);
    }
    if (kept.size() == 1) {
        return by_comparators(scale(a, a.type.frac), kept, values);
    }
    // Low bits that are zero in all thresholds change nothing.
    int zeros = 127;
    for (const Int128 threshold : kept) {
        zeros = std::min(zeros, trailing_zeros(static_cast<UInt128>(threshold)));
    }
    const Fixed x = shifted_down(scale(a, a.type.frac), zeros);
    for (Int128& threshold : kept) {
        threshold >>= zeros;
    }

    // Estimate the forms in lookup tables of four inputs.
    const auto count = static_cast<std::int64_t>(kept.size());
    const int code_bits = bit_length(kept.size());
    const int width = x.type.width;
    const int result_bits = span_bits({values.front(), values.back()});
    const bool unit_steps = values.back() - values.front() == count;
    std::int64_t comparators = unit_steps ? count - code_bits : count * result_bits / 2;
    for (const Int128 threshold : kept) {
        comparators += comparator_luts(
            width - std::min(width, trailing_zeros(static_cast<UInt128>(threshold))));
    }
    std::int64_t search = unit_steps ? 0 : result_bits * table_luts(code_bits);
    for (int level = 0; level < code_bits; ++level) {
        search += comparator_luts(width) + (level < 2 ? 0 : width * table_luts(level));
    }
    const int address_bits = span_bits(x.range);
    const std::int64_t table = step_table_luts(address_bits, result_bits, count);
    const bool take_table = address_bits <= max_table_bits && table <= comparators;
    // A search is deep, one comparison after the other, so it must pay.
    if (2 * search < (take_table ? table : comparators)) {
        return by_search(x, kept, values);
    }
    return take_table ? by_table(x, kept, values) : by_comparators(x, kept, values);
}

/// One word for each value of `a`.
Fixed Builder::by_table(const Fixed& a, const std::vector<Int128>& thresholds,
                        const std::vector<Int128>& values) {
    std::vector<Int128> words;
    std::size_t passed = 0;
    for (Int128 value = a.range.low; value <= a.range.high; ++value) {
        while (passed < thresholds.size() && thresholds[passed] <= value) {
            ++passed;
        }
        words.push_back(values[passed]);
    }
    return lookup(a, "thresholds", a.range.low, words, 0);
}

/// All comparisons side by side. They are a thermometer code: the middle one decides which half of
/// the others matters, so that multiplexers do instead of a sum.
Fixed Builder::by_comparators(const Fixed& a, const std::vector<Int128>& thresholds,
                              const std::vector<Int128>& values) {
    const auto part = [&](const auto& self, std::size_t first, std::size_t last) -> Fixed {
        if (first == last) {
            return constant(values[first], 0);
        }
        // Split so that the answer is the top bit of the number of thresholds passed.
        const std::size_t at = first + std::bit_floor(last - first) - 1;
        return select(at_least(a, thresholds[at]), self(self, at + 1, last), self(self, first, at));
    };
    return part(part, 0, thresholds.size());
}

/// Bisection: each comparison is with a threshold chosen by the bits found so far.
Fixed Builder::by_search(const Fixed& a, const std::vector<Int128>& thresholds,
                         const std::vector<Int128>& values) {
    const int levels = bit_length(thresholds.size());
    const std::size_t full = (std::size_t{1} << levels) - 1;
    std::vector<Int128> all = thresholds;
    const std::size_t padding = full - thresholds.size();
    // Thresholds that nothing reaches behind, or, at the end of the integers, that all reach
    // before.
    const bool behind = a.range.high < std::numeric_limits<Int128>::max();
    all.insert(behind ? all.end() : all.begin(), padding, behind ? a.range.high + 1 : a.range.low);

    Fixed code = constant(0, 0);
    for (int level = 0; level < levels; ++level) {
        const std::size_t block = std::size_t{1} << (levels - level);
        std::vector<Int128> middle;
        for (std::size_t start = 0; start < full; start += block) {
            middle.push_back(all[start + block / 2 - 1]);
        }
        const Fixed threshold = lookup(code, "thresholds", 0, middle, a.type.frac);
        const Fixed bit = logical_not(less(a, threshold));
        const Interval range{2 * code.range.low + bit.range.low,
                             2 * code.range.high + bit.range.high};
        const bits::Type type = bits_type(range);
        code = finish(bits_.bit_or(bits_.shl(code.bits, 1, type), bit.bits, type), range, 0);
    }
    const auto before = static_cast<Int128>(behind ? 0 : padding);
    const auto count = static_cast<Int128>(thresholds.size());
    code = assume_range(code, {before, before + count});
    if (values.back() - values.front() == count) {
        return add(code, constant(values.front() - before, 0));
    }
    return lookup(code, "counts", before, values, 0);
}

}  // namespace gatewright::fixed
