#include "types/rational.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace gatewright {

namespace {

constexpr double smallest = std::numeric_limits<double>::denorm_min();
constexpr double largest = std::numeric_limits<double>::max();

Rational quotient(std::int64_t numerator, std::int64_t denominator) {
    return Rational(numerator) / denominator;
}

std::uint64_t pattern(double value) {
    return std::bit_cast<std::uint64_t>(value);
}

}  // namespace

TEST_CASE("quotients of any signs are in lowest terms with a positive denominator") {
    for (int n = -12; n <= 12; ++n) {
        for (int d = -12; d <= 12; ++d) {
            if (d == 0) {
                continue;
            }
            const Rational q = ratio(n, d);
            CHECK(q * d == n);
            CHECK(boost::multiprecision::denominator(q) > 0);
            CHECK(boost::multiprecision::gcd(boost::multiprecision::numerator(q),
                                             boost::multiprecision::denominator(q)) == 1);
        }
    }
    const BigInt large = BigInt(1) << 200;
    CHECK(ratio(large, -large) == -1);
    CHECK(ratio(-1, -large) == power_of_two(-200));
}

TEST_CASE("doubles become exact rationals and come back bit for bit") {
    CHECK(to_rational(0.0) == 0);
    CHECK(to_rational(0.1) == Rational(BigInt("3602879701896397"), BigInt("36028797018963968")));
    CHECK(to_rational(-2.5) == Rational(-5, 2));
    CHECK(to_rational(smallest) == power_of_two(-1074));
    CHECK(to_double(Rational(0)) == 0.0);
    std::mt19937_64 random(1);
    for (int round = 0; round < 20000; ++round) {
        const double value = std::bit_cast<double>(random());
        if (std::isfinite(value)) {
            CHECK(pattern(to_double(to_rational(value))) == pattern(value));
        }
    }
    for (const double value :
         {smallest, 3 * smallest, -smallest, largest, -largest, std::numeric_limits<double>::min(),
          std::numeric_limits<double>::min() - smallest}) {
        CHECK(pattern(to_double(to_rational(value))) == pattern(value));
    }
}

TEST_CASE("to_double takes the nearest of two neighbours, ties to even") {
    std::mt19937_64 random(2);
    const auto check = [](double below) {
        const double above = std::nextafter(below, INFINITY);
        if (!std::isfinite(above) || below == 0 || above == 0) {
            return;
        }
        const Rational a = to_rational(below);
        const Rational b = to_rational(above);
        const Rational middle = (a + b) / 2;
        const Rational shade = (b - a) * power_of_two(-300);  // far below all digits of the tie
        const double even = (pattern(below) & 1) == 0 ? below : above;
        CHECK(pattern(to_double(middle)) == pattern(even));
        CHECK(pattern(to_double(middle - shade)) == pattern(below));
        CHECK(pattern(to_double(middle + shade)) == pattern(above));
        CHECK(pattern(to_double(a + shade)) == pattern(below));
        CHECK(pattern(to_double(b - shade)) == pattern(above));
        CHECK(pattern(to_double(a + (b - a) / 3)) == pattern(below));
    };
    for (int round = 0; round < 3000; ++round) {
        const double value = std::bit_cast<double>(random());
        if (std::isfinite(value)) {
            check(value);
            // Subnormal numbers, where a first rounding to 53 bits would spoil the second.
            check(std::bit_cast<double>(pattern(value) & 0x800FFFFFFFFFFFFFULL));
            check(std::bit_cast<double>((pattern(value) & 0x800FFFFFFFFFFFFFULL) >> 40));
        }
    }
    for (const double power : {1.0, 2.0, 0.5, -1.0, 1024.0}) {
        check(power);
        check(std::nextafter(power, -INFINITY));
    }
}

TEST_CASE("to_double at the ends of the doubles") {
    const Rational tiny = power_of_two(-1075);  // half of the smallest
    CHECK(pattern(to_double(tiny)) == pattern(0.0));
    CHECK(pattern(to_double(-tiny)) == pattern(-0.0));
    CHECK(to_double(tiny + power_of_two(-2000)) == smallest);
    CHECK(to_double(tiny * 3) == 2 * smallest);
    CHECK(to_double(power_of_two(-1076)) == 0.0);
    CHECK(to_double(power_of_two(-5000)) == 0.0);
    CHECK(to_double(power_of_two(1024)) == INFINITY);
    CHECK(to_double(-power_of_two(5000)) == -INFINITY);
    const Rational last = to_rational(largest);
    const Rational half_step = power_of_two(1023 - 53);
    CHECK(to_double(last + half_step - 1) == largest);
    CHECK(to_double(last + half_step) == INFINITY);
}

TEST_CASE("fractions that are no doubles") {
    CHECK(to_double(Rational(1, 3)) == 1.0 / 3.0);
    CHECK(to_double(Rational(-2, 7)) == -2.0 / 7.0);
    std::mt19937_64 random(3);
    for (int round = 0; round < 5000; ++round) {
        // Both fit a double, so that the division rounds once.
        const auto a = static_cast<std::int64_t>(random() >> 12) - (std::int64_t{1} << 51);
        const auto b = static_cast<std::int64_t>(random() >> 12) + 1;
        CHECK(to_double(quotient(a, b)) == static_cast<double>(a) / static_cast<double>(b));
    }
}

TEST_CASE("powers of two and their logarithms") {
    CHECK(power_of_two(0) == 1);
    CHECK(power_of_two(10) == 1024);
    CHECK(power_of_two(-3) == Rational(1, 8));
    for (const int exponent : {-1100, -64, -1, 0, 1, 63, 64, 1100}) {
        CHECK(exact_log2(power_of_two(exponent)) == exponent);
        CHECK(exact_log2(-power_of_two(exponent)) == exponent);
    }
    CHECK(!exact_log2(0).has_value());
    CHECK(!exact_log2(3).has_value());
    CHECK(!exact_log2(Rational(2, 3)).has_value());
    CHECK(!exact_log2(Rational(3, 4)).has_value());
}

TEST_CASE("the greatest common divisor of rationals") {
    CHECK(gcd(Rational(6), Rational(4)) == Rational(2));
    CHECK(gcd(Rational(1, 2), Rational(1, 3)) == Rational(1, 6));
    CHECK(gcd(Rational(3, 4), Rational(9, 8)) == Rational(3, 8));
    CHECK(gcd(Rational(-6), Rational(4)) == Rational(2));
    CHECK(gcd(Rational(0), Rational(-3, 5)) == Rational(3, 5));
    CHECK(gcd(Rational(3, 5), Rational(0)) == Rational(3, 5));
    CHECK(gcd(Rational(0), Rational(0)) == Rational(0));
    // By definition: both are multiples, and the multiples have no common factor.
    for (int a = -12; a <= 12; ++a) {
        for (int b = 1; b <= 12; ++b) {
            const Rational x = quotient(a, 6);
            const Rational y = quotient(b, 10);
            const Rational g = gcd(x, y);
            CHECK(g > 0);
            const Rational m = x / g;
            const Rational n = y / g;
            CHECK(boost::multiprecision::denominator(m) == 1);
            CHECK(boost::multiprecision::denominator(n) == 1);
            CHECK(boost::multiprecision::gcd(boost::multiprecision::numerator(m),
                                             boost::multiprecision::numerator(n)) == 1);
        }
    }
}

TEST_CASE("floor and ceil on both sides of zero") {
    for (int numerator = -30; numerator <= 30; ++numerator) {
        for (int denominator = 1; denominator <= 7; ++denominator) {
            const Rational value = quotient(numerator, denominator);
            const Rational below(floor(value));
            const Rational above(ceil(value));
            CHECK(below <= value);
            CHECK(value < below + 1);
            CHECK(above >= value);
            CHECK(value > above - 1);
        }
    }
    CHECK(floor(Rational(-1, 2)) == -1);
    CHECK(ceil(Rational(-1, 2)) == 0);
    CHECK(floor(Rational(-7, 7)) == -1);
}

TEST_CASE("rationals are printed and parsed back") {
    CHECK(to_string(Rational(12)) == "12");
    CHECK(to_string(Rational(-3, 7)) == "-3/7");
    CHECK(to_string(quotient(6, -4)) == "-3/2");
    CHECK(to_string(Rational(0)) == "0");
    for (const Rational& value :
         {Rational(0), Rational(-5), Rational(22, 7), power_of_two(-200), -power_of_two(300) / 3}) {
        CHECK(parse_rational(to_string(value)) == value);
    }
    CHECK(parse_rational("010") == Rational(10));
    CHECK(parse_rational("-08/012") == Rational(-2, 3));
    CHECK(parse_rational("000") == Rational(0));
    CHECK(parse_rational("-0") == Rational(0));
    for (const char* wrong : {"", "-", "/", "1/", "/2", "1/0", "1/-2", "1/2/3", "0x10", "1.5", " 1",
                              "1 ", "+1", "--1", "1/00"}) {
        CAPTURE(wrong);
        CHECK(!parse_rational(wrong).has_value());
    }
}

TEST_CASE("big integers as 128-bit ones") {
    constexpr Int128 low = std::numeric_limits<Int128>::min();
    constexpr Int128 high = std::numeric_limits<Int128>::max();
    for (const Int128 value : {low, low + 1, Int128{-1}, Int128{0}, Int128{1}, high - 1, high}) {
        CHECK(to_bigint(value).str() == to_string(value));
        const auto back = to_int128(to_bigint(value));
        REQUIRE(back.has_value());
        CHECK(*back == value);
    }
    CHECK(!to_int128(to_bigint(high) + 1).has_value());
    CHECK(!to_int128(to_bigint(low) - 1).has_value());
    CHECK(!to_int128(power_of_two(500).convert_to<BigInt>()).has_value());
}

}  // namespace gatewright
