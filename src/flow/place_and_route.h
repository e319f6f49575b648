#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "flow/synthesis.h"

/// Place and route with nextpnr, out of context: the circuit alone, without pins, as a block that
/// stands within a larger design. Paths from and to ports of the top module are therefore free;
/// the clock frequency is that of paths between registers.
namespace gatewright::flow {

struct PlaceAndRouteJob {
    SynthesisResult synthesis{};     ///< its family and netlist_json are used
    std::filesystem::path folder{};  ///< receives log and report
    std::string device{};            ///< for example "25k"; empty: the smallest that holds it
    double clock_period_ns = 10;     ///< asked for; missing it is no error
    int seed = 1;
    double timeout_seconds = 0;  ///< 0: none
};

struct Utilisation {
    std::int64_t used = 0;
    std::int64_t available = 0;
};

/// One step of the slowest path between two registers.
struct PathStep {
    std::string kind;  ///< "clk-to-q", "logic", "routing" or "setup"
    std::string from;  ///< cell.port
    std::string to;    ///< cell.port
    std::string net;   ///< empty but for routing
    double delay_ns = 0;
};

struct PlaceAndRouteResult {
    std::string tool;
    std::string version;
    std::string family;
    std::string device{};
    std::string stage = "place and route, out of context";
    std::string clock;               ///< net; empty if nothing is clocked
    std::optional<double> fmax_mhz;  ///< none without a path between registers
    double asked_mhz = 0;
    std::map<std::string, Utilisation> utilisation;  ///< by cell kind; only kinds that are used
    std::vector<PathStep> critical_path;
    double cpu_seconds = 0;  ///< not part of to_json(): it differs from run to run
};

/// Runs nextpnr. Throws Failure: family_unsupported, device_too_small, tool_missing, tool_failed,
/// tool_timed_out, tool_report_unreadable.
PlaceAndRouteResult place_and_route(const PlaceAndRouteJob& job);

/// The smallest device of the family that holds the counts with a tenth of the LUTs to spare;
/// throws Failure (family_unsupported, device_too_small).
std::string choose_device(const std::string& family, const CellCounts& counts);

/// Reads what nextpnr's --report wrote into `result`.
void read_report(const std::string& report_json, PlaceAndRouteResult& result);

/// {"tool", "version", "family", "device", "stage", "clock", "fmax_mhz", "asked_mhz",
///  "utilisation", "critical_path"}; the same bytes for the same result.
nlohmann::ordered_json to_json(const PlaceAndRouteResult& result);

}  // namespace gatewright::flow
