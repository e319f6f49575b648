// Operators of the user's own, as their rules see them.

#include <fmt/format.h>

#include "import/layers/custom.h"
#include "import/onnx/importer.h"

namespace gatewright::onnx {

void apply_custom_rule(Call& call, const layers::CustomRule& rule) {
    using Json = layers::CustomLayer::Json;
    layers::CustomLayer layer(call, "onnx");
    for (const auto& [name, value] : call.node().attributes) {
        call.ignore(name);  // the layer keeps account of them
        if (const auto* integer = std::get_if<std::int64_t>(&value)) {
            layer.add_setting(name, *integer);
        } else if (const auto* number = std::get_if<double>(&value)) {
            layer.add_setting(name, *number);
        } else if (const auto* text = std::get_if<std::string>(&value)) {
            layer.add_setting(name, *text);
        } else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&value)) {
            layer.add_setting(name, Json(*integers));
        } else if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
            layer.add_setting(name, Json(*reals));
        } else if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
            layer.add_setting(name, Json(*texts));
        } else if (const auto* tensor = std::get_if<OnnxTensor>(&value)) {
            layer.add_weight(name, tensor->tensor);
        } else {
            layer.add_opaque(name, kind_of(value));
        }
    }
    for (std::size_t i = 0; i < call.inputs(); ++i) {
        layer.add_input(call.has(i) ? std::optional(call.operand(i)) : std::nullopt);
    }
    rule(layer);
    const std::size_t count = call.node().outputs.size();
    if (layer.results.size() != count) {
        call.refuse(fmt::format("the rule for it gives {} results instead of {}",
                                layer.results.size(), count));
    }
    for (std::size_t i = 0; i < count; ++i) {
        call.set(std::move(layer.results[i]), i);
        call.set_type(ElementType::undefined, i);
    }
}

}  // namespace gatewright::onnx
