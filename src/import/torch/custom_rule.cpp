// Operators and modules of the user's own, as their rules see them.

#include <fmt/format.h>

#include "import/layers/custom.h"
#include "import/torch/module.h"
#include "import/torch/rules.h"

namespace gatewright::torch {

namespace {

using Json = layers::CustomLayer::Json;
using Kind = Argument::Kind;

// Of a pickled module, the tensors and attributes among the arguments of its node.
constexpr std::string_view weights_prefix = "weights.";
constexpr std::string_view settings_prefix = "settings.";

template <class T>
Json list_of(const std::vector<T>& values, bool is_list) {
    return is_list ? Json(values) : Json(values.front());
}

/// An argument that is no tensor.
void add_setting(layers::CustomLayer& layer, const std::string& name, const Argument& argument) {
    switch (argument.kind) {
        case Kind::integer:
        case Kind::integers:
        case Kind::boolean:
        case Kind::booleans: {
            std::vector<Json> values;
            for (const GraphInteger& integer : argument.integers) {
                if (!integer.symbol.empty()) {
                    layer.add_opaque(name, "an extent that is free");
                    return;
                }
                const bool is_boolean =
                    argument.kind == Kind::boolean || argument.kind == Kind::booleans;
                values.push_back(is_boolean ? Json(integer.value != 0) : Json(integer.value));
            }
            layer.add_setting(name, list_of(values, argument.kind == Kind::integers ||
                                                        argument.kind == Kind::booleans));
            return;
        }
        case Kind::real:
        case Kind::reals:
            layer.add_setting(name, list_of(argument.reals, argument.kind == Kind::reals));
            return;
        case Kind::text:
        case Kind::texts:
            layer.add_setting(name, list_of(argument.texts, argument.kind == Kind::texts));
            return;
        case Kind::type:
            layer.add_setting(name,
                              to_string(static_cast<ScalarType>(argument.integers.front().value)));
            return;
        default:
            layer.add_opaque(name,
                             argument.texts.empty() ? "of another kind" : argument.texts.front());
    }
}

/// An attribute of a pickled module as an argument.
Argument argument_of(const TorchFile& file, const PickleValue& value) {
    Argument out;
    switch (value.kind) {
        case PickleValue::Kind::boolean:
            return Chain::flag(value.integer != 0);
        case PickleValue::Kind::integer:
            return Chain::integer(value.integer);
        case PickleValue::Kind::real:
            return Chain::number(value.real);
        case PickleValue::Kind::text:
            return Chain::text(value.text);
        case PickleValue::Kind::list:
        case PickleValue::Kind::tuple: {
            bool integral = true;
            bool real = true;
            bool text = true;
            for (const PickleRef ref : value.items) {
                const PickleValue& item = file.at(ref);
                integral = integral && item.kind == PickleValue::Kind::integer;
                real = real && (item.kind == PickleValue::Kind::integer ||
                                item.kind == PickleValue::Kind::real);
                text = text && item.kind == PickleValue::Kind::text;
                out.integers.push_back({item.integer, ""});
                out.reals.push_back(item.kind == PickleValue::Kind::real
                                        ? item.real
                                        : static_cast<double>(item.integer));
                out.texts.push_back(item.text);
            }
            out.kind = integral ? Kind::integers
                       : real   ? Kind::reals
                       : text   ? Kind::texts
                                : Kind::unknown;
            if (out.kind == Kind::unknown) {
                out.texts.assign(1, "a list of objects");
            }
            return out;
        }
        default:
            out.kind = Kind::unknown;
            out.texts.emplace_back("an object of Python");
            return out;
    }
}

}  // namespace

void add_custom_layer(Chain& chain, const TorchFile& file, Module& module,
                      const std::string& class_name, Program& program) {
    constexpr std::size_t most_arguments = 10'000;
    constexpr int deepest = 16;
    Chain::Arguments arguments;
    const auto add = [&](const auto& self, Module& part, const std::string& prefix,
                         int depth) -> void {
        if (depth > deepest || arguments.size() > most_arguments) {
            file.malformed("its layers lie within each other without end", module.path());
        }
        part.store(program);
        for (const std::string& name : part.tensors()) {
            arguments.emplace_back(fmt::format("{}{}{}", weights_prefix, prefix, name),
                                   Chain::tensor(part, name));
        }
        for (const auto& [name, value] : part.attributes()) {
            if (value->kind != PickleValue::Kind::none) {
                arguments.emplace_back(fmt::format("{}{}{}", settings_prefix, prefix, name),
                                       argument_of(file, *value));
            }
        }
        for (const auto& [name, child] : part.children()) {
            Module inner(file, *child, part.path().empty() ? name : part.path() + "." + name);
            self(self, inner, prefix + name + ".", depth + 1);
        }
    };
    add(add, module, "", 0);
    chain.call(module, class_name, "input", std::move(arguments));
}

void apply_custom_rule(Call& call, const layers::CustomRule& rule) {
    layers::CustomLayer layer(call, "torch");
    for (const auto& [name, argument] : call.node().arguments) {
        call.ignore(name);  // the layer keeps account of them
        if (name.starts_with(weights_prefix)) {
            layer.add_weight(name.substr(weights_prefix.size()),
                             call.importer().find(argument.names.front()).constant);
        } else if (argument.kind == Kind::tensor || argument.kind == Kind::tensors) {
            for (const std::string& value : argument.names) {
                layer.add_input(value.empty() ? std::nullopt
                                              : std::optional(call.importer().find(value)));
            }
        } else if (argument.kind != Kind::none && argument.kind != Kind::place) {
            const bool of_module = name.starts_with(settings_prefix);
            add_setting(layer, of_module ? name.substr(settings_prefix.size()) : name, argument);
        }
    }
    rule(layer);
    if (layer.results.size() != call.outputs()) {
        call.refuse(fmt::format("the rule for it gives {} results instead of {}",
                                layer.results.size(), call.outputs()));
    }
    for (std::size_t i = 0; i < layer.results.size(); ++i) {
        call.set(std::move(layer.results[i]), i);
    }
}

}  // namespace gatewright::torch
