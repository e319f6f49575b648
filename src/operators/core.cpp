#include "operators/core.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "operators/format_numbers.h"
#include "operators/move.h"
#include "operators/move_formats.h"
#include "operators/pattern.h"

namespace gatewright::operators {

namespace {

using fixed::Fixed;

/// The element of `from` that broadcasts to element e of `to`.
std::int64_t broadcast_element(const Shape& from, const Shape& to, std::int64_t e) {
    const auto strides = strides_of(from);
    std::int64_t out = 0;
    for (std::size_t i = 0; i < to.size(); ++i) {
        const std::size_t axis = to.size() - 1 - i;
        const std::int64_t at = e % to[axis];
        e /= to[axis];
        if (i < from.size() && from[from.size() - 1 - i] != 1) {
            out += at * strides[from.size() - 1 - i];
        }
    }
    return out;
}

/// Instances in classes: instance i is in class entries[(i / inner) % entries.size()].
struct InstanceClasses {
    std::int64_t count = 0;
    std::int64_t inner = 1;
    std::vector<std::int32_t> entries;
    std::vector<std::int64_t> first;  ///< the first instance of each class

    std::vector<std::int32_t> each() const {
        std::vector<std::int32_t> out;
        out.reserve(static_cast<std::size_t>(count));
        while (static_cast<std::int64_t>(out.size()) < count) {
            const std::int64_t left = count - static_cast<std::int64_t>(out.size());
            if (inner == 1) {
                const auto some = std::min(left, static_cast<std::int64_t>(entries.size()));
                out.insert(out.end(), entries.begin(), entries.begin() + some);
                continue;
            }
            for (const std::int32_t entry : entries) {
                out.insert(out.end(), static_cast<std::size_t>(inner), entry);
            }
            out.resize(
                static_cast<std::size_t>(std::min(count, static_cast<std::int64_t>(out.size()))));
        }
        return out;
    }
};

/// Rows in classes of equal formats, row r in group r % groups.
InstanceClasses row_classes(const TensorType& x, std::int64_t length, std::int64_t groups) {
    InstanceClasses out;
    out.count = length == 0 ? 0 : element_count(x.shape) / length;
    // Where formats and groups come round together, so do the classes.
    const std::int64_t period =
        x.fixed->is_uniform()
            ? 1
            : x.fixed->inner() * static_cast<std::int64_t>(x.fixed->values().size());
    const bool rows_alike = (length * groups) % period == 0;
    constexpr std::int64_t most = std::int64_t{1} << 31;
    std::int64_t round = groups;
    if (!rows_alike) {
        round = period < most && length * groups < most ? std::lcm(period, length * groups) / length
                                                        : out.count;
    }
    round = std::min(round, out.count);
    FormatNumbers numbers;
    const std::vector<std::int32_t> own = entry_numbers(x, numbers);
    std::map<std::pair<std::int64_t, std::vector<std::int32_t>>, std::int32_t> known;
    for (std::int64_t r = 0; r < round; ++r) {
        std::vector<std::int32_t> row;
        for (std::int64_t k = 0; k < length && !rows_alike; ++k) {
            const auto entry = static_cast<std::size_t>((r * length + k) / x.fixed->inner());
            row.push_back(own[entry % own.size()]);
        }
        const auto [at, is_new] = known.try_emplace({r % groups, std::move(row)},
                                                    static_cast<std::int32_t>(known.size()));
        if (is_new) {
            out.first.push_back(r);
        }
        out.entries.push_back(at->second);
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

namespace {

/// Elements told apart by the formats of their operands and by the fields that apply.
InstanceClasses element_classes(const Node& node, std::span<const TensorType> inputs,
                                const Shape& shape) {
    const std::int64_t count = element_count(shape);
    FormatNumbers numbers;
    // Where all of that comes round, one round says it.
    std::optional<KeyPattern> round = key_pattern(node);
    for (const TensorType& type : inputs) {
        if (type.fixed->is_uniform() || !round) {
            continue;
        }
        const std::int64_t inner = type.fixed->inner();
        if (type.shape != shape) {
            round.reset();
        } else {
            const auto size = static_cast<std::int64_t>(type.fixed->values().size());
            round->inner = round->period == 1 ? inner : std::gcd(round->inner, inner);
            round->period = std::lcm(round->period, inner * size);
        }
    }
    if (round && round->period < count && count % round->period == 0) {
        Classes entries(static_cast<std::size_t>(round->period / round->inner));
        for (const TensorType& type : inputs) {
            const std::vector<std::int32_t> own = entry_numbers(type, numbers);
            entries.refine([&](std::size_t i) {
                const auto e = static_cast<std::int64_t>(i) * round->inner;
                return std::int64_t{
                    own[static_cast<std::size_t>(e / type.fixed->inner()) % own.size()]};
            });
        }
        if (node.op->element_key != nullptr) {
            entries.refine([&](std::size_t i) {
                return node.op->element_key(node, static_cast<std::int64_t>(i) * round->inner);
            });
        }
        InstanceClasses out{count, round->inner, std::move(entries.class_of), {}};
        for (const std::int64_t i : entries.first) {
            out.first.push_back(i * round->inner);
        }
        return out;
    }
    Classes classes(static_cast<std::size_t>(count));
    for (const TensorType& type : inputs) {
        if (type.fixed->is_uniform()) {
            continue;
        }
        std::vector<std::int32_t> own = format_numbers(type, numbers);
        if (type.shape != shape) {
            std::vector<std::int32_t> broadcasted;
            broadcasted.reserve(static_cast<std::size_t>(count));
            for (const std::int64_t e : broadcast_index(type.shape, shape)) {
                broadcasted.push_back(own[static_cast<std::size_t>(e)]);
            }
            own = std::move(broadcasted);
        }
        classes.refine([&](std::size_t e) { return std::int64_t{own[e]}; });
    }
    if (node.op->element_key != nullptr) {
        classes.refine([&](std::size_t e) {
            return node.op->element_key(node, static_cast<std::int64_t>(e));
        });
    }
    return {count, 1, std::move(classes.class_of), std::move(classes.first)};
}

/// Formats of a result from those of the instances of each class, each with `length` elements.
PerElement<Format> formats_of_instances(const InstanceClasses& classes,
                                        const std::vector<std::vector<std::int32_t>>& of_class,
                                        std::size_t length, const std::vector<Format>& formats,
                                        const Shape& shape) {
    if (formats.size() == 1) {
        return formats.front();
    }
    // One round of the classes says it all if it is the last axes of the shape.
    const std::int64_t round = classes.inner * static_cast<std::int64_t>(classes.entries.size());
    const std::int64_t round_elements = round * static_cast<std::int64_t>(length);
    std::size_t axis = shape.size();
    std::int64_t behind = 1;
    while (axis > 0 && behind < round_elements) {
        behind *= shape[--axis];
    }
    const bool fits = behind == round_elements;
    InstanceClasses part{fits ? round : classes.count, classes.inner, classes.entries, {}};
    std::vector<std::int32_t> elements;
    elements.reserve(static_cast<std::size_t>(part.count) * length);
    for (const std::int32_t number : part.each()) {
        const auto& row = of_class[static_cast<std::size_t>(number)];
        elements.insert(elements.end(), row.begin(), row.end());
    }
    const Shape part_shape(shape.begin() + static_cast<std::ptrdiff_t>(fits ? axis : 0),
                           shape.end());
    return spread(pattern_of(elements, part_shape), formats, Format{});
}

/// The body of each class.
struct ClassBodies {
    std::vector<Body> bodies;
    InstanceClasses classes;

    Bodies each() && { return {std::move(bodies), classes.each()}; }
};

/// Formats of a result: results [first, first + length) of each instance's body.
PerElement<Format> per_element(const ClassBodies& bodies, std::size_t first, std::size_t length,
                               const Shape& shape) {
    FormatNumbers numbers;
    std::vector<std::vector<std::int32_t>> of_body;
    for (const Body& body : bodies.bodies) {
        auto& row = of_body.emplace_back();
        for (std::size_t i = 0; i < length; ++i) {
            row.push_back(numbers.number(body.outputs[first + i]));
        }
    }
    return formats_of_instances(bodies.classes, of_body, length, numbers.formats(), shape);
}

ClassBodies map_classes(const Node& node, std::span<const TensorType> inputs) {
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
    ClassBodies out{{}, element_classes(node, inputs, shape)};
    for (const std::int64_t e : out.classes.first) {
        std::vector<Format> formats;
        for (const TensorType& type : inputs) {
            formats.push_back(type.fixed->at(broadcast_element(type.shape, shape, e)));
        }
        out.bodies.push_back(
            build_body(node, formats, [&](fixed::Builder& builder, const std::vector<Fixed>& x) {
                return std::vector<Fixed>{node.op->element(builder, node, x, e)};
            }));
    }
    return out;
}

ClassBodies row_body_classes(const Node& node, std::span<const TensorType> inputs) {
    require_fixed(node, inputs);
    const TensorType& x = inputs[0];
    if (x.shape.empty() || x.shape.back() == 0) {
        throw Failure(Code::operator_inputs, node.where,
                      fmt::format("operator {} needs a last axis with elements", node.op->name));
    }
    const std::int64_t length = x.shape.back();
    ClassBodies out{{}, row_classes(x, length, 1)};
    for (const std::int64_t r : out.classes.first) {
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
    return out;
}

}  // namespace

Bodies map_bodies(const Node& node, std::span<const TensorType> inputs) {
    return map_classes(node, inputs).each();
}

Bodies row_bodies(const Node& node, std::span<const TensorType> inputs) {
    return row_body_classes(node, inputs).each();
}

std::vector<TensorType> infer_map(const Node& node, std::span<const TensorType> inputs) {
    const ClassBodies bodies = map_classes(node, inputs);
    Shape shape = inputs.empty() ? node.fields<FixedConstantFields>().value.shape : inputs[0].shape;
    for (const TensorType& type : inputs) {
        shape = *broadcast(shape, type.shape);
    }
    TensorType type{shape, std::nullopt};
    type.fixed = per_element(bodies, 0, 1, shape);
    return {type};
}

std::vector<TensorType> infer_row(const Node& node, std::span<const TensorType> inputs,
                                  const std::vector<Shape>& shapes) {
    const ClassBodies bodies = row_body_classes(node, inputs);
    const std::int64_t rows = element_count(inputs[0].shape) / inputs[0].shape.back();
    std::vector<TensorType> types;
    std::size_t first = 0;
    for (const Shape& shape : shapes) {
        const auto length = static_cast<std::size_t>(rows == 0 ? 0 : element_count(shape) / rows);
        TensorType type{shape, std::nullopt};
        type.fixed = per_element(bodies, first, length, shape);
        first += length;
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
    const bool uniform =
        !inputs.empty() && std::all_of(inputs.begin(), inputs.end(), [&](const TensorType& type) {
            return type.fixed->is_uniform() && *type.fixed == *inputs[0].fixed;
        });
    const bool large = element_count(out.shape) > large_tensor;
    if (uniform && large) {
        const bool pads = node.op == &pad_operator || node.op == &window_operator;
        out.fixed = pads ? with_zero(*inputs[0].fixed) : *inputs[0].fixed;
        return out;
    }
    if (large) {
        out.fixed = formats_along_axis(node, inputs, out.shape);
        if (out.fixed) {
            return out;
        }
    }
    const std::vector<Source> sources = node.op->sources(node, inputs);
    const bool has_zero = std::any_of(sources.begin(), sources.end(),
                                      [](const Source& source) { return source.input < 0; });
    if (uniform && !has_zero) {
        out.fixed = inputs[0].fixed;
        return out;
    }
    // A zero takes the binary point of the first input and the range {0}; in a large tensor it is
    // typed as those in its place in other pixels, whose ranges then must include it.
    const int frac = inputs.empty() ? 0 : inputs[0].fixed->values().front().type.frac;
    FormatNumbers numbers;
    std::vector<std::vector<std::int32_t>> entries;
    for (const TensorType& type : inputs) {
        entries.push_back(entry_numbers(
            has_zero && large ? TensorType{type.shape, with_zero(*type.fixed)} : type, numbers));
    }
    const Format zero{type_for({0, 0}, frac), {0, 0}};
    const std::int32_t zero_number = has_zero && !large ? numbers.number(zero) : -1;
    std::vector<std::int32_t> elements;
    elements.reserve(sources.size());
    for (const Source& source : sources) {
        if (source.input < 0) {
            elements.push_back(zero_number);
            continue;
        }
        const auto i = static_cast<std::size_t>(source.input);
        const auto at = static_cast<std::size_t>(source.element / inputs[i].fixed->inner());
        elements.push_back(entries[i][at % entries[i].size()]);
    }
    out.fixed = spread(pattern_of(elements, out.shape), numbers.formats(), zero);
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

namespace {

struct FormClasses {
    std::vector<ContractForm> forms;
    InstanceClasses classes;
};
FormClasses form_classes(const Node& node, const TensorType& input) {
    const auto& fields = node.fields<ContractFields>();
    const std::int64_t groups = fields.weights.shape[0];
    const std::int64_t length = fields.weights.shape[1];
    FormClasses out{{}, row_classes(input, length, groups)};
    for (const std::int64_t r : out.classes.first) {
        std::vector<Format> row;
        for (std::int64_t k = 0; k < length; ++k) {
            row.push_back(input.fixed->at(r * length + k));
        }
        out.forms.push_back(make_form(node, std::move(row), r % groups));
    }
    return out;
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
    const FormClasses forms = form_classes(node, x);
    TensorType type{shape, std::nullopt};
    if (forms.forms.size() == 1) {
        type.fixed = PerElement<Format>::each(forms.forms.front().outputs);
        return {type};
    }
    FormatNumbers numbers;
    std::vector<std::vector<std::int32_t>> of_form;
    for (const ContractForm& form : forms.forms) {
        auto& row = of_form.emplace_back();
        for (const Format& format : form.outputs) {
            row.push_back(numbers.number(format));
        }
    }
    type.fixed = formats_of_instances(forms.classes, of_form, static_cast<std::size_t>(w[2]),
                                      numbers.formats(), shape);
    return {type};
}

}  // namespace

ContractForms contract_forms(const Node& node, const TensorType& input) {
    FormClasses forms = form_classes(node, input);
    return {std::move(forms.forms), forms.classes.each()};
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
