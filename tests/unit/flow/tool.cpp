#include "flow/tool.h"

#include <cstdlib>
#include <thread>

#include "base/diagnostics.h"
#include "example.h"

namespace gatewright::flow {

using test::Folder;

namespace {

/// Runs a function where PATH is `path` and no Python is found. Tools are found once in each
/// thread, so that a search under other variables needs a thread of its own.
template <typename Function>
void with_path(const std::string& path, Function&& function) {
    const char* python = std::getenv("GATEWRIGHT_PYTHON");
    const std::string old_python = python == nullptr ? "" : python;
    const std::string old_path = std::getenv("PATH");
    setenv("PATH", path.c_str(), 1);
    setenv("GATEWRIGHT_PYTHON", "/nowhere", 1);
    std::thread(function).join();
    setenv("PATH", old_path.c_str(), 1);
    if (python != nullptr) {
        setenv("GATEWRIGHT_PYTHON", old_python.c_str(), 1);
    } else {
        unsetenv("GATEWRIGHT_PYTHON");
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
    with_path("/nowhere", [] {
        for (const ToolId id : {ToolId::verilator, ToolId::icarus, ToolId::yosys,
                                ToolId::nextpnr_ecp5, ToolId::nextpnr_ice40}) {
            CHECK(code_of(id) == Code::tool_missing);
        }
        const ToolStatus status = tool_status(ToolId::icarus);
        CHECK(status.version.empty());
        CHECK(status.problem.find("apt-get install iverilog") != std::string::npos);
    });
}

TEST_CASE("old tools on PATH are refused, new ones are taken with their version") {
    const Folder folder;
    write_program(folder / "iverilog", "echo 'Icarus Verilog version 12.0 (stable) ()'\n");
    write_program(folder / "vvp", "true\n");
    write_program(folder / "nextpnr-ecp5",
                  "echo 'nextpnr-ecp5 -- Next Generation Place and Route (Version nextpnr-0.9)'\n");
    write_program(folder / "yosys", "echo 'Yosys 0.23 (git sha1 7ce5011c2)'\n");
    write_program(folder / "verilator", "echo 'Verilator 4.038 2020-07-11 rev v4.036'\n");
    with_path(folder.path().string(), [] {
        CHECK(code_of(ToolId::yosys) == Code::tool_too_old);
        CHECK(code_of(ToolId::verilator) == Code::tool_too_old);
        const Tool icarus = find_tool(ToolId::icarus);
        CHECK(icarus.name == "iverilog");
        CHECK(icarus.version == "12.0");
        CHECK(icarus.data.filename() == "vvp");
        CHECK(find_tool(ToolId::nextpnr_ecp5).version == "0.9");
    });
    write_program(folder / "yosys", "echo 'Yosys 0.40 (git sha1 a1bb0255d)'\n");
    with_path(folder.path().string(), [] { CHECK(find_tool(ToolId::yosys).version == "0.40"); });
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
