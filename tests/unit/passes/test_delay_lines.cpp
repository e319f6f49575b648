// Which values wait in cells of their own, and what they cost there.

#include "passes/delay_lines.h"

#include <doctest/doctest.h>

#include "bits/builder.h"
#include "design/pipeline.h"
#include "passes/pipeline.h"

using namespace gatewright;
using bits::NodeId;

namespace {

/// x + 1 + 1 ... with x added again in the end; a sum in each stage.
bits::Function waiting(int width, int sums) {
    bits::Builder builder("f");
    const bits::Type type{false, static_cast<std::uint8_t>(width)};
    const NodeId x = builder.input("x", type);
    NodeId sum = x;
    for (int i = 0; i < sums; ++i) {
        sum = builder.add(builder.bit_xor(sum, builder.shr(sum, 1, type), type),
                          builder.constant(i + 1), type);
    }
    builder.output("y", builder.add(sum, x, type));
    return builder.take();
}

design::Pipeline pipelined(const bits::Function& f, const char* target, int stages) {
    passes::PipelineOptions options;
    options.stages = stages;
    return passes::pipeline(f, passes::delay_model(target), options);
}

}  // namespace

TEST_CASE("a line costs what its cell does, and never more than flip-flops") {
    const passes::LineCell& memory = passes::delay_model("ecp5").line;
    const passes::LineCell& shift = passes::delay_model("xc7").line;
    const passes::LineCell& none = passes::delay_model("ice40").line;
    CHECK(passes::waiting_cost(none, 40) == 40);
    CHECK(passes::waiting_cost(memory, 4) == 4);
    CHECK(passes::waiting_cost(memory, 17) == 4);
    CHECK(passes::waiting_cost(memory, 18) == 5);
    CHECK(passes::waiting_cost(shift, 3) == 3);
    CHECK(passes::waiting_cost(shift, 33) == 3);
    CHECK(passes::waiting_cost(shift, 70) == 9);
}

TEST_CASE("long lines are stored, where the family has cells for them and they pay") {
    const bits::Function f = waiting(12, 12);
    const design::Pipeline flip_flops = pipelined(f, "ice40", 12);
    CHECK(flip_flops.stored.empty());
    const auto lines = design::delay_lines(f, flip_flops);
    REQUIRE(lines.size() == 1);
    const std::int32_t levels = lines[0].levels;
    CHECK(levels >= 8);
    for (const char* target : {"ecp5", "xcup"}) {
        const design::Pipeline p = pipelined(f, target, 12);
        REQUIRE(p.stored.size() == 1);
        CHECK(p.stored_in_memories == (std::string(target) == "ecp5"));
        design::Pipeline plain = p;
        plain.stored.clear();
        CHECK(design::register_bits(f, plain) - design::register_bits(f, p) ==
              12 * (p.stored[0].levels - 1));
        CHECK(passes::stored_tables(f, passes::delay_model(target), p) ==
              (p.stored_in_memories ? 3 * 6 : 12));
    }
    // A counter for one bit is dearer than the flip-flops.
    CHECK(pipelined(waiting(2, 12), "ecp5", 6).stored.empty());
}
