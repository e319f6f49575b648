#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "import/keras/call.h"
#include "import/layers/options.h"

/// The tables of rules, one a family of layers. rules.cpp joins them.
namespace gatewright::keras {

/// What becomes of the mask that comes with a layer's first input.
enum class Masking {
    ends,    ///< the layer knows no masks: Keras 3 drops it, Keras 2 refuses such a model
    passes,  ///< the layer works step by step: its result has the mask of its input
    own,     ///< the rule reads `Call::mask` and sets the mask of its results
};

struct RuleRow {
    std::string_view class_name;
    Rule rule;
    Masking masking = Masking::ends;
    std::string_view package = {};  ///< Object::package
};

std::span<const RuleRow> core_rules();
std::span<const RuleRow> conv_rules();
std::span<const RuleRow> shape_rules();
std::span<const RuleRow> merge_rules();
std::span<const RuleRow> norm_rules();
std::span<const RuleRow> preprocessing_rules();
std::span<const RuleRow> recurrent_rules();
std::span<const RuleRow> wrapper_rules();
std::span<const RuleRow> attention_rules();
std::span<const RuleRow> ops_rules();
std::span<const RuleRow> ops_function_rules();
std::span<const RuleRow> ops_composite_rules();
std::span<const RuleRow> ops_layer_rules();
std::span<const RuleRow> ops_statistics_rules();
std::span<const RuleRow> hls4ml_rules();
std::span<const RuleRow> qkeras_rules();
std::span<const RuleRow> hgq_rules();

/// The rule for a class: the user's own, or one of the tables.
struct FoundRule {
    std::function<void(Call& call)> rule;
    Masking masking = Masking::ends;
};
std::optional<FoundRule> find_rule(const Object& object, const layers::ImportOptions& options);
/// Lets a rule of the user's own convert a layer.
void apply_custom_rule(Call& call, const layers::CustomRule& rule);
/// Names of all classes that have rules, sorted: "Dense", "hgq>QDense".
std::vector<std::string> rule_names();

/// A quantiser of QKeras where Keras expects an activation: an object, or a text such as
/// "quantized_relu(4)". Nothing if it is none of QKeras'.
std::optional<Operand> qkeras_activation(Call& call, const Json& serialised, const Operand& x);

}  // namespace gatewright::keras
