// Layers of the user's own, as their rules see them.

#include <algorithm>

#include "import/keras/rules.h"
#include "import/layers/custom.h"

namespace gatewright::keras {

namespace {

/// "dense/dense/kernel:0" of layer "dense" is its "kernel".
std::string short_name(std::string name, const std::string& layer) {
    if (name.ends_with(":0")) {
        name.resize(name.size() - 2);
    }
    while (!layer.empty() && name.starts_with(layer + "/")) {
        name.erase(0, layer.size() + 1);
    }
    return name;
}

}  // namespace

void apply_custom_rule(Call& call, const layers::CustomRule& rule) {
    layers::CustomLayer layer(call, "keras");
    const Json& config = call.object().config;
    // What changes nothing in any layer is left aside, as for the layers that are built in.
    for (const std::string& key : call.settings.unused()) {
        layer.add_setting(key, config[key]);
    }
    call.settings.ignore_all();
    for (auto& [name, tensor] : call.weights().take_all()) {
        layer.add_weight(short_name(name, call.object().name), std::move(tensor));
    }
    for (const Operand& x : call.operands()) {
        layer.add_input(x);
    }
    rule(layer);
    call.set(std::move(layer.results));
}

}  // namespace gatewright::keras
