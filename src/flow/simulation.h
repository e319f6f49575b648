#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "flow/tool.h"

/// Simulation and linting of Verilog.
namespace gatewright::flow {

enum class Simulator { verilator, icarus };

/// Throws Failure (tool_missing) that lists the known names for any other one.
Simulator simulator_named(std::string_view name);

/// What to simulate with if nobody says: Verilator runs fastest, Icarus is far sooner built, which
/// is what counts for a netlist of many cells. The other one where the first is not installed.
Simulator default_simulator(bool netlist);

struct SimulationJob {
    std::vector<std::filesystem::path> files{};  ///< Verilog sources, testbench included
    std::string top{};                           ///< name of the testbench module
    std::filesystem::path folder{};              ///< receives the build and its logs
    Simulator simulator = Simulator::verilator;
    int optimise = 0;            ///< of Verilator's C++: 0 builds soonest, 2 runs fastest
    double timeout_seconds = 0;  ///< for the build; 0: none
};

/// A built simulation; it can be run any number of times.
struct Simulation {
    std::string tool{};
    std::string version{};
    Command command{};
    double build_cpu_seconds = 0;  ///< 0 if an earlier build of the same sources was taken
};

/// Builds the testbench and all under it. A build of the same sources by the same tool that lies
/// in the folder is taken as it is. Throws Failure: tool_missing, tool_failed, tool_timed_out.
Simulation build_simulation(const SimulationJob& job);

/// Runs the simulation in `folder` with plusargs +name=value; its output goes to `log`. Paths in
/// plusargs are relative to `folder`. A testbench reports through $finish; $fatal and $stop are
/// failures. Throws Failure: tool_failed, tool_timed_out.
ProcessResult run_simulation(const Simulation& simulation,
                             const std::vector<std::pair<std::string, std::string>>& plusargs,
                             const std::filesystem::path& folder, const std::filesystem::path& log,
                             double timeout_seconds = 0);

/// Verilator's lint with all warnings on. Returns the warnings and errors, none if clean; each is
/// the first line of a message. Throws Failure: tool_missing, tool_timed_out.
std::vector<std::string> lint(const std::vector<std::filesystem::path>& files,
                              const std::string& top, const std::filesystem::path& log,
                              double timeout_seconds = 0);

}  // namespace gatewright::flow
