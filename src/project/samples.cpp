#include "project/samples.h"

#include <algorithm>
#include <functional>
#include <set>

#include "operators/core.h"
#include "operators/map.h"

namespace gatewright::project {

namespace {

using network::NodeId;

constexpr std::size_t most_edges = 64;
constexpr std::int64_t most_single = 16;

/// Integers next to which a function of a port's elements changes.
std::vector<std::int64_t> edges_of(const network::Network& network) {
    std::set<std::int64_t> found;
    for (const network::Node& node : network.nodes()) {
        if (node.op != &operators::thresholds_operator ||
            network.node(node.inputs[0].node).op != &network::input_operator) {
            continue;
        }
        for (const auto& thresholds :
             node.fields<operators::ThresholdFields>().thresholds.values()) {
            for (const Int128 t : thresholds) {
                if (found.size() < most_edges && width_for({t - 1, t}) < 63) {
                    found.insert({static_cast<std::int64_t>(t - 1), static_cast<std::int64_t>(t)});
                }
            }
        }
    }
    return {found.begin(), found.end()};
}

}  // namespace

VerificationSamples verification_samples(const operators::CoreModel& model, std::int64_t random,
                                         std::uint64_t seed) {
    struct Element {
        std::int64_t low;
        std::int64_t high;
        std::int64_t zero;  ///< or the nearest to it
    };
    std::vector<Element> elements;  // of all ports
    std::vector<std::int64_t> port_sizes;
    for (const NodeId id : model.network.inputs()) {
        const network::TensorType& type = model.network.node(id).types.front();
        port_sizes.push_back(element_count(type.shape));
        for (std::int64_t e = 0; e < port_sizes.back(); ++e) {
            const Interval& range = type.fixed->at(e).range;
            const auto low = static_cast<std::int64_t>(range.low);
            const auto high = static_cast<std::int64_t>(range.high);
            elements.push_back({low, high, std::clamp<std::int64_t>(0, low, high)});
        }
    }
    const auto count = static_cast<std::int64_t>(elements.size());

    using Corner = std::function<std::int64_t(std::int64_t)>;  // of the element's number
    std::vector<Corner> corners;
    const auto at = [&](std::int64_t e) -> const Element& {
        return elements[static_cast<std::size_t>(e)];
    };
    const auto end = [&](std::int64_t e, bool high) { return high ? at(e).high : at(e).low; };
    const auto all = [&](std::int64_t value) {
        corners.emplace_back(
            [&, value](std::int64_t e) { return std::clamp(value, at(e).low, at(e).high); });
    };
    for (const bool high : {false, true}) {
        corners.emplace_back([&, high](std::int64_t e) { return end(e, high); });
        corners.emplace_back([&, high](std::int64_t e) { return end(e, (e % 2 == 0) == high); });
        corners.emplace_back([&, high](std::int64_t e) { return end(e, (e < count / 2) == high); });
    }
    corners.emplace_back([&](std::int64_t e) { return at(e).zero; });
    const std::int64_t single = std::min(count, most_single);
    for (std::int64_t i = 0; i < single; ++i) {
        const std::int64_t chosen = i * count / single;
        for (const bool high : {false, true}) {
            corners.emplace_back([&, chosen, high](std::int64_t e) {
                return e == chosen ? end(e, high) : at(e).zero;
            });
            corners.emplace_back(
                [&, chosen, high](std::int64_t e) { return end(e, (e == chosen) == high); });
        }
    }
    for (const std::int64_t value : {-1, 1, 2}) {
        all(value);
    }
    for (const std::int64_t value : edges_of(model.network)) {
        all(value);
    }
    const PortIntegers drawn = random_ports(model, 16 + random + 16, seed);  // 16 corners first
    const auto drawn_at = [&](std::int64_t port, std::int64_t e, std::int64_t sample) {
        return drawn[static_cast<std::size_t>(port)]
                    [static_cast<std::size_t>(e * (32 + random) + sample)];
    };
    for (std::int64_t i = 0; i < 16 && count > 0 && port_sizes[0] > 0; ++i) {
        // All the same integer, or one of two: results tie.
        const std::int64_t a = drawn_at(0, 0, 16 + random + i);
        const std::int64_t b = drawn_at(0, port_sizes[0] - 1, 16 + random + i);
        corners.emplace_back([&, a, b, i](std::int64_t e) {
            const bool first = i < 8 || ((e * 2654435761 + i * 40503) >> 7) % 2 == 0;
            return std::clamp(first ? a : b, at(e).low, at(e).high);
        });
    }

    VerificationSamples out;
    out.corners = static_cast<std::int64_t>(corners.size());
    out.random = random;
    std::int64_t first = 0;
    for (std::size_t p = 0; p < port_sizes.size(); ++p) {
        auto& port = out.ports.emplace_back();
        port.reserve(static_cast<std::size_t>(port_sizes[p] * out.count()));
        for (std::int64_t e = 0; e < port_sizes[p]; ++e) {
            for (const Corner& corner : corners) {
                port.push_back(corner(first + e));
            }
            for (std::int64_t s = 0; s < random; ++s) {
                port.push_back(drawn_at(static_cast<std::int64_t>(p), e, 16 + s));
            }
        }
        first += port_sizes[p];
    }
    return out;
}

}  // namespace gatewright::project
