#include "import/keras/call.h"

#include <fmt/format.h>

#include <algorithm>

#include "import/keras/importer.h"
#include "import/keras/precision.h"

namespace gatewright::keras {

namespace {

void gather(const Argument& argument, std::vector<Value>& out) {
    if (argument.value) {
        out.push_back(*argument.value);
    } else if (argument.list) {
        for (const Argument& part : *argument.list) {
            gather(part, out);
        }
    }
}

}  // namespace

std::vector<Value> Argument::tensors() const {
    std::vector<Value> out;
    gather(*this, out);
    return out;
}

Arguments::Arguments(std::vector<Value> inputs) {
    if (inputs.size() == 1) {
        args.emplace_back(std::move(inputs.front()));
        return;
    }
    Argument all;
    all.list.emplace();
    for (Value& input : inputs) {
        all.list->emplace_back(std::move(input));
    }
    args.push_back(std::move(all));
}

Call::Call(Importer& importer, const Object& object, std::string path, Weights weights,
           Arguments arguments)
    : Builder(importer.network(), {importer.model().file, path, object.class_name, ""}),
      settings(object.config, where()),
      importer_(importer),
      object_(object),
      path_(std::move(path)),
      weights_(std::move(weights)),
      arguments_(std::move(arguments)),
      used_args_(arguments_.args.size(), false) {
    if (!arguments_.args.empty()) {
        inputs_ = arguments_.args.front().tensors();
        used_args_[0] = !inputs_.empty();
    }
}

bool Call::keras2() const {
    return importer_.model().keras_version == 2;
}

const Value& Call::input(std::size_t i) const {
    if (i >= inputs_.size()) {
        refuse(fmt::format("input {} is missing", i));
    }
    return inputs_[i];
}

std::vector<Operand> Call::operands() const {
    std::vector<Operand> out;
    for (const Value& value : inputs_) {
        out.push_back(value.operand);
    }
    return out;
}

void Call::expect_inputs(std::size_t count) const {
    if (inputs_.size() != count) {
        refuse(fmt::format("it has {} inputs instead of {}", inputs_.size(), count));
    }
}

const Argument* Call::argument(std::size_t position, const std::string& name) {
    if (position < arguments_.args.size()) {
        used_args_[position] = true;
        const Argument& found = arguments_.args[position];
        return found.is_none() ? nullptr : &found;
    }
    return argument(name);
}

const Argument* Call::argument(const std::string& name) {
    used_kwargs_.push_back(name);
    const auto at = arguments_.kwargs.find(name);
    return at == arguments_.kwargs.end() || at->second.is_none() ? nullptr : &at->second;
}

bool Call::flag_argument(const std::string& name, bool otherwise) {
    const Argument* found = argument(name);
    if (found == nullptr) {
        return otherwise;
    }
    if (!found->literal.is_boolean()) {
        refuse("it is neither true nor false", {}, name);
    }
    return found->literal.get<bool>();
}

void Call::ignore_dropout(Settings& from, std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
        if (importer_.options().monte_carlo && from.real(key, 0) != 0) {
            from.refuse(key, "--monte-carlo keeps layers of dropout alive, not what others drop",
                        "Leave out --monte-carlo, or build the model with layers of dropout.");
        }
        from.ignore(key);
    }
}

std::optional<Operand> Call::mask(std::size_t i) {
    const Argument* given = argument("mask");
    if (given != nullptr) {
        const std::vector<Value> masks = given->tensors();
        if (given->value && i == 0) {
            return given->value->operand;
        }
        if (given->list && i < given->list->size()) {
            const Argument& one = (*given->list)[i];
            if (one.value) {
                return one.value->operand;
            }
            if (one.is_none()) {
                return std::nullopt;
            }
        }
        refuse("the mask that it is called with has an unknown form", {}, "mask");
    }
    return i < inputs_.size() ? inputs_[i].mask : std::nullopt;
}

Operand Call::weight(const std::string& role, const Shape& shape) {
    return weight(weights_, role, shape);
}

Operand Call::weight(Weights& from, const std::string& role, const Shape& shape) const {
    const std::string name = from.next_name();
    const Tensor* tensor = from.next();
    if (tensor == nullptr) {
        refuse_weights(fmt::format("the file has no {} of this layer", role));
    }
    bool fits = tensor->shape.size() == shape.size();
    for (std::size_t i = 0; fits && i < shape.size(); ++i) {
        fits = shape[i] == -1 || shape[i] == tensor->shape[i];
    }
    if (!fits) {
        refuse_weights(fmt::format("its {} ('{}' in the file) has shape {} instead of {}", role,
                                   name, to_string(tensor->shape), to_string(shape)));
    }
    Operand found = Builder::tensor(*tensor);
    if (precision != Precision::single && !role.starts_with("moving")) {  // those stay as they are
        Builder builder(importer_.network(), where());
        found = rounded_to(builder, found, precision);
    }
    return variant.weight ? variant.weight(role, found) : found;
}

void Call::refuse_weights(std::string message) const {
    throw Failure(Code::weights_mismatch, where(), std::move(message),
                  "Save model and weights together.");
}

void Call::refuse_code(std::string message, std::string remedy) const {
    throw Failure(Code::code_refused, where(), std::move(message), std::move(remedy));
}

void Call::set(Operand y, Kind kind) {
    results_.clear();
    results_.push_back({std::move(y), kind, std::nullopt});
}

void Call::set(std::vector<Operand> ys) {
    results_.clear();
    for (Operand& y : ys) {
        results_.push_back({std::move(y), Kind::real, std::nullopt});
    }
}

void Call::set_values(std::vector<Value> ys) {
    results_ = std::move(ys);
}

std::vector<Value> Call::call_layer(const Layer& layer, Weights weights, Arguments arguments) {
    const std::string name = layer.name.empty() ? layer.class_name : layer.name;
    if (layer.graph == nullptr) {  // a model calls its layers as any model does
        expect_policy_within(*this, layer);
    }
    return importer_.call_layer(layer, path_ + "/" + name, std::move(weights),
                                std::move(arguments));
}

std::vector<Value> Call::call_layer(const Json& serialised, Weights weights, Arguments arguments) {
    return call_layer(read_layer(serialised, where()), std::move(weights), std::move(arguments));
}

Operand Call::call_layer(const Json& serialised, Weights weights, const Operand& x) {
    const std::vector<Value> ys =
        call_layer(serialised, std::move(weights),
                   Arguments(std::vector<Value>{{x, Kind::real, std::nullopt}}));
    if (ys.size() != 1) {
        refuse("the layer inside it gives more than one result");
    }
    return ys.front().operand;
}

std::vector<layers::Setting> Call::told_settings() const {
    std::vector<layers::Setting> out = settings.used_numbers();
    const auto tell = [&](const std::string& name, const Argument& argument) {
        if (!argument.value && !argument.list && !argument.literal.is_null()) {
            out.push_back(
                {name, argument.literal.dump(-1, ' ', false, Json::error_handler_t::replace)});
        }
    };
    for (std::size_t i = 0; i < arguments_.args.size(); ++i) {
        tell(fmt::format("argument {}", i), arguments_.args[i]);
    }
    for (const auto& [name, argument] : arguments_.kwargs) {
        tell(name, argument);
    }
    return out;
}

void Call::report_unused(Diagnostics& diagnostics) const {
    settings.report_unused(diagnostics);
    const auto training = arguments_.kwargs.find("training");
    if (training_matters_ && training != arguments_.kwargs.end() &&
        (training->second.value || training->second.literal == true)) {
        diagnostics.add(Code::unsupported_attribute, where("training"),
                        "it is called with training=True: it then computes with random numbers or "
                        "with statistics of the batch",
                        "Build the model without training=True; dropout that stays active needs "
                        "--monte-carlo.");
    }
    for (std::size_t i = 0; i < used_args_.size(); ++i) {
        if (!used_args_[i] && !arguments_.args[i].is_none()) {
            diagnostics.add(Code::unsupported_form, where(),
                            fmt::format("argument {} of its call is not supported", i));
        }
    }
    for (const auto& [name, value] : arguments_.kwargs) {
        const bool used =
            std::find(used_kwargs_.begin(), used_kwargs_.end(), name) != used_kwargs_.end();
        if (!used && name != "training" && !value.is_none() && value.literal != false) {
            diagnostics.add(Code::unsupported_attribute, where(name),
                            "this argument of its call is not supported");
        }
    }
    if (weights_.left() > 0 && !weights_.is_shared()) {
        diagnostics.add(Code::weights_mismatch, where(),
                        fmt::format("the file has {} more weights of this layer than its "
                                    "configuration says, '{}' first",
                                    weights_.left(), weights_.next_name()),
                        "Save model and weights together.");
    }
}

}  // namespace gatewright::keras
