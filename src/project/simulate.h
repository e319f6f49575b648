#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "emulate/encode.h"
#include "flow/simulation.h"
#include "project/folder.h"

/// Simulation of a converted design's Verilog, or of its synthesised netlist.
namespace gatewright::project {

/// Integers of ports: [port][element * samples + sample].
using PortIntegers = std::vector<std::vector<std::int64_t>>;

/// Encodes samples for all ports of the network.
PortIntegers encode_ports(const operators::CoreModel& model, const emulate::Samples& samples);

/// Random integers within the exact ranges of all ports; the first samples are corners: all lowest,
/// all highest, alternating, zero (or the nearest to it), and one-hot extremes.
PortIntegers random_ports(const operators::CoreModel& model, std::int64_t samples,
                          std::uint64_t seed);

/// The testbench's text for these integers: one line a frame (testbench.h).
std::string vectors_text(const std::vector<backends::verilog::Interface::Port>& ports,
                         const PortIntegers& integers, std::int64_t samples);

struct SimulationOutcome {
    std::string tool;
    std::string version;
    PortIntegers outputs;
    std::int64_t samples = 0;
    std::int64_t undefined = 0;  ///< words with unknown bits
    std::int64_t latency = 0;    ///< cycles, as measured
    std::int64_t interval = 0;
};

/// Runs the testbench under DIR on the given inputs. `verilog` holds the circuit's files; the build
/// lies in `work` and is reused. `seed` other than 0 makes random gaps.
/// Throws Failure: tool_missing, tool_failed, tool_timed_out, simulation_failed.
SimulationOutcome simulate(const std::filesystem::path& folder,
                           const std::vector<std::filesystem::path>& verilog,
                           const backends::verilog::Interface& interface,
                           const PortIntegers& inputs, std::int64_t samples,
                           flow::Simulator simulator, const std::filesystem::path& work,
                           std::uint64_t seed = 0, double timeout_seconds = 0);

/// The design's own Verilog files, the top first.
std::vector<std::filesystem::path> verilog_files(const std::filesystem::path& folder,
                                                 const StoredDesign& design);

/// The interface as design.json states it.
backends::verilog::Interface stored_interface(const StoredDesign& design);

}  // namespace gatewright::project
