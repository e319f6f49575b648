#include "fixed/fixed.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/diagnostics.h"
#include "fixed/exact.h"

namespace gatewright::fixed {

namespace {

constexpr bits::Type bit_type{false, 1};
constexpr Interval bit_range{0, 1};

void require(bool holds, const char* what) {
    if (!holds) {
        throw std::logic_error(std::string("fixed: ") + what);
    }
}

/// integer * 2^-from as an integer at `to`, rounded; nothing where it does not fit.
std::optional<Int128> rescaled(Int128 integer, int from, int to, Rounding rounding) {
    if (from >= to) {
        return round_shift(integer, from - to, rounding);
    }
    const auto moved = shifted({integer, integer}, to - from);
    return moved ? std::optional(moved->low) : std::nullopt;
}

}  // namespace

void Builder::set_origin(std::string_view layer) {
    origin_ = layer;
    bits_.set_origin(layer);
}

void Builder::fail_width(std::string_view what) const {
    throw Failure(Code::width_exceeded, Location{"", origin_, "", ""},
                  fmt::format("{} needs more than {} bits", what, max_width),
                  "give the layer before it a narrower type");
}

/// The only place where a Fixed is born: the node is cast to the narrowest type of its range, and a
/// range of one value becomes a constant.
Fixed Builder::finish(bits::NodeId node, const Interval& range, int frac) {
    require(range.low <= range.high, "empty range");
    const FixedType type = type_for(range, frac);
    if (range.low == range.high) {
        return {bits_.constant(range.low, bits_type(range)), type, range};
    }
    const bits::NodeId out = bits_.cast(node, bits_type(range));
    if (bits_.is_constant(out)) {  // the builder saw more than the intervals did
        return constant(bits_.constant_value(out), frac);
    }
    return {out, type, range};
}

Fixed Builder::input(std::string name, const FixedType& type, const Interval& range) {
    require(type.range().contains(range) && range.low <= range.high,
            "an input's range must lie within its type");
    const bits::NodeId node = bits_.input(std::move(name), bits_type(type));
    return finish(node, range, type.frac);
}

Fixed Builder::value(bits::NodeId node, const Interval& range, int frac) {
    return finish(node, range, frac);
}

Fixed Builder::constant(Int128 integer, int frac) {
    const Interval range{integer, integer};
    return {bits_.constant(integer, bits_type(range)), type_for(range, frac), range};
}

Fixed Builder::align(const Fixed& a, int frac) {
    require(frac >= a.type.frac, "align never drops bits");
    const int amount = frac - a.type.frac;
    if (amount == 0) {
        return a;
    }
    const auto range = shifted(a.range, amount);
    if (!range) {
        fail_width(fmt::format("{} with {} bits behind the point", to_string(a.type), frac));
    }
    if (range->low == range->high) {
        return constant(range->low, frac);
    }
    return finish(bits_.shl(a.bits, amount, bits_type(*range)), *range, frac);
}

Fixed Builder::add(const Fixed& a, const Fixed& b) {
    const int frac = std::max(a.type.frac, b.type.frac);
    const Fixed x = align(a, frac);
    const Fixed y = align(b, frac);
    const auto range = fixed::sum(x.range, y.range);
    if (!range) {
        fail_width(fmt::format("the sum of {} and {}", to_string(a.type), to_string(b.type)));
    }
    return finish(bits_.add(x.bits, y.bits, bits_type(*range)), *range, frac);
}

Fixed Builder::sub(const Fixed& a, const Fixed& b) {
    const int frac = std::max(a.type.frac, b.type.frac);
    const Fixed x = align(a, frac);
    const Fixed y = align(b, frac);
    if (x.bits == y.bits) {
        return constant(0, frac);
    }
    const auto range = difference(x.range, y.range);
    if (!range) {
        fail_width(
            fmt::format("the difference of {} and {}", to_string(a.type), to_string(b.type)));
    }
    return finish(bits_.sub(x.bits, y.bits, bits_type(*range)), *range, frac);
}

Fixed Builder::neg(const Fixed& a) {
    return sub(constant(0, a.type.frac), a);
}

Fixed Builder::mul(const Fixed& a, const Fixed& b) {
    const int frac = a.type.frac + b.type.frac;
    auto range = product(a.range, b.range);
    if (!range) {
        fail_width(fmt::format("the product of {} and {}", to_string(a.type), to_string(b.type)));
    }
    if (a.range.low == a.range.high) {
        if (signed_digits(a.range.low).size() <= 2) {
            return mul_constant(b, a.range.low, a.type.frac);
        }
    } else if (b.range.low == b.range.high) {
        if (signed_digits(b.range.low).size() <= 2) {
            return mul_constant(a, b.range.low, b.type.frac);
        }
    } else if (a.bits == b.bits) {  // a square is not negative
        const Interval magnitude = *absolute(a.range);
        range = Interval{magnitude.low * magnitude.low, magnitude.high * magnitude.high};
    } else {
        // A factor of one bit or of one ternary digit selects.
        const bool b_is_digit = Interval{-1, 1}.contains(b.range);
        if (b_is_digit || Interval{-1, 1}.contains(a.range)) {
            const Fixed& digit = b_is_digit ? b : a;
            const Fixed& other = b_is_digit ? a : b;
            const Fixed zero = constant(0, other.type.frac);
            Fixed out;
            if (digit.range.low == 0) {
                out = select(assume_range(scale(digit, digit.type.frac), bit_range), other, zero);
            } else if (digit.range.high == 0) {
                out = select(logical_not(at_least(digit, 0)), neg(other), zero);
            } else {
                const Fixed negative = logical_not(at_least(digit, 0));
                const Fixed nonzero = logical_not(equal(digit, constant(0, digit.type.frac)));
                out = select(nonzero, select(negative, neg(other), other), zero);
            }
            out.type.frac = frac;
            return assume_range(out, *range);
        }
    }
    return finish(bits_.mul(a.bits, b.bits, bits_type(*range)), *range, frac);
}

Fixed Builder::scale(const Fixed& a, int amount) {
    Fixed out = a;
    out.type.frac -= amount;
    return out;
}

Fixed Builder::mul_constant(const Fixed& a, Int128 integer, int frac) {
    const int result_frac = a.type.frac + frac;
    const auto range = product(a.range, {integer, integer});
    if (!range) {
        fail_width(fmt::format("{} times {}", to_string(a.type), to_string(integer)));
    }
    if (range->low == range->high) {
        return constant(range->low, result_frac);
    }
    if (integer == 1) {
        return scale(a, -frac);
    }
    // Adjacent digits are added first, so that the shifts between operands stay small. A term is
    // +-(node << shift), and node = a * factor. All is exact modulo the result's width, hence a
    // partial sum that would be wider is cut to that width.
    struct Term {
        bits::NodeId node;
        int shift;
        bool negative;
        std::optional<Interval> range;
    };
    std::vector<Term> terms;
    for (const SignedDigit& digit : signed_digits(integer)) {
        terms.push_back({a.bits, digit.shift, digit.negative, a.range});
    }
    const auto type_of = [&](const std::optional<Interval>& partial) {
        const bool narrower = partial && width_for(*partial) < width_for(*range);
        return narrower ? bits_type(*partial) : bits_type(*range);
    };
    while (terms.size() > 1) {
        std::vector<Term> next;
        for (std::size_t i = 0; i + 1 < terms.size(); i += 2) {
            const Term& low = terms[i];
            const Term& high = terms[i + 1];
            const int amount = high.shift - low.shift;
            const auto high_range = high.range ? shifted(*high.range, amount) : std::nullopt;
            const bits::NodeId moved = bits_.shl(high.node, amount, type_of(high_range));
            Term out{0, low.shift, low.negative && high.negative, std::nullopt};
            const bool known = low.range && high_range;
            if (low.negative == high.negative) {
                out.range = known ? fixed::sum(*low.range, *high_range) : std::nullopt;
                out.node = bits_.add(low.node, moved, type_of(out.range));
            } else if (low.negative) {
                out.range = known ? difference(*high_range, *low.range) : std::nullopt;
                out.node = bits_.sub(moved, low.node, type_of(out.range));
            } else {
                out.range = known ? difference(*low.range, *high_range) : std::nullopt;
                out.node = bits_.sub(low.node, moved, type_of(out.range));
            }
            next.push_back(out);
        }
        if (terms.size() % 2 != 0) {
            next.push_back(terms.back());
        }
        terms = std::move(next);
    }
    const Term& total = terms.front();
    bits::NodeId node = bits_.shl(total.node, total.shift, bits_type(*range));
    if (total.negative) {
        node = bits_.sub(bits_.constant(0, {}), node, bits_type(*range));
    }
    return finish(node, *range, result_frac);
}

Fixed Builder::max(const Fixed& a, const Fixed& b) {
    const int frac = std::max(a.type.frac, b.type.frac);
    const Fixed x = align(a, frac);
    const Fixed y = align(b, frac);
    const Interval range{std::max(x.range.low, y.range.low), std::max(x.range.high, y.range.high)};
    // less() drops the low bits of a finer left side.
    return a.type.frac >= b.type.frac ? choose(less(a, b), y, x, range)
                                      : choose(less(b, a), x, y, range);
}

Fixed Builder::min(const Fixed& a, const Fixed& b) {
    const int frac = std::max(a.type.frac, b.type.frac);
    const Fixed x = align(a, frac);
    const Fixed y = align(b, frac);
    const Interval range{std::min(x.range.low, y.range.low), std::min(x.range.high, y.range.high)};
    return a.type.frac >= b.type.frac ? choose(less(a, b), x, y, range)
                                      : choose(less(b, a), y, x, range);
}

Fixed Builder::abs(const Fixed& a) {
    if (a.range.low >= 0) {
        return a;
    }
    if (a.range.high <= 0) {
        return neg(a);
    }
    const auto range = absolute(a.range);
    if (!range) {
        fail_width(fmt::format("the magnitude of {}", to_string(a.type)));
    }
    const bits::NodeId negated = bits_.sub(bits_.constant(0, {}), a.bits, bits_type(*range));
    return choose(at_least(a, 0), a, {negated, type_for(*range, a.type.frac), *range}, *range);
}

Fixed Builder::less(const Fixed& a, const Fixed& b) {
    if (b.range.low == b.range.high) {
        const auto bound = rescaled(b.range.low, b.type.frac, a.type.frac, Rounding::ceil);
        if (!bound) {  // out of a's reach
            return constant(b.range.low > 0 ? 1 : 0, 0);
        }
        return logical_not(at_least(a, *bound));
    }
    if (a.range.low == a.range.high) {
        const auto bound = rescaled(a.range.low, a.type.frac, b.type.frac, Rounding::floor);
        if (!bound || *bound >= b.range.high) {
            return constant(a.range.low < 0 ? (bound ? 0 : 1) : 0, 0);
        }
        return at_least(b, *bound + 1);
    }
    // Where a is finer, a < b * 2^d is floor(a / 2^d) < b, and its low bits need no look.
    const int finer = a.type.frac - b.type.frac;
    const Fixed x = finer > 0 ? shifted_down(a, finer) : align(a, b.type.frac);
    if (x.range.high < b.range.low) {
        return constant(1, 0);
    }
    if (x.range.low >= b.range.high) {
        return constant(0, 0);
    }
    return finish(bits_.less(x.bits, b.bits), bit_range, 0);
}

Fixed Builder::equal(const Fixed& a, const Fixed& b) {
    const int frac = std::max(a.type.frac, b.type.frac);
    const Fixed x = align(a, frac);
    const Fixed y = align(b, frac);
    if (x.range.high < y.range.low || y.range.high < x.range.low) {
        return constant(0, 0);
    }
    return finish(bits_.equal(x.bits, y.bits), bit_range, 0);
}

Fixed Builder::at_least(const Fixed& a, Int128 threshold) {
    if (a.range.low >= threshold) {
        return constant(1, 0);
    }
    if (a.range.high < threshold) {
        return constant(0, 0);
    }
    // a >= c * 2^z is floor(a / 2^z) >= c. For zero the sign bit says all.
    const int zeros = threshold == 0 ? 0 : trailing_zeros(static_cast<UInt128>(threshold));
    const Fixed x = shifted_down(a, zeros);
    const Int128 bound = threshold >> zeros;
    const auto is = [&](Int128 value) {
        const bits::NodeId constant_node = bits_.constant(value, bits_type(x.range));
        return finish(bits_.equal(x.bits, constant_node), bit_range, 0);
    };
    const auto below = [&](Int128 value) {
        const bits::NodeId constant_node = bits_.constant(value, bits_type(x.range));
        return finish(bits_.less(x.bits, constant_node), bit_range, 0);
    };
    // Equalities and signs are cheaper than carry chains.
    if (x.range.high == bound) {
        return is(bound);
    }
    if (x.range.low == bound - 1) {
        return logical_not(is(bound - 1));
    }
    if (bound == 0) {
        return logical_not(below(0));
    }
    if (bound == 1) {
        return logical_not(logical_or(below(0), is(0)));
    }
    if (bound == -1) {
        return logical_or(logical_not(below(0)), is(-1));
    }
    const Int128 previous = bound - 1;  // -2^k in a symmetric saturation
    if (previous >> trailing_zeros(static_cast<UInt128>(previous)) == -1) {
        return logical_and(at_least(x, previous), logical_not(is(previous)));
    }
    return logical_not(below(bound));
}

Fixed Builder::logical_not(const Fixed& a) {
    require(bit_range.contains(a.range) && a.type.frac == 0, "a condition is 0 or 1");
    if (a.range.low == a.range.high) {
        return constant(1 - a.range.low, 0);
    }
    return finish(bits_.bit_not(bits_.cast(a.bits, bit_type), bit_type), bit_range, 0);
}

Fixed Builder::logical_and(const Fixed& a, const Fixed& b) {
    require(bit_range.contains(a.range) && a.type.frac == 0 && bit_range.contains(b.range) &&
                b.type.frac == 0,
            "a condition is 0 or 1");
    if (a.range.high == 0 || b.range.low == 1) {
        return assume_range(a, bit_range);
    }
    if (b.range.high == 0 || a.range.low == 1) {
        return assume_range(b, bit_range);
    }
    return finish(bits_.bit_and(a.bits, b.bits, bit_type), bit_range, 0);
}

Fixed Builder::logical_or(const Fixed& a, const Fixed& b) {
    return logical_not(logical_and(logical_not(a), logical_not(b)));
}

Fixed Builder::select(const Fixed& condition, const Fixed& if_set, const Fixed& if_clear) {
    require(bit_range.contains(condition.range) && condition.type.frac == 0,
            "a condition is 0 or 1");
    const int frac = std::max(if_set.type.frac, if_clear.type.frac);
    const Fixed x = align(if_set, frac);
    const Fixed y = align(if_clear, frac);
    if (condition.range.low == condition.range.high) {
        return condition.range.low == 1 ? x : y;
    }
    return choose(condition, x, y, hull(x.range, y.range));
}

/// A select of two operands at one frac whose result is known to lie within `range`. An operand
/// with a wider range is cut to it: it is not chosen where that matters.
Fixed Builder::choose(const Fixed& condition, const Fixed& if_set, const Fixed& if_clear,
                      const Interval& range) {
    if (condition.range.low == condition.range.high) {
        return assume_range(condition.range.low == 1 ? if_set : if_clear, range);
    }
    const bits::NodeId bit = bits_.cast(condition.bits, bit_type);
    return finish(bits_.mux(bit, if_set.bits, if_clear.bits, bits_type(range)), range,
                  if_set.type.frac);
}

Fixed Builder::clamp(const Fixed& a, Int128 low, Int128 high) {
    require(low <= high, "clamp needs low <= high");
    const int frac = a.type.frac;
    const Interval range{std::clamp(a.range.low, low, high), std::clamp(a.range.high, low, high)};
    if (range == a.range) {
        return a;
    }
    Fixed out = a;
    if (low >= 0 && a.range.low < low && a.range.high > high) {
        // Negative values are cut last, so that the upper bound need not look at signs.
        const Interval natural{0, a.range.high};
        const Fixed magnitude = finish(a.bits, natural, frac);
        out = choose(at_least(magnitude, high + 1), constant(high, frac), a, range);
        return choose(at_least(a, low), out, constant(low, frac), range);
    }
    if (a.range.low < low) {
        out = choose(at_least(a, low), a, constant(low, frac), range);
    }
    if (a.range.high > high) {
        out = choose(at_least(a, high + 1), constant(high, frac), out, range);
    }
    return out;
}

Fixed Builder::assume_range(const Fixed& a, const Interval& range) {
    const Interval both{std::max(a.range.low, range.low), std::min(a.range.high, range.high)};
    require(both.low <= both.high, "an assumed range contradicts what is known");
    return finish(a.bits, both, a.type.frac);
}

Fixed Builder::sum(std::span<const Fixed> terms) {
    // Constants are added up first and added last: as a leaf each would cost an adder.
    std::vector<Fixed> level;
    std::optional<Fixed> offset;
    for (const Fixed& term : terms) {
        if (term.range.low == term.range.high) {
            offset = offset ? add(*offset, term) : term;
        } else {
            level.push_back(term);
        }
    }
    while (level.size() > 1) {
        std::vector<Fixed> next;
        for (std::size_t i = 0; i + 1 < level.size(); i += 2) {
            next.push_back(add(level[i], level[i + 1]));
        }
        if (level.size() % 2 != 0) {
            next.push_back(level.back());
        }
        level = std::move(next);
    }
    if (level.empty()) {
        return offset ? *offset : constant(0, 0);
    }
    return offset ? add(level.front(), *offset) : level.front();
}

/// floor(a / 2^amount), at frac 0.
Fixed Builder::shifted_down(const Fixed& a, int amount) {
    const int frac = amount == 0 ? a.type.frac : 0;
    const int move = std::min(amount, 127);
    const Interval range{a.range.low >> move, a.range.high >> move};
    return finish(bits_.shr(a.bits, move, bits_type(range)), range, frac);
}

}  // namespace gatewright::fixed
