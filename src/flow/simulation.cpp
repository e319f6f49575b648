#include "flow/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <sstream>

#include "base/diagnostics.h"

namespace gatewright::flow {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> absolute_names(const std::vector<fs::path>& files) {
    std::vector<std::string> names;
    for (const fs::path& file : files) {
        if (std::error_code error; !fs::exists(file, error)) {
            throw Failure(Code::file_missing, in_file(file), "the Verilog file does not exist");
        }
        names.push_back(fs::absolute(file).string());
    }
    return names;
}

/// FNV-1a of 64 bits.
std::uint64_t hash(const std::string& text) {
    std::uint64_t h = 14695981039346656037ULL;
    for (const char c : text) {
        h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    }
    return h;
}

/// What a build depends on, as text.
std::string build_key(const Tool& tool, const SimulationJob& job) {
    std::string key =
        fmt::format("{} {}\ntop {}\noptimise {}\n", tool.name, tool.version, job.top, job.optimise);
    for (const fs::path& file : job.files) {
        const std::string text = read_text(file);
        key += fmt::format("{} {} {:016x}\n", file.filename().string(), text.size(), hash(text));
    }
    return key;
}

bool is_built(const fs::path& key_file, const std::string& key, const fs::path& program) {
    std::ifstream in(key_file, std::ios::binary);
    std::ostringstream stored;
    stored << in.rdbuf();
    std::error_code error;
    return in && stored.str() == key && fs::exists(program, error);
}

Command verilator_build(const Tool& tool, const SimulationJob& job,
                        const std::vector<std::string>& names) {
    Command command =
        tool.with({"--binary", "--timing", "-j", "1", "--top-module", job.top, "--Mdir", "build",
                   "-o", "simulation", "-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-MODDUP",
                   "-MAKEFLAGS", fmt::format("OPT_FAST=-O{0} OPT_SLOW=-O0", job.optimise)});
    command.arguments.insert(command.arguments.end(), names.begin(), names.end());
    if (!find_program("ccache").empty()) {
        // Verilator's run-time library is compiled anew for every model otherwise.
        command.environment.emplace_back("OBJCACHE", "ccache");
    }
    return command;
}

Command icarus_build(const Tool& tool, const SimulationJob& job,
                     const std::vector<std::string>& names) {
    Command command = tool.with({"-g2012", "-s", job.top, "-o", "build/simulation"});
    command.arguments.insert(command.arguments.end(), names.begin(), names.end());
    return command;
}

}  // namespace

Simulator simulator_named(std::string_view name) {
    if (name == "verilator") {
        return Simulator::verilator;
    }
    if (name == "icarus") {
        return Simulator::icarus;
    }
    throw Failure(Code::tool_missing, Location{}, fmt::format("'{}' is no known simulator", name),
                  "Use verilator or icarus");
}

Simulator default_simulator(bool netlist) {
    const auto installed = [](ToolId id) { return !tool_status(id).version.empty(); };
    if (netlist) {
        return installed(ToolId::icarus) || !installed(ToolId::verilator) ? Simulator::icarus
                                                                          : Simulator::verilator;
    }
    return installed(ToolId::verilator) || !installed(ToolId::icarus) ? Simulator::verilator
                                                                      : Simulator::icarus;
}

Simulation build_simulation(const SimulationJob& job) {
    const bool verilator = job.simulator == Simulator::verilator;
    const Tool tool = find_tool(verilator ? ToolId::verilator : ToolId::icarus);
    const std::vector<std::string> names = absolute_names(job.files);
    const std::string program =
        fs::absolute(job.folder / "build" / "simulation").lexically_normal().string();

    Simulation simulation{.tool = tool.name, .version = tool.version, .command = {}};
    // -N: $stop ends the run, with an exit code that tells, instead of asking at a prompt.
    simulation.command =
        verilator ? Command{program, {}, {}} : Command{tool.data.string(), {"-N", program}, {}};

    const fs::path key_file = job.folder / "build" / "key";
    const std::string key = build_key(tool, job);
    if (is_built(key_file, key, program)) {
        return simulation;
    }
    std::error_code error;
    fs::remove_all(job.folder / "build", error);
    write_text(key_file, "");  // makes the folder; holds the key once the build is whole
    const fs::path log = job.folder / "build.log";
    const ProcessResult result =
        run(verilator ? verilator_build(tool, job, names) : icarus_build(tool, job, names),
            {.directory = job.folder, .log = log, .timeout_seconds = job.timeout_seconds});
    require_success(tool, result, fmt::format("build a simulation of '{}'", job.top), log);
    write_text(key_file, key);
    simulation.build_cpu_seconds = result.cpu_seconds;
    return simulation;
}

ProcessResult run_simulation(const Simulation& simulation,
                             const std::vector<std::pair<std::string, std::string>>& plusargs,
                             const fs::path& folder, const fs::path& log, double timeout_seconds) {
    Command command = simulation.command;
    for (const auto& [name, value] : plusargs) {
        command.arguments.push_back(fmt::format("+{}={}", name, value));
    }
    const ProcessResult result =
        run(command, {.directory = folder, .log = log, .timeout_seconds = timeout_seconds});
    Tool tool;
    tool.name = simulation.tool;
    tool.version = simulation.version;
    require_success(tool, result, "run the simulation", log);
    return result;
}

std::vector<std::string> lint(const std::vector<fs::path>& files, const std::string& top,
                              const fs::path& log, double timeout_seconds) {
    const Tool tool = find_tool(ToolId::verilator);
    const std::vector<std::string> names = absolute_names(files);
    Command command = tool.with({"--lint-only", "-Wall", "--top-module", top});
    command.arguments.insert(command.arguments.end(), names.begin(), names.end());
    const ProcessResult result =
        run(command, {.directory = {}, .log = log, .timeout_seconds = timeout_seconds});
    if (result.timed_out) {
        require_success(tool, result, "lint", log);
    }
    std::vector<std::string> messages;
    std::istringstream lines(read_text(log));
    for (std::string line; std::getline(lines, line);) {
        const bool is_message = line.starts_with("%Warning") || line.starts_with("%Error");
        const bool is_summary = line.starts_with("%Error: Exiting due to");
        if (is_message && !is_summary) {
            messages.push_back(line);
        }
    }
    if (!result.ok() && messages.empty()) {
        require_success(tool, result, "lint", log);
    }
    return messages;
}

}  // namespace gatewright::flow
