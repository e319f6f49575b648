#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "backends/backend.h"
#include "backends/verilog/verilog.h"
#include "operators/core_model.h"
#include "schedule/parallel.h"

/// The folder that `convert` writes and all later commands read:
///
///     design.json    all that the other commands need
///     verilog/       the modules, the top first                    } backend verilog
///     testbench/     a self-checking testbench, its vectors and expected results
///     hls/DIALECT/   C++ with a Makefile and the vendor's script   } backends cpp, vitis, ...
///     hls/           inputs.txt and expected.txt, which they are checked with
///     reports/       what tools and verification found
///     certificate.json, report.html
namespace gatewright::project {

/// How a design is derived from a core model. With the same settings the same files come out.
struct Settings {
    std::string target = "generic";
    /// What is asked of the pipeline; the rest is found. Stages and latency exclude each other.
    std::optional<double> clock_period_ns;
    std::optional<int> stages;   ///< of logic between registers
    std::optional<int> latency;  ///< cycles, registers of inputs and outputs among them
    bool register_inputs = true;
    bool register_outputs = true;
    bool clock_enable = false;
    /// Of adder graphs: levels over the shallowest tree, negative: any. None: as many as the clock
    /// or the stages leave time for, where that saves something (project/spare_time.h).
    std::optional<int> extra_depth;
    /// What was found then: the steps of schedule::ContractionGraphs; empty: not looked for.
    std::vector<int> deeper;
    std::string effort = "normal";  ///< of the search for them, a name (linear::named_searches)
    /// What is written; in the order of the catalogue, each once.
    std::vector<std::string> backends = {"verilog"};

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

/// The backends of these names, in the order of the catalogue, each once. Throws Failure
/// (unknown_option) for a name that there is not, or if none is given.
std::vector<std::string> chosen_backends(const std::vector<std::string>& names);

/// All files of the chosen backends. Throws Failure (not_in_circuit) with all that they cannot
/// print.
backends::EmittedFiles emit(const Translation& translation);

/// Whether the design was written by some backend under hls/.
bool has_hls(const Settings& settings);
/// Whether it was written as Verilog.
bool has_verilog(const Settings& settings);

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

/// Throws Failure (not_a_design) if the design was written without Verilog.
void require_verilog(const std::filesystem::path& folder, const StoredDesign& design);

/// Writes into a new temporary folder beside `folder` and moves it there at the end, so that a
/// failure leaves nothing behind. An existing folder is refused unless `force` is set and it is a
/// design folder (or empty). Throws Failure: folder_exists, file_unwritable.
void write_folder(const std::filesystem::path& folder, bool force,
                  const std::function<void(const std::filesystem::path&)>& write);

/// Writes text, creating the folders above it; throws Failure(file_unwritable).
void write_text(const std::filesystem::path& file, const std::string& text);
std::string read_text(const std::filesystem::path& file);

}  // namespace gatewright::project
