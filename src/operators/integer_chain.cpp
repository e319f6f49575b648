#include "operators/integer_chain.h"

#include <algorithm>

namespace gatewright::operators {

namespace mp = boost::multiprecision;

Int128 divided(Int128 x, Int128 d, Rounding rounding) {
    Int128 below = x / d;
    Int128 rest = x % d;
    if (rest < 0) {
        --below;
        rest += d;
    }
    if (rest == 0) {
        return below;
    }
    const bool negative = x < 0;
    const Int128 side = rest - (d - rest);  // of the half: below it, on it or above it
    bool up = side > 0;
    switch (rounding) {
        case Rounding::floor:
            up = false;
            break;
        case Rounding::ceil:
            up = true;
            break;
        case Rounding::toward_zero:
            up = negative;
            break;
        case Rounding::away:
            up = !negative;
            break;
        case Rounding::half_up:
            up = side >= 0;
            break;
        case Rounding::half_down:
            break;
        case Rounding::half_even:
            up = up || (side == 0 && (below & 1) != 0);
            break;
        case Rounding::half_away:
            up = up || (side == 0 && !negative);
            break;
        case Rounding::half_zero:
            up = up || (side == 0 && negative);
            break;
    }
    return below + (up ? 1 : 0);
}

Int128 wrapped(Int128 x, Int128 low, Int128 high) {
    const Int128 span = high - low + 1;
    const Int128 rest = (x - low) % span;
    return low + (rest < 0 ? rest + span : rest);
}

/// Appends the work of steps, and keeps what is known of the value behind it.
struct IntegerChain::Maker {
    std::vector<Work>& work;
    BigInt bound;            ///< the integer's largest magnitude
    BigInt denominator = 1;  ///< under the integer
    bool fits = true;

    Int128 narrow(const BigInt& value) {
        static const BigInt most = BigInt(1) << 120;
        fits = fits && value < most && value > -most;
        return fits ? *to_int128(value) : 0;
    }

    void affine(const Rational& a, const Rational& b) {
        const BigInt under = mp::lcm(BigInt(denominator * mp::denominator(a)), mp::denominator(b));
        BigInt m = mp::numerator(a) * (under / (denominator * mp::denominator(a)));
        BigInt d = mp::numerator(b) * (under / mp::denominator(b));
        const BigInt common = mp::gcd(mp::gcd(m, d), under);
        m /= common;
        d /= common;
        denominator = under / common;
        bound = bound * mp::abs(m) + mp::abs(d);
        work.push_back({Kind::affine, narrow(m), narrow(d)});
        narrow(bound);
    }

    /// Makes the denominator a multiple of that of `value`.
    void refine(const Rational& value) {
        const BigInt under = mp::lcm(denominator, mp::denominator(value));
        if (under != denominator) {
            const BigInt factor = under / denominator;
            bound *= factor;
            denominator = under;
            work.push_back({Kind::affine, narrow(factor), 0});
            narrow(bound);
        }
    }

    void extremum(Kind kind, const Rational& c) {
        refine(c);
        const BigInt level = mp::numerator(c) * (denominator / mp::denominator(c));
        bound = std::max(bound, BigInt(mp::abs(level)));
        work.push_back({kind, narrow(level), 0});
    }

    void leaky(const Rational& alpha) {
        const BigInt& above = mp::denominator(alpha);
        const BigInt& below = mp::numerator(alpha);
        bound *= std::max(above, BigInt(mp::abs(below)));
        denominator *= above;
        work.push_back({Kind::leaky, narrow(above), narrow(below)});
        narrow(bound);
    }

    /// To the level of a quantiser.
    void level(const Step& step, std::int64_t element) {
        affine(Rational(1 / step.parameters[0].at(element)), step.parameters[1].at(element));
        if (denominator != 1) {
            work.push_back({Kind::divide, narrow(denominator), 0, step.rounding});
            denominator = 1;
        }
        const BigInt low = mp::numerator(step.parameters[2].at(element));
        const BigInt high = mp::numerator(step.parameters[3].at(element));
        const bool wraps = step.overflow == Overflow::wrap;
        fits = fits && low <= high;
        work.push_back({wraps ? Kind::wrap : Kind::clip, narrow(low), narrow(high)});
        narrow(high - low);
        bound = std::max(BigInt(mp::abs(low)), BigInt(mp::abs(high)));
    }

    /// False if the step is not known.
    bool step(const Step& step, std::int64_t element) {
        const auto parameter = [&](std::size_t i) -> const Rational& {
            return step.parameters[i].at(element);
        };
        if (is(step, "affine")) {
            affine(parameter(0), parameter(1));
        } else if (is(step, "maximum")) {
            extremum(Kind::maximum, parameter(0));
        } else if (is(step, "minimum")) {
            extremum(Kind::minimum, parameter(0));
        } else if (is(step, "leaky")) {
            leaky(parameter(0));
        } else if (is(step, "absolute")) {
            work.push_back({Kind::absolute});
        } else if (is(step, "quantize")) {
            level(step, element);
            const Rational& scale = parameter(0);
            affine(scale, Rational(-scale * parameter(1)));
        } else {
            return false;
        }
        return fits;
    }
};

std::optional<IntegerChain> IntegerChain::of(const Rational& unit, std::span<const Step> steps,
                                             const Step& quantiser, std::int64_t element,
                                             Int128 most) {
    IntegerChain chain;
    Maker maker{chain.work_, to_bigint(most)};
    maker.narrow(maker.bound);
    maker.affine(unit, 0);
    for (const Step& step : steps) {
        if (!maker.step(step, element)) {
            return std::nullopt;
        }
    }
    maker.level(quantiser, element);
    const Rational& zero_point = quantiser.parameters[1].at(element);
    if (mp::denominator(zero_point) == 1) {
        maker.affine(1, Rational(-zero_point));
    }
    return maker.fits ? std::optional(chain) : std::nullopt;
}

Int128 IntegerChain::at(Int128 n) const {
    Int128 x = n;
    for (const Work& w : work_) {
        switch (w.kind) {
            case Kind::affine:
                x = w.a * x + w.b;
                break;
            case Kind::maximum:
                x = std::max(x, w.a);
                break;
            case Kind::minimum:
                x = std::min(x, w.a);
                break;
            case Kind::leaky:
                x *= x < 0 ? w.b : w.a;
                break;
            case Kind::absolute:
                x = x < 0 ? -x : x;
                break;
            case Kind::divide:
                x = divided(x, w.a, w.rounding);
                break;
            case Kind::clip:
                x = std::max(w.a, std::min(w.b, x));
                break;
            case Kind::wrap:
                x = wrapped(x, w.a, w.b);
                break;
        }
    }
    return x;
}

}  // namespace gatewright::operators
