#include "cli/commands.h"
#include "cli/model_options.h"
#include "project/commands.h"
#include "project/configuration.h"

namespace gatewright::cli {

void add_config(CLI::App& program) {
    auto* command =
        program.add_subcommand("config", "Write a configuration that names every layer of a model");
    auto model = std::make_shared<ModelOptions>();
    auto output = std::make_shared<std::string>();
    add_model(*command, model);
    command->add_option("-o,--output", *output, "the YAML file to write")->required();
    command->callback([model, output] {
        const std::string text =
            project::configuration_template(project::load_model(model->source));
        project::write_text(*output, text);
    });
}

}  // namespace gatewright::cli
