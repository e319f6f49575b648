#include <fmt/format.h>

#include <vector>

#include "base/diagnostics.h"
#include "cli/commands.h"

namespace gatewright::cli {

void add_explain(CLI::App& program) {
    auto* command = program.add_subcommand("explain", "Explain a diagnostic by its code");
    auto code = std::make_shared<std::string>();
    command->add_option("CODE", *code, "for example GW0201")->required();
    command->callback([code] {
        std::vector<std::string> names;
        for (const DiagnosticInfo& row : diagnostic_catalogue()) {
            if (*code == row.code || *code == row.name) {
                fmt::print("{} {}\n\n{}\n\nExample (in tests/diagnostics):\n    {}\n", row.code,
                           row.name, row.explanation, row.example);
                return;
            }
            names.emplace_back(row.code);
        }
        const std::string near = nearest(*code, names);
        throw Failure(Code::unknown_option, {}, fmt::format("there is no diagnostic {}", *code),
                      near.empty() ? "`gatewright list diagnostics` shows all."
                                   : fmt::format("Do you mean {}?", near));
    });
}

}  // namespace gatewright::cli
