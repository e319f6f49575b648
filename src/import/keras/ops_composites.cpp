#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/keras/ops.h"
#include "import/keras/rules.h"
#include "import/layers/attention.h"
#include "import/layers/einsum.h"
#include "import/layers/normalisation.h"
#include "operators/layers.h"
#include "operators/selection.h"

/// Operations of keras.ops that are small networks of their own: normalisations, attention,
/// products over chosen axes, elements at computed positions.
namespace gatewright::keras {

namespace {

using namespace gatewright::operators;

double epsilon_of(Call& call, std::size_t position) {
    // keras.config.epsilon(), unless someone set another one.
    const double epsilon = real_of(call, "epsilon", position, 1e-7);
    if (!(epsilon >= 0)) {
        call.refuse("it is no positive number", {}, "epsilon");
    }
    return epsilon;
}

Shape normalised_axes(Call& call, const Operand& x, std::size_t position) {
    const Json& given = parameter(call, {"axis"}, position);
    return given.is_null() ? Shape{call.axis(x, -1)} : axes_of(call, x, given, "axis");
}

/// A factor or offset with one number for each position of the normalised axes.
std::optional<Operand> affine_of(Call& call, const Operand& x, const Shape& axes,
                                 std::size_t position, const char* name) {
    if (call.argument(position, name) == nullptr && call.argument(name) == nullptr) {
        return std::nullopt;
    }
    Operand out = operand_of(call, position, {name});
    if (!out.is_constant) {
        call.refuse("it is computed from the model's inputs", "Give it as a constant.", name);
    }
    Shape wanted(x.sample_shape().size(), 1);
    Shape own;
    for (const std::int64_t axis : axes) {
        own.push_back(wanted[static_cast<std::size_t>(axis)] =
                          x.sample_shape()[static_cast<std::size_t>(axis)]);
    }
    Shape whole = wanted;
    if (x.batch_axis >= 0) {
        whole.insert(whole.begin() + x.batch_axis, 1);
    }
    if (out.constant.shape != own && out.constant.shape != whole) {
        call.refuse(fmt::format("its shape {} is not that of the normalised axes, {}",
                                to_string(out.constant.shape), to_string(own)),
                    {}, name);
    }
    out.constant.shape = wanted;
    return out;
}

void layer_norm(Call& call) {
    const Operand x = x_of(call);
    if (flag_of(call, {"rms_scaling"})) {
        call.refuse("scaling by the deviation alone is not supported", {}, "rms_scaling");
    }
    const Shape axes = normalised_axes(call, x, 3);
    const double epsilon = epsilon_of(call, 4);
    const layers::Affine affine{affine_of(call, x, axes, 1, "gamma"),
                                affine_of(call, x, axes, 2, "beta")};
    call.set(layers::layer_norm(call, x, axes, epsilon, affine));
}

void rms_norm(Call& call) {
    const Operand x = x_of(call);
    const Shape axes = normalised_axes(call, x, 2);
    Operand y = layers::rms_norm(call, x, axes, epsilon_of(call, 3), {});
    if (call.argument(1, "scale") != nullptr || call.argument("scale") != nullptr) {
        // It broadcasts from the last axis on, wherever the normalised axes are.
        const Operand scale = operand_of(call, 1, {"scale"});
        if (scale.rank() > y.rank()) {
            call.refuse("it has more axes than the input", {}, "scale");
        }
        y = call.multiply(y, scale);
    }
    call.set(y);
}

void moments(Call& call) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"axes"}, 1);
    if (given.is_null()) {
        throw layers::BatchMixed();
    }
    const Shape axes = axes_of(call, x, given, "axes");
    const bool keep = flag_of(call, {"keepdims"}, 2);
    flag_of(call, {"synchronized"}, 3);  // statistics over devices, of training
    const Operand centred = call.subtract(x, call.reduced(x, "mean", axes, true));
    call.set_values({{call.reduced(x, "mean", axes, keep), Kind::real, std::nullopt},
                     {call.reduced(call.function("square", centred), "mean", axes, keep),
                      Kind::real, std::nullopt}});
}

void tensordot(Call& call) {
    const Operand a = operand_of(call, 0, {"x1"});
    const Operand b = operand_of(call, 1, {"x2"});
    const Json& given = parameter(call, {"axes"}, 2);
    Shape of_a;
    Shape of_b;
    if (given.is_array()) {
        if (given.size() != 2) {
            call.refuse("it is no pair of axes", {}, "axes");
        }
        of_a = integers_of(call, given[0], "axes");
        of_b = integers_of(call, given[1], "axes");
    } else {
        const std::int64_t count = given.is_null() ? 2 : integer_of(call, given, "axes");
        if (count < 0 || count > std::min(a.rank(), b.rank())) {
            call.refuse("its tensors do not have so many axes", {}, "axes");
        }
        of_a.resize(static_cast<std::size_t>(count));
        of_b.resize(static_cast<std::size_t>(count));
        std::iota(of_a.begin(), of_a.end(), a.rank() - count);
        std::iota(of_b.begin(), of_b.end(), 0);
    }
    call.set(layers::tensordot(call, a, b, of_a, of_b));
}

/// y[..., i, ...] = x[..., index[..., i, ...], ...]; the other axes broadcast.
void take_along_axis(Call& call) {
    const Operand x = x_of(call);
    Operand index = operand_of(call, 1, {"indices"});
    index.is_integer = false;
    const Json& given = parameter(call, {"axis"}, 2);
    if (given.is_null() || x.batch_axis != index.batch_axis || x.rank() != index.rank()) {
        throw layers::BatchMixed();
    }
    const std::int64_t axis = call.axis(x, integer_of(call, given, "axis"));
    Shape first = x.sample_shape();
    Shape second = index.sample_shape();
    for (std::size_t i = 0; i < first.size(); ++i) {
        if (static_cast<std::int64_t>(i) == axis) {
            continue;
        }
        if (first[i] != second[i] && first[i] != 1 && second[i] != 1) {
            call.refuse("its positions do not broadcast to its input", {}, "indices");
        }
        first[i] = second[i] = first[i] == 1 ? second[i] : first[i];
    }
    const GatherElementsFields fields{axis, true, "error"};
    call.set(call.emit(gather_elements_operator, Attributes::of(fields),
                       {call.expanded(x, first), call.expanded(index, second)}, x.batch_axis)
                 .front(),
             call.input().kind);
}

/// What is added to scores, or says which of them count: broadcasts to [heads, queries, keys].
std::optional<Operand> beside_scores(Call& call, const Shape& scores, std::size_t position,
                                     const char* name) {
    if (call.argument(position, name) == nullptr && call.argument(name) == nullptr) {
        return std::nullopt;
    }
    Operand x = operand_of(call, position, {name});
    if (x.rank() != 4 || x.batch_axis > 0) {
        call.refuse("it has no axes for batch, heads, queries and keys", {}, name);
    }
    if (x.batch_axis < 0) {
        Shape shape = x.sample_shape();
        if (shape.front() != 1) {
            throw layers::BatchMixed();
        }
        shape.erase(shape.begin());
        x = call.reshaped(x, shape, -1);
    }
    if (broadcast(x.sample_shape(), scores) != scores) {
        call.refuse(fmt::format("its shape {} does not broadcast to {}",
                                to_string(x.sample_shape()), to_string(scores)),
                    {}, name);
    }
    return call.expanded(x, scores);
}

void dot_product_attention(Call& call) {
    const Operand q = operand_of(call, 0, {"query"});
    const Operand k = operand_of(call, 1, {"key"});
    const Operand v = operand_of(call, 2, {"value"});
    for (const Operand* x : {&q, &k, &v}) {
        if (x->batch_axis != 0 || x->rank() != 4) {
            throw layers::BatchMixed();
        }
    }
    const std::int64_t heads = q.sample_shape()[1];
    if (k.sample_shape()[1] != heads || v.sample_shape()[1] != heads) {
        call.refuse("its heads are not those of the queries", {}, "key");
    }
    flag_of(call, {"flash_attention"}, 7);  // another way to compute the same
    if (!parameter(call, {"attn_logits_soft_cap"}, 8).is_null()) {
        call.refuse("it is not supported: backends differ in what they make of it",
                    "Bound the scores with standard layers.", "attn_logits_soft_cap");
    }
    layers::Attention fields;
    fields.causal = flag_of(call, {"is_causal"}, 6);
    const Json& scale = parameter(call, {"scale"}, 5);
    if (!scale.is_null()) {
        if (!scale.is_number()) {
            call.refuse("it is no number", {}, "scale");
        }
        fields.scale = scale.get<double>();
    }
    const Shape scores = {heads, q.sample_shape()[0], k.sample_shape()[0]};
    fields.bias = beside_scores(call, scores, 3, "bias");
    fields.allowed = beside_scores(call, scores, 4, "mask");
    if (fields.allowed) {
        // A query without keys looks at all of them alike in Keras: known to be none of these only
        // where the mask is a constant.
        bool each_sees = fields.allowed->is_constant;
        for (std::int64_t row = 0; each_sees && row < scores[0] * scores[1]; ++row) {
            const auto begin = fields.allowed->constant.values.begin() + row * scores[2];
            const std::int64_t seen =
                fields.causal ? std::min(row % scores[1] + 1, scores[2]) : scores[2];
            each_sees = std::any_of(begin, begin + seen, [](double one) { return one != 0; });
        }
        if (!each_sees) {
            call.refuse("a query might see no key", "Give a constant that leaves each query a key.",
                        "mask");
        }
    }
    const auto by_head = [&](const Operand& x) { return call.transposed(x, {1, 0, 2}, 0); };
    call.set(by_head(layers::attention(call, by_head(q), by_head(k), by_head(v), fields).y));
}

const OpRow rows[] = {
    {"LayerNorm", &layer_norm},
    {"RMSNorm", &rms_norm},
    {"Moments", &moments},
    {"Tensordot", &tensordot},
    {"TakeAlongAxis", &take_along_axis},
    {"DotProductAttention", &dot_product_attention},
};

}  // namespace

std::span<const RuleRow> ops_composite_rules() {
    static const std::vector<RuleRow> table = op_rules(rows);
    return table;
}

}  // namespace gatewright::keras
