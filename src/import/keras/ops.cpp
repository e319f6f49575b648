#include "import/keras/ops.h"

#include <fmt/format.h>

#include <functional>

namespace gatewright::keras {

namespace {

const Json nothing;

}  // namespace

const Json& parameter(Call& call, std::initializer_list<const char*> names, std::size_t position) {
    for (const char* name : names) {
        if (call.settings.has(name)) {
            return call.settings.json(name);
        }
        call.settings.ignore(name);
    }
    for (const char* name : names) {
        const Argument* found = call.argument(name);
        if (found != nullptr && (found->value || found->list)) {
            call.refuse("it is computed from the model's inputs", "Give it as a constant.", name);
        }
        if (found != nullptr) {
            return found->literal;
        }
    }
    if (position != SIZE_MAX) {
        const Argument* found = call.argument(position, *names.begin());
        if (found != nullptr && (found->value || found->list)) {
            call.refuse("it is computed from the model's inputs", "Give it as a constant.",
                        *names.begin());
        }
        if (found != nullptr) {
            return found->literal;
        }
    }
    return nothing;
}

bool flag_of(Call& call, std::initializer_list<const char*> names, std::size_t position,
             bool otherwise) {
    const Json& given = parameter(call, names, position);
    if (!given.is_null() && !given.is_boolean()) {
        call.refuse("it is neither true nor false", {}, *names.begin());
    }
    return given.is_null() ? otherwise : given.get<bool>();
}

std::int64_t integer_of(Call& call, const Json& value, const char* name) {
    if (!value.is_number_integer() || value > INT32_MAX || value < INT32_MIN) {
        call.refuse("it is no integer", {}, name);
    }
    return value.get<std::int64_t>();
}

Shape integers_of(Call& call, const Json& value, const char* name) {
    if (!value.is_array()) {
        return {integer_of(call, value, name)};
    }
    Shape out;
    for (const Json& part : value) {
        out.push_back(integer_of(call, part, name));
    }
    return out;
}

Operand constant_of(Call& call, const Json& value, const char* name) {
    if (value.is_object() && value.contains("config") && value["config"].is_object() &&
        value["config"].contains("value")) {
        return constant_of(call, value["config"]["value"], name);
    }
    Tensor tensor;
    const Json* part = &value;
    while (part->is_array() && !part->empty()) {
        tensor.shape.push_back(static_cast<std::int64_t>(part->size()));
        part = &part->front();
    }
    const std::function<void(const Json&, std::size_t)> gather = [&](const Json& p,
                                                                     std::size_t depth) {
        if (p.is_array() && depth < tensor.shape.size() &&
            static_cast<std::int64_t>(p.size()) == tensor.shape[depth]) {
            for (const Json& inner : p) {
                gather(inner, depth + 1);
            }
        } else if (depth == tensor.shape.size() && (p.is_number() || p.is_boolean())) {
            tensor.values.push_back(p.is_boolean() ? (p.get<bool>() ? 1.0 : 0.0) : p.get<double>());
        } else {
            call.refuse("it is no number or array of numbers", {}, name);
        }
    };
    gather(value, 0);
    for (double& number : tensor.values) {
        number = static_cast<double>(static_cast<float>(number));
    }
    return Call::tensor(std::move(tensor));
}

Operand operand_of(Call& call, std::size_t position, std::initializer_list<const char*> names) {
    const Argument* found = call.argument(position, *names.begin());
    for (const char* name : names) {
        if (found == nullptr) {
            found = call.argument(name);
        }
    }
    if (found == nullptr || found->list) {
        call.refuse(fmt::format("it has no argument {}", *names.begin()));
    }
    if (found->value) {
        return found->value->operand;
    }
    return constant_of(call, found->literal, *names.begin());
}

Operand x_of(Call& call) {
    return operand_of(call, 0,
                      {"x", "inputs", "input", "a", "input_tensor", "features", "logits", "values",
                       "value", "tensor", "images"});
}

}  // namespace gatewright::keras
