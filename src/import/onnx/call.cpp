#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "import/onnx/importer.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"

namespace gatewright::onnx {

Location Call::where(std::string attribute) const {
    return location_of(importer_.model().file, node_, std::move(attribute));
}

bool Call::has(std::size_t i) const {
    return i < node_.inputs.size() && !node_.inputs[i].empty();
}

const Operand& Call::operand(std::size_t i) const {
    if (!has(i)) {
        refuse(fmt::format("input {} is missing", i));
    }
    return importer_.find(node_.inputs[i]);
}

const Tensor& Call::constant(std::size_t i, std::string_view role) const {
    const Operand& x = operand(i);
    if (!x.is_constant) {
        refuse(fmt::format("its {} (input {}) is computed from the model's inputs", role, i),
               "Export the model with a constant there.");
    }
    return x.constant;
}

std::vector<std::int64_t> Call::integers(std::size_t i, std::string_view role) const {
    std::vector<std::int64_t> out;
    for (const double value : constant(i, role).values) {
        if (!(std::abs(value) < 9.3e18) || value != std::floor(value)) {
            refuse(fmt::format("its {} (input {}) is no list of integers", role, i));
        }
        out.push_back(value >= 9.2233720368547758e18 ? INT64_MAX
                                                     : static_cast<std::int64_t>(value));
    }
    return out;
}

double Call::scalar(std::size_t i, std::string_view role) const {
    const Tensor& t = constant(i, role);
    if (t.values.size() != 1) {
        refuse(fmt::format("its {} (input {}) is not one number", role, i));
    }
    return t.values.front();
}

bool Call::has_attribute(const std::string& name) const {
    return node_.attributes.contains(name);
}

const OnnxAttribute* Call::any(const std::string& name) {
    used_.insert(name);
    const auto at = node_.attributes.find(name);
    return at == node_.attributes.end() ? nullptr : &at->second;
}

namespace {

template <class T>
T attribute(Call& call, const std::string& name, T otherwise) {
    const OnnxAttribute* value = call.any(name);
    if (value == nullptr) {
        return otherwise;
    }
    const T* typed = std::get_if<T>(value);
    if (typed == nullptr) {
        call.refuse(fmt::format("it is {}", kind_of(*value)), {}, name);
    }
    return *typed;
}

}  // namespace

std::int64_t Call::integer(const std::string& name, std::int64_t otherwise) {
    return attribute<std::int64_t>(*this, name, otherwise);
}
double Call::real(const std::string& name, double otherwise) {
    return attribute<double>(*this, name, otherwise);
}
std::string Call::text(const std::string& name, const std::string& otherwise) {
    return attribute<std::string>(*this, name, otherwise);
}
std::optional<std::vector<std::int64_t>> Call::integer_list(const std::string& name) {
    if (!has_attribute(name)) {
        return std::nullopt;
    }
    return attribute<std::vector<std::int64_t>>(*this, name, {});
}
void Call::ignore(const std::string& name) {
    used_.insert(name);
}

std::vector<std::string> Call::unused_attributes() const {
    std::vector<std::string> out;
    for (const auto& [name, value] : node_.attributes) {
        if (!used_.contains(name)) {
            out.push_back(name);
        }
    }
    return out;
}

void Call::refuse(std::string message, std::string remedy, std::string attribute_name) const {
    throw Failure(attribute_name.empty() ? Code::unsupported_form : Code::unsupported_attribute,
                  where(std::move(attribute_name)), std::move(message), std::move(remedy));
}

std::int64_t Call::normalised(std::int64_t onnx_axis, std::int64_t rank) const {
    const std::int64_t axis = onnx_axis < 0 ? onnx_axis + rank : onnx_axis;
    if (axis < 0 || axis >= rank) {
        refuse(fmt::format("there is no axis {} in a tensor of {} axes", onnx_axis, rank), {},
               "axis");
    }
    return axis;
}

std::int64_t Call::axis(const Operand& x, std::int64_t onnx_axis) const {
    const std::int64_t at = normalised(onnx_axis, x.rank());
    if (at == x.batch_axis) {
        throw BatchMixed();
    }
    return x.batch_axis >= 0 && at > x.batch_axis ? at - 1 : at;
}

Operand Call::number(double value) {
    Operand out;
    out.is_constant = true;
    out.constant = Tensor::scalar(value);
    return out;
}

std::vector<Operand> Call::emit(const Operator& op, Attributes attributes,
                                const std::vector<Operand>& operands, int batch_axis, bool exact) {
    const bool fold = std::all_of(operands.begin(), operands.end(),
                                  [](const Operand& x) { return x.is_constant; });
    std::vector<Operand> out;
    if (fold) {
        network::Node node;
        node.op = &op;
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
        values.push_back(x.is_constant ? importer_.constant_node(x.constant, where()) : x.value);
    }
    const network::Value y =
        importer_.network().add(op, std::move(attributes), std::move(values), where());
    const auto& types = importer_.network().node(y.node).types;
    for (std::uint32_t i = 0; i < types.size(); ++i) {
        Operand& result = out.emplace_back();
        result.value = {y.node, i};
        result.shape = types[i].shape;
        result.batch_axis = batch_axis;
    }
    return out;
}

Operand Call::reshaped(const Operand& x, Shape sample_shape, int batch_axis) {
    if (x.sample_shape() == sample_shape) {
        Operand y = x;
        y.batch_axis = x.is_constant ? -1 : batch_axis;
        return y;
    }
    return emit(operators::reshape_operator,
                Attributes::of(operators::ReshapeFields{std::move(sample_shape)}), {x}, batch_axis)
        .front();
}

Operand Call::transposed(const Operand& x, Shape sample_permutation, int batch_axis) {
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

Operand Call::elementwise(const Operator& op, Attributes attributes, std::vector<Operand> operands,
                          bool exact) {
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

Operand Call::function(const std::string& name, const Operand& x,
                       const std::vector<Operand>& parameters) {
    std::vector<Operand> operands = {x};
    operands.insert(operands.end(), parameters.begin(), parameters.end());
    return elementwise(operators::function_operator,
                       Attributes::of(operators::FunctionFields{name}), std::move(operands));
}

Tensor Call::without_batch(const Tensor& parameter, const Operand& x) const {
    Tensor out = parameter;
    if (x.batch_axis >= 0) {
        const std::int64_t distance = x.rank() - x.batch_axis;
        if (static_cast<std::int64_t>(out.shape.size()) >= distance) {
            const auto at = out.shape.end() - static_cast<std::ptrdiff_t>(distance);
            if (*at != 1) {
                throw BatchMixed();
            }
            out.shape.erase(at);
        }
    }
    return out;
}

Operand Call::samples(const Operand& x) {
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

Operand Call::restore(const Operand& y, const Operand& like) {
    if (like.batch_axis == 0) {
        return y;
    }
    Shape shape = y.sample_shape();
    shape.insert(shape.begin(), 1);
    return reshaped(y, std::move(shape), -1);
}

void Call::set(Operand y, std::size_t output) {
    if (output < node_.outputs.size() && !node_.outputs[output].empty()) {
        importer_.define(node_.outputs[output], std::move(y));
    }
}

}  // namespace gatewright::onnx
