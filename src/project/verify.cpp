#include <fmt/format.h>

#include <algorithm>

#include "bits/evaluator.h"
#include "project/certificate.h"
#include "project/commands.h"
#include "project/hls_check.h"
#include "project/samples.h"

namespace gatewright::project {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

/// Runs the flat function of a parallel design on integers of its ports.
PortIntegers run_bits(const bits::Function& function, const PortIntegers& inputs,
                      const std::vector<std::size_t>& output_elements, std::int64_t samples) {
    constexpr auto block = static_cast<std::int64_t>(bits::Evaluator::block);
    const bits::Evaluator evaluator(
        function, std::vector<bits::Lane>(function.inputs.size(), bits::Lane::i64),
        std::vector<bits::Lane>(function.outputs.size(), bits::Lane::i64));
    bits::Evaluator::Scratch scratch;
    std::vector<std::int64_t> in(function.inputs.size() * bits::Evaluator::block);
    std::vector<std::int64_t> out(function.outputs.size() * bits::Evaluator::block);
    std::vector<const void*> in_pointers;
    std::vector<void*> out_pointers;
    for (std::size_t i = 0; i < function.inputs.size(); ++i) {
        in_pointers.push_back(in.data() + i * bits::Evaluator::block);
    }
    for (std::size_t i = 0; i < function.outputs.size(); ++i) {
        out_pointers.push_back(out.data() + i * bits::Evaluator::block);
    }
    PortIntegers result;
    for (const std::size_t elements : output_elements) {
        result.emplace_back(elements * static_cast<std::size_t>(samples));
    }
    for (std::int64_t first = 0; first < samples; first += block) {
        const std::int64_t count = std::min(block, samples - first);
        std::size_t lane = 0;
        for (const auto& port : inputs) {
            for (std::size_t e = 0; e < port.size() / static_cast<std::size_t>(samples); ++e) {
                std::copy_n(port.data() + static_cast<std::int64_t>(e) * samples + first, count,
                            in.data() + static_cast<std::int64_t>(lane++) * block);
            }
        }
        evaluator.run(in_pointers.data(), out_pointers.data(), scratch);
        lane = 0;
        for (auto& port : result) {
            for (std::size_t e = 0; e < port.size() / static_cast<std::size_t>(samples); ++e) {
                std::copy_n(out.data() + static_cast<std::int64_t>(lane++) * block, count,
                            port.data() + static_cast<std::int64_t>(e) * samples + first);
            }
        }
    }
    return result;
}

std::int64_t differing(const PortIntegers& a, const PortIntegers& b) {
    std::int64_t count = 0;
    for (std::size_t p = 0; p < a.size(); ++p) {
        for (std::size_t i = 0; i < a[p].size(); ++i) {
            count += a[p][i] != b[p][i] ? 1 : 0;
        }
    }
    return count;
}

}  // namespace

ordered_json verify(const VerifyOptions& options,
                    const std::function<void(const std::string&)>& step) {
    const auto say = [&](const std::string& what) {
        if (step) {
            step(what);
        }
    };
    const StoredDesign stored = read_design(options.folder);
    ordered_json out;
    out["format"] = "gatewright certificate 2";
    out["name"] = stored.model.network.name;
    bool equal = true;

    say("deriving the circuit again");
    const Translation translation = translate(stored.model, stored.settings);
    bool same_files = true;
    for (const backends::EmittedFile& file : emit(translation)) {
        std::error_code error;
        same_files = same_files && fs::is_regular_file(options.folder / file.path, error) &&
                     read_text(options.folder / file.path) == file.text;
    }
    out["files_as_derived"] = same_files;

    say("proving adder graphs");
    ordered_json contractions = ordered_json::array();
    std::int64_t unproven = 0;
    for (const schedule::BuiltContraction& c : translation.parallel.contractions) {
        unproven += linear::prove(c.graph, c.matrix).empty() ? 0 : 1;
        contractions.push_back(contraction_json(c));
    }
    out["adder_graphs"] = {{"count", contractions.size()}, {"not_proven", unproven}};
    equal = equal && unproven == 0;

    say("reading tables and other functions");
    const FunctionCheck functions = check_functions(stored.model);
    out["tables"] = functions_json(functions);
    equal = equal && functions.wrong == 0;

    say("finding ranges of all wires");
    const bits::Function& body = translation.parallel.design.processes.front().body;
    out["ranges"] = ranges_json(translation);
    equal = equal && out["ranges"].at("unproven") == 0;
    if (!out["ranges"].at("circuit").is_null()) {
        write_text(options.folder / circuit_file, circuit_text(translation));
    }

    const VerificationSamples verification =
        verification_samples(stored.model, options.samples, options.seed);
    const PortIntegers& inputs = verification.ports;
    const std::int64_t samples = verification.count();
    say("looking for inputs that overflow");
    out["overflow"] =
        overflow_json(stored.model, find_overflows(stored.model, inputs, samples, {}));
    out["samples"] = {{"corners", verification.corners}, {"random", verification.random}};

    say("comparing emulator and bits");
    const PortIntegers emulated =
        emulate::TensorEmulator(stored.model).run_integers(inputs, samples);
    std::vector<std::size_t> elements;
    for (const auto& port : translation.interface.outputs) {
        elements.push_back(port.lanes.size());
    }
    ordered_json comparisons = ordered_json::array();
    const auto add = [&](const std::string& level, std::int64_t mismatches, ordered_json extra) {
        ordered_json row = {{"level", level}, {"samples", samples}, {"mismatches", mismatches}};
        row.update(extra);
        comparisons.push_back(row);
        equal = equal && mismatches == 0;
    };
    add("bits", differing(emulated, run_bits(body, inputs, elements, samples)),
        ordered_json::object());

    const auto simulated = [&](const std::string& level, const std::vector<fs::path>& files,
                               const std::string& work, bool is_netlist) {
        say(level);
        const flow::Simulator simulator = flow::default_simulator(is_netlist);
        const bool verilator = simulator == flow::Simulator::verilator;
        if (flow::tool_status(verilator ? flow::ToolId::verilator : flow::ToolId::icarus)
                .version.empty()) {
            comparisons.push_back(
                {{"level", level},
                 {"skipped", "no simulator is installed (apt-get install verilator)"}});
            return;
        }
        const SimulationOutcome outcome =
            simulate(options.folder, files, translation.interface, inputs, samples, simulator,
                     options.folder / "simulation" / work, options.seed, options.timeout_seconds);
        add(level, differing(emulated, outcome.outputs) + outcome.undefined,
            {{"tool", outcome.tool}, {"version", outcome.version}});
    };
    const fs::path netlist = options.folder / "reports" / "synthesis" / "netlist_simulation.v";
    std::error_code error;
    if (!has_verilog(stored.settings)) {
        comparisons.push_back(
            {{"level", "verilog"}, {"skipped", "the design was written without Verilog"}});
    } else {
        simulated("verilog", verilog_files(options.folder, stored), "verify", false);
        if (fs::is_regular_file(netlist, error)) {
            simulated("netlist", {netlist}, "verify_netlist", true);
        } else {
            comparisons.push_back({{"level", "netlist"},
                                   {"skipped", "not synthesised yet: run gatewright synthesize"}});
        }
    }
    if (has_hls(stored.settings)) {
        say("compiling C++");
    }
    for (const HlsOutcome& c :
         check_hls(options.folder, stored, inputs, emulated, samples, options.timeout_seconds)) {
        if (c.skipped.empty()) {
            add(c.level, c.mismatches, {{"tool", c.tool}, {"version", c.version}});
        } else {
            comparisons.push_back({{"level", c.level}, {"skipped", c.skipped}});
        }
    }
    out["comparisons"] = comparisons;
    equal = equal && same_files;
    out["verdict"] = equal ? "equal" : "different";
    out["contractions"] = contractions;
    write_text(options.folder / "certificate.json", out.dump(1) + "\n");
    return out;
}

}  // namespace gatewright::project
