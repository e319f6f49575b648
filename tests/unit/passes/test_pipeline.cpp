// Register levels: legal, in time, and no more bits than need be.

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "base/diagnostics.h"
#include "bits/builder.h"
#include "design/pipeline.h"
#include "passes/pipeline.h"

using namespace gatewright;
using bits::Function;
using bits::NodeId;
using bits::Op;

namespace {

/// A random function of adders, selections and comparisons.
Function random_function(unsigned seed, int operations) {
    std::mt19937 random(seed);
    const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    bits::Builder builder("f");
    std::vector<NodeId> values;
    for (int i = 0; i < 4; ++i) {
        const bits::Type type{pick(2) == 0, static_cast<std::uint8_t>(2 + pick(12))};
        values.push_back(builder.input("x" + std::to_string(i), type));
    }
    for (int i = 0; i < operations; ++i) {
        const auto any = [&] { return values[static_cast<std::size_t>(pick(values.size()))]; };
        const NodeId a = any();
        const NodeId b = any();
        const bits::Type type{true, static_cast<std::uint8_t>(3 + pick(14))};
        switch (pick(6)) {
            case 0:
                values.push_back(builder.sub(a, builder.shl(b, pick(3), type), type));
                break;
            case 1:
                values.push_back(builder.mux(builder.less(a, b), a, b, type));
                break;
            case 2:
                values.push_back(builder.shr(a, pick(4), type));
                break;
            default:
                values.push_back(builder.add(a, b, type));
        }
    }
    for (int i = 0; i < 3; ++i) {
        builder.output("y" + std::to_string(i), values[values.size() - 1 - i]);
    }
    return builder.take();
}

/// Layers of sums of many shifted values, with few bits between them.
Function layers(const std::vector<int>& sizes) {
    std::mt19937 random(1);
    bits::Builder builder("layers");
    std::vector<NodeId> values;
    for (int i = 0; i < 16; ++i) {
        values.push_back(builder.input("x" + std::to_string(i), {false, 12}));
    }
    for (const int size : sizes) {
        std::vector<NodeId> next;
        for (int o = 0; o < size; ++o) {
            std::vector<NodeId> terms;
            for (const NodeId value : values) {
                terms.push_back(builder.shl(value, static_cast<int>(random() % 5), {false, 16}));
            }
            for (std::uint8_t width = 17; terms.size() > 1; ++width) {
                std::vector<NodeId> sums;
                for (std::size_t i = 0; i < terms.size(); i += 2) {
                    sums.push_back(i + 1 == terms.size()
                                       ? terms[i]
                                       : builder.add(terms[i], terms[i + 1], {false, width}));
                }
                terms = sums;
            }
            next.push_back(builder.cast(builder.shr(terms[0], 7, {false, 6}), {false, 5}));
        }
        values = next;
    }
    for (std::size_t o = 0; o < values.size(); ++o) {
        builder.output("y" + std::to_string(o), values[o]);
    }
    return builder.take();
}

void check_legal(const Function& f, const design::Pipeline& p) {
    for (NodeId id = 0; id < f.nodes.size(); ++id) {
        CHECK(p.stage[id] >= 0);
        CHECK(p.stage[id] < p.stages);
        for (int k = 0; k < bits::info(f.nodes[id].op).operands; ++k) {
            const NodeId o = f.nodes[id].operand[k];
            CHECK((f.nodes[o].op == Op::constant || p.stage[o] <= p.stage[id]));
        }
    }
}

/// The fewest register bits of two stages that meet the period, by trying all.
std::int64_t fewest_bits(const Function& f, const passes::DelayModel& model, double period) {
    std::vector<NodeId> placed;
    for (NodeId id = 0; id < f.nodes.size(); ++id) {
        const Op op = f.nodes[id].op;
        if (op != Op::input && op != Op::constant && !design::is_transparent(f, id)) {
            placed.push_back(id);
        }
    }
    std::int64_t best = -1;
    for (unsigned set = 0; set < 1U << placed.size(); ++set) {
        design::Pipeline p;
        p.stages = 2;
        p.stage.assign(f.nodes.size(), 0);
        for (std::size_t i = 0; i < placed.size(); ++i) {
            p.stage[placed[i]] = (set >> i & 1) != 0 ? 1 : 0;
        }
        bool legal = true;
        for (NodeId id = 0; id < f.nodes.size(); ++id) {
            if (design::is_transparent(f, id)) {
                p.stage[id] = p.stage[f.nodes[id].operand[0]];
            }
            for (int k = 0; k < bits::info(f.nodes[id].op).operands; ++k) {
                legal = legal && p.stage[f.nodes[id].operand[k]] <= p.stage[id];
            }
        }
        if (legal && passes::critical_path_ns(f, model, p) <= period + 1e-9) {
            const std::int64_t bits = design::register_bits(f, p);
            best = best < 0 ? bits : std::min(best, bits);
        }
    }
    return best;
}

}  // namespace

TEST_CASE("a pipeline meets its period or its stages, with registers where they are fewest") {
    const passes::DelayModel& model = passes::delay_model("ecp5");
    for (unsigned seed = 0; seed < 400; ++seed) {
        const Function f = random_function(seed, 40);
        CAPTURE(seed);
        passes::PipelineOptions options;
        options.clock_period_ns = 8;
        const design::Pipeline p = passes::pipeline(f, model, options);
        check_legal(f, p);
        CHECK(p.critical_path_ns <= 8);
        CHECK(passes::critical_path_ns(f, model, p) == doctest::Approx(p.critical_path_ns));
        options.clock_period_ns.reset();
        options.stages = 3;
        const design::Pipeline q = passes::pipeline(f, model, options);
        check_legal(f, q);
        CHECK(q.stages == 3);
        const double whole = passes::pipeline(f, model, {}).critical_path_ns;
        CHECK(q.critical_path_ns <= whole);
    }
}

TEST_CASE("one register level is the smallest cut, by trying all") {
    const passes::DelayModel& model = passes::delay_model("ecp5");
    int compared = 0;
    for (unsigned seed = 100; seed < 220; ++seed) {
        const Function f = random_function(seed, 9);
        CAPTURE(seed);
        passes::PipelineOptions options;
        options.stages = 2;
        const double least = passes::pipeline(f, model, options).critical_path_ns;
        options.clock_period_ns = least * 1.3 * (1 + model.margin_percent / 100.0);
        const design::Pipeline p = passes::pipeline(f, model, options);
        const std::int64_t best = fewest_bits(f, model, least * 1.3);
        CHECK(design::register_bits(f, p) == best);
        compared += best > 0 ? 1 : 0;
    }
    CHECK(compared > 20);
}

TEST_CASE("the more time stages have, the fewer registers they need") {
    const passes::DelayModel& model = passes::delay_model("xcup");
    const Function f = layers({64, 32, 32, 5});
    passes::PipelineOptions options;
    options.stages = 9;
    const double least = passes::pipeline(f, model, options).critical_path_ns;
    std::int64_t before = std::int64_t{1} << 40;
    for (double more = 1; more < 2; more += 0.05) {
        CAPTURE(more);
        options.clock_period_ns = least * more;
        const design::Pipeline p = passes::pipeline(f, model, options);
        check_legal(f, p);
        CHECK(p.critical_path_ns <= least * more + 1e-9);
        const std::int64_t bits = design::register_bits(f, p);
        CHECK(bits <= before);
        before = bits;
    }
}

TEST_CASE("what cannot be met is said, with the best that can") {
    const Function f = random_function(7, 30);
    passes::PipelineOptions options;
    options.clock_period_ns = 0.1;
    CHECK_THROWS_AS(passes::pipeline(f, passes::delay_model("ecp5"), options), Failure);
    options.clock_period_ns = 3;
    options.stages = 1;
    try {
        passes::pipeline(f, passes::delay_model("ecp5"), options);
        FAIL("met");
    } catch (const Failure& failure) {
        CHECK(std::string(failure.what()).find("best reachable is") != std::string::npos);
    }
}

TEST_CASE("nets of large circuits are planned longer, where they leave a clock period reachable") {
    const Function f = layers({200, 40, 200});
    const passes::DelayModel& model = passes::delay_model("ecp5");
    REQUIRE(model.growth_ps > 0);
    passes::DelayModel small = model;
    small.growth_ps = 0;
    const double room = 1 + model.margin_percent / 100.0;
    passes::PipelineOptions options;
    options.stages = 60;  // one operation in each at most
    const double least = passes::pipeline(f, small, options).critical_path_ns;
    CHECK(passes::pipeline(f, model, options).critical_path_ns > least);
    options = {};
    options.clock_period_ns = least * room + 0.01;
    CHECK(passes::pipeline(f, model, options).critical_path_ns <= least + 0.01);
    // Where there is room, stages are shorter than they need be in small circuits.
    options.clock_period_ns = 3 * least;
    const design::Pipeline p = passes::pipeline(f, model, options);
    CHECK(p.critical_path_ns <= 3 * least / room);
    CHECK(passes::critical_path_ns(f, model, p) == doctest::Approx(p.critical_path_ns));
    CHECK(passes::critical_path_ns(f, small, p) < 0.98 * p.critical_path_ns);
}
