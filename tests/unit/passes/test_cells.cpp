#include "passes/cells.h"

#include <doctest/doctest.h>

#include <vector>

#include "bits/builder.h"

using namespace gatewright;

namespace {

std::int64_t luts(const bits::Function& f, std::string_view target) {
    const std::vector<std::int32_t> stage(f.nodes.size(), 0);
    return passes::estimate_cells(f, passes::delay_model(target), stage).luts();
}

}  // namespace

TEST_CASE("bits that one operand alone has need tables only where these are in the chain") {
    bits::Builder builder("f");
    const bits::NodeId a = builder.input("a", {false, 8});
    const bits::NodeId b = builder.input("b", {false, 8});
    builder.output("y", builder.add(a, builder.shl(b, 3, {false, 11}), {false, 12}));
    const bits::Function f = builder.take();
    CHECK(luts(f, "ecp5") == 10);  // bits 3 to 11, in pieces of two
    CHECK(luts(f, "xcup") == 5);   // bits 3 to 7
}

TEST_CASE("an inverted operand and ones of a constant need an inverter for each lone bit") {
    bits::Builder builder("f");
    const bits::NodeId a = builder.input("a", {false, 8});
    const bits::NodeId b = builder.input("b", {false, 10});
    builder.output("x", builder.add(a, builder.bit_not(b, {false, 10}), {false, 11}));
    builder.output("y", builder.add(b, builder.constant(0b1010100), {false, 11}));
    const bits::Function f = builder.take();
    CHECK(luts(f, "xcup") == 10 + 3);
}

TEST_CASE("sums of few bits vanish in the tables that read them") {
    bits::Builder builder("f");
    const bits::NodeId a = builder.input("a", {false, 1});
    const bits::NodeId b = builder.input("b", {false, 1});
    const bits::NodeId c = builder.input("c", {false, 2});
    const bits::NodeId sum = builder.add(builder.add(a, b, {false, 2}), c, {false, 3});
    builder.output("y", builder.less(builder.constant(2), sum));
    const bits::Function f = builder.take();
    CHECK(luts(f, "ecp5") == 1);
    // In registers between them, each is there.
    std::vector<std::int32_t> stage(f.nodes.size(), 0);
    for (bits::NodeId id = sum + 1; id < f.nodes.size(); ++id) {
        stage[id] = 1;
    }
    CHECK(passes::estimate_cells(f, passes::delay_model("ecp5"), stage).luts() == 3 + 1);
}

TEST_CASE("what carry cells cannot invert has inverters, once for all that subtract it") {
    const auto tables = [](std::string_view target, int differences) {
        bits::Builder builder("f");
        const bits::NodeId a = builder.input("a", {false, 8});
        const bits::NodeId b = builder.input("b", {false, 8});
        const bits::NodeId c = builder.input("c", {false, 8});
        builder.output("x", builder.sub(a, b, {true, 9}));
        if (differences > 1) {
            builder.output("y", builder.sub(c, b, {true, 9}));
            builder.output("z", builder.less(c, b));
        }
        if (differences > 2) {
            // Lookup tables give a value inverted as they give it straight.
            const bits::NodeId mask = builder.bit_and(a, c, {false, 8});
            builder.output("w", builder.sub(c, mask, {true, 9}));
        }
        return luts(builder.take(), target);
    };
    CHECK(tables("ecp5", 1) == 10);
    CHECK(tables("gowin", 1) == 9);
    CHECK(tables("ice40", 1) == 9 + 8);
    CHECK(tables("ecp5", 2) == 10 + 10 + 8);
    CHECK(tables("ice40", 2) == 9 + 9 + 1 + 8);  // of a comparison, the last carry
    CHECK(tables("ice40", 3) == tables("ice40", 2) + 8 + 9);
}

TEST_CASE("a selection of a constant that flip-flops alone read is their reset") {
    bits::Builder builder("f");
    const bits::NodeId a = builder.input("a", {false, 8});
    const bits::NodeId c = builder.input("c", {false, 1});
    const bits::NodeId kept = builder.mux(c, builder.constant(0), a, {false, 8});
    const bits::NodeId high = builder.shr(kept, 3, {false, 5});
    const bits::NodeId sum = builder.add(high, a, {false, 9});
    builder.output("y", sum);
    const bits::Function f = builder.take();
    std::vector<std::int32_t> stage(f.nodes.size(), 0);
    const auto tables = [&](std::string_view target) {
        return passes::estimate_cells(f, passes::delay_model(target), stage).tables;
    };
    CHECK(tables("ecp5") == 5);  // of eight bits, those that are read
    for (bits::NodeId id = 0; id < f.nodes.size(); ++id) {
        stage[id] = f.nodes[id].op == bits::Op::add ? 1 : 0;
    }
    CHECK(tables("ecp5") == 0);
    CHECK(tables("asic") == 5);
}

TEST_CASE("bits that nothing reads have no cells, and carry chains are whole pieces") {
    const auto tables = [](std::string_view target, int low, int bits) {
        bits::Builder builder("f");
        const bits::NodeId a = builder.input("a", {false, 11});
        const bits::NodeId b = builder.input("b", {false, 11});
        const bits::NodeId sum = builder.add(a, b, {false, 12});
        const bits::Type type{false, static_cast<std::uint8_t>(bits)};
        builder.output("y", builder.cast(builder.shr(sum, low, {false, 12}), type));
        return luts(builder.take(), target);
    };
    CHECK(tables("ecp5", 0, 12) == 12);
    CHECK(tables("ecp5", 0, 7) == 8);
    CHECK(tables("gowin", 0, 7) == 7);
    CHECK(tables("gowin", 2, 7) == 9);  // low bits carry
    CHECK(tables("ice40", 2, 7) == 7);  // beside their tables
}
