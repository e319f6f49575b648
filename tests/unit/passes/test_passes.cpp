#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "operators/core.h"
#include "operators/map.h"
#include "operators/move.h"
#include "passes/merge_moves.h"
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

namespace {

/// Formats that tell the elements apart.
network::TensorType numbered(const Shape& shape) {
    std::vector<Format> formats;
    for (std::int64_t e = 0; e < element_count(shape); ++e) {
        formats.push_back({{false, 8, 0}, {e, e + 1}});
    }
    return {shape, PerElement<Format>::each(std::move(formats))};
}

Value reshaped(Network& n, Value x, const Shape& shape) {
    return n.add(operators::reshape_operator,
                 network::Attributes::of(operators::ReshapeFields{shape}), {x}, here);
}
Value transposed(Network& n, Value x) {
    return n.add(operators::transpose_operator,
                 network::Attributes::of(operators::TransposeFields{{1, 0}}), {x}, here);
}
Value padded(Network& n, Value x) {
    return n.add(operators::pad_operator,
                 network::Attributes::of(operators::PadFields{{1}, {0}, "zero"}), {x}, here);
}

/// The operators of a network with one input x, after the passes; its output keeps its formats.
std::string left_of(const Shape& shape, const std::function<Value(Network&, Value)>& build) {
    Network n;
    const Value x = n.add_input("x", numbered(shape), here);
    n.set_output("y", build(n, x));
    const Network after = passes::run(passes::core_pipeline(), n);
    CHECK(operators::formats_of(after.type(after.outputs()[0].value)) ==
          operators::formats_of(n.type(n.outputs()[0].value)));
    std::string names;
    for (const network::Node& node : after.nodes()) {
        names += (names.empty() ? "" : " ") + std::string(node.op->name);
    }
    return names;
}

}  // namespace

TEST_CASE("moves that move nothing are left out") {
    CHECK(left_of({6}, [](Network& n, Value x) { return reshaped(n, x, {6}); }) == "input");
    CHECK(left_of({2, 3}, [](Network& n, Value x) { return transposed(n, transposed(n, x)); }) ==
          "input");
    CHECK(left_of({6}, [](Network& n, Value x) {
              return reshaped(n, reshaped(n, x, {2, 3}), {6});
          }) == "input");
    CHECK(left_of({6}, [](Network& n, Value x) {
              return reshaped(n, clamped(n, reshaped(n, x, {6}), 4), {6});
          }) == "input clamp");
}

TEST_CASE("a chain of moves becomes one move of the same elements") {
    CHECK(left_of({6}, [](Network& n, Value x) {
              return reshaped(n, reshaped(n, x, {2, 3}), {3, 2});
          }) == "input reshape");
    CHECK(left_of({1, 6}, [](Network& n, Value x) { return transposed(n, x); }) == "input reshape");
    CHECK(left_of({2, 3}, [](Network& n, Value x) { return transposed(n, x); }) ==
          "input transpose");
    CHECK(left_of({2, 3}, [](Network& n, Value x) {
              return transposed(n, reshaped(n, transposed(n, x), {2, 3}));
          }) == "input index");
}

TEST_CASE("windows, zeros and joins stay, and so do moves that something else needs") {
    CHECK(left_of({3}, [](Network& n, Value x) {
              return reshaped(n, padded(n, reshaped(n, x, {3})), {2, 2});
          }) == "input pad reshape");
    CHECK(left_of({4}, [](Network& n, Value x) {
              operators::WindowFields window{{2}, {1}, {1}, {0}, {0}};
              const Value patches =
                  n.add(operators::window_operator, network::Attributes::of(window),
                        {reshaped(n, x, {1, 4})}, here);
              return transposed(n, reshaped(n, patches, {3, 2}));
          }) == "input reshape window transpose");
    CHECK(left_of({2, 2}, [](Network& n, Value x) {
              const Value y = transposed(n, x);
              return n.add(
                  operators::concat_operator, network::Attributes::of(operators::ConcatFields{}),
                  {y, reshaped(n, transposed(n, y), {2, 2}), reshaped(n, y, {2, 2})}, here);
          }) == "input transpose concat");
}
