#include "linear/signed_digits.h"

#include <doctest/doctest.h>

#include <bit>
#include <limits>

#include "base/int128.h"

using gatewright::Int128;
using gatewright::linear::canonical_digits;
using gatewright::linear::SignedDigits;

namespace {

Int128 value_of(const SignedDigits& digits) {
    return static_cast<Int128>(digits.positive) - static_cast<Int128>(digits.negative);
}

}  // namespace

TEST_CASE("canonical digits have the value, and no two neighbours") {
    const auto check = [](std::int64_t value) {
        const SignedDigits digits = canonical_digits(value);
        CHECK(value_of(digits) == value);
        CHECK((digits.positive & digits.negative) == 0);
        const std::uint64_t all = digits.positive | digits.negative;
        CHECK((all & (all >> 1)) == 0);
    };
    for (std::int64_t value = -1100; value <= 1100; ++value) {
        check(value);
    }
    check(std::numeric_limits<std::int64_t>::min());
    check(std::numeric_limits<std::int64_t>::max());
    check((std::int64_t{1} << 62) - 1);
    check(0x5555555555555555);
    check(0x3333333333333333);
}
