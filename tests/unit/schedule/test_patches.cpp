#include "schedule/patches.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "linear/search.h"

using namespace gatewright;
using namespace gatewright::schedule;
using network::Source;

namespace {

/// Windows of `kernel` pixels over `pixels` of some channels each; `padding` pixels of zeros lie on
/// both sides. Channels come last in a row, or first.
std::vector<Source> windows(int pixels, int channels, int kernel, int stride, int padding,
                            bool channels_last) {
    std::vector<Source> sources;
    for (int first = -padding; first + kernel <= pixels + padding; first += stride) {
        const int outer = channels_last ? kernel : channels;
        const int inner = channels_last ? channels : kernel;
        for (int a = 0; a < outer; ++a) {
            for (int b = 0; b < inner; ++b) {
                const int pixel = first + (channels_last ? a : b);
                const int channel = channels_last ? b : a;
                sources.push_back(pixel < 0 || pixel >= pixels
                                      ? Source{-1, 0}
                                      : Source{0, pixel * channels + channel});
            }
        }
    }
    return sources;
}

}  // namespace

TEST_CASE("windows of a convolution are found as taps of pixels") {
    for (const bool channels_last : {true, false}) {
        CAPTURE(channels_last);
        const auto sources = windows(8, 2, 3, 1, 1, channels_last);
        const auto patches = find_patches(sources, 6);
        REQUIRE(patches.has_value());
        REQUIRE(patches->families.size() == 1);
        const std::vector<std::vector<std::int32_t>> expected =
            channels_last ? std::vector<std::vector<std::int32_t>>{{0, 1}, {2, 3}, {4, 5}}
                          : std::vector<std::vector<std::int32_t>>{{0, 3}, {1, 4}, {2, 5}};
        CHECK(patches->families.front().taps == expected);
    }
}

TEST_CASE("a stride makes families of taps that see the same pixels") {
    const auto patches = find_patches(windows(9, 1, 3, 2, 0, true), 3);
    REQUIRE(patches.has_value());
    REQUIRE(patches->families.size() == 2);
    CHECK(patches->families[0].taps == std::vector<std::vector<std::int32_t>>{{0}, {2}});
    CHECK(patches->families[1].taps == std::vector<std::vector<std::int32_t>>{{1}});
}

TEST_CASE("rows that do not overlap, or not pixel by pixel, have no patches") {
    CHECK(!find_patches(windows(9, 2, 3, 3, 0, true), 6).has_value());
    CHECK(!find_patches({}, 0).has_value());
    SUBCASE("an element twice in a row") {
        const std::vector<Source> sources{{0, 0}, {0, 0}, {0, 1}, {0, 0}};
        CHECK(!find_patches(sources, 2).has_value());
    }
    SUBCASE("channels in another order") {
        const std::vector<Source> sources{{0, 0}, {0, 1}, {0, 2}, {0, 3},  //
                                          {0, 3}, {0, 2}, {0, 4}, {0, 5},  //
                                          {0, 5}, {0, 4}, {0, 6}, {0, 7}};
        CHECK(!find_patches(sources, 4).has_value());
    }
}

TEST_CASE("graphs that add up products compute the matrix, and rows have the products in common") {
    std::mt19937_64 random(5);
    const auto draw = [&](std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    for (int round = 0; round < 30; ++round) {
        CAPTURE(round);
        const int channels = static_cast<int>(draw(1, 3));
        const int kernel = static_cast<int>(draw(2, 4));
        const int stride = static_cast<int>(draw(1, 2));
        const std::int64_t outputs = draw(1, 4);
        const auto sources = windows(9, channels, kernel, stride, 1, draw(0, 1) == 0);
        const auto length = static_cast<std::size_t>(channels * kernel);
        const auto patches = find_patches(sources, length);
        if (kernel <= stride) {
            CHECK(!patches.has_value());
            continue;
        }
        REQUIRE(patches.has_value());
        linear::Matrix matrix{channels * kernel, outputs, {}};
        for (std::int64_t k = 0; k < channels * kernel * outputs; ++k) {
            matrix.weights.push_back(draw(-31, 31));
        }
        std::vector<linear::AdderGraph> products;
        for (const Patches::Family& family : patches->families) {
            linear::Matrix of_family{
                channels, static_cast<std::int64_t>(family.taps.size()) * outputs, {}};
            for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
                for (const auto& tap : family.taps) {
                    for (std::int64_t o = 0; o < outputs; ++o) {
                        of_family.weights.push_back(matrix.at(tap[c], o));
                    }
                }
            }
            products.push_back(linear::find_adder_graph(
                of_family, std::vector<Interval>(static_cast<std::size_t>(channels), {-8, 7}), {}));
        }
        const std::vector<Interval> ranges(length, {-8, 7});
        const RowGraph row = add_products(*patches, products, outputs, ranges);
        CHECK(linear::prove(row.graph, matrix).empty());
        CHECK(row.shared <= row.graph.additions.size());
        // Behind what is shared each tap but the first is added, unless its product is zero.
        const auto added = static_cast<std::int64_t>(row.graph.additions.size() - row.shared);
        CHECK(added <= (kernel - 1) * outputs);
    }
}
