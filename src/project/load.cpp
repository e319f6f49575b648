#include "project/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "import/keras/import.h"
#include "import/onnx/import.h"
#include "import/torch/import.h"
#include "operators/layers.h"
#include "operators/lowering.h"
#include "passes/pass.h"
#include "project/random_inputs.h"
#include "project/typing.h"

namespace gatewright::project {

FinalActivation final_activation_named(const std::string& name) {
    const std::vector<std::pair<std::string, FinalActivation>> names = {
        {"keep", FinalActivation::keep},
        {"drop", FinalActivation::drop},
        {"argmax", FinalActivation::argmax}};
    for (const auto& [known, value] : names) {
        if (known == name) {
            return value;
        }
    }
    throw Failure(Code::unknown_option, {}, fmt::format("there is no final activation '{}'", name),
                  "Write keep, drop or argmax.");
}

namespace {

bool ends_with_one_of(std::string_view file, std::initializer_list<std::string_view> endings) {
    return std::any_of(endings.begin(), endings.end(),
                       [&](std::string_view ending) { return file.ends_with(ending); });
}

}  // namespace

namespace {

network::ImportedModel read_model(const ModelSource& source) {
    const std::string& file = source.file;
    if (ends_with_one_of(file, {".keras", ".h5", ".hdf5", ".json"})) {
        return keras::import_keras(file, source.weights, source.options);
    }
    if (ends_with_one_of(file, {".pt2", ".pt", ".pth", ".safetensors"})) {
        return torch::import_torch(file, source.weights, source.options);
    }
    if (!file.ends_with(".onnx")) {
        std::error_code error;
        if (!std::filesystem::exists(file, error) || std::filesystem::is_directory(file, error)) {
            read_file_bytes(file);  // says why it cannot be read
        }
        throw Failure(Code::unknown_format, {file, "", "", ""},
                      "its ending is none of a known model format",
                      "Give an ONNX or QONNX model (.onnx), a Keras, QKeras or HGQ model (.keras, "
                      ".h5, or .json with --weights), or a PyTorch program (.pt2).");
    }
    if (!source.weights.empty()) {
        throw Failure(Code::unknown_option, {file, "", "", ""},
                      "an ONNX model holds its weights itself", "Leave out --weights.");
    }
    return onnx::import_onnx(file, source.options);
}

}  // namespace

network::ImportedModel load_model(const ModelSource& source) {
    network::ImportedModel model = read_model(source);
    if (source.options.monte_carlo && !has_random_inputs(model.network)) {
        throw Failure(
            Code::unknown_option, {source.file, "", "", ""},
            "no layer of the model drops elements at random, so --monte-carlo has nothing "
            "to keep alive",
            "Leave it out, or save the model with its Dropout layers (rates between 0 and "
            "1); some exporters remove them in evaluation mode.");
    }
    return model;
}

void check_extents(const network::Network& network, const std::string& file) {
    Diagnostics diagnostics;
    const auto check = [&](std::string name, const char* what, const Shape& shape) {
        if (element_count(shape) == 0) {
            diagnostics.add(Code::operator_inputs, {file, std::move(name), what, ""},
                            "it has no elements, and a circuit no ports of no bits",
                            "Export the model with extents of at least 1.");
        }
    };
    for (const network::NodeId id : network.inputs()) {
        check(std::string(network.input_name(id)), "input", network.node(id).types.front().shape);
    }
    for (const network::NetworkOutput& output : network.outputs()) {
        check(output.name, "output", network.type(output.value).shape);
    }
    diagnostics.throw_if_errors();
}

network::Network with_final_activation(const network::Network& network, FinalActivation choice) {
    if (choice == FinalActivation::keep) {
        return network;
    }
    network::Network out;
    out.name = network.name;
    std::map<network::Value, network::Value> renamed;
    for (network::NodeId id = 0; id < network.nodes().size(); ++id) {
        const network::Node& node = network.node(id);
        std::vector<network::Value> inputs;
        for (const network::Value value : node.inputs) {
            inputs.push_back(renamed.at(value));
        }
        const network::Value added =
            node.op == &network::input_operator
                ? out.add_input(std::string(network.input_name(id)), node.types.front(), node.where)
                : out.add(*node.op, node.attributes, inputs, node.where);
        for (std::uint32_t i = 0; i < node.types.size(); ++i) {
            renamed[{id, i}] = {added.node, i};
        }
    }
    for (const network::NetworkOutput& output : network.outputs()) {
        network::Value value = output.value;
        const network::Node* node = &network.node(value.node);
        // Only moves that keep the order of elements may lie between the activation and the output.
        const bool is_softmax = node->op == &operators::softmax_operator;
        const bool is_sigmoid = node->op == &operators::function_operator &&
                                node->fields<operators::FunctionFields>().function == "sigmoid";
        if (is_softmax || is_sigmoid) {
            value = node->inputs[0];
        }
        value = renamed.at(value);
        if (choice == FinalActivation::argmax) {
            const Shape& shape = out.type(value).shape;
            if (shape.empty()) {
                throw Failure(Code::operator_inputs, node->where,
                              "an output of one number has no argmax",
                              "Use --final-activation drop.");
            }
            operators::ArgLayerFields fields;
            fields.axis = is_softmax ? node->fields<operators::SoftmaxFields>().axis
                                     : static_cast<std::int64_t>(shape.size()) - 1;
            Location where = node->where;
            where.type = "argmax";
            value = out.add(operators::argmax_operator, network::Attributes::of(fields), {value},
                            where);
        }
        out.set_output(output.name, value);
    }
    return out.pruned();
}

namespace {

/// Lowering stops behind the first layer that lacks a type. In a float model, the layers behind it
/// lack theirs as well: all are told at once.
Failure with_missing_types(const Failure& failure, const network::Network& layers) {
    std::vector<Diagnostic> all = failure.diagnostics();
    const bool about_types = std::all_of(all.begin(), all.end(), [](const Diagnostic& d) {
        return d.code == Code::input_not_quantised || d.code == Code::value_not_quantised ||
               d.code == Code::weights_not_quantised;
    });
    if (!about_types || is_quantised(layers)) {
        return failure;
    }
    for (const Site& site : model_sites(layers)) {
        const Location& where = layers.node(site.node).where;
        if (site.role != Role::weight ||
            std::any_of(all.begin(), all.end(), [&](const Diagnostic& d) {
                return d.code == Code::weights_not_quantised && d.where.layer == where.layer;
            })) {
            continue;
        }
        all.push_back({Code::weights_not_quantised,
                       {where.file, where.layer, where.type, "weight"},
                       "the model does not quantise its weights",
                       fmt::format("Give their type in the configuration (layers: {{{}: {{weight: "
                                   "\"fixed<8,6>\"}}}}), or let --calibrate choose it.",
                                   where.layer)});
    }
    return Failure(std::move(all));
}

}  // namespace

operators::CoreModel lower_model(
    const network::ImportedModel& model, FinalActivation choice,
    const std::function<std::optional<FixedType>(const std::string& input)>& input_type) {
    operators::LoweringOptions options;
    options.input_type = input_type;
    const network::Network layers = with_final_activation(model.network, choice);
    operators::CoreModel core;
    try {
        core = operators::lower(layers, options);
    } catch (const Failure& failure) {
        throw with_missing_types(failure, layers);
    }
    core.network = passes::run(passes::core_pipeline(), std::move(core.network));
    core.batch = model.batched ? "free" : "none";
    return core;
}

}  // namespace gatewright::project
