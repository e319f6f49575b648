#include <doctest/doctest.h>

#include <set>

#include "samples.h"

using namespace gatewright;
using namespace gatewright::bits;
using samples::Values;

namespace {

/// The operations once more, in the plainest way: with division, remainders and sums of bits on
/// small integers; nothing here is shared with src/bits.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
    std::int64_t q = a / b;
    while (q * b > a) {
        --q;
    }
    return q;
}

std::int64_t power(int exponent) {
    std::int64_t p = 1;
    for (int i = 0; i < exponent; ++i) {
        p *= 2;
    }
    return p;
}

int digit(std::int64_t a, int place) {
    const std::int64_t q = floor_divide(a, power(place));
    return static_cast<int>(q - 2 * floor_divide(q, 2));
}

std::int64_t reduced(std::int64_t a, Type type) {
    const std::int64_t modulus = power(type.width);
    std::int64_t r = a - modulus * floor_divide(a, modulus);
    if (type.is_signed && 2 * r >= modulus) {
        r -= modulus;
    }
    return r;
}

std::int64_t by_digits(std::int64_t a, std::int64_t b, bool (*rule)(int, int)) {
    constexpr int places = 12;  // the operands have at most four bits, so these are all signs
    std::int64_t sum = 0;
    for (int i = 0; i < places; ++i) {
        const std::int64_t weight = i == places - 1 ? -power(i) : power(i);
        sum += rule(digit(a, i), digit(b, i)) ? weight : 0;
    }
    return sum;
}

std::int64_t expected(const Function& f, const Node& node, const Values& x) {
    const auto a = static_cast<std::int64_t>(x[0]);
    const auto b = static_cast<std::int64_t>(x.size() > 1 ? x[1] : 0);
    const auto c = static_cast<std::int64_t>(x.size() > 2 ? x[2] : 0);
    const auto amount = static_cast<int>(node.immediate);
    std::int64_t exact = 0;
    switch (node.op) {
        case Op::add:
            exact = a + b;
            break;
        case Op::sub:
            exact = a - b;
            break;
        case Op::mul:
            exact = a * b;
            break;
        case Op::shl:
            exact = a * power(amount);
            break;
        case Op::shr:
            exact = floor_divide(a, power(amount));
            break;
        case Op::bit_and:
            exact = by_digits(a, b, [](int p, int q) { return p + q == 2; });
            break;
        case Op::bit_or:
            exact = by_digits(a, b, [](int p, int q) { return p + q != 0; });
            break;
        case Op::bit_xor:
            exact = by_digits(a, b, [](int p, int q) { return p != q; });
            break;
        case Op::bit_not:
            exact = -1 - a;
            break;
        case Op::equal:
            exact = a == b ? 1 : 0;
            break;
        case Op::less:
            exact = a < b ? 1 : 0;
            break;
        case Op::mux:
            exact = a == 1 ? b : c;
            break;
        case Op::cast:
            exact = a;
            break;
        case Op::read:
            exact = static_cast<std::int64_t>(f.tables[0].words[static_cast<std::size_t>(a)]);
            break;
        case Op::input:
        case Op::constant:
            FAIL("no operation");
    }
    return reduced(exact, node.type);
}

}  // namespace

TEST_CASE("every operation, all types of 1 to 4 bits, all values") {
    std::set<Op> seen;
    std::size_t values = 0;
    std::size_t wrong = 0;
    for (const Function& f : samples::small_functions()) {
        REQUIRE(verify(f).empty());
        seen.insert(f.nodes.back().op);
        const Function less = samples::simplified(f);
        REQUIRE(verify(less).empty());
        const std::vector<Values> inputs = samples::all_values(f);
        const std::vector<Values> fast = samples::run(Evaluator(f), inputs);
        const std::vector<Values> fast_less = samples::run(Evaluator(less), inputs);
        for (std::size_t s = 0; s < inputs.size(); ++s) {
            Values right;
            for (const Output& output : f.outputs) {
                right.push_back(expected(f, f.nodes[output.node], inputs[s]));
            }
            values += right.size();
            wrong += evaluate(f, inputs[s]) == right && evaluate(less, inputs[s]) == right &&
                             fast[s] == right && fast_less[s] == right
                         ? 0
                         : 1;
        }
        CHECK_MESSAGE(wrong == 0, f.name);
    }
    CHECK(seen.size() == op_count - 2);  // all but input and constant
    CHECK(values > 300'000);
}

TEST_CASE("a comparison of the reference with a wrong result would fail") {
    Function f;
    samples::push_input(f, {true, 4});
    samples::push_input(f, {true, 4});
    samples::push_output(f, samples::push(f, Op::sub, {true, 5}, 0, 0, 1));
    CHECK(expected(f, f.nodes[2], {-8, 7}) == -15);
    CHECK(evaluate(f, {-8, 7}) == Values{-15});
    CHECK(evaluate(f, {7, -8}) != Values{-15});
}

TEST_CASE("types of no bits") {
    Function f;
    samples::push_input(f, {true, 0});
    samples::push_input(f, {true, 4});
    samples::push_output(f, samples::push(f, Op::add, {true, 4}, 0, 0, 1));
    samples::push_output(f, samples::push(f, Op::cast, {false, 0}, 0, 1));
    samples::push_output(f, 0);
    CHECK(verify(f).empty());
    CHECK(evaluate(f, {0, -3}) == Values{-3, 0, 0});
    CHECK(samples::run(Evaluator(f), {{0, -3}})[0] == Values{-3, 0, 0});
    CHECK(evaluate(samples::simplified(f), {0, -3}) == Values{-3, 0, 0});
}

TEST_CASE("types") {
    const Int128 top = static_cast<Int128>(1) << 126;
    CHECK(highest({false, 127}) == top - 1 + top);
    CHECK(lowest({true, 128}) == -top - top);
    CHECK(highest({true, 128}) == highest({false, 127}));
    CHECK(highest({true, 1}) == 0);
    CHECK(lowest({true, 1}) == -1);
    CHECK(wrap(top, {true, 127}) == -top);
    CHECK(wrap(-1, {false, 127}) == highest({false, 127}));
    CHECK(wrap(-1, {false, 0}) == 0);
    CHECK(wrap(-1, {true, 0}) == 0);
    CHECK(narrowest(0) == Type{false, 0});
    CHECK(narrowest(-1) == Type{true, 1});
    CHECK(narrowest(4) == Type{false, 3});
    CHECK(narrowest(-5) == Type{true, 4});
    CHECK(narrowest(lowest({true, 128})) == Type{true, 128});
    CHECK(to_string(Type{true, 8}) == "s8");
    for (const Type outer : samples::types(0, 5)) {
        for (const Type inner : samples::types(0, 5)) {
            CHECK(holds_all(outer, inner) ==
                  (holds(outer, lowest(inner)) && holds(outer, highest(inner))));
        }
    }
    CHECK(lane_for({false, 7}) == Lane::i8);
    CHECK(lane_for({false, 8}) == Lane::i16);
    CHECK(lane_for({true, 64}) == Lane::i64);
    CHECK(lane_for({false, 64}) == Lane::i128);
}
