#include "types/fixed_type.h"

#include <doctest/doctest.h>

#include <limits>

namespace gatewright {

namespace {

constexpr Int128 lowest = std::numeric_limits<Int128>::min();
constexpr Int128 highest = std::numeric_limits<Int128>::max();

}  // namespace

TEST_CASE("the range of a type") {
    CHECK(FixedType{true, 0, 3}.range() == Interval{0, 0});
    CHECK(FixedType{false, 0, 3}.range() == Interval{0, 0});
    CHECK(FixedType{true, 1, 0}.range() == Interval{-1, 0});
    CHECK(FixedType{false, 1, 0}.range() == Interval{0, 1});
    CHECK(FixedType{true, 8, 100}.range() == Interval{-128, 127});
    CHECK(FixedType{false, 8, -100}.range() == Interval{0, 255});
    CHECK(FixedType{true, 128, 0}.range() == Interval{lowest, highest});
    CHECK(FixedType{false, 127, 0}.range() == Interval{0, highest});
}

TEST_CASE("the narrowest width of every small interval") {
    for (Int128 low = -40; low <= 40; ++low) {
        for (Int128 high = low; high <= 40; ++high) {
            const FixedType type = type_for({low, high}, 5);
            CHECK(type.is_signed == (low < 0));
            CHECK(type.frac == 5);
            CHECK(type.width == width_for({low, high}));
            CHECK(type.range().contains({low, high}));
            if (type.width > 0) {
                const FixedType narrower{type.is_signed, type.width - 1, 5};
                CHECK(!(type.width > (type.is_signed ? 1 : 0) &&
                        narrower.range().contains({low, high})));
            }
        }
    }
}

TEST_CASE("the narrowest width at powers of two, up to the ends") {
    CHECK(width_for({0, 0}) == 0);
    CHECK(width_for({-1, -1}) == 1);
    CHECK(width_for({-1, 0}) == 1);
    for (int bits = 1; bits < 127; ++bits) {
        const Int128 power = static_cast<Int128>(1) << bits;
        CHECK(width_for({0, power - 1}) == bits);
        CHECK(width_for({0, power}) == bits + 1);
        CHECK(width_for({-power, 0}) == bits + 1);
        CHECK(width_for({-power, power - 1}) == bits + 1);
        CHECK(width_for({-power, power}) == bits + 2);
        CHECK(width_for({-power - 1, -power}) == bits + 2);
    }
    CHECK(width_for({0, highest}) == 127);
    CHECK(width_for({lowest, 0}) == 128);
    CHECK(width_for({lowest, lowest}) == 128);
    CHECK(width_for({-1, highest}) == 128);
    CHECK(width_for({lowest, highest}) == 128);
}

TEST_CASE("intervals") {
    CHECK(hull({1, 2}, {-5, -3}) == Interval{-5, 2});
    CHECK(hull({-1, 9}, {0, 3}) == Interval{-1, 9});
    CHECK(Interval{-2, 3}.contains(-2));
    CHECK(Interval{-2, 3}.contains(3));
    CHECK(!Interval{-2, 3}.contains(4));
    CHECK(Interval{-2, 3}.contains(Interval{-2, 3}));
    CHECK(!Interval{-2, 3}.contains(Interval{-3, 3}));
    CHECK(!Interval{-2, 3}.contains(Interval{-2, 4}));
}

TEST_CASE("types are printed and parsed back") {
    CHECK(to_string(FixedType{true, 8, 3}) == "fixed<8,3>");
    CHECK(to_string(FixedType{false, 16, -2}) == "ufixed<16,-2>");
    for (const bool is_signed : {false, true}) {
        for (int width = 0; width <= (is_signed ? 128 : 127); ++width) {
            for (const int frac : {-200, -1, 0, 1, 7, 300}) {
                const FixedType type{is_signed, width, frac};
                CHECK(parse_fixed_type(to_string(type)) == type);
            }
        }
    }
    CHECK(parse_fixed_type("fixed<8, 3>") == FixedType{true, 8, 3});
    for (const char* wrong :
         {"", "fixed", "fixed<>", "fixed<8>", "fixed<8,>", "fixed<8,3", "fixed<8,3> ", "fixed<,3>",
          "fixed<-1,0>", "fixed<129,0>", "ufixed<128,0>", "uufixed<8,3>", "Fixed<8,3>",
          "fixed<8.3>", "fixed<8,3>>", "fixed<8,x>", "fixed<99999999999,0>", "fixed<+8,3>"}) {
        CAPTURE(wrong);
        CHECK(!parse_fixed_type(wrong).has_value());
    }
}

TEST_CASE("roundings and overflows are printed and parsed back") {
    int roundings = 0;
    for (const Rounding rounding :
         {Rounding::floor, Rounding::ceil, Rounding::toward_zero, Rounding::away, Rounding::half_up,
          Rounding::half_down, Rounding::half_even, Rounding::half_away, Rounding::half_zero}) {
        CHECK(parse_rounding(to_string(rounding)) == rounding);
        ++roundings;
    }
    CHECK(roundings == 9);
    for (const Overflow overflow :
         {Overflow::wrap, Overflow::saturate, Overflow::saturate_symmetric}) {
        CHECK(parse_overflow(to_string(overflow)) == overflow);
    }
    CHECK(to_string(Rounding::half_even) == "half_even");
    CHECK(to_string(Overflow::saturate_symmetric) == "saturate_symmetric");
    CHECK(!parse_rounding("HALF_EVEN").has_value());
    CHECK(!parse_rounding("").has_value());
    CHECK(!parse_overflow("clip").has_value());
}

}  // namespace gatewright
