#include <random>

#include "base/diagnostics.h"
#include "circuit.h"

namespace gatewright::fixed {

namespace {

bool uses(const Circuit& circuit, bits::Op op) {
    for (std::size_t i = 0; i < circuit.nodes.size(); ++i) {
        if (circuit.nodes.node(static_cast<bits::NodeId>(i)).op == op) {
            return true;
        }
    }
    return false;
}

Int128 count(Int128 value, const std::vector<Int128>& thresholds, Int128 base) {
    return base + std::count_if(thresholds.begin(), thresholds.end(),
                                [&](Int128 t) { return value >= t; });
}

void check_count(const FixedType& type, const Interval& range,
                 const std::vector<Int128>& thresholds, Int128 base) {
    Circuit circuit;
    const Fixed a = circuit.input(type, range);
    const Fixed out = circuit.build.count_thresholds(a, thresholds, base);
    CHECK(out.type.frac == 0);
    circuit.result(out);
    circuit.run([&](const std::vector<Int128>& in) {
        return std::vector<Int128>{count(in[0], thresholds, base)};
    });
}

}  // namespace

TEST_CASE("lookup of every range within a table") {
    const std::vector<Int128> words = {7, -3, 0, 5, 5, -9, 2, 1, 30, 4, 4};
    for (const Int128 low : {-5, 0, 3}) {
        const Int128 end = low + static_cast<Int128>(words.size()) - 1;
        for (Int128 first = low; first <= end; ++first) {
            for (Int128 last = first; last <= end; ++last) {
                Circuit circuit;
                const Fixed a = circuit.input({true, 6, 2}, {first, last});
                const Fixed out = circuit.build.lookup(a, "t", low, words, 4);
                CHECK(out.type.frac == 4);
                circuit.result(out);
                circuit.run([&](const std::vector<Int128>& in) {
                    return std::vector<Int128>{words[static_cast<std::size_t>(in[0] - low)]};
                });
            }
        }
    }
}

TEST_CASE("a table has 2^n words, the last one repeated, and is addressed without a subtraction") {
    Circuit circuit;
    const Fixed a = circuit.input({true, 4, 0}, {-2, 3});
    circuit.result(circuit.build.lookup(a, "t", -2, {10, 11, 12, 13, 14, 15}, 0));
    CHECK(!uses(circuit, bits::Op::sub));
    CHECK(!uses(circuit, bits::Op::add));
    const bits::Function function = circuit.nodes.take();
    REQUIRE(function.tables.size() == 1);
    CHECK(function.tables[0].words == std::vector<Int128>{12, 13, 14, 15, 15, 15, 10, 11});
    CHECK(function.tables[0].type == bits::Type{false, 4});
}

TEST_CASE("a table of equal words is a constant, an address without a word an error") {
    Circuit circuit;
    const Fixed a = circuit.input({false, 2, 0});
    CHECK(circuit.build.lookup(a, "t", 0, {4, 4, 4, 4, 9}, 1).range == Interval{4, 4});
    CHECK_THROWS_AS(circuit.build.lookup(a, "t", 0, {1, 2, 3}, 0), std::logic_error);
    CHECK_THROWS_AS(circuit.build.lookup(a, "t", 1, {1, 2, 3, 4}, 0), std::logic_error);
}

TEST_CASE("thresholds are counted: few and many, near and far, repeated and none") {
    std::mt19937_64 random(5);
    for (int round = 0; round < 600; ++round) {
        const bool is_signed = random() % 2 == 0;
        const FixedType type{is_signed, 1 + static_cast<int>(random() % 9),
                             static_cast<int>(random() % 5) - 1};
        const Interval all = type.range();
        const auto size = static_cast<std::uint64_t>(all.high - all.low + 1);
        std::vector<Int128> thresholds(random() % 20);
        const int zeros = static_cast<int>(random() % 3);
        for (Int128& threshold : thresholds) {
            threshold = all.low - 2 + static_cast<Int128>(random() % (size + 4));
            threshold = (threshold >> zeros) << zeros;
        }
        std::sort(thresholds.begin(), thresholds.end());
        const Int128 a = all.low + static_cast<Int128>(random() % size);
        const Int128 b = all.low + static_cast<Int128>(random() % size);
        const Interval range = round % 2 == 0 ? all : Interval{std::min(a, b), std::max(a, b)};
        check_count(type, range, thresholds, static_cast<Int128>(random() % 40) - 20);
    }
    check_count({true, 4, 0}, {-8, 7}, {}, -3);
}

TEST_CASE("a constant that was added last becomes a part of thresholds and addresses") {
    std::mt19937_64 random(3);
    for (int round = 0; round < 400; ++round) {
        CAPTURE(round);
        const auto draw = [&](int low, int high) {
            return std::uniform_int_distribution<int>(low, high)(random);
        };
        const bool negative = draw(0, 1) == 1;
        const int c = draw(-80, 80);
        const Interval range{draw(-20, 20), draw(20, 60)};
        std::vector<Int128> thresholds;
        for (int i = draw(1, 5); i > 0; --i) {
            thresholds.push_back(draw(-100, 140));
        }
        std::ranges::sort(thresholds);
        Circuit circuit;
        const Fixed x = circuit.input({true, 8, 0}, range);
        const Fixed constant = circuit.build.constant(c, 0);
        const Fixed a = negative ? circuit.build.sub(constant, x) : circuit.build.add(x, constant);
        std::vector<Int128> words;
        for (Int128 value = a.range.low; value <= a.range.high; ++value) {
            words.push_back(draw(-50, 50));
        }
        circuit.result(circuit.build.count_thresholds(a, thresholds, 3));
        circuit.result(circuit.build.lookup(a, "t", a.range.low, words, 0));
        circuit.run([&](const std::vector<Int128>& in) {
            const Int128 value = negative ? c - in[0] : in[0] + c;
            return std::vector<Int128>{count(value, thresholds, 3),
                                       words[static_cast<std::size_t>(value - a.range.low)]};
        });
    }
    // A sum that no type holds is left as it is.
    Circuit circuit;
    const Fixed x = circuit.input({false, 4, 0});
    const Fixed sum = circuit.build.add(x, circuit.build.constant(5, 0));
    const Fixed a = circuit.build.quantize(sum, {false, 4, 0}, Rounding::floor, Overflow::wrap);
    circuit.result(circuit.build.count_thresholds(a, {3, 9}, 0));
    circuit.run([](const std::vector<Int128>& in) {
        return std::vector<Int128>{count((in[0] + 5) % 16, {3, 9}, 0)};
    });
}

TEST_CASE("each form of a step function is met and right") {
    // One threshold is one comparison, here with the sign.
    {
        Circuit circuit;
        const Fixed a = circuit.input({true, 4, 0});
        CHECK(circuit.build.count_thresholds(a, {0}, 0).bits == circuit.build.at_least(a, 0).bits);
        CHECK(!uses(circuit, bits::Op::read));
    }
    // A narrow operand is a table.
    {
        Circuit circuit;
        const Fixed a = circuit.input({true, 4, 0});
        circuit.build.count_thresholds(a, {-3, 0, 1, 5, 6, 7}, 0);
        CHECK(uses(circuit, bits::Op::read));
        CHECK(!uses(circuit, bits::Op::less));
    }
    check_count({true, 4, 0}, {-8, 7}, {-3, 0, 1, 5, 6, 7}, 0);
    // A wide operand and few thresholds: comparators and multiplexers.
    {
        Circuit circuit;
        const Fixed a = circuit.input({true, 12, 0});
        circuit.build.count_thresholds(a, {-701, 3, 999}, 0);
        CHECK(!uses(circuit, bits::Op::read));
        CHECK(!uses(circuit, bits::Op::add));
        CHECK(uses(circuit, bits::Op::mux));
    }
    check_count({true, 12, 0}, {-2048, 2047}, {-701, 3, 999}, 0);
    check_count({true, 12, 0}, {-2048, 2047}, {-701, -701, 3, 999, 999, 999}, -2);
    // Many thresholds: a search with tables of thresholds.
    for (const std::size_t size : {std::size_t{63}, std::size_t{50}, std::size_t{100}}) {
        for (const bool repeated : {false, true}) {
            std::vector<Int128> thresholds;
            for (std::size_t i = 0; i < size; ++i) {
                thresholds.push_back(static_cast<Int128>((i * i * 37 + i * 11) % 8191) - 4000);
            }
            std::sort(thresholds.begin(), thresholds.end());
            if (repeated) {
                thresholds.push_back(thresholds.back());
            }
            Circuit circuit;
            const Fixed a = circuit.input({true, 14, 0});
            circuit.build.count_thresholds(a, thresholds, -8);
            CHECK(uses(circuit, bits::Op::read));
            CHECK(uses(circuit, bits::Op::bit_or));
            check_count({true, 14, 0}, {-8192, 8191}, thresholds, -8);
        }
    }
}

TEST_CASE("a step function at the ends of the integers") {
    const Interval all = FixedType{true, 128, 0}.range();
    std::vector<Int128> thresholds;
    for (int i = 1; i < 40; ++i) {
        thresholds.push_back(all.low / 41 * (41 - 2 * i) + i);
    }
    std::sort(thresholds.begin(), thresholds.end());
    bits::Builder nodes("wide");
    Builder build(nodes);
    const Fixed a = build.input("x", {true, 128, 0}, all);
    nodes.output("y", build.count_thresholds(a, thresholds, 5).bits);
    const bits::Function function = nodes.take();
    for (const Int128 threshold : thresholds) {
        for (const Int128 value : {threshold - 1, threshold, threshold + 1}) {
            CHECK(bits::evaluate(function, {value})[0] == count(value, thresholds, 5));
        }
    }
    CHECK(bits::evaluate(function, {all.low})[0] == 5);
    CHECK(bits::evaluate(function, {all.high})[0] == 44);
}

TEST_CASE(
    "thresholds out of order are a fault of the caller; a count beyond 128 bits a diagnostic") {
    Circuit circuit;
    const Fixed a = circuit.input({true, 4, 0});
    CHECK_THROWS_AS(circuit.build.count_thresholds(a, {2, 1}, 0), std::logic_error);
    CHECK_THROWS_AS(
        circuit.build.count_thresholds(a, {1, 2}, std::numeric_limits<Int128>::max() - 1), Failure);
}

}  // namespace gatewright::fixed
