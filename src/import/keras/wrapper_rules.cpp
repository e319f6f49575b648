#include <fmt/format.h>

#include "import/keras/rules.h"

namespace gatewright::keras {

namespace {

bool flag_of(const Json& config, const char* key) {
    return config.is_object() && config.contains(key) && config[key] == true;
}

/// Two recurrent layers over the same steps, the second from the last step to the first.
void bidirectional(Call& call) {
    // A copy of the second layer's configuration, or the first's with its direction turned.
    Json forward = call.settings.json("layer");
    Json backward = call.settings.json("backward_layer");
    if (!forward.is_object() || !forward.contains("config") || !forward["config"].is_object()) {
        call.settings.refuse("layer", "it is no serialised layer");
    }
    const bool sequences = flag_of(forward["config"], "return_sequences");
    if (backward.is_null()) {
        backward = forward;
        backward["config"]["go_backwards"] = !flag_of(forward["config"], "go_backwards");
        backward["config"]["name"] = "backward";
    }
    call.settings.expect_unset("num_constants", "constants besides the states are not supported");
    const Json& mode_value = call.settings.json("merge_mode");
    const std::string mode =
        mode_value.is_null() && call.object().config.contains("merge_mode")
            ? ""
            : call.settings.choice("merge_mode", "concat", {"concat", "sum", "mul", "ave"});
    std::vector<Value> states;
    for (std::size_t i = 1; i < call.inputs(); ++i) {
        states.push_back(call.input(i));
    }
    if (const Argument* given = call.argument("initial_state")) {
        for (const Value& value : given->tensors()) {
            states.push_back(value);
        }
    }
    if (states.size() % 2 != 0) {
        call.refuse("it is given an odd number of initial states");
    }
    Value x = call.input();
    x.mask = call.mask();
    if (x.mask) {
        // It decides for its layers what they give at masked steps, and not all files say so.
        for (Json* layer : {&forward, &backward}) {
            if (!layer->is_object() || !layer->contains("config") ||
                !(*layer)["config"].is_object()) {
                continue;  // refused below
            }
            Json& zero = (*layer)["config"]["zero_output_for_mask"];
            if (zero.is_null() || zero.is_boolean()) {
                zero = sequences;
            }
        }
    }
    const auto half = static_cast<std::ptrdiff_t>(states.size() / 2);
    const auto run = [&](const Json& layer, const char* attribute, std::ptrdiff_t begin) {
        Arguments arguments({x});
        if (half > 0) {
            Argument given;
            given.list.emplace();
            for (std::ptrdiff_t i = begin; i < begin + half; ++i) {
                given.list->emplace_back(states[static_cast<std::size_t>(i)]);
            }
            arguments.kwargs["initial_state"] = std::move(given);
        }
        return call.call_layer(layer, call.weights().child(attribute), std::move(arguments));
    };
    std::vector<Value> ahead = run(forward, "forward_layer", 0);
    std::vector<Value> back = run(backward, "backward_layer", half);
    Operand a = ahead.front().operand;
    Operand b = back.front().operand;
    if (sequences) {
        b = call.reversed(b, 0);
    }
    const auto mask = sequences ? x.mask : std::nullopt;
    std::vector<Value> out;
    if (mode.empty()) {
        out = {{a, Kind::real, mask}, {b, Kind::real, mask}};
    } else {
        const auto last = static_cast<std::int64_t>(a.sample_shape().size()) - 1;
        Operand y = mode == "concat" ? call.concatenated({a, b}, last)
                    : mode == "mul"  ? call.multiply(a, b)
                                     : call.add(a, b);
        if (mode == "ave") {
            y = call.divide(y, Call::number(2));
        }
        out = {{y, Kind::real, mask}};
    }
    out.insert(out.end(), ahead.begin() + 1, ahead.end());
    out.insert(out.end(), back.begin() + 1, back.end());
    call.set_values(std::move(out));
}

/// A layer applied to each step by itself.
void time_distributed(Call& call) {
    call.expect_inputs(1);
    const Layer layer = read_layer(call.settings.json("layer"), call.where("layer"));
    const Value& x = call.input();
    if (x.operand.sample_shape().empty()) {
        call.refuse("its input has no steps");
    }
    const bool along_features =
        layer.package.empty() && (layer.class_name == "Dense" || layer.class_name == "Dropout");
    const auto mask = call.mask();
    if (mask && !along_features) {
        call.refuse("its input has a mask, which is supported around a Dense layer only",
                    "Leave out Masking, or mask_zero of Embedding.");
    }
    const Weights weights = call.weights().child("layer");
    if (along_features) {
        // Such a layer does so anyway.
        std::vector<Value> ys =
            call.call_layer(layer, weights, Arguments({{x.operand, x.kind, std::nullopt}}));
        ys.front().mask = mask;
        call.set_values(std::move(ys));
        return;
    }
    const std::int64_t steps = x.operand.sample_shape().front();
    if (steps < 1 || steps > 4096) {
        call.refuse(fmt::format("it has {} steps", steps));
    }
    std::vector<Operand> parts;
    for (std::int64_t i = 0; i < steps; ++i) {
        const Weights own = i + 1 == steps ? weights : weights.fork();
        const std::vector<Value> ys = call.call_layer(
            layer, own, Arguments({{call.selected(x.operand, 0, i), x.kind, std::nullopt}}));
        if (ys.size() != 1) {
            call.refuse("the layer inside it gives more than one result");
        }
        parts.push_back(ys.front().operand);
    }
    call.set(call.stacked(parts, 0));
}

/// When a model is used the weights of the layer inside are as training left them, normalised.
void spectral_normalization(Call& call) {
    if (call.keras2()) {
        call.refuse("Keras 2 cannot load its own files with this layer");
    }
    call.settings.ignore("power_iterations");  // of training
    // The kernel once more, and the vector of the power iteration.
    while (call.weights().next() != nullptr) {
    }
    const Value& x = call.input();
    call.set_values(call.call_layer(call.settings.json("layer"), call.weights().child("layer"),
                                    Arguments({x})));
}

const RuleRow rows[] = {
    {"Bidirectional", &bidirectional, Masking::own},
    {"QBidirectional", &bidirectional, Masking::own},
    {"TimeDistributed", &time_distributed, Masking::own},
    {"SpectralNormalization", &spectral_normalization},
};

}  // namespace

std::span<const RuleRow> wrapper_rules() {
    return rows;
}

}  // namespace gatewright::keras
