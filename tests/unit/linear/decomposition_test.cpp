#include "linear/decomposition.h"

#include <doctest/doctest.h>

#include <random>

using namespace gatewright::linear;

namespace {

std::vector<std::int64_t> sum_of(const Decomposition& decomposition, std::size_t column,
                                 std::size_t length) {
    std::vector<std::int64_t> sum(length);
    for (const Decomposition::Step& step : decomposition.columns[column]) {
        for (std::size_t i = 0; i < length; ++i) {
            const std::int64_t weight = decomposition.parts[static_cast<std::size_t>(step.part)][i];
            sum[i] += step.negative ? -weight : weight;
        }
    }
    return sum;
}

}  // namespace

TEST_CASE("parts add up to their columns on paths no longer than allowed") {
    std::mt19937_64 random(1);
    for (const std::int64_t span : {1, 5, 1000}) {
        std::vector<std::vector<std::int64_t>> columns(12, std::vector<std::int64_t>(6));
        for (auto& column : columns) {
            for (std::int64_t& weight : column) {
                weight =
                    static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(2 * span + 1)) -
                    span;
            }
        }
        for (const int longest : {1, 2, 3, 100}) {
            const Decomposition result = decompose(columns, longest, 1000, 1);
            CHECK(result.parts.size() == columns.size());
            for (std::size_t j = 0; j < columns.size(); ++j) {
                CHECK(sum_of(result, j, 6) == columns[j]);
                CHECK(static_cast<int>(result.columns[j].size()) <= longest);
            }
        }
    }
}

TEST_CASE("columns that differ or add up to little share a parent") {
    const std::vector<std::vector<std::int64_t>> columns = {
        {85, 85, 85, 0}, {85, 85, 85, 1}, {-85, -85, -85, 4}};
    const Decomposition result = decompose(columns, 2, 1000, 1);
    CHECK(result.columns[0].size() == 1);
    CHECK(result.columns[1].size() == 2);
    CHECK(result.columns[2].size() == 2);
    // The parent's part is over the limit of digits, so nothing may build on it.
    CHECK(decompose(columns, 2, 11, 1).columns[1].size() == 1);
}
