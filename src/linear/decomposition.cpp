#include "linear/decomposition.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>

namespace gatewright::linear {

namespace {

using Column = std::vector<std::int64_t>;

/// Non-zero canonical digits of x: the positions where x and 3x differ.
std::int64_t digits_of(std::int64_t x) {
    const auto bits = static_cast<std::uint64_t>(x < 0 ? -x : x);
    return std::popcount(bits ^ (bits * 3));
}

std::int64_t digits_of(const Column& column) {
    std::int64_t digits = 0;
    for (const std::int64_t weight : column) {
        digits += digits_of(weight);
    }
    return digits;
}

Column difference(const Column& column, const Column& parent, bool negative) {
    Column part(column.size());
    std::transform(column.begin(), column.end(), parent.begin(), part.begin(),
                   [&](std::int64_t a, std::int64_t b) { return negative ? a + b : a - b; });
    return part;
}

/// The cheapest way known to reach a column from the tree so far.
struct Reach {
    std::int64_t cost = 0;
    std::int64_t digits = 0;
    std::optional<std::size_t> parent;
    bool negative = false;
};

}  // namespace

Decomposition decompose(const std::vector<Column>& columns, int longest_path,
                        std::int64_t most_digits, int penalty) {
    std::vector<Reach> reach(columns.size());
    for (std::size_t j = 0; j < columns.size(); ++j) {
        reach[j].cost = reach[j].digits = digits_of(columns[j]);
    }
    Decomposition result;
    result.columns.resize(columns.size());
    std::vector<bool> done(columns.size());
    for (std::size_t step = 0; step < columns.size(); ++step) {
        std::size_t next = columns.size();
        for (std::size_t j = 0; j < columns.size(); ++j) {
            if (!done[j] && (next == columns.size() || reach[j].cost < reach[next].cost)) {
                next = j;
            }
        }
        done[next] = true;
        const Reach& chosen = reach[next];
        const auto part = static_cast<std::int32_t>(result.parts.size());
        auto& path = result.columns[next];
        if (chosen.parent) {
            path = result.columns[*chosen.parent];
            for (Decomposition::Step& s : path) {
                s.negative = s.negative != chosen.negative;
            }
            result.parts.push_back(
                difference(columns[next], columns[*chosen.parent], chosen.negative));
        } else {
            result.parts.push_back(columns[next]);
        }
        path.push_back({part, false});
        if (static_cast<int>(path.size()) >= longest_path || chosen.digits > most_digits) {
            continue;
        }
        for (std::size_t j = 0; j < columns.size(); ++j) {
            if (done[j]) {
                continue;
            }
            for (const bool negative : {false, true}) {
                std::int64_t digits = 0;
                for (std::size_t i = 0; i < columns[j].size(); ++i) {
                    digits += digits_of(negative ? columns[j][i] + columns[next][i]
                                                 : columns[j][i] - columns[next][i]);
                }
                if (digits <= most_digits && digits + penalty < reach[j].cost) {
                    reach[j] = {digits + penalty, digits, next, negative};
                }
            }
        }
    }
    return result;
}

}  // namespace gatewright::linear
