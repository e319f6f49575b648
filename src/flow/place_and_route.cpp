#include "flow/place_and_route.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/diagnostics.h"
#include "flow/tool.h"

namespace gatewright::flow {

namespace {

namespace fs = std::filesystem;

struct Device {
    std::string_view family;
    std::string_view name;
    std::string_view options;  ///< of nextpnr, separated by spaces
    std::int64_t luts;
    std::int64_t ffs;
    std::int64_t dsps;
    std::int64_t brams;
};

// Counts as nextpnr reports them; the 12k is a 25k to it.
constexpr auto devices = std::to_array<Device>({
    {"ecp5", "25k", "--25k --package CABGA381 --speed 6", 24288, 24288, 28, 56},
    {"ecp5", "45k", "--45k --package CABGA381 --speed 6", 43848, 43848, 72, 108},
    {"ecp5", "85k", "--85k --package CABGA381 --speed 6", 83640, 83640, 156, 208},
});

std::vector<Device> devices_of(const std::string& family) {
    std::vector<Device> found;
    std::copy_if(devices.begin(), devices.end(), std::back_inserter(found),
                 [&](const Device& d) { return d.family == family; });
    if (found.empty()) {
        throw Failure(Code::family_unsupported, Location{},
                      fmt::format("there is no open place and route for '{}' here", family),
                      "Use ecp5, or leave --place-and-route away");
    }
    return found;
}

bool holds(const Device& device, const CellCounts& counts) {
    return counts.lut_sites * 10 <= device.luts * 9 && counts.ff <= device.ffs &&
           counts.dsp <= device.dsps && counts.bram <= device.brams;
}

const Device find_device(const PlaceAndRouteJob& job) {
    const std::string& family = job.synthesis.family;
    const std::string name =
        job.device.empty() ? choose_device(family, job.synthesis.total) : job.device;
    std::string names;
    for (const Device& device : devices_of(family)) {
        if (device.name == name) {
            return device;
        }
        names += (names.empty() ? "" : ", ") + std::string(device.name);
    }
    throw Failure(Code::family_unsupported, Location{},
                  fmt::format("'{}' is no device of {}", name, family),
                  fmt::format("Use one of {}", names));
}

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const std::size_t end = text.find(' ');
        words.emplace_back(text.substr(0, end));
        text = end == std::string_view::npos ? "" : text.substr(end + 1);
    }
    return words;
}

std::string end_of(const nlohmann::json& end) {
    return end.at("cell").get<std::string>() + "." + end.at("port").get<std::string>();
}

/// To a hundredth, so that printing gives few digits.
double rounded(double value) {
    return std::round(value * 100) / 100;
}

void read_fmax(const nlohmann::json& report, PlaceAndRouteResult& result) {
    for (const auto& [clock, figures] : report.at("fmax").items()) {
        const double achieved = figures.at("achieved").get<double>();
        if (!result.fmax_mhz || achieved < *result.fmax_mhz) {
            result.clock = clock;
            result.fmax_mhz = rounded(achieved);
        }
    }
}

void read_critical_path(const nlohmann::json& report, PlaceAndRouteResult& result) {
    const std::string edge = " " + result.clock;
    for (const nlohmann::json& path : report.at("critical_paths")) {
        const auto from = path.at("from").get<std::string>();
        const auto to = path.at("to").get<std::string>();
        if (result.clock.empty() || !from.ends_with(edge) || !to.ends_with(edge)) {
            continue;  // from or to a port: free out of context
        }
        for (const nlohmann::json& step : path.at("path")) {
            result.critical_path.push_back(
                {step.at("type").get<std::string>(), end_of(step.at("from")), end_of(step.at("to")),
                 step.value("net", ""), rounded(step.at("delay").get<double>())});
        }
        return;
    }
}

}  // namespace

std::string choose_device(const std::string& family, const CellCounts& counts) {
    const std::vector<Device> candidates = devices_of(family);
    for (const Device& device : candidates) {
        if (holds(device, counts)) {
            return std::string(device.name);
        }
    }
    const Device& largest = candidates.back();
    throw Failure(
        Code::device_too_small, Location{},
        fmt::format("the design takes {} LUT sites, {} flip-flops, {} multipliers and {} block "
                    "memories; the largest {} device ({}) has {}, {}, {} and {}",
                    counts.lut_sites, counts.ff, counts.dsp, counts.bram, family, largest.name,
                    largest.luts, largest.ffs, largest.dsps, largest.brams),
        "Fold or prune the model, use narrower types, or leave --place-and-route away");
}

void read_report(const std::string& report_json, PlaceAndRouteResult& result) {
    try {
        const nlohmann::json report = nlohmann::json::parse(report_json);
        read_fmax(report, result);
        read_critical_path(report, result);
        for (const auto& [kind, figures] : report.at("utilization").items()) {
            const Utilisation row{figures.at("used").get<std::int64_t>(),
                                  figures.at("available").get<std::int64_t>()};
            if (row.used > 0) {
                result.utilisation[kind] = row;
            }
        }
    } catch (const nlohmann::json::exception& error) {
        throw Failure(Code::tool_report_unreadable, in_file("place_and_route.json"),
                      fmt::format("nextpnr's report is not as expected: {}", error.what()));
    }
}

PlaceAndRouteResult place_and_route(const PlaceAndRouteJob& job) {
    const Device device = find_device(job);
    const Tool nextpnr = find_tool(ToolId::nextpnr_ecp5);
    PlaceAndRouteResult result;
    result.tool = nextpnr.name;
    result.version = nextpnr.version;
    result.family = job.synthesis.family;
    result.device = device.name;
    result.asked_mhz = rounded(1000.0 / job.clock_period_ns);

    // The WebAssembly build sees its working directory and little else: all names are relative.
    const fs::path folder = fs::absolute(job.folder);
    const fs::path netlist = folder / "place_and_route.netlist.json";
    std::error_code error;
    fs::create_directories(folder, error);
    fs::copy_file(job.synthesis.netlist_json, netlist, fs::copy_options::overwrite_existing, error);
    if (error) {
        throw Failure(Code::file_unwritable, in_file(netlist), error.message());
    }
    std::vector<std::string> arguments = split(device.options);
    for (const std::string& argument :
         std::vector<std::string>{"--json", netlist.filename().string(), "--report",
                                  "place_and_route.json", "--out-of-context", "--timing-allow-fail",
                                  "--freq", fmt::format("{:.3f}", 1000.0 / job.clock_period_ns),
                                  "--seed", fmt::format("{}", job.seed)}) {
        arguments.push_back(argument);
    }
    const fs::path log = job.folder / "place_and_route.log";
    const ProcessResult run_result =
        run(nextpnr.with(arguments),
            {.directory = folder, .log = log, .timeout_seconds = job.timeout_seconds});
    fs::remove(netlist, error);
    result.cpu_seconds = run_result.cpu_seconds;
    require_success(nextpnr, run_result, "place and route", log);
    read_report(read_text(folder / "place_and_route.json"), result);
    return result;
}

nlohmann::ordered_json to_json(const PlaceAndRouteResult& result) {
    nlohmann::ordered_json utilisation = nlohmann::ordered_json::object();
    for (const auto& [kind, row] : result.utilisation) {
        utilisation[kind] = {{"used", row.used}, {"available", row.available}};
    }
    nlohmann::ordered_json path = nlohmann::ordered_json::array();
    for (const PathStep& step : result.critical_path) {
        path.push_back({{"kind", step.kind},
                        {"from", step.from},
                        {"to", step.to},
                        {"net", step.net},
                        {"delay_ns", step.delay_ns}});
    }
    nlohmann::ordered_json fmax = nullptr;
    if (result.fmax_mhz) {
        fmax = *result.fmax_mhz;
    }
    return {{"tool", result.tool},
            {"version", result.version},
            {"family", result.family},
            {"device", result.device},
            {"stage", result.stage},
            {"clock", result.clock},
            {"fmax_mhz", std::move(fmax)},
            {"asked_mhz", result.asked_mhz},
            {"utilisation", std::move(utilisation)},
            {"critical_path", std::move(path)}};
}

}  // namespace gatewright::flow
