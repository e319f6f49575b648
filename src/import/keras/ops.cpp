#include "import/keras/ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "operators/layers.h"
#include "operators/selection.h"

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

double real_of(Call& call, const char* name, std::size_t position, double otherwise) {
    const Json& given = parameter(call, {name}, position);
    if (given.is_null()) {
        return otherwise;
    }
    if (!given.is_number()) {
        call.refuse("it is no number", {}, name);
    }
    return given.get<double>();
}

std::int64_t sample_axis(Call& call, const Operand& x, std::optional<std::int64_t> otherwise,
                         const char* name, std::size_t position) {
    const Json& given = parameter(call, {name}, position);
    if (given.is_null() && !otherwise) {
        throw layers::BatchMixed();  // all elements, of all samples
    }
    return call.axis(x, given.is_null() ? *otherwise : integer_of(call, given, name));
}

Shape axes_of(Call& call, const Operand& x, const Json& given, const char* name) {
    Shape out;
    for (const std::int64_t axis : integers_of(call, given, name)) {
        out.push_back(call.axis(x, axis));
    }
    std::sort(out.begin(), out.end());
    if (out.empty() || std::adjacent_find(out.begin(), out.end()) != out.end()) {
        call.refuse("it names an axis twice, or none", {}, name);
    }
    return out;
}

Shape reduced_axes(Call& call, const Operand& x, std::size_t position) {
    const Json& given = parameter(call, {"axis"}, position);
    if (given.is_null()) {
        throw layers::BatchMixed();
    }
    return axes_of(call, x, given, "axis");
}

Operand joined(Call& call, const char* name, const Operand& a, const Operand& b) {
    return call.elementwise(operators::join_operator, Attributes::of(operators::JoinFields{name}),
                            {a, b});
}

Operand chosen(Call& call, const Operand& condition, const Operand& a, const Operand& b) {
    return call.elementwise(operators::select_operator, Attributes(), {condition, a, b});
}

std::vector<Operand> ordered(Call& call, const Operand& x, std::int64_t axis) {
    operators::TopKLayerFields fields;
    fields.axis = axis;
    fields.k = x.sample_shape()[static_cast<std::size_t>(axis)];
    fields.smallest = true;
    return call.emit(operators::top_k_operator, Attributes::of(fields), {x}, x.batch_axis);
}

std::vector<RuleRow> op_rules(std::span<const OpRow> rows) {
    std::vector<RuleRow> out;
    for (const OpRow& row : rows) {
        out.push_back({row.name, row.rule, Masking::ends, "keras.ops"});
    }
    return out;
}

}  // namespace gatewright::keras
