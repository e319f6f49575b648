#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "project/calibration.h"
#include "project/configuration.h"

namespace gatewright::project {

namespace {

using network::Network;

constexpr int template_bits = 12;

/// A word as YAML reads it back, whatever it holds: JSON strings are YAML too.
std::string quoted(const std::string& word) {
    return nlohmann::json(word).dump();
}

FixedType type_for_constants(const Network& network, const std::vector<Site>& sites) {
    double low = 0;
    double high = 0;
    for (const Site& site : sites) {
        for (const double v : constant_of(network, site).values) {
            low = std::min(low, v);
            high = std::max(high, v);
        }
    }
    FixedType type = fitting_type(low, high, template_bits, true);
    if (sites.front().role == Role::bias) {
        type.frac = std::min(type.frac, 2 * template_bits);  // as in calibrate
    }
    return type;
}

std::vector<Site> with_role(const Network& network, const std::vector<Site>& sites, Role role,
                            const std::string* layer) {
    std::vector<Site> out;
    for (const Site& site : sites) {
        if (site.role == role && (layer == nullptr || layer_of(network, site) == *layer)) {
            out.push_back(site);
        }
    }
    return out;
}

}  // namespace

std::string configuration_template(const network::ImportedModel& model) {
    const Network& network = model.network;
    const std::vector<Site> sites = model_sites(network);
    const bool keeps = is_quantised(network);
    std::string out = fmt::format(
        "# Types of what the model {0} does not quantise.\n"
        "# fixed<width,frac> is signed and ufixed<width,frac> is not; value = integer * 2^-frac, "
        "and\n"
        "# width counts the sign. Types of weights and biases below hold the model's own numbers;\n"
        "# those of inputs and results are a guess: `gatewright convert --calibrate` measures "
        "them.\n"
        "# A layer's sums of products are exact, unless it has an `accumulator`: a type to which "
        "each\n"
        "# sum on the way is rounded, in the order of the weights.\n"
        "# rounding: floor, ceil, toward_zero, away, half_up, half_down, half_even, half_away or\n"
        "# half_zero; overflow: wrap, saturate or saturate_symmetric.\n\n",
        quoted(network.name));
    // A model that has quantisers needs none by default.
    const std::string_view mark = keeps ? "# " : "";
    out += keeps ? "# The model has quantisers of its own, which stay. What it leaves to you:\n"
                 : "# For every layer that says nothing else below:\n";
    out += fmt::format("{}model:\n", mark);
    for (const Role role : {Role::weight, Role::bias}) {
        const auto of_role = with_role(network, sites, role, nullptr);
        if (!of_role.empty()) {
            out += fmt::format("{}  {}: {}\n", mark, role_name(role),
                               to_string(type_for_constants(network, of_role)));
        }
    }
    out += fmt::format(
        "{0}  result: fixed<16,8>\n{0}  rounding: half_even\n{0}  overflow: "
        "saturate\n\ninputs:\n",
        mark);
    for (const network::NodeId id : network.inputs()) {
        const Site site{Role::input, {id, 0}, 0, 0};
        const bool open = std::find(sites.begin(), sites.end(), site) != sites.end();
        out += fmt::format("{}  {}: fixed<16,10>  # {}{}\n", open ? "" : "# ",
                           quoted(std::string(network.input_name(id))),
                           to_string(network.node(id).types.front().shape),
                           open ? "" : ", quantised by the model");
    }
    out += "\nlayers:\n";
    std::set<std::string> seen;
    for (const network::Node& node : network.nodes()) {
        const std::string& layer = node.where.layer;
        if (node.op == &network::input_operator || node.op == &network::constant_operator ||
            !seen.insert(layer).second) {
            continue;
        }
        const auto results = layer_results(network, layer, false);
        std::string roles;
        for (const Role role : {Role::weight, Role::bias}) {
            const auto of_role = with_role(network, sites, role, &layer);
            if (!of_role.empty()) {
                roles += fmt::format("    # {}: {}\n", role_name(role),
                                     to_string(type_for_constants(network, of_role)));
            }
        }
        roles += results.empty() ? "" : "    # result: fixed<16,8>\n";
        out += fmt::format("  {}:  # {}, {}\n{}", quoted(layer), node.where.type,
                           to_string(node.types.front().shape),
                           roles.empty() ? "    # nothing to type\n" : roles);
    }
    return out;
}

}  // namespace gatewright::project
