#include "import/keras/activations.h"

#include <fmt/format.h>

#include <algorithm>

#include "import/keras/rules.h"
#include "operators/layers.h"
#include "operators/selection.h"

namespace gatewright::keras {

namespace {

using Apply = Operand (*)(Call& call, const Operand& x);

Operand affine(Call& c, const Operand& x, double a, double b) {
    return c.function("affine", x, {Call::number(a), Call::number(b)});
}

Operand clipped(Call& c, const Operand& x, double low, double high) {
    return c.function("minimum", c.function("maximum", x, {Call::number(low)}),
                      {Call::number(high)});
}

std::int64_t last_axis(Call& c, const Operand& x) {
    if (x.sample_shape().empty()) {
        c.refuse("it works along the last axis, which is the batch here");
    }
    return static_cast<std::int64_t>(x.sample_shape().size()) - 1;
}

Operand log_softmax(Call& c, const Operand& x) {
    return c
        .emit(operators::softmax_operator,
              Attributes::of(operators::SoftmaxFields{last_axis(c, x), true}), {x}, x.batch_axis)
        .front();
}

/// As Keras computes it, which is not the published function: the threshold is made of the sum of
/// the running sums, where that has the last of them.
Operand sparsemax(Call& c, const Operand& x) {
    const std::int64_t axis = last_axis(c, x);
    const std::int64_t extent = x.sample_shape().back();
    const Operand sorted =
        c.emit(operators::top_k_operator,
               Attributes::of(operators::TopKLayerFields{axis, extent, false}), {x}, x.batch_axis)
            .front();
    const Operand sums =
        c.emit(operators::cumulative_operator,
               Attributes::of(operators::CumulativeFields{"sum", axis}), {sorted}, x.batch_axis)
            .front();
    Tensor counts{{extent}, {}};
    for (std::int64_t k = 1; k <= extent; ++k) {
        counts.values.push_back(static_cast<double>(k));
    }
    const Operand zero = Call::number(0);
    const Operand means = c.divide(affine(c, sums, 1, -1), Call::tensor(counts));
    const Operand support =
        c.function("maximum", c.function("sign", c.subtract(sorted, means)), {zero});
    const Operand total = c.reduced(c.multiply(support, sums), "sum", {axis}, true);
    const Operand threshold =
        c.divide(affine(c, total, 1, -1), c.reduced(support, "sum", {axis}, true));
    return c.function("maximum", c.subtract(x, threshold), {zero});
}

Operand glu(Call& c, const Operand& x) {
    const std::int64_t axis = last_axis(c, x);
    const std::int64_t extent = x.sample_shape().back();
    if (extent % 2 != 0) {
        c.refuse(fmt::format("glu halves the last axis, which has {} elements", extent));
    }
    const Operand value = c.sliced(x, axis, 0, extent / 2);
    const Operand gate = c.sliced(x, axis, extent / 2, extent / 2);
    return c.multiply(value, c.function("sigmoid", gate));
}

/// x, or a fifth of it where it is negative: a quotient, as no float is the fifth of 1. So ties of
/// a quantiser behind it stay ties.
Operand leaky_relu(Call& c, const Operand& x) {
    const Operand zero = Call::number(0);
    return c.add(c.function("maximum", x, {zero}),
                 c.divide(c.function("minimum", x, {zero}), Call::number(5)));
}

struct Row {
    std::string_view name;
    Apply apply;
    bool keras3_only = false;
};

/// The functions of keras.activations with their defaults. hard_sigmoid is 0.2 x + 0.5 cut to
/// [0, 1] in Keras 2, and x / 6 + 0.5 in Keras 3 (see named_activation).
const Row rows[] = {
    {"linear", [](Call&, const Operand& x) { return x; }},
    {"relu", [](Call& c, const Operand& x) { return c.function("maximum", x, {Call::number(0)}); }},
    {"relu6", [](Call& c, const Operand& x) { return clipped(c, x, 0, 6); }, true},
    {"sigmoid", [](Call& c, const Operand& x) { return c.function("sigmoid", x); }},
    {"tanh", [](Call& c, const Operand& x) { return c.function("tanh", x); }},
    {"softmax", [](Call& c, const Operand& x) { return c.softmax(x, last_axis(c, x)); }},
    {"log_softmax", &log_softmax, true},
    {"elu", [](Call& c, const Operand& x) { return c.function("elu", x, {Call::number(1)}); }},
    {"celu", [](Call& c, const Operand& x) { return c.function("celu", x, {Call::number(1)}); },
     true},
    {"selu",
     [](Call& c, const Operand& x) {
         return c.function(
             "selu", x,
             {Call::number(1.67326324235437728481), Call::number(1.05070098735548049342)});
     }},
    {"softplus", [](Call& c, const Operand& x) { return c.function("softplus", x); }},
    {"softsign", [](Call& c, const Operand& x) { return c.function("softsign", x); }},
    {"swish", [](Call& c, const Operand& x) { return c.function("silu", x, {Call::number(1)}); }},
    {"silu", [](Call& c, const Operand& x) { return c.function("silu", x, {Call::number(1)}); }},
    {"gelu", [](Call& c, const Operand& x) { return c.function("gelu", x); }},
    {"mish", [](Call& c, const Operand& x) { return c.function("mish", x); }},
    {"exponential", [](Call& c, const Operand& x) { return c.function("exp", x); }},
    {"hard_silu", [](Call& c, const Operand& x) { return c.function("hard_swish", x); }, true},
    {"hard_swish", [](Call& c, const Operand& x) { return c.function("hard_swish", x); }, true},
    {"hard_tanh", [](Call& c, const Operand& x) { return clipped(c, x, -1, 1); }, true},
    {"leaky_relu", &leaky_relu, true},
    {"log_sigmoid", [](Call& c, const Operand& x) { return c.function("log_sigmoid", x); }, true},
    {"sparse_sigmoid",
     [](Call& c, const Operand& x) { return clipped(c, affine(c, x, 0.5, 0.5), 0, 1); }, true},
    {"sparse_plus", [](Call& c, const Operand& x) { return c.function("sparse_plus", x); }, true},
    {"squareplus",
     [](Call& c, const Operand& x) { return c.function("squareplus", x, {Call::number(4)}); },
     true},
    {"soft_shrink",
     [](Call& c, const Operand& x) {
         return c.function("shrink", x, {Call::number(0.5), Call::number(0.5)});
     },
     true},
    {"hard_shrink",
     [](Call& c, const Operand& x) {
         return c.function("shrink", x, {Call::number(0.5), Call::number(0)});
     },
     true},
    {"tanh_shrink", [](Call& c, const Operand& x) { return c.subtract(x, c.function("tanh", x)); },
     true},
    {"glu", &glu, true},
    {"sparsemax", &sparsemax, true},
    // Of hls4ml's models: 1 above zero and -1 else; to -1, 0 or 1; and a ReLU cut at 1.
    {"binary_tanh",
     [](Call& c, const Operand& x) {
         return affine(c, clipped(c, c.function("ceil", x), 0, 1), 2, -1);
     }},
    {"ternary_tanh",
     [](Call& c, const Operand& x) { return c.function("round", clipped(c, x, -1, 1)); }},
    {"relu1", [](Call& c, const Operand& x) { return clipped(c, x, 0, 1); }},
};

const Row* find_row(const std::string& name) {
    const auto* at = std::find_if(std::begin(rows), std::end(rows),
                                  [&](const Row& row) { return row.name == name; });
    return at == std::end(rows) ? nullptr : at;
}

}  // namespace

bool is_activation_name(const std::string& name) {
    return name == "hard_sigmoid" || find_row(name) != nullptr;
}

Operand named_activation(Call& call, const std::string& name, const Operand& x) {
    if (name == "hard_sigmoid") {
        // Quotients, as neither 1 / 5 nor 1 / 6 is a float.
        const Operand line = call.divide(x, Call::number(call.keras2() ? 5 : 6));
        return clipped(call, affine(call, line, 1, 0.5), 0, 1);
    }
    const Row* row = find_row(name);
    if (row == nullptr || (row->keras3_only && call.keras2())) {
        std::vector<std::string> names = {"hard_sigmoid"};
        for (const Row& known : rows) {
            names.emplace_back(known.name);
        }
        const std::string near = nearest(name, names);
        call.refuse_code(
            fmt::format("the function '{}' is none of Keras': what it computes is not in the file",
                        name),
            near.empty() || near == name ? "Use one of keras.activations."
                                         : fmt::format("The nearest one that is: {}.", near));
    }
    return row->apply(call, x);
}

Operand activation(Call& call, const Json& serialised, const Operand& x) {
    if (serialised.is_null()) {
        return x;
    }
    if (const auto quantised = qkeras_activation(call, serialised, x)) {
        return *quantised;
    }
    if (serialised.is_string()) {
        return named_activation(call, serialised.get<std::string>(), x);
    }
    const Object object = read_object(serialised, call.where("activation"));
    if (object.config.is_string()) {
        // {"class_name": "function", "config": name}; the module "builtins" is that of all
        // functions, among which Keras looks for its own by name.
        const bool of_keras = object.package.empty() || object.package == "builtins";
        if (of_keras && is_activation_name(object.config.get<std::string>())) {
            return named_activation(call, object.config.get<std::string>(), x);
        }
        call.refuse_code(fmt::format("the function '{}' is one of the user's own: what it computes "
                                     "is not in the file",
                                     object.config.get<std::string>()),
                         "Use one of keras.activations.");
    }
    return call.call_layer(serialised, Weights(), x);
}

Operand activation(Call& call, const Operand& x, const std::string& key) {
    return activation(call, call.settings.json(key), x);
}

}  // namespace gatewright::keras
