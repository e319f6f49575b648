#include "types/shape.h"

#include <doctest/doctest.h>

#include <limits>

#include "types/per_element.h"

namespace gatewright {

namespace {

using Indices = std::vector<std::int64_t>;

/// The definition: walk all positions of `to`, and take 0 where `from` has one row.
Indices broadcast_by_position(const Shape& from, const Shape& to) {
    Indices out;
    const Indices from_strides = strides_of(from);
    const Indices to_strides = strides_of(to);
    for (std::int64_t element = 0; element < element_count(to); ++element) {
        std::int64_t source = 0;
        for (std::size_t i = 0; i < from.size(); ++i) {
            const std::size_t axis = to.size() - from.size() + i;
            const std::int64_t position = element / to_strides[axis] % to[axis];
            source += from[i] == 1 ? 0 : position * from_strides[i];
        }
        out.push_back(source);
    }
    return out;
}

}  // namespace

TEST_CASE("element counts") {
    CHECK(element_count({}) == 1);
    CHECK(element_count({3, 4}) == 12);
    CHECK(element_count({3, 0}) == 0);
    CHECK(checked_element_count({}) == 1);
    CHECK(checked_element_count({2, 3, 4}) == 24);
    CHECK(checked_element_count({0, 5}) == 0);
    const std::int64_t large = std::int64_t{1} << 32;
    CHECK(checked_element_count({large, large / 4}) == std::int64_t{1} << 62);
    CHECK(checked_element_count({std::numeric_limits<std::int64_t>::max(), 1}) ==
          std::numeric_limits<std::int64_t>::max());
    CHECK(!checked_element_count({large, large}).has_value());
    CHECK(!checked_element_count({large, large, large}).has_value());
    CHECK(!checked_element_count({-1}).has_value());
    CHECK(!checked_element_count({-2, -3}).has_value());
    // A zero makes the product small but no negative extent sound.
    CHECK(checked_element_count({large, large, 0}) == 0);
    CHECK(!checked_element_count({0, -1}).has_value());
}

TEST_CASE("strides and text") {
    CHECK(strides_of({}) == Indices{});
    CHECK(strides_of({5}) == Indices{1});
    CHECK(strides_of({2, 3, 4}) == Indices{12, 4, 1});
    CHECK(to_string(Shape{}) == "[]");
    CHECK(to_string(Shape{7}) == "[7]");
    CHECK(to_string(Shape{3, 4}) == "[3, 4]");
}

TEST_CASE("shapes broadcast as in NumPy") {
    CHECK(broadcast({}, {}) == Shape{});
    CHECK(broadcast({3}, {}) == Shape{3});
    CHECK(broadcast({3, 1}, {4}) == Shape{3, 4});
    CHECK(broadcast({1, 4}, {3, 1}) == Shape{3, 4});
    CHECK(broadcast({2, 3, 4}, {3, 4}) == Shape{2, 3, 4});
    CHECK(broadcast({1}, {0}) == Shape{0});
    CHECK(broadcast({2, 1, 5}, {7, 1}) == Shape{2, 7, 5});
    CHECK(!broadcast({3}, {4}).has_value());
    CHECK(!broadcast({0}, {4}).has_value());
    CHECK(!broadcast({2, 3}, {2}).has_value());
}

TEST_CASE("each element finds the one it is broadcast from") {
    CHECK(broadcast_index({}, {2, 2}) == Indices{0, 0, 0, 0});
    CHECK(broadcast_index({3}, {2, 3}) == Indices{0, 1, 2, 0, 1, 2});
    CHECK(broadcast_index({2, 1}, {2, 3}) == Indices{0, 0, 0, 1, 1, 1});
    CHECK(broadcast_index({2, 3}, {2, 3}) == Indices{0, 1, 2, 3, 4, 5});
    CHECK(broadcast_index({1}, {0}) == Indices{});
    CHECK(broadcast_index({}, {}) == Indices{0});
    const Shape to = {2, 3, 1, 4};
    for (int mask = 0; mask < 16; ++mask) {
        for (std::size_t rank = 0; rank <= to.size(); ++rank) {
            Shape from(to.end() - static_cast<std::ptrdiff_t>(rank), to.end());
            for (std::size_t i = 0; i < rank; ++i) {
                from[i] = (mask >> i & 1) != 0 ? 1 : from[i];
            }
            CHECK(broadcast_index(from, to) == broadcast_by_position(from, to));
        }
    }
}

TEST_CASE("one value for all, for each position of an axis, for each element") {
    const PerElement<int> one(7);
    CHECK(one.is_uniform());
    CHECK(one.at(0) == 7);
    CHECK(one.at(1000) == 7);

    // The middle axis of [2, 3, 4].
    const auto axis = PerElement<int>::along({10, 20, 30}, 4);
    CHECK(!axis.is_uniform());
    CHECK(axis.inner() == 4);
    for (std::int64_t element = 0; element < 24; ++element) {
        CHECK(axis.at(element) == 10 * (element / 4 % 3 + 1));
    }

    const auto each = PerElement<int>::each({1, 2, 3});
    CHECK(each.at(0) == 1);
    CHECK(each.at(2) == 3);

    // Canonical: equal values are one value, whatever they were given as.
    CHECK(PerElement<int>::along({7, 7, 7}, 4) == one);
    CHECK(PerElement<int>::each({7, 7}) == one);
    CHECK(PerElement<int>::along({7, 7, 7}, 4).inner() == 1);
    CHECK(!(PerElement<int>::each({7, 8}) == one));
    CHECK(!(PerElement<int>::along({1, 2}, 3) == PerElement<int>::along({1, 2}, 4)));
    CHECK(PerElement<int>().at(3) == 0);
}

}  // namespace gatewright
