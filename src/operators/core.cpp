#include "operators/core.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace gatewright::operators {

namespace {

using fixed::Fixed;

/// Numbers equal formats alike, so that a body's key is a few small integers.
class FormatNumbers {
  public:
    std::int32_t number(const Format& format) {
        const auto key = std::tuple(format.type.is_signed, format.type.width, format.type.frac,
                                    format.range.low, format.range.high);
        return numbers_.try_emplace(key, static_cast<std::int32_t>(numbers_.size())).first->second;
    }

  private:
    std::map<std::tuple<bool, int, int, Int128, Int128>, std::int32_t> numbers_;
};

/// Format numbers of all elements of a tensor; computed per distinct value, not per element.
std::vector<std::int32_t> format_numbers(const TensorType& type, FormatNumbers& numbers) {
    const PerElement<Format>& formats = *type.fixed;
    std::vector<std::int32_t> distinct;
    distinct.reserve(formats.values().size());
    for (const Format& format : formats.values()) {
        distinct.push_back(numbers.number(format));
    }
    const auto count = static_cast<std::size_t>(element_count(type.shape));
    std::vector<std::int32_t> out(count);
    for (std::size_t e = 0; e < count; ++e) {
        out[e] = distinct[(e / static_cast<std::size_t>(formats.inner())) % distinct.size()];
    }
    return out;
}

Body build_body(const Node& node, const std::vector<Format>& inputs, const auto& make_outputs) {
    bits::Builder bits{std::string(node.op->name)};
    fixed::Builder builder(bits);
    builder.set_origin(node.where.layer);
    std::vector<Fixed> arguments;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        arguments.push_back(builder.input(fmt::format("x{}", i), inputs[i].type, inputs[i].range));
    }
    Body body;
    body.inputs = inputs;
    const std::vector<Fixed> results = make_outputs(builder, arguments);
    for (std::size_t i = 0; i < results.size(); ++i) {
        bits.output(fmt::format("y{}", i), results[i].bits);
        body.outputs.push_back({results[i].type, results[i].range});
    }
    body.function = bits.take();
    return body;
}

/// The canonical PerElement of a list of formats, uniform where it is.
PerElement<Format> per_element(std::vector<Format> formats, const Shape& shape) {
    // A pattern that repeats along the last axis is kept as one row.
    if (!shape.empty() && shape.back() > 0) {
        const auto row = static_cast<std::size_t>(shape.back());
        bool repeats = formats.size() > row;
        for (std::size_t e = row; e < formats.size() && repeats; ++e) {
            repeats = formats[e] == formats[e - row];
        }
        if (repeats) {
            formats.resize(row);
        }
    }
    return PerElement<Format>::each(std::move(formats));
}

void require_fixed(const Node& node, std::span<const TensorType> inputs) {
    for (const TensorType& type : inputs) {
        if (type.is_float()) {
            throw Failure(
                Code::operator_inputs, node.where,
                fmt::format("operator {} works on fixed-point tensors only", node.op->name));
        }
    }
}

/// The trailing zeros common to a column, 0 if all of it is zero.
int common_shift(const linear::Matrix& matrix, std::int64_t column) {
    std::uint64_t bits = 0;
    for (std::int64_t k = 0; k < matrix.n_in; ++k) {
        bits |= static_cast<std::uint64_t>(matrix.at(k, column));
    }
    return bits == 0 ? 0 : trailing_zeros(bits);
}

ContractForm make_form(const Node& node, std::vector<Format> inputs, std::int64_t group) {
    const auto& fields = node.fields<ContractFields>();
    const std::int64_t n_in = fields.weights.shape[1];
    const std::int64_t n_out = fields.weights.shape[2];
    int frac = inputs.empty() ? 0 : inputs.front().type.frac;
    for (const Format& format : inputs) {
        frac = std::max(frac, format.type.frac);
    }
    ContractForm form;
    form.matrix = {n_in, n_out, std::vector<std::int64_t>(static_cast<std::size_t>(n_in * n_out))};
    const std::int64_t* weights =
        fields.weights.values.data() + static_cast<std::ptrdiff_t>(group * n_in * n_out);
    const auto too_wide = [&] {
        throw Failure(Code::width_exceeded, node.where,
                      "a weight, aligned to the inputs' binary points, needs more than 63 bits",
                      "Give the layer's inputs types whose binary points lie closer together.");
    };
    for (std::int64_t k = 0; k < n_in; ++k) {
        const int shift = frac - inputs[static_cast<std::size_t>(k)].type.frac;
        for (std::int64_t o = 0; o < n_out; ++o) {
            const std::int64_t weight = weights[k * n_out + o];
            if (weight != 0 && (shift > 62 || bit_length(static_cast<UInt128>(
                                                  weight < 0 ? -static_cast<Int128>(weight)
                                                             : static_cast<Int128>(weight))) +
                                                      shift >
                                                  62)) {
                too_wide();
            }
            form.matrix.weights[static_cast<std::size_t>(k * n_out + o)] =
                weight == 0 ? 0 : weight * (std::int64_t{1} << shift);
        }
    }
    for (std::int64_t o = 0; o < n_out; ++o) {
        const int shift = common_shift(form.matrix, o);
        Interval range;
        for (std::int64_t k = 0; k < n_in; ++k) {
            std::int64_t& weight = form.matrix.weights[static_cast<std::size_t>(k * n_out + o)];
            weight >>= shift;
            const Interval& x = inputs[static_cast<std::size_t>(k)].range;
            Int128 a = 0;
            Int128 b = 0;
            const bool overflow = __builtin_mul_overflow(static_cast<Int128>(weight), x.low, &a) ||
                                  __builtin_mul_overflow(static_cast<Int128>(weight), x.high, &b) ||
                                  __builtin_add_overflow(range.low, std::min(a, b), &range.low) ||
                                  __builtin_add_overflow(range.high, std::max(a, b), &range.high);
            if (overflow) {
                throw Failure(Code::width_exceeded, node.where,
                              "the exact sum of its products needs more than 128 bits",
                              "Give its inputs or weights narrower types.");
            }
        }
        const int out_frac = frac + static_cast<int>(fields.frac) - shift;
        form.outputs.push_back({type_for(range, out_frac), range});
    }
    form.inputs = std::move(inputs);
    return form;
}

Fixed fixed_constant(fixed::Builder& builder, const Node& node, std::span<const Fixed>,
                     std::int64_t element) {
    const auto& f = node.fields<FixedConstantFields>();
    return builder.constant(f.value.values[static_cast<std::size_t>(element)],
                            static_cast<int>(f.frac));
}

std::int64_t fixed_constant_key(const Node& node, std::int64_t element) {
    return node.fields<FixedConstantFields>().value.values[static_cast<std::size_t>(element)];
}

std::vector<TensorType> infer_contract(const Node& node, std::span<const TensorType> inputs) {
    require_fixed(node, inputs);
    const auto& fields = node.fields<ContractFields>();
    const TensorType& x = inputs[0];
    const Shape& w = fields.weights.shape;
    const bool grouped = w.size() == 3 && w[0] > 1;
    const bool fits = w.size() == 3 && !x.shape.empty() && x.shape.back() == w[1] &&
                      (!grouped || (x.shape.size() >= 2 && x.shape[x.shape.size() - 2] == w[0])) &&
                      element_count(w) == static_cast<std::int64_t>(fields.weights.values.size());
    if (!fits) {
        throw Failure(Code::operator_inputs, node.where,
                      fmt::format("an input of shape {} does not fit weights of shape {}",
                                  to_string(x.shape), to_string(w)));
    }
    Shape shape = x.shape;
    shape.back() = w[2];
    const ContractForms forms = contract_forms(node, x);
    std::vector<Format> formats;
    if (forms.forms.size() == 1) {
        formats = forms.forms.front().outputs;
    } else {
        for (const std::int32_t form : forms.form_of) {
            const auto& outputs = forms.forms[static_cast<std::size_t>(form)].outputs;
            formats.insert(formats.end(), outputs.begin(), outputs.end());
        }
    }
    TensorType type{shape, std::nullopt};
    type.fixed = forms.forms.size() == 1 ? PerElement<Format>::each(std::move(formats))
                                         : per_element(std::move(formats), shape);
    return {type};
}

}  // namespace

std::vector<Format> formats_of(const TensorType& type) {
    const auto count = static_cast<std::size_t>(element_count(type.shape));
    std::vector<Format> out;
    out.reserve(count);
    for (std::size_t e = 0; e < count; ++e) {
        out.push_back(type.fixed->at(static_cast<std::int64_t>(e)));
    }
    return out;
}

Bodies map_bodies(const Node& node, std::span<const TensorType> inputs) {
    require_fixed(node, inputs);
    // A map without inputs is a fixed-point constant.
    Shape shape = inputs.empty() ? node.fields<FixedConstantFields>().value.shape : inputs[0].shape;
    for (const TensorType& type : inputs) {
        const auto joined = broadcast(shape, type.shape);
        if (!joined) {
            throw Failure(Code::operator_inputs, node.where,
                          fmt::format("shapes {} and {} do not broadcast", to_string(shape),
                                      to_string(type.shape)));
        }
        shape = *joined;
    }
    FormatNumbers numbers;
    std::vector<std::vector<std::int32_t>> input_numbers;
    std::vector<std::vector<std::int64_t>> index;
    for (const TensorType& type : inputs) {
        input_numbers.push_back(format_numbers(type, numbers));
        index.push_back(broadcast_index(type.shape, shape));
    }
    Bodies out;
    std::map<std::vector<std::int64_t>, std::int32_t> known;
    const std::int64_t count = element_count(shape);
    out.body_of.reserve(static_cast<std::size_t>(count));
    std::vector<std::int64_t> key(inputs.size() + 1);
    for (std::int64_t e = 0; e < count; ++e) {
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            key[i] =
                input_numbers[i][static_cast<std::size_t>(index[i][static_cast<std::size_t>(e)])];
        }
        key.back() = node.op->element_key != nullptr ? node.op->element_key(node, e) : 0;
        const auto [at, is_new] =
            known.try_emplace(key, static_cast<std::int32_t>(out.bodies.size()));
        if (is_new) {
            std::vector<Format> formats;
            for (std::size_t i = 0; i < inputs.size(); ++i) {
                formats.push_back(inputs[i].fixed->at(index[i][static_cast<std::size_t>(e)]));
            }
            out.bodies.push_back(build_body(
                node, formats, [&](fixed::Builder& builder, const std::vector<Fixed>& x) {
                    return std::vector<Fixed>{node.op->element(builder, node, x, e)};
                }));
        }
        out.body_of.push_back(at->second);
    }
    return out;
}

Bodies row_bodies(const Node& node, std::span<const TensorType> inputs) {
    require_fixed(node, inputs);
    const TensorType& x = inputs[0];
    if (x.shape.empty() || x.shape.back() == 0) {
        throw Failure(Code::operator_inputs, node.where,
                      fmt::format("operator {} needs a last axis with elements", node.op->name));
    }
    const std::int64_t length = x.shape.back();
    FormatNumbers numbers;
    const std::vector<std::int32_t> formats = format_numbers(x, numbers);
    Bodies out;
    std::map<std::vector<std::int32_t>, std::int32_t> known;
    const std::int64_t rows = element_count(x.shape) / length;
    for (std::int64_t r = 0; r < rows; ++r) {
        const auto begin = formats.begin() + static_cast<std::ptrdiff_t>(r * length);
        const auto [at, is_new] = known.try_emplace(
            std::vector<std::int32_t>(begin, begin + static_cast<std::ptrdiff_t>(length)),
            static_cast<std::int32_t>(out.bodies.size()));
        if (is_new) {
            std::vector<Format> row;
            for (std::int64_t k = 0; k < length; ++k) {
                row.push_back(x.fixed->at(r * length + k));
            }
            out.bodies.push_back(build_body(
                node, row, [&](fixed::Builder& builder, const std::vector<Fixed>& arguments) {
                    std::vector<Fixed> flat;
                    for (const auto& part : node.op->row(builder, node, arguments)) {
                        flat.insert(flat.end(), part.begin(), part.end());
                    }
                    return flat;
                }));
        }
        out.body_of.push_back(at->second);
    }
    return out;
}

std::vector<TensorType> infer_map(const Node& node, std::span<const TensorType> inputs) {
    const Bodies bodies = map_bodies(node, inputs);
    Shape shape = inputs.empty() ? node.fields<FixedConstantFields>().value.shape : inputs[0].shape;
    for (const TensorType& type : inputs) {
        shape = *broadcast(shape, type.shape);
    }
    std::vector<Format> formats;
    formats.reserve(bodies.body_of.size());
    for (const std::int32_t body : bodies.body_of) {
        formats.push_back(bodies.bodies[static_cast<std::size_t>(body)].outputs.front());
    }
    TensorType type{shape, std::nullopt};
    type.fixed = per_element(std::move(formats), shape);
    return {type};
}

std::vector<TensorType> infer_row(const Node& node, std::span<const TensorType> inputs,
                                  const std::vector<Shape>& shapes) {
    const Bodies bodies = row_bodies(node, inputs);
    const std::int64_t rows = element_count(inputs[0].shape) / inputs[0].shape.back();
    std::vector<TensorType> types;
    std::size_t first = 0;
    for (const Shape& shape : shapes) {
        const auto length = static_cast<std::size_t>(rows == 0 ? 0 : element_count(shape) / rows);
        std::vector<Format> formats;
        for (const std::int32_t body : bodies.body_of) {
            const auto& outputs = bodies.bodies[static_cast<std::size_t>(body)].outputs;
            for (std::size_t i = 0; i < length; ++i) {
                formats.push_back(outputs[first + i]);
            }
        }
        first += length;
        TensorType type{shape, std::nullopt};
        type.fixed = per_element(std::move(formats), shape);
        types.push_back(std::move(type));
    }
    return types;
}

TensorType infer_move(const Node& node, std::span<const TensorType> inputs, Shape shape) {
    const bool any_float = std::any_of(inputs.begin(), inputs.end(),
                                       [](const TensorType& type) { return type.is_float(); });
    TensorType out{std::move(shape), std::nullopt};
    if (any_float) {
        return out;
    }
    const std::vector<Source> sources = node.op->sources(node, inputs);
    const bool has_zero = std::any_of(sources.begin(), sources.end(),
                                      [](const Source& source) { return source.input < 0; });
    const bool uniform = !inputs.empty() && !has_zero &&
                         std::all_of(inputs.begin(), inputs.end(), [&](const TensorType& type) {
                             return type.fixed->is_uniform() && *type.fixed == *inputs[0].fixed;
                         });
    if (uniform) {
        out.fixed = inputs[0].fixed;
        return out;
    }
    // A zero takes the binary point of the first input and the range {0}.
    const int frac = inputs.empty() ? 0 : inputs[0].fixed->values().front().type.frac;
    std::vector<Format> formats;
    formats.reserve(sources.size());
    for (const Source& source : sources) {
        formats.push_back(
            source.input < 0
                ? Format{type_for({0, 0}, frac), {0, 0}}
                : inputs[static_cast<std::size_t>(source.input)].fixed->at(source.element));
    }
    out.fixed = per_element(std::move(formats), out.shape);
    return out;
}

std::vector<Tensor> move_reference(const Node& node, std::span<const Tensor* const> inputs) {
    std::vector<TensorType> types;
    for (const Tensor* tensor : inputs) {
        types.push_back({tensor->shape, std::nullopt});
    }
    Tensor out{node.op->infer(node, types).front().shape, {}};
    for (const Source& source : node.op->sources(node, types)) {
        out.values.push_back(source.input < 0
                                 ? 0.0
                                 : inputs[static_cast<std::size_t>(source.input)]
                                       ->values[static_cast<std::size_t>(source.element)]);
    }
    return {out};
}

ContractForms contract_forms(const Node& node, const TensorType& input) {
    const auto& fields = node.fields<ContractFields>();
    const std::int64_t groups = fields.weights.shape[0];
    const std::int64_t length = fields.weights.shape[1];
    const std::int64_t rows = length == 0 ? 0 : element_count(input.shape) / length;
    FormatNumbers numbers;
    const std::vector<std::int32_t> formats = format_numbers(input, numbers);
    ContractForms out;
    std::map<std::pair<std::int64_t, std::vector<std::int32_t>>, std::int32_t> known;
    for (std::int64_t r = 0; r < rows; ++r) {
        const auto begin = formats.begin() + static_cast<std::ptrdiff_t>(r * length);
        const auto [at, is_new] = known.try_emplace(
            {r % groups,
             std::vector<std::int32_t>(begin, begin + static_cast<std::ptrdiff_t>(length))},
            static_cast<std::int32_t>(out.forms.size()));
        if (is_new) {
            std::vector<Format> row;
            for (std::int64_t k = 0; k < length; ++k) {
                row.push_back(input.fixed->at(r * length + k));
            }
            out.forms.push_back(make_form(node, std::move(row), r % groups));
        }
        out.form_of.push_back(at->second);
    }
    return out;
}

const network::Operator fixed_constant_operator = {
    .name = "fixed_constant",
    .formula = "y = value * 2^-frac",
    .min_inputs = 0,
    .max_inputs = 0,
    .fields = &network::field_table<FixedConstantFields>,
    .infer = &infer_map,
    .element = &fixed_constant,
    .element_key = &fixed_constant_key};

const network::Operator contract_operator = {
    .name = "contract",
    .formula = "y[..., o] = sum over k of x[..., k] * weights[k, o] * 2^-frac",
    .fields = &network::field_table<ContractFields>,
    .infer = &infer_contract,
    .is_contract = true};

}  // namespace gatewright::operators
