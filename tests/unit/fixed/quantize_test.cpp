#include <array>
#include <random>

#include "base/diagnostics.h"
#include "circuit.h"

namespace gatewright::fixed {

namespace {

/// The definition over again, from the words of the enumerations: the candidates around the exact
/// value, the nearer one or a tie rule, then modulo or clamp, on unbounded numbers.
BigInt defined(const Rational& value, const FixedType& type, Rounding rounding, Overflow overflow) {
    const Rational scaled = value * power_of_two(type.frac);
    const BigInt below = floor(scaled);
    const BigInt above = ceil(scaled);
    const BigInt& inner = value < 0 ? above : below;
    const BigInt& outer = value < 0 ? below : above;
    const Rational to_below = scaled - Rational(below);
    const Rational to_above = Rational(above) - scaled;
    const BigInt& nearer = to_below < to_above ? below : above;
    const bool tie = to_below == to_above;
    BigInt out;
    switch (rounding) {
        case Rounding::floor:
            out = below;
            break;
        case Rounding::ceil:
            out = above;
            break;
        case Rounding::toward_zero:
            out = inner;
            break;
        case Rounding::away:
            out = outer;
            break;
        case Rounding::half_up:
            out = tie ? above : nearer;
            break;
        case Rounding::half_down:
            out = tie ? below : nearer;
            break;
        case Rounding::half_even:
            out = !tie ? nearer : below % 2 == 0 ? below : above;
            break;
        case Rounding::half_away:
            out = tie ? outer : nearer;
            break;
        case Rounding::half_zero:
            out = tie ? inner : nearer;
            break;
    }
    const BigInt one = 1;
    const BigInt modulus = one << static_cast<unsigned>(type.width);
    BigInt low = 0;
    BigInt high = modulus - 1;
    if (type.is_signed && type.width > 0) {
        low = -(modulus / 2);
        high = modulus / 2 - 1;
    }
    if (overflow == Overflow::wrap) {
        while (modulus < (one << 200) && (out < low || out > high)) {
            const BigInt turns = floor(Rational(out - low, modulus));
            out -= turns * modulus;
        }
        return out;
    }
    if (overflow == Overflow::saturate_symmetric && type.is_signed) {
        low = -high;
    }
    return out < low ? low : out > high ? high : out;
}

Int128 defined(Int128 value, int frac, const FixedType& type, Rounding rounding,
               Overflow overflow) {
    return *to_int128(defined(rational(value, frac), type, rounding, overflow));
}

}  // namespace

TEST_CASE("quantize is its definition for all small types, roundings and overflows") {
    for (const FixedType& source : small_types(1, 5, -1, 3)) {
        for (const FixedType& target : small_types(1, 4, -1, 3)) {
            for (const Rounding rounding : all_roundings) {
                Circuit circuit;
                const Fixed x = circuit.input(source);
                for (const Overflow overflow : all_overflows) {
                    const Fixed y = circuit.build.quantize(x, target, rounding, overflow);
                    CHECK(y.type.frac == target.frac);
                    CHECK(target.range().contains(y.range));
                    circuit.result(
                        y, overflow == Overflow::wrap ? Tightness::bound : Tightness::exact);
                }
                circuit.run([&](const std::vector<Int128>& in) {
                    std::vector<Int128> out;
                    for (const Overflow overflow : all_overflows) {
                        out.push_back(defined(in[0], source.frac, target, rounding, overflow));
                        CHECK(quantize(in[0], source.frac, target, rounding, overflow) ==
                              out.back());
                    }
                    return out;
                });
            }
        }
    }
}

TEST_CASE("quantize holds for every range within a type, and its ranges stay exact") {
    std::vector<FixedType> targets = {{true, 0, 0}, {false, 0, 1}, {true, 1, 0}};
    for (const FixedType& type : small_types(2, 3, -3, 1)) {
        targets.push_back(type);
    }
    for (const FixedType source : {FixedType{true, 4, 1}, FixedType{false, 3, -2}}) {
        const Interval all = source.range();
        for (Int128 low = all.low; low <= all.high; ++low) {
            for (Int128 high = low; high <= all.high; ++high) {
                for (const FixedType& target : targets) {
                    Circuit circuit;
                    const Fixed x = circuit.input(source, {low, high});
                    for (const Rounding rounding : all_roundings) {
                        for (const Overflow overflow : all_overflows) {
                            const Fixed y = circuit.build.quantize(x, target, rounding, overflow);
                            circuit.result(y, overflow == Overflow::wrap ? Tightness::bound
                                                                         : Tightness::exact);
                        }
                    }
                    circuit.run([&](const std::vector<Int128>& in) {
                        std::vector<Int128> out;
                        for (const Rounding rounding : all_roundings) {
                            for (const Overflow overflow : all_overflows) {
                                out.push_back(
                                    defined(in[0], source.frac, target, rounding, overflow));
                            }
                        }
                        return out;
                    });
                }
            }
        }
    }
}

TEST_CASE("quantize of wide values and over large distances") {
    std::mt19937_64 random(1);
    const auto pick = [&](int low, int high) {
        return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1));
    };
    for (int round = 0; round < 4000; ++round) {
        const bool is_signed = random() % 2 == 0;
        const FixedType source{is_signed, pick(1, is_signed ? 128 : 127), pick(-140, 140)};
        const bool to_signed = random() % 2 == 0;
        // Half of the targets lie so far that rounding or overflow has something to do.
        const FixedType target{to_signed, pick(0, to_signed ? 128 : 127),
                               round % 2 == 0 ? pick(-140, 140) : source.frac - pick(-3, 131)};
        const Rounding rounding = all_roundings[random() % 9];
        const Overflow overflow = all_overflows[random() % 3];
        bits::Builder nodes("wide");
        Builder build(nodes);
        const Fixed x = build.input("x", source, source.range());
        const Fixed y = build.quantize(x, target, rounding, overflow);
        CHECK(target.range().contains(y.range));
        nodes.output("y", y.bits);
        const bits::Function function = nodes.take();
        CHECK(bits::verify(function) == std::vector<std::string>{});

        const int dropped = std::clamp(source.frac - target.frac, 1, 128);
        const Interval range = source.range();
        const UInt128 half = static_cast<UInt128>(1) << (dropped - 1);
        std::vector<Int128> values = {range.low,
                                      range.high,
                                      0,
                                      1,
                                      -1,
                                      static_cast<Int128>(half),
                                      static_cast<Int128>(half - 1)};
        for (int i = 0; i < 6; ++i) {
            const auto any = static_cast<Int128>(static_cast<UInt128>(random()) << 64 | random());
            values.push_back(any >> pick(0, 127));
            values.push_back((values.back() >> (dropped - 1)) << (dropped - 1));  // ties
        }
        for (const Int128 value : values) {
            const Int128 in =
                bits::wrap(value, {source.is_signed, static_cast<std::uint8_t>(source.width)});
            const Int128 want = defined(in, source.frac, target, rounding, overflow);
            const Int128 got = bits::evaluate(function, {in})[0];
            CHECK(quantize(in, source.frac, target, rounding, overflow) == want);
            CHECK(y.range.contains(want));
            if (got != want) {
                FAIL_CHECK(to_string(source), " to ", to_string(target), " ", to_string(rounding),
                           " ", to_string(overflow), ": ", to_string(in), " gives ", to_string(got),
                           ", not ", to_string(want), "\n", bits::to_text(function));
            }
        }
    }
}

TEST_CASE("quantize leaves out what the exact range makes needless") {
    Circuit circuit;
    const Fixed x = circuit.input({true, 8, 3});
    Builder& build = circuit.build;
    const std::size_t before = circuit.nodes.size();

    // Nothing dropped and nothing out of range: the value itself.
    const Fixed same = build.quantize(x, {true, 12, 3}, Rounding::half_even, Overflow::saturate);
    CHECK(same.bits == x.bits);
    CHECK(same.type == x.type);
    CHECK(circuit.nodes.size() == before);

    // A finer grid: low zeros.
    const Fixed finer = build.quantize(x, {true, 12, 5}, Rounding::half_even, Overflow::saturate);
    CHECK(circuit.nodes.node(finer.bits).op == bits::Op::shl);
    CHECK(circuit.nodes.size() == before + 1);

    // Truncation is a shift.
    const Fixed floor = build.quantize(x, {true, 8, 1}, Rounding::floor, Overflow::saturate);
    CHECK(circuit.nodes.node(floor.bits).op == bits::Op::shr);
    CHECK(circuit.nodes.size() == before + 2);

    // Wrapping keeps low bits.
    const Fixed wrap = build.quantize(x, {true, 4, 3}, Rounding::floor, Overflow::wrap);
    CHECK(circuit.nodes.node(wrap.bits).op == bits::Op::cast);
    CHECK(circuit.nodes.size() == before + 3);

    // Half up adds a bit to a word that is no longer than the result: no adder of nine bits.
    const Fixed half = build.quantize(x, {true, 8, 1}, Rounding::half_up, Overflow::saturate);
    CHECK(circuit.nodes.node(half.bits).op == bits::Op::add);
    CHECK(half.type == FixedType{true, 7, 1});
    for (const bits::NodeId operand : {0, 1}) {
        CHECK(circuit.nodes.type(circuit.nodes.node(half.bits).operand[operand]).width <= 6);
    }

    // No sign is looked at where there is none.
    const Fixed u = build.assume_range(x, {0, 127});
    CHECK(build.quantize(u, {false, 4, 1}, Rounding::half_away, Overflow::wrap).bits ==
          build.quantize(u, {false, 4, 1}, Rounding::half_up, Overflow::wrap).bits);
    CHECK(build.quantize(u, {true, 9, 1}, Rounding::toward_zero, Overflow::saturate).bits ==
          build.quantize(u, {true, 9, 1}, Rounding::floor, Overflow::saturate).bits);
}

TEST_CASE("wrap keeps an interval that lies within one turn") {
    Circuit circuit;
    const Fixed x = circuit.input({false, 4, 0}, {9, 14});
    const Fixed y = circuit.build.quantize(x, {true, 4, 0}, Rounding::floor, Overflow::wrap);
    CHECK(y.range == Interval{-7, -2});
    circuit.result(y);
    circuit.run([](const std::vector<Int128>& in) { return std::vector<Int128>{in[0] - 16}; });
}

TEST_CASE("wrap onto a finer grid gives multiples only") {
    Circuit circuit;
    const Fixed x = circuit.input({true, 6, 0});
    const Fixed y = circuit.build.quantize(x, {true, 5, 2}, Rounding::floor, Overflow::wrap);
    CHECK(y.range == Interval{-16, 12});
    circuit.result(y);
    circuit.result(circuit.build.quantize(x, {false, 5, 3}, Rounding::floor, Overflow::wrap));
    circuit.result(circuit.build.quantize(x, {true, 5, 5}, Rounding::floor, Overflow::wrap));
    circuit.run([](const std::vector<Int128>& in) {
        return std::vector<Int128>{bits::wrap(4 * in[0], {true, 5}),
                                   bits::wrap(8 * in[0], {false, 5}), 0};
    });
}

TEST_CASE("rounding where more bits are dropped than there are") {
    const Int128 lowest = FixedType{true, 128, 0}.range().low;
    // -2^127 * 2^-128 is the only tie.
    const Int128 ties[] = {-1, 0, 0, -1, 0, -1, 0, -1, 0};
    const Int128 beyond[] = {-1, 0, 0, -1, 0, 0, 0, 0, 0};
    const Int128 above_tie[] = {-1, 0, 0, -1, 0, 0, 0, 0, 0};
    for (std::size_t i = 0; i < 9; ++i) {
        CHECK(round_shift(lowest, 128, all_roundings[i]) == ties[i]);
        CHECK(round_shift(lowest, 129, all_roundings[i]) == beyond[i]);
        CHECK(round_shift(lowest + 1, 128, all_roundings[i]) == above_tie[i]);
        CHECK(round_shift(0, 500, all_roundings[i]) == 0);
        bits::Builder nodes("far");
        Builder build(nodes);
        const FixedType wide{true, 128, 128};
        const Fixed x = build.input("x", wide, wide.range());
        nodes.output("y",
                     build.quantize(x, {true, 4, 0}, all_roundings[i], Overflow::saturate).bits);
        const bits::Function function = nodes.take();
        CHECK(bits::evaluate(function, {lowest})[0] == ties[i]);
        CHECK(bits::evaluate(function, {lowest + 1})[0] == above_tie[i]);
    }
}

TEST_CASE("saturation compares without carry chains where bits suffice") {
    Circuit circuit;
    const Fixed x = circuit.input({true, 12, 0});
    for (const Overflow overflow : {Overflow::saturate, Overflow::saturate_symmetric}) {
        circuit.result(circuit.build.quantize(x, {true, 8, 0}, Rounding::floor, overflow));
        circuit.result(circuit.build.quantize(x, {false, 7, 0}, Rounding::floor, overflow));
    }
    for (std::size_t i = 0; i < circuit.nodes.size(); ++i) {
        const bits::Node& node = circuit.nodes.node(static_cast<bits::NodeId>(i));
        CHECK(node.op != bits::Op::add);
        if (node.op == bits::Op::less) {  // signs only
            CHECK(circuit.nodes.is_constant(node.operand[1]));
            CHECK(circuit.nodes.constant_value(node.operand[1]) == 0);
        }
    }
    circuit.run([](const std::vector<Int128>& in) {
        const auto clamp = [&](Int128 low, Int128 high) { return std::clamp(in[0], low, high); };
        return std::vector<Int128>{clamp(-128, 127), clamp(0, 127), clamp(-127, 127),
                                   clamp(0, 127)};
    });
}

TEST_CASE("a type that cannot be built is a diagnostic, a result that fits is none") {
    bits::Builder nodes("wide");
    Builder build(nodes);
    build.set_origin("fc1");
    const FixedType wide{true, 128, 0};
    const Fixed x = build.input("x", wide, wide.range());
    CHECK_THROWS_AS(build.quantize(x, {false, 128, 0}, Rounding::floor, Overflow::wrap), Failure);
    CHECK_THROWS_AS(build.quantize(x, {true, 129, 0}, Rounding::floor, Overflow::wrap), Failure);
    CHECK_THROWS_AS(build.quantize(x, {true, -1, 0}, Rounding::floor, Overflow::wrap), Failure);
    // The shifted value has 188 bits, what is kept has eight.
    const Fixed y = build.quantize(x, {true, 8, 60}, Rounding::floor, Overflow::saturate);
    CHECK(y.type == FixedType{true, 8, 60});
}

}  // namespace gatewright::fixed
