#include "flow/simulation.h"

#include "base/diagnostics.h"
#include "example.h"

namespace gatewright::flow {

using test::Folder;

namespace {

SimulationJob example_job(const Folder& folder, Simulator simulator) {
    write_text(folder / "accumulator.v", test::accumulator);
    write_text(folder / "testbench.v", test::testbench);
    write_text(folder / "vectors.hex", test::vectors);
    return {.files = {folder / "accumulator.v", folder / "testbench.v"},
            .top = "testbench",
            .folder = folder / "simulation",
            .simulator = simulator};
}

std::string simulated(const Folder& folder, const Simulation& simulation) {
    run_simulation(simulation, {{"vectors", "vectors.hex"}, {"output", "out.txt"}}, folder.path(),
                   folder / "run.log", 60);
    return read_text(folder / "out.txt");
}

void check_simulator(Simulator simulator) {
    const Folder folder;
    SimulationJob job = example_job(folder, simulator);
    const Simulation first = build_simulation(job);
    CHECK(first.build_cpu_seconds > 0);
    CHECK_FALSE(first.version.empty());
    CHECK(simulated(folder, first) == test::totals);

    const Simulation again = build_simulation(job);
    CHECK(again.build_cpu_seconds == 0);
    CHECK(simulated(folder, again) == test::totals);

    CHECK_THROWS_AS(run_simulation(first, {}, folder.path(), folder / "run.log", 60), Failure);

    std::string changed = test::accumulator;
    changed.replace(changed.find("a + b"), 5, "a ^ b");
    write_text(folder / "accumulator.v", changed);
    const Simulation other = build_simulation(job);
    CHECK(other.build_cpu_seconds > 0);
    CHECK(simulated(folder, other) != test::totals);

    write_text(folder / "accumulator.v", "module accumulator (input wire clk; endmodule\n");
    try {
        build_simulation(job);
        FAIL("no failure");
    } catch (const Failure& failure) {
        CHECK(failure.diagnostics()[0].code == Code::tool_failed);
        CHECK(std::string(failure.what()).find("rror") != std::string::npos);
    }
}

}  // namespace

TEST_CASE("verilator runs the testbench, takes an old build, and sees changed sources") {
    if (test::have(ToolId::verilator)) {
        check_simulator(Simulator::verilator);
    }
}

TEST_CASE("icarus runs the testbench, takes an old build, and sees changed sources") {
    if (test::have(ToolId::icarus)) {
        check_simulator(Simulator::icarus);
    }
}

TEST_CASE("lint is silent on clean Verilog and names what is wrong") {
    if (!test::have(ToolId::verilator)) {
        return;
    }
    const Folder folder;
    const std::string clean =
        "module counter (input wire clk, output reg [7:0] count);\n"
        "    always @(posedge clk) count <= count + 8'd1;\nendmodule\n";
    write_text(folder / "counter.v", clean);
    CHECK(lint({folder / "counter.v"}, "counter", folder / "lint.log").empty());
    std::string wrong = clean;
    wrong.replace(wrong.find("8'd1"), 4, "9'd1");
    write_text(folder / "counter.v", wrong);
    const std::vector<std::string> messages =
        lint({folder / "counter.v"}, "counter", folder / "lint.log");
    REQUIRE_FALSE(messages.empty());
    CHECK(messages[0].starts_with("%Warning-WIDTH"));
    CHECK_THROWS_AS(lint({folder / "none.v"}, "counter", folder / "lint.log"), Failure);
}

TEST_CASE("simulators are named as on the command line") {
    CHECK(simulator_named("verilator") == Simulator::verilator);
    CHECK(simulator_named("icarus") == Simulator::icarus);
    CHECK_THROWS_AS(simulator_named("modelsim"), Failure);
}

}  // namespace gatewright::flow
