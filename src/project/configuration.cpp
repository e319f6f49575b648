#include "project/configuration.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "operators/layers.h"
#include "project/folder.h"

namespace gatewright::project {

namespace {

using network::Network;
using network::Node;

constexpr int most_width = 48;  ///< levels stay exact in a double
constexpr int most_frac = 128;

const std::vector<std::string> sections = {"model", "inputs", "layers"};
const std::vector<std::string> role_keys = {"weight", "bias",     "accumulator",
                                            "result", "rounding", "overflow"};

constexpr std::pair<Role, std::optional<ConfiguredType> RoleTypes::*> role_members[] = {
    {Role::weight, &RoleTypes::weight},
    {Role::bias, &RoleTypes::bias},
    {Role::accumulator, &RoleTypes::accumulator},
    {Role::result, &RoleTypes::result}};

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
    const std::string near = nearest(word, candidates);
    return near.empty() ? "" : fmt::format("Did you mean '{}'? ", near);
}

/// Reads one file and collects what is wrong with it.
class Reader {
  public:
    explicit Reader(const std::string& file) { out_.file = file; }

    Configuration read(const std::string& text) {
        YAML::Node root;
        try {
            const std::vector<YAML::Node> documents = YAML::LoadAll(text);
            if (documents.size() > 1) {
                throw Failure(Code::configuration_syntax, at(line(documents[1])),
                              fmt::format("it holds {} documents", documents.size()),
                              "Keep one: take the lines '---' away.");
            }
            if (!documents.empty()) {
                root = documents.front();
            }
        } catch (const YAML::Exception& e) {
            throw Failure(Code::configuration_syntax, at(e.mark.line),
                          fmt::format("it is no YAML: {}", e.msg),
                          "`gatewright config MODEL -o F.yaml` writes a sound one.");
        }
        each(root, "the configuration", [&](const std::string& key, const YAML::Node& value) {
            if (key == "model") {
                roles(value, "model", out_.model);
            } else if (key == "inputs") {
                each(value, "inputs", [&](const std::string& name, const YAML::Node& node) {
                    const int line_ = key_line_;
                    if (const auto t = type(node, name)) {
                        out_.inputs.push_back({name, line_, *t});
                    }
                });
            } else if (key == "layers") {
                each(value, "layers", [&](const std::string& name, const YAML::Node& node) {
                    ConfiguredLayer layer{name, key_line_, {}};
                    roles(node, name, layer.types);
                    out_.layers.push_back(std::move(layer));
                });
            } else {
                unknown(key, "the configuration", sections);
            }
        });
        diagnostics_.throw_if_errors();
        return std::move(out_);
    }

  private:
    static int line(const YAML::Node& node) { return node.Mark().line; }

    Location at(int line_, std::string layer = {}, std::string key = {}) const {
        const std::string place =
            line_ < 0 ? out_.file : fmt::format("{}, line {}", out_.file, line_ + 1);
        return {place, std::move(layer), "", std::move(key)};
    }

    void unknown(const std::string& key, const std::string& place,
                 const std::vector<std::string>& known) {
        diagnostics_.add(
            Code::configuration_key, at(key_line_), fmt::format("{} has no key '{}'", place, key),
            fmt::format("{}Known are {}.", did_you_mean(key, known), fmt::join(known, ", ")));
    }

    /// Calls for each entry of a mapping; an empty one may be left out.
    template <class F>
    void each(const YAML::Node& node, const std::string& place, F call) {
        if (!node || node.IsNull()) {
            return;
        }
        if (!node.IsMap()) {
            diagnostics_.add(Code::configuration_syntax, at(line(node)),
                             fmt::format("{} must be a mapping (key: value)", place),
                             "`gatewright config MODEL -o F.yaml` writes a sound one.");
            return;
        }
        std::set<std::string> seen;
        for (const auto& entry : node) {
            if (!entry.first.IsScalar()) {
                diagnostics_.add(Code::configuration_syntax, at(line(entry.first)),
                                 fmt::format("a key of {} is no word", place));
                continue;
            }
            const std::string& key = entry.first.Scalar();
            if (!seen.insert(key).second) {
                diagnostics_.add(Code::configuration_key, at(line(entry.first)),
                                 fmt::format("{} has the key '{}' twice", place, key),
                                 "Keep one of them.");
                continue;
            }
            key_line_ = line(entry.first);
            call(key, entry.second);
        }
    }

    void roles(const YAML::Node& node, const std::string& place, RoleTypes& types) {
        each(node, place, [&](const std::string& key, const YAML::Node& value) {
            const bool is_layer = place != "model";
            const Location where = at(line(value), is_layer ? place : "", key);
            const auto role =
                std::find_if(std::begin(role_members), std::end(role_members),
                             [&](const auto& known) { return role_name(known.first) == key; });
            if (role != std::end(role_members)) {
                types.*role->second = type(value, is_layer ? place : "", key);
            } else if (key == "rounding") {
                types.rounding = rounding(where, value);
            } else if (key == "overflow") {
                types.overflow = overflow(where, value);
            } else {
                unknown(key, is_layer ? fmt::format("layer '{}'", place) : place, role_keys);
            }
        });
    }

    std::optional<Rounding> rounding(const Location& where, const YAML::Node& value) {
        const auto mode = value.IsScalar() ? parse_rounding(value.Scalar()) : std::nullopt;
        if (!mode) {
            choice(where, value,
                   {"floor", "ceil", "toward_zero", "away", "half_up", "half_down", "half_even",
                    "half_away", "half_zero"});
        }
        return mode;
    }

    std::optional<Overflow> overflow(const Location& where, const YAML::Node& value) {
        const auto mode = value.IsScalar() ? parse_overflow(value.Scalar()) : std::nullopt;
        if (!mode) {
            choice(where, value, {"wrap", "saturate", "saturate_symmetric"});
        }
        return mode;
    }

    void choice(const Location& where, const YAML::Node& value,
                const std::vector<std::string>& known) {
        const std::string word = value.IsScalar() ? value.Scalar() : "";
        diagnostics_.add(
            Code::configuration_value, where, fmt::format("'{}' is none of its values", word),
            fmt::format("{}Known are {}.", did_you_mean(word, known), fmt::join(known, ", ")));
    }

    std::optional<ConfiguredType> type(const YAML::Node& node, const std::string& layer,
                                       const std::string& key = {}) {
        const std::string remedy =
            "Write fixed<width,frac> or ufixed<width,frac>, for example \"fixed<16,10>\" (in "
            "quotes "
            "within braces), or {width: 16, frac: 10, signed: true}.";
        const auto wrong = [&](const std::string& message) {
            diagnostics_.add(Code::configuration_value, at(line(node), layer, key), message,
                             remedy);
            return std::nullopt;
        };
        ConfiguredType out;
        std::optional<FixedType> bits;
        if (node.IsScalar()) {
            bits = parse_fixed_type(node.Scalar());
            if (!bits) {
                return wrong(fmt::format("'{}' is no type", node.Scalar()));
            }
        } else if (node.IsMap()) {
            const std::vector<std::string> known = {"width", "frac", "signed", "rounding",
                                                    "overflow"};
            FixedType t{true, -1, 0};
            bool sound = true;
            bool has_frac = false;
            each(node, "a type", [&](const std::string& name, const YAML::Node& value) {
                int number = 0;
                if (name == "width" || name == "frac") {
                    sound = sound && YAML::convert<int>::decode(value, number);
                    (name == "width" ? t.width : t.frac) = number;
                    has_frac = has_frac || name == "frac";
                } else if (name == "signed") {
                    sound = sound && YAML::convert<bool>::decode(value, t.is_signed);
                } else if (name == "rounding") {
                    out.rounding = rounding(at(line(value), layer, key), value);
                } else if (name == "overflow") {
                    out.overflow = overflow(at(line(value), layer, key), value);
                } else {
                    unknown(name, "a type", known);
                }
            });
            if (!sound || t.width < 0 || !has_frac) {
                return wrong("the type needs an integer `width` and `frac`");
            }
            bits = t;
        } else {
            return wrong("there is no type");
        }
        if (bits->width < (bits->is_signed ? 2 : 1) || bits->width > most_width ||
            bits->frac < -most_frac || bits->frac > most_frac) {
            return wrong(
                fmt::format("{} is out of bounds: a width of 1 (signed: 2) to {}, a frac "
                            "of -{} to {}",
                            to_string(*bits), most_width, most_frac, most_frac));
        }
        out.type = *bits;
        return out;
    }

    Configuration out_;
    int key_line_ = -1;  ///< of the entry that `each` is at
    Diagnostics diagnostics_;
};

/// The user's layers, in order, each once.
std::vector<std::string> layers_of(const Network& network) {
    std::vector<std::string> names;
    for (const Node& node : network.nodes()) {
        const bool is_layer =
            node.op != &network::input_operator && node.op != &network::constant_operator;
        if (is_layer && std::find(names.begin(), names.end(), node.where.layer) == names.end()) {
            names.push_back(node.where.layer);
        }
    }
    return names;
}

bool is_exact(const ConfiguredLayer& layer) {
    return layer.pattern.find_first_of("*?") == std::string::npos;
}

/// The sites of one role in one layer.
std::vector<Site> sites_of(const Network& network, const std::vector<Site>& model,
                           const std::string& layer, Role role, bool named) {
    if (role == Role::result) {
        return layer_results(network, layer, named);
    }
    std::vector<Site> out;
    for (const Site& site : model) {
        if (site.role == role && layer_of(network, site) == layer) {
            out.push_back(site);
        }
    }
    return out;
}

SiteType site_type(const ConfiguredType& type, const RoleTypes& entry) {
    const auto first = [](const auto& own, const auto& shared, auto otherwise) {
        return own ? *own : shared.value_or(otherwise);
    };
    return {type.type, first(type.rounding, entry.rounding, Rounding::half_even),
            first(type.overflow, entry.overflow, Overflow::saturate)};
}

std::string no_such_role(const Network& network, const std::string& layer, Role role) {
    if (role == Role::result) {
        return "the layer has no result that a type could round: it quantises by itself, or gives "
               "positions";
    }
    if (role == Role::accumulator) {
        return "the layer adds no products with constant weights";
    }
    for (const Node& node : network.nodes()) {
        if (node.where.layer == layer && node.op == &operators::batch_norm_operator) {
            return fmt::format(
                "a batch normalisation has no {} of its own: it is exact, and rounded "
                "with its result",
                role_name(role));
        }
    }
    return fmt::format("the layer has no {} that the model leaves unquantised", role_name(role));
}

}  // namespace

Configuration parse_configuration(const std::string& text, const std::string& file) {
    return Reader(file).read(text);
}

Configuration read_configuration(const std::string& file) {
    return parse_configuration(read_text(file), file);
}

bool matches(std::string_view pattern, std::string_view name) {
    std::size_t p = 0;
    std::size_t n = 0;
    std::size_t star = std::string_view::npos;
    std::size_t resume = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = n;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
            ++p;
            ++n;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            n = ++resume;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::vector<TypedSite> resolve(const Network& network, const Configuration& configuration) {
    Diagnostics diagnostics;
    const auto error = [&](int line, const std::string& layer, std::string message,
                           std::string remedy) {
        diagnostics.add(Code::configuration_layer,
                        {fmt::format("{}, line {}", configuration.file, line + 1), layer, "", ""},
                        std::move(message), std::move(remedy));
    };
    std::vector<TypedSite> out;
    const std::vector<Site> model = model_sites(network);

    std::vector<std::string> input_names;
    for (const network::NodeId id : network.inputs()) {
        input_names.emplace_back(network.input_name(id));
    }
    const auto input_ids = network.inputs();
    for (const ConfiguredInput& input : configuration.inputs) {
        const auto found = std::find(input_names.begin(), input_names.end(), input.name);
        if (found == input_names.end()) {
            error(input.line, "", fmt::format("the model has no input '{}'", input.name),
                  fmt::format("{}Its inputs are {}.", did_you_mean(input.name, input_names),
                              fmt::join(input_names, ", ")));
            continue;
        }
        const auto id = input_ids[static_cast<std::size_t>(found - input_names.begin())];
        out.push_back({{Role::input, {id, 0}, 0, 0}, site_type(input.type, configuration.model)});
    }

    const std::vector<std::string> names = layers_of(network);
    for (const ConfiguredLayer& layer : configuration.layers) {
        const bool any = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
            return name == layer.pattern || matches(layer.pattern, name);
        });
        if (!any) {
            error(layer.line, "",
                  is_exact(layer)
                      ? fmt::format("the model has no layer '{}'", layer.pattern)
                      : fmt::format("no layer of the model matches '{}'", layer.pattern),
                  did_you_mean(layer.pattern, names) +
                      "`gatewright inspect MODEL` lists all layers.");
            continue;
        }
        for (const auto& [role, member] : role_members) {
            if (!(layer.types.*member)) {
                continue;
            }
            const bool used =
                std::any_of(names.begin(), names.end(), [&, r = role](const std::string& name) {
                    return (name == layer.pattern || matches(layer.pattern, name)) &&
                           !sites_of(network, model, name, r, name == layer.pattern).empty();
                });
            if (!used) {
                error(layer.line, layer.pattern,
                      is_exact(layer) ? no_such_role(network, layer.pattern, role)
                                      : fmt::format("no layer that it matches has a {} to type",
                                                    role_name(role)),
                      "Leave the key out.");
            }
        }
    }
    diagnostics.throw_if_errors();

    for (const std::string& name : names) {
        RoleTypes types = configuration.model;
        RoleTypes own;
        bool result_by_name = false;
        for (const bool exact : {false, true}) {
            for (const ConfiguredLayer& layer : configuration.layers) {
                if ((layer.pattern == name) != exact || !(exact || matches(layer.pattern, name))) {
                    continue;
                }
                const auto take = [](auto& slot, const auto& value) {
                    slot = value ? value : slot;
                };
                take(types.weight, layer.types.weight);
                take(types.bias, layer.types.bias);
                take(types.accumulator, layer.types.accumulator);
                take(own.result, layer.types.result);
                take(types.rounding, layer.types.rounding);
                take(types.overflow, layer.types.overflow);
                result_by_name = result_by_name || (exact && layer.types.result);
            }
        }
        for (const Site& site : model) {
            if (site.role == Role::input || layer_of(network, site) != name ||
                (site.role == Role::result && own.result)) {
                continue;
            }
            const auto member =
                std::find_if(std::begin(role_members), std::end(role_members),
                             [&](const auto& known) { return known.first == site.role; })
                    ->second;
            if (const auto& type = types.*member) {
                out.push_back({site, site_type(*type, types)});
            }
        }
        if (own.result) {
            for (const Site& site : layer_results(network, name, result_by_name)) {
                out.push_back({site, site_type(*own.result, types)});
            }
        }
    }
    return out;
}

Network apply(const Network& network, const Configuration& configuration) {
    return with_types(network, resolve(network, configuration));
}

}  // namespace gatewright::project
