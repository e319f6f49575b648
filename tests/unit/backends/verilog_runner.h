#pragma once

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../temporary_folder.h"
#include "backends/verilog/testbench.h"
#include "backends/verilog/verilog.h"
#include "design/rates.h"
#include "flow/simulation.h"

/// Simulates what the Verilog printer prints, with Icarus and the project's own testbench.
namespace gatewright::verilog_runner {

/// Values of the inputs or outputs of a function, one vector a frame.
using Frames = std::vector<std::vector<Int128>>;

/// True if the tool is there; else says so in one line, and the test is left out.
inline bool have(flow::ToolId id) {
    const flow::ToolStatus status = flow::tool_status(id);
    if (status.version.empty()) {
        std::printf("skipped: %s\n", status.problem.c_str());
        MESSAGE("skipped: " << status.problem);
    }
    return !status.version.empty();
}

/// A parallel design of one process around `body`: its inputs are the lanes of one port `x`;
/// `ports` says how many of its outputs each output port takes, by name.
inline design::Design design_of(bits::Function body,
                                const std::vector<std::pair<std::string, std::size_t>>& ports) {
    const auto lane = [](bits::Type type) {
        const FixedType fixed{type.is_signed, type.width, 0};
        return design::Lane{fixed, fixed.range()};
    };
    design::Design out;
    out.name = body.name;
    design::Process process;
    process.name = body.name;
    process.inputs.push_back({"x", {}});
    for (const bits::Input& input : body.inputs) {
        process.inputs.front().lanes.push_back(lane(input.type));
    }
    std::size_t next = 0;
    for (const auto& [name, count] : ports) {
        process.outputs.push_back({name, {}});
        for (std::size_t i = 0; i < count; ++i) {
            process.outputs.back().lanes.push_back(
                lane(body.nodes[body.outputs[next++].node].type));
        }
    }
    REQUIRE(next == body.outputs.size());
    for (const design::Port& port : process.inputs) {
        out.inputs.push_back({port.name, port.lanes, 1, {}});
    }
    for (const design::Port& port : process.outputs) {
        out.outputs.push_back({port.name, port.lanes, 1, {}});
    }
    process.body = std::move(body);
    out.processes.push_back(std::move(process));
    return out;
}

/// The lines of a testbench's file; a frame holds the elements of the tensors.
inline std::string frames_text(const std::vector<backends::verilog::Interface::Port>& ports,
                               const Frames& frames) {
    std::string out;
    for (const auto& frame : frames) {
        std::size_t next = 0;
        for (std::size_t p = 0; p < ports.size(); ++p) {
            const std::size_t lanes = ports[p].lanes.size();
            for (std::size_t w = 0; w < static_cast<std::size_t>(ports[p].words); ++w) {
                std::vector<int> bits;
                for (std::size_t l = 0; l < lanes; ++l) {
                    const std::size_t at = w * lanes + l;
                    const std::size_t element =
                        ports[p].order.empty() ? at : static_cast<std::size_t>(ports[p].order[at]);
                    const Int128 value = frame[next + element];
                    for (int i = 0; i < ports[p].lanes[l].width; ++i) {
                        bits.push_back(static_cast<int>((value >> i) & 1));
                    }
                }
                bits.resize((std::max<std::size_t>(1, bits.size()) + 3) / 4 * 4, 0);
                out += p == 0 && w == 0 ? "" : " ";
                for (std::size_t digit = bits.size() / 4; digit-- > 0;) {
                    const std::size_t b = digit * 4;
                    out.push_back("0123456789abcdef"[bits[b] + 2 * bits[b + 1] + 4 * bits[b + 2] +
                                                     8 * bits[b + 3]]);
                }
            }
            next += lanes * static_cast<std::size_t>(ports[p].words);
        }
        out.push_back('\n');
    }
    return out;
}

inline void write(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
}

/// What the testbench printed: mismatches, then the closing line.
inline std::string simulate(const design::Design& design, const backends::verilog::Options& options,
                            const Frames& inputs, const Frames& expected, std::uint64_t seed = 0,
                            flow::Simulator simulator = flow::Simulator::icarus) {
    const test::Folder folder;
    const auto interface = backends::verilog::interface_of(design, options);
    flow::SimulationJob job;
    for (const auto& file : backends::verilog::emit(design, options)) {
        write(folder.path() / file.path, file.text);
        job.files.push_back(folder.path() / file.path);
    }
    const auto bench = backends::verilog::testbench(interface);
    write(folder.path() / bench.path, bench.text);
    job.files.push_back(folder.path() / bench.path);
    job.top = "testbench";
    job.folder = folder.path() / "simulation";
    job.simulator = simulator;
    const flow::Simulation simulation = flow::build_simulation(job);
    write(folder.path() / "inputs.hex", frames_text(interface.inputs, inputs));
    write(folder.path() / "expected.hex", frames_text(interface.outputs, expected));
    flow::run_simulation(simulation,
                         {{"inputs", "inputs.hex"},
                          {"expected", "expected.hex"},
                          {"count", std::to_string(inputs.size())},
                          {"seed", std::to_string(seed)}},
                         folder.path(), folder.path() / "run.log");
    std::stringstream text;
    text << std::ifstream(folder.path() / "run.log").rdbuf();
    return text.str();
}

/// Whether the testbench compared all frames and found nothing.
inline bool passed(const std::string& printed, std::size_t frames) {
    return printed.find("GATEWRIGHT PASS frames=" + std::to_string(frames) + " mismatches=0 ") !=
           std::string::npos;
}

/// Simulates without stalls: all frames are right, and latency and interval are those that counting
/// finds.
inline void check_rates(const design::Design& design, const Frames& inputs,
                        const Frames& expected) {
    const auto rates = design::rates_of(design, static_cast<std::int64_t>(inputs.size()));
    const std::string printed = simulate(design, {}, inputs, expected);
    CAPTURE(printed);
    CHECK(passed(printed, inputs.size()));
    CAPTURE(rates.latency);
    CAPTURE(rates.interval);
    CHECK(printed.find(" latency=" + std::to_string(rates.latency) +
                       " interval=" + std::to_string(rates.interval) + " ") != std::string::npos);
}

/// Verilator's warnings on the design's modules.
inline std::vector<std::string> lint(const design::Design& design,
                                     const backends::verilog::Options& options) {
    const test::Folder folder;
    std::vector<std::filesystem::path> files;
    for (const auto& file : backends::verilog::emit(design, options)) {
        write(folder.path() / file.path, file.text);
        files.push_back(folder.path() / file.path);
    }
    return flow::lint(files, backends::verilog::interface_of(design, options).module,
                      folder.path() / "lint.log");
}

}  // namespace gatewright::verilog_runner
