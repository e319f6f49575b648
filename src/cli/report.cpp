#include <fmt/format.h>

#include "cli/commands.h"
#include "project/commands.h"

namespace gatewright::cli {

void add_report(CLI::App& program) {
    auto* command = program.add_subcommand("report", "Show what is known of a design");
    auto folder = std::make_shared<std::string>();
    auto html = std::make_shared<std::string>();
    auto as_json = std::make_shared<bool>(false);
    command->add_option("DIR", *folder, "the design folder")->required();
    command->add_option("--html", *html, "write a page with pictures to this file");
    command->add_flag("--json", *as_json, "print everything as JSON");
    command->callback([folder, html, as_json] {
        const auto report = project::report(*folder);
        if (!html->empty()) {
            project::write_text(*html, project::report_html(report));
        }
        if (*as_json) {
            fmt::print("{}\n", report.dump(1));
        } else {
            fmt::print("{}", project::report_text(report));
        }
    });
}

}  // namespace gatewright::cli
