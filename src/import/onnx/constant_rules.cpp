// Constants, and arithmetic of shapes, which becomes constants.

#include <fmt/format.h>

#include <algorithm>

#include "import/onnx/rules.h"

namespace gatewright::onnx {

namespace {

Operand constant_of(std::vector<double> values, Shape shape, bool integer) {
    Operand out;
    out.is_constant = true;
    out.is_integer = integer;
    out.constant = {std::move(shape), std::move(values)};
    return out;
}

Operand index_vector(std::vector<double> values) {
    const auto count = static_cast<std::int64_t>(values.size());
    return constant_of(std::move(values), {count}, true);
}

void constant(Call& call) {
    Operand out;
    out.is_constant = true;
    for (const char* name :
         {"value", "sparse_value", "value_float", "value_int", "value_floats", "value_ints"}) {
        if (!call.has_attribute(name)) {
            continue;
        }
        const OnnxAttribute& value = *call.any(name);
        if (const auto* tensor = std::get_if<OnnxTensor>(&value)) {
            out.constant = tensor->tensor;
            out.is_integer = is_integer(tensor->element);
        } else if (const auto* number = std::get_if<double>(&value)) {
            out.constant = Tensor::scalar(*number);
        } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
            out.constant = Tensor::scalar(static_cast<double>(*integer));
            out.is_integer = true;
        } else if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
            out = constant_of(*reals, {static_cast<std::int64_t>(reals->size())}, false);
        } else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&value)) {
            out = index_vector({integers->begin(), integers->end()});
        } else {
            call.refuse(fmt::format("it is {}", kind_of(value)), {}, name);
        }
        call.set(out);
        const auto* tensor = std::get_if<OnnxTensor>(&value);
        call.set_type(tensor != nullptr ? tensor->element
                      : out.is_integer  ? ElementType::int64
                                        : ElementType::float32);
        return;
    }
    call.refuse("it is a constant of a kind that is not supported",
                "Store it as an ordinary tensor or as numbers.");
}

void shape(Call& call) {
    const Operand& x = call.operand(0);
    std::vector<double> extents;
    for (const std::int64_t extent : x.sample_shape()) {
        extents.push_back(static_cast<double>(extent));
    }
    if (x.batch_axis >= 0) {
        extents.insert(extents.begin() + x.batch_axis, batch_extent);
    }
    const auto rank = static_cast<std::int64_t>(extents.size());
    const auto bound = [&](std::int64_t at) {
        return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
    };
    const std::int64_t start = bound(call.integer("start", 0));
    const std::int64_t end = bound(call.integer("end", rank));
    call.set(index_vector(start < end
                              ? std::vector<double>(extents.begin() + start, extents.begin() + end)
                              : std::vector<double>{}));
    call.set_type(ElementType::int64);
}

void size(Call& call) {
    const Operand& x = call.operand(0);
    if (x.batch_axis >= 0) {
        throw BatchMixed();
    }
    Operand out = Call::number(static_cast<double>(element_count(x.sample_shape())));
    out.is_integer = true;
    call.set(out);
    call.set_type(ElementType::int64);
}

void constant_of_shape(Call& call) {
    Shape extents;
    for (const std::int64_t extent : call.integers(0, "shape")) {
        extents.push_back(extent == static_cast<std::int64_t>(batch_extent) ? 1 : extent);
    }
    if (!checked_element_count(extents) || *checked_element_count(extents) > (1 << 28)) {
        call.refuse(fmt::format("a constant of shape {} is too large", to_string(extents)));
    }
    double value = 0;
    ElementType type = ElementType::float32;
    if (const OnnxAttribute* attribute = call.any("value")) {
        const auto* tensor = std::get_if<OnnxTensor>(attribute);
        if (tensor == nullptr || tensor->tensor.values.size() != 1) {
            call.refuse("it is not one number", {}, "value");
        }
        value = tensor->tensor.values.front();
        type = tensor->element;
    }
    Operand out;
    out.is_constant = true;
    out.is_integer = is_integer(type);
    out.constant = Tensor::filled(extents, value);
    call.set(out);
    call.set_type(type);
}

const RuleRow rows[] = {
    {"Constant", &constant},
    {"ConstantOfShape", &constant_of_shape},
    {"Shape", &shape},
    {"Size", &size},
};

}  // namespace

std::span<const RuleRow> constant_rules() {
    return rows;
}

}  // namespace gatewright::onnx
