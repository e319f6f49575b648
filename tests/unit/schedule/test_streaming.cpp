#include <doctest/doctest.h>

#include <random>

#include "../backends/hls_runner.h"
#include "../backends/verilog_runner.h"
#include "emulate/design_emulator.h"
#include "operators/catalogue.h"
#include "operators/core.h"
#include "operators/layers.h"
#include "operators/lowering.h"
#include "schedule/parallel.h"
#include "schedule/streaming.h"

using namespace gatewright;
using namespace gatewright::operators;
using network::Attributes;
using network::Network;
using network::Value;

namespace {

const Location here{"model", "conv", "Conv", ""};

Value constant(Network& n, Shape shape, std::vector<double> values) {
    return n.add(network::constant_operator,
                 Attributes::of(network::ConstantFields{{std::move(shape), std::move(values)}}), {},
                 here);
}

Value quantise(Network& n, Value x, double scale, double low, double high) {
    FakeQuantizeFields f;
    f.scale = Tensor::scalar(scale);
    f.zero_point = Tensor::scalar(0);
    f.low = Tensor::scalar(low);
    f.high = Tensor::scalar(high);
    return n.add(fake_quantize_operator, Attributes::of(f), {x}, here);
}

struct Block {
    Shape input = {2, 6, 8};
    std::int64_t channels = 3;
    std::int64_t stride = 1;
    std::int64_t padding = 1;
    bool pool = true;
};

/// Convolution 3x3, bias, ReLU, quantiser and, if wanted, maximum over 2x2.
CoreModel block(const Block& b) {
    Network n;
    n.name = "block";
    Value x = n.add_input("x", {b.input, std::nullopt}, here);
    x = quantise(n, x, 0.5, -8, 7);
    std::vector<double> weights;
    for (std::int64_t i = 0; i < b.channels * b.input[0] * 9; ++i) {
        weights.push_back(static_cast<double>(i * 7 % 11 - 5) * 0.25);
    }
    std::vector<double> bias;
    for (std::int64_t i = 0; i < b.channels; ++i) {
        bias.push_back(static_cast<double>(i) * 0.375 - 0.5);
    }
    ConvFields conv;
    conv.strides = {b.stride, b.stride};
    conv.dilations = {1, 1};
    conv.before = {b.padding, b.padding};
    conv.after = {b.padding, b.padding};
    x = n.add(
        conv_operator, Attributes::of(conv),
        {x, constant(n, {b.channels, b.input[0], 3, 3}, weights), constant(n, {b.channels}, bias)},
        here);
    x = n.add(function_operator, Attributes::of(FunctionFields{"maximum"}),
              {x, constant(n, {}, {0})}, here);
    x = quantise(n, x, 0.75, 0, 15);
    if (b.pool) {
        PoolFields pool;
        pool.kind = "max";
        pool.kernel = {2, 2};
        pool.strides = {2, 2};
        pool.dilations = {1, 1};
        pool.before = {0, 0};
        pool.after = {0, 0};
        x = n.add(pool_operator, Attributes::of(pool), {x}, here);
    }
    n.set_output("y", x);
    return lower(n, {});
}

std::vector<Int128> image(const CoreModel& model, std::mt19937& random) {
    std::vector<Int128> out;
    for (const Format& format : formats_of(model.network.node(0).types.front())) {
        const auto span = static_cast<unsigned>(format.range.high - format.range.low + 1);
        out.push_back(format.range.low + static_cast<int>(random() % span));
    }
    return out;
}

}  // namespace

TEST_CASE("a streaming convolution with ReLU and pooling equals the parallel one") {
    std::mt19937 random(17);
    for (const Block& b : {Block{}, Block{.channels = 2, .padding = 0}, Block{.stride = 2},
                           Block{.input = {1, 5, 7}}, Block{.padding = 2, .pool = false}}) {
        CAPTURE(to_string(b.input));
        CAPTURE(b.stride);
        CAPTURE(b.padding);
        const CoreModel model = block(b);
        const auto parallel = schedule::parallel(model, {});
        const design::Design design = schedule::streaming(model);
        CHECK(design.processes.size() == (b.pool ? 2 : 1));
        CHECK(design.inputs[0].lanes.size() == static_cast<std::size_t>(b.input[0]));
        CHECK(design.inputs[0].words == b.input[1] * b.input[2]);
        CHECK(design.outputs[0].lanes.size() == static_cast<std::size_t>(b.channels));
        for (const design::Process& process : design.processes) {
            REQUIRE(bits::verify(process.body).empty());
            REQUIRE(bits::verify(process.control).empty());
        }
        const emulate::DesignEmulator emulator(design);
        for (int i = 0; i < 20; ++i) {
            const std::vector<Int128> x = image(model, random);
            const auto expected = bits::evaluate(parallel.design.processes[0].body, x);
            CHECK((emulator.run({x}).front() == expected));
        }
    }
}

TEST_CASE("a streaming convolution in Verilog equals the parallel one, under random stalls") {
    if (!verilog_runner::have(flow::ToolId::icarus)) {
        return;
    }
    std::mt19937 random(31);
    for (const Block& b : {Block{}, Block{.input = {1, 5, 7}, .channels = 2, .padding = 0},
                           Block{.stride = 2}, Block{.padding = 2, .pool = false}}) {
        CAPTURE(to_string(b.input));
        CAPTURE(b.stride);
        const CoreModel model = block(b);
        const auto parallel = schedule::parallel(model, {});
        const design::Design design = schedule::streaming(model);
        CHECK(design::verify(design) == std::vector<std::string>());
        verilog_runner::Frames frames;
        verilog_runner::Frames expected;
        for (int i = 0; i < 30; ++i) {
            frames.push_back(image(model, random));
            expected.push_back(bits::evaluate(parallel.design.processes[0].body, frames.back()));
        }
        verilog_runner::check_rates(design, frames, expected);
        const auto printed = verilog_runner::simulate(design, {}, frames, expected, 5);
        CAPTURE(printed);
        CHECK(verilog_runner::passed(printed, frames.size()));
        if (b.stride == 1 && b.padding == 1 && verilog_runner::have(flow::ToolId::verilator)) {
            CHECK(verilog_runner::lint(design, {}) == std::vector<std::string>());
            const auto again = verilog_runner::simulate(design, {}, frames, expected, 6,
                                                        flow::Simulator::verilator);
            CAPTURE(again);
            CHECK(verilog_runner::passed(again, frames.size()));
        }
    }
}

TEST_CASE("the streaming processes as C++ loops, one after the other, give the same") {
    std::mt19937 random(23);
    const CoreModel model = block({.input = {1, 4, 6}, .channels = 2});
    const auto parallel = schedule::parallel(model, {});
    const design::Design design = schedule::streaming(model);
    hls_runner::Frames frames;
    hls_runner::Frames expected;
    const std::vector<std::int64_t>& in = design.inputs[0].order;
    const std::vector<std::int64_t>& out = design.outputs[0].order;
    for (int i = 0; i < 40; ++i) {
        const std::vector<Int128> x = image(model, random);
        const auto y = bits::evaluate(parallel.design.processes[0].body, x);
        auto& frame = frames.emplace_back();
        for (const std::int64_t e : in) {
            frame.push_back(x[static_cast<std::size_t>(e)]);
        }
        auto& result = expected.emplace_back();
        for (const std::int64_t e : out) {
            result.push_back(y[static_cast<std::size_t>(e)]);
        }
    }
    for (const backends::hls::Dialect* dialect : hls_runner::usable_dialects()) {
        CAPTURE(dialect->name);
        hls_runner::Frames words = frames;
        for (const design::Process& process : design.processes) {
            std::string log;
            words = hls_runner::run(process, *dialect, words, log);
            CHECK(log == "");
        }
        CHECK((words == expected));
    }
}

TEST_CASE("what does not stream is refused with its layer") {
    Network n;
    n.name = "dense";
    Value x = n.add_input("x", {{4}, std::nullopt}, here);
    x = quantise(n, x, 0.5, -8, 7);
    n.set_output(
        "y", n.add(matmul_operator, Attributes(), {x, constant(n, {4, 1}, {1, 2, 3, 4})}, here));
    CHECK_THROWS_AS(schedule::streaming(lower(n, {})), Failure);
    CHECK_THROWS_AS(schedule::streaming(block({.stride = 3})), Failure);
}
