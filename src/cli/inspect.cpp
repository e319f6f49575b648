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
    command->add_flag("--json", *as_json, "print as JSON");
    command->callback([model, as_json] {
        const auto inspection = project::inspect(model->source);
        if (*as_json) {
            fmt::print("{}\n", inspection.dump(1));
        } else {
            fmt::print("{}", project::inspect_text(inspection));
        }
    });
}

}  // namespace gatewright::cli
