#include <doctest/doctest.h>

#include <set>
#include <stdexcept>

#include "operators/core.h"
#include "operators/map.h"
#include "passes/pass.h"

using namespace gatewright;
using network::Network;
using network::Value;
using operators::Format;

namespace {

const Location here{"model", "layer", "Layer", ""};

network::TensorType integers(const Shape& shape) {
    return {shape, PerElement<Format>(Format{{true, 4, 0}, {-8, 7}})};
}

Value clamped(Network& n, Value x, Int128 high) {
    operators::ClampFields fields;
    fields.range = Interval{-2, high};
    return n.add(operators::clamp_operator, network::Attributes::of(fields), {x}, here);
}

Network example() {
    Network n;
    n.name = "example";
    const Value x = n.add_input("x", integers({3}), here);
    n.add_input("unused", integers({2}), here);
    clamped(n, x, 1);
    n.set_output("y", clamped(n, x, 5));
    return n;
}

Network without_its_input(const Network&) {
    Network n;
    n.set_output("y", clamped(n, n.add_input("x", integers({3}), here), 5));
    return n;
}

Network with_narrower_output(const Network&) {
    Network n;
    const Value x = n.add_input("x", integers({3}), here);
    n.add_input("unused", integers({2}), here);
    n.set_output("y", clamped(n, x, 4));
    return n;
}

}  // namespace

TEST_CASE("nodes that no output needs are left out, inputs stay") {
    const Network pruned = passes::run(passes::core_pipeline(), example());
    CHECK(pruned.nodes().size() == 3);
    CHECK(pruned.inputs().size() == 2);
    CHECK(passes::run(passes::core_pipeline(), pruned).nodes().size() == 3);
}

TEST_CASE("a pass that breaks a rule is named") {
    for (const auto& broken : {&without_its_input, &with_narrower_output}) {
        const passes::Pass pass{"broken", "", broken};
        CHECK_THROWS_WITH_AS(passes::run(std::span(&pass, 1), example()),
                             "pass broken changed inputs or outputs of the network",
                             std::logic_error);
    }
}

TEST_CASE("the list of stages holds every pass once, behind lowering and before scheduling") {
    std::set<std::string_view> names;
    for (const passes::Stage& stage : passes::stages()) {
        CHECK(!stage.help.empty());
        CHECK(names.insert(stage.name).second);
        for (const passes::Pass& pass : passes::core_pipeline()) {
            if (pass.name == stage.name) {
                CHECK(names.contains("lower"));
                CHECK(!names.contains("parallel"));
            }
        }
    }
    for (const passes::Pass& pass : passes::core_pipeline()) {
        CHECK(names.contains(pass.name));
    }
}
