#include "base/int128.h"

#include <doctest/doctest.h>

#include <limits>
#include <random>

namespace gatewright {

namespace {

constexpr Int128 lowest = std::numeric_limits<Int128>::min();
constexpr Int128 highest = std::numeric_limits<Int128>::max();

}  // namespace

TEST_CASE("128-bit integers print as decimal digits") {
    CHECK(to_string(Int128{0}) == "0");
    CHECK(to_string(Int128{-1}) == "-1");
    CHECK(to_string(Int128{1000000}) == "1000000");
    CHECK(to_string(static_cast<Int128>(1) << 64) == "18446744073709551616");
    CHECK(to_string(highest) == "170141183460469231731687303715884105727");
    CHECK(to_string(lowest) == "-170141183460469231731687303715884105728");
}

TEST_CASE("128-bit integers are parsed up to both ends and no further") {
    Int128 value = 0;
    CHECK(parse_int128("170141183460469231731687303715884105727", value));
    CHECK(value == highest);
    CHECK(parse_int128("-170141183460469231731687303715884105728", value));
    CHECK(value == lowest);
    CHECK(parse_int128("-0", value));
    CHECK(value == 0);
    CHECK(parse_int128("000000000000000000000000000000000000000000000007", value));
    CHECK(value == 7);

    for (const char* wrong :
         {"", "-", "+1", " 1", "1 ", "0x10", "1.0", "--1", "1-", "one", "1e3",
          "170141183460469231731687303715884105728", "-170141183460469231731687303715884105729",
          "999999999999999999999999999999999999999", "1701411834604692317316873037158841057270"}) {
        CAPTURE(wrong);
        value = 42;
        CHECK(!parse_int128(wrong, value));
        CHECK(value == 42);
    }
}

TEST_CASE("printing and parsing are inverse") {
    std::mt19937_64 random(1);
    for (int round = 0; round < 2000; ++round) {
        const auto any = static_cast<Int128>(static_cast<UInt128>(random()) << 64 | random());
        const Int128 value = any >> (random() % 128);
        Int128 back = 0;
        CHECK(parse_int128(to_string(value), back));
        CHECK(back == value);
    }
}

TEST_CASE("bit lengths and trailing zeros") {
    CHECK(bit_length(0) == 0);
    CHECK(trailing_zeros(0) == 128);
    for (int position = 0; position < 128; ++position) {
        const UInt128 power = static_cast<UInt128>(1) << position;
        CHECK(bit_length(power) == position + 1);
        CHECK(bit_length(power - 1) == position);
        CHECK(trailing_zeros(power) == position);
        CHECK(trailing_zeros(~UInt128{0} << position) == position);
    }
    CHECK(bit_length(~UInt128{0}) == 128);
}

}  // namespace gatewright
