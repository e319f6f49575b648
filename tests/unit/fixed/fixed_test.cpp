#include "fixed/fixed.h"

#include <random>

#include "base/diagnostics.h"
#include "circuit.h"
#include "fixed/exact.h"

namespace gatewright::fixed {

namespace {

/// A range within the type: all of it, or a part by chance.
Interval some_range(const FixedType& type, std::mt19937_64& random) {
    const Interval all = type.range();
    if (random() % 3 == 0) {
        return all;
    }
    const auto size = static_cast<std::uint64_t>(all.high - all.low + 1);
    const Int128 a = all.low + static_cast<Int128>(random() % size);
    const Int128 b = all.low + static_cast<Int128>(random() % size);
    return {std::min(a, b), std::max(a, b)};
}

template <class Action>
void check_width_failure(Action action) {
    try {
        action();
        FAIL_CHECK("nothing was thrown");
    } catch (const Failure& failure) {
        REQUIRE(failure.diagnostics().size() == 1);
        CHECK(failure.diagnostics()[0].code == Code::width_exceeded);
        CHECK(failure.diagnostics()[0].where.layer == "block/fc1");
        CHECK(std::string(failure.what()).find("layer 'block/fc1'") != std::string::npos);
    }
}

}  // namespace

TEST_CASE("two operands: exact values and exact ranges for all small types") {
    std::mt19937_64 random(2);
    for (const FixedType& left : small_types(1, 3, -1, 2)) {
        for (const FixedType& right : small_types(1, 3, -1, 2)) {
            for (int round = 0; round < 3; ++round) {
                const Interval all_left = left.range();
                const Interval all_right = right.range();
                Circuit circuit;
                const Fixed a =
                    circuit.input(left, round == 0 ? all_left : some_range(left, random));
                const Fixed b =
                    circuit.input(right, round == 0 ? all_right : some_range(right, random));
                Builder& build = circuit.build;
                const int frac = std::max(left.frac, right.frac);
                circuit.result(build.add(a, b));
                circuit.result(build.sub(a, b));
                circuit.result(build.mul(a, b));
                circuit.result(build.max(a, b));
                circuit.result(build.min(a, b));
                circuit.result(build.less(a, b), Tightness::bound);
                circuit.result(build.equal(a, b), Tightness::bound);
                CHECK(build.add(a, b).type.frac == frac);
                CHECK(build.sub(a, b).type.frac == frac);
                CHECK(build.max(a, b).type.frac == frac);
                CHECK(build.min(a, b).type.frac == frac);
                CHECK(build.mul(a, b).type.frac == left.frac + right.frac);
                CHECK(build.less(a, b).type.frac == 0);
                CHECK(build.equal(a, b).type.frac == 0);
                circuit.run([&](const std::vector<Int128>& in) {
                    const Rational x = rational(in[0], left.frac);
                    const Rational y = rational(in[1], right.frac);
                    return std::vector<Int128>{
                        integer(x + y, frac),
                        integer(x - y, frac),
                        integer(x * y, left.frac + right.frac),
                        integer(x > y ? x : y, frac),
                        integer(x < y ? x : y, frac),
                        x < y ? 1 : 0,
                        x == y ? 1 : 0,
                    };
                });
            }
        }
    }
}

TEST_CASE("select joins two types under one condition") {
    std::mt19937_64 random(3);
    for (const FixedType& left : small_types(1, 3, -1, 1)) {
        for (const FixedType& right : small_types(1, 3, -1, 1)) {
            Circuit circuit;
            const Fixed c = circuit.input({false, 1, 0});
            const Fixed a = circuit.input(left, some_range(left, random));
            const Fixed b = circuit.input(right, some_range(right, random));
            const int frac = std::max(left.frac, right.frac);
            circuit.result(circuit.build.select(c, a, b));
            circuit.result(circuit.build.select(circuit.build.logical_not(c), a, b));
            circuit.result(circuit.build.select(circuit.build.constant(1, 0), a, b));
            circuit.result(circuit.build.select(circuit.build.constant(0, 0), a, b));
            circuit.run([&](const std::vector<Int128>& in) {
                const Int128 x = integer(rational(in[1], left.frac), frac);
                const Int128 y = integer(rational(in[2], right.frac), frac);
                return std::vector<Int128>{in[0] == 1 ? x : y, in[0] == 1 ? y : x, x, y};
            });
        }
    }
}

TEST_CASE("one operand: every range of a small type") {
    for (const FixedType& type : small_types(1, 4, -1, 1)) {
        const Interval all = type.range();
        for (Int128 low = all.low; low <= all.high; ++low) {
            for (Int128 high = low; high <= all.high; ++high) {
                Circuit circuit;
                Builder& build = circuit.build;
                const Fixed a = circuit.input(type, {low, high});
                circuit.result(build.neg(a));
                circuit.result(build.abs(a));
                circuit.result(build.align(a, type.frac + 2));
                circuit.result(build.mul(a, a));
                circuit.result(build.sub(a, a));
                circuit.result(build.max(a, build.constant(0, 0)));
                circuit.result(build.min(a, build.constant(3, 1)));
                CHECK(build.scale(a, 3).bits == a.bits);
                CHECK(build.scale(a, 3).type.frac == type.frac - 3);
                for (Int128 threshold = all.low - 2; threshold <= all.high + 2; ++threshold) {
                    circuit.result(build.at_least(a, threshold));
                    circuit.result(build.less(a, build.constant(threshold, 1)));
                    circuit.result(build.less(build.constant(threshold, 1), a));
                }
                circuit.run([&](const std::vector<Int128>& in) {
                    const Rational x = rational(in[0], type.frac);
                    const int fine = std::max(type.frac, 1);
                    const Rational cap = rational(3, 1);
                    std::vector<Int128> out = {
                        -in[0],
                        in[0] < 0 ? -in[0] : in[0],
                        in[0] * 4,
                        in[0] * in[0],
                        0,
                        integer(x > 0 ? x : Rational(0), std::max(type.frac, 0)),
                        integer(x < cap ? x : cap, fine),
                    };
                    for (Int128 threshold = all.low - 2; threshold <= all.high + 2; ++threshold) {
                        out.push_back(in[0] >= threshold ? 1 : 0);
                        out.push_back(x < rational(threshold, 1) ? 1 : 0);
                        out.push_back(rational(threshold, 1) < x ? 1 : 0);
                    }
                    return out;
                });
            }
        }
    }
}

TEST_CASE("clamp into every interval") {
    for (const FixedType type : {FixedType{true, 4, 0}, FixedType{false, 3, 2}}) {
        const Interval all = type.range();
        Circuit circuit;
        const Fixed a = circuit.input(type);
        for (Int128 low = all.low - 2; low <= all.high + 2; ++low) {
            for (Int128 high = low; high <= all.high + 2; ++high) {
                circuit.result(circuit.build.clamp(a, low, high));
            }
        }
        circuit.run([&](const std::vector<Int128>& in) {
            std::vector<Int128> out;
            for (Int128 low = all.low - 2; low <= all.high + 2; ++low) {
                for (Int128 high = low; high <= all.high + 2; ++high) {
                    out.push_back(in[0] < low ? low : in[0] > high ? high : in[0]);
                }
            }
            return out;
        });
    }
}

TEST_CASE("multiplication by constants") {
    for (const FixedType type : {FixedType{true, 4, 1}, FixedType{false, 3, 0}}) {
        Circuit circuit;
        const Fixed a = circuit.input(type);
        for (Int128 factor = -70; factor <= 70; ++factor) {
            const Fixed product = circuit.build.mul_constant(a, factor, 3);
            CHECK(product.type.frac == type.frac + 3);
            circuit.result(product);
            circuit.result(circuit.build.mul(a, circuit.build.constant(factor, 3)));
            circuit.result(circuit.build.mul(circuit.build.constant(factor, 3), a));
        }
        circuit.run([&](const std::vector<Int128>& in) {
            std::vector<Int128> out;
            for (Int128 factor = -70; factor <= 70; ++factor) {
                out.insert(out.end(), 3, factor * in[0]);
            }
            return out;
        });
    }
}

TEST_CASE("canonical signed digits add up and are never adjacent") {
    const auto check = [](Int128 value) {
        BigInt total = 0;
        int previous = -2;
        for (const SignedDigit& digit : signed_digits(value)) {
            CHECK(digit.shift > previous + 1);
            previous = digit.shift;
            const BigInt power = BigInt(1) << static_cast<unsigned>(digit.shift);
            total += digit.negative ? -power : power;
        }
        CHECK(total == to_bigint(value));
    };
    for (Int128 value = -300; value <= 300; ++value) {
        check(value);
    }
    check(std::numeric_limits<Int128>::min());
    check(std::numeric_limits<Int128>::max());
    check(std::numeric_limits<Int128>::max() / 3 * 2);
}

TEST_CASE("products that fill the widest type") {
    // 2^127 - 2^125 has a digit 2^127 which alone does not fit.
    const Int128 factor = static_cast<Int128>(3) << 125;
    Circuit circuit;
    const Fixed a = circuit.input({false, 1, 0});
    const Fixed b = circuit.input({true, 1, 0});
    circuit.result(circuit.build.mul_constant(a, factor, 0));
    circuit.result(circuit.build.mul_constant(b, factor, 0));
    circuit.run([&](const std::vector<Int128>& in) {
        return std::vector<Int128>{in[0] * factor, in[1] * factor};
    });
}

TEST_CASE("factors of one bit or one ternary digit need no multiplier") {
    Circuit circuit;
    const Fixed a = circuit.input({true, 4, 1});
    const Fixed bit = circuit.input({false, 1, 2});
    const Fixed minus = circuit.input({true, 1, 0});
    const Fixed ternary = circuit.input({true, 2, 1}, {-1, 1});
    circuit.result(circuit.build.mul(a, bit));
    circuit.result(circuit.build.mul(minus, a));
    circuit.result(circuit.build.mul(ternary, a));
    for (std::size_t i = 0; i < circuit.nodes.size(); ++i) {
        CHECK(circuit.nodes.node(static_cast<bits::NodeId>(i)).op != bits::Op::mul);
    }
    circuit.run([](const std::vector<Int128>& in) {
        return std::vector<Int128>{in[0] * in[1], in[0] * in[2], in[0] * in[3]};
    });
}

TEST_CASE("sums of many terms") {
    std::mt19937_64 random(4);
    for (int round = 0; round < 60; ++round) {
        Circuit circuit;
        std::vector<Fixed> terms;
        std::vector<int> fracs;
        int frac = 0;
        Rational offset = 0;
        const std::size_t inputs = 1 + random() % 5;
        for (std::size_t i = 0; i < inputs; ++i) {
            const FixedType type{random() % 2 == 0, 1 + static_cast<int>(random() % 2),
                                 static_cast<int>(random() % 3)};
            terms.push_back(circuit.input(type));
            fracs.push_back(type.frac);
            frac = std::max(frac, type.frac);
        }
        for (std::size_t i = random() % 3; i > 0; --i) {
            const int at = static_cast<int>(random() % 3);
            const Int128 value = static_cast<Int128>(random() % 9) - 4;
            terms.push_back(circuit.build.constant(value, at));
            frac = std::max(frac, at);
            offset += rational(value, at);
        }
        const Fixed total = circuit.build.sum(terms);
        CHECK(total.type.frac == frac);
        circuit.result(total);
        circuit.run([&](const std::vector<Int128>& in) {
            Rational want = offset;
            for (std::size_t i = 0; i < in.size(); ++i) {
                want += rational(in[i], fracs[i]);
            }
            return std::vector<Int128>{integer(want, frac)};
        });
    }
    Circuit circuit;
    CHECK(circuit.build.sum({}).range == Interval{0, 0});
}

TEST_CASE("logic on conditions") {
    Circuit circuit;
    Builder& build = circuit.build;
    const Fixed a = circuit.input({false, 1, 0});
    const Fixed b = circuit.input({false, 1, 0});
    const Fixed wide = circuit.input({true, 4, 0}, {0, 1});  // a condition in a wider type
    const Fixed zero = build.constant(0, 0);
    const Fixed one = build.constant(1, 0);
    circuit.result(build.logical_and(a, b));
    circuit.result(build.logical_or(a, b));
    circuit.result(build.logical_not(a));
    circuit.result(build.logical_and(a, zero));
    circuit.result(build.logical_and(one, a));
    circuit.result(build.logical_or(one, a));
    circuit.result(build.logical_or(a, zero));
    circuit.result(build.logical_and(wide, a));
    circuit.result(build.logical_not(wide));
    circuit.result(build.select(wide, build.constant(-5, 0), build.constant(4, 0)));
    circuit.run([](const std::vector<Int128>& in) {
        return std::vector<Int128>{
            in[0] & in[1], in[0] | in[1], 1 - in[0],          0, in[0], 1, in[0],
            in[2] & in[0], 1 - in[2],     in[2] == 1 ? -5 : 4};
    });
    CHECK_THROWS_AS(build.logical_not(build.constant(2, 0)), std::logic_error);
}

TEST_CASE("what is known of a range is kept and what contradicts it is refused") {
    Circuit circuit;
    const Fixed a = circuit.input({true, 6, 2}, {-9, 20});
    const Fixed known = circuit.build.assume_range(a, {0, 100});
    CHECK(known.range == Interval{0, 20});
    CHECK(known.type == FixedType{false, 5, 2});
    CHECK(circuit.build.assume_range(a, {-9, -9}).type == FixedType{true, 5, 2});
    CHECK_THROWS_AS(circuit.build.assume_range(a, {21, 30}), std::logic_error);
    CHECK_THROWS_AS(circuit.build.align(a, 1), std::logic_error);
    CHECK_THROWS_AS(circuit.build.clamp(a, 3, 2), std::logic_error);
    CHECK_THROWS_AS(circuit.build.input("y", {false, 2, 0}, {0, 4}), std::logic_error);
}

TEST_CASE("more than 128 bits is a diagnostic that names the layer") {
    bits::Builder nodes("wide");
    Builder build(nodes);
    build.set_origin("block/fc1");
    const auto input = [&](const FixedType& type) { return build.input("x", type, type.range()); };
    const Fixed s128 = input({true, 128, 0});
    const Fixed u127 = input({false, 127, 0});
    const Fixed s65 = input({true, 65, 5});
    const Fixed s64 = input({true, 64, 0});
    const Fixed u64 = input({false, 64, 0});
    const Fixed one = build.constant(1, 0);

    check_width_failure([&] { build.add(s128, one); });
    check_width_failure([&] { build.add(u127, one); });
    check_width_failure([&] { build.add(s128, build.constant(0, 1)); });
    check_width_failure([&] { build.sub(s128, one); });
    check_width_failure([&] { build.neg(s128); });
    check_width_failure([&] { build.abs(s128); });
    check_width_failure([&] { build.mul(s65, s65); });
    check_width_failure([&] { build.mul(u64, u64); });
    check_width_failure([&] { build.mul_constant(s65, static_cast<Int128>(1) << 64, 0); });
    check_width_failure([&] { build.mul(s128, build.constant(-1, 0)); });
    check_width_failure([&] { build.align(s128, 1); });
    check_width_failure([&] { build.align(s64, 65); });
    check_width_failure([&] { build.align(s64, 1000); });
    check_width_failure([&] { build.select(input({false, 1, 0}), s128, s65); });
    const std::vector<Fixed> many{s128, u127, s64};
    check_width_failure([&] { build.sum(many); });

    // What just fits is built.
    CHECK(build.mul(s64, input({true, 64, 0})).type == FixedType{true, 128, 0});
    CHECK(build.mul(s64, s64).type == FixedType{false, 127, 0});  // a square
    CHECK(build.mul(u64, input({false, 63, 0})).type == FixedType{false, 127, 0});
    CHECK(build.align(s64, 64).type == FixedType{true, 128, 64});
    CHECK(build.sub(u127, one).type == FixedType{true, 128, 0});
    CHECK(build.align(build.constant(0, 0), 1000).range == Interval{0, 0});
    // Comparisons with far constants need no alignment.
    CHECK(build.less(s128, build.constant(1, 1)).range == Interval{0, 1});
    CHECK(build.less(s128, build.constant(1, -200)).range == Interval{1, 1});
    CHECK(build.less(build.constant(1, -200), s128).range == Interval{0, 0});
    CHECK(build.less(build.constant(-1, -200), s128).range == Interval{1, 1});
    CHECK(build.less(s128, build.constant(-1, -200)).range == Interval{0, 0});
    CHECK(nodes.size() > 0);
}

}  // namespace gatewright::fixed
