#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "backends/verilog/verilog.h"
#include "operators/core_model.h"
#include "schedule/parallel.h"

/// The folder that `convert` writes and all later commands read:
///
///     design.json    all that the other commands need
///     verilog/       the modules, the top first
///     testbench/     a self-checking testbench, its vectors and expected results
///     reports/       what tools and verification found
///     certificate.json, report.html
namespace gatewright::project {

/// How a design is derived from a core model. With the same settings the same files come out.
struct Settings {
    std::string target = "generic";
    std::optional<double> clock_period_ns;
    bool clock_enable = false;
    int extra_depth = 2;  ///< of adder graphs: levels over the shallowest tree; negative: any

    bool operator==(const Settings&) const = default;
};

/// A core model with its circuit.
struct Translation {
    operators::CoreModel model;
    Settings settings;
    schedule::ParallelDesign parallel;
    design::Pipeline pipeline;
    double critical_path_ns = 0;  ///< estimated
    backends::verilog::Interface interface;
};

/// Schedules and pipelines a core model.
Translation translate(operators::CoreModel model, const Settings& settings);

/// All files of a translation's circuit: verilog/ and the testbench.
backends::EmittedFiles emit(const Translation& translation);

/// design.json.
nlohmann::ordered_json to_json(const Translation& translation);

/// Reads DIR/design.json: the core model and the settings. Throws Failure: not_a_design,
/// network_text.
struct StoredDesign {
    operators::CoreModel model;
    Settings settings;
    nlohmann::ordered_json json;
};
StoredDesign read_design(const std::filesystem::path& folder);

/// Writes into a new temporary folder beside `folder` and moves it there at the end, so that a
/// failure leaves nothing behind. An existing folder is refused unless `force` is set and it is a
/// design folder (or empty). Throws Failure: folder_exists, file_unwritable.
void write_folder(const std::filesystem::path& folder, bool force,
                  const std::function<void(const std::filesystem::path&)>& write);

/// Writes text, creating the folders above it; throws Failure(file_unwritable).
void write_text(const std::filesystem::path& file, const std::string& text);
std::string read_text(const std::filesystem::path& file);

}  // namespace gatewright::project
