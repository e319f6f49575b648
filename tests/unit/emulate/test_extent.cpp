#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "emulate/extent.h"

using namespace gatewright;
using emulate::extent_of;

namespace {

/// The fewest bits behind the point, by trying.
template <class T>
int bits_behind(T value) {
    int frac = -130;
    while (std::trunc(std::ldexp(static_cast<long double>(value), frac)) !=
           std::ldexp(static_cast<long double>(value), frac)) {
        ++frac;
    }
    return frac;
}

template <class T>
ArraySource array_of(const std::vector<T>& values) {
    return NpyArray::of({static_cast<std::int64_t>(values.size())}, std::span<const T>(values));
}

}  // namespace

TEST_CASE_TEMPLATE("the finest bit and the ends of arrays", T, float, double) {
    using Limits = std::numeric_limits<T>;
    std::mt19937 random(5);
    for (int round = 0; round < 200; ++round) {
        std::vector<T> values;
        int frac = -1000;
        double low = 0;
        double high = 0;
        for (int i = 0; i < 1 + round % 40; ++i) {
            const int exponent = static_cast<int>(random() % 60) - 40;
            values.push_back(
                static_cast<T>(std::ldexp(static_cast<int>(random() % 2048) - 1024, exponent)));
            if (values.back() != 0) {
                frac = std::max(frac, bits_behind(values.back()));
            }
            low = std::min<double>(low, values.back());
            high = std::max<double>(high, values.back());
        }
        const auto extent = extent_of(array_of(values));
        REQUIRE(extent.has_value());
        CHECK(extent->low == low);
        CHECK(extent->high == high);
        CHECK(extent->frac.value_or(-1000) == frac);
        CHECK_FALSE(extent->wrong.has_value());
    }
    CHECK(extent_of(array_of<T>({0, -T(0)}))->frac == std::nullopt);
    CHECK(extent_of(array_of<T>({Limits::denorm_min()}))->frac ==
          Limits::digits - Limits::min_exponent);
    CHECK(extent_of(array_of<T>({1, Limits::infinity(), 2}))->wrong == Limits::infinity());
    CHECK(std::isnan(*extent_of(array_of<T>({1, -Limits::quiet_NaN()}))->wrong));
}

TEST_CASE("the extent of integers") {
    const auto extent = extent_of(array_of<std::int32_t>({-12, 40}));
    CHECK(extent->low == -12);
    CHECK(extent->high == 40);
    CHECK(extent->frac == -2);
}
