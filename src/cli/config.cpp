#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "project/commands.h"

namespace gatewright::cli {

void add_config(CLI::App& program) {
    auto* command =
        program.add_subcommand("config", "Write a configuration that names every layer of a model");
    auto model = std::make_shared<ModelOptions>();
    auto output = std::make_shared<std::string>();
    add_model(*command, model);
    command->add_option("-o,--output", *output, "the YAML file to write")->required();
    command->callback([model, output] {
        const auto inspection = project::inspect(model->source);
        std::string text =
            "# Types of what the model does not quantise: fixed<width,frac> is signed,\n"
            "# ufixed<width,frac> is not; value = integer * 2^-frac.\ninputs:\n";
        for (const auto& input : inspection.at("inputs")) {
            text += fmt::format("  {}: fixed<16,10>\n", input.at("name").dump());
        }
        project::write_text(*output, text);
    });
}

}  // namespace gatewright::cli
