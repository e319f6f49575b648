#include "import/torch/rules.h"

#include <algorithm>
#include <functional>

namespace gatewright::torch {

namespace {

/// Where a tensor lies, how it is laid out and what serves training: never what it holds.
constexpr std::string_view harmless[] = {
    "device",     "layout",        "pin_memory",    "memory_format", "non_blocking",
    "copy",       "cudnn_enabled", "cudnn_enable",  "benchmark",     "deterministic",
    "allow_tf32", "generator",     "requires_grad", "sparse",        "scale_grad_by_freq",
};

using Table = std::span<const RuleRow> (*)();
constexpr Table tables[] = {
    &elementwise_rules, &comparison_rules, &shape_rules,      &axis_rules,      &part_rules,
    &join_rules,        &creation_rules,   &reduction_rules,  &layer_rules,     &pool_rules,
    &norm_rules,        &index_rules,      &index_list_rules, &recurrent_rules, &attention_rules,
    &resize_rules,      &quantiser_rules,  &symbol_rules,     &sampling_rules,  &composite_rules,
};

bool lists(std::string_view overloads, std::string_view overload) {
    while (!overloads.empty()) {
        const std::size_t space = overloads.find(' ');
        if (overloads.substr(0, space) == overload) {
            return true;
        }
        overloads.remove_prefix(space == std::string_view::npos ? overloads.size() : space + 1);
    }
    return false;
}

const RuleRow* find_row(std::string_view name, std::string_view overload) {
    for (const Table table : tables) {
        for (const RuleRow& row : table()) {
            if (row.name == name && lists(row.overloads, overload)) {
                return &row;
            }
        }
    }
    return nullptr;
}

/// The row for a target, and whether it writes into its first argument.
std::pair<const RuleRow*, bool> find_target(std::string_view target) {
    if (target.starts_with("torch.ops.")) {
        target.remove_prefix(10);
    }
    const std::size_t dot = target.rfind('.');
    const bool plain = !target.starts_with("aten.") && !target.starts_with("prims.") &&
                       !target.starts_with("quantized_decomposed.");
    std::string name(plain ? target : target.substr(0, dot));
    const std::string_view overload = plain ? "" : target.substr(dot + 1);
    if (plain) {
        return {find_row(name, "default"), false};
    }
    if (const RuleRow* row = find_row(name, overload)) {
        return {row, false};
    }
    if (name.ends_with('_') && !name.ends_with("__")) {
        name.pop_back();
        return {find_row(name, overload), true};
    }
    return {};
}

}  // namespace

std::string_view name_of_target(std::string_view target) {
    if (target.starts_with("torch.ops.")) {
        target.remove_prefix(10);
    }
    if (target.ends_with(".default")) {
        target.remove_suffix(8);
    }
    return target;
}

FoundRule find_rule(std::string_view target, const layers::ImportOptions& options) {
    const auto [row, in_place] = find_target(target);
    const std::string_view full = name_of_target(target);
    const std::string_view plain = full.substr(full.rfind('.') + 1);
    if (const layers::CustomRule* custom = options.rule(full, plain, row != nullptr)) {
        return {[custom](Call& call) { apply_custom_rule(call, *custom); }, false, Joined::mixes,
                false};
    }
    if (row == nullptr) {
        return {};
    }
    return {row->rule, row->view, row->joined, in_place};
}

std::vector<std::string> rule_names() {
    std::vector<std::string> names;
    for (const Table table : tables) {
        for (const RuleRow& row : table()) {
            names.emplace_back(row.name);
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

bool is_harmless(std::string_view argument) {
    return std::find(std::begin(harmless), std::end(harmless), argument) != std::end(harmless);
}

}  // namespace gatewright::torch
