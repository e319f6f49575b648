#include "import/onnx/rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace gatewright::onnx {

namespace {

using Table = std::span<const RuleRow> (*)();

/// The tables of the standard domain.
constexpr Table standard_tables[] = {
    &elementwise_rules, &constant_rules,  &shape_rules,   &layer_rules,         &resize_rules,
    &recurrent_rules,   &position_rules,  &logic_rules,   &normalisation_rules, &attention_rules,
    &control_rules,     &quantiser_rules, &integer_rules, &signal_rules,
};

bool is_qonnx_domain(std::string_view domain) {
    return domain == "qonnx.custom_op.general" || domain == "onnx.brevitas" ||
           domain.starts_with("finn");
}

Rule find_in(std::span<const RuleRow> rows, std::string_view op_type) {
    for (const RuleRow& row : rows) {
        if (row.op_type == op_type) {
            return row.rule;
        }
    }
    return nullptr;
}

Rule find_built_in(std::string_view domain, std::string_view op_type) {
    if (is_qonnx_domain(domain)) {
        return find_in(qonnx_rules(), op_type);
    }
    if (domain == "qonnx.custom_op.channels_last") {
        return find_in(channels_last_rules(), op_type);
    }
    if (domain == "com.microsoft") {
        // Also the standard's quantisers, for element types that it had not yet.
        const bool shared = op_type == "QuantizeLinear" || op_type == "DequantizeLinear";
        return find_in(shared ? quantiser_rules() : microsoft_rules(), op_type);
    }
    if (!domain.empty()) {
        return nullptr;
    }
    for (const Table table : standard_tables) {
        if (const Rule rule = find_in(table(), op_type)) {
            return rule;
        }
    }
    return nullptr;
}

}  // namespace

std::function<void(Call& call)> find_rule(std::string_view domain, std::string_view op_type,
                                          const layers::ImportOptions& options) {
    const Rule rule = find_built_in(domain, op_type);
    const std::string full = fmt::format("{}{}{}", domain, domain.empty() ? "" : "::", op_type);
    if (const layers::CustomRule* custom = options.rule(full, op_type, rule != nullptr)) {
        return [custom](Call& call) { apply_custom_rule(call, *custom); };
    }
    return rule == nullptr ? std::function<void(Call&)>() : rule;
}

std::vector<std::string> rule_names() {
    std::vector<std::string> names;
    const auto add = [&](std::span<const RuleRow> rows) {
        for (const RuleRow& row : rows) {
            names.emplace_back(row.op_type);
        }
    };
    for (const Table table : standard_tables) {
        add(table());
    }
    add(qonnx_rules());
    add(microsoft_rules());
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

}  // namespace gatewright::onnx
