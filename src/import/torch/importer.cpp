#include "import/torch/importer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "import/layers/refusal.h"
#include "import/torch/none_arguments.h"
#include "import/torch/required_arguments.h"
#include "import/torch/rules.h"

namespace gatewright::torch {

namespace {

bool supported_type(ScalarType type) {
    // Unknown: the program declares none (it was written here).
    return is_integral(type) || is_real(type) || type == ScalarType::unknown;
}

/// Whether all inputs have the same first extent.
bool same_first_extent(const Program& program) {
    const GraphInteger* first = nullptr;
    for (const GraphInput& input : program.inputs) {
        const auto meta = program.metas.find(input.name);
        if (meta == program.metas.end() || meta->second.sizes.empty()) {
            return false;
        }
        const GraphInteger& extent = meta->second.sizes.front();
        if (first != nullptr && (first->symbol != extent.symbol || first->value != extent.value)) {
            return false;
        }
        first = &extent;
    }
    return first != nullptr;
}

bool has_free_extents(const Program& program) {
    return std::any_of(program.inputs.begin(), program.inputs.end(), [&](const GraphInput& input) {
        const auto meta = program.metas.find(input.name);
        return meta != program.metas.end() &&
               std::any_of(meta->second.sizes.begin(), meta->second.sizes.end(),
                           [](const GraphInteger& size) { return !size.symbol.empty(); });
    });
}

/// An argument's value for messages; nothing for what has no short form.
std::string value_text(const Argument& argument) {
    using Kind = Argument::Kind;
    std::vector<std::string> parts;
    for (const GraphInteger& integer : argument.integers) {
        const bool flag = argument.kind == Kind::boolean || argument.kind == Kind::booleans;
        parts.push_back(!integer.symbol.empty() ? integer.symbol
                        : flag                  ? (integer.value != 0 ? "True" : "False")
                                                : fmt::format("{}", integer.value));
    }
    for (const double real : argument.reals) {
        parts.push_back(fmt::format("{}", real));
    }
    for (const std::string& text : argument.texts) {
        parts.push_back(fmt::format("'{}'", text));
    }
    switch (argument.kind) {
        case Kind::integer:
        case Kind::real:
        case Kind::boolean:
        case Kind::text:
            return parts.empty() ? "" : parts.front();
        case Kind::type:
            return to_string(static_cast<ScalarType>(argument.integers.front().value));
        case Kind::integers:
        case Kind::reals:
        case Kind::booleans:
        case Kind::texts:
            return fmt::format("[{}]", fmt::join(parts, ", "));
        default:
            return {};
    }
}

/// The arguments of a node that are no tensors, for messages.
std::vector<layers::Setting> settings_of(const GraphNode& node) {
    std::vector<layers::Setting> out;
    for (const auto& [name, argument] : node.arguments) {
        std::string value = value_text(argument);
        if (!value.empty()) {
            out.push_back({name, std::move(value)});
        }
    }
    return out;
}

}  // namespace

Location location_of(const Program& program, const GraphNode& node, std::string attribute) {
    std::string_view target = node.target;
    if (target.starts_with("torch.ops.")) {
        target.remove_prefix(10);
    }
    const std::string layer =
        node.module.empty() ? node.name : fmt::format("{}.{}", node.module, node.name);
    return {program.file, layer, std::string(target), std::move(attribute)};
}

Importer::Importer(const Program& program, BatchMode mode, const layers::ImportOptions& options)
    : program_(program), mode_(mode), options_(options) {
    out_.batched = mode != BatchMode::none;
    out_.network.name = program.name;
}

bool Importer::known(const std::string& name) const {
    return values_.contains(name) || program_.stored.contains(name);
}

ScalarType Importer::type_of(const std::string& name) const {
    const auto meta = program_.metas.find(name);
    return meta == program_.metas.end() ? ScalarType::unknown : meta->second.type;
}

std::optional<std::int64_t> Importer::starts(const std::string& name) const {
    const auto found = starts_.find(name);
    return found == starts_.end() ? std::nullopt : std::optional(found->second);
}

const Operand& Importer::find(const std::string& name) {
    const auto stale = stale_.find(name);
    if (stale != stale_.end()) {
        throw Failure(
            Code::unsupported_form, {program_.file, name, "", ""},
            fmt::format("layer '{}' writes into a tensor that shares its elements", stale->second),
            "Write the model without operations in place (x = x + 1, not x += 1).");
    }
    const auto value = values_.find(name);
    if (value != values_.end()) {
        return value->second;
    }
    const auto stored = program_.stored.find(name);
    const Location where{program_.file, name, "", ""};
    if (starts_.contains(name)) {
        throw BatchMixed();
    }
    if (stored == program_.stored.end()) {
        throw Failure(Code::model_config_malformed, where,
                      "this value is used, but nothing gives it",
                      "Export the model again with torch.export.save.");
    }
    const auto tensor = program_.tensors.find(stored->second);
    if (tensor == program_.tensors.end()) {
        throw Failure(Code::weights_mismatch, {program_.file, stored->second, "tensor", ""},
                      "the file does not hold this tensor",
                      "Save the model again with its weights.");
    }
    if (!tensor->second.exact) {
        throw Failure(Code::unsupported_form, {program_.file, stored->second, "tensor", ""},
                      "it holds integers of more than 53 bits", "Keep integers below 2^53.");
    }
    Operand operand;
    operand.is_constant = true;
    operand.constant = tensor->second.tensor;
    return values_[name] = std::move(operand);
}

void Importer::define(const std::string& name, Operand operand) {
    values_[name] = std::move(operand);
}

Extent Importer::number(const GraphInteger& integer, const Location& where) const {
    if (integer.symbol.empty()) {
        return {integer.value, false};
    }
    const auto found = numbers_.find(integer.symbol);
    if (found == numbers_.end()) {
        throw Failure(
            Code::unsupported_form, where,
            fmt::format("the extent '{}' depends on data or on a free extent", integer.symbol),
            "Export the model with fixed extents; only the batch axis may be free.");
    }
    return found->second;
}

void Importer::add_inputs(Diagnostics& diagnostics) {
    if (mode_ != BatchMode::none && !same_first_extent(program_)) {
        throw BatchMixed();
    }
    for (const GraphInput& input : program_.inputs) {
        const Location where{program_.file, input.name, "input", ""};
        const auto found = program_.metas.find(input.name);
        if (found == program_.metas.end()) {
            diagnostics.add(Code::model_config_malformed, where, "the input has no declared shape",
                            "Export the model again with torch.export.save.");
            continue;
        }
        const TensorMeta& meta = found->second;
        if (!supported_type(meta.type)) {
            diagnostics.add(Code::unsupported_form, where,
                            fmt::format("its elements are of type {}", to_string(meta.type)),
                            "Keep the model in float32.");
            continue;
        }
        network::InputDeclaration declaration{input.name, {}};
        Operand operand;
        for (std::size_t i = 0; i < meta.sizes.size(); ++i) {
            const GraphInteger& size = meta.sizes[i];
            const bool free = !size.symbol.empty();
            declaration.declared.push_back(free ? -1 : size.value);
            if (i == 0 && mode_ == BatchMode::followed) {
                operand.batch_axis = 0;
                if (!free) {
                    declared_batch_ = size.value;
                }
            } else if (free) {
                diagnostics.add(Code::operator_inputs, where,
                                fmt::format("the extent of axis {} is free", i),
                                "Export the model with a fixed extent; only the batch axis, the "
                                "first, may be free, and samples may not be mixed along it.");
            } else if (i == 0 && mode_ == BatchMode::single) {
                if (size.value != 1) {
                    throw BatchMixed();
                }
            } else {
                operand.shape.push_back(size.value);
            }
        }
        if (!checked_element_count(operand.shape)) {
            diagnostics.add(Code::operator_inputs, where, "the product of its extents overflows");
            continue;
        }
        operand.value = out_.network.add_input(input.name, {operand.shape, std::nullopt}, where);
        if (mode_ == BatchMode::single && !declaration.declared.empty()) {
            Shape with_batch = operand.shape;
            with_batch.insert(with_batch.begin(), 1);
            operand = layers::Builder(out_.network, where).reshaped(operand, with_batch, -1);
        }
        out_.inputs.push_back(std::move(declaration));
        define(input.name, std::move(operand));
    }
}

std::optional<int> Importer::joined(const std::string& name) const {
    const auto at = joined_.find(name);
    return at == joined_.end() ? std::nullopt : std::optional(at->second);
}

std::optional<int> Importer::kept_join(const GraphNode& node, bool keeps, bool knows) const {
    if (knows) {
        return std::nullopt;
    }
    std::optional<int> axis;
    std::int64_t rank = 0;
    for (const auto& [name, argument] : node.arguments) {
        for (const std::string& value : argument.names) {
            const std::optional<int> at = joined(value);
            if (at && (!keeps || (axis && *axis != *at))) {
                throw BatchMixed();
            }
            axis = at ? at : axis;
            rank = at ? std::max(rank, values_.at(value).rank()) : rank;
        }
    }
    if (!axis) {
        return std::nullopt;
    }
    // What is not joined must be the same for all samples, and meet the axes behind only.
    for (const auto& [name, argument] : node.arguments) {
        for (const std::string& value : argument.names) {
            const auto at = values_.find(value);
            if (at != values_.end() && !joined(value) &&
                (at->second.batch_axis >= 0 || at->second.rank() > rank - 2 - *axis)) {
                throw BatchMixed();
            }
        }
    }
    return axis;
}

void Importer::check_results(const GraphNode& node) const {
    for (const std::string& name : node.outputs) {
        const auto value = values_.find(name);
        const auto meta = program_.metas.find(name);
        if (name.empty() || value == values_.end() || meta == program_.metas.end()) {
            continue;
        }
        const Operand& y = value->second;
        Shape shape = y.sample_shape();
        if (y.batch_axis >= 0) {
            shape.insert(shape.begin() + y.batch_axis, declared_batch_.value_or(-1));
        }
        if (const std::optional<int> axis = joined(name)) {
            shape.erase(shape.begin() + *axis + 1);
            shape[static_cast<std::size_t>(*axis)] = -1;
        }
        const auto& sizes = meta->second.sizes;
        bool same = shape.size() == sizes.size();
        for (std::size_t i = 0; same && i < shape.size(); ++i) {
            same = !sizes[i].symbol.empty() || shape[i] == sizes[i].value || shape[i] == -1;
        }
        if (!same && mode_ != BatchMode::none) {
            throw BatchMixed();  // one sample gives several
        }
        if (!same) {
            std::string declared;
            for (const GraphInteger& size : sizes) {
                declared += (declared.empty() ? "" : ", ") +
                            (size.symbol.empty() ? std::to_string(size.value) : size.symbol);
            }
            throw Failure(Code::unsupported_form, location_of(program_, node),
                          fmt::format("its result has shape {} here but [{}] in the file",
                                      to_string(shape), declared),
                          "Export the model again; if it stays so, this is a fault of the reader.");
        }
    }
}

const std::string& Importer::root_of(const std::string& name) const {
    const auto at = roots_.find(name);
    return at == roots_.end() ? name : at->second;
}

void Importer::follow_aliases(const GraphNode& node, bool in_place, bool view) {
    if ((!in_place && !view) || node.arguments.empty() ||
        node.arguments.front().second.kind != Argument::Kind::tensor) {
        return;
    }
    const std::string& self = node.arguments.front().second.names.front();
    const std::string root = root_of(self);
    for (const std::string& name : node.outputs) {
        if (!name.empty()) {
            roots_[name] = root;
            if (view && !in_place) {
                views_[name] = &node;
            }
        }
    }
    if (!in_place || node.outputs.empty()) {
        return;
    }
    if (program_.stored.contains(root)) {
        throw Failure(Code::unsupported_form, location_of(program_, node),
                      fmt::format("it changes '{}', which the model keeps from call to call",
                                  program_.stored.at(root)),
                      "Export the model in evaluation mode; a circuit keeps nothing between "
                      "samples.");
    }
    const std::string result = node.outputs.front();
    const std::string written = self;
    values_[written] = values_.at(result);
    std::set<std::string> fresh = write_through(node, written);
    fresh.insert({result, written});
    // What else shows the elements must not be used any more.
    for (const auto& [name, value] : values_) {
        if (!fresh.contains(name) && root_of(name) == root) {
            stale_[name] = node.name;
        }
    }
}

std::set<std::string> Importer::write_through(const GraphNode& node, const std::string& self) {
    const std::pair<const char*, const char*> inverses[] = {
        {"torch.ops.aten.slice.Tensor", "torch.ops.aten.slice_scatter.default"},
        {"torch.ops.aten.select.int", "torch.ops.aten.select_scatter.default"}};
    std::set<std::string> fresh;
    std::string part = self;
    std::string value = node.outputs.front();
    while (views_.contains(part)) {
        const GraphNode& view = *views_.at(part);
        const auto inverse =
            std::find_if(std::begin(inverses), std::end(inverses),
                         [&](const auto& row) { return view.target == row.first; });
        if (inverse == std::end(inverses)) {
            break;
        }
        const std::string base = view.arguments.front().second.names.front();
        GraphNode put = view;
        put.target = inverse->second;
        put.outputs = {fmt::format("{} written by {}", base, node.name)};
        Argument source;
        source.kind = Argument::Kind::tensor;
        source.names.push_back(value);
        put.arguments.emplace_back("src", std::move(source));
        Call call(*this, put);
        find_rule(put.target, options_).rule(call);
        value = put.outputs.front();
        values_[base] = values_.at(value);
        fresh.insert({base, value});
        part = base;
    }
    return fresh;
}

void Importer::convert(const GraphNode& node, Diagnostics& diagnostics) {
    const FoundRule found = find_rule(node.target, options_);
    if (!found.rule) {
        diagnostics.add(Code::unsupported_operator, location_of(program_, node),
                        fmt::format("operator {} is not supported", node.target),
                        "Write the layer with operators that are (docs/torch.md). " +
                            layers::how_to_register(name_of_target(node.target)));
        return;
    }
    for (const auto& [name, argument] : node.arguments) {
        for (const std::string& value : argument.names) {
            if (!value.empty() && !known(value) && !starts(value)) {
                if (!diagnostics.has_errors()) {
                    diagnostics.add(
                        Code::unsupported_form, location_of(program_, node, name),
                        fmt::format("it uses '{}', a result that is not computed", value),
                        "Export the model without that use.");
                }
                return;  // otherwise the error before it is on the list
            }
        }
    }
    for (const std::string& output : node.outputs) {
        if (!supported_type(type_of(output))) {
            diagnostics.add(Code::unsupported_form, location_of(program_, node),
                            fmt::format("its result is of type {}", to_string(type_of(output))),
                            "Keep the model in float32.");
            return;
        }
    }
    Call call(*this, node);
    try {
        for (const auto& [name, argument] : node.arguments) {
            if (argument.kind == Argument::Kind::none && !takes_none(node.target, name)) {
                call.refuse("it is None, which this operator does not take",
                            "Export the model again with torch.export.save.", name);
            }
        }
        for (const std::string_view name : required_arguments(node.target)) {
            if (std::none_of(node.arguments.begin(), node.arguments.end(),
                             [&](const auto& one) { return one.first == name; })) {
                throw Failure(
                    Code::model_config_malformed, location_of(program_, node, std::string(name)),
                    "this argument is missing", "Export the model again with torch.export.save.");
            }
        }
        const std::optional<int> join_of =
            kept_join(node, found.joined == Joined::stays, found.joined == Joined::known);
        found.rule(call);
        if (join_of) {
            joined_[node.outputs.at(0)] = *join_of;
        }
        for (const std::string& name : call.unused_arguments()) {
            diagnostics.add(Code::unsupported_attribute, location_of(program_, node, name),
                            "this argument is not supported here", "Export the model without it.");
        }
        check_results(node);
        follow_aliases(node, found.in_place, found.view);
    } catch (const BatchMixed&) {
        if (mode_ != BatchMode::none) {
            mixing_ = &node;
            throw;
        }
        const Diagnostic full =
            layers::completed({Code::unsupported_form, location_of(program_, node),
                               "its operands have shapes that are not supported here", ""},
                              {}, settings_of(node));
        diagnostics.add(full.code, full.where, full.message, full.remedy);
    } catch (const Failure& failure) {
        for (const std::string& output : node.outputs) {
            values_.erase(output);
        }
        for (const Diagnostic& d : failure.diagnostics()) {
            const auto find_argument = [&](std::string_view name) {
                return std::find_if(node.arguments.begin(), node.arguments.end(),
                                    [&](const auto& argument) { return argument.first == name; });
            };
            Diagnostic named = d;
            auto at = find_argument(d.where.attribute);
            if (at == node.arguments.end() && d.where.attribute == "axis" &&
                find_argument("dim") != node.arguments.end()) {
                named.where.attribute = "dim";  // what PyTorch calls it
                at = find_argument("dim");
            }
            const Diagnostic full = layers::completed(
                named, at == node.arguments.end() ? std::string() : value_text(at->second),
                settings_of(node));
            diagnostics.add(full.code, full.where, full.message, full.remedy);
        }
    }
}

void Importer::add_outputs(Diagnostics& diagnostics) {
    std::set<std::string> taken;
    for (const GraphInput& input : program_.inputs) {
        taken.insert(input.name);
    }
    for (const std::string& output : program_.outputs) {
        const Location where{program_.file, output, "output", ""};
        if (!known(output)) {
            if (!diagnostics.has_errors()) {
                diagnostics.add(Code::unsupported_form, where, "this output is not computed",
                                "Export the model without it.");
            }
            continue;
        }
        Operand y = find(output);
        if (joined(output)) {
            throw BatchMixed();
        }
        layers::Builder builder(out_.network, where);
        if (y.batch_axis > 0 && has_free_extents(program_)) {
            throw Failure(
                Code::unsupported_form, where,
                fmt::format("the batch is its axis {}, and must be the first", y.batch_axis),
                "Give it with the batch in front (transpose), or leave it out.");
        }
        if (mode_ != BatchMode::none && y.batch_axis != 0) {
            // With a batch of one, its axis is there and goes.
            const Shape& shape = y.sample_shape();
            const bool one = mode_ == BatchMode::single || declared_batch_ == 1;
            if (y.batch_axis > 0 || !one || shape.empty() || shape.front() != 1) {
                throw BatchMixed();
            }
            y = builder.reshaped(y, Shape(shape.begin() + 1, shape.end()), -1);
        }
        if (y.is_constant) {
            y.value =
                out_.network.add(network::constant_operator,
                                 Attributes::of(network::ConstantFields{y.constant}), {}, where);
        }
        // Ports need names of their own, also where one value is given twice.
        std::string name = output;
        for (int number = 1; !taken.insert(name).second; ++number) {
            name = fmt::format("{}_out{}", output, number == 1 ? "" : std::to_string(number));
        }
        out_.network.set_output(name, y.value);
    }
}

network::ImportedModel Importer::run() {
    Diagnostics diagnostics;
    add_inputs(diagnostics);
    diagnostics.throw_if_errors();
    for (const GraphNode& node : program_.nodes) {
        convert(node, diagnostics);
    }
    add_outputs(diagnostics);
    diagnostics.throw_if_errors();
    out_.network = out_.network.pruned();
    return std::move(out_);
}

network::ImportedModel import_program(const Program& program,
                                      const layers::ImportOptions& options) {
    if (program.inputs.empty()) {
        throw Failure(Code::unsupported_form, {program.file, "", "", ""}, "the model has no inputs",
                      "Export a model that takes a tensor.");
    }
    for (const BatchMode mode : {BatchMode::followed, BatchMode::single}) {
        Importer importer(program, mode, options);
        try {
            return importer.run();
        } catch (const BatchMixed&) {
            if (!has_free_extents(program)) {
                continue;
            }
            if (importer.mixing() == nullptr) {
                break;  // free: nothing says that samples stay apart
            }
            throw Failure(Code::operator_inputs, location_of(program, *importer.mixing()),
                          "it mixes the samples of a batch, whose extent is free, or it takes "
                          "another number of axes",
                          "Export the model with a fixed extent; only the batch axis, the first, "
                          "may be free, and samples may not be mixed along it.");
        }
    }
    return Importer(program, BatchMode::none, options).run();
}

}  // namespace gatewright::torch
