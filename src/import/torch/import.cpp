#include "import/torch/import.h"

#include <fmt/format.h>

#include "base/file.h"
#include "import/store/archive.h"
#include "import/torch/importer.h"
#include "import/torch/modules.h"
#include "import/torch/torch_file.h"
#include "import/torch/weights.h"

namespace gatewright::torch {

namespace {

constexpr const char* how_to_export =
    "Give the program that torch.export.save writes (.pt2), and these weights with --weights.";

/// Whether an archive is one of torch.export, whatever its name.
bool holds_program(std::span<const std::byte> bytes, const std::string& file) {
    if (!is_archive(bytes)) {
        return false;
    }
    const store::Archive archive({bytes.begin(), bytes.end()}, file);
    for (const std::string& name : archive.names()) {
        if (name.ends_with("serialized_exported_program.json") ||
            (name.find("models/") != std::string::npos && name.ends_with(".json"))) {
            return true;
        }
    }
    return false;
}

Program read_any(const std::string& file, const layers::ImportOptions& options) {
    std::vector<std::byte> bytes = read_file_bytes(file);
    if (file.ends_with(".pt2") || holds_program(bytes, file)) {
        if (!options.input_shape.empty()) {
            throw Failure(Code::unknown_option, {file, "", "input", ""},
                          "the program holds the shapes of its inputs", "Leave out --input-shape.");
        }
        return read_program(std::move(bytes), file);
    }
    const TorchFile saved(std::move(bytes), file, options);
    if (holds_module(saved)) {
        return program_of_module(saved, options);
    }
    throw Failure(Code::unsupported_form, {file, "", "", ""},
                  "it holds weights without the layers that use them (a state dictionary)",
                  how_to_export);
}

}  // namespace

network::ImportedModel import_torch(const std::string& file, const std::string& weights,
                                    const layers::ImportOptions& options) {
    if (file.ends_with(".safetensors")) {
        throw Failure(Code::unsupported_form, {file, "", "", ""},
                      "it holds weights without the layers that use them", how_to_export);
    }
    Program program = read_any(file, options);
    if (!weights.empty()) {
        replace_weights(program, weights);
    }
    return import_program(program, options);
}

}  // namespace gatewright::torch
