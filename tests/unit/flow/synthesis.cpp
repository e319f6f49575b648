#include "flow/synthesis.h"

#include <nlohmann/json.hpp>

#include "base/diagnostics.h"
#include "example.h"
#include "flow/place_and_route.h"
#include "flow/simulation.h"

namespace gatewright::flow {

using test::Folder;

namespace {

SynthesisJob example_job(const Folder& folder, const std::string& family) {
    write_text(folder / "a folder/accumulator.v", test::accumulator);
    return {.files = {folder / "a folder/accumulator.v"},
            .top = "accumulator",
            .family = family,
            .folder = folder / family};
}

constexpr const char* nested_stat = R"({"modules": {
    "\\top": {"num_cells_by_type": {"LUT4": 3, "pair": 2, "TRELLIS_FF": 5, "$scopeinfo": 9}},
    "\\pair": {"num_cells_by_type": {"leaf": 2, "CCU2C": 1}},
    "\\leaf": {"num_cells_by_type": {"LUT4": 1, "MULT18X18D": 1, "MYSTERY": 1}}}})";

/// Simulates the netlist with the testbench of the sources.
void check_totals(const Folder& folder, const SynthesisResult& result, Simulator simulator) {
    const Simulation simulation =
        build_simulation({.files = {result.simulation_verilog, folder / "testbench.v"},
                          .top = "testbench",
                          .folder = folder / "simulation",
                          .simulator = simulator});
    run_simulation(simulation, {{"vectors", "vectors.hex"}, {"output", "out.txt"}}, folder.path(),
                   folder / "run.log", 60);
    CHECK(read_text(folder / "out.txt") == test::totals);
}

}  // namespace

TEST_CASE("cells are counted through the hierarchy, unknown ones apart") {
    SynthesisResult result;
    count_cells(nested_stat, "top", find_family("ecp5"), result);
    CHECK(result.total.lut == 3 + 4);
    CHECK(result.total.ff == 5);
    CHECK(result.total.carry == 2);
    CHECK(result.total.dsp == 4);
    CHECK(result.total.lut_sites == 7 + 2 * 2);
    CHECK(result.total.other == std::map<std::string, std::int64_t>{{"MYSTERY", 4}});
    CHECK(result.total.cells.count("$scopeinfo") == 0);
    REQUIRE(result.modules.size() == 3);
    CHECK(result.modules[0].module == "leaf");
    CHECK(result.modules[0].instances == 4);
    CHECK(result.modules[0].cells.lut == 1);
    CHECK(result.modules[2].instances == 1);
}

TEST_CASE("inverters and LUTs are told apart, whatever they are called") {
    CellCounts counts;
    for (const char* cell : {"LUT1", "INV", "LUT2", "LUT6", "FDRE", "CARRY4", "DSP48E2", "RAMB18E2",
                             "SRL16E", "MUXF7"}) {
        counts.add(find_family("xcup"), cell, 1);
    }
    CHECK(counts.lut == 2);
    CHECK(counts.lut1 == 2);
    CHECK(counts.ff == 1);
    CHECK(counts.carry == 1);
    CHECK(counts.dsp == 1);
    CHECK(counts.bram == 1);
    CHECK(counts.lutram == 1);
    CHECK(counts.lut_sites == 5);
    CHECK(counts.other.empty());
}

TEST_CASE("statistics that are cut or of another form are refused") {
    SynthesisResult result;
    const Family& family = find_family("ecp5");
    for (const char* text : {"", "{\"modules\": {\"top\"", "[]", "{\"modules\": {\"top\": 1}}",
                             "{\"modules\": {\"top\": {\"num_cells_by_type\": {\"LUT4\": \"x\"}}}}",
                             "{\"modules\": {}}"}) {
        CHECK_THROWS_AS(count_cells(text, "top", family, result), Failure);
    }
    CHECK_THROWS_AS(find_family("xc3"), Failure);
}

TEST_CASE("every family synthesises, counts all cells, and its netlist computes the same") {
    if (!test::have(ToolId::yosys) || !test::have(ToolId::icarus)) {
        return;
    }
    for (const Family& family : families()) {
        CAPTURE(family.name);
        const Folder folder;
        const SynthesisResult result = synthesize(example_job(folder, std::string(family.name)));
        CHECK(result.total.ff == 8);
        CHECK(result.total.lut_sites + result.total.carry >= 8);
        CHECK(result.total.other.empty());
        CHECK(result.unmodelled.empty() == !family.cell_models.empty());
        if (!result.unmodelled.empty()) {
            continue;
        }
        write_text(folder / "testbench.v", test::testbench);
        write_text(folder / "vectors.hex", test::vectors);
        check_totals(folder, result, Simulator::icarus);
        if (family.name == "ecp5" && test::have(ToolId::verilator)) {
            check_totals(folder, result, Simulator::verilator);
        }
    }
}

TEST_CASE("the same sources in another folder give the same bytes, none with a path") {
    if (!test::have(ToolId::yosys)) {
        return;
    }
    const Folder one;
    const Folder two;
    const SynthesisResult first = synthesize(example_job(one, "ecp5"));
    const SynthesisResult second = synthesize(example_job(two, "ecp5"));
    CHECK(to_json(first).dump() == to_json(second).dump());
    CHECK(read_text(first.netlist_json) == read_text(second.netlist_json));
    CHECK(read_text(first.netlist_verilog) == read_text(second.netlist_verilog));
    CHECK(read_text(first.simulation_verilog) == read_text(second.simulation_verilog));
    CHECK(read_text(first.netlist_json).find("cells_sim") == std::string::npos);
    CHECK(read_text(first.netlist_json).find(one.path().string()) == std::string::npos);
}

TEST_CASE("the hierarchy is kept when it is asked for") {
    if (!test::have(ToolId::yosys)) {
        return;
    }
    for (const char* family : {"ecp5", "xc7"}) {
        const Folder folder;
        SynthesisJob job = example_job(folder, family);
        CHECK(synthesize(job).modules.size() == 1);
        job.flatten = false;
        const SynthesisResult result = synthesize(job);
        REQUIRE(result.modules.size() == 2);
        CHECK(result.modules[0].module == "accumulator");
        CHECK(result.modules[0].cells.ff == 8);
        CHECK(result.modules[1].module == "adder");
        CHECK(result.modules[1].instances == 1);
        CHECK(result.modules[1].cells.carry > 0);
        CHECK(result.total.carry == result.modules[1].cells.carry);
    }
}

TEST_CASE("multiplier cells are used or not, as asked, and named where they have no model") {
    if (!test::have(ToolId::yosys)) {
        return;
    }
    const Folder folder;
    write_text(folder / "multiply.v",
               "module multiply (input wire [11:0] a, input wire [11:0] b, output wire [23:0] p);\n"
               "    assign p = a * b;\nendmodule\n");
    SynthesisJob job{.files = {folder / "multiply.v"}, .top = "multiply", .folder = folder / "out"};
    const SynthesisResult with = synthesize(job);
    CHECK(with.total.dsp == 1);
    CHECK(with.total.lut == 0);
    CHECK(with.unmodelled == std::vector<std::string>{"MULT18X18D"});
    job.dsp = false;
    const SynthesisResult without = synthesize(job);
    CHECK(without.total.dsp == 0);
    CHECK(without.total.lut_sites > 100);
    CHECK(without.unmodelled.empty());
}

TEST_CASE("a module that is not there is an error with yosys' own words") {
    if (!test::have(ToolId::yosys)) {
        return;
    }
    const Folder folder;
    SynthesisJob job = example_job(folder, "ecp5");
    job.top = "elsewhere";
    try {
        synthesize(job);
        FAIL("no failure");
    } catch (const Failure& failure) {
        CHECK(failure.diagnostics()[0].code == Code::tool_failed);
        CHECK(std::string(failure.what()).find("elsewhere' not found") != std::string::npos);
    }
    job.top = "accumulator";
    job.timeout_seconds = 0.001;
    CHECK_THROWS_AS(synthesize(job), Failure);
}

TEST_CASE("place and route gives frequency, path and utilisation") {
    if (!test::have(ToolId::yosys) || !test::have(ToolId::nextpnr_ecp5)) {
        return;
    }
    const Folder folder;
    PlaceAndRouteJob job{.synthesis = synthesize(example_job(folder, "ecp5")),
                         .folder = folder / "out",
                         .device = {},
                         .clock_period_ns = 1};
    const PlaceAndRouteResult result = place_and_route(job);
    CHECK(result.device == "25k");
    REQUIRE(result.fmax_mhz.has_value());
    CHECK(*result.fmax_mhz > 50);
    CHECK(*result.fmax_mhz < 1000);
    CHECK(result.asked_mhz == 1000);
    CHECK(result.utilisation.at("TRELLIS_FF").used == 8);
    CHECK(result.utilisation.at("TRELLIS_FF").available == 24288);
    REQUIRE(result.critical_path.size() > 2);
    CHECK(result.critical_path.front().kind == "clk-to-q");
    CHECK(result.critical_path.back().kind == "setup");
    CHECK(to_json(result).dump() == to_json(place_and_route(job)).dump());

    job.synthesis.family = "xc7";
    CHECK_THROWS_AS(place_and_route(job), Failure);
}

TEST_CASE("the smallest device that holds the design is taken") {
    CellCounts counts;
    counts.lut_sites = 100;
    CHECK(choose_device("ecp5", counts) == "25k");
    counts.dsp = 29;
    CHECK(choose_device("ecp5", counts) == "45k");
    counts.lut_sites = 43'000;
    CHECK(choose_device("ecp5", counts) == "85k");
    counts.lut_sites = 80'000;
    CHECK_THROWS_AS(choose_device("ecp5", counts), Failure);
}

TEST_CASE("a report of another form is refused, one without a clock is not") {
    PlaceAndRouteResult result;
    CHECK_THROWS_AS(read_report("{\"fmax\": 3}", result), Failure);
    CHECK_THROWS_AS(read_report("{\"fmax\": {\"clk\"", result), Failure);
    read_report(R"({"fmax": {}, "critical_paths": [], "utilization": {}})", result);
    CHECK_FALSE(result.fmax_mhz.has_value());
    CHECK(to_json(result)["fmax_mhz"].is_null());
}

}  // namespace gatewright::flow
