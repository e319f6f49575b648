// Layers that read or write at computed positions.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/selection.h"

namespace gatewright::operators {

namespace {

using network::field_table;
using Types = std::span<const TensorType>;
using Tensors = std::span<const Tensor* const>;

[[noreturn]] void refuse(const Node& node, std::string message) {
    throw Failure(Code::operator_inputs, node.where, std::move(message));
}

void check_axis(const Node& node, const Shape& x, std::int64_t axis) {
    if (axis < 0 || axis >= static_cast<std::int64_t>(x.size())) {
        refuse(node, fmt::format("there is no axis {} in shape {}", axis, to_string(x)));
    }
}

void check_outside(const Node& node, const std::string& outside) {
    if (outside != "error" && outside != "clamp" && outside != "zero") {
        refuse(node, fmt::format("what lies outside cannot be '{}'", outside));
    }
}

Shape part(const Shape& shape, std::int64_t begin, std::int64_t end) {
    return {shape.begin() + static_cast<std::ptrdiff_t>(begin),
            shape.begin() + static_cast<std::ptrdiff_t>(end)};
}

std::vector<TensorType> checked(const Node& node, Shape shape) {
    if (!checked_element_count(shape)) {
        refuse(node, fmt::format("a result of shape {} has too many elements", to_string(shape)));
    }
    return {{std::move(shape), std::nullopt}};
}

/// A computed position within `extent`; -1 for nothing there.
template <class Fields>
std::int64_t position(const Node& node, const Fields& f, double value, std::int64_t extent) {
    if (value != std::trunc(value) || std::abs(value) > 9e15) {
        refuse(node, fmt::format("a computed position is {}, which is no integer", value));
    }
    auto at = static_cast<std::int64_t>(value);
    at += f.wrap && at < 0 ? extent : 0;
    if (at >= 0 && at < extent) {
        return at;
    }
    if (f.outside == "error" || (f.outside == "clamp" && extent == 0)) {
        refuse(node, fmt::format("a computed position is {}, outside of an axis of {} elements",
                                 value, extent));
    }
    return f.outside == "zero" ? -1 : (at < 0 ? 0 : extent - 1);
}

/// For each element of the result, the element of x (or -1), of each kind of reading.

std::vector<TensorType> infer_gather(const Node& node, Types inputs) {
    const auto& f = node.fields<GatherFields>();
    const Shape& x = inputs[0].shape;
    check_axis(node, x, f.axis);
    check_outside(node, f.outside);
    Shape shape = part(x, 0, f.axis);
    shape.insert(shape.end(), inputs[1].shape.begin(), inputs[1].shape.end());
    const Shape rest = part(x, f.axis + 1, static_cast<std::int64_t>(x.size()));
    shape.insert(shape.end(), rest.begin(), rest.end());
    return checked(node, std::move(shape));
}

std::vector<Tensor> gather_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<GatherFields>();
    const Tensor& x = *inputs[0];
    const Tensor& index = *inputs[1];
    const std::vector<TensorType> types = {{x.shape, std::nullopt}, {index.shape, std::nullopt}};
    Tensor y{infer_gather(node, types).front().shape, {}};
    const std::int64_t extent = x.shape[static_cast<std::size_t>(f.axis)];
    const std::int64_t inner = strides_of(x.shape)[static_cast<std::size_t>(f.axis)];
    const std::int64_t outer = element_count(part(x.shape, 0, f.axis));
    y.values.reserve(static_cast<std::size_t>(element_count(y.shape)));
    for (std::int64_t o = 0; o < outer; ++o) {
        for (const double value : index.values) {
            const std::int64_t at = position(node, f, value, extent);
            for (std::int64_t i = 0; i < inner; ++i) {
                y.values.push_back(
                    at < 0 ? 0 : x.values[static_cast<std::size_t>((o * extent + at) * inner + i)]);
            }
        }
    }
    return {y};
}

/// Shapes of x and of positions that replace those along one axis.
void check_elements(const Node& node, const Shape& x, const Shape& index, std::int64_t axis) {
    check_axis(node, x, axis);
    bool fits = x.size() == index.size();
    for (std::size_t i = 0; fits && i < x.size(); ++i) {
        fits = static_cast<std::int64_t>(i) == axis || index[i] <= x[i];
    }
    if (!fits) {
        refuse(node, fmt::format("positions of shape {} do not fit shape {} along axis {}",
                                 to_string(index), to_string(x), axis));
    }
}

/// Visits (element of the index, element of x or -1).
template <class Fields, class F>
void for_each_element(const Node& node, const Fields& f, const Shape& x, const Tensor& index,
                      F visit) {
    const auto strides = strides_of(x);
    const auto index_strides = strides_of(index.shape);
    for (std::size_t e = 0; e < index.values.size(); ++e) {
        std::int64_t element = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const bool along = static_cast<std::int64_t>(i) == f.axis;
            const std::int64_t at =
                along ? position(node, f, index.values[e], x[i])
                      : static_cast<std::int64_t>(e) / index_strides[i] % index.shape[i];
            element = at < 0 || element < 0 ? -1 : element + at * strides[i];
        }
        visit(e, element);
    }
}

std::vector<TensorType> infer_gather_elements(const Node& node, Types inputs) {
    const auto& f = node.fields<GatherElementsFields>();
    check_elements(node, inputs[0].shape, inputs[1].shape, f.axis);
    check_outside(node, f.outside);
    return {{inputs[1].shape, std::nullopt}};
}

std::vector<Tensor> gather_elements_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<GatherElementsFields>();
    Tensor y = Tensor::filled(inputs[1]->shape, 0);
    for_each_element(node, f, inputs[0]->shape, *inputs[1], [&](std::size_t e, std::int64_t from) {
        y.values[e] = from < 0 ? 0 : inputs[0]->values[static_cast<std::size_t>(from)];
    });
    return {y};
}

/// The shape of what positions [batch..., j..., depth] choose of x.
Shape nd_shape(const Node& node, const Shape& x, const Shape& index, std::int64_t batch) {
    const auto rank = static_cast<std::int64_t>(x.size());
    const std::int64_t depth = index.empty() ? -1 : index.back();
    const bool fits = depth >= 0 && batch >= 0 && batch < static_cast<std::int64_t>(index.size()) &&
                      batch + depth <= rank && part(x, 0, batch) == part(index, 0, batch);
    if (!fits) {
        refuse(node, fmt::format("positions of shape {} do not fit shape {}", to_string(index),
                                 to_string(x)));
    }
    Shape shape(index.begin(), index.end() - 1);
    const Shape rest = part(x, batch + depth, rank);
    shape.insert(shape.end(), rest.begin(), rest.end());
    return shape;
}

/// Visits (number of the position, first element of what it chooses or -1).
template <class Fields, class F>
void for_each_position(const Node& node, const Fields& f, std::int64_t batch, const Shape& x,
                       const Tensor& index, F visit) {
    const auto strides = strides_of(x);
    const auto depth = static_cast<std::size_t>(index.shape.back());
    const Shape rows(index.shape.begin(), index.shape.end() - 1);
    const std::int64_t count = element_count(rows);
    const std::int64_t batches = element_count(part(x, 0, batch));
    const std::int64_t in_batch = batches == 0 ? 0 : element_count(x) / batches;
    for (std::int64_t r = 0; r < count; ++r) {
        std::int64_t element = r / (count / batches) * in_batch;
        for (std::size_t i = 0; i < depth; ++i) {
            const std::size_t axis = static_cast<std::size_t>(batch) + i;
            const std::int64_t at =
                position(node, f, index.values[static_cast<std::size_t>(r) * depth + i], x[axis]);
            element = at < 0 || element < 0 ? -1 : element + at * strides[axis];
        }
        visit(r, element);
    }
}

/// How many elements of x one position of that depth chooses.
std::int64_t slice_size(const Shape& x, std::int64_t taken) {
    return element_count(part(x, taken, static_cast<std::int64_t>(x.size())));
}

std::vector<TensorType> infer_gather_nd(const Node& node, Types inputs) {
    const auto& f = node.fields<GatherNdFields>();
    check_outside(node, f.outside);
    return checked(node, nd_shape(node, inputs[0].shape, inputs[1].shape, f.batch));
}

std::vector<Tensor> gather_nd_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<GatherNdFields>();
    const Tensor& x = *inputs[0];
    const Tensor& index = *inputs[1];
    Tensor y{nd_shape(node, x.shape, index.shape, f.batch), {}};
    const std::int64_t size = slice_size(x.shape, f.batch + index.shape.back());
    for_each_position(node, f, f.batch, x.shape, index, [&](std::int64_t, std::int64_t from) {
        for (std::int64_t i = 0; i < size; ++i) {
            y.values.push_back(from < 0 ? 0 : x.values[static_cast<std::size_t>(from + i)]);
        }
    });
    return {y};
}

std::vector<TensorType> infer_scatter(const Node& node, Types inputs) {
    const auto& f = node.fields<ScatterFields>();
    const Shape& x = inputs[0].shape;
    const Shape& index = inputs[1].shape;
    const Shape& updates = inputs[2].shape;
    check_outside(node, f.outside);
    const char* reductions[] = {"none", "sum", "prod", "max", "min", "mean"};
    const bool known = std::find(std::begin(reductions), std::end(reductions), f.reduction) !=
                       std::end(reductions);
    if (!known || (f.kind != "elements" && f.kind != "nd") || f.outside == "clamp") {
        refuse(node, fmt::format("there is no scatter of kind '{}' with reduction '{}' and '{}' "
                                 "for what lies outside",
                                 f.kind, f.reduction, f.outside));
    }
    if (f.kind == "elements") {
        check_elements(node, x, index, f.axis);
    }
    const Shape wanted = f.kind == "elements" ? index : nd_shape(node, x, index, 0);
    if (updates != wanted) {
        refuse(node, fmt::format("updates of shape {} do not fit positions of shape {}",
                                 to_string(updates), to_string(index)));
    }
    return {{x, std::nullopt}};
}

std::vector<Tensor> scatter_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<ScatterFields>();
    const Tensor& index = *inputs[1];
    Tensor y = *inputs[0];
    std::vector<std::int64_t> written(y.values.size(), f.include_self ? 1 : 0);
    const auto write = [&](std::int64_t to, double value) {
        double& slot = y.values[static_cast<std::size_t>(to)];
        const bool first = written[static_cast<std::size_t>(to)]++ == 0;
        if (first || f.reduction == "none") {
            slot = value;
        } else if (f.reduction == "sum" || f.reduction == "mean") {
            slot += value;
        } else if (f.reduction == "prod") {
            slot *= value;
        } else if (f.reduction == "max") {
            slot = std::isnan(value) || value > slot ? value : slot;
        } else {
            slot = std::isnan(value) || value < slot ? value : slot;
        }
    };
    if (f.kind == "elements") {
        for_each_element(node, f, y.shape, index, [&](std::size_t e, std::int64_t to) {
            if (to >= 0) {
                write(to, inputs[2]->values[e]);
            }
        });
    } else {
        const std::int64_t size = slice_size(y.shape, index.shape.back());
        for_each_position(node, f, 0, y.shape, index, [&](std::int64_t r, std::int64_t to) {
            for (std::int64_t i = 0; i < size && to >= 0; ++i) {
                write(to + i, inputs[2]->values[static_cast<std::size_t>(r * size + i)]);
            }
        });
    }
    if (f.reduction == "mean") {
        for (std::size_t e = 0; e < y.values.size(); ++e) {
            y.values[e] /= static_cast<double>(std::max<std::int64_t>(1, written[e]));
        }
    }
    return {y};
}

}  // namespace

// clang-format off
const network::Operator gather_operator = {
    .name = "gather", .formula = "y[i, j, k] = x[i, index[j], k]", .min_inputs = 2, .max_inputs = 2,
    .fields = &field_table<GatherFields>, .infer = &infer_gather, .reference = &gather_reference, .lower = &lower_gather};
const network::Operator gather_elements_operator = {
    .name = "gather_elements", .formula = "y[i, j, k] = x[i, index[i, j, k], k]", .min_inputs = 2, .max_inputs = 2,
    .fields = &field_table<GatherElementsFields>, .infer = &infer_gather_elements, .reference = &gather_elements_reference, .lower = &lower_gather_elements};
const network::Operator gather_nd_operator = {
    .name = "gather_nd", .formula = "y[j, k] = x[index[j, 0], index[j, 1], ..., k]", .min_inputs = 2, .max_inputs = 2,
    .fields = &field_table<GatherNdFields>, .infer = &infer_gather_nd, .reference = &gather_nd_reference, .lower = &lower_gather_nd};
const network::Operator scatter_operator = {
    .name = "scatter", .formula = "y = x with updates at computed positions", .min_inputs = 3, .max_inputs = 3,
    .fields = &field_table<ScatterFields>, .infer = &infer_scatter, .reference = &scatter_reference, .lower = &lower_scatter};
// clang-format on

}  // namespace gatewright::operators
