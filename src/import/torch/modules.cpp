#include "import/torch/modules.h"

#include <fmt/format.h>

#include "import/torch/module.h"

namespace gatewright::torch {

namespace {

using Kind = PickleValue::Kind;

constexpr int deepest = 64;

/// Layers of a Sequential, those within it in their place.
void add_module(const TorchFile& file, const PickleValue& object, const std::string& path,
                Program& program, Chain& chain, std::vector<Module>& layers, int depth,
                const layers::ImportOptions& options) {
    if (depth > deepest) {
        file.malformed("its layers lie within each other without end", path);
    }
    const std::string last = object.text.substr(object.text.rfind('.') + 1);
    const bool custom =
        options.rule(object.text, last, object.text.starts_with("torch.nn.")) != nullptr;
    Module module(file, object, path, custom);
    if (custom) {
        add_custom_layer(chain, file, module, object.text, program);
        return;
    }
    if (module.type() == "Sequential") {
        for (const auto& [name, child] : module.children()) {
            add_module(file, *child, path.empty() ? name : path + "." + name, program, chain,
                       layers, depth + 1, options);
        }
        return;
    }
    module.store(program);
    if (!add_layer(chain, module)) {
        throw Failure(Code::unsupported_operator, {file.file(), path, module.type(), ""},
                      fmt::format("layers of class {} are not read from a pickle", object.text),
                      "Export the model with torch.export.save (.pt2). " +
                          layers::how_to_register(object.text));
    }
    module.check_used();
    layers.push_back(std::move(module));
}

/// The extents of a sample, as far as the first layers tell them: what a linear layer multiplies is
/// its last axis, and it may have no other.
std::optional<Shape> sample_shape(const Program& program) {
    for (const GraphNode& node : program.nodes) {
        const std::string& target = node.target;
        if (target == "torch.ops.aten.linear.default") {
            for (const auto& [name, argument] : node.arguments) {
                if (name == "weight" && !argument.names.empty()) {
                    const auto stored = program.tensors.find(argument.names[0]);
                    if (stored != program.tensors.end() &&
                        stored->second.tensor.shape.size() == 2) {
                        return Shape{stored->second.tensor.shape[1]};
                    }
                }
            }
            return std::nullopt;
        }
        // What keeps a vector as it is.
        const bool keeps =
            target.find("dropout") != std::string::npos || target.ends_with("alias.default") ||
            target.ends_with("relu.default") || target.ends_with("tanh.default") ||
            target.ends_with("sigmoid.default") || target.ends_with("batch_norm.default") ||
            target.ends_with("flatten.using_ints");
        if (!keeps) {
            return std::nullopt;
        }
    }
    return std::nullopt;
}

}  // namespace

bool holds_module(const TorchFile& file) {
    return file.root().kind == Kind::object;
}

Program program_of_module(const TorchFile& file, const layers::ImportOptions& options) {
    Program program;
    program.file = file.file();
    Chain chain(program);
    std::vector<Module> layers;
    add_module(file, file.root(), "", program, chain, layers, 0, options);
    const std::optional<Shape> sample =
        options.input_shape.empty() ? sample_shape(program) : std::optional(options.input_shape);
    if (!sample) {
        throw Failure(Code::unsupported_form, {file.file(), "input", "", ""},
                      "a pickled module does not say the shape of its input, and its first layers "
                      "do not tell it",
                      "Give the shape of one sample with --input-shape, or export the model with "
                      "torch.export.save (.pt2), which holds the shape.");
    }
    TensorMeta meta;
    meta.type = ScalarType::float32;
    meta.sizes.push_back({0, "batch"});
    for (const std::int64_t extent : *sample) {
        meta.sizes.push_back({extent, ""});
    }
    program.metas["input"] = std::move(meta);
    program.inputs.push_back({"input", true});
    program.outputs.push_back(chain.last());
    return program;
}

}  // namespace gatewright::torch
