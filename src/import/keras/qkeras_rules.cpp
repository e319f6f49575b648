#include "import/keras/rules.h"

namespace gatewright::keras {

std::span<const RuleRow> qkeras_rules() {
    return {};
}

std::optional<Operand> qkeras_activation(Call&, const Json&, const Operand&) {
    return std::nullopt;
}

}  // namespace gatewright::keras
