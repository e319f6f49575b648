#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "emulate/reference.h"
#include "emulate/tensor_emulator.h"
#include "project/calibration.h"
#include "project/folder.h"
#include "project/load.h"
#include "project/simulate.h"

/// The work of the commands, for the command line and for Python alike. Nothing here prints.
namespace gatewright::project {

struct ConvertOptions {
    ModelSource source;
    std::filesystem::path output;
    FinalActivation final_activation = FinalActivation::keep;
    Settings settings;
    std::string config;       ///< a configuration (project/configuration.h); empty: none
    std::string calibration;  ///< arrays of sample inputs to choose types by; empty: none
    CalibrationOptions calibration_options;
    bool force = false;
};
/// Writes a design folder and returns what design.json says.
nlohmann::ordered_json convert(const ConvertOptions& options);

/// The narrowest type that holds all numbers of the array exactly. Throws Failure (width_exceeded)
/// if that needs more than 63 bits.
FixedType lossless_type(const ArraySource& array, const std::string& input);

struct PredictOptions {
    ModelSource source;  ///< a model file or a design folder
    FinalActivation final_activation = FinalActivation::keep;
    std::string config;       ///< a configuration for a model file; empty: none
    bool as_trained = false;  ///< float reference instead of the exact numbers
    bool trace = false;
    int threads = 1;
    std::uint64_t seed = 0;  ///< of random inputs that the arrays do not hold
};
struct Prediction {
    NamedArrays outputs;
    NamedArrays trace;
};
/// Inputs that a model does not quantise are taken exactly as the array holds them.
Prediction predict(const PredictOptions& options, const NamedSources& arrays,
                   const std::string& arrays_file,
                   const std::function<void(std::int64_t)>& progress = {});

struct SimulateOptions {
    std::filesystem::path folder;
    std::optional<flow::Simulator> simulator;  ///< absent: flow::default_simulator
    bool netlist = false;
    std::uint64_t seed = 0;
    double timeout_seconds = 0;
};
struct SimulatedPrediction {
    NamedArrays outputs;
    std::int64_t samples = 0;
    std::int64_t mismatches = 0;  ///< integers that differ from the emulator's
    SimulationOutcome outcome;
};
SimulatedPrediction simulate_samples(const SimulateOptions& options, const NamedArrays& arrays,
                                     const std::string& arrays_file);

struct SynthesizeOptions {
    std::filesystem::path folder;
    std::string target;  ///< empty: the design's own, or ecp5 if that is generic
    bool place_and_route = false;
    bool by_layer = true;  ///< synthesises each layer by itself as well, for the report
    double timeout_seconds = 0;
};
/// Writes reports/synthesis.json and reports/place_and_route.json; returns both in one object.
nlohmann::ordered_json synthesize(const SynthesizeOptions& options);

struct VerifyOptions {
    std::filesystem::path folder;
    std::int64_t samples = 1000;
    std::uint64_t seed = 1;
    double timeout_seconds = 0;
};
/// Writes certificate.json and returns it; its "verdict" is "equal" or "different".
nlohmann::ordered_json verify(const VerifyOptions& options,
                              const std::function<void(const std::string&)>& step = {});

/// All that is known of a design folder: design.json without the model, reports and certificate.
nlohmann::ordered_json report(const std::filesystem::path& folder);
std::string report_text(const nlohmann::ordered_json& report);
std::string report_html(const nlohmann::ordered_json& report);

/// What a model file holds, before any lowering.
nlohmann::ordered_json inspect(const ModelSource& source);
std::string inspect_text(const nlohmann::ordered_json& inspection);
/// The text form of a model's layers, with all constants: equal texts compute equal numbers.
std::string layers_text(const ModelSource& source);

struct ComparedOutput {
    std::string name;
    std::int64_t values = 0;
    std::int64_t differing = 0;  ///< not equal as float32
    double largest_difference = 0;
    double mean_difference = 0;
    std::int64_t rows = 0;
    std::int64_t same_argmax = 0;  ///< rows whose largest element is the same
};
/// Compares predictions with reference arrays (by output name, else y, or y0, y1, ...).
std::vector<ComparedOutput> compare(const NamedArrays& outputs, const NamedArrays& reference,
                                    const std::string& reference_file);

}  // namespace gatewright::project
