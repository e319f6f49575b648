#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "project/commands.h"

namespace gatewright::cli {

void add_inspect(CLI::App& program) {
    auto* command = program.add_subcommand("inspect", "Show the layers of a model file");
    auto model = std::make_shared<ModelOptions>();
    auto as_json = std::make_shared<bool>(false);
    add_model(*command, model);
    auto as_text = std::make_shared<bool>(false);
    auto* json = command->add_flag("--json", *as_json, "print as JSON");
    command
        ->add_flag("--text", *as_text,
                   "print the network itself, with all constants: what two files that print the\n"
                   "same compute is the same")
        ->excludes(json);
    command->callback([model, as_json, as_text] {
        if (*as_text) {
            fmt::print("{}", project::layers_text(model->source));
            return;
        }
        const auto inspection = project::inspect(model->source);
        if (*as_json) {
            fmt::print("{}\n", inspection.dump(1));
        } else {
            fmt::print("{}", project::inspect_text(inspection));
        }
    });
}

}  // namespace gatewright::cli
