#include "import/onnx/importer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "import/layers/refusal.h"
#include "import/onnx/import.h"
#include "import/onnx/model_file.h"
#include "import/onnx/reading.h"

namespace gatewright::onnx {

Importer::Importer(const OnnxModel& model, FirstAxis first_axis,
                   const layers::ImportOptions& options)
    : model_(model), options_(options), first_axis_(first_axis) {
    out_.batched = first_axis != FirstAxis::data;
    out_.network.name = model.graph.name.empty() ? "model" : model.graph.name;
}

void Importer::define(const std::string& name, Operand operand) {
    values_[name] = std::move(operand);
}

namespace {

/// Elements that are real numbers: an unknown type is taken for one.
bool is_number(ElementType type) {
    return type == ElementType::undefined || type == ElementType::boolean || is_integer(type) ||
           is_float(type);
}

template <class T>
std::string list_text(const std::vector<T>& values) {
    const auto shown = std::span(values).first(std::min<std::size_t>(values.size(), 20));
    return fmt::format("[{}{}]", fmt::join(shown, ", "),
                       shown.size() < values.size() ? ", ..." : "");
}

/// An attribute's value for messages.
struct ValueText {
    std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
    std::string operator()(double value) const { return fmt::format("{}", value); }
    std::string operator()(const std::string& value) const {
        return is_printable_utf8(value) ? fmt::format("'{}'", value) : "a text of other bytes";
    }
    std::string operator()(const std::vector<std::int64_t>& list) const { return list_text(list); }
    std::string operator()(const std::vector<double>& list) const { return list_text(list); }
    std::string operator()(const auto& other) const { return kind_of(OnnxAttribute(other)); }
};

/// The attributes of a node, for messages.
std::vector<layers::Setting> settings_of(const OnnxNode& node) {
    std::vector<layers::Setting> out;
    for (const auto& [name, value] : node.attributes) {
        out.push_back({name, std::visit(ValueText{}, value)});
    }
    return out;
}

}  // namespace

ElementType Importer::type(const std::string& name) const {
    const auto at = types_.find(name);
    return at == types_.end() ? ElementType::undefined : at->second;
}

void Importer::add_inputs(Diagnostics& diagnostics) {
    for (const OnnxValueInfo& input : model_.graph.inputs) {
        const Location where{model_.file, input.name, "input", ""};
        if (!input.dims) {
            diagnostics.add(Code::operator_inputs, where, "the input has no declared shape",
                            "Export the model with shapes.");
            continue;
        }
        if (first_axis_ == FirstAxis::one_sample &&
            (input.dims->empty() || input.dims->front() != OnnxDim(std::int64_t{1}))) {
            throw BatchMixed();
        }
        if (!is_number(input.element)) {
            diagnostics.add(Code::operator_inputs, where,
                            fmt::format("its elements are of type {}", to_string(input.element)),
                            "Give the model numbers: float32 is the usual type.");
            continue;
        }
        network::InputDeclaration declaration{input.name, {}};
        Operand operand;
        for (std::size_t i = 0; i < input.dims->size(); ++i) {
            const auto* extent = std::get_if<std::int64_t>(&(*input.dims)[i]);
            declaration.declared.push_back(extent != nullptr ? *extent : -1);
            if (i == 0 && first_axis_ == FirstAxis::samples) {
                operand.batch_axis = 0;
                if (extent != nullptr) {
                    if (declared_batch_.value_or(*extent) != *extent) {
                        throw BatchMixed();  // one of them is no batch of samples
                    }
                    declared_batch_ = *extent;
                }
            } else if (extent == nullptr) {
                diagnostics.add(Code::operator_inputs, where,
                                fmt::format("the extent of axis {} is free", i),
                                "Export the model with a fixed extent, or give it with "
                                "--input-shape; only the batch axis, the first, may be free, and "
                                "samples may not be mixed along it.");
            } else {
                operand.shape.push_back(*extent);
            }
        }
        if (input.dims->empty() && first_axis_ == FirstAxis::samples) {
            throw BatchMixed();
        }
        if (!checked_element_count(operand.shape)) {
            diagnostics.add(Code::operator_inputs, where, "the product of its extents overflows");
            continue;
        }
        if (first_axis_ == FirstAxis::one_sample) {
            Operand sample;
            sample.shape = {operand.shape.begin() + 1, operand.shape.end()};
            sample.value = out_.network.add_input(input.name, {sample.shape, std::nullopt}, where);
            operand = layers::Builder(out_.network, where).reshaped(sample, operand.shape, -1);
        } else {
            operand.value =
                out_.network.add_input(input.name, {operand.shape, std::nullopt}, where);
        }
        out_.inputs.push_back(std::move(declaration));
        set_type(input.name, input.element);
        define(input.name, std::move(operand));
    }
}

void Importer::convert(const OnnxNode& node, Diagnostics& diagnostics) {
    const bool ready = std::all_of(node.inputs.begin(), node.inputs.end(), [&](const auto& name) {
        return name.empty() || values_.contains(name);
    });
    const auto rule = find_rule(node.domain, node.op_type, options_);
    if (!rule) {
        const std::vector<std::string> names = rule_names();
        const std::string near = nearest(node.op_type, names);
        diagnostics.add(Code::unsupported_operator, location_of(model_.file, node),
                        fmt::format("operator {}{} is not supported",
                                    node.domain.empty() ? "" : node.domain + "::", node.op_type),
                        (near.empty() || near == node.op_type
                             ? "`gatewright list operators` shows what is. "
                             : fmt::format("The nearest one that is: {}. ", near)) +
                            layers::how_to_register(node.op_type));
        return;
    }
    if (!ready) {
        return;  // the error before it is on the list
    }
    Call call(*this, node);
    // Most results are of the type of what they are made of; rules say where they are not.
    ElementType type = ElementType::undefined;
    for (std::size_t i = 0; i < node.inputs.size() && type == ElementType::undefined; ++i) {
        type = call.type(i);
    }
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
        call.set_type(type, i);
    }
    try {
        rule(call);
        for (const std::string& name : call.unused_attributes()) {
            diagnostics.add(Code::unsupported_attribute, location_of(model_.file, node, name),
                            "this attribute is not supported here", "Export the model without it.");
        }
    } catch (const Failure& failure) {
        for (const Diagnostic& d : failure.diagnostics()) {
            const auto at = node.attributes.find(d.where.attribute);
            const Diagnostic full = layers::completed(
                d,
                at == node.attributes.end() ? std::string() : std::visit(ValueText{}, at->second),
                settings_of(node));
            diagnostics.add(full.code, full.where, full.message, full.remedy);
        }
    }
}

std::vector<Operand> Importer::run_inner(const OnnxGraph& graph,
                                         const std::vector<Operand>& arguments,
                                         const std::string& prefix) {
    constexpr std::size_t most_layers = 100'000;
    const Location where{model_.file, prefix, "graph", ""};
    std::set<std::string> own;
    const auto define_own = [&](const std::string& name) {
        if (known(name) || !own.insert(name).second) {
            throw Failure(Code::duplicate_name, where,
                          fmt::format("the graph within it defines '{}' once more", name),
                          "Give each value a name of its own.");
        }
    };
    if (graph.inputs.size() != arguments.size()) {
        throw Failure(Code::unsupported_form, where,
                      fmt::format("its graph has {} inputs instead of {}", graph.inputs.size(),
                                  arguments.size()));
    }
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        define_own(graph.inputs[i].name);
        define(graph.inputs[i].name, arguments[i]);
        set_type(graph.inputs[i].name, graph.inputs[i].element);
    }
    for (const auto& [name, tensor] : graph.initializers) {
        define_own(name);
        Operand operand;
        operand.is_constant = true;
        operand.constant = tensor.tensor;
        operand.is_integer = is_integer(tensor.element);
        set_type(name, tensor.element);
        define(name, std::move(operand));
    }
    Diagnostics diagnostics;
    for (const OnnxNode& node : graph.nodes) {
        if (++inner_layers_ > most_layers) {
            throw Failure(Code::unsupported_form, where, "its graphs grow to too many layers");
        }
        for (const std::string& input : node.inputs) {
            if (!input.empty() && !known(input) && !diagnostics.has_errors()) {
                diagnostics.add(Code::undefined_value, location_of(model_.file, node),
                                fmt::format("its input '{}' is not computed before it", input),
                                "Order the layers of the graph.");
            }
        }
        for (const std::string& output : node.outputs) {
            if (!output.empty()) {
                define_own(output);
            }
        }
        OnnxNode layer = node;
        layer.name = prefix + "/" + node.layer_name();
        convert(layer, diagnostics);
    }
    diagnostics.throw_if_errors();
    std::vector<Operand> outputs;
    for (const OnnxValueInfo& output : graph.outputs) {
        if (!known(output.name)) {
            throw Failure(Code::undefined_value, where,
                          fmt::format("its graph does not compute '{}'", output.name));
        }
        outputs.push_back(find(output.name));
    }
    for (const std::string& name : own) {
        values_.erase(name);
    }
    return outputs;
}

void Importer::set_output(const std::string& name, Operand y) {
    const Location where{model_.file, name, "output", ""};
    if (y.batch_axis > 0) {
        throw BatchMixed();
    }
    if (first_axis_ == FirstAxis::one_sample) {
        const Shape& shape = y.sample_shape();
        if (shape.empty() || shape.front() != 1) {
            throw BatchMixed();
        }
        y = layers::Builder(out_.network, where)
                .reshaped(y, {shape.begin() + 1, shape.end()}, y.batch_axis);
    }
    if (y.is_constant) {
        // It is the same for all samples, but one for the whole batch; or says its extent.
        const auto& values = y.constant.values;
        if (first_axis_ == FirstAxis::samples &&
            (declared_batch_ ||
             std::find(values.begin(), values.end(), batch_extent) != values.end())) {
            throw BatchMixed();
        }
        y.value = out_.network.add(network::constant_operator,
                                   Attributes::of(network::ConstantFields{y.constant}), {}, where);
    }
    out_.network.set_output(name, y.value);
}

network::ImportedModel Importer::run() {
    Diagnostics diagnostics;
    for (const auto& [name, tensor] : model_.graph.initializers) {
        Operand operand;
        operand.is_constant = true;
        operand.constant = tensor.tensor;
        operand.is_integer = is_integer(tensor.element);
        set_type(name, tensor.element);
        define(name, std::move(operand));
    }
    add_inputs(diagnostics);
    for (const OnnxNode& node : model_.graph.nodes) {
        convert(node, diagnostics);
    }
    for (const OnnxValueInfo& output : model_.graph.outputs) {
        const auto at = values_.find(output.name);
        if (at == values_.end()) {
            if (!diagnostics.has_errors()) {
                diagnostics.add(Code::unsupported_form, {model_.file, output.name, "output", ""},
                                "this output of a layer is not computed",
                                "Remove the output from the model.");
            }
            continue;
        }
        set_output(output.name, at->second);
    }
    diagnostics.throw_if_errors();
    out_.network = out_.network.pruned();
    out_.notes = model_.notes;
    return std::move(out_);
}

namespace {

/// Extents of the only input that the file leaves open, by the shape of a sample (without the
/// first axis) or of the whole input.
void fill_free_extents(OnnxModel& model, const Shape& sample) {
    const auto refuse = [&](const std::string& message) {
        throw Failure(Code::unknown_option, {model.file, "", "input", ""}, message,
                      "Give the shape of one sample of the model's only input, or leave out "
                      "--input-shape.");
    };
    if (model.graph.inputs.size() != 1) {
        refuse(fmt::format("the model has {} inputs, and one shape is given",
                           model.graph.inputs.size()));
    }
    auto& dims = model.graph.inputs.front().dims;
    if (!dims) {
        dims.emplace(sample.size() + 1, OnnxDim(std::string("batch")));
    }
    if (dims->size() != sample.size() + 1 && dims->size() != sample.size()) {
        refuse(fmt::format("shape {} does not fit an input of {} axes", to_string(sample),
                           dims->size()));
    }
    const std::size_t first = dims->size() - sample.size();
    for (std::size_t i = 0; i < sample.size(); ++i) {
        OnnxDim& dim = (*dims)[first + i];
        const auto* fixed = std::get_if<std::int64_t>(&dim);
        if (sample[i] < 1 || (fixed != nullptr && *fixed != sample[i])) {
            refuse(fmt::format("shape {} contradicts the file's extent of axis {}",
                               to_string(sample), first + i));
        }
        dim = sample[i];
    }
}

}  // namespace

network::ImportedModel import_onnx(const std::string& file, const layers::ImportOptions& options) {
    OnnxModel model = read_model_file(file);
    if (!options.input_shape.empty()) {
        fill_free_extents(model, options.input_shape);
    }
    return import_model(model, options);
}

network::ImportedModel import_model(const OnnxModel& model, const layers::ImportOptions& options) {
    for (const FirstAxis first_axis : {FirstAxis::samples, FirstAxis::one_sample}) {
        try {
            return Importer(model, first_axis, options).run();
        } catch (const BatchMixed&) {
            continue;
        }
    }
    return Importer(model, FirstAxis::data, options).run();
}

}  // namespace gatewright::onnx
