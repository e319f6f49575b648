#pragma once

#include <optional>
#include <string>
#include <vector>

#include "network/imported_model.h"
#include "project/typing.h"

/// Types for what a model does not quantise, from a YAML file:
///
///     model:                        # for every layer that says nothing else
///       weight: fixed<8,6>          # or {width: 8, frac: 6, signed: true}
///       bias: fixed<16,10>
///       accumulator: fixed<20,12>   # sums are exact without
///       result: fixed<12,6>
///       rounding: half_even         # default
///       overflow: saturate          # default
///     inputs:
///       pixels: ufixed<8,8>
///     layers:
///       "fc*": {weight: "fixed<6,5>"}    # * and ? match as in file names
///       fc1: {result: "fixed<10,4>"}
///
/// A layer's own entry wins over a pattern's, a later pattern over an earlier one, and both over
/// `model`; each key by itself. An entry's rounding and overflow are those of all its types that do
/// not have their own: accumulator: {width: 20, frac: 12, rounding: floor, overflow: wrap}.
/// `accumulator` makes the sums of products running sums of that type (operators/accumulation.h).
/// `model: result` types the results that typing.h names; an entry of
/// a layer types what leaves that layer.
namespace gatewright::project {

struct ConfiguredType {
    FixedType type;
    std::optional<Rounding> rounding;  ///< else the entry's
    std::optional<Overflow> overflow;
};

struct RoleTypes {
    std::optional<ConfiguredType> weight;
    std::optional<ConfiguredType> bias;
    std::optional<ConfiguredType> accumulator;
    std::optional<ConfiguredType> result;
    std::optional<Rounding> rounding;
    std::optional<Overflow> overflow;
};

struct ConfiguredInput {
    std::string name;
    int line = 0;
    ConfiguredType type;
};

struct ConfiguredLayer {
    std::string pattern;
    int line = 0;
    RoleTypes types;
};

struct Configuration {
    std::string file;
    RoleTypes model;
    std::vector<ConfiguredInput> inputs;
    std::vector<ConfiguredLayer> layers;
};

/// Parses the text of a configuration; `file` names it in errors. Throws one Failure with all of
/// configuration_syntax, configuration_key and configuration_value.
Configuration parse_configuration(const std::string& text, const std::string& file);
/// The same from a file; also throws file_missing.
Configuration read_configuration(const std::string& file);

/// The types that the configuration gives to a network. Throws one Failure (configuration_layer)
/// with every name that the network does not have and every role that a layer does not have.
std::vector<TypedSite> resolve(const network::Network& network, const Configuration& configuration);

/// The network with the configuration's types.
network::Network apply(const network::Network& network, const Configuration& configuration);

/// Whether a name matches a pattern of * (any letters) and ? (one letter).
bool matches(std::string_view pattern, std::string_view name);

/// A configuration that names all inputs and layers of the model, with comments.
std::string configuration_template(const network::ImportedModel& model);

}  // namespace gatewright::project
