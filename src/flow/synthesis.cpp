#include "flow/synthesis.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <utility>

#include "base/diagnostics.h"
#include "flow/tool.h"

namespace gatewright::flow {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view stat_file = "synthesis.stat.json";

/// The path as the script names it: relative to the folder that the script runs in, so that scripts
/// and logs are the same wherever the folder lies.
std::string in_script(const fs::path& file, const fs::path& folder) {
    return "\"" + fs::absolute(file).lexically_proximate(fs::absolute(folder)).string() + "\"";
}

void append_option(std::string& line, std::string_view option) {
    if (!option.empty()) {
        line += " ";
        line += option;
    }
}

std::string synthesis_script(const SynthesisJob& job, const Family& family) {
    std::string script;
    for (const fs::path& file : job.files) {
        // Sums of a design for another family are synthesised from their plain form.
        const bool portable = !family.amd && file.filename() == "gatewright_sum.v";
        script += fmt::format("read_verilog {}{}\n", portable ? "-DGATEWRIGHT_PORTABLE " : "",
                              in_script(file, job.folder));
    }
    // What checks of the primitives' modules is the family's command, which knows them.
    script += fmt::format("hierarchy {}-top {}\n", family.amd ? "" : "-check ", job.top);
    std::string command = fmt::format("{} -top {}", family.synthesis, job.top);
    append_option(command, job.flatten ? family.flatten : family.no_flatten);
    append_option(command, job.dsp ? family.use_dsp : family.no_dsp);
    append_option(command, job.bram ? "" : family.no_bram);
    script += command + "\n";
    script += fmt::format("tee -q -o {} stat -json\n", stat_file);
    // Source positions name files of the tool's installation; netlists must not.
    script +=
        "setattr -unset src\n"
        "setattr -mod -unset src\n"
        "write_json -noscopeinfo -selected netlist.json\n"
        "write_verilog -noattr -noexpr netlist.v\n";
    return script;
}

/// Replaces each cell of netlist.v by its simulation model. A design of its own: what is simulated
/// is the written netlist, not what synthesis held in memory.
std::string simulation_script(const SynthesisJob& job, const Family& family) {
    std::string script = "read_verilog netlist.v\n";
    std::istringstream models{std::string(family.cell_models)};
    for (std::string model; models >> model;) {
        // The libraries define some of their modules twice.
        script += fmt::format("read_verilog -overwrite +/{}\n", model);
    }
    script += fmt::format(
        "hierarchy -top {}\n"
        "proc\n"
        "flatten -wb\n"
        "delete t:$specify2 t:$specify3 t:$specrule t:$scopeinfo\n"
        "opt_expr -mux_undef\n"
        "opt_clean -purge\n"
        "tee -q -o netlist_simulation.stat.json stat -json\n"
        "write_verilog -noattr netlist_simulation.v\n",
        job.top);
    return script;
}

void run_script(const Tool& yosys, const SynthesisJob& job, const std::string& name,
                const std::string& script, const std::string& doing, double& seconds) {
    write_text(job.folder / (name + ".ys"), script);
    const fs::path log = job.folder / (name + ".log");
    const ProcessResult result =
        run(yosys.with({name + ".ys"}),
            {.directory = job.folder, .log = log, .timeout_seconds = job.timeout_seconds});
    seconds += result.cpu_seconds;
    require_success(yosys, result, doing, log);
}

[[noreturn]] void unreadable(const std::string& what) {
    throw Failure(Code::tool_report_unreadable, in_file(stat_file),
                  fmt::format("the statistics that yosys wrote {}", what));
}

std::string plain_name(const std::string& name) {
    return name.starts_with('\\') ? name.substr(1) : name;
}

using Modules = std::map<std::string, std::map<std::string, std::int64_t>>;

Modules read_modules(const std::string& text) {
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("modules") || !json["modules"].is_object()) {
        unreadable("have no modules");
    }
    Modules modules;
    for (const auto& [name, statistics] : json["modules"].items()) {
        auto& cells = modules[plain_name(name)];
        if (!statistics.is_object() || !statistics.contains("num_cells_by_type")) {
            unreadable(fmt::format("have no cells for module '{}'", name));
        }
        for (const auto& [cell, count] : statistics["num_cells_by_type"].items()) {
            if (!count.is_number_integer()) {
                unreadable(fmt::format("have no count of '{}'", cell));
            }
            cells[plain_name(cell)] = count.get<std::int64_t>();
        }
    }
    return modules;
}

/// Adds `times` instances of a module and of all in it. Hierarchies are trees of a few levels.
void add_instances(const Modules& modules, const std::string& module, std::int64_t times,
                   std::map<std::string, std::int64_t>& instances) {
    instances[module] += times;
    for (const auto& [cell, count] : modules.at(module)) {
        if (modules.contains(cell)) {
            add_instances(modules, cell, times * count, instances);
        }
    }
}

/// Cells of a flattened simulation netlist that still are a family's cells.
std::vector<std::string> cells_left(const std::string& stat_json, const std::string& top) {
    const Modules modules = read_modules(stat_json);
    std::vector<std::string> left;
    const auto found = modules.find(top);
    if (found == modules.end()) {
        unreadable("lack the top module");
    }
    for (const auto& [cell, count] : found->second) {
        if (!cell.starts_with('$') || cell.starts_with("$paramod")) {
            left.push_back(cell);
        }
    }
    return left;
}

}  // namespace

void count_cells(const std::string& stat_json, const std::string& top, const Family& family,
                 SynthesisResult& result) {
    const Modules modules = read_modules(stat_json);
    if (!modules.contains(top)) {
        unreadable(fmt::format("lack the top module '{}'", top));
    }
    std::map<std::string, std::int64_t> instances;
    add_instances(modules, top, 1, instances);
    for (const auto& [name, times] : instances) {
        ModuleCells row{name, times, {}};
        for (const auto& [cell, count] : modules.at(name)) {
            if (!modules.contains(cell)) {
                row.cells.add(family, cell, count);
                result.total.add(family, cell, count * times);
            }
        }
        result.modules.push_back(std::move(row));
    }
}

SynthesisResult synthesize(const SynthesisJob& job) {
    const Family& family = find_family(job.family);
    const Tool yosys = find_tool(ToolId::yosys);
    SynthesisResult result;
    result.tool = yosys.name;
    result.version = yosys.version;
    result.family = job.family;

    run_script(yosys, job, "synthesis", synthesis_script(job, family),
               fmt::format("synthesise '{}' for {}", job.top, job.family), result.cpu_seconds);
    count_cells(read_text(job.folder / stat_file), job.top, family, result);
    result.netlist_json = job.folder / "netlist.json";
    result.netlist_verilog = job.folder / "netlist.v";

    if (!job.simulated) {
        return result;
    }
    run_script(yosys, job, "netlist_simulation", simulation_script(job, family),
               "put simulation models into the netlist", result.cpu_seconds);
    result.simulation_verilog = job.folder / "netlist_simulation.v";
    result.unmodelled = cells_left(read_text(job.folder / "netlist_simulation.stat.json"), job.top);
    return result;
}

nlohmann::ordered_json to_json(const CellCounts& counts) {
    return {{"lut", counts.lut},     {"lut1", counts.lut1},           {"ff", counts.ff},
            {"carry", counts.carry}, {"lutram", counts.lutram},       {"dsp", counts.dsp},
            {"bram", counts.bram},   {"lut_sites", counts.lut_sites}, {"other", counts.other},
            {"cells", counts.cells}};
}

nlohmann::ordered_json to_json(const SynthesisResult& result) {
    nlohmann::ordered_json modules = nlohmann::ordered_json::array();
    for (const ModuleCells& row : result.modules) {
        modules.push_back(
            {{"module", row.module}, {"instances", row.instances}, {"cells", to_json(row.cells)}});
    }
    return {
        {"tool", result.tool},   {"version", result.version},      {"family", result.family},
        {"stage", result.stage}, {"total", to_json(result.total)}, {"modules", std::move(modules)}};
}

}  // namespace gatewright::flow
