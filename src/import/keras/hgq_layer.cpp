#include "import/keras/hgq_layer.h"

#include <fmt/format.h>

#include <algorithm>

#include "import/keras/importer.h"

namespace gatewright::keras {

namespace {

/// Keys that HGQ2 adds to a layer of Keras.
constexpr const char* own_keys[] = {"enable_ebops",
                                    "ebops_factor",
                                    "beta0",
                                    "enable_oq",
                                    "enable_iq",
                                    "oq_conf",
                                    "iq_conf",
                                    "iq_confs",
                                    "kq_conf",
                                    "bq_conf",
                                    "parallelization_factor"};

std::vector<Tensor> variables_of(Weights object) {
    std::vector<Tensor> out;
    while (const Tensor* tensor = object.next()) {
        out.push_back(*tensor);
    }
    return out;
}

void check_layout(Call& call) {
    if (call.weights().is_flat()) {
        call.refuse_weights(
            "its weights stand in one list with those of its quantisers, as .h5 files "
            "have them; layers of HGQ2 are read from .keras files");
    }
}

}  // namespace

HgqQuantiser quantiser_at(Call& call, const std::string& key, const Weights& object,
                          const std::string& path) {
    check_layout(call);
    const bool trainable = call.settings.flag("trainable", true);
    return hgq2_quantiser(
        call, call.settings.json(key),
        variables_of(object.child(path.empty() ? "quantizer" : path + "/quantizer")), trainable,
        key);
}

HgqLayer::HgqLayer(Call& layer_call) : call(layer_call) {
    check_layout(call);
    Settings& s = call.settings;
    input_quantiser_ = s.flag("enable_iq", true);
    output_quantiser_ = s.flag("enable_oq", false);
    counts_costs_ = s.flag("enable_ebops", input_quantiser_);
    // Estimates of costs, which act on the loss in training; how many copies of the layer the
    // circuit has in that estimate. None of them changes a result.
    s.ignore({"ebops_factor", "beta0", "parallelization_factor"});
    if (!input_quantiser_) {
        s.ignore({"iq_conf", "iq_confs"});
    }
    if (!output_quantiser_) {
        s.ignore("oq_conf");
    }
}

HgqQuantiser HgqLayer::quantiser(const std::string& key, const std::string& path) {
    return quantiser_at(call, key, call.weights(), path);
}

Operand HgqLayer::input(std::size_t i) {
    return input_quantiser_ ? quantised(call, call.operand(i), quantiser("iq_conf", "iq"))
                            : call.operand(i);
}

std::vector<Operand> HgqLayer::inputs() {
    std::vector<Operand> out = call.operands();
    if (!input_quantiser_) {
        return out;
    }
    const Json& configs = call.settings.json("iq_confs");
    const bool shared = configs.is_object();
    if (!shared && (!configs.is_array() || configs.size() != out.size())) {
        call.settings.refuse("iq_confs",
                             fmt::format("it is not a list of {} quantisers", out.size()));
    }
    const std::vector<std::string> names =
        container_names(std::vector<std::string>(out.size(), "Quantizer"));
    const bool trainable = call.settings.flag("trainable", true);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const Weights object =
            call.weights().child(fmt::format("iq/quantizers/{}/quantizer", names[i]));
        out[i] = quantised(call, out[i],
                           hgq2_quantiser(call, shared ? configs : configs[i], variables_of(object),
                                          trainable, "iq_confs"));
    }
    return out;
}

Tensor HgqLayer::weight(const std::string& role, const Shape& shape, const std::string& key,
                        const std::string& path) {
    const Operand raw = call.weight(role, shape);
    return quantised(call, raw.constant, quantiser(key, path));
}

void HgqLayer::take_costs() {
    if (counts_costs_) {
        call.weight("beta", {});
        call.weight("ebops", {});
    }
}

void HgqLayer::finish(Operand y) {
    if (output_quantiser_) {
        y = quantised(call, y, quantiser("oq_conf", "oq"));
    }
    call.set(std::move(y));
}

Operand HgqLayer::plain(const std::string& class_name, std::vector<Tensor> weights,
                        const std::vector<Operand>& inputs,
                        std::initializer_list<const char*> dropped) {
    Json config = Json::object();
    const auto is_one_of = [](const auto& names, const std::string& key) {
        return std::find(std::begin(names), std::end(names), key) != std::end(names);
    };
    for (const auto& [key, value] : call.settings.config().items()) {
        if (!is_one_of(own_keys, key) && !is_one_of(dropped, key)) {
            config[key] = value;
            call.settings.ignore(key);  // the plain layer judges it
        }
    }
    std::vector<Value> values;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        Value value = call.input(i);
        value.operand = inputs[i];
        values.push_back(std::move(value));
    }
    const Json serialised = {{"module", "keras.layers"},
                             {"class_name", class_name},
                             {"config", std::move(config)},
                             {"registered_name", nullptr}};
    // It is this layer, so it has its name.
    return call.importer()
        .call_layer(read_layer(serialised, call.where()), call.path(),
                    Weights::of_tensors(std::move(weights), call.where()),
                    Arguments(std::move(values)))
        .front()
        .operand;
}

}  // namespace gatewright::keras
