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
    CHECK(luts(f, "ecp5") == 9);  // bits 3 to 11
    CHECK(luts(f, "xcup") == 5);  // bits 3 to 7
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
