#include "linear/cover.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "linear/search.h"
#include "linear/signed_digits.h"

using namespace gatewright;
using namespace gatewright::linear;

namespace {

using Form = std::vector<std::int64_t>;

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

Form plus(const Form& a, const Form& b, std::int64_t factor) {
    Form sum = a;
    for (std::size_t i = 0; i < sum.size(); ++i) {
        sum[i] += factor * b[i];
    }
    return sum;
}

int digits_of(const Form& form) {
    std::vector<Term> terms;
    for (const std::int64_t coefficient : form) {
        append_digits(0, coefficient, terms);
    }
    return static_cast<int>(terms.size());
}

std::int64_t factor_of(const Term& term) {
    return (term.negative ? -1 : 1) * (std::int64_t{1} << term.shift);
}

/// Linear forms of all values.
std::vector<Form> forms_of(const Sums& sums) {
    std::vector<Form> forms(sums.values().size(), Form(index(sums.inputs())));
    for (const std::int32_t v : sums.in_order()) {
        if (v < sums.inputs()) {
            forms[index(v)][index(v)] = 1;
        } else {
            const Sum& sum = sums.at(v);
            forms[index(v)] = plus(forms[index(sum.low)], forms[index(sum.high)],
                                   factor_of({0, sum.distance, sum.negative}));
        }
    }
    return forms;
}

}  // namespace

TEST_CASE("a cover adds up to its root, and its values leave the fewest digits") {
    std::mt19937_64 random(47);
    int values = 0;
    int best = 0;
    for (const std::int64_t largest : {std::int64_t{7}, std::int64_t{100}, std::int64_t{3000}}) {
        Matrix matrix{6, 8, {}};
        for (int k = 0; k < 48; ++k) {
            matrix.weights.push_back(
                static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(2 * largest + 1)) -
                largest);
        }
        const std::vector<Interval> ranges(6, Interval{-128, 127});
        const AdderGraph graph = find_adder_graph(matrix, ranges, search_named("fast"));
        const auto sums = Sums::from(graph, ranges, std::vector<int>(6));
        REQUIRE(sums);
        Cover cover;
        REQUIRE(cover.reset(*sums));
        const std::vector<Form> forms = forms_of(*sums);
        std::uint64_t seed = random();
        for (std::int32_t root = 6; root < static_cast<std::int32_t>(forms.size()); ++root) {
            std::vector<char> taken(forms.size());
            for (std::int32_t v = 6; v < static_cast<std::int32_t>(forms.size()); ++v) {
                taken[index(v)] = v == root || random() % 3 == 0;
            }
            constexpr int level = 20;
            std::vector<Term> terms = cover.find(*sums, {root, 0, false}, level, taken, 64, seed);
            REQUIRE(!terms.empty());
            Form left = forms[index(root)];
            for (const Term& term : terms) {
                if (term.value >= 6) {
                    int fewest = digits_of(left);
                    for (std::int32_t v = 6; v < static_cast<std::int32_t>(forms.size()); ++v) {
                        for (std::uint8_t shift = 0; shift < 8 && taken[index(v)] == 0; ++shift) {
                            for (const bool negative : {false, true}) {
                                const std::int64_t factor = factor_of({v, shift, negative});
                                fewest = std::min(fewest,
                                                  digits_of(plus(left, forms[index(v)], -factor)));
                            }
                        }
                    }
                    CHECK(taken[index(term.value)] == 0);
                    left = plus(left, forms[index(term.value)], -factor_of(term));
                    ++values;
                    best += digits_of(left) <= fewest ? 1 : 0;
                    // A value that seldom takes more than before is not looked at again.
                    CHECK((term != terms.front() || digits_of(left) <= fewest));
                } else {
                    left = plus(left, forms[index(term.value)], -factor_of(term));
                }
            }
            CHECK(left == Form(6));
        }
    }
    CHECK(values > 100);
    CHECK(best * 100 >= values * 95);
}
