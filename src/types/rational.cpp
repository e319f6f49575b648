#include "types/rational.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include <fmt/format.h>

#include "base/diagnostics.h"

namespace gatewright {

namespace mp = boost::multiprecision;

Rational ratio(const BigInt& numerator, const BigInt& denominator) {
    return denominator < 0 ? Rational(BigInt(-numerator), BigInt(-denominator))
                           : Rational(numerator, denominator);
}

Rational power_of_two(int exponent) {
    const BigInt power = BigInt(1) << static_cast<unsigned>(std::abs(exponent));
    return exponent >= 0 ? Rational(power) : ratio(1, power);
}

Rational to_rational(double value) {
    if (!std::isfinite(value)) {
        throw Failure(Code::operator_inputs, {},
                      fmt::format("{} is among its numbers, which no circuit holds", value),
                      "Put a finite number in its place in the model, or use --float.");
    }
    int exponent = 0;
    const double mantissa = std::frexp(value, &exponent);
    const auto integer = static_cast<std::int64_t>(std::ldexp(mantissa, 53));
    return Rational(integer) * power_of_two(exponent - 53);
}

std::optional<int> exact_log2(const Rational& value) {
    if (value == 0) {
        return std::nullopt;
    }
    const BigInt num = mp::abs(mp::numerator(value));
    const BigInt den = mp::denominator(value);
    const auto n = mp::msb(num);
    const auto d = mp::msb(den);
    if (num != BigInt(1) << n || den != BigInt(1) << d) {
        return std::nullopt;
    }
    return static_cast<int>(n) - static_cast<int>(d);
}

Rational gcd(const Rational& a, const Rational& b) {
    if (a == 0 || b == 0) {
        return mp::abs(a == 0 ? b : a);
    }
    const BigInt den = mp::lcm(mp::denominator(a), mp::denominator(b));
    const BigInt x = mp::numerator(a) * (den / mp::denominator(a));
    const BigInt y = mp::numerator(b) * (den / mp::denominator(b));
    return ratio(mp::gcd(x, y), den);
}

BigInt floor(const Rational& value) {
    const BigInt num = mp::numerator(value);
    const BigInt den = mp::denominator(value);
    BigInt quotient = num / den;  // truncates toward zero
    if (num < 0 && quotient * den != num) {
        --quotient;
    }
    return quotient;
}

BigInt ceil(const Rational& value) {
    return -floor(-value);
}

double to_double(const Rational& value) {
    // Take 64 significant bits with a sticky bit, so that the one rounding below is the only one.
    BigInt num = mp::abs(mp::numerator(value));
    BigInt den = mp::denominator(value);
    if (num == 0) {
        return 0.0;
    }
    const int shift = 64 - (static_cast<int>(mp::msb(num)) - static_cast<int>(mp::msb(den)));
    if (shift >= 0) {
        num <<= static_cast<unsigned>(shift);
    } else {
        den <<= static_cast<unsigned>(-shift);
    }
    BigInt quotient = num / den;
    if (quotient * den != num) {
        quotient |= 1;
    }
    // quotient has 64 or 65 bits: round to 53 by hand, ties to even (the sticky bit breaks others).
    // A subnormal result has fewer bits, its last one worth 2^-1074.
    const int bits = static_cast<int>(mp::msb(quotient)) + 1;
    const int excess = std::max(bits - 53, shift - 1074);
    if (excess > bits) {  // less than half of the smallest double
        return value < 0 ? -0.0 : 0.0;
    }
    const BigInt rest = quotient & ((BigInt(1) << static_cast<unsigned>(excess)) - 1);
    const BigInt half = BigInt(1) << static_cast<unsigned>(excess - 1);
    BigInt kept = quotient >> static_cast<unsigned>(excess);
    if (rest > half || (rest == half && (kept & 1) != 0)) {
        ++kept;
    }
    const double magnitude = std::ldexp(kept.convert_to<double>(), excess - shift);
    return value < 0 ? -magnitude : magnitude;
}

std::optional<Int128> to_int128(const BigInt& value) {
    static const BigInt high = (BigInt(1) << 127) - 1;
    if (value > high || value < -high - 1) {
        return std::nullopt;
    }
    return value.convert_to<Int128>();
}

BigInt to_bigint(Int128 value) {
    return BigInt(value);
}

std::string to_string(const Rational& value) {
    return value.str();
}

std::optional<Rational> parse_rational(std::string_view text) {
    const auto parse_integer = [](std::string_view digits, bool may_be_negative) {
        const bool negative = may_be_negative && digits.starts_with('-');
        const std::string_view body = digits.substr(negative ? 1 : 0);
        std::optional<BigInt> out;
        if (body.empty()) {
            return out;
        }
        for (const char c : body) {
            if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
                return out;
            }
        }
        // A leading zero would be read as octal.
        const std::size_t first = body.find_first_not_of('0');
        const BigInt magnitude(first == std::string_view::npos ? std::string("0")
                                                               : std::string(body.substr(first)));
        out = negative ? BigInt(-magnitude) : magnitude;
        return out;
    };
    const std::size_t slash = text.find('/');
    const auto num = parse_integer(text.substr(0, slash), true);
    if (!num) {
        return std::nullopt;
    }
    if (slash == std::string_view::npos) {
        return Rational(*num);
    }
    const auto den = parse_integer(text.substr(slash + 1), false);
    if (!den || *den == 0) {
        return std::nullopt;
    }
    return ratio(*num, *den);
}

}  // namespace gatewright
