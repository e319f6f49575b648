#include <fmt/format.h>

#include "cli/arrays.h"
#include "cli/commands.h"
#include "project/commands.h"

namespace gatewright::cli {

namespace {

struct Options {
    project::SimulateOptions simulate;
    std::string folder;
    std::string input;
    std::string output;
    std::string simulator;
};

void run(Options& o) {
    check_output_name(o.output);
    o.simulate.folder = o.folder;
    if (!o.simulator.empty()) {
        o.simulate.simulator = flow::simulator_named(o.simulator);
    }
    const auto result = naming(o.input, [&] {
        return project::simulate_samples(o.simulate, read_arrays(o.input), o.input);
    });
    write_arrays(o.output, result.outputs);
    fmt::print("{} {}: {} samples, {} values differ from the emulator, latency {} cycles\n",
               result.outcome.tool, result.outcome.version, result.samples, result.mismatches,
               result.outcome.latency);
    exit_status = result.mismatches == 0 ? success : failed;
}

}  // namespace

void add_simulate(CLI::App& program) {
    auto* command =
        program.add_subcommand("simulate", "Run a design's Verilog in a simulator and compare");
    auto o = std::make_shared<Options>();
    command->add_option("DIR", o->folder, "the design folder")->required();
    command->add_option("-i,--input", o->input, "X.npy or X.npz, as for predict")->required();
    command->add_option("-o,--output", o->output, "Y.npy or Y.npz")->required();
    command->add_option("--simulator", o->simulator,
                        "verilator (runs fastest; the default) or icarus (soon built; the default "
                        "for netlists)");
    command->add_flag("--netlist", o->simulate.netlist,
                      "the synthesised netlist instead of the Verilog");
    command->add_option("--seed", o->simulate.seed, "random gaps between frames; 0: none")
        ->check(is_seed);
    command->add_option("--timeout", o->simulate.timeout_seconds, "seconds for each tool; 0: none")
        ->check(is_duration);
    command->callback([o] { run(*o); });
}

}  // namespace gatewright::cli
