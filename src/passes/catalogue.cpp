// Every pass and every pipeline on one page, with the reason for the order.

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "operators/core.h"
#include "passes/merge_moves.h"
#include "passes/pass.h"

namespace gatewright::passes {

namespace {

network::Network prune(const network::Network& network) {
    return network.pruned();
}

// Passes over core networks.
constexpr Pass core_passes[] = {
    // First: what it joins stays behind unused.
    {"merge_moves", "chains of moves become one move, moves that move nothing none", &merge_moves},
    // Last: the others leave nodes behind that nothing needs any more.
    {"prune", "nodes that no output needs are left out", &prune},
};

std::vector<Stage> all_stages() {
    std::vector<Stage> out = {
        // Layers, on real numbers. Types come before lowering, which works on integers.
        {"types", "layers that have no quantiser get one, from a configuration or from samples"},
        // The last activation is a layer too: with argmax there is more to lower.
        {"final_activation", "a last softmax or sigmoid is kept, dropped or made an argmax"},
        // From here on all numbers are integers, with exact ranges.
        {"lower", "layers to core operators; scales travel to the next quantiser"},
    };
    for (const Pass& pass : core_passes) {
        out.push_back({pass.name, pass.help});
    }
    // What is computed is settled; now where and when.
    out.push_back({"parallel", "every operation gets hardware of its own"});
    // Needs the whole function: registers lie where fewest bits cross.
    out.push_back({"pipeline", "register levels that meet the clock period"});
    return out;
}

/// What a pass must keep.
struct Border {
    std::vector<std::string> names;
    std::vector<network::TensorType> types;

    bool operator==(const Border& other) const {
        return names == other.names &&
               std::equal(types.begin(), types.end(), other.types.begin(), other.types.end(),
                          [](const network::TensorType& a, const network::TensorType& b) {
                              // One and the same may be written in several ways.
                              return a == b || (a.shape == b.shape && operators::formats_of(a) ==
                                                                          operators::formats_of(b));
                          });
    }
};

Border border_of(const network::Network& network) {
    Border out;
    const auto add = [&](std::string_view name, const network::TensorType& type) {
        out.names.emplace_back(name);
        out.types.push_back(type);
    };
    for (const network::NodeId id : network.inputs()) {
        add(network.input_name(id), network.node(id).types.front());
    }
    for (const network::NetworkOutput& output : network.outputs()) {
        add(output.name, network.type(output.value));
    }
    return out;
}

}  // namespace

std::span<const Stage> stages() {
    static const std::vector<Stage> table = all_stages();
    return table;
}

std::span<const Pass> core_pipeline() {
    return core_passes;
}

network::Network run(std::span<const Pass> pipeline, network::Network network) {
    const Border border = border_of(network);
    for (const Pass& pass : pipeline) {
        network = pass.run(network);
        const std::vector<std::string> faults = network::verify(network);
        if (!faults.empty()) {
            throw std::logic_error(
                fmt::format("pass {} broke the network: {}", pass.name, faults.front()));
        }
        if (border_of(network) != border) {
            throw std::logic_error(
                fmt::format("pass {} changed inputs or outputs of the network", pass.name));
        }
    }
    return network;
}

}  // namespace gatewright::passes
