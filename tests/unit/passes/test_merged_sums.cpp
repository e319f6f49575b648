// Sums of three operands in one chain: which are merged, and that the chain adds the same.

#include "passes/merged_sums.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "bits/builder.h"
#include "design/chain_sum.h"

using namespace gatewright;
using bits::Function;
using bits::NodeId;
using bits::Op;

namespace {

/// What rtl/gatewright_sum.v and the wires below it give, modulo 2^width.
UInt128 added(const design::ChainSum& sum, const std::vector<Int128>& values) {
    const auto bits_of = [&](const design::ChainOperand& operand, int low, int high) {
        UInt128 out = 0;
        for (int bit = low; bit < high; ++bit) {
            bool one = (operand.constant >> bit & 1) != 0;
            if (operand.node != design::ChainOperand::none && bit >= operand.first &&
                bit < operand.end) {
                const Int128 value = values[operand.node];
                one = ((value >> (bit - operand.first) & 1) != 0) != operand.inverted;
            }
            out |= one ? static_cast<UInt128>(1) << bit : 0;
        }
        return out;
    };
    UInt128 out = static_cast<UInt128>(sum.ones) << sum.low;
    for (const design::ChainOperand& operand : sum.operands) {
        out += bits_of(operand, sum.low, sum.width);
    }
    // Above the tables the first operand alone is added.
    for (std::size_t k = 1; k < 3; ++k) {
        CHECK(bits_of(sum.operands[k], sum.low + sum.tables, sum.width) == 0);
        CHECK((sum.three || k == 1 || bits_of(sum.operands[k], sum.low, sum.width) == 0));
    }
    CHECK((sum.tables == sum.length() || !sum.operands[0].inverted));
    const auto& wires = sum.operands[static_cast<std::size_t>(sum.wires)];
    out += bits_of(wires, 0, sum.low);
    return out & ((static_cast<UInt128>(1) << sum.width) - 1);
}

std::vector<Int128> values_of(const Function& f, const std::vector<Int128>& inputs) {
    std::vector<Int128> values;
    for (const bits::Node& node : f.nodes) {
        const auto of = [&](int k) { return values[node.operand[k]]; };
        if (node.op == Op::input) {
            values.push_back(inputs[static_cast<std::size_t>(node.immediate)]);
        } else if (node.op == Op::constant) {
            values.push_back(f.constant(node));
        } else {
            const int n = bits::info(node.op).operands;
            values.push_back(bits::apply(node.op, node.type, node.immediate, of(0),
                                         n > 1 ? of(1) : 0, n > 2 ? of(2) : 0));
        }
    }
    return values;
}

/// Trees of sums of shifted, inverted and widened values, some with constants, some too narrow.
Function random_sums(std::mt19937& random) {
    const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    bits::Builder builder("f");
    std::vector<NodeId> values;
    for (int i = 0; i < 6; ++i) {
        const bits::Type type{pick(2) == 0, static_cast<std::uint8_t>(3 + pick(8))};
        values.push_back(builder.input("x" + std::to_string(i), type));
    }
    for (int i = 0; i < 16; ++i) {
        const auto any = [&] {
            // The last ones most often, so that many are read once.
            const auto back = static_cast<std::size_t>(pick(2) == 0 ? pick(3) : pick(8));
            NodeId v = values[values.size() - 1 - std::min(back, values.size() - 1)];
            bits::Type type = builder.type(v);
            if (pick(3) == 0) {
                v = builder.bit_not(v, type);
            }
            const int shift = pick(4);
            if (pick(2) == 0 && type.width + shift < 60) {
                type.width = static_cast<std::uint8_t>(type.width + shift);
                v = builder.shl(v, shift, type);
            }
            return pick(8) == 0 ? builder.constant(pick(200) - 100) : v;
        };
        const NodeId a = any();
        const NodeId b = any();
        const int wide = std::max(builder.type(a).width, builder.type(b).width) + 2;
        const int width = pick(4) == 0 ? std::max(4, wide - 4) : wide;
        const bits::Type type{pick(3) != 0, static_cast<std::uint8_t>(std::min(width, 60))};
        values.push_back(pick(3) == 0 ? builder.sub(a, b, type) : builder.add(a, b, type));
    }
    builder.output("y", values.back());
    builder.output("z", values[values.size() - 2]);
    return builder.take();
}

}  // namespace

TEST_CASE("chains with merged sums give the sums of the function") {
    std::mt19937 random(7);
    int merged_sums = 0;
    int three = 0;
    for (int round = 0; round < 3000; ++round) {
        const Function f = random_sums(random);
        const std::vector<char> merged = passes::merged_sums(f);
        std::vector<design::ChainSum> chains;
        std::vector<NodeId> of;
        for (NodeId id = 0; id < f.nodes.size(); ++id) {
            merged_sums += merged[id];
            if (const auto sum = design::chain_sum(f, id, merged); sum && merged[id] == 0) {
                chains.push_back(*sum);
                of.push_back(id);
                three += sum->three ? 1 : 0;
            }
        }
        for (int sample = 0; sample < 8; ++sample) {
            std::vector<Int128> inputs;
            for (const bits::Input& input : f.inputs) {
                const Int128 range = bits::highest(input.type) - bits::lowest(input.type) + 1;
                const bool corner = random() % 4 == 0;
                inputs.push_back(corner ? bits::highest(input.type)
                                        : bits::lowest(input.type) +
                                              static_cast<Int128>(random()) % range);
            }
            const std::vector<Int128> values = values_of(f, inputs);
            for (std::size_t i = 0; i < of.size(); ++i) {
                const bits::Type type = f.nodes[of[i]].type;
                const UInt128 mask = (static_cast<UInt128>(1) << type.width) - 1;
                CHECK(added(chains[i], values) == (static_cast<UInt128>(values[of[i]]) & mask));
            }
        }
    }
    CHECK(merged_sums > 3000);
    CHECK(three > 2000);
}

TEST_CASE("a sum is merged where nothing else reads it and it is exact") {
    const auto merged_of = [](auto build) {
        bits::Builder builder("f");
        std::vector<NodeId> x;
        for (int i = 0; i < 8; ++i) {
            x.push_back(builder.input("x" + std::to_string(i), {false, 8}));
        }
        build(builder, x);
        int count = 0;
        for (const char m : passes::merged_sums(builder.take())) {
            count += m;
        }
        return count;
    };
    SUBCASE("once") {
        CHECK(merged_of([](auto& b, auto& x) {
                  b.output("y", b.sub(b.add(x[0], x[1], {false, 9}), x[2], {true, 11}));
              }) == 1);
    }
    SUBCASE("not if it is read twice") {
        CHECK(merged_of([](auto& b, auto& x) {
                  const NodeId inner = b.add(x[0], x[1], {false, 9});
                  b.output("y", b.add(inner, x[2], {false, 10}));
                  b.output("z", inner);
              }) == 0);
    }
    SUBCASE("not if it is reduced and its reader is not") {
        CHECK(merged_of([](auto& b, auto& x) {
                  b.output("y", b.add(b.add(x[0], x[1], {false, 8}), x[2], {false, 10}));
              }) == 0);
    }
    SUBCASE("but if both are") {
        CHECK(merged_of([](auto& b, auto& x) {
                  b.output("y", b.add(b.add(x[0], x[1], {false, 8}), x[2], {false, 8}));
              }) == 1);
    }
    SUBCASE("every other one of a row") {
        CHECK(merged_of([](auto& b, auto& x) {
                  NodeId sum = x[0];
                  for (int i = 1; i < 7; ++i) {
                      sum = b.add(sum, x[static_cast<std::size_t>(i)], {false, 11});
                  }
                  b.output("y", sum);
              }) == 3);
    }
}

TEST_CASE("differences take no inverters and no more tables than the longest operand has bits") {
    bits::Builder builder("f");
    const NodeId a = builder.input("a", {false, 8});
    const NodeId b = builder.input("b", {false, 8});
    const NodeId c = builder.input("c", {false, 8});
    builder.output("y", builder.sub(builder.sub(a, b, {true, 9}), c, {true, 10}));
    const Function f = builder.take();
    const auto merged = passes::merged_sums(f);
    const auto sum = design::chain_sum(f, static_cast<NodeId>(f.nodes.size() - 1), merged);
    REQUIRE(sum.has_value());
    CHECK(sum->three);
    CHECK(sum->ones == 2);
    CHECK(sum->tables == 10);
}
