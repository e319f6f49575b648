#include "operators/step_function.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "operators/integer_chain.h"
#include "operators/real_chain.h"

namespace gatewright::operators {

namespace {

BigInt integer_of(const Rational& value) {
    return boost::multiprecision::numerator(value);
}

bool is_integer(const Rational& value) {
    return boost::multiprecision::denominator(value) == 1;
}

/// A chain of affine, maximum and minimum steps as clamp(a n + b, low, high), in levels.
struct ClampedLine {
    Rational a;
    Rational b;
    std::optional<Rational> low;
    std::optional<Rational> high;
};

std::optional<ClampedLine> clamped_line(const StepFunction& f) {
    ClampedLine line{f.unit, 0, {}, {}};
    const auto apply_affine = [&](const Rational& a, const Rational& b) {
        line.a *= a;
        line.b = line.b * a + b;
        for (auto* bound : {&line.low, &line.high}) {
            if (*bound) {
                *bound = Rational(**bound * a + b);
            }
        }
        if (a < 0) {
            std::swap(line.low, line.high);
        }
    };
    for (const Step& step : f.steps) {
        if (is(step, "affine")) {
            apply_affine(step.parameters[0].at(f.element), step.parameters[1].at(f.element));
        } else if (is(step, "maximum") || is(step, "minimum")) {
            const Rational& c = step.parameters[0].at(f.element);
            const bool maximum = is(step, "maximum");
            const auto clip = [&](const Rational& v) {
                return maximum ? std::max(v, c) : std::min(v, c);
            };
            line.low = line.low ? std::optional(clip(*line.low))
                                : (maximum ? std::optional(c) : std::nullopt);
            line.high = line.high ? std::optional(clip(*line.high))
                                  : (maximum ? std::nullopt : std::optional(c));
        } else {
            return std::nullopt;
        }
    }
    const Rational& scale = f.quantiser->parameters[0].at(f.element);
    apply_affine(Rational(1 / scale), f.quantiser->parameters[1].at(f.element));
    return line;
}

/// Lowest and highest level after the line's own clamps.
Interval clamped_range(const StepFunction& f, const ClampedLine& line) {
    const Step& q = *f.quantiser;
    BigInt low = integer_of(q.parameters[2].at(f.element));
    BigInt high = integer_of(q.parameters[3].at(f.element));
    const BigInt floor_level = low;
    const BigInt ceil_level = high;
    const auto confine = [&](const BigInt& v) {
        return std::max(floor_level, std::min(ceil_level, v));
    };
    if (line.low) {
        low = confine(round(*line.low, q.rounding));
    }
    if (line.high) {
        high = confine(round(*line.high, q.rounding));
    }
    return {*to_int128(low), *to_int128(std::max(low, high))};
}

int width_of(Int128 value) {
    return width_for({std::min<Int128>(value, 0), std::max<Int128>(value, 0)});
}

int signed_digits(Int128 value) {
    // The non-adjacent form has a digit wherever 3v and v differ.
    const UInt128 v = static_cast<UInt128>(value < 0 ? -value : value);
    const UInt128 differing = (v + (v << 1)) ^ v;
    return std::popcount(static_cast<std::uint64_t>(differing >> 64)) +
           std::popcount(static_cast<std::uint64_t>(differing));
}

/// round(y) >= level holds exactly if 2 y >= twice, or 2 y > twice where `strict`.
struct Boundary {
    BigInt twice;
    bool strict = false;
};
Boundary boundary_of(Rounding rounding, const BigInt& level) {
    const BigInt m = 2 * level;
    switch (rounding) {
        case Rounding::floor:
            return {m, false};
        case Rounding::ceil:
            return {m - 2, true};
        case Rounding::toward_zero:
            return level > 0 ? Boundary{m, false} : Boundary{m - 2, true};
        case Rounding::away:
            return level > 0 ? Boundary{m - 2, true} : Boundary{m, false};
        case Rounding::half_up:
            return {m - 1, false};
        case Rounding::half_down:
            return {m - 1, true};
        case Rounding::half_even:
            return {m - 1, (level & 1) != 0};
        case Rounding::half_away:
            return {m - 1, level <= 0};
        case Rounding::half_zero:
            return {m - 1, level > 0};
    }
    return {m, false};
}

/// Thresholds of a rounded line, without a rational for each of them.
class LineThresholds {
  public:
    LineThresholds(const ClampedLine& line, Rounding rounding) : rounding_(rounding) {
        const BigInt of_a = boost::multiprecision::denominator(line.a);
        const BigInt of_b = boost::multiprecision::denominator(line.b);
        denominator_ = of_a * of_b;
        slope_ = 2 * integer_of(line.a) * of_b;
        offset_ = 2 * integer_of(line.b) * of_a;
    }

    /// The smallest n whose rounded value has reached the level, from below (sign +1) or above.
    BigInt at(const BigInt& level, int sign) const {
        // Falling: round(y) <= level, that is, not round(y) >= level + 1.
        const Boundary boundary = boundary_of(rounding_, sign > 0 ? level : BigInt(level + 1));
        const bool strict = boundary.strict == (sign > 0);
        BigInt quotient;
        BigInt rest;
        boost::multiprecision::divide_qr(BigInt(boundary.twice * denominator_ - offset_), slope_,
                                         quotient, rest);  // toward zero
        const bool below_zero = rest != 0 && (rest < 0) != (slope_ < 0);
        if (below_zero) {
            --quotient;
        }
        return strict || rest != 0 ? BigInt(quotient + 1) : quotient;
    }

  private:
    Rounding rounding_;
    BigInt slope_;  ///< 2 y = (slope n + offset) / denominator
    BigInt offset_;
    BigInt denominator_;
};

bool is_power_of_two(const BigInt& value) {
    return value > 0 && (value & (value - 1)) == 0;
}

/// Multiplier and addend as Int128, if they leave room for the products.
std::optional<AffineForm> bounded(const BigInt& multiplier, const BigInt& addend, int shift,
                                  const Interval& domain) {
    const auto m = to_int128(multiplier);
    const auto d = to_int128(addend);
    const BigInt reach = boost::multiprecision::abs(multiplier) *
                             (BigInt(1) << static_cast<unsigned>(width_for(domain))) +
                         boost::multiprecision::abs(addend);
    if (!m || !d || reach >= BigInt(1) << 124) {
        return std::nullopt;
    }
    AffineForm form;
    form.multiplier = *m;
    form.addend = *d;
    form.shift = shift;
    return form;
}

/// A line with dyadic slope a = p / 2^k.
std::optional<AffineForm> dyadic_affine(const StepFunction& f, const ClampedLine& line,
                                        bool keep_rounding) {
    const BigInt p = boost::multiprecision::numerator(line.a);
    const BigInt a_den = boost::multiprecision::denominator(line.a);
    const BigInt b_den = boost::multiprecision::denominator(line.b);
    const int k = static_cast<int>(boost::multiprecision::msb(a_den));
    const Rational grid = power_of_two(k);
    const Rational half(1, 2);
    const Rounding rounding = f.quantiser->rounding;
    const bool on_grid = is_integer(Rational(line.b * grid));
    if (!on_grid && !keep_rounding) {
        // The line's values lie on a grid that is offset by less than a step: the offset can be
        // dropped if the rounding is turned into one that does not see it.
        std::optional<AffineForm> form;
        const bool no_ties = !is_integer(Rational((line.b - half) * grid));
        if (rounding == Rounding::floor) {
            form = bounded(p, floor(Rational(line.b * grid)), k, f.domain);
        } else if (rounding == Rounding::ceil) {
            // ceil(x) = floor(x + 1 - 1/grid) on the grid above the line.
            form = bounded(p, ceil(Rational(line.b * grid)) + integer_of(grid) - 1, k, f.domain);
        } else if (rounding == Rounding::half_up ||
                   (no_ties &&
                    (rounding == Rounding::half_down || rounding == Rounding::half_even ||
                     rounding == Rounding::half_away || rounding == Rounding::half_zero))) {
            form = bounded(p, floor(Rational((line.b + half) * grid)), k, f.domain);
        }
        if (form) {
            form->rounding = Rounding::floor;
            return form;
        }
    }
    if (!is_power_of_two(b_den)) {
        return std::nullopt;
    }
    const int s = std::max(k, static_cast<int>(boost::multiprecision::msb(b_den)));
    auto form = bounded(p << static_cast<unsigned>(s - k),
                        integer_of(Rational(line.b * power_of_two(s))), s, f.domain);
    if (form) {
        form->rounding = rounding;
    }
    return form;
}

/// Any line, by a multiplier with enough bits (direct_affine says why that is exact).
std::optional<AffineForm> reciprocal_affine(const StepFunction& f, const ClampedLine& line) {
    const BigInt q = boost::multiprecision::lcm(boost::multiprecision::denominator(line.a),
                                                boost::multiprecision::denominator(line.b));
    BigInt p = integer_of(Rational(line.a * Rational(q)));
    BigInt r = integer_of(Rational(line.b * Rational(q)));
    BigInt d = q;
    // round((p n + r) / q) as floor((p n + r) / d):
    switch (f.quantiser->rounding) {
        case Rounding::floor:
            break;
        case Rounding::ceil:
            r += q - 1;
            break;
        case Rounding::half_up:
        case Rounding::half_down:
        case Rounding::half_even:
        case Rounding::half_away:
        case Rounding::half_zero: {
            // A tie needs 2 p n + 2 r + q = 0 modulo 2 q; without one all of these are half_up.
            const BigInt two_q = 2 * q;
            const bool ties = (2 * r + q) % boost::multiprecision::gcd(BigInt(2 * p), two_q) == 0;
            const bool down = f.quantiser->rounding == Rounding::half_down;
            if (ties && !down && f.quantiser->rounding != Rounding::half_up) {
                return std::nullopt;
            }
            r = 2 * r + q - (down ? 1 : 0);
            p *= 2;
            d = two_q;
            break;
        }
        default:
            return std::nullopt;
    }
    const BigInt low = to_bigint(f.domain.low);
    const BigInt span = to_bigint(f.domain.high) - low + 1;
    r += p * low;
    // With 2^s >= span d, rounding multiplier and addend up moves no value by 1 / d or more.
    const int s = static_cast<int>(boost::multiprecision::msb(BigInt(span * d))) + 1;
    const Rational power = power_of_two(s);
    const BigInt multiplier = ceil(Rational(ratio(p, d) * power));
    const BigInt addend = ceil(Rational(ratio(r, d) * power)) - multiplier * low;
    auto form = bounded(multiplier, addend, s, f.domain);
    if (form) {
        form->rounding = Rounding::floor;
    }
    return form;
}

/// The integer in [low, high] with the most trailing zeros.
Int128 roundest(Int128 low, Int128 high) {
    if (low <= 0 && high >= 0) {
        return 0;
    }
    const bool negative = high < 0;
    const Int128 a = negative ? -high : low;
    const Int128 b = negative ? -low : high;
    for (int bit = 120; bit >= 0; --bit) {
        const Int128 step = static_cast<Int128>(1) << bit;
        const Int128 up = (a + step - 1) / step * step;
        if (up <= b) {
            return negative ? -up : up;
        }
    }
    return low;
}

/// What gives f.at(n), in the fastest way there is for `f`.
std::function<Int128(Int128)> evaluator_of(const StepFunction& f) {
    const Int128 most = std::max({f.domain.high, -f.domain.low, Int128{0}});
    if (auto chain = IntegerChain::of(f.unit, f.steps, *f.quantiser, f.element, most)) {
        return [chain = std::move(*chain)](Int128 n) { return chain.at(n); };
    }
    if (auto chain = RealChain::of(f.unit, f.steps, *f.quantiser, f.element, most)) {
        return [chain = *chain](Int128 n) { return chain.at(n); };
    }
    return [&f](Int128 n) { return f.at(n); };
}

}  // namespace

Int128 StepFunction::at(Int128 n) const {
    const Real x = apply(steps, {Rational(unit * Rational(to_bigint(n))), 0}, element);
    return *to_int128(quantize_integer(*quantiser, exact_value(x), element));
}

int StepFunction::direction() const {
    int sign = operators::direction(*quantiser, element);
    for (const Step& step : steps) {
        sign *= operators::direction(step, element);
    }
    return sign;
}

std::optional<ThresholdForm> threshold_form(const StepFunction& f, std::int64_t most) {
    const int sign = f.direction();
    if (sign == 0) {
        return std::nullopt;
    }
    ThresholdForm form;
    form.base = f.at(f.domain.low);
    form.step = sign;
    const Int128 levels = (f.at(f.domain.high) - form.base) * sign;
    if (levels > most) {
        return std::nullopt;
    }
    const auto line = clamped_line(f);
    const auto thresholds =
        line ? std::optional(LineThresholds(*line, f.quantiser->rounding)) : std::nullopt;
    const auto at = line ? std::function<Int128(Int128)>() : evaluator_of(f);
    const Rational& z = f.quantiser->parameters[1].at(f.element);
    const BigInt zero_point = is_integer(z) ? integer_of(z) : BigInt(0);
    Int128 reached = f.domain.low;
    Int128 length =
        std::max<Int128>((f.domain.high - f.domain.low) / std::max<Int128>(levels, 1), 1);
    for (Int128 i = 1; i <= levels; ++i) {
        const Int128 level = form.base + i * sign;
        if (line) {
            form.thresholds.push_back(
                *to_int128(thresholds->at(to_bigint(level) + zero_point, sign)));
            continue;
        }
        const auto past = [&](Int128 n) {
            const Int128 y = at(n);
            return sign > 0 ? y >= level : y <= level;
        };
        if (i == 1 || !past(reached)) {
            // Steps are about as long as the one before.
            Int128 low = reached;
            Int128 high = std::min(low + length, f.domain.high);
            while (high < f.domain.high && !past(high)) {
                length *= 2;
                low = high;
                high = std::min(low + length, f.domain.high);
            }
            while (high - low > 1) {
                const Int128 middle = low + (high - low) / 2;
                (past(middle) ? high : low) = middle;
            }
            length = std::max<Int128>(high - reached, 1);
            reached = high;
        }
        form.thresholds.push_back(reached);
    }
    return form;
}

std::optional<AffineForm> fit_affine(const ThresholdForm& form) {
    AffineForm out;
    const auto levels = static_cast<Int128>(form.thresholds.size());
    const Int128 last = form.base + levels * form.step;
    out.range = {std::min(form.base, last), std::max(form.base, last)};
    if (levels == 0) {
        out.addend = form.base;
        return out;
    }
    if (levels == 1 || form.thresholds.front() == form.thresholds.back()) {
        return std::nullopt;
    }
    const Int128 run = form.thresholds.back() - form.thresholds.front();
    const int spare =
        110 - std::max(width_of(form.thresholds.front()), width_of(form.thresholds.back()));
    for (int shift = 0; shift < std::min(spare, 60); ++shift) {
        // Slopes between those of the two extreme chords are tried around the middle one.
        const Int128 rise = ((levels - 1) << shift);
        const Int128 guess = rise / run;
        std::optional<AffineForm> best;
        for (Int128 magnitude = std::max<Int128>(1, guess - 1); magnitude <= guess + 2;
             ++magnitude) {
            const Int128 m = magnitude * form.step;
            // Addends d with (m t + d) / 2^shift past each level at t and not yet at t - 1.
            bool any = false;
            Int128 low = 0;
            Int128 high = 0;
            bool possible = true;
            for (std::size_t i = 0; i < form.thresholds.size() && possible; ++i) {
                const auto index = static_cast<Int128>(i) + 1;
                const Int128 edge = (form.step > 0 ? form.base + index : form.base - index + 1) *
                                    (static_cast<Int128>(1) << shift);
                const Int128 t = form.thresholds[i];
                const Int128 inside = form.step > 0 ? t : t - 1;   // value >= edge here
                const Int128 outside = form.step > 0 ? t - 1 : t;  // value < edge here
                const Int128 least = edge - m * inside;
                const Int128 most = edge - 1 - m * outside;
                low = any ? std::max(low, least) : least;
                high = any ? std::min(high, most) : most;
                any = true;
                possible = low <= high;
            }
            if (possible && (!best || signed_digits(m) < signed_digits(best->multiplier))) {
                best = out;
                best->multiplier = m;
                best->addend = roundest(low, high);
                best->shift = shift;
            }
        }
        if (best) {
            return best;
        }
    }
    return std::nullopt;
}

std::optional<AffineForm> direct_affine(const StepFunction& f, bool keep_rounding) {
    const auto line = clamped_line(f);
    if (!line) {
        return std::nullopt;
    }
    const Step& q = *f.quantiser;
    const bool wraps = q.overflow == Overflow::wrap;
    const Rational& z = q.parameters[1].at(f.element);
    const BigInt low = integer_of(q.parameters[2].at(f.element));
    const BigInt high = integer_of(q.parameters[3].at(f.element));
    if (wraps && (line->low || line->high || !is_power_of_two(BigInt(high - low + 1)) ||
                  (low != 0 && low != -(high + 1)))) {
        return std::nullopt;
    }
    const bool dyadic = is_power_of_two(boost::multiprecision::denominator(line->a));
    auto form = dyadic ? dyadic_affine(f, *line, keep_rounding)
                       : (keep_rounding ? std::nullopt : reciprocal_affine(f, *line));
    if (!form) {
        return std::nullopt;
    }
    form->overflow = q.overflow;
    form->base = is_integer(z) ? *to_int128(BigInt(-integer_of(z))) : Int128{0};
    form->range = wraps ? Interval{*to_int128(low), *to_int128(high)} : clamped_range(f, *line);
    if (form->rounding == Rounding::floor && !wraps) {
        form->addend += form->base * (static_cast<Int128>(1) << form->shift);
        form->range = {form->range.low + form->base, form->range.high + form->base};
        form->base = 0;
    }
    return form;
}

std::optional<std::vector<Int128>> table_form(const StepFunction& f, std::int64_t most) {
    if (f.domain.high - f.domain.low >= most) {
        return std::nullopt;
    }
    const auto at = evaluator_of(f);
    std::vector<Int128> words;
    for (Int128 n = f.domain.low; n <= f.domain.high; ++n) {
        words.push_back(at(n));
    }
    return words;
}

double cost(const AffineForm& form, const Interval& domain) {
    const int product = width_for(domain) + width_of(form.multiplier);
    const int additions =
        std::max(0, signed_digits(form.multiplier) - 1) + (form.addend != 0 ? 1 : 0);
    const int result = width_for(form.range);
    const int clamped = std::max(0, product - form.shift - result);
    return additions * product + (clamped > 0 ? result + clamped / 3.0 : 0) +
           (form.rounding != Rounding::floor ? result : 0);
}

double cost(const ThresholdForm& form, const Interval& domain) {
    const auto levels = static_cast<double>(form.thresholds.size());
    return levels * (width_for(domain) / 3.0 + 1.0);
}

double table_cost(std::span<const Int128> words) {
    const auto [low, high] = std::minmax_element(words.begin(), words.end());
    const double bits = width_for({*low, *high});
    return bits * std::max(1.0, static_cast<double>(words.size()) / 48.0);
}

}  // namespace gatewright::operators
