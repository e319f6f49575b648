#include "passes/timing.h"

#include <doctest/doctest.h>

#include "bits/builder.h"
#include "passes/pipeline.h"

using namespace gatewright;

namespace {

/// The longest path of a function in one stage, in picoseconds.
int longest(bits::Builder& builder, const passes::DelayModel& model) {
    const double ns = passes::pipeline(builder.take(), model, {}).critical_path_ns;
    return static_cast<int>(ns * 1000 + 0.5);
}

/// Without what readers cost.
passes::DelayModel plain(std::string_view target) {
    passes::DelayModel model = passes::delay_model(target);
    model.fanout_ps = 0;
    return model;
}

}  // namespace

TEST_CASE("sums of few bits are one table with what reads them") {
    const passes::DelayModel model = plain("ecp5");
    bits::Builder builder("f");
    const bits::NodeId a = builder.input("a", {false, 1});
    const bits::NodeId b = builder.input("b", {false, 1});
    const bits::NodeId c = builder.input("c", {false, 2});
    const bits::NodeId sum = builder.add(builder.add(a, b, {false, 2}), c, {false, 3});
    builder.output("y", builder.less(builder.constant(2), sum));
    CHECK(longest(builder, model) == model.register_ps + model.lut_ps + model.routing_ps);
}

TEST_CASE("short sums are tables, and longer ones carry chains") {
    const auto of = [](const passes::DelayModel& model, int width) {
        bits::Builder builder("f");
        const bits::Type type{false, static_cast<std::uint8_t>(width)};
        const bits::NodeId a = builder.input("a", type);
        const bits::NodeId b = builder.input("b", type);
        const bits::Type sum{false, static_cast<std::uint8_t>(width + 1)};
        builder.output("y", builder.add(a, b, sum));
        return longest(builder, model) - model.register_ps;
    };
    const auto table = [](const passes::DelayModel& m) { return m.lut_ps + m.routing_ps; };
    const auto chain = [&](const passes::DelayModel& m, int bits) {
        return table(m) + m.carry_entry_ps + (bits - 1) * m.carry_ps;
    };
    const passes::DelayModel ecp5 = plain("ecp5");
    CHECK(of(ecp5, 2) == table(ecp5));
    CHECK(of(ecp5, 3) == table(ecp5));
    CHECK(of(ecp5, 4) == chain(ecp5, 5));
    const passes::DelayModel gowin = plain("gowin");
    CHECK(of(gowin, 3) == chain(gowin, 4));
}

TEST_CASE("a subtracted operand waits for its inverters where the carry cells have none") {
    const auto more = [](std::string_view target) {
        const passes::DelayModel model = plain(target);
        int time[2];
        for (const bool subtracts : {false, true}) {
            bits::Builder builder("f");
            const bits::NodeId a = builder.input("a", {true, 8});
            const bits::NodeId b = builder.input("b", {true, 8});
            const bits::Type type{true, 9};
            builder.output("y", subtracts ? builder.sub(a, b, type) : builder.add(a, b, type));
            time[subtracts ? 1 : 0] = longest(builder, model);
        }
        return time[1] - time[0];
    };
    const passes::DelayModel ice40 = plain("ice40");
    CHECK(more("ice40") == ice40.lut_ps + ice40.routing_ps);
    CHECK(more("ecp5") == 0);
    CHECK(more("gowin") == 0);
    CHECK(more("xc7") == 0);
}
