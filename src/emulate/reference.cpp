#include "emulate/reference.h"

#include <fmt/format.h>

namespace gatewright::emulate {

std::vector<std::vector<Tensor>> reference_values(const network::Network& layers,
                                                  const std::vector<Tensor>& inputs) {
    std::vector<std::vector<Tensor>> values(layers.nodes().size());
    std::size_t next = 0;
    std::vector<const Tensor*> arguments;
    for (network::NodeId id = 0; id < layers.nodes().size(); ++id) {
        const network::Node& node = layers.node(id);
        if (node.op == &network::input_operator) {
            values[id] = {inputs[next++]};
            continue;
        }
        if (node.op->reference == nullptr) {
            throw Failure(Code::not_in_circuit, node.where,
                          fmt::format("operator {} has no float reference", node.op->name));
        }
        arguments.clear();
        for (const network::Value value : node.inputs) {
            arguments.push_back(&values[value.node][value.output]);
        }
        values[id] = node.op->reference(node, arguments);
    }
    return values;
}

ReferenceResult run_reference(const network::Network& layers, const Samples& samples) {
    ReferenceResult result;
    for (const network::NetworkOutput& output : layers.outputs()) {
        result.shapes.push_back(layers.type(output.value).shape);
        result.values.emplace_back();
    }
    std::vector<std::vector<double>> all;
    for (const ArraySource& array : samples.inputs) {
        all.push_back(to_doubles(array.whole()).value());
    }
    const auto ids = layers.inputs();
    for (std::int64_t s = 0; s < samples.count; ++s) {
        std::vector<Tensor> inputs;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            const Shape& shape = layers.node(ids[i]).types.front().shape;
            const std::int64_t count = element_count(shape);
            inputs.push_back({shape, std::vector<double>(all[i].begin() + s * count,
                                                         all[i].begin() + (s + 1) * count)});
        }
        const auto values = reference_values(layers, inputs);
        for (std::size_t o = 0; o < result.values.size(); ++o) {
            const network::Value value = layers.outputs()[o].value;
            for (const double v : values[value.node][value.output].values) {
                result.values[o].push_back(static_cast<float>(v));
            }
        }
    }
    return result;
}

}  // namespace gatewright::emulate
