#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "flow/family.h"

/// Synthesis of Verilog with Yosys.
namespace gatewright::flow {

struct SynthesisJob {
    std::vector<std::filesystem::path> files{};  ///< Verilog sources
    std::string top{};                           ///< name of the top module
    std::string family = "ecp5";                 ///< a name of families()
    std::filesystem::path folder{};              ///< receives script, log, statistics and netlists
    bool flatten = true;                         ///< false: figures for each module as well
    bool dsp = true;                             ///< may use multiplier cells
    bool bram = true;                            ///< may use block memories
    bool simulated = true;                       ///< writes the netlist for simulation too
    double timeout_seconds = 0;                  ///< 0: none
};

/// The cells of one module without those of the modules in it.
struct ModuleCells {
    std::string module;
    std::int64_t instances = 0;  ///< in the whole design
    CellCounts cells;            ///< of one instance
};

struct SynthesisResult {
    std::string tool;
    std::string version;
    std::string family{};
    std::string stage = "synthesis";
    CellCounts total;
    std::vector<ModuleCells> modules;  ///< by name; one row, the top, when flattened
    double cpu_seconds = 0;            ///< not part of to_json(): it differs from run to run

    std::filesystem::path netlist_json;     ///< for place and route
    std::filesystem::path netlist_verilog;  ///< the cells, named as the family names them
    /// The same netlist with each cell replaced by Yosys' simulation model of it, flattened: plain
    /// Verilog that any simulator takes, with the ports of the top module.
    std::filesystem::path simulation_verilog;
    /// Cells without a simulation model. If there are any, the netlist can be simulated only after
    /// a synthesis without them (`dsp = false`, `bram = false`).
    std::vector<std::string> unmodelled;
};

/// Runs Yosys. Writes synthesis.ys, synthesis.log, synthesis.stat.json, netlist.json, netlist.v,
/// netlist_simulation.v (and netlist_simulation.ys, .log) into the job's folder.
/// Throws Failure: tool_missing, tool_too_old, tool_failed, tool_timed_out, family_unsupported,
/// tool_report_unreadable.
SynthesisResult synthesize(const SynthesisJob& job);

/// Counts the cells in what Yosys' `stat -json` wrote; fills `total` and `modules`.
void count_cells(const std::string& stat_json, const std::string& top, const Family& family,
                 SynthesisResult& result);

/// {"lut", "lut1", "ff", "carry", "lutram", "dsp", "bram", "lut_sites", "other", "cells"}
nlohmann::ordered_json to_json(const CellCounts& counts);

/// {"tool", "version", "family", "stage", "total", "modules"}; the same bytes for the same netlist.
nlohmann::ordered_json to_json(const SynthesisResult& result);

}  // namespace gatewright::flow
