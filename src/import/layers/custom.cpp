#include "import/layers/custom.h"

#include <fmt/format.h>

#include <algorithm>

#include "operators/catalogue.h"

namespace gatewright::layers {

namespace {

/// Layers, and operators that are both layers and core operators: those that have a definition on
/// real numbers.
const Operator* layer_operator(std::string_view name) {
    const Operator* op = operators::find(name);
    return op == nullptr || op->reference == nullptr ? nullptr : op;
}

}  // namespace

std::string how_to_register(std::string_view name) {
    return fmt::format(
        "Write the layer with standard ones, or register a rule for it in Python: "
        "gatewright.register_layer('{}', rule), see docs/custom-layers.md.",
        name);
}

CustomLayer::CustomLayer(Builder& builder, std::string framework)
    : builder_(builder), framework_(std::move(framework)) {}

void CustomLayer::add_setting(std::string name, Json value) {
    settings_.emplace_back(std::move(name), std::move(value));
}

void CustomLayer::add_opaque(std::string name, std::string what) {
    opaque_.emplace_back(std::move(name), std::move(what));
}

void CustomLayer::add_weight(std::string name, Tensor value) {
    weights_.emplace_back(std::move(name), std::move(value));
}

void CustomLayer::add_input(std::optional<Operand> input) {
    if (input && input->batch_axis > 0) {
        throw BatchMixed();
    }
    inputs_.push_back(input ? add(std::move(*input)) : -1);
}

const CustomLayer::Json& CustomLayer::read_setting(const std::string& name) {
    for (const auto& [known, value] : settings_) {
        if (known == name) {
            used_.insert("setting " + name);
            return value;
        }
    }
    for (const auto& [known, what] : opaque_) {
        if (known == name) {
            refuse(fmt::format("its setting '{}' is {}, which a rule cannot read", name, what),
                   "Export the layer without it, or let the rule ignore it.");
        }
    }
    refuse(fmt::format("it has no setting '{}'", name));
}

void CustomLayer::ignore_setting(const std::string& name) {
    const bool many = name.ends_with('*');
    const std::string_view begin = std::string_view(name).substr(0, name.size() - (many ? 1 : 0));
    bool found = many;
    const auto mark = [&](const std::string& known) {
        if (many ? known.starts_with(begin) : known == name) {
            used_.insert("setting " + known);
            found = true;
        }
    };
    for (const auto& [known, value] : settings_) {
        mark(known);
    }
    for (const auto& [known, what] : opaque_) {
        mark(known);
    }
    if (!found) {
        refuse(fmt::format("its rule ignores a setting '{}', which it has not", name));
    }
}

std::int64_t CustomLayer::add(Operand operand) {
    operands_.push_back(std::move(operand));
    return static_cast<std::int64_t>(operands_.size()) - 1;
}

const Operand& CustomLayer::operand(std::int64_t number) const {
    if (number < 0 || number >= static_cast<std::int64_t>(operands_.size())) {
        refuse("its rule uses a tensor that does not belong to it");
    }
    return operands_[static_cast<std::size_t>(number)];
}

std::int64_t CustomLayer::add_constant(Tensor value) {
    return add(Builder::tensor(std::move(value)));
}

std::vector<std::int64_t> CustomLayer::emit(
    std::string_view op, const std::vector<std::pair<std::string, std::string>>& fields,
    const std::vector<std::int64_t>& operands) {
    const Operator* found = layer_operator(op);
    if (found == nullptr) {
        refuse(fmt::format("its rule asks for an operator '{}', which there is not", op));
    }
    const auto count = static_cast<int>(operands.size());
    if (count < found->min_inputs || (found->max_inputs >= 0 && count > found->max_inputs)) {
        refuse(fmt::format("its rule gives operator '{}' {} inputs", op, count));
    }
    Attributes attributes;
    if (found->fields != nullptr) {
        const network::FieldTable& table = found->fields();
        std::shared_ptr<void> values = table.make();
        for (const auto& [name, text] : fields) {
            const auto row =
                std::find_if(table.rows.begin(), table.rows.end(),
                             [&, known = &name](const auto& r) { return r.name == *known; });
            if (row == table.rows.end() || !row->parse(text, values.get())) {
                refuse(fmt::format("its rule gives operator '{}' a field '{}' of value '{}'", op,
                                   name, text.substr(0, 40)));
            }
        }
        attributes = Attributes(std::move(values), &table);
    } else if (!fields.empty()) {
        refuse(fmt::format("its rule gives operator '{}' fields, which it has not", op));
    }
    std::vector<Operand> inputs;
    int batch_axis = -1;
    for (const std::int64_t number : operands) {
        inputs.push_back(operand(number));
        batch_axis = inputs.back().batch_axis >= 0 ? 0 : batch_axis;
    }
    std::vector<std::int64_t> out;
    for (Operand& y : builder_.emit(*found, std::move(attributes), inputs, batch_axis)) {
        out.push_back(add(std::move(y)));
    }
    return out;
}

void CustomLayer::refuse(std::string message, std::string remedy) const {
    builder_.refuse(std::move(message), std::move(remedy));
}

std::vector<Operand> CustomLayer::finish(const std::vector<std::int64_t>& results_of) {
    Diagnostics diagnostics;
    const auto check = [&](const char* kind, const std::string& name, Code code,
                           std::string attribute) {
        if (!used_.contains(fmt::format("{} {}", kind, name))) {
            diagnostics.add(
                code, builder_.where(std::move(attribute)),
                fmt::format("the rule for it does not read its {} '{}'", kind, name),
                fmt::format("Let the rule use it{}.",
                            code == Code::unsupported_attribute
                                ? fmt::format(", or say layer.ignore('{}', because=...)", name)
                                : std::string()));
        }
    };
    for (const auto& [name, value] : settings_) {
        check("setting", name, Code::unsupported_attribute, name);
    }
    for (const auto& [name, what] : opaque_) {
        check("setting", name, Code::unsupported_attribute, name);
    }
    for (const auto& [name, value] : weights_) {
        check("weight", name, Code::weights_mismatch, "");
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
        if (inputs_[i] >= 0) {
            check("input", std::to_string(i), Code::unsupported_form, "");
        }
    }
    diagnostics.throw_if_errors();
    if (results_of.empty()) {
        refuse("the rule for it gives no result");
    }
    std::vector<Operand> out;
    for (const std::int64_t number : results_of) {
        out.push_back(operand(number));
    }
    return out;
}

}  // namespace gatewright::layers
