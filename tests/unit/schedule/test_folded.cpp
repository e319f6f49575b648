#include <doctest/doctest.h>

#include <random>

#include "../backends/hls_runner.h"
#include "../backends/verilog_runner.h"
#include "design/rates.h"
#include "emulate/design_emulator.h"
#include "operators/core.h"
#include "schedule/folded.h"

using namespace gatewright;
using namespace gatewright::operators;

namespace {

/// One dense layer of `inputs` inputs, whose formats differ, and `outputs` outputs.
CoreModel dense(std::int64_t inputs, std::int64_t outputs, std::mt19937& random) {
    CoreModel model;
    model.network.name = "dense";
    const Location here{"model", "fc", "Gemm", ""};
    std::vector<Format> formats;
    for (std::int64_t k = 0; k < inputs; ++k) {
        formats.push_back(k % 3 == 0   ? Format{{true, 5, 2}, {-16, 15}}
                          : k % 3 == 1 ? Format{{false, 4, 1}, {0, 15}}
                                       : Format{{true, 8, 3}, {-100, 100}});
    }
    const network::Value x = model.network.add_input(
        "x", {{inputs}, PerElement<Format>::each(std::move(formats))}, here);
    ContractFields contract;
    contract.weights.shape = {1, inputs, outputs};
    for (std::int64_t i = 0; i < inputs * outputs; ++i) {
        // The first column is constant over the steps, the second zero.
        const std::int64_t o = i % outputs;
        contract.weights.values.push_back(o == 0   ? 3
                                          : o == 1 ? 0
                                                   : static_cast<int>(random() % 255) - 127);
    }
    contract.frac = 6;
    model.network.set_output(
        "y", model.network.add(contract_operator, network::Attributes::of(contract), {x}, here));
    return model;
}

std::vector<std::vector<Int128>> frames_for(const ContractForm& form, std::mt19937& random) {
    std::vector<std::vector<Int128>> frames;
    for (int i = 0; i < 200; ++i) {
        std::vector<Int128>& frame = frames.emplace_back();
        for (const Format& format : form.inputs) {
            const Interval& range = format.range;
            const auto span = static_cast<unsigned>(range.high - range.low + 1);
            frame.push_back(i == 0   ? range.low
                            : i == 1 ? range.high
                                     : range.low + static_cast<int>(random() % span));
        }
    }
    return frames;
}

std::vector<Int128> product(const ContractForm& form, const std::vector<Int128>& x) {
    std::vector<Int128> y(form.outputs.size(), 0);
    for (std::size_t o = 0; o < y.size(); ++o) {
        for (std::size_t k = 0; k < x.size(); ++k) {
            y[o] +=
                x[k] * form.matrix.at(static_cast<std::int64_t>(k), static_cast<std::int64_t>(o));
        }
    }
    return y;
}

/// Frames of the dense layer, and the sums of its matrix for each.
std::pair<hls_runner::Frames, hls_runner::Frames> samples_of(const CoreModel& model,
                                                             std::mt19937& random) {
    const network::Node& node = model.network.node(1);
    const ContractForms forms = contract_forms(node, model.network.type(node.inputs[0]));
    const auto frames = frames_for(forms.forms.front(), random);
    hls_runner::Frames expected;
    for (const auto& frame : frames) {
        expected.push_back(product(forms.forms.front(), frame));
    }
    return {frames, expected};
}

}  // namespace

TEST_CASE(
    "a folded dense layer gives the sums of its matrix, in the emulator and in both dialects") {
    std::mt19937 random(11);
    const CoreModel model = dense(12, 5, random);
    const auto [frames, expected] = samples_of(model, random);
    for (const std::int64_t reuse : {1, 4, 12}) {
        CAPTURE(reuse);
        const design::Design design = schedule::folded(model, reuse);
        const design::Process& process = design.processes[0];
        REQUIRE(bits::verify(process.body).empty());
        REQUIRE(bits::verify(process.control).empty());
        CHECK(process.inputs[0].lanes.size() == 12 / static_cast<std::size_t>(reuse));
        CHECK(process.memories.size() == (reuse == 1 ? 0 : 1));
        const emulate::DesignEmulator emulator(design);
        for (std::size_t i = 0; i < frames.size(); ++i) {
            CHECK((emulator.run({frames[i]}).front() == expected[i]));
        }
    }
    const design::Design design = schedule::folded(model, 4);
    for (const backends::hls::Dialect* dialect : hls_runner::usable_dialects()) {
        CAPTURE(dialect->name);
        CHECK(backends::hls::emit(design.processes[0], *dialect)[1].text.find("for (int step") !=
              std::string::npos);
        std::string log;
        const auto got = hls_runner::run(design.processes[0], *dialect, frames, log);
        CHECK(log == "");
        CHECK((got == expected));
    }
}

TEST_CASE("a folded dense layer in Verilog gives the sums of its matrix, under random stalls") {
    if (!verilog_runner::have(flow::ToolId::icarus)) {
        return;
    }
    std::mt19937 random(29);
    const CoreModel model = dense(12, 5, random);
    auto [frames, expected] = samples_of(model, random);
    for (const std::int64_t reuse : {2, 4, 12}) {
        CAPTURE(reuse);
        const design::Design design = schedule::folded(model, reuse);
        CHECK(design::verify(design) == std::vector<std::string>());
        const design::Machine machine = design::handshaked(design.processes[0]);
        CHECK(design::verify(machine) == std::vector<std::string>());
        CHECK(machine.interval == reuse);
        verilog_runner::check_rates(design, frames, expected);
        for (const std::uint64_t seed : {1, 2}) {
            CAPTURE(seed);
            const auto printed = verilog_runner::simulate(design, {}, frames, expected, seed);
            CAPTURE(printed);
            CHECK(verilog_runner::passed(printed, frames.size()));
        }
    }
    const design::Design design = schedule::folded(model, 4);
    if (verilog_runner::have(flow::ToolId::verilator)) {
        CHECK(verilog_runner::lint(design, {}) == std::vector<std::string>());
        const auto printed =
            verilog_runner::simulate(design, {}, frames, expected, 3, flow::Simulator::verilator);
        CAPTURE(printed);
        CHECK(verilog_runner::passed(printed, frames.size()));
    }
    // The comparison can fail.
    expected[7][3] += 1;
    CHECK_FALSE(verilog_runner::passed(verilog_runner::simulate(design, {}, frames, expected),
                                       frames.size()));
}

TEST_CASE("a reuse factor that does not divide the inputs is refused") {
    std::mt19937 random(1);
    const CoreModel model = dense(12, 2, random);
    CHECK_THROWS_AS(schedule::folded(model, 5), Failure);
    CHECK_THROWS_AS(schedule::folded(model, 0), Failure);
}

TEST_CASE("the emulator sees what is left undefined") {
    std::mt19937 random(3);
    const CoreModel model = dense(4, 2, random);
    design::Design design = schedule::folded(model, 4);
    design.processes[0].memories[0].contents.clear();  // a RAM that nobody writes
    const std::vector<std::vector<Int128>> x = {{1, 1, 1, 1}};
    bits::Builder control("control");
    const bits::NodeId step = control.input("step", {false, 2});
    control.output("x.when", control.constant(1));
    control.output("y.when", control.equal(step, control.constant(3)));
    control.output("weights.read_address", step);
    control.output("weights.write_when", control.constant(0, {false, 1}));
    control.output("weights.write_address", step);
    design.processes[0].control = control.take();
    bits::Function& body = design.processes[0].body;
    CHECK_THROWS_WITH_AS(emulate::DesignEmulator(design).run(x),
                         doctest::Contains("too few outputs"), std::logic_error);
    for (std::size_t l = 0; l < design.processes[0].memories[0].lanes.size(); ++l) {
        body.outputs.push_back({"weights." + std::to_string(l), 0});
    }
    CHECK_THROWS_WITH_AS(emulate::DesignEmulator(design).run(x),
                         doctest::Contains("not written in its frame"), std::logic_error);
}
