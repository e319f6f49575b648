#include <fmt/format.h>

#include <nlohmann/json.hpp>

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
    std::string reference;
    bool as_json = false;
};

void run(Options& o) {
    o.predict.source = o.model->source;
    o.predict.final_activation = project::final_activation_named(o.model->final_activation);
    const auto prediction =
        naming(o.input, [&] { return project::predict(o.predict, open_arrays(o.input), o.input); });
    const auto rows = project::compare(prediction.outputs, read_arrays(o.reference), o.reference);
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const project::ComparedOutput& c : rows) {
        json.push_back({{"output", c.name},
                        {"values", c.values},
                        {"differing", c.differing},
                        {"largest_difference", c.largest_difference},
                        {"mean_difference", c.mean_difference},
                        {"rows", c.rows},
                        {"same_argmax", c.same_argmax}});
        if (!o.as_json) {
            fmt::print("{}: {} of {} values differ, at most {:.3g}, {:.3g} on average", c.name,
                       c.differing, c.values, c.largest_difference, c.mean_difference);
            if (c.rows > 0) {
                fmt::print("; same argmax in {} of {} rows", c.same_argmax, c.rows);
            }
            fmt::print("\n");
        }
    }
    if (o.as_json) {
        fmt::print("{}\n", json.dump(1));
    }
}

}  // namespace

void add_compare(CLI::App& program) {
    auto* command = program.add_subcommand("compare", "Compare predictions with reference outputs");
    auto o = std::make_shared<Options>();
    add_model(*command, o->model, "MODEL_OR_DIR");
    add_final_activation(*command, o->model);
    command->add_option("-i,--input", o->input, "X.npy or X.npz, as for predict")->required();
    command->add_option("--reference", o->reference, "Y.npy or Y.npz")->required();
    command->add_flag("--float", o->predict.as_trained, "predict as trained, on real numbers");
    command->add_flag("--json", o->as_json, "print as JSON");
    command->callback([o] { run(*o); });
}

}  // namespace gatewright::cli
