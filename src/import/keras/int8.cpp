#include "import/keras/int8.h"

#include <fmt/format.h>

#include <algorithm>

#include "import/layers/einsum.h"

namespace gatewright::keras {

namespace {

/// A real number as float32 holds it. Which integer an input becomes is decided in float32.
Operand single(Call& call, const Operand& x) {
    return call.function("float_round", x, {Call::number(8), Call::number(23), Call::number(127)});
}

/// The inside of a serialised object, which must be of that class.
const Json& config_of(Call& call, const Json& object, const char* class_name) {
    if (!object.is_object() || object.value("class_name", "") != class_name ||
        !object.contains("config") || !object["config"].is_object()) {
        call.settings.refuse("quantization_config",
                             fmt::format("only {} is supported there", class_name),
                             "Call model.quantize(\"int8\") without a configuration of your own.");
    }
    return object["config"];
}

}  // namespace

std::optional<Int8> read_int8(Call& call) {
    if (!call.int8) {
        call.settings.expect_unset("quantization_config", "its weights are not quantised");
        return std::nullopt;
    }
    Int8 out;
    if (!call.settings.has("quantization_config")) {
        call.settings.ignore("quantization_config");  // the usual one
        return out;
    }
    const Json& config =
        config_of(call, call.settings.json("quantization_config"), "Int8QuantizationConfig");
    // The file's weights are integers already: how they became so does not matter.
    for (const auto& [key, value] : config.items()) {
        if (key != "weight_quantizer" && key != "activation_quantizer") {
            call.settings.refuse("quantization_config", fmt::format("it has an unknown {}", key));
        }
    }
    const Json quantizer = config.value("activation_quantizer", Json());
    if (quantizer.is_null()) {
        out.of_inputs = false;
        return out;
    }
    const Json& own = config_of(call, quantizer, "AbsMaxQuantizer");
    for (const auto& [key, value] : own.items()) {
        if (key == "value_range" && value.is_array() && value.size() == 2 &&
            value[0].is_number_integer() && value[1].is_number_integer() && value[0] >= -128 &&
            value[0] <= 0 && value[1] >= 1 && value[1] <= 127) {
            out.low = value[0].get<double>();
            out.high = value[1].get<double>();
        } else if (key == "epsilon" && value.is_number() && value.get<double>() >= 0 &&
                   value.get<double>() < 1e30) {
            out.epsilon = value.get<double>();
        } else if ((key != "output_dtype" || value != "int8") &&
                   (key != "axis" || !value.is_null())) {
            call.settings.refuse("quantization_config",
                                 fmt::format("its quantiser has {} = {}", key, value.dump()));
        }
    }
    return out;
}

Levels levels_of(Call& call, const Int8& int8, const Operand& x, const Shape& axes) {
    if (!int8.of_inputs) {
        return {x, std::nullopt};
    }
    const Operand largest =
        single(call, call.add(call.reduced(call.function("absolute", x), "max", axes, true),
                              Call::number(static_cast<double>(static_cast<float>(int8.epsilon)))));
    const Operand scale = single(call, call.divide(Call::number(int8.high), largest));
    const Operand whole = call.function("round", single(call, call.multiply(x, scale)));
    return {call.function("minimum", call.function("maximum", whole, {Call::number(int8.low)}),
                          {Call::number(int8.high)}),
            scale};
}

Levels levels_for(Call& call, const Int8& int8, const std::string& x_axes,
                  const std::string& y_axes) {
    if (!int8.of_inputs) {
        return {call.operand(), std::nullopt};
    }
    if (x_axes.find("...", 1) != std::string::npos) {
        call.settings.refuse("equation", "an ellipsis between axes is not supported with int8");
    }
    Shape axes;
    for (std::size_t i = 0; i < x_axes.size(); ++i) {
        if (x_axes[i] != '.' && y_axes.find(x_axes[i]) == std::string::npos) {
            axes.push_back(call.axis(call.operand(), static_cast<std::int64_t>(i) -
                                                         static_cast<std::int64_t>(x_axes.size())));
        }
    }
    return levels_of(call, int8, call.operand(), axes);
}

Operand unscaled(Call& call, const Operand& y, const Levels& levels, const std::string& x_axes,
                 const std::string& y_axes) {
    const Operand of_kernel =
        call.weight("kernel scale", Shape(static_cast<std::size_t>(y.rank()), -1));
    if (!levels.scale) {
        return call.divide(y, of_kernel);
    }
    // The scale of a row of inputs goes where the result has that row.
    std::string ones;
    for (const char letter : y_axes) {
        if (letter != '.' && x_axes.find(letter) == std::string::npos) {
            ones += letter;
        }
    }
    const Operand of_inputs =
        layers::einsum(call, fmt::format("{},{}->{}", x_axes, ones, y_axes),
                       {*levels.scale, Call::tensor(Tensor::filled(Shape(ones.size(), 1), 1))});
    return call.divide(y, call.multiply(of_inputs, of_kernel));
}

}  // namespace gatewright::keras
