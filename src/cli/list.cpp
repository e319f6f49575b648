#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "backends/backend.h"
#include "base/diagnostics.h"
#include "cli/commands.h"
#include "import/onnx/importer.h"
#include "operators/catalogue.h"
#include "passes/delay_model.h"
#include "passes/pass.h"

namespace gatewright::cli {

namespace {

struct Row {
    std::string name;
    std::string text;
};

std::vector<Row> rows_of(const std::string& what) {
    std::vector<Row> rows;
    if (what == "operators") {
        for (const network::Operator* op : operators::catalogue()) {
            rows.push_back({std::string(op->name), std::string(op->formula)});
        }
        for (const std::string& name : onnx::rule_names()) {
            rows.push_back({"onnx." + name, "read from ONNX and QONNX files"});
        }
    } else if (what == "backends") {
        for (const backends::Backend& backend : backends::catalogue()) {
            rows.push_back({std::string(backend.name), std::string(backend.help)});
        }
    } else if (what == "targets") {
        for (const passes::DelayModel& model : passes::delay_models()) {
            rows.push_back({std::string(model.name), std::string(model.help)});
        }
    } else if (what == "passes") {
        for (const passes::Stage& stage : passes::stages()) {
            rows.push_back({std::string(stage.name), std::string(stage.help)});
        }
    } else {
        for (const DiagnosticInfo& row : diagnostic_catalogue()) {
            rows.push_back({std::string(row.code), std::string(row.name)});
        }
    }
    return rows;
}

}  // namespace

void add_list(CLI::App& program) {
    auto* command = program.add_subcommand("list", "List what this program knows");
    auto what = std::make_shared<std::string>();
    auto as_json = std::make_shared<bool>(false);
    command->add_option("WHAT", *what, "operators, backends, targets, passes or diagnostics")
        ->required()
        ->check(CLI::IsMember({"operators", "backends", "targets", "passes", "diagnostics"}));
    command->add_flag("--json", *as_json, "print as JSON");
    command->callback([what, as_json] {
        const std::vector<Row> rows = rows_of(*what);
        if (!*as_json) {
            for (const Row& row : rows) {
                fmt::print("{:<28} {}\n", row.name, row.text);
            }
            return;
        }
        nlohmann::ordered_json json = nlohmann::ordered_json::array();
        if (*what == "diagnostics") {
            for (const DiagnosticInfo& row : diagnostic_catalogue()) {
                json.push_back({{"code", row.code},
                                {"name", row.name},
                                {"explanation", row.explanation},
                                {"example", row.example}});
            }
        } else {
            for (const Row& row : rows) {
                json.push_back({{"name", row.name}, {"text", row.text}});
            }
        }
        fmt::print("{}\n", json.dump(1));
    });
}

}  // namespace gatewright::cli
