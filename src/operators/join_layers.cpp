// Layers that join two tensors by a function of the table, and the choice between two tensors.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "operators/core.h"
#include "operators/function.h"
#include "operators/lowering.h"
#include "operators/selection.h"

namespace gatewright::operators {

namespace {

using fixed::Fixed;
using network::field_table;
using network::NoFields;
using Types = std::span<const TensorType>;
using Tensors = std::span<const Tensor* const>;

Shape common_shape(const Node& node, Types inputs) {
    Shape shape = inputs[0].shape;
    for (const TensorType& type : inputs) {
        const auto joined = broadcast(shape, type.shape);
        if (!joined) {
            throw Failure(Code::operator_inputs, node.where,
                          fmt::format("shapes {} and {} do not broadcast", to_string(shape),
                                      to_string(type.shape)));
        }
        shape = *joined;
    }
    return shape;
}

std::vector<TensorType> infer_join(const Node& node, Types inputs) {
    const std::string& name = node.fields<JoinFields>().function;
    const Function* function = find_function(name);
    // These are operators of their own.
    const std::array<std::string_view, 6> others = {"sum",      "difference", "product",
                                                    "quotient", "larger",     "smaller"};
    if (function == nullptr || function->join == nullptr ||
        std::find(others.begin(), others.end(), name) != others.end()) {
        throw Failure(Code::operator_inputs, node.where,
                      fmt::format("there is no function '{}' that joins two tensors", name));
    }
    return {{common_shape(node, inputs), std::nullopt}};
}

std::vector<Tensor> join_reference(const Node& node, Tensors inputs) {
    const Function* function = find_function(node.fields<JoinFields>().function);
    Tensor y{*broadcast(inputs[0]->shape, inputs[1]->shape), {}};
    const auto a = broadcast_index(inputs[0]->shape, y.shape);
    const auto b = broadcast_index(inputs[1]->shape, y.shape);
    y.values.reserve(a.size());
    for (std::size_t e = 0; e < a.size(); ++e) {
        y.values.push_back(
            static_cast<double>(function->join(inputs[0]->values[static_cast<std::size_t>(a[e])],
                                               inputs[1]->values[static_cast<std::size_t>(b[e])])));
    }
    return {y};
}

std::vector<TensorType> infer_select(const Node& node, Types inputs) {
    const bool any_float = std::any_of(inputs.begin(), inputs.end(),
                                       [](const TensorType& type) { return type.is_float(); });
    if (any_float) {
        return {{common_shape(node, inputs), std::nullopt}};
    }
    for (const network::Format& format : inputs[0].fixed->values()) {
        if (format.type.frac != 0 || format.range.low < 0 || format.range.high > 1) {
            throw Failure(Code::operator_inputs, node.where, "its condition is not one bit");
        }
    }
    return infer_map(node, inputs);
}

std::vector<Tensor> select_reference(const Node& node, Tensors inputs) {
    std::vector<TensorType> types;
    for (const Tensor* tensor : inputs) {
        types.push_back({tensor->shape, std::nullopt});
    }
    Tensor y{common_shape(node, types), {}};
    const auto condition = broadcast_index(inputs[0]->shape, y.shape);
    const auto a = broadcast_index(inputs[1]->shape, y.shape);
    const auto b = broadcast_index(inputs[2]->shape, y.shape);
    y.values.reserve(a.size());
    for (std::size_t e = 0; e < a.size(); ++e) {
        const bool holds = inputs[0]->values[static_cast<std::size_t>(condition[e])] != 0;
        y.values.push_back(holds ? inputs[1]->values[static_cast<std::size_t>(a[e])]
                                 : inputs[2]->values[static_cast<std::size_t>(b[e])]);
    }
    return {y};
}

Fixed select(fixed::Builder& builder, const Node&, std::span<const Fixed> x, std::int64_t) {
    return builder.select(x[0], x[1], x[2]);
}

template <Fixed (fixed::Builder::*method)(const Fixed&, const Fixed&)>
Fixed binary(fixed::Builder& builder, const Node&, std::span<const Fixed> x, std::int64_t) {
    return (builder.*method)(x[0], x[1]);
}

}  // namespace

const network::Operator join_operator = {.name = "join",
                                         .formula = "y = function(a, b)",
                                         .min_inputs = 2,
                                         .max_inputs = 2,
                                         .fields = &field_table<JoinFields>,
                                         .infer = &infer_join,
                                         .reference = &join_reference,
                                         .lower = &lower_join};

const network::Operator select_operator = {.name = "select",
                                           .formula = "y = a where condition is not zero, else b",
                                           .min_inputs = 3,
                                           .max_inputs = 3,
                                           .fields = &field_table<NoFields>,
                                           .infer = &infer_select,
                                           .reference = &select_reference,
                                           .lower = &lower_select,
                                           .element = &select};

const network::Operator less_operator = {.name = "less",
                                         .formula = "y = 1 if a < b else 0",
                                         .min_inputs = 2,
                                         .max_inputs = 2,
                                         .fields = &field_table<NoFields>,
                                         .infer = &infer_map,
                                         .element = &binary<&fixed::Builder::less>};
const network::Operator equal_operator = {.name = "equal",
                                          .formula = "y = 1 if a = b else 0",
                                          .min_inputs = 2,
                                          .max_inputs = 2,
                                          .fields = &field_table<NoFields>,
                                          .infer = &infer_map,
                                          .element = &binary<&fixed::Builder::equal>};

}  // namespace gatewright::operators
