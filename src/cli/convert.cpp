#include <fmt/format.h>

#include "cli/arrays.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "project/commands.h"

namespace gatewright::cli {

namespace {

struct Options {
    std::shared_ptr<ModelOptions> model = std::make_shared<ModelOptions>();
    project::ConvertOptions convert;
    std::string output;
    double clock_period = 0;
    int stages = 0;
    int latency = 0;
    bool no_input_registers = false;
    bool no_output_registers = false;
    int bits = 0;
    double max_error = 0;
    std::string extra_depth = "auto";
    CLI::Option* clock_period_option = nullptr;
    CLI::Option* stages_option = nullptr;
    CLI::Option* latency_option = nullptr;
    CLI::Option* bits_option = nullptr;
    CLI::Option* max_error_option = nullptr;
};

void run(Options& o) {
    if (o.bits_option->count() > 0) {
        o.convert.calibration_options.bits = o.bits;
    }
    if (o.max_error_option->count() > 0) {
        o.convert.calibration_options.max_error = o.max_error;
    }
    if (o.clock_period_option->count() > 0) {
        o.convert.settings.clock_period_ns = o.clock_period;
    }
    if (o.stages_option->count() > 0) {
        o.convert.settings.stages = o.stages;
    }
    if (o.latency_option->count() > 0) {
        o.convert.settings.latency = o.latency;
    }
    if (o.extra_depth != "auto") {
        o.convert.settings.extra_depth = std::stoi(o.extra_depth);  // as is_extra_depth has it
    }
    o.convert.settings.register_inputs = !o.no_input_registers;
    o.convert.settings.register_outputs = !o.no_output_registers;
    o.convert.source = o.model->source;
    o.convert.final_activation = project::final_activation_named(o.model->final_activation);
    o.convert.output = o.output;
    const auto json = naming(o.convert.calibration, [&] { return project::convert(o.convert); });
    std::int64_t operations = 0;
    for (const auto& layer : json.at("layers")) {
        operations += layer.at("operations").get<std::int64_t>();
    }
    fmt::print("{}: {} operations, latency {} cycles, a frame every {} cycle(s)\n", o.output,
               operations, json.at("timing").at("latency_cycles").get<std::int64_t>(),
               json.at("timing").at("initiation_interval").get<std::int64_t>());
    if (json.contains("calibration")) {
        const auto& c = json.at("calibration");
        fmt::print(
            "calibrated with {} samples to {} bits: outputs within {:.3g} of the float "
            "model's, largest one the same in {}\n",
            c.at("samples").get<std::int64_t>(), c.at("bits").get<int>(),
            c.at("largest_difference").get<double>(), c.at("same_argmax").get<std::int64_t>());
    }
    for (const auto& a : json.at("approximations")) {
        fmt::print("note: layer '{}': {}, error at most {:.3g}\n", a.at("layer").get<std::string>(),
                   a.at("description").get<std::string>(), a.at("bound").get<double>());
    }
}

std::string efforts() {
    std::string text;
    for (const linear::NamedSearch& effort : linear::named_searches()) {
        text += fmt::format("\n{}: {}", effort.name, effort.help);
    }
    return text;
}

}  // namespace

void add_convert(CLI::App& program) {
    auto* command = program.add_subcommand(
        "convert", "Translate a model into a design folder: circuit, testbench, design.json");
    auto o = std::make_shared<Options>();
    add_model(*command, o->model);
    add_final_activation(*command, o->model);
    command->add_option("-o,--output", o->output, "the folder to write")->required();
    command
        ->add_option(
            "--backend", o->convert.settings.backends,
            "what to write: names from `gatewright list backends`, with commas between or\n"
            "one option each (verilog,vitis). Only what is named is written; simulate and\n"
            "synthesize need verilog")
        ->delimiter(',')
        ->default_str("verilog");
    command->add_option("--config", o->convert.config,
                        "F.yaml with types of what the model does not quantise\n"
                        "(`gatewright config` writes one to start from)");
    command->add_option("--calibrate", o->convert.calibration,
                        "sample inputs (.npy, .npz; the first 1000 are used) to choose types by,\n"
                        "for what neither model nor configuration gives a type");
    o->bits_option = command->add_option(
        "--bits", o->bits, "with --calibrate: total bits of each tensor (12 if not given)");
    o->max_error_option =
        command->add_option("--max-error", o->max_error,
                            "with --calibrate: take the fewest bits that keep every output this\n"
                            "near to the float model's on the samples");
    command
        ->add_option("--target", o->convert.settings.target,
                     "device family, for delays (`gatewright list targets`)")
        ->capture_default_str();
    o->clock_period_option = command->add_option(
        "--clock-period", o->clock_period, "nanoseconds; pipeline registers are placed to meet it");
    o->stages_option =
        command->add_option("--stages", o->stages,
                            "stages of logic between registers: as short a period as can be, or\n"
                            "with --clock-period as few registers as can be");
    o->latency_option =
        command->add_option("--latency", o->latency,
                            "the same, given as cycles from input to output, registers at inputs\n"
                            "and outputs among them");
    command->add_flag("--no-input-registers", o->no_input_registers,
                      "leave out the registers behind the inputs");
    command->add_flag("--no-output-registers", o->no_output_registers,
                      "leave out the registers before the outputs");
    command->add_flag("--clock-enable", o->convert.settings.clock_enable,
                      "give the circuit a clock_enable input");
    command
        ->add_option(
            "--extra-depth", o->extra_depth,
            "adder levels allowed over the shallowest tree; -1: any; auto: as many as the\n"
            "clock period, the stages or the latency leave time for, else 0")
        ->check(is_extra_depth)
        ->capture_default_str();
    command
        ->add_option("--effort", o->convert.settings.effort,
                     "how long to search for fewer and narrower adders: " + efforts())
        ->capture_default_str();
    command->add_flag("--force", o->convert.force, "replace an existing design folder");
    command->callback([o] { run(*o); });
}

}  // namespace gatewright::cli
