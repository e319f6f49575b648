#pragma once

#include <span>
#include <string_view>

#include "import/onnx/importer.h"

/// The tables of rules, one a family of operators. rules.cpp joins them.
namespace gatewright::onnx {

struct RuleRow {
    std::string_view op_type;
    Rule rule;
};

std::span<const RuleRow> elementwise_rules();
std::span<const RuleRow> constant_rules();
std::span<const RuleRow> shape_rules();
std::span<const RuleRow> layer_rules();
std::span<const RuleRow> resize_rules();
std::span<const RuleRow> recurrent_rules();
std::span<const RuleRow> position_rules();
std::span<const RuleRow> logic_rules();
std::span<const RuleRow> normalisation_rules();
std::span<const RuleRow> attention_rules();
std::span<const RuleRow> control_rules();
std::span<const RuleRow> signal_rules();
std::span<const RuleRow> integer_rules();
std::span<const RuleRow> quantiser_rules();      ///< of the standard domain
std::span<const RuleRow> microsoft_rules();      ///< of onnxruntime's domain, com.microsoft
std::span<const RuleRow> channels_last_rules();  ///< of QONNX' domain for such layers
std::span<const RuleRow> qonnx_rules();          ///< of QONNX' domains

}  // namespace gatewright::onnx
