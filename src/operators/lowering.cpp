#include "operators/lowering.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "operators/axis_move.h"
#include "operators/catalogue.h"
#include "operators/core.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/move_formats.h"
#include "operators/pattern.h"

namespace gatewright::operators {

namespace {

using network::Attributes;
using network::NodeId;

using Types = std::span<const network::TensorType>;

/// The steps of the elements that a large move of one tensor copies; nothing where that is not
/// told by its axes.
std::optional<std::vector<Step>> moved_steps(std::span<const Step> steps, const Node& node,
                                             Types types, const Shape& shape) {
    std::vector<Step> out(steps.begin(), steps.end());
    for (Step& step : out) {
        for (auto& branch : step.branches) {
            auto moved = moved_steps(branch, node, types, shape);
            if (!moved) {
                return std::nullopt;
            }
            branch = std::move(*moved);
        }
        for (auto& parameter : step.parameters) {
            if (parameter.is_uniform()) {
                continue;
            }
            const PerElement<Rational>* const own[] = {&parameter};
            auto moved = element_count(shape) > large_tensor
                             ? moved_along_axis<Rational>(node, types, own, shape)
                             : std::nullopt;
            if (!moved) {
                return std::nullopt;
            }
            parameter = std::move(*moved);
        }
    }
    return out;
}

}  // namespace

PerElement<Rational> broadcast_constant(const Tensor& constant, const Shape& shape) {
    if (constant.values.size() == 1) {
        return to_rational(constant.values.front());
    }
    const std::vector<std::int64_t> index = broadcast_index(constant.shape, shape);
    // One axis that varies keeps the short form.
    std::int64_t axis_count = 0;
    std::int64_t inner = 1;
    std::int64_t length = 1;
    for (std::size_t i = 0; i < constant.shape.size(); ++i) {
        if (constant.shape[i] > 1) {
            ++axis_count;
            length = constant.shape[i];
            inner = 1;
            for (std::size_t k = shape.size() - constant.shape.size() + i + 1; k < shape.size();
                 ++k) {
                inner *= shape[k];
            }
        }
    }
    std::vector<Rational> values;
    if (axis_count == 1) {
        for (std::int64_t i = 0; i < length; ++i) {
            values.push_back(to_rational(constant.values[static_cast<std::size_t>(i)]));
        }
        return PerElement<Rational>::along(std::move(values), inner);
    }
    for (const std::int64_t i : index) {
        values.push_back(to_rational(constant.values[static_cast<std::size_t>(i)]));
    }
    return PerElement<Rational>::each(std::move(values));
}

std::vector<Step> gather(std::span<const Step> steps, std::span<const std::int64_t> index,
                         const Shape& shape) {
    std::vector<Step> out(steps.begin(), steps.end());
    std::vector<std::int32_t> numbers;
    for (Step& step : out) {
        for (auto& branch : step.branches) {
            branch = gather(branch, index, shape);
        }
        for (auto& parameter : step.parameters) {
            if (parameter.is_uniform()) {
                continue;
            }
            numbers.clear();
            const auto count = static_cast<std::int64_t>(parameter.values().size());
            for (const std::int64_t e : index) {
                numbers.push_back(static_cast<std::int32_t>(e / parameter.inner() % count));
            }
            parameter = spread(pattern_of(numbers, shape), parameter.values(), Rational(0));
        }
    }
    return out;
}

Lowering::Lowering(const Network& layers, const LoweringOptions& options)
    : layers_(layers), options_(options) {
    core_.name = layers.name;
}

void Lowering::refuse(Code code, std::string message, std::string remedy,
                      std::string attribute) const {
    Location where = where_;
    where.attribute = std::move(attribute);
    throw Failure(code, std::move(where), std::move(message), std::move(remedy));
}

void Lowering::approximation(std::string description, double bound) {
    model_.approximations.push_back({where_.layer, std::move(description), bound});
}

const RealTensor& Lowering::input(const Node& node, std::size_t i) const {
    return values_.at(node.inputs[i]);
}

bool Lowering::is_constant(const Node& node, std::size_t i) const {
    return input(node, i).base == RealTensor::Base::constant;
}

void Lowering::set(const RealTensor& tensor, std::size_t output) {
    RealTensor& slot = values_[{node_, static_cast<std::uint32_t>(output)}];
    slot = tensor;
    slot.where = where_;
}

Value Lowering::core(const network::Operator& op, Attributes attributes,
                     std::vector<Value> inputs) {
    return core_.add(op, std::move(attributes), std::move(inputs), where_);
}

RealTensor Lowering::affine(RealTensor x, PerElement<Rational> scale, PerElement<Rational> offset) {
    return step(std::move(x), make_step("affine", {std::move(scale), std::move(offset)}));
}

RealTensor Lowering::step(RealTensor x, Step step) {
    if (x.base == RealTensor::Base::constant) {
        apply_in_place(std::span(&step, 1), x.constant);
        return x;
    }
    if (is(step, "quantize")) {
        return quantize(x, step);
    }
    if (is(step, "affine")) {
        if (step.parameters[0] == PerElement<Rational>(1) &&
            step.parameters[1] == PerElement<Rational>(0)) {
            return x;
        }
        if (!x.steps.empty() && is(x.steps.back(), "affine")) {
            const std::int64_t count = element_count(x.shape);
            auto& last = x.steps.back().parameters;
            const auto multiply = [](const Rational& a, const Rational& b) {
                return Rational(a * b);
            };
            const auto shift = [](const Rational& a, const Rational& b, const Rational& c) {
                return Rational(a * b + c);
            };
            last[1] =
                combine<Rational>(count, shift, step.parameters[0], last[1], step.parameters[1]);
            last[0] = combine<Rational>(count, multiply, step.parameters[0], last[0]);
            return x;
        }
    }
    x.steps.push_back(std::move(step));
    return x;
}

RealTensor Lowering::real(const Linear& x) const {
    RealTensor out;
    out.base = RealTensor::Base::core;
    out.shape = x.shape;
    out.value = x.value;
    out.where = x.where;
    if (x.scale != PerElement<Rational>(1) || x.offset != PerElement<Rational>(0)) {
        out.steps.push_back(make_step("affine", {x.scale, x.offset}));
    }
    return out;
}

RealTensor Lowering::typed_input(const RealTensor& x) {
    const ModelInput& input = model_.model_inputs[static_cast<std::size_t>(x.model_input)];
    auto known = typed_inputs_.find(x.model_input);
    if (known == typed_inputs_.end()) {
        const auto type = options_.input_type ? options_.input_type(input.name) : std::nullopt;
        if (!type) {
            refuse(Code::input_not_quantised,
                   fmt::format("the model does not quantise its input '{}' before this layer",
                               input.name),
                   fmt::format("Give its type in the configuration (inputs: {{{}: "
                               "\"fixed<16,10>\"}}), or measure it with --calibrate X.npy.",
                               input.name));
        }
        const Interval range = type->range();
        Step quantiser = make_step(
            "quantize", {power_of_two(-type->frac), Rational(0), Rational(to_bigint(range.low)),
                         Rational(to_bigint(range.high))});
        const Value value = core_.add_input(
            input.name, {input.shape, PerElement<network::Format>({*type, range})}, where_);
        model_.encodings.push_back({input.name, {}, {std::move(quantiser)}});
        known = typed_inputs_.emplace(x.model_input, value).first;
    }
    RealTensor out = x;
    out.base = RealTensor::Base::core;
    out.value = known->second;
    if (!x.index.empty()) {
        out.value = core(index_operator,
                         Attributes::of(IndexFields{x.shape, {{element_count(x.shape)}, x.index}}),
                         {out.value});
    } else if (x.shape != input.shape) {
        out.value = core(reshape_operator, Attributes::of(ReshapeFields{x.shape}), {out.value});
    }
    out.index.clear();
    return out;
}

Linear Lowering::linear(const RealTensor& x) {
    if (x.base == RealTensor::Base::model_input) {
        return linear(typed_input(x));
    }
    Linear out;
    out.shape = x.shape;
    out.where = x.where;
    if (x.base == RealTensor::Base::constant) {
        Rational unit = 0;
        for (const double value : x.constant.values) {
            unit = gcd(unit, to_rational(value));
        }
        unit = unit == 0 ? Rational(1) : unit;
        FixedConstantFields fields;
        fields.value.shape = x.shape;
        for (const double value : x.constant.values) {
            const auto integer =
                to_int128(boost::multiprecision::numerator(Rational(to_rational(value) / unit)));
            if (!integer ||
                bit_length(static_cast<UInt128>(*integer < 0 ? -*integer : *integer)) > 62) {
                refuse(Code::width_exceeded, "a constant input needs more than 63 bits",
                       "Quantise the constant in the model.");
            }
            fields.value.values.push_back(static_cast<std::int64_t>(*integer));
        }
        if (const auto log = exact_log2(unit)) {
            fields.frac = -*log;
            unit = 1;
        }
        out.value = core(fixed_constant_operator, Attributes::of(std::move(fields)), {});
        out.scale = unit;
        return out;
    }
    out.value = x.value;
    for (const Step& step : x.steps) {
        if (is(step, "affine")) {
            const std::int64_t count = element_count(x.shape);
            out.offset = combine<Rational>(
                count,
                [](const Rational& a, const Rational& b, const Rational& c) {
                    return Rational(a * b + c);
                },
                step.parameters[0], out.offset, step.parameters[1]);
            out.scale = combine<Rational>(
                count, [](const Rational& a, const Rational& b) { return Rational(a * b); },
                step.parameters[0], out.scale);
        } else {
            out = within_widest([&] { return materialise(out, step); },
                                [&] { return materialise(rounded(out, 60), step); });
        }
    }
    return out;
}

std::optional<RealTensor> Lowering::joined(std::string_view function, const RealTensor& a,
                                           const RealTensor& b) {
    const auto by_element = [](const Step& step) {
        return !is(step, "softmax") && !is(step, "log_softmax");
    };
    const bool same = a.base == b.base && a.shape == b.shape && a.value == b.value &&
                      a.model_input == b.model_input && a.index == b.index &&
                      std::all_of(a.steps.begin(), a.steps.end(), by_element) &&
                      std::all_of(b.steps.begin(), b.steps.end(), by_element);
    if (!same || a.base == RealTensor::Base::constant) {
        return std::nullopt;
    }
    const auto [p, q] =
        std::mismatch(a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end());
    std::vector<Step> f(p, a.steps.end());
    std::vector<Step> g(q, b.steps.end());
    RealTensor out = a;
    out.steps.assign(a.steps.begin(), p);
    // Sums of lines are lines.
    const auto line = [](const std::vector<Step>& steps) -> std::optional<Step> {
        if (steps.empty()) {
            return make_step("affine", {Rational(1), Rational(0)});
        }
        return steps.size() == 1 && is(steps[0], "affine") ? std::optional(steps[0]) : std::nullopt;
    };
    const auto first = line(f);
    const auto second = line(g);
    if (first && second && (function == "sum" || function == "difference")) {
        const int sign = function == "sum" ? 1 : -1;
        const auto add = [&](const Rational& v, const Rational& w) {
            return Rational(v + sign * w);
        };
        const std::int64_t count = element_count(a.shape);
        const auto slope =
            combine<Rational>(count, add, first->parameters[0], second->parameters[0]);
        if (std::find(slope.values().begin(), slope.values().end(), 0) == slope.values().end()) {
            return affine(
                std::move(out), slope,
                combine<Rational>(count, add, first->parameters[1], second->parameters[1]));
        }
    }
    out.steps.push_back(make_join(function, std::move(f), std::move(g)));
    return out;
}

RealTensor Lowering::computed(const RealTensor& x, std::size_t count) {
    RealTensor head = x;
    head.steps.resize(count);
    RealTensor out = real(linear(head));
    for (std::size_t i = count; i < x.steps.size(); ++i) {
        out = step(std::move(out), x.steps[i]);
    }
    return out;
}

RealTensor Lowering::move(const Node& node, const std::vector<RealTensor>& inputs) {
    std::vector<network::TensorType> types;
    for (const RealTensor& x : inputs) {
        types.push_back({x.shape, std::nullopt});
    }
    const Shape shape = node.op->infer(node, types).front().shape;
    if (std::all_of(inputs.begin(), inputs.end(),
                    [](const RealTensor& x) { return x.base == RealTensor::Base::constant; })) {
        std::vector<const Tensor*> constants;
        for (const RealTensor& x : inputs) {
            constants.push_back(&x.constant);
        }
        RealTensor out = inputs[0];
        out.shape = shape;
        out.constant = move_reference(node, constants).front();
        return out;
    }
    if (inputs.size() == 1 && inputs[0].base == RealTensor::Base::core &&
        node.op == &reshape_operator) {
        RealTensor out = inputs[0];
        out.shape = shape;
        out.value = core(*node.op, node.attributes, {out.value});
        return out;
    }
    const bool zeros = makes_zeros(node, types);
    if (inputs.size() == 1 && !zeros) {
        RealTensor out = inputs[0];
        out.shape = shape;
        const std::int64_t elements = element_count(inputs[0].shape);
        const auto along_axes = axis_move(node, types);
        bool identity = along_axes && along_axes->keeps_order(elements);
        auto steps = moved_steps(out.steps, node, types, shape);
        std::vector<std::int64_t> index;
        if (!identity && (out.base == RealTensor::Base::model_input || !steps)) {
            index = moved_elements(node, types);
            identity = static_cast<std::int64_t>(index.size()) == elements;
            for (std::size_t e = 0; identity && e < index.size(); ++e) {
                identity = index[e] == static_cast<std::int64_t>(e);
            }
        }
        if (!identity) {
            out.steps = steps ? std::move(*steps) : gather(out.steps, index, shape);
        }
        if (out.base == RealTensor::Base::model_input) {
            if (!identity) {
                for (std::int64_t& e : index) {
                    e = out.index.empty() ? e : out.index[static_cast<std::size_t>(e)];
                }
                out.index = std::move(index);
            }
        } else {
            out.value = core(*node.op, node.attributes, {out.value});
        }
        return out;
    }
    std::vector<Value> values;
    std::vector<Linear> parts;
    Linear out;
    for (const RealTensor& x : inputs) {
        parts.push_back(zeros ? integers(x) : linear(x));
        values.push_back(parts.back().value);
    }
    // Zeros take any scale.
    const auto moved = [&](auto member, const Rational& zero) {
        std::vector<Rational> distinct;
        std::vector<std::int32_t> first;
        bool uniform = true;
        for (const Linear& part : parts) {
            const std::vector<Rational>& own = (part.*member).values();
            first.push_back(static_cast<std::int32_t>(distinct.size()));
            distinct.insert(distinct.end(), own.begin(), own.end());
            uniform = uniform && own.size() == 1 && own.front() == distinct.front();
        }
        if (uniform) {
            return PerElement<Rational>(distinct.front());
        }
        std::vector<const PerElement<Rational>*> members;
        for (const Linear& part : parts) {
            members.push_back(&(part.*member));
        }
        if (element_count(shape) > large_tensor) {
            if (auto along = moved_along_axis<Rational>(node, types, members, shape)) {
                return *along;
            }
        }
        const std::vector<network::Source> sources = node.op->sources(node, types);
        std::vector<std::int32_t> numbers;
        numbers.reserve(sources.size());
        for (const network::Source& source : sources) {
            if (source.input < 0) {
                numbers.push_back(-1);
                continue;
            }
            const auto& own = parts[static_cast<std::size_t>(source.input)].*member;
            const auto count = static_cast<std::int64_t>(own.values().size());
            numbers.push_back(first[static_cast<std::size_t>(source.input)] +
                              static_cast<std::int32_t>(source.element / own.inner() % count));
        }
        return spread(pattern_of(numbers, shape), distinct, zero);
    };
    out.scale = moved(&Linear::scale, Rational(1));
    out.offset = moved(&Linear::offset, Rational(0));
    out.shape = shape;
    out.where = where_;
    out.value = core(*node.op, node.attributes, std::move(values));
    return real(out);
}

RealTensor Lowering::reshape(const RealTensor& x, Shape shape) {
    Node node;
    node.op = &reshape_operator;
    node.attributes = Attributes::of(ReshapeFields{std::move(shape)});
    return move(node, {x});
}

RealTensor Lowering::transpose(const RealTensor& x, Shape permutation) {
    Node node;
    node.op = &transpose_operator;
    node.attributes = Attributes::of(TransposeFields{std::move(permutation)});
    return move(node, {x});
}

void Lowering::decode(const std::string& name, const RealTensor& x) {
    // What is piecewise linear is computed in the circuit; an affine or transcendental tail, which
    // the model does not quantise, is how the outputs' numbers are read.
    RealTensor head = x;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < x.steps.size(); ++i) {
        if (!is_exact(x.steps[i])) {
            break;
        }
        kept = is(x.steps[i], "affine") ? kept : i + 1;
    }
    std::vector<Step> tail(x.steps.begin() + static_cast<std::ptrdiff_t>(kept), x.steps.end());
    head.steps.resize(kept);
    Linear value = linear(head);
    // Encoders, decoders and simulation carry the integers of ports in signed 64-bit words.
    const auto too_wide = [&] {
        const auto& formats = core_.type(value.value).fixed->values();
        return std::any_of(formats.begin(), formats.end(), [](const network::Format& format) {
            return width_for({std::min<Int128>(format.range.low, -1), format.range.high}) > 64;
        });
    };
    if (too_wide() && kept > 0 && x.base == RealTensor::Base::core) {
        // In the units of its offset a bent line needs more bits than before it was bent.
        head.steps.clear();
        tail = x.steps;
        value = linear(head);
    }
    if (too_wide()) {
        value = narrowed(value, 62, max_width * max_width);
    }
    RealTensor decoded = real(value);
    for (const Step& step_ : tail) {
        decoded = step(std::move(decoded), step_);
    }
    core_.set_output(name, value.value);
    model_.decodings.push_back({std::move(decoded.steps)});
}

CoreModel Lowering::run() {
    Diagnostics diagnostics;
    int inputs = 0;
    for (node_ = 0; node_ < layers_.nodes().size(); ++node_) {
        const Node& node = layers_.node(node_);
        where_ = node.where;
        RealTensor tensor;
        tensor.shape = node.types.front().shape;
        if (node.op == &network::input_operator) {
            tensor.base = RealTensor::Base::model_input;
            tensor.model_input = inputs++;
            model_.model_inputs.push_back({std::string(layers_.input_name(node_)), tensor.shape});
            set(tensor);
            continue;
        }
        const bool ready = std::all_of(node.inputs.begin(), node.inputs.end(),
                                       [&](Value value) { return values_.contains(value); });
        if (!ready) {
            continue;  // an error before it is already on the list
        }
        try {
            const bool constant = std::all_of(
                node.inputs.begin(), node.inputs.end(),
                [&](Value value) { return values_.at(value).base == RealTensor::Base::constant; });
            if (constant && node.op->reference != nullptr) {
                std::vector<const Tensor*> arguments;
                for (const Value value : node.inputs) {
                    arguments.push_back(&values_.at(value).constant);
                }
                std::vector<Tensor> results = node.op->reference(node, arguments);
                for (std::size_t i = 0; i < results.size(); ++i) {
                    tensor.shape = results[i].shape;
                    tensor.constant = std::move(results[i]);
                    set(tensor, i);
                }
            } else if (node.op->lower != nullptr) {
                node.op->lower(*this, node);
            } else {
                refuse(Code::not_in_circuit,
                       fmt::format("operator {} has no form in a circuit yet", node.op->name),
                       "Remove the layer, or use --float to compute it on real numbers.");
            }
        } catch (const Failure& failure) {
            for (const Diagnostic& d : failure.diagnostics()) {
                diagnostics.add(d.code, d.where == Location{} ? where_ : d.where, d.message,
                                d.remedy);
            }
        }
    }
    for (const network::NetworkOutput& output : layers_.outputs()) {
        const auto at = values_.find(output.value);
        if (at != values_.end()) {
            where_ = at->second.where;
            try {
                decode(output.name, at->second);
            } catch (const Failure& failure) {
                for (const Diagnostic& d : failure.diagnostics()) {
                    diagnostics.add(d.code, d.where, d.message, d.remedy);
                }
            }
        }
    }
    diagnostics.throw_if_errors();
    model_.network = core_.pruned();
    return std::move(model_);
}

CoreModel lower(const Network& layers, const LoweringOptions& options) {
    return Lowering(layers, options).run();
}

}  // namespace gatewright::operators
