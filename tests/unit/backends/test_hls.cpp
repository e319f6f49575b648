#include <doctest/doctest.h>

#include <random>
#include <set>

#include "../bits/samples.h"
#include "backends/hls/hls.h"
#include "hls_runner.h"
#include "operators/catalogue.h"
#include "operators/core.h"
#include "operators/core_model.h"
#include "operators/map.h"
#include "schedule/parallel.h"

using namespace gatewright;
using namespace gatewright::operators;

namespace {

/// A function as a process without loops: one port in, one out.
design::Process process_of(bits::Function f) {
    design::Process process;
    process.name = "random";
    design::Port in{"x", {}};
    design::Port out{"y", {}};
    for (const bits::Input& input : f.inputs) {
        in.lanes.push_back({{input.type.is_signed, input.type.width, 0}, {}});
    }
    for (const bits::Output& output : f.outputs) {
        const bits::Type type = f.nodes[output.node].type;
        out.lanes.push_back({{type.is_signed, type.width, 0}, {}});
    }
    process.inputs.push_back(in);
    process.outputs.push_back(out);
    process.body = std::move(f);
    bits::Builder control("control");
    control.output("x.when", control.constant(1));
    control.output("y.when", control.constant(1));
    process.control = control.take();
    return process;
}

void check_printed(const design::Process& process, const hls_runner::Frames& frames) {
    hls_runner::Frames expected;
    for (const auto& frame : frames) {
        expected.push_back(bits::evaluate(process.body, frame));
    }
    for (const backends::hls::Dialect* dialect : hls_runner::usable_dialects()) {
        CAPTURE(dialect->name);
        std::string log;
        const hls_runner::Frames got = hls_runner::run(process, *dialect, frames, log);
        CHECK(log == "");
        CHECK((got == expected));
    }
}

}  // namespace

TEST_CASE("printed C++ computes what the evaluator computes, for every operation") {
    std::mt19937_64 random(31);
    for (const int widest : {12, 128}) {
        CAPTURE(widest);
        bits::Function f =
            bits::samples::random_function(250, widest == 12 ? 0 : 1, widest, random);
        std::set<bits::Op> met;
        f.outputs.clear();
        for (bits::NodeId id = 0; id < f.nodes.size(); ++id) {
            met.insert(f.nodes[id].op);
            bits::samples::push_output(f, id);
        }
        REQUIRE(met.size() == static_cast<std::size_t>(bits::op_count));
        REQUIRE(bits::verify(f).empty());
        auto frames = bits::samples::random_values(f, 300, random);
        for (const bool high : {false, true}) {
            auto& corner = frames.emplace_back();
            for (const bits::Input& input : f.inputs) {
                corner.push_back(high ? bits::highest(input.type) : bits::lowest(input.type));
            }
        }
        check_printed(process_of(std::move(f)), frames);
    }
}

TEST_CASE("a long body, which is printed as several functions, computes the same") {
    std::mt19937_64 random(8);
    bits::Function f = bits::samples::random_function(1400, 2, 40, random);
    f.outputs.clear();
    for (bits::NodeId id = 0; id < f.nodes.size(); id += 7) {
        bits::samples::push_output(f, id);
    }
    const auto frames = bits::samples::random_values(f, 50, random);
    const design::Process process = process_of(std::move(f));
    const auto files = backends::hls::emit(process, backends::hls::dialects().front());
    CHECK(files[1].text.find("random_part0") != std::string::npos);
    CHECK(files[1].text.find("random_part1") != std::string::npos);
    check_printed(process, frames);
}

TEST_CASE("a small network of dense layers, unrolled, is the same in both dialects") {
    std::mt19937 random(5);
    CoreModel model;
    model.network.name = "mlp";
    const Location here{"model", "fc", "Gemm", ""};
    network::Value x = model.network.add_input(
        "x", {{8}, PerElement<Format>(Format{{true, 6, 3}, {-32, 31}})}, here);
    std::int64_t length = 8;
    for (const std::int64_t width : {6, 4}) {
        ContractFields contract;
        contract.weights.shape = {1, length, width};
        for (std::int64_t i = 0; i < length * width; ++i) {
            contract.weights.values.push_back(static_cast<int>(random() % 31) - 15);
        }
        contract.frac = 4;
        x = model.network.add(contract_operator, network::Attributes::of(contract), {x}, here);
        QuantizeFields quantize;
        quantize.type = FixedType{false, 5, 2};
        quantize.rounding = Rounding::half_even;
        x = model.network.add(quantize_operator, network::Attributes::of(quantize), {x}, here);
        length = width;
    }
    model.network.set_output("y", x);
    const auto design = schedule::parallel(model, {});
    hls_runner::Frames frames = {{-32, -32, -32, -32, -32, -32, -32, -32},
                                 {31, 31, 31, 31, 31, 31, 31, 31}};
    for (int i = 0; i < 200; ++i) {
        auto& frame = frames.emplace_back();
        for (int e = 0; e < 8; ++e) {
            frame.push_back(static_cast<int>(random() % 64) - 32);
        }
    }
    check_printed(design.design.processes[0], frames);
}

TEST_CASE("printing is the same from time to time, and names stay legal") {
    std::mt19937_64 random(2);
    design::Process process = process_of(bits::samples::random_function(60, 1, 20, random));
    process.name = "int";
    process.inputs[0].name = "/layer.0/x";
    for (const backends::hls::Dialect& dialect : backends::hls::dialects()) {
        const auto files = backends::hls::emit(process, dialect);
        const auto again = backends::hls::emit(process, dialect);
        REQUIRE(files.size() == 3);
        for (std::size_t i = 0; i < files.size(); ++i) {
            CHECK(files[i].text == again[i].text);
        }
        CHECK(files[0].path == "int_circuit.h");
        CHECK(files[0].text.find("layer_0_x_in") != std::string::npos);
    }
}
