#include "flow/tool.h"

#include <cstdlib>
#include <thread>

#include "base/diagnostics.h"
#include "example.h"

namespace gatewright::flow {

using test::Folder;

namespace {

/// Sets variables for the length of a test. Tools are found once in each thread, so that a search
/// under other variables needs a thread of its own.
template <typename Function>
void with_environment(const std::string& path, Function&& function) {
    const std::string old_path = std::getenv("PATH");
    const char* python = std::getenv("GATEWRIGHT_PYTHON");
    const std::string old_python = python == nullptr ? "" : python;
    setenv("PATH", path.c_str(), 1);
    std::thread(function).join();
    setenv("PATH", old_path.c_str(), 1);
    if (python != nullptr) {
        setenv("GATEWRIGHT_PYTHON", old_python.c_str(), 1);
    }
}

void write_program(const std::filesystem::path& file, const std::string& text) {
    write_text(file, "#!/bin/sh\n" + text);
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
}

Code code_of(ToolId id) {
    try {
        find_tool(id);
    } catch (const Failure& failure) {
        REQUIRE(failure.diagnostics().size() == 1);
        CHECK(failure.diagnostics()[0].remedy.find("nstall") != std::string::npos);
        return failure.diagnostics()[0].code;
    }
    return Code::file_missing;
}

}  // namespace

TEST_CASE("a missing tool is named with its install line") {
    with_environment("/nowhere", [] {
        CHECK(code_of(ToolId::icarus) == Code::tool_missing);
        const ToolStatus status = tool_status(ToolId::icarus);
        CHECK(status.version.empty());
        CHECK(status.problem.find("apt-get install iverilog") != std::string::npos);
    });
}

TEST_CASE("an old simulator on PATH is refused, a new one is taken with its version") {
    const Folder folder;
    write_program(folder / "iverilog", "echo 'Icarus Verilog version 12.0 (stable) ()'\n");
    write_program(folder / "vvp", "true\n");
    write_program(folder / "nextpnr-ecp5",
                  "echo 'nextpnr-ecp5 -- Next Generation Place and Route (Version nextpnr-0.9)'\n");
    with_environment(folder.path().string(), [] {
        const Tool icarus = find_tool(ToolId::icarus);
        CHECK(icarus.name == "iverilog");
        CHECK(icarus.version == "12.0");
        CHECK(icarus.data.filename() == "vvp");
        CHECK(find_tool(ToolId::nextpnr_ecp5).version == "0.9");
    });
}

TEST_CASE("a failed run shows the log's error lines, a stopped one says so") {
    Tool tool;
    tool.name = "yosys";
    tool.version = "0.70";
    ProcessResult result;
    CHECK_NOTHROW(require_success(tool, result, "synthesise", "log"));
    result.exit_code = 1;
    result.last_lines = {"1. Executing", "ERROR: Module `\\x' is not there!", "bye"};
    try {
        require_success(tool, result, "synthesise", "log");
        FAIL("no failure");
    } catch (const Failure& failure) {
        CHECK(failure.diagnostics()[0].code == Code::tool_failed);
        CHECK(std::string(failure.what())
                  .find("log: yosys 0.70 failed to synthesise (exit code 1)"
                        "\n    ERROR: Module `\\x' is not there!") != std::string::npos);
        CHECK(std::string(failure.what()).find("bye") == std::string::npos);
    }
    result.timed_out = true;
    try {
        require_success(tool, result, "synthesise", "log");
        FAIL("no failure");
    } catch (const Failure& failure) {
        CHECK(failure.diagnostics()[0].code == Code::tool_timed_out);
    }
}

TEST_CASE("every tool has a name, and a version or a reason") {
    const std::vector<ToolStatus> tools = all_tools();
    CHECK(tools.size() == 6);
    for (const ToolStatus& tool : tools) {
        CHECK_FALSE(tool.name.empty());
        CHECK(tool.version.empty() != tool.problem.empty());
    }
}

}  // namespace gatewright::flow
