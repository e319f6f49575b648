#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "fixed/exact.h"
#include "fixed/fixed.h"

namespace gatewright::fixed {

namespace {

/// What the overflow mode lets through: the type's range, made symmetric where that is asked for.
Interval target_range(const FixedType& type, Overflow overflow) {
    Interval range = type.range();
    if (overflow == Overflow::saturate_symmetric && type.is_signed && type.width > 0) {
        range.low = -range.high;
    }
    return range;
}

/// The range of the integers of `range` after reduction into `type`.
Interval wrapped_range(const Interval& range, const FixedType& type) {
    const bits::Type reduced = bits_type(type);
    const Interval out{bits::wrap(range.low, reduced), bits::wrap(range.high, reduced)};
    const UInt128 span = static_cast<UInt128>(range.high) - static_cast<UInt128>(range.low);
    const UInt128 out_span = static_cast<UInt128>(out.high) - static_cast<UInt128>(out.low);
    // Equal spans: no wrap in between, all values moved by the same multiple of 2^width.
    return out.low <= out.high && span == out_span ? out : type.range();
}

/// The same rounding for values that are not negative, without a look at signs.
Rounding for_nonnegative(Rounding rounding) {
    switch (rounding) {
        case Rounding::toward_zero:
            return Rounding::floor;
        case Rounding::away:
            return Rounding::ceil;
        case Rounding::half_away:
            return Rounding::half_up;
        case Rounding::half_zero:
            return Rounding::half_down;
        default:
            return rounding;
    }
}

/// What is added before `dropped` bits are cut off, if the rounding is floor(value + offset) (for
/// half_even: but for ties); 0: it is not.
Int128 rounding_offset(Rounding rounding, int dropped) {
    const Int128 half = static_cast<Int128>(1) << (dropped - 1);
    switch (rounding) {
        case Rounding::half_up:
        case Rounding::half_even:
            return half;
        case Rounding::half_down:
            return half - 1;
        case Rounding::ceil:
            return 2 * half - 1;
        default:
            return 0;
    }
}

bool is_representable(const FixedType& type) {
    return type.width >= 0 && type.width <= max_width - (type.is_signed ? 0 : 1);
}

}  // namespace

Int128 round_shift(Int128 value, int dropped, Rounding rounding) {
    if (dropped == 0) {
        return value;
    }
    const bool negative = value < 0;
    Int128 floor = 0;
    bool exact = false;
    int against_half = 0;  // sign of (dropped part - 1/2)
    if (dropped < 128) {
        const UInt128 rest =
            static_cast<UInt128>(value) & ((static_cast<UInt128>(1) << dropped) - 1);
        const UInt128 half = static_cast<UInt128>(1) << (dropped - 1);
        floor = value >> dropped;
        exact = rest == 0;
        against_half = rest < half ? -1 : rest == half ? 0 : 1;
    } else {
        // |value| <= 2^127 <= 2^(dropped-1): the dropped part is value, or value + 2^dropped.
        const bool is_tie = dropped == 128 && value == std::numeric_limits<Int128>::min();
        floor = negative ? -1 : 0;
        exact = value == 0;
        against_half = !negative ? -1 : is_tie ? 0 : 1;
    }
    bool up = false;
    switch (rounding) {
        case Rounding::floor:
            break;
        case Rounding::ceil:
            up = !exact;
            break;
        case Rounding::toward_zero:
            up = !exact && negative;
            break;
        case Rounding::away:
            up = !exact && !negative;
            break;
        case Rounding::half_up:
            up = against_half >= 0;
            break;
        case Rounding::half_down:
            up = against_half > 0;
            break;
        case Rounding::half_even:
            up = against_half > 0 || (against_half == 0 && (floor & 1) != 0);
            break;
        case Rounding::half_away:
            up = against_half > 0 || (against_half == 0 && !negative);
            break;
        case Rounding::half_zero:
            up = against_half > 0 || (against_half == 0 && negative);
            break;
    }
    return floor + (up ? 1 : 0);
}

Int128 quantize(Int128 value, int frac, const FixedType& type, Rounding rounding,
                Overflow overflow) {
    const Interval target = target_range(type, overflow);
    const int dropped = frac - type.frac;
    Int128 integer = 0;
    if (dropped >= 0) {
        integer = round_shift(value, dropped, rounding);
    } else if (const auto moved = shifted({value, value}, -dropped)) {
        integer = moved->low;
    } else if (overflow == Overflow::wrap) {  // only the low bits are of interest
        integer = dropped < -127 ? 0 : static_cast<Int128>(static_cast<UInt128>(value) << -dropped);
    } else {
        return value > 0 ? target.high : target.low;
    }
    return overflow == Overflow::wrap ? bits::wrap(integer, bits_type(type))
                                      : std::clamp(integer, target.low, target.high);
}

Fixed Builder::quantize(const Fixed& a, const FixedType& type, Rounding rounding,
                        Overflow overflow) {
    if (!is_representable(type)) {
        fail_width(fmt::format("the type {}", to_string(type)));
    }
    if (a.range.low == a.range.high) {
        return constant(fixed::quantize(a.range.low, a.type.frac, type, rounding, overflow),
                        type.frac);
    }
    const int dropped = a.type.frac - type.frac;
    if (dropped <= 0) {
        return shifted_up(a, -dropped, type, overflow);
    }
    const Interval target = target_range(type, overflow);
    if (a.range.low >= 0 || (target.low >= 0 && overflow != Overflow::wrap)) {
        rounding = for_nonnegative(rounding);  // negative values become 0 by any rounding
    }
    const Interval range{round_shift(a.range.low, dropped, rounding),
                         round_shift(a.range.high, dropped, rounding)};
    if (range.low == range.high) {
        return constant(fixed::quantize(a.range.low, a.type.frac, type, rounding, overflow),
                        type.frac);
    }
    const bool wraps = overflow == Overflow::wrap && !target.contains(range);
    const Interval kept = wraps ? wrapped_range(range, type) : range;
    // floor((a + offset) / 2^dropped), where the offset joins a constant that `a` has added
    // already, say a bias. Ties of half_even are the sums whose dropped bits are all zero; they
    // lose their lowest bit. Alone, other offsets do not pay.
    const auto rounded_by_offset = [&]() -> std::optional<bits::NodeId> {
        const Int128 offset = dropped < 126 ? rounding_offset(rounding, dropped) : 0;
        const auto sums = fixed::sum(a.range, {offset, offset});
        if (offset == 0 || !sums || width_for(*sums) > max_width) {
            return std::nullopt;
        }
        const bits::Node& node = bits_.node(a.bits);
        const bool joins = node.op == bits::Op::add && bits_.is_constant(node.operand[1]);
        if (!joins && rounding != Rounding::half_even) {
            return std::nullopt;
        }
        const Fixed sum = add(a, constant(offset, a.type.frac));
        const Fixed floor = shifted_down(sum, dropped);
        if (rounding != Rounding::half_even) {
            return floor.bits;
        }
        const Fixed tie = logical_not(at_least(low_bits(sum, dropped), 1));
        const bits::NodeId mask = bits_.bit_not(bits_.cast(tie.bits, {false, 1}), {true, 2});
        const Interval even{floor.range.low & ~static_cast<Int128>(1), floor.range.high};
        return bits_.bit_and(floor.bits, mask, bits_type(even));
    };
    Fixed out;
    if (dropped > 127) {
        const Fixed whole = rounded_far(a, dropped, rounding);
        out = finish(whole.bits, kept, type.frac);
    } else if (const auto moved = rounded_by_offset()) {
        out = finish(*moved, kept, type.frac);
    } else {
        // The dropped bits decide whether one is added to the floor: an adder as short as the
        // result, with a carry in.
        const Fixed floor = shifted_down(a, dropped);
        bits::NodeId node = floor.bits;
        if (rounding != Rounding::floor) {
            node = bits_.add(node, round_up_bit(a, dropped, rounding).bits, bits_type(kept));
        }
        out = finish(node, kept, type.frac);
    }
    return wraps ? out : clamp(out, target.low, target.high);
}

/// quantize() to a grid at least as fine: a * 2^amount, only overflow is left to do. The
/// comparisons look at the operand before the shift, which may be wider than 128 bits.
Fixed Builder::shifted_up(const Fixed& a, int amount, const FixedType& type, Overflow overflow) {
    const Interval target = target_range(type, overflow);
    const auto range = shifted(a.range, amount);
    if (range && target.contains(*range)) {
        return align(a, type.frac);
    }
    const int move = std::min(amount, 127);  // width is at most 128: the rest is zero either way
    if (overflow == Overflow::wrap) {
        if (amount >= type.width) {
            return constant(0, type.frac);
        }
        // All results are multiples of 2^amount.
        Interval kept = range ? wrapped_range(*range, type) : target;
        kept.high = (kept.high >> move) << move;
        return finish(bits_.shl(a.bits, move, bits_type(type)), kept, type.frac);
    }
    const Interval kept{
        fixed::quantize(a.range.low, a.type.frac, type, Rounding::floor, overflow),
        fixed::quantize(a.range.high, a.type.frac, type, Rounding::floor, overflow)};
    const Int128 low = round_shift(target.low, amount, Rounding::ceil);
    const Int128 high = round_shift(target.high, amount, Rounding::floor);
    // A shift by 127 is as good as a longer one: of the values it moves, only zero is let through.
    Fixed out{bits_.shl(a.bits, move, bits_type(kept)), type_for(kept, type.frac), kept};
    if (a.range.low < low) {
        out = choose(at_least(a, low), out, constant(target.low, type.frac), kept);
    }
    if (a.range.high > high) {
        out = choose(at_least(a, high + 1), constant(target.high, type.frac), out, kept);
    }
    return finish(out.bits, kept, type.frac);
}

/// The low `count` bits as an unsigned integer, at frac 0; count <= 127.
Fixed Builder::low_bits(const Fixed& a, int count) {
    const Interval all = FixedType{false, count, 0}.range();
    return finish(bits_.cast(a.bits, bits_type(all)), all.contains(a.range) ? a.range : all, 0);
}

/// Whether rounding goes up from the floor; 1 <= dropped <= 127.
Fixed Builder::round_up_bit(const Fixed& a, int dropped, Rounding rounding) {
    const auto inexact = [&] { return at_least(low_bits(a, dropped), 1); };
    const auto negative = [&] { return logical_not(at_least(a, 0)); };
    const auto half = [&] { return low_bits(shifted_down(a, dropped - 1), 1); };
    const auto beyond_half = [&] { return at_least(low_bits(a, dropped - 1), 1); };
    const auto odd = [&] { return low_bits(shifted_down(a, dropped), 1); };
    switch (rounding) {
        case Rounding::floor:
            break;
        case Rounding::ceil:
            return inexact();
        case Rounding::toward_zero:
            return logical_and(negative(), inexact());
        case Rounding::away:
            return logical_and(logical_not(negative()), inexact());
        case Rounding::half_up:
            return half();
        case Rounding::half_down:
            return logical_and(half(), beyond_half());
        case Rounding::half_even:
            return logical_and(half(), logical_or(odd(), beyond_half()));
        case Rounding::half_away:
            return logical_and(half(), logical_or(logical_not(negative()), beyond_half()));
        case Rounding::half_zero:
            return logical_and(half(), logical_or(negative(), beyond_half()));
    }
    return constant(0, 0);
}

/// Rounding where more bits are dropped than any value has: the result is -1, 0 or 1, by
/// comparisons with the least values that round to each.
Fixed Builder::rounded_far(const Fixed& a, int dropped, Rounding rounding) {
    const Int128 base = round_shift(a.range.low, dropped, rounding);
    const Int128 last = round_shift(a.range.high, dropped, rounding);
    std::vector<Int128> thresholds;
    for (Int128 k = base + 1; k <= last; ++k) {
        Int128 below = a.range.low;  // rounds to less than k
        Int128 least = a.range.high;
        while (static_cast<UInt128>(least) - static_cast<UInt128>(below) > 1) {
            const UInt128 span = static_cast<UInt128>(least) - static_cast<UInt128>(below);
            const Int128 middle = below + static_cast<Int128>(span / 2);
            (round_shift(middle, dropped, rounding) >= k ? least : below) = middle;
        }
        thresholds.push_back(least);
    }
    return count_thresholds(a, thresholds, base);
}

}  // namespace gatewright::fixed
