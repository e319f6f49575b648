#include "import/keras/rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace gatewright::keras {

namespace {

std::vector<std::span<const RuleRow>> tables() {
    return {core_rules(),
            conv_rules(),
            shape_rules(),
            merge_rules(),
            norm_rules(),
            recurrent_rules(),
            preprocessing_rules(),
            wrapper_rules(),
            attention_rules(),
            ops_rules(),
            ops_function_rules(),
            ops_composite_rules(),
            ops_layer_rules(),
            ops_statistics_rules(),
            hls4ml_rules(),
            qkeras_rules(),
            hgq_rules()};
}

}  // namespace

namespace {

const RuleRow* find_row(const Object& object) {
    for (const std::span<const RuleRow> rows : tables()) {
        for (const RuleRow& row : rows) {
            if (row.class_name == object.class_name && row.package == object.package) {
                return &row;
            }
        }
    }
    return nullptr;
}

std::string full_name(std::string_view package, std::string_view class_name) {
    return fmt::format("{}{}{}", package, package.empty() ? "" : ">", class_name);
}

}  // namespace

std::optional<FoundRule> find_rule(const Object& object, const layers::ImportOptions& options) {
    const RuleRow* row = find_row(object);
    const layers::CustomRule* custom = options.rule(full_name(object.package, object.class_name),
                                                    object.class_name, row != nullptr);
    if (custom != nullptr) {
        return FoundRule{[custom](Call& call) { apply_custom_rule(call, *custom); }};
    }
    return row == nullptr ? std::nullopt : std::optional(FoundRule{row->rule, row->masking});
}

std::vector<std::string> rule_names() {
    std::vector<std::string> names;
    for (const std::span<const RuleRow> rows : tables()) {
        for (const RuleRow& row : rows) {
            names.push_back(full_name(row.package, row.class_name));
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace gatewright::keras
