#include "import/keras/rules.h"

#include <algorithm>

namespace gatewright::keras {

namespace {

std::vector<std::span<const RuleRow>> tables() {
    return {core_rules(),      conv_rules(),      shape_rules(),         merge_rules(),
            norm_rules(),      recurrent_rules(), preprocessing_rules(), wrapper_rules(),
            attention_rules(), ops_rules(),       hls4ml_rules(),        qkeras_rules(),
            hgq_rules()};
}

}  // namespace

const RuleRow* find_rule(const Object& object) {
    for (const std::span<const RuleRow> rows : tables()) {
        for (const RuleRow& row : rows) {
            if (row.class_name == object.class_name && row.package == object.package) {
                return &row;
            }
        }
    }
    return nullptr;
}

std::vector<std::string> rule_names() {
    std::vector<std::string> names;
    for (const std::span<const RuleRow> rows : tables()) {
        for (const RuleRow& row : rows) {
            names.push_back(row.package.empty()
                                ? std::string(row.class_name)
                                : std::string(row.package) + ">" + std::string(row.class_name));
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace gatewright::keras
