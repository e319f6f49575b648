#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <queue>
#include <set>
#include <string_view>
#include <unordered_map>

#include "import/onnx/reading.h"

namespace gatewright::onnx {

namespace {

constexpr std::size_t not_computed = static_cast<std::size_t>(-1);

/// Where each value comes from: the index of its node, or not_computed for inputs and initialisers.
using Definitions = std::unordered_map<std::string, std::size_t>;

Definitions define_values(Reading& reading, const OnnxGraph& graph) {
    Definitions defined;
    for (const OnnxValueInfo& input : graph.inputs) {
        defined.emplace(input.name, not_computed);
    }
    for (const auto& [name, tensor] : graph.initializers) {
        defined.emplace(name, not_computed);
    }
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
        const OnnxNode& node = graph.nodes[i];
        bool any = false;
        for (const std::string& output : node.outputs) {
            any = any || !output.empty();
            if (output.empty()) {
                continue;
            }
            const auto [entry, fresh] = defined.emplace(output, i);
            if (!fresh) {
                reading.error(
                    Code::duplicate_name, location_of(reading.file, node),
                    entry->second == not_computed
                        ? fmt::format("its output '{}' is an input or initialiser of the model too",
                                      output)
                        : fmt::format("its output '{}' is an output of layer '{}' too", output,
                                      graph.nodes[entry->second].layer_name()),
                    "Give each value a name of its own");
            }
        }
        if (!any) {
            reading.error(Code::model_file_malformed, location_of(reading.file, node),
                          "it has no outputs", "Take the layer away");
        }
    }
    return defined;
}

void report_undefined(Reading& reading, const OnnxGraph& graph, const Definitions& defined) {
    for (const OnnxNode& node : graph.nodes) {
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
            const std::string& input = node.inputs[i];
            if (!input.empty() && !defined.contains(input)) {
                reading.error(Code::undefined_value, location_of(reading.file, node),
                              fmt::format("its input {} is '{}', which nothing in the file defines",
                                          i, input),
                              "Export the model again with its weights");
            }
        }
    }
    for (const OnnxValueInfo& output : graph.outputs) {
        if (!defined.contains(output.name)) {
            reading.error(Code::undefined_value, reading.location(output.name, "output"),
                          "nothing in the file computes this output of the model",
                          "Export the model again");
        }
    }
}

/// Follows inputs back through nodes that wait for each other until one comes twice.
void report_cycle(Reading& reading, const OnnxGraph& graph, const Definitions& defined,
                  const std::vector<std::size_t>& waits_for) {
    std::size_t node = 0;
    while (waits_for[node] == 0) {
        ++node;
    }
    std::vector<std::size_t> path;
    while (std::find(path.begin(), path.end(), node) == path.end()) {
        path.push_back(node);
        for (const std::string& input : graph.nodes[node].inputs) {
            const auto from = defined.find(input);
            if (from != defined.end() && from->second != not_computed &&
                waits_for[from->second] != 0) {
                node = from->second;
                break;
            }
        }
    }
    path.erase(path.begin(), std::find(path.begin(), path.end(), node));
    std::reverse(path.begin(), path.end());  // with the flow of data, not against it
    std::rotate(path.begin(), std::min_element(path.begin(), path.end()), path.end());
    std::string names;
    for (std::size_t i = 0; i < std::min<std::size_t>(path.size(), 8); ++i) {
        names += fmt::format("'{}' -> ", graph.nodes[path[i]].layer_name());
    }
    names += path.size() > 8 ? "..." : fmt::format("'{}'", graph.nodes[path[0]].layer_name());
    reading.error(Code::graph_cycle, location_of(reading.file, graph.nodes[path[0]]),
                  "its result is needed to compute itself: " + names,
                  "Write recurrence with the operators LSTM, GRU or RNN, or unroll it");
}

/// Operators for which an infinite constant is sound: a mask that is added before a softmax, a
/// bound, the neutral element of a maximum, a comparison.
constexpr auto infinity_has_meaning = std::to_array<std::string_view>(
    {"Add", "Attention", "Clip", "Equal", "Greater", "GreaterOrEqual", "IsInf", "Less",
     "LessOrEqual", "Max", "Min", "Pad", "Sub", "Where"});

/// Operators that pass their input's elements on as they are.
constexpr auto only_moves = std::to_array<std::string_view>(
    {"Cast", "Concat", "Constant", "ConstantOfShape", "Expand", "Flatten", "Gather", "Identity",
     "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze"});

bool is_among(std::span<const std::string_view> list, const OnnxNode& node) {
    return node.domain.empty() && std::find(list.begin(), list.end(), node.op_type) != list.end();
}

bool is_infinite(const OnnxAttribute& attribute) {
    if (const auto* value = std::get_if<double>(&attribute)) {
        return std::isinf(*value);
    }
    if (const auto* values = std::get_if<std::vector<double>>(&attribute)) {
        return std::any_of(values->begin(), values->end(),
                           [](double value) { return std::isinf(value); });
    }
    if (const auto* tensor = std::get_if<OnnxTensor>(&attribute)) {
        return tensor->has_infinity;
    }
    return false;
}

}  // namespace

void order_nodes(Reading& reading, OnnxGraph& graph) {
    const Definitions defined = define_values(reading, graph);
    report_undefined(reading, graph, defined);
    if (reading.has_errors()) {
        return;
    }
    // Kahn's algorithm; of the nodes that are ready, the first in the file comes first.
    const std::size_t count = graph.nodes.size();
    std::vector<std::size_t> waits_for(count, 0);
    std::vector<std::vector<std::size_t>> users(count);
    for (std::size_t i = 0; i < count; ++i) {
        for (const std::string& input : graph.nodes[i].inputs) {
            const std::size_t from = input.empty() ? not_computed : defined.at(input);
            if (from != not_computed) {
                users[from].push_back(i);
                ++waits_for[i];
            }
        }
    }
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
    for (std::size_t i = 0; i < count; ++i) {
        if (waits_for[i] == 0) {
            ready.push(i);
        }
    }
    std::vector<std::size_t> order;
    order.reserve(count);
    while (!ready.empty()) {
        const std::size_t node = ready.top();
        ready.pop();
        order.push_back(node);
        for (const std::size_t user : users[node]) {
            if (--waits_for[user] == 0) {
                ready.push(user);
            }
        }
    }
    if (order.size() != count) {
        report_cycle(reading, graph, defined, waits_for);
        return;
    }
    std::vector<OnnxNode> nodes;
    nodes.reserve(count);
    for (const std::size_t node : order) {
        nodes.push_back(std::move(graph.nodes[node]));
    }
    graph.nodes = std::move(nodes);
}

void check_infinities(Reading& reading, const OnnxGraph& graph) {
    // Values that hold an infinite constant, and the initialiser or layer that it is from.
    std::map<std::string, std::string> infinite;
    for (const auto& [name, tensor] : graph.initializers) {
        if (tensor.has_infinity) {
            infinite.emplace(name, name);
        }
    }
    constexpr std::string_view remedy =
        "Find where training diverged, or replace the infinite values by the largest finite ones";
    std::set<std::string> reported;
    for (const OnnxNode& node : graph.nodes) {
        const bool moves = is_among(only_moves, node);
        const bool sound = moves || is_among(infinity_has_meaning, node);
        std::string source;
        for (const auto& [name, attribute] : node.attributes) {
            if (!is_infinite(attribute)) {
                continue;
            }
            source = node.layer_name();
            if (!sound) {
                reading.error(Code::weight_not_finite, location_of(reading.file, node, name),
                              "it is infinite, which has no meaning here", std::string(remedy));
            }
        }
        for (const std::string& input : node.inputs) {
            const auto from = infinite.find(input);
            if (from == infinite.end()) {
                continue;
            }
            source = from->second;
            if (!sound && reported.insert(source).second) {
                const auto tensor = graph.initializers.find(source);
                reading.error(
                    Code::weight_not_finite,
                    reading.location(
                        source, tensor == graph.initializers.end() ? "constant" : "initializer"),
                    fmt::format(
                        "it holds infinite values, which have no meaning in layer '{}' ({})",
                        node.layer_name(), node.op_type),
                    std::string(remedy));
            }
        }
        if (moves && !source.empty()) {
            for (const std::string& output : node.outputs) {
                infinite.emplace(output, source);
            }
        }
    }
}

void name_layers(Reading& reading, OnnxGraph& graph) {
    std::set<std::string> taken;
    for (OnnxNode& node : graph.nodes) {
        const std::string old = node.layer_name();
        if (taken.insert(old).second) {
            continue;
        }
        std::string fresh;
        for (std::size_t i = 2; fresh.empty() || !taken.insert(fresh).second; ++i) {
            fresh = fmt::format("{}_{}", old, i);
        }
        reading.note(Code::layer_renamed, location_of(reading.file, node),
                     fmt::format("another layer has this name; this one, with the output '{}', is "
                                 "called '{}'",
                                 node.outputs.empty() ? "" : node.outputs[0], fresh));
        node.name = std::move(fresh);
    }
}

}  // namespace gatewright::onnx
