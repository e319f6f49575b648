#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "project/load.h"

namespace gatewright::cli {

/// MODEL [--weights F] [--monte-carlo] and --final-activation, shared by several commands.
struct ModelOptions {
    project::ModelSource source;
    std::string final_activation = "keep";
};

inline void add_model(CLI::App& command, const std::shared_ptr<ModelOptions>& options,
                      const std::string& name = "MODEL") {
    command
        .add_option(name, options->source.file,
                    "the model's file (.onnx, .keras, .h5, .json with --weights, .pt2, .pt)")
        ->required();
    command.add_option("--weights", options->source.weights,
                       "a second file with the weights, for formats that have one");
    command.add_flag("--monte-carlo", options->source.options.monte_carlo,
                     "keep dropout alive: each such layer gets an input of random words\n"
                     "(docs/monte-carlo.md)");
    command
        .add_option("--input-shape", options->source.options.input_shape,
                    "the shape of one sample, such as 3,32,32, where the file leaves it open")
        ->delimiter(',')
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
}

inline void add_final_activation(CLI::App& command, const std::shared_ptr<ModelOptions>& options) {
    command
        .add_option("--final-activation", options->final_activation,
                    "what becomes of a last softmax or sigmoid that the model does not quantise:\n"
                    "keep (computed from the circuit's exact outputs), drop (outputs are the\n"
                    "values before it) or argmax (positions of the largest, in the circuit)")
        ->capture_default_str();
}

}  // namespace gatewright::cli
