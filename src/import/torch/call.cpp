#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/torch/importer.h"
#include "import/torch/rules.h"

namespace gatewright::torch {

using Kind = Argument::Kind;

namespace {

/// Arguments that are elements of the result somewhere, and may be what is no number.
constexpr std::string_view elements[] = {"fill_value", "nan", "other", "s", "self", "value"};

/// Arguments that count or measure something, in all operators that have them.
constexpr std::string_view counts[] = {
    "chunks",     "dilation",       "divisor_override", "groups",  "kernel_size", "num_groups",
    "num_layers", "output_padding", "output_size",      "padding", "repeats",     "stride"};

/// An integer, which must make sense as one of that name.
std::int64_t sound(const Call& call, std::string_view name, std::int64_t value) {
    if (value < 0 && std::find(std::begin(counts), std::end(counts), name) != std::end(counts)) {
        call.refuse(fmt::format("it is {}, which is negative", value), {}, std::string(name));
    }
    return value;
}

/// A real argument, which must make sense as one.
double sound(const Call& call, std::string_view name, double value) {
    if (std::isnan(value) &&
        std::find(std::begin(elements), std::end(elements), name) == std::end(elements)) {
        call.refuse("it is nan, which is no number", {}, std::string(name));
    }
    if (name == "eps" && value < 0) {
        call.refuse(fmt::format("it is {}, which is negative", value), {}, std::string(name));
    }
    return value;
}

}  // namespace

Call::Call(Importer& importer, const GraphNode& node)
    : Builder(importer.network(), location_of(importer.program(), node)),
      importer_(importer),
      node_(node) {}

const Argument* Call::find(std::string_view name) {
    used_.emplace(name);
    for (const auto& [key, argument] : node_.arguments) {
        if (key == name) {
            return argument.kind == Kind::none ? nullptr : &argument;
        }
    }
    return nullptr;
}

void Call::wrong_kind(std::string_view name, std::string_view wanted) {
    refuse(fmt::format("it is not {}", wanted), {}, std::string(name));
}

void Call::missing(std::string_view name) {
    throw Failure(Code::model_config_malformed, where(std::string(name)),
                  "this argument is missing", "Export the model again with torch.export.save.");
}

bool Call::has(std::string_view name) {
    return find(name) != nullptr;
}

std::optional<Operand> Call::optional(std::string_view name) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        return std::nullopt;
    }
    const bool integral = is_integral(result_type());
    if (argument->kind == Kind::tensor) {
        Operand x = importer_.find(argument->names.front());
        // Integer arithmetic is what gives integers; what gives reals computes with reals.
        x.is_integer = x.is_constant && integral && is_integral(type_of(name));
        return x;
    }
    if (argument->kind == Kind::real) {
        // Numbers meet tensors in the tensor's type.
        const double value = sound(*this, name, argument->reals.front());
        return number(is_real(result_type()) && result_type() == ScalarType::float32
                          ? static_cast<double>(static_cast<float>(value))
                          : value);
    }
    if (argument->kind == Kind::integer || argument->kind == Kind::boolean) {
        const Extent extent = importer_.number(argument->integers.front(), where());
        if (extent.batch) {
            throw BatchMixed();
        }
        Operand x = number(static_cast<double>(extent.value));
        x.is_integer = integral;
        return x;
    }
    wrong_kind(name, "a tensor");
}

Operand Call::operand(std::string_view name) {
    std::optional<Operand> x = optional(name);
    if (!x) {
        missing(name);
    }
    return *std::move(x);
}

std::vector<std::optional<Operand>> Call::optionals(std::string_view name) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        missing(name);
    }
    if (argument->kind != Kind::tensors) {
        wrong_kind(name, "a list of tensors");
    }
    const bool integral = is_integral(result_type());
    std::vector<std::optional<Operand>> out;
    for (const std::string& value : argument->names) {
        if (value.empty()) {
            out.emplace_back();
            continue;
        }
        Operand x = importer_.find(value);
        x.is_integer = x.is_constant && integral;
        out.emplace_back(std::move(x));
    }
    return out;
}

std::vector<Operand> Call::operands(std::string_view name) {
    std::vector<Operand> out;
    for (std::optional<Operand>& x : optionals(name)) {
        if (!x) {
            refuse("a tensor of it is left out", {}, std::string(name));
        }
        out.push_back(*std::move(x));
    }
    return out;
}

Tensor Call::constant(std::string_view name) {
    const Operand x = operand(name);
    if (!x.is_constant) {
        refuse("it is computed from the model's inputs", "Export the model with a constant there.",
               std::string(name));
    }
    return x.constant;
}

std::int64_t Call::integer(std::string_view name, std::optional<std::int64_t> otherwise) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        if (!otherwise) {
            missing(name);
        }
        return *otherwise;
    }
    if (argument->kind != Kind::integer && argument->kind != Kind::boolean) {
        wrong_kind(name, "an integer");
    }
    const Extent extent = importer_.number(argument->integers.front(), where(std::string(name)));
    if (extent.batch) {
        throw BatchMixed();
    }
    return sound(*this, name, extent.value);
}

std::vector<Extent> Call::extents(std::string_view name) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        missing(name);
    }
    if (argument->kind != Kind::integers && argument->kind != Kind::integer) {
        // An empty list has no kind of its own.
        if (argument->kind == Kind::tensors && argument->names.empty()) {
            return {};
        }
        wrong_kind(name, "a list of integers");
    }
    std::vector<Extent> out;
    for (const GraphInteger& integer : argument->integers) {
        out.push_back(importer_.number(integer, where(std::string(name))));
        sound(*this, name, out.back().value);
    }
    return out;
}

Shape Call::integers(std::string_view name, std::optional<Shape> otherwise) {
    if (find(name) == nullptr) {
        if (!otherwise) {
            missing(name);
        }
        return *std::move(otherwise);
    }
    Shape out;
    for (const Extent& extent : extents(name)) {
        if (extent.batch) {
            throw BatchMixed();
        }
        out.push_back(extent.value);
    }
    return out;
}

Shape Call::spatial(std::string_view name, std::size_t rank, std::int64_t otherwise) {
    Shape out = integers(name, Shape{otherwise});
    if (out.size() == 1) {
        out.assign(rank, out.front());
    }
    if (out.size() != rank) {
        refuse(fmt::format("it has {} numbers for {} axes", out.size(), rank), {},
               std::string(name));
    }
    return out;
}

double Call::real(std::string_view name, std::optional<double> otherwise) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        if (!otherwise) {
            missing(name);
        }
        return *otherwise;
    }
    if (argument->kind == Kind::real) {
        return sound(*this, name, argument->reals.front());
    }
    if (argument->kind != Kind::integer && argument->kind != Kind::boolean) {
        wrong_kind(name, "a number");
    }
    return sound(*this, name, static_cast<double>(integer(name)));
}

std::vector<double> Call::reals(std::string_view name) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        missing(name);
    }
    if (argument->kind == Kind::reals || argument->kind == Kind::real) {
        return argument->reals;
    }
    std::vector<double> out;
    for (const std::int64_t value : integers(name)) {
        out.push_back(static_cast<double>(value));
    }
    return out;
}

bool Call::flag(std::string_view name, std::optional<bool> otherwise) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        if (!otherwise) {
            missing(name);
        }
        return *otherwise;
    }
    if (argument->kind != Kind::boolean && argument->kind != Kind::integer) {
        wrong_kind(name, "a flag");
    }
    const std::int64_t value = integer(name);
    if (value != 0 && value != 1) {
        refuse(fmt::format("it is {}, neither true nor false", value), {}, std::string(name));
    }
    return value == 1;
}

std::string Call::text(std::string_view name, std::optional<std::string> otherwise) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        if (!otherwise) {
            missing(name);
        }
        return *std::move(otherwise);
    }
    if (argument->kind != Kind::text) {
        wrong_kind(name, "a text");
    }
    return argument->texts.front();
}

ScalarType Call::type(std::string_view name, ScalarType otherwise) {
    const Argument* argument = find(name);
    if (argument == nullptr) {
        return otherwise;
    }
    if (argument->kind != Kind::type) {
        wrong_kind(name, "an element type");
    }
    return static_cast<ScalarType>(argument->integers.front().value);
}

void Call::ignore(std::string_view name) {
    used_.emplace(name);
}

void Call::demand(bool holds, std::string_view name, std::string message, std::string remedy) {
    used_.emplace(name);
    if (!holds) {
        refuse(std::move(message), std::move(remedy), std::string(name));
    }
}

ScalarType Call::result_type(std::size_t output) const {
    return output < node_.outputs.size() ? importer_.type_of(node_.outputs[output])
                                         : ScalarType::unknown;
}

ScalarType Call::type_of(std::string_view argument) {
    const Argument* found = find(argument);
    if (found == nullptr || found->kind != Kind::tensor) {
        return ScalarType::unknown;
    }
    return importer_.type_of(found->names.front());
}

const TensorMeta* Call::meta_of(std::string_view argument) {
    const Argument* found = find(argument);
    if (found == nullptr || found->kind != Kind::tensor) {
        return nullptr;
    }
    const auto& metas = importer_.program().metas;
    const auto meta = metas.find(found->names.front());
    return meta == metas.end() ? nullptr : &meta->second;
}

void Call::set(Operand y, std::size_t output) {
    if (output < node_.outputs.size() && !node_.outputs[output].empty()) {
        importer_.define(node_.outputs[output], std::move(y));
    }
}

std::optional<int> Call::joined(std::string_view argument) {
    const Argument* found = find(argument);
    return found == nullptr || found->kind != Kind::tensor ? std::nullopt
                                                           : importer_.joined(found->names.front());
}

void Call::join(int axis) {
    importer_.join(node_.outputs.at(0), axis);
}

std::vector<std::string> Call::unused_arguments() const {
    std::vector<std::string> out;
    for (const auto& [name, argument] : node_.arguments) {
        if (!used_.contains(name) && argument.kind != Kind::none && !is_harmless(name)) {
            out.push_back(name);
        }
    }
    return out;
}

}  // namespace gatewright::torch
