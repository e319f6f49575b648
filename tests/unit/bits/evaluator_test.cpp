#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>

#include "bits/builder.h"
#include "samples.h"

using namespace gatewright;
using namespace gatewright::bits;
using samples::Values;

namespace {

constexpr std::size_t sample_count = 100;  // more than one block, and not whole blocks

struct Widths {
    int narrowest;
    int widest;
};

}  // namespace

TEST_CASE("random functions: Evaluator, Builder and text form keep what evaluate() says") {
    for (const Widths widths : {Widths{1, 5},
                                {1, 9},
                                {1, 20},
                                {1, 40},
                                {28, 36},
                                {55, 70},
                                {63, 128},
                                {120, 128},
                                {1, 128}}) {
        for (std::uint64_t seed = 0; seed < 60; ++seed) {
            CAPTURE(widths.narrowest);
            CAPTURE(widths.widest);
            CAPTURE(seed);
            std::mt19937_64 random(seed * 1000 + static_cast<std::uint64_t>(widths.widest));
            const Function f =
                samples::random_function(20 + seed * 4, widths.narrowest, widths.widest, random);
            REQUIRE(verify(f) == std::vector<std::string>{});
            const auto inputs = samples::random_values(f, sample_count, random);
            std::vector<Values> right;
            for (const Values& x : inputs) {
                right.push_back(evaluate(f, x));
            }
            CHECK(samples::run(Evaluator(f), inputs) == right);

            const Function less = samples::simplified(f);
            REQUIRE(verify(less) == std::vector<std::string>{});
            CHECK(less.nodes.size() <= f.nodes.size() + 8);
            std::vector<Values> of_less;
            for (const Values& x : inputs) {
                of_less.push_back(evaluate(less, x));
            }
            CHECK(of_less == right);
            CHECK(samples::run(Evaluator(less), inputs) == right);

            const Function again = from_text(to_text(f));
            CHECK(to_text(again) == to_text(f));
            CHECK(evaluate(again, inputs[0]) == right[0]);
            CHECK(to_text(from_text(to_text(less))) == to_text(less));
        }
    }
}

TEST_CASE("ports in wider lanes than their types need") {
    std::mt19937_64 random(7);
    for (const Lane in : {Lane::i16, Lane::i32, Lane::i64, Lane::i128}) {
        for (const Lane out : {Lane::i16, Lane::i32, Lane::i64, Lane::i128}) {
            const Function f = samples::random_function(60, 1, 9, random);
            const Evaluator evaluator(f, std::vector<Lane>(f.inputs.size(), in),
                                      std::vector<Lane>(f.outputs.size(), out));
            CHECK(evaluator.input_lanes()[0] == in);
            const auto inputs = samples::random_values(f, sample_count, random);
            const auto results = samples::run(evaluator, inputs);
            for (std::size_t s = 0; s < inputs.size(); ++s) {
                CHECK(results[s] == evaluate(f, inputs[s]));
            }
        }
    }
    Function f;
    samples::push_output(f, samples::push_input(f, {true, 9}));
    CHECK_THROWS_AS(Evaluator(f, {Lane::i8}, {Lane::i16}), std::logic_error);
    CHECK_THROWS_AS(Evaluator(f, {Lane::i16}, {Lane::i8}), std::logic_error);
    CHECK_THROWS_AS(Evaluator(f, {}, {Lane::i16}), std::logic_error);
}

TEST_CASE("blocks are used again only when nobody needs them") {
    // A long chain with one early value that is needed at the end.
    Builder b("chain");
    const NodeId x = b.input("x", {true, 12});
    const NodeId early = b.mul(x, x, {true, 24});
    NodeId sum = x;
    for (int i = 0; i < 1000; ++i) {
        sum = b.add(b.bit_xor(sum, b.constant(i), {true, 30}), x, {true, 30});
    }
    b.output("y", b.sub(sum, early, {true, 31}));
    const Function f = b.take();
    const Evaluator evaluator(f);
    const std::vector<Values> inputs = {{-2048}, {2047}, {0}, {1}, {-1}, {77}};
    const auto results = samples::run(evaluator, inputs);
    for (std::size_t s = 0; s < inputs.size(); ++s) {
        CHECK(results[s] == evaluate(f, inputs[s]));
    }
    // The blocks of 2000 nodes at 256 bytes would be half a megabyte.
    std::vector<std::int16_t> in(Evaluator::block);
    std::vector<std::int32_t> out(Evaluator::block);
    const void* ins[] = {in.data()};
    void* outs[] = {out.data()};
    Evaluator::Scratch scratch;
    evaluator.run(ins, outs, scratch);
    CHECK(scratch.memory.size() < 8192);
}
