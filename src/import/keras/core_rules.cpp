#include <fmt/format.h>

#include "import/keras/activations.h"
#include "import/keras/products.h"
#include "import/keras/rules.h"

namespace gatewright::keras {

namespace {

void dense(Call& call) {
    call.expect_inputs(1);
    const Operand& x = call.operand();
    if (x.sample_shape().empty()) {
        call.refuse("its input has no axis but the batch");
    }
    const std::int64_t units = call.settings.integer("units");
    // Null: float weights as they are. What `quantize` makes says so in its type too.
    call.settings.expect_unset("quantization_config", "quantised weights are not supported");
    // The weights in the file have the low-rank updates of fine-tuning in them.
    call.settings.ignore({"lora_rank", "lora_alpha"});
    const Operand kernel = call.weight("kernel", {x.sample_shape().back(), units});
    std::optional<Operand> bias;
    if (call.settings.flag("use_bias", true)) {
        bias = call.weight("bias", {units});
    }
    call.set(activation(call, dense_product(call, x, kernel, bias)));
}

void activation_layer(Call& call) {
    call.expect_inputs(1);
    call.set(activation(call, call.operand()));
}

const RuleRow rows[] = {
    {"Dense", &dense, Masking::passes},
    {"Activation", &activation_layer, Masking::passes},
};

}  // namespace

std::span<const RuleRow> core_rules() {
    return rows;
}

}  // namespace gatewright::keras
