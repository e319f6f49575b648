#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "import/onnx/importer.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"

namespace gatewright::onnx {

Call::Call(Importer& importer, const OnnxNode& node)
    : Builder(importer.network(), location_of(importer.model().file, node)),
      importer_(importer),
      node_(node) {
    if (node.opset < 6) {
        ignore("consumed_inputs");  // tells which memory may be reused
    }
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

std::int64_t Call::one_integer(std::size_t i, std::string_view role) const {
    scalar(i, role);  // refuses what is not one number
    return integers(i, role).front();
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

/// Attributes that say yes or no, in all operators that have them. Runtimes differ in what they
/// make of other numbers.
constexpr std::string_view flags[] = {"align_corners",
                                      "allowzero",
                                      "antialias",
                                      "ceil_mode",
                                      "channels_last",
                                      "count_include_pad",
                                      "detect_negative",
                                      "detect_positive",
                                      "exclude_outside",
                                      "exclusive",
                                      "fmod",
                                      "input_forget",
                                      "interleaved",
                                      "inverse",
                                      "is_causal",
                                      "is_test",
                                      "keepdims",
                                      "largest",
                                      "linear_before_reset",
                                      "noop_with_empty_axes",
                                      "onesided",
                                      "output_sequence",
                                      "periodic",
                                      "reverse",
                                      "select_last_index",
                                      "sorted",
                                      "spatial",
                                      "training_mode",
                                      "transA",
                                      "transB",
                                      "upper"};

/// Attributes that count something, in all operators that have them.
constexpr std::string_view counts[] = {
    "block_size",   "blocksize",  "group",          "hidden_size", "kernel_shape",
    "kv_num_heads", "num_groups", "num_heads",      "num_outputs", "q_num_heads",
    "strides",      "dilations",  "output_padding", "output_shape"};

/// An integer, which must make sense as one of that name.
void check(const Call& call, const std::string& name, std::int64_t value) {
    const auto is_one_of = [&](const auto& names) {
        return std::find(std::begin(names), std::end(names), name) != std::end(names);
    };
    if (value != 0 && value != 1 && is_one_of(flags)) {
        call.refuse(fmt::format("it is {}, neither 0 nor 1", value), {}, name);
    }
    if (value < 0 && is_one_of(counts)) {
        call.refuse(fmt::format("it is {}, which is negative", value), {}, name);
    }
}

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
    const auto value = attribute<std::int64_t>(*this, name, otherwise);
    check(*this, name, value);
    return value;
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
    auto values = attribute<std::vector<std::int64_t>>(*this, name, {});
    for (const std::int64_t value : values) {
        check(*this, name, value);
    }
    return values;
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

ElementType Call::type(std::size_t i) const {
    return has(i) ? importer_.type(node_.inputs[i]) : ElementType::undefined;
}

void Call::set_type(ElementType type, std::size_t output) {
    if (output < node_.outputs.size() && !node_.outputs[output].empty()) {
        importer_.set_type(node_.outputs[output], type);
    }
}

Operand Call::per_sample(const Operand& x, int batch_axis) {
    if (x.batch_axis >= 0 || batch_axis < 0) {
        if (x.batch_axis != batch_axis) {
            throw BatchMixed();
        }
        return x;
    }
    const Shape& shape = x.sample_shape();
    const auto at = static_cast<std::size_t>(batch_axis);
    if (!x.is_constant || at >= shape.size() || importer_.declared_batch() != shape[at] ||
        shape[at] < 1) {
        throw BatchMixed();
    }
    Operand row = selected(x, batch_axis, 0);
    for (std::int64_t i = 1; i < shape[at]; ++i) {
        if (selected(x, batch_axis, i).constant != row.constant) {
            throw BatchMixed();
        }
    }
    return row;
}

void Call::set(Operand y, std::size_t output) {
    if (output < node_.outputs.size() && !node_.outputs[output].empty()) {
        importer_.define(node_.outputs[output], std::move(y));
    }
}

}  // namespace gatewright::onnx
