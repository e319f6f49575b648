#include "project/hls_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <sstream>

#include "backends/hls/hls.h"
#include "base/int128.h"
#include "flow/process.h"

namespace gatewright::project {

namespace fs = std::filesystem;

std::string decimal_text(const PortIntegers& integers, std::int64_t samples) {
    const auto count = static_cast<std::size_t>(samples);
    fmt::memory_buffer out;
    for (std::size_t s = 0; s < count; ++s) {
        for (const std::vector<std::int64_t>& port : integers) {
            for (std::size_t e = 0; e < port.size() / count; ++e) {
                fmt::format_to(std::back_inserter(out), "{} ", port[e * count + s]);
            }
        }
        out.push_back('\n');
    }
    return fmt::to_string(out);
}

namespace {

constexpr double probe_seconds = 60;

/// The folder of a dialect's headers; empty if they are not found.
std::string headers_of(const backends::hls::Headers& headers) {
    const std::string variable = fmt::format("GATEWRIGHT_{}", headers.variable);
    if (const char* named = std::getenv(variable.c_str()); named != nullptr && *named != '\0') {
        return named;
    }
    const char* named = std::getenv("GATEWRIGHT_PYTHON");
    const fs::path python =
        flow::find_program(named != nullptr && *named != '\0' ? named : "python3");
    if (python.empty()) {
        return {};
    }
    flow::ProcessResult result;
    std::string found = flow::capture(
        {python.string(),
         {"-c",
          "import importlib.util as u\ns = u.find_spec('hls4ml')\nprint(s.origin if s else '')"},
         {}},
        probe_seconds, result);
    found.erase(found.find_last_not_of(" \n") + 1);
    if (!result.ok() || found.empty()) {
        return {};
    }
    const fs::path folder =
        fs::path(found).parent_path() / "templates" / std::string(headers.package);
    std::error_code error;
    return fs::is_regular_file(folder / headers.file, error) ? folder.string() : std::string();
}

std::string version_of(const flow::Command& compiler) {
    flow::Command command = compiler;
    command.arguments = {"-dumpfullversion"};
    flow::ProcessResult result;
    std::string version = flow::capture(command, probe_seconds, result);
    version.erase(version.find_last_not_of(" \n") + 1);
    return result.ok() ? version : std::string();
}

/// Throws the Failure of a program that did not end well.
void require_success(const flow::ProcessResult& result, const std::string& doing,
                     const fs::path& log, double timeout_seconds) {
    if (result.timed_out) {
        throw Failure(Code::tool_timed_out, flow::in_file(log),
                      fmt::format("{} took more than {} s", doing, timeout_seconds),
                      "Give more with --timeout.");
    }
    if (!result.ok()) {
        std::string last;
        for (const std::string& line : result.last_lines) {
            last += "\n    " + line;
        }
        throw Failure(Code::tool_failed, flow::in_file(log),
                      fmt::format("{} ended with status {}; its last lines:{}", doing,
                                  result.exit_code, last),
                      "See the log.");
    }
}

std::int64_t differing_numbers(const std::string& a, const std::string& b) {
    std::istringstream left(a);
    std::istringstream right(b);
    std::string x;
    std::string y;
    std::int64_t count = 0;
    for (;;) {
        const bool more = static_cast<bool>(left >> x);
        const bool also = static_cast<bool>(right >> y);
        if (!more && !also) {
            return count;
        }
        count += more != also || x != y ? 1 : 0;
    }
}

}  // namespace

std::vector<HlsOutcome> check_hls(const fs::path& folder, const StoredDesign& design,
                                  const PortIntegers& inputs, const PortIntegers& expected,
                                  std::int64_t samples, double timeout_seconds) {
    std::vector<HlsOutcome> out;
    const fs::path gxx = flow::find_program("g++");
    for (const std::string& name : design.settings.backends) {
        const backends::hls::Dialect* dialect = backends::hls::find_dialect(name);
        if (dialect == nullptr) {
            continue;
        }
        HlsOutcome& outcome = out.emplace_back();
        outcome.level = backends::find(name).folder;
        if (gxx.empty()) {
            outcome.skipped = "g++ is not installed (apt-get install g++)";
            continue;
        }
        std::string headers;
        if (!dialect->headers.file.empty()) {
            headers = headers_of(dialect->headers);
            if (headers.empty()) {
                outcome.skipped = fmt::format(
                    "{} was not found (name its folder in GATEWRIGHT_{}, or pip install hls4ml)",
                    dialect->headers.file, dialect->headers.variable);
                continue;
            }
        }
        flow::Command compile{gxx.string(), {}, {}};
        outcome.tool = "g++";
        outcome.version = version_of(compile);
        const fs::path work = folder / "simulation" / fmt::format("hls_{}", name);
        write_text(work / "inputs.txt", decimal_text(inputs, samples));
        // g++ takes minutes to optimise one function of ten thousand statements, and a program that
        // runs a few thousand frames gains nothing from it.
        compile.arguments = {fmt::format("-std={}", dialect->standard), "-O0",
                             "-Wno-unknown-pragmas"};
        if (!headers.empty()) {
            compile.arguments.insert(compile.arguments.end(), {"-isystem", headers});
        }
        std::vector<std::string> sources;
        for (const auto& entry : fs::directory_iterator(folder / outcome.level)) {
            if (entry.path().extension() == ".cpp") {
                sources.push_back(fs::absolute(entry.path()).string());
            }
        }
        std::sort(sources.begin(), sources.end());
        compile.arguments.insert(compile.arguments.end(), sources.begin(), sources.end());
        compile.arguments.insert(compile.arguments.end(), {"-o", "program"});
        const fs::path compile_log = work / "compile.log";
        require_success(flow::run(compile, {work, compile_log, timeout_seconds}),
                        fmt::format("compiling {} with g++", outcome.level), compile_log,
                        timeout_seconds);
        const fs::path results = work / "outputs.txt";
        const flow::Command program{fs::absolute(work / "program").string(), {"inputs.txt"}, {}};
        require_success(flow::run(program, {work, results, timeout_seconds}),
                        fmt::format("running the program of {}", outcome.level), results,
                        timeout_seconds);
        outcome.mismatches = differing_numbers(read_text(results), decimal_text(expected, samples));
    }
    return out;
}

}  // namespace gatewright::project
