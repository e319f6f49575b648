#include "import/torch/module.h"

#include <fmt/format.h>

#include <algorithm>

namespace gatewright::torch {

namespace {

using Kind = PickleValue::Kind;

/// What every module has beside its own attributes.
constexpr std::string_view bookkeeping[] = {
    "training",
    "_parameters",
    "_buffers",
    "_modules",
    "_non_persistent_buffers_set",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "_backend",
    "_version",
    "dump_patches",
    "inplace",  // the result is the same
    "__constants__",
};

/// Functions that would run with the layer: there must be none.
constexpr std::string_view hooks[] = {
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
};

constexpr std::string_view modules_prefix = "torch.nn.modules.";

}  // namespace

Module::Module(const TorchFile& file, const PickleValue& object, std::string path, bool custom)
    : file_(file), path_(std::move(path)) {
    type_ = object.text.substr(object.text.rfind('.') + 1);
    if (object.kind != Kind::object || (!custom && !object.text.starts_with(modules_prefix))) {
        throw Failure(
            Code::code_refused, {file.file(), path_, object.text, ""},
            "its class is none of PyTorch's own layers, and its code is not in the file",
            "Export the model with torch.export.save (.pt2). " + layers::how_to_register(type_));
    }
    if (!object.has_state || file.at(object.state).kind != Kind::dict) {
        file.malformed("a layer has no attributes", path_);
    }
    state_ = &file.at(object.state);
    for (const std::string_view name : bookkeeping) {
        used_.emplace(name);
    }
    for (const std::string_view name : hooks) {
        const PickleValue* hook = find(name);
        if (hook != nullptr && !hook->items.empty()) {
            throw Failure(Code::code_refused, {file.file(), path_, type_, std::string(name)},
                          "a function is hooked to the layer, and its code is not in the file",
                          "Remove the hook, or export the model with torch.export.save (.pt2).");
        }
    }
    training_ = flag("training", false);
    for (const char* kind : {"_parameters", "_buffers"}) {
        const PickleValue* dict = find(kind);
        if (dict == nullptr) {
            continue;
        }
        if (dict->kind != Kind::dict) {
            file.malformed(fmt::format("'{}' is no dict", kind), path_);
        }
        for (std::size_t i = 0; i + 1 < dict->items.size(); i += 2) {
            if (file.is_tensor(file.at(dict->items[i + 1]))) {
                tensors_.push_back(file.at(dict->items[i]).text);
            }
        }
    }
}

void Module::refuse(std::string message, std::string remedy, std::string attribute) const {
    throw Failure(attribute.empty() ? Code::unsupported_form : Code::unsupported_attribute,
                  {file_.file(), path_, type_, std::move(attribute)}, std::move(message),
                  std::move(remedy));
}

const PickleValue* Module::find(std::string_view name) {
    used_.emplace(name);
    const PickleValue* value = file_.pickle().find(*state_, name);
    return value == nullptr || value->kind == Kind::none ? nullptr : value;
}

const PickleValue& Module::attribute(std::string_view name) {
    const PickleValue* value = find(name);
    if (value == nullptr) {
        refuse("the attribute is missing", {}, std::string(name));
    }
    return *value;
}

bool Module::has(std::string_view name) {
    return find(name) != nullptr;
}

std::int64_t Module::integer(std::string_view name) {
    const PickleValue& value = attribute(name);
    if (value.kind != Kind::integer && value.kind != Kind::boolean) {
        refuse("it is no integer", {}, std::string(name));
    }
    return value.integer;
}

double Module::real(std::string_view name) {
    const PickleValue& value = attribute(name);
    if (value.kind == Kind::real) {
        return value.real;
    }
    return static_cast<double>(integer(name));
}

double Module::real(std::string_view name, double otherwise) {
    return has(name) ? real(name) : otherwise;
}

bool Module::flag(std::string_view name, std::optional<bool> otherwise) {
    if (otherwise && !has(name)) {
        return *otherwise;
    }
    return integer(name) != 0;
}

bool Module::is_text(std::string_view name) {
    const PickleValue* value = find(name);
    return value != nullptr && value->kind == Kind::text;
}

std::string Module::text(std::string_view name, const std::string& otherwise) {
    const PickleValue* value = find(name);
    if (value == nullptr) {
        return otherwise;
    }
    if (value->kind != Kind::text) {
        refuse("it is no text", {}, std::string(name));
    }
    return value->text;
}

std::vector<std::int64_t> Module::integers(std::string_view name) {
    const PickleValue& value = attribute(name);
    if (value.kind == Kind::integer) {
        return {value.integer};
    }
    if (value.kind != Kind::tuple && value.kind != Kind::list) {
        refuse("it is no list of integers", {}, std::string(name));
    }
    std::vector<std::int64_t> out;
    for (const PickleRef ref : value.items) {
        if (file_.at(ref).kind != Kind::integer) {
            refuse("it is no list of integers", {}, std::string(name));
        }
        out.push_back(file_.at(ref).integer);
    }
    return out;
}

std::vector<double> Module::reals(std::string_view name) {
    const PickleValue& value = attribute(name);
    if (value.kind == Kind::real || value.kind == Kind::integer) {
        return {real(name)};
    }
    std::vector<double> out;
    for (const PickleRef ref : value.items) {
        const PickleValue& item = file_.at(ref);
        if (item.kind != Kind::real && item.kind != Kind::integer) {
            refuse("it is no list of numbers", {}, std::string(name));
        }
        out.push_back(item.kind == Kind::real ? item.real : static_cast<double>(item.integer));
    }
    return out;
}

bool Module::has_tensor(std::string_view name) const {
    return std::find(tensors_.begin(), tensors_.end(), name) != tensors_.end();
}

std::vector<std::pair<std::string, const PickleValue*>> Module::children() const {
    std::vector<std::pair<std::string, const PickleValue*>> out;
    const PickleValue* modules = file_.pickle().find(*state_, "_modules");
    if (modules == nullptr || modules->kind != Kind::dict) {
        return out;
    }
    for (std::size_t i = 0; i + 1 < modules->items.size(); i += 2) {
        const PickleValue& child = file_.at(modules->items[i + 1]);
        if (child.kind != Kind::none) {
            out.emplace_back(file_.at(modules->items[i]).text, &child);
        }
    }
    return out;
}

std::vector<std::pair<std::string, const PickleValue*>> Module::attributes() const {
    std::vector<std::pair<std::string, const PickleValue*>> out;
    for (std::size_t i = 0; i + 1 < state_->items.size(); i += 2) {
        const std::string& name = file_.at(state_->items[i]).text;
        const bool common = std::find(std::begin(bookkeeping), std::end(bookkeeping), name) !=
                                std::end(bookkeeping) ||
                            std::find(std::begin(hooks), std::end(hooks), name) != std::end(hooks);
        if (!common) {
            out.emplace_back(name, &file_.at(state_->items[i + 1]));
        }
    }
    return out;
}

void Module::store(Program& program) const {
    for (const char* kind : {"_parameters", "_buffers"}) {
        const PickleValue* dict = file_.pickle().find(*state_, kind);
        if (dict == nullptr) {
            continue;
        }
        for (auto& [name, tensor] : file_.tensors(*dict)) {
            const std::string full = path_.empty() ? name : path_ + "." + name;
            program.stored[full] = full;
            program.saved.insert(full);
            program.tensors[full] = std::move(tensor);
        }
    }
}

void Module::check_used() const {
    for (std::size_t i = 0; i + 1 < state_->items.size(); i += 2) {
        const std::string& name = file_.at(state_->items[i]).text;
        if (!used_.contains(name)) {
            refuse("this attribute is not known here",
                   "Export the model with torch.export.save (.pt2).", name);
        }
    }
}

void Chain::add(const Module& module, const std::string& target, const std::string& self,
                Arguments arguments) {
    call(module, "torch.ops.aten." + target, self, std::move(arguments));
}

void Chain::call(const Module& module, std::string target, const std::string& self,
                 Arguments arguments) {
    GraphNode node;
    node.target = std::move(target);
    node.name = module.path().empty() ? module.type() : module.path();
    node.arguments.emplace_back(self, value(last_));
    for (auto& argument : arguments) {
        node.arguments.push_back(std::move(argument));
    }
    last_ = fmt::format("v{}", program_.nodes.size());
    node.outputs.push_back(last_);
    program_.nodes.push_back(std::move(node));
}

Argument Chain::tensor(const Module& module, const std::string& name) {
    Argument out;
    if (module.has_tensor(name)) {
        out.kind = Argument::Kind::tensor;
        out.names.push_back(module.path().empty() ? name : module.path() + "." + name);
    }
    return out;
}

Argument Chain::number(double value) {
    Argument out;
    out.kind = Argument::Kind::real;
    out.reals.push_back(value);
    return out;
}
Argument Chain::integer(std::int64_t value) {
    Argument out;
    out.kind = Argument::Kind::integer;
    out.integers.push_back({value, ""});
    return out;
}
Argument Chain::integers(std::vector<std::int64_t> values) {
    Argument out;
    out.kind = Argument::Kind::integers;
    for (const std::int64_t value : values) {
        out.integers.push_back({value, ""});
    }
    return out;
}
Argument Chain::flag(bool value) {
    Argument out;
    out.kind = Argument::Kind::boolean;
    out.integers.push_back({value ? 1 : 0, ""});
    return out;
}
Argument Chain::text(std::string value) {
    Argument out;
    out.kind = Argument::Kind::text;
    out.texts.push_back(std::move(value));
    return out;
}
Argument Chain::reals(std::vector<double> values) {
    Argument out;
    out.kind = Argument::Kind::reals;
    out.reals = std::move(values);
    return out;
}
Argument Chain::value(std::string name) {
    Argument out;
    out.kind = Argument::Kind::tensor;
    out.names.push_back(std::move(name));
    return out;
}

}  // namespace gatewright::torch
