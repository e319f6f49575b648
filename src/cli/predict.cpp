#include <fmt/format.h>

#include "cli/arrays.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "project/commands.h"

namespace gatewright::cli {

namespace {

struct Options {
    std::shared_ptr<ModelOptions> model = std::make_shared<ModelOptions>();
    project::PredictOptions predict;
    std::string input;
    std::string output;
    std::string trace;
};

void run(Options& o) {
    check_output_name(o.output);
    if (!o.trace.empty() && (!o.trace.ends_with(".npz") || o.trace == o.output)) {
        throw Failure(Code::unknown_option, {o.trace, "", "", ""},
                      o.trace == o.output ? "the trace and the outputs have the same file"
                                          : "the trace holds many arrays, and this is no .npz",
                      "Give another name that ends in .npz.");
    }
    if (o.predict.threads < 1 || o.predict.threads > 1024) {
        throw Failure(Code::unknown_option, {},
                      fmt::format("{} is no number of threads", o.predict.threads),
                      "Give 1 to 1024.");
    }
    o.predict.source = o.model->source;
    o.predict.final_activation = project::final_activation_named(o.model->final_activation);
    o.predict.trace = !o.trace.empty();
    Progress progress("predicting");
    const project::Prediction prediction = naming(o.input, [&] {
        return project::predict(o.predict, open_arrays(o.input), o.input,
                                [&](std::int64_t done) { progress(done); });
    });
    write_arrays(o.output, prediction.outputs);
    if (!o.trace.empty()) {
        write_npz(o.trace, prediction.trace);
    }
}

}  // namespace

void add_predict(CLI::App& program) {
    auto* command = program.add_subcommand(
        "predict", "Compute a model's outputs, bit for bit as its circuit will");
    auto o = std::make_shared<Options>();
    add_model(*command, o->model, "MODEL_OR_DIR");
    add_final_activation(*command, o->model);
    command
        ->add_option("-i,--input", o->input,
                     "X.npy, or X.npz with arrays named as the model's inputs (else x, or\n"
                     "x0, x1, ...); samples along the first axis")
        ->required();
    command->add_option("-o,--output", o->output, "Y.npy (one output) or Y.npz")->required();
    command->add_option("--config", o->predict.config,
                        "F.yaml with types of what the model does not quantise");
    command->add_flag("--float", o->predict.as_trained,
                      "as trained, on real numbers, instead of the exact fixed-point numbers");
    command->add_option("--trace", o->trace, "T.npz for the values of every operation");
    command->add_option("--threads", o->predict.threads, "threads to use")->capture_default_str();
    command
        ->add_option("--seed", o->predict.seed,
                     "of the random words of inputs that the file does not hold, see\n"
                     "--monte-carlo")
        ->capture_default_str();
    command->callback([o] { run(*o); });
}

}  // namespace gatewright::cli
