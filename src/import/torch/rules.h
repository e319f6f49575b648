#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "import/torch/importer.h"

/// The tables of rules, one a family of operators. rules.cpp joins them.
namespace gatewright::torch {

/// How one operator is converted.
using Rule = void (*)(Call& call);

/// A batch axis that is joined with another is mixed; stays so, as the operator works on the axes
/// behind it or on each element; or is known to the rule.
enum class Joined { mixes, stays, known };

/// A row: one operator. Operators that write into their first argument (`add_`) have the rule of
/// the one that does not.
struct RuleRow {
    std::string_view name;       ///< "aten.conv2d"
    std::string_view overloads;  ///< separated by spaces
    Rule rule;
    bool view = false;  ///< the result shows the elements of the first argument
    /// What a batch axis that is joined with another means to it (Importer::joined).
    Joined joined = Joined::mixes;
};

std::span<const RuleRow> elementwise_rules();
std::span<const RuleRow> comparison_rules();
std::span<const RuleRow> shape_rules();
std::span<const RuleRow> axis_rules();
std::span<const RuleRow> part_rules();
std::span<const RuleRow> join_rules();
std::span<const RuleRow> creation_rules();
std::span<const RuleRow> reduction_rules();
std::span<const RuleRow> layer_rules();
std::span<const RuleRow> pool_rules();
std::span<const RuleRow> norm_rules();
std::span<const RuleRow> index_rules();
std::span<const RuleRow> index_list_rules();
std::span<const RuleRow> recurrent_rules();
std::span<const RuleRow> attention_rules();
std::span<const RuleRow> resize_rules();
std::span<const RuleRow> quantiser_rules();
std::span<const RuleRow> sampling_rules();
std::span<const RuleRow> composite_rules();
std::span<const RuleRow> symbol_rules();

/// The rule for a target, the user's own or one of the tables; empty if there is none.
struct FoundRule {
    std::function<void(Call& call)> rule;
    bool view = false;
    Joined joined = Joined::mixes;
    bool in_place = false;  ///< it writes into its first argument
};
FoundRule find_rule(std::string_view target, const layers::ImportOptions& options);
/// The target as a user's rule is registered for it: "mylib.myop", "aten.add.Tensor".
std::string_view name_of_target(std::string_view target);
/// Lets a rule of the user's own convert a node.
void apply_custom_rule(Call& call, const layers::CustomRule& rule);
/// Targets of all rules, sorted.
std::vector<std::string> rule_names();
/// Whether an argument of this name never changes a value, whatever the operator.
bool is_harmless(std::string_view argument);

}  // namespace gatewright::torch
