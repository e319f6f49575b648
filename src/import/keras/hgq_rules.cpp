#include "import/keras/rules.h"

namespace gatewright::keras {

std::span<const RuleRow> hgq_rules() {
    return {};
}

}  // namespace gatewright::keras
