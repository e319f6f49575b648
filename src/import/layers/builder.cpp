#include "import/layers/builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"

namespace gatewright::layers {

Location Builder::where(std::string attribute) const {
    Location location = where_;
    location.attribute = std::move(attribute);
    return location;
}

void Builder::refuse(std::string message, std::string remedy, std::string attribute) const {
    throw Failure(attribute.empty() ? Code::unsupported_form : Code::unsupported_attribute,
                  where(std::move(attribute)), std::move(message), std::move(remedy));
}

namespace {

/// A few numbers in a file can ask for any extent.
constexpr std::int64_t most_constant_elements = std::int64_t{1} << 27;

/// A constant without the axis where others have the batch, along which it must be the same.
Tensor same_row(const Tensor& constant, std::int64_t axis) {
    const auto at = static_cast<std::size_t>(axis);
    const std::int64_t extent = constant.shape[at];
    const std::int64_t inner = strides_of(constant.shape)[at];
    Tensor row = constant;
    row.shape.erase(row.shape.begin() + axis);
    if (extent == 1) {
        return row;
    }
    row.values.clear();
    for (std::int64_t e = 0; e < element_count(constant.shape); ++e) {
        const double value = constant.values[static_cast<std::size_t>(e)];
        const std::int64_t position = e / inner % extent;
        if (position == 0) {
            row.values.push_back(value);
        } else if (constant.values[static_cast<std::size_t>(e - position * inner)] != value) {
            throw BatchMixed();
        }
    }
    if (extent == 0) {
        throw BatchMixed();
    }
    return row;
}

}  // namespace

network::Value Builder::constant_node(const Tensor& tensor) {
    return network_.add(network::constant_operator, Attributes::of(network::ConstantFields{tensor}),
                        {}, where());
}

std::int64_t Builder::normalised(std::int64_t file_axis, std::int64_t rank) const {
    const std::int64_t axis = file_axis < 0 ? file_axis + rank : file_axis;
    if (axis < 0 || axis >= rank) {
        refuse(fmt::format("there is no axis {} in a tensor of {} axes", file_axis, rank), {},
               "axis");
    }
    return axis;
}

std::int64_t Builder::axis(const Operand& x, std::int64_t file_axis) const {
    const std::int64_t at = normalised(file_axis, x.rank());
    if (at == x.batch_axis) {
        throw BatchMixed();
    }
    return x.batch_axis >= 0 && at > x.batch_axis ? at - 1 : at;
}

Operand Builder::number(double value) {
    Operand out;
    out.is_constant = true;
    out.constant = Tensor::scalar(value);
    return out;
}

std::vector<Operand> Builder::emit(const Operator& op, Attributes attributes,
                                   const std::vector<Operand>& operands, int batch_axis,
                                   bool exact) {
    const bool fold = std::all_of(operands.begin(), operands.end(),
                                  [](const Operand& x) { return x.is_constant; });
    std::vector<Operand> out;
    if (fold) {
        network::Node node;
        node.op = &op;
        // As in a network, no fields given means their defaults.
        if (op.fields != nullptr &&
            &attributes.table() == &network::field_table<network::NoFields>()) {
            attributes = Attributes(op.fields().make(), &op.fields());
        }
        node.attributes = std::move(attributes);
        node.where = where();
        std::vector<network::TensorType> types;
        std::vector<const Tensor*> tensors;
        bool integer = true;
        for (const Operand& x : operands) {
            types.push_back({x.constant.shape, std::nullopt});
            tensors.push_back(&x.constant);
            integer = integer && x.is_integer;
        }
        node.types = op.infer(node, types);
        for (const network::TensorType& type : node.types) {
            const auto count = checked_element_count(type.shape);
            if (!count || *count > most_constant_elements) {
                refuse(fmt::format("a constant of shape {} is too large", to_string(type.shape)),
                       "Make the model without constants of that size.");
            }
        }
        const bool arithmetic = op.sources == nullptr && &op != &operators::fake_quantize_operator;
        for (Tensor& tensor : op.reference(node, tensors)) {
            Operand& y = out.emplace_back();
            y.is_constant = true;
            y.is_integer = integer;
            y.constant = std::move(tensor);
            for (double& value : y.constant.values) {
                if (integer && value != std::floor(value)) {
                    value = std::trunc(value);  // integer division
                } else if (arithmetic && !integer && !exact) {
                    value = static_cast<double>(static_cast<float>(value));
                }
            }
        }
        return out;
    }
    std::vector<network::Value> values;
    for (const Operand& x : operands) {
        values.push_back(x.is_constant ? constant_node(x.constant) : x.value);
    }
    const network::Value y = network_.add(op, std::move(attributes), std::move(values), where());
    const auto& types = network_.node(y.node).types;
    for (std::uint32_t i = 0; i < types.size(); ++i) {
        Operand& result = out.emplace_back();
        result.value = {y.node, i};
        result.shape = types[i].shape;
        result.batch_axis = batch_axis;
    }
    return out;
}

Operand Builder::repeated(const Tensor& sample, int batch_axis) {
    Operand out;
    out.value = constant_node(sample);
    out.shape = sample.shape;
    out.batch_axis = batch_axis;
    return out;
}

Operand Builder::reshaped(const Operand& x, Shape sample_shape, int batch_axis) {
    if (x.sample_shape() == sample_shape) {
        Operand y = x;
        y.batch_axis = x.is_constant ? -1 : batch_axis;
        return y;
    }
    return emit(operators::reshape_operator,
                Attributes::of(operators::ReshapeFields{std::move(sample_shape)}), {x}, batch_axis)
        .front();
}

Operand Builder::transposed(const Operand& x, Shape sample_permutation, int batch_axis) {
    bool identity = true;
    for (std::size_t i = 0; i < sample_permutation.size(); ++i) {
        identity = identity && sample_permutation[i] == static_cast<std::int64_t>(i);
    }
    if (identity) {
        Operand y = x;
        y.batch_axis = x.is_constant ? -1 : batch_axis;
        return y;
    }
    return emit(operators::transpose_operator,
                Attributes::of(operators::TransposeFields{std::move(sample_permutation)}), {x},
                batch_axis)
        .front();
}

Operand Builder::elementwise(const Operator& op, Attributes attributes,
                             std::vector<Operand> operands, bool exact) {
    // The batch axis stands at one distance from the last axis in all operands that have it; the
    // others must be of extent 1 there, or end before it.
    std::int64_t distance = -1;
    std::int64_t rank = 0;
    for (const Operand& x : operands) {
        rank = std::max(rank, x.rank());
        if (x.batch_axis >= 0) {
            const std::int64_t d = x.rank() - x.batch_axis;
            if (distance >= 0 && d != distance) {
                throw BatchMixed();
            }
            distance = d;
        }
    }
    if (distance < 0) {
        return emit(op, std::move(attributes), operands, -1, exact).front();
    }
    for (Operand& x : operands) {
        if (x.batch_axis >= 0 || x.rank() < distance) {
            continue;
        }
        if (x.is_constant) {
            x.constant = same_row(x.constant, x.rank() - distance);
            continue;
        }
        Shape shape = x.sample_shape();
        const auto at = shape.end() - static_cast<std::ptrdiff_t>(distance);
        if (*at != 1) {
            throw BatchMixed();
        }
        shape.erase(at);
        x = reshaped(x, std::move(shape), -1);
    }
    return emit(op, std::move(attributes), operands, static_cast<int>(rank - distance), exact)
        .front();
}

Operand Builder::function(const std::string& name, const Operand& x,
                          const std::vector<Operand>& parameters) {
    std::vector<Operand> operands = {x};
    operands.insert(operands.end(), parameters.begin(), parameters.end());
    return elementwise(operators::function_operator,
                       Attributes::of(operators::FunctionFields{name}), std::move(operands));
}

Tensor Builder::without_batch(const Tensor& parameter, const Operand& x) const {
    const std::int64_t axis =
        static_cast<std::int64_t>(parameter.shape.size()) - (x.rank() - x.batch_axis);
    return x.batch_axis >= 0 && axis >= 0 ? same_row(parameter, axis) : parameter;
}

Operand Builder::samples(const Operand& x) {
    if (x.batch_axis == 0) {
        return x;
    }
    if (x.batch_axis > 0) {
        throw BatchMixed();
    }
    const Shape& shape = x.sample_shape();
    if (shape.empty() || shape.front() != 1) {
        refuse("it works on a batch of samples, which this model mixes elsewhere",
               "Export the model with a batch of 1.");
    }
    return reshaped(x, Shape(shape.begin() + 1, shape.end()), -1);
}

Operand Builder::restore(const Operand& y, const Operand& like) {
    if (like.batch_axis == 0) {
        return y;
    }
    Shape shape = y.sample_shape();
    shape.insert(shape.begin(), 1);
    return reshaped(y, std::move(shape), -1);
}

namespace {

/// Where the batch axis stands in a result whose sample shape comes from several operands.
int common_batch_axis(const std::vector<Operand>& xs) {
    for (const Operand& x : xs) {
        if (x.batch_axis >= 0) {
            return x.batch_axis;
        }
    }
    return -1;
}

/// An operand that has a batch axis stands for many samples; moves below keep it in front.
int batch_in_front(const Operand& x) {
    return x.batch_axis >= 0 ? 0 : -1;
}

}  // namespace

Operand Builder::tensor(Tensor value) {
    Operand out;
    out.is_constant = true;
    out.constant = std::move(value);
    return out;
}

Operand Builder::add(const Operand& a, const Operand& b) {
    return elementwise(operators::add_operator, Attributes(), {a, b});
}
Operand Builder::subtract(const Operand& a, const Operand& b) {
    return elementwise(operators::subtract_operator, Attributes(), {a, b});
}
Operand Builder::multiply(const Operand& a, const Operand& b) {
    return elementwise(operators::multiply_operator, Attributes(), {a, b});
}
Operand Builder::divide(const Operand& a, const Operand& b) {
    return elementwise(operators::divide_operator, Attributes(), {a, b});
}
Operand Builder::maximum(const Operand& a, const Operand& b) {
    return elementwise(operators::maximum_operator, Attributes(), {a, b});
}
Operand Builder::minimum(const Operand& a, const Operand& b) {
    return elementwise(operators::minimum_operator, Attributes(), {a, b});
}

Operand Builder::sliced(const Operand& x, std::int64_t sample_axis, std::int64_t begin,
                        std::int64_t size, std::int64_t step) {
    operators::SliceFields fields;
    fields.sizes = x.sample_shape();
    fields.starts.assign(fields.sizes.size(), 0);
    fields.steps.assign(fields.sizes.size(), 1);
    const auto at = static_cast<std::size_t>(sample_axis);
    fields.starts[at] = begin;
    fields.sizes[at] = size;
    fields.steps[at] = step;
    return emit(operators::slice_operator, Attributes::of(fields), {x}, x.batch_axis).front();
}

Operand Builder::selected(const Operand& x, std::int64_t sample_axis, std::int64_t index) {
    const Operand one = sliced(x, sample_axis, index, 1);
    Shape shape = one.sample_shape();
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(sample_axis));
    return reshaped(one, std::move(shape), batch_in_front(x));
}

Operand Builder::concatenated(const std::vector<Operand>& xs, std::int64_t sample_axis) {
    return emit(operators::concat_operator, Attributes::of(operators::ConcatFields{sample_axis}),
                xs, common_batch_axis(xs))
        .front();
}

Operand Builder::stacked(const std::vector<Operand>& xs, std::int64_t sample_axis) {
    std::vector<Operand> parts;
    for (const Operand& x : xs) {
        Shape shape = x.sample_shape();
        shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(sample_axis), 1);
        parts.push_back(reshaped(x, std::move(shape), batch_in_front(x)));
    }
    return concatenated(parts, sample_axis);
}

Operand Builder::reversed(const Operand& x, std::int64_t sample_axis) {
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(sample_axis)];
    return sliced(x, sample_axis, extent - 1, extent, -1);
}

Operand Builder::expanded(const Operand& x, Shape sample_shape) {
    if (x.sample_shape() == sample_shape) {
        return x;
    }
    return emit(operators::expand_operator,
                Attributes::of(operators::ExpandFields{std::move(sample_shape)}), {x},
                batch_in_front(x))
        .front();
}

Operand Builder::matmul(const Operand& a, const Operand& b) {
    return emit(operators::matmul_operator, Attributes(), {a, b},
                a.batch_axis >= 0 || b.batch_axis >= 0 ? 0 : -1)
        .front();
}

Operand Builder::reduced(const Operand& x, const std::string& kind, Shape sample_axes, bool keep) {
    if (sample_axes.empty()) {
        return x;
    }
    return emit(operators::reduce_operator,
                Attributes::of(operators::ReduceFields{kind, std::move(sample_axes), keep}), {x},
                batch_in_front(x))
        .front();
}

Operand Builder::softmax(const Operand& x, std::int64_t sample_axis) {
    return emit(operators::softmax_operator,
                Attributes::of(operators::SoftmaxFields{sample_axis, false}), {x}, x.batch_axis)
        .front();
}

}  // namespace gatewright::layers
