#include <fmt/format.h>

#include <algorithm>

#include "import/keras/importer.h"
#include "import/keras/precision.h"
#include "import/keras/settings.h"
#include "types/shape.h"

namespace gatewright::keras {

namespace {

Kind kind_of_dtype(const std::string& dtype) {
    if (dtype == "bool") {
        return Kind::boolean;
    }
    return dtype.starts_with("int") || dtype.starts_with("uint") ? Kind::integer : Kind::real;
}

/// The batch's shape of a Sequential model's input, or null.
Json sequential_input_shape(const Graph& graph) {
    if (graph.layers.empty()) {
        return graph.input_shape;
    }
    const Layer& first = graph.layers.front();
    for (const char* key : {"batch_shape", "batch_input_shape"}) {
        if (first.config.is_object() && first.config.contains(key)) {
            return first.config[key];
        }
    }
    if (first.graph != nullptr && first.graph->sequential) {
        const Json inner = sequential_input_shape(*first.graph);
        if (!inner.is_null()) {
            return inner;
        }
    }
    if (first.graph != nullptr && !first.graph->sequential && first.graph->inputs.size() == 1) {
        for (const Layer& layer : first.graph->layers) {
            if (layer.name == first.graph->inputs.front().layer) {
                for (const char* key : {"batch_shape", "batch_input_shape"}) {
                    if (layer.config.contains(key)) {
                        return layer.config[key];
                    }
                }
            }
        }
    }
    if (!graph.input_shape.is_null()) {
        return graph.input_shape;
    }
    if (first.build_config.is_object() && first.build_config.contains("input_shape")) {
        return first.build_config["input_shape"];
    }
    return nullptr;
}

/// One input of the outer model as its file declares it.
struct DeclaredInput {
    std::string name;
    Json shape;  ///< of a batch
    std::string dtype = "float32";
};

DeclaredInput read_input(const Layer& layer, const Location& where, Diagnostics& diagnostics) {
    Settings settings(layer.config, where);
    DeclaredInput out;
    out.name = layer.name;
    for (const char* key : {"batch_shape", "batch_input_shape"}) {
        settings.ignore(key);
        if (settings.has(key)) {
            out.shape = layer.config[key];
        }
    }
    settings.ignore("dtype");
    if (settings.has("dtype") && layer.config["dtype"].is_string()) {
        out.dtype = layer.config["dtype"].get<std::string>();
    }
    for (const char* key : {"sparse", "ragged", "optional"}) {
        if (settings.flag(key, false)) {
            settings.refuse(key, "only dense inputs that are always given are supported",
                            "Build the model without it.");
        }
    }
    settings.report_unused(diagnostics);
    return out;
}

/// Extents that the model leaves open, by the shape of a sample.
void fill_free_extents(Json& shape, const Shape& sample, const Location& where) {
    const auto refuse = [&](const std::string& message) {
        throw Failure(Code::unknown_option, where, message,
                      "Give the shape of one sample, or leave out --input-shape.");
    };
    if (!shape.is_array()) {
        shape = Json::array({nullptr});
        for (std::size_t i = 0; i < sample.size(); ++i) {
            shape.push_back(nullptr);
        }
    }
    if (shape.size() != sample.size() + 1) {
        refuse(fmt::format("shape {} does not fit an input of {} axes and a batch",
                           to_string(sample), shape.empty() ? 0 : shape.size() - 1));
    }
    for (std::size_t i = 0; i < sample.size(); ++i) {
        Json& extent = shape[i + 1];
        if (sample[i] < 1 || (extent.is_number_integer() && extent != sample[i])) {
            refuse(fmt::format("shape {} contradicts the model's extent of axis {}",
                               to_string(sample), i + 1));
        }
        extent = sample[i];
    }
}

}  // namespace

bool Importer::is_input(const Layer& layer) {
    return layer.package.empty() && layer.class_name == "InputLayer";
}

void Importer::add_all(Diagnostics& diagnostics, const Failure& failure) {
    for (const Diagnostic& d : failure.diagnostics()) {
        diagnostics.add(d.code, d.where, d.message, d.remedy);
    }
}

std::vector<Value> Importer::add_inputs(Diagnostics& diagnostics) {
    const Graph& graph = model_.graph;
    std::vector<DeclaredInput> inputs;
    const auto read = [&](const Layer& layer) {
        const Location where{model_.file, layer.name, "input", ""};
        try {
            inputs.push_back(read_input(layer, where, diagnostics));
        } catch (const Failure& failure) {
            add_all(diagnostics, failure);
        }
    };
    if (!graph.sequential) {
        for (const TensorId& id : graph.inputs) {
            const auto at = std::find_if(graph.layers.begin(), graph.layers.end(),
                                         [&](const Layer& l) { return l.name == id.layer; });
            if (at == graph.layers.end() || !is_input(*at)) {
                diagnostics.add(Code::model_config_malformed, {model_.file, id.layer, "input", ""},
                                "the model's input is no InputLayer");
                continue;
            }
            read(*at);
        }
    } else if (!graph.layers.empty() && is_input(graph.layers.front())) {
        read(graph.layers.front());
    } else if (!graph.layers.empty()) {
        inputs.push_back(
            {graph.layers.front().name + "_input", sequential_input_shape(graph), "float32"});
    }
    std::vector<Value> out;
    if (!options_.input_shape.empty() && inputs.size() == 1) {
        fill_free_extents(inputs.front().shape, options_.input_shape,
                          {model_.file, inputs.front().name, "input", ""});
    } else if (!options_.input_shape.empty()) {
        throw Failure(Code::unknown_option, {model_.file, "", "", ""},
                      fmt::format("the model has {} inputs, and one shape is given", inputs.size()),
                      "Save the model with fixed extents, and leave out --input-shape.");
    }
    for (const DeclaredInput& input : inputs) {
        const Location where{model_.file, input.name, "input", ""};
        if (!input.shape.is_array() || input.shape.empty()) {
            diagnostics.add(Code::operator_inputs, where, "the input has no declared shape",
                            "Build the model with an Input layer before it is saved.");
            continue;
        }
        if (input.dtype == "string" || input.dtype.starts_with("complex")) {
            diagnostics.add(Code::unsupported_attribute,
                            {model_.file, input.name, "input", "dtype"},
                            fmt::format("inputs of type {} are not supported", input.dtype));
            continue;
        }
        network::InputDeclaration declaration{input.name, {}};
        Value value;
        value.kind = kind_of_dtype(input.dtype);
        value.operand.batch_axis = 0;
        bool sound = true;
        for (std::size_t i = 0; i < input.shape.size(); ++i) {
            const Json& extent = input.shape[i];
            const bool fixed = extent.is_number_integer() && extent >= 0 && extent <= INT64_MAX;
            declaration.declared.push_back(fixed ? extent.get<std::int64_t>() : -1);
            if (i == 0) {
                continue;
            }
            if (!fixed) {
                diagnostics.add(
                    Code::operator_inputs, where, fmt::format("the extent of axis {} is free", i),
                    "Build the model with fixed extents (only the batch may be free), or "
                    "give them with --input-shape.");
                sound = false;
                break;
            }
            value.operand.shape.push_back(extent.get<std::int64_t>());
        }
        if (sound && !checked_element_count(value.operand.shape)) {
            diagnostics.add(Code::operator_inputs, where, "the product of its extents overflows");
            sound = false;
        }
        if (!sound) {
            continue;
        }
        value.operand.value =
            network().add_input(input.name, {value.operand.shape, std::nullopt}, where);
        if (input.dtype == "float16" || input.dtype == "bfloat16") {
            layers::Builder builder(network(), where);
            value.precision = input.dtype == "float16" ? Precision::float16 : Precision::bfloat16;
            value.operand = rounded_to(builder, value.operand, value.precision);
        }
        out_.inputs.push_back(std::move(declaration));
        out.push_back(std::move(value));
    }
    return out;
}

}  // namespace gatewright::keras
