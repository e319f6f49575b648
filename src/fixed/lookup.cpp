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

/// a = constant + x, or constant - x.
struct Plain {
    Fixed x;
    Int128 constant = 0;
    bool negative = false;

    bool is_a() const { return constant == 0 && !negative; }
    /// The x of a value of `a`.
    bool find(Int128 value, Int128& of_x) const {
        return negative ? !__builtin_sub_overflow(constant, value, &of_x)
                        : !__builtin_sub_overflow(value, constant, &of_x);
    }
};

/// Finds the constant that was added to `a` last, so that numbers that `a` is compared with can
/// take it in.
Plain without_constant(Builder& builder, const Fixed& a) {
    const bits::Builder& bits = builder.bits();
    const int width = a.type.width;
    bits::NodeId id = a.bits;
    // All on the way is a.bits modulo 2^width.
    while (bits.node(id).op == bits::Op::cast &&
           bits.type(bits.node(id).operand[0]).width >= width) {
        id = bits.node(id).operand[0];
    }
    const bits::Node sum = bits.node(id);
    const bool negative = sum.op == bits::Op::sub;
    const bits::NodeId added = sum.operand[negative ? 0 : 1];
    if ((sum.op != bits::Op::add && !negative) || sum.type.width < width ||
        !bits.is_constant(added)) {
        return {a};
    }
    const bits::NodeId x = sum.operand[negative ? 1 : 0];
    const bits::Type type = bits.type(x);
    Plain out{{}, bits.constant_value(added), negative};
    Interval range;
    if (type.width > width || !out.find(negative ? a.range.high : a.range.low, range.low) ||
        !out.find(negative ? a.range.low : a.range.high, range.high) ||
        !bits::holds(type, range.low) || !bits::holds(type, range.high)) {
        return {a};
    }
    // Of the integers that x's type holds, only one gives `a` modulo 2^width.
    out.x = builder.value(x, range, a.type.frac);
    return out;
}

}  // namespace

Fixed Builder::lookup(const Fixed& a, std::string_view name, Int128 low,
                      const std::vector<Int128>& words, int frac) {
    const Plain plain = without_constant(*this, a);
    Int128 low_of_x = 0;
    Int128 high = 0;
    if (!plain.is_a() &&
        !__builtin_add_overflow(low, static_cast<Int128>(words.size()) - 1, &high) &&
        plain.find(plain.negative ? high : low, low_of_x)) {
        std::vector<Int128> of_x = words;
        if (plain.negative) {
            std::ranges::reverse(of_x);
        }
        return lookup(plain.x, name, low_of_x, of_x, frac);
    }
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
    // Of constant - x, the thresholds that x passes are those that `a` does not.
    const Plain plain = without_constant(*this, a);
    std::vector<Int128> of_x = kept;
    const bool fits = std::ranges::all_of(of_x, [&](Int128& threshold) {
        return plain.find(threshold, threshold) &&
               !(plain.negative && __builtin_add_overflow(threshold, Int128{1}, &threshold));
    });
    if (fits && plain.negative) {
        std::ranges::reverse(of_x);
        std::ranges::reverse(values);
    }
    kept = fits ? of_x : kept;
    const Fixed compared = scale(fits ? plain.x : a, a.type.frac);
    if (kept.size() == 1) {
        return by_comparators(compared, kept, values);
    }
    // Low bits that are zero in all thresholds change nothing.
    int zeros = 127;
    for (const Int128 threshold : kept) {
        zeros = std::min(zeros, trailing_zeros(static_cast<UInt128>(threshold)));
    }
    const Fixed x = shifted_down(compared, zeros);
    for (Int128& threshold : kept) {
        threshold >>= zeros;
    }

    // Estimate the forms in lookup tables of four inputs.
    const auto count = static_cast<std::int64_t>(kept.size());
    const int code_bits = bit_length(kept.size());
    const int width = x.type.width;
    const int result_bits = span_bits(
        {std::min(values.front(), values.back()), std::max(values.front(), values.back())});
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
