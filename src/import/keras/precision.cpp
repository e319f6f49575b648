#include "import/keras/precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace gatewright::keras {

namespace {

/// Layers that are known to take inputs and weights in the type of their policy and to give
/// results in it, with sums of no lower precision inside. Recurrent layers and attention round at
/// each of their steps.
constexpr std::string_view half_layers[] = {
    "Activation",
    "ActivityRegularization",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "ELU",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "Identity",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "SeparableConv1D",
    "SeparableConv2D",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Subtract",
    "ThresholdedReLU",
    "TimeDistributed",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
};

constexpr std::string_view int8_layers[] = {"Dense", "EinsumDense", "Embedding"};

bool lists(std::span<const std::string_view> names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// {"config": {...}} of a serialised policy; null if it is another thing.
const Json* config_of(const Json& policy) {
    return policy.is_object() && policy.contains("config") && policy["config"].is_object()
               ? &policy["config"]
               : nullptr;
}

std::string text_in(const Json& config, const char* key) {
    return config.contains(key) && config[key].is_string() ? config[key].get<std::string>() : "";
}

std::optional<Precision> precision_named(std::string_view name) {
    if (name == "float16" || name == "mixed_float16") {
        return Precision::float16;
    }
    if (name == "bfloat16" || name == "mixed_bfloat16") {
        return Precision::bfloat16;
    }
    const bool plain = name == "float32" || name == "float64" || name == "string" ||
                       name.starts_with("int") || name.starts_with("uint") || name == "bool";
    return plain ? std::optional(Precision::single) : std::nullopt;
}

/// The policy that one key of the configuration holds.
Policy read(const Object& object, const Settings& settings, const char* key) {
    const Json& given = object.config[key];
    const Json* config = config_of(given);
    if (config != nullptr && config->contains("mode")) {
        const std::string mode = text_in(*config, "mode");
        const bool read_so = mode == "int8" && text_in(*config, "source_name") == "float32" &&
                             object.package.empty() && lists(int8_layers, object.class_name);
        if (!read_so) {
            settings.refuse(key, fmt::format("weights quantised as '{}' are not read here", mode),
                            "Quantise to int8 from float32, and Dense, EinsumDense and "
                            "Embedding only; or save the model before `quantize`.");
        }
        return {Precision::single, true};
    }
    const std::string name = given.is_string()   ? given.get<std::string>()
                             : config != nullptr ? text_in(*config, "name")
                                                 : std::string();
    const std::optional<Precision> precision = precision_named(name);
    if (!precision) {
        settings.refuse(key, "numbers of that type are not supported",
                        "Save the model with float32.");
    }
    const bool casts = !object.config.contains("autocast") || object.config["autocast"] != false;
    // Other kinds of resizing compute in float32.
    const bool copies =
        object.class_name != "UpSampling2D" || text_in(object.config, "interpolation") == "nearest";
    if (*precision != Precision::single &&
        !(object.package.empty() && casts && copies && lists(half_layers, object.class_name))) {
        settings.refuse(
            key, "this layer in half precision is not supported: it rounds inside itself",
            "Save the model with the policy float32: keras.models.clone_model under that policy, "
            "then set_weights.");
    }
    return {*precision, false};
}

/// Whether a list holds a number with a point.
bool has_fractions(const Json& literal) {
    return literal.is_array() && std::any_of(literal.begin(), literal.end(), [](const Json& part) {
               return part.is_number_float() || has_fractions(part);
           });
}

void visit_tensors(Argument& argument, const std::function<void(Value&)>& visit) {
    if (argument.value) {
        visit(*argument.value);
    } else if (argument.list) {
        for (Argument& one : *argument.list) {
            visit_tensors(one, visit);
        }
    }
}

void visit_all(Arguments& arguments, const std::function<void(Argument&)>& visit) {
    for (Argument& one : arguments.args) {
        visit(one);
    }
    for (auto& [name, one] : arguments.kwargs) {
        visit(one);
    }
}

Precision common_precision(const Call& call, const Arguments& arguments) {
    std::optional<Precision> common;
    bool mixed = false;
    Arguments copy = arguments;
    visit_all(copy, [&](Argument& argument) {
        visit_tensors(argument, [&](Value& value) {
            if (value.kind == Kind::real) {
                mixed = mixed || (common && *common != value.precision);
                common = value.precision;
            }
        });
    });
    if (!common || mixed || *common == Precision::single) {
        return Precision::single;
    }
    // An array has a type of its own, a Python number that of the tensors.
    visit_all(copy, [&](Argument& argument) {
        const Json& literal = argument.literal;
        const Json* array = config_of(literal);
        const bool reals = array != nullptr ? !text_in(*array, "dtype").starts_with("int")
                                            : has_fractions(literal);
        if (reals && array != nullptr && text_in(*array, "dtype") == "float32") {
            common = Precision::single;
        } else if (reals && array != nullptr && array->contains("value")) {
            call.refuse("it joins a tensor in half precision with an array of another type",
                        "Cast the tensor to float32 before it.");
        } else if (reals && literal.is_array()) {
            common = Precision::single;  // a list becomes float32
        }
    });
    return *common;
}

void round_arguments(layers::Builder& builder, Arguments& arguments, Precision precision) {
    visit_all(arguments, [&](Argument& argument) {
        visit_tensors(argument, [&](Value& value) {
            if (value.kind == Kind::real && value.precision != precision) {
                value.operand = rounded_to(builder, value.operand, precision);
            }
        });
    });
}

}  // namespace

Policy policy_of(const Object& object, const Location& where) {
    Policy out;
    const Settings settings(object.config, where);
    for (const char* key : {"dtype", "dtype_policy"}) {
        if (settings.has(key)) {
            const Policy policy = read(object, settings, key);
            out = policy.int8 || policy.compute != Precision::single ? policy : out;
        }
    }
    return out;
}

void expect_policy_within(const Call& outer, const Object& inner) {
    const Policy policy = policy_of(inner, outer.where());
    if (policy.int8) {
        outer.refuse("Keras calls the layer inside it as if its weights were not quantised",
                     "Quantise the model without that layer (filters), or use the layer by itself.",
                     "layer");
    }
    if (policy.compute != outer.precision) {
        outer.refuse("the layer inside it computes in another type, which Keras does not cast to",
                     "Give both the same policy.", "layer");
    }
}

Operand rounded_to(layers::Builder& builder, const Operand& x, Precision precision) {
    const auto rounded = [&](double exponent, double fraction, double bias) {
        const auto number = [](double value) { return layers::Builder::number(value); };
        return builder.function("float_round", x,
                                {number(exponent), number(fraction), number(bias)});
    };
    switch (precision) {
        case Precision::float16:
            return rounded(5, 10, 15);
        case Precision::bfloat16:
            return rounded(8, 7, 127);
        case Precision::single:
            break;
    }
    return x;
}

Policy take_arguments(layers::Builder& builder, const Call& call, Arguments& arguments) {
    const Object& object = call.object();
    Policy out = policy_of(object, call.where());
    if (object.package == "keras.ops" || object.class_name.ends_with("OpLambda")) {
        out.compute = common_precision(call, arguments);  // it has no policy
    } else if (object.class_name != "Embedding") {        // which takes integers
        round_arguments(builder, arguments, out.compute);
    }
    return out;
}

}  // namespace gatewright::keras
