#include "bits/builder.h"

#include <doctest/doctest.h>

#include <stdexcept>

#include "samples.h"

using namespace gatewright;
using namespace gatewright::bits;
using samples::Values;

TEST_CASE("equal nodes are shared") {
    Builder b("f");
    const NodeId x = b.input("x", {true, 8});
    const NodeId y = b.input("y", {true, 8});
    CHECK(b.add(x, y, {true, 9}) == b.add(y, x, {true, 9}));
    CHECK(b.add(x, y, {true, 9}) != b.add(x, y, {true, 10}));
    CHECK(b.sub(x, y, {true, 9}) != b.sub(y, x, {true, 9}));
    CHECK(b.add(x, b.constant(3), {true, 9}) == b.add(b.constant(3, {true, 7}), x, {true, 9}));
    const Int128 wide = static_cast<Int128>(5) << 100;
    CHECK(b.constant(wide, {true, 128}) == b.constant(wide, {true, 128}));
    CHECK(b.constant(wide, {true, 128}) != b.constant(wide, {true, 127}));
    CHECK(b.shl(x, 2, {true, 10}) == b.mul(x, b.constant(4), {true, 10}));
    const std::vector<Int128> words = {1, 2, 3, 0};
    const int table = b.table("t", {false, 2}, words);
    CHECK(b.table("u", {false, 2}, words) == table);
    CHECK(b.table("t", {false, 3}, words) != table);
    b.output("a", b.read(1, b.cast(x, {false, 2}), {false, 3}));
    const Function f = b.take();
    REQUIRE(f.tables.size() == 1);  // the first is not used
    CHECK(f.tables[0].name == "t_2");
}

TEST_CASE("identities vanish") {
    Builder b("f");
    const Type s8{true, 8};
    const NodeId x = b.input("x", s8);
    const NodeId y = b.input("y", s8);
    const NodeId c = b.input("c", {false, 1});
    const NodeId zero = b.constant(0);
    CHECK(b.add(x, zero, s8) == x);
    CHECK(b.sub(x, zero, s8) == x);
    CHECK(b.constant_value(b.sub(x, x, s8)) == 0);
    CHECK(b.mul(x, b.constant(1), s8) == x);
    CHECK(b.constant_value(b.mul(zero, x, s8)) == 0);
    CHECK(b.shl(x, 0, s8) == x);
    CHECK(b.shr(x, 0, s8) == x);
    CHECK(b.constant_value(b.shl(x, 8, s8)) == 0);
    CHECK(b.shr(x, 99, s8) == b.shr(x, 7, s8));
    CHECK(b.cast(x, s8) == x);
    CHECK(b.cast(b.cast(x, {true, 12}), s8) == x);
    CHECK(b.cast(b.cast(x, {false, 5}), {false, 4}) == b.cast(x, {false, 4}));
    CHECK(b.cast(b.cast(x, {false, 4}), s8) != x);  // this one loses bits
    CHECK(b.add(b.cast(x, {true, 12}), y, {true, 9}) == b.add(x, y, {true, 9}));
    CHECK(b.mux(c, x, x, s8) == x);
    CHECK(b.mux(b.constant(1, {false, 1}), x, y, s8) == x);
    CHECK(b.mux(b.bit_not(c, {false, 1}), x, y, s8) == b.mux(c, y, x, s8));
    CHECK(b.mux(c, b.constant(1), zero, {false, 1}) == c);
    CHECK(b.bit_and(x, b.constant(-1), s8) == x);
    CHECK(b.bit_or(x, x, s8) == x);
    CHECK(b.bit_not(b.bit_not(x, s8), s8) == x);
    CHECK(b.constant_value(b.bit_xor(x, x, s8)) == 0);
    CHECK(b.constant_value(b.equal(x, x)) == 1);
    CHECK(b.constant_value(b.equal(x, b.constant(128))) == 0);
    CHECK(b.constant_value(b.less(x, b.constant(128))) == 1);
    CHECK(b.constant_value(b.less(x, b.constant(-128))) == 0);
    CHECK(b.equal(c, b.constant(1)) == c);
    const NodeId minus_y = b.sub(zero, y, {true, 9});
    CHECK(b.add(x, minus_y, {true, 10}) == b.sub(x, y, {true, 10}));
    CHECK(b.sub(x, minus_y, {true, 10}) == b.add(x, y, {true, 10}));
    const NodeId wrapped = b.sub(zero, y, s8);  // -(-128) is -128 here
    CHECK(b.node(b.add(x, wrapped, {true, 10})).op == Op::add);
}

TEST_CASE("a shift is not moved through a reduction") {
    Builder b("f");
    const NodeId x = b.input("x", {true, 8});
    CHECK(b.shr(b.shl(x, 3, {true, 11}), 3, {true, 8}) == x);
    CHECK(b.shr(b.shl(x, 3, {true, 11}), 1, {true, 10}) == b.shl(x, 2, {true, 10}));
    CHECK(b.shr(b.shl(x, 3, {true, 8}), 3, {true, 8}) != x);
    CHECK(b.shr(b.shr(x, 2, {true, 6}), 1, {true, 5}) == b.shr(x, 3, {true, 5}));
    CHECK(b.shr(b.shr(x, 2, {true, 3}), 1, {true, 5}) != b.shr(x, 3, {true, 5}));
    CHECK(b.shl(b.shl(x, 1, {true, 6}), 2, {true, 8}) == b.shl(x, 3, {true, 8}));
    CHECK(b.shl(b.shl(x, 1, {true, 6}), 2, {true, 12}) != b.shl(x, 3, {true, 12}));
}

TEST_CASE("constants at the limits of 128 bits") {
    Builder b("f");
    const Type s128{true, 128};
    const NodeId low = b.constant(lowest(s128), s128);
    const NodeId x = b.input("x", s128);
    CHECK(b.constant_value(b.sub(b.constant(0), low, s128)) == lowest(s128));
    CHECK(b.constant_value(b.add(low, b.constant(-1), s128)) == highest(s128));
    CHECK(b.constant_value(b.mul(low, low, s128)) == 0);
    CHECK(b.constant_value(b.constant(static_cast<Int128>(~std::uint64_t{0}), {false, 64})) ==
          static_cast<Int128>(~std::uint64_t{0}));
    b.output("y", b.mul(x, low, s128));
    const Function f = b.take();
    CHECK(evaluate(f, {3}) == Values{lowest(s128)});
    CHECK(evaluate(f, {2}) == Values{0});
}

TEST_CASE("take() drops what no output needs, renumbers in order, and keeps inputs") {
    Builder b("f");
    b.set_origin("unused");
    const NodeId x = b.input("x", {true, 70});
    b.input("y", {true, 8});
    b.add(x, b.constant(static_cast<Int128>(1) << 90), {true, 92});
    b.set_origin("fc1");
    const NodeId sum = b.add(x, b.constant(static_cast<Int128>(3) << 90), {true, 94});
    b.set_origin("");
    b.output("s", sum);
    const Function f = b.take();
    CHECK(verify(f).empty());
    CHECK(f.inputs.size() == 2);
    CHECK(f.nodes.size() == 4);
    CHECK(f.wide_constants.size() == 1);
    CHECK(f.origins[f.nodes[f.outputs[0].node].origin] == "fc1");
    CHECK(b.size() == 0);
    b.output("z", b.input("z", {true, 2}));
    CHECK(b.take().nodes.size() == 1);
}

TEST_CASE("inline_call casts its arguments and keeps origins") {
    Builder inner("inner");
    inner.set_origin("layer");
    const NodeId a = inner.input("a", {true, 4});
    inner.output("y", inner.mul(a, a, {true, 8}));
    const Function callee = inner.take();
    Builder b("outer");
    const NodeId x = b.input("x", {true, 8});
    const auto once = b.inline_call(callee, {x});
    CHECK(b.inline_call(callee, {x}) == once);
    b.output("y", once[0]);
    const Function f = b.take();
    CHECK(evaluate(f, {-128 + 5}) == Values{25});  // 5 after the cast to four bits
    CHECK(f.origins == std::vector<std::string>{"", "layer"});
}

TEST_CASE("illegal nodes cannot be made") {
    Builder b("f");
    const NodeId x = b.input("x", {true, 8});
    const NodeId u = b.input("u", {false, 2});
    b.table("t", {false, 8}, {1, 2, 3, 4});
    CHECK_THROWS_AS(b.add(x, 99, {true, 8}), std::logic_error);
    CHECK_THROWS_AS(b.add(x, x, {false, 128}), std::logic_error);
    CHECK_THROWS_AS(b.add(x, x, {true, 129}), std::logic_error);
    CHECK_THROWS_AS(b.constant(8, {true, 4}), std::logic_error);
    CHECK_THROWS_AS(b.shl(x, -1, {true, 8}), std::logic_error);
    CHECK_THROWS_AS(b.mux(x, x, x, {true, 8}), std::logic_error);
    CHECK_THROWS_AS(b.read(1, u, {false, 8}), std::logic_error);
    CHECK_THROWS_AS(b.read(0, x, {false, 8}), std::logic_error);
    CHECK_THROWS_AS(b.read(0, b.cast(u, {false, 3}), {false, 8}), std::logic_error);
    CHECK_THROWS_AS(b.table("v", {false, 8}, {1, 2, 3}), std::logic_error);
    CHECK_THROWS_AS(b.table("v", {false, 1}, {1, 2}), std::logic_error);
    CHECK_THROWS_AS(b.output("y", 99), std::logic_error);
    CHECK_NOTHROW(b.read(0, u, {false, 8}));
}
