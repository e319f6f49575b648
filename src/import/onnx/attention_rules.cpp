#include "import/layers/attention.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "import/layers/einsum.h"
#include "import/layers/sample.h"
#include "import/onnx/rules.h"
#include "operators/layers.h"

namespace gatewright::onnx {

namespace {

void einsum(Call& call) {
    std::vector<Operand> operands;
    for (std::size_t i = 0; i < call.inputs(); ++i) {
        operands.push_back(call.operand(i));
    }
    call.set(layers::einsum(call, call.text("equation", ""), operands));
}

/// [batch, heads, positions, size], or [batch, positions, heads * size], as one sample.
Operand heads_of(Call& call, const Operand& input, std::int64_t heads) {
    const Operand x = call.samples(input);
    if (x.sample_shape().size() == 2) {
        return layers::split_heads(call, x, heads);
    }
    if (x.sample_shape().size() != 3) {
        call.refuse(fmt::format("an input has shape {}", to_string(x.sample_shape())));
    }
    return x;
}

/// A mask that broadcasts to [batch, heads, queries, keys], as one sample has it, with keys that
/// it lacks looked at nowhere.
Operand mask_of(Call& call, const Operand& scores_like, std::int64_t keys, bool boolean) {
    Operand mask = call.operand(3);
    if (mask.is_constant) {
        if (mask.constant.shape.size() == 4) {
            if (scores_like.batch_axis < 0 || mask.constant.shape[0] == 1) {
                if (mask.constant.shape[0] != 1) {
                    call.refuse("its mask differs from sample to sample");
                }
                mask.constant.shape.erase(mask.constant.shape.begin());
            } else {
                mask = call.per_sample(mask, 0);
            }
        }
    } else if (mask.batch_axis > 0) {
        throw BatchMixed();
    } else if (mask.rank() == 4) {
        mask = call.samples(mask);
    } else if (mask.batch_axis == 0) {
        throw BatchMixed();
    }
    const Shape& shape = mask.sample_shape();
    if (shape.empty() || shape.back() > keys) {
        call.refuse(fmt::format("a mask of shape {} does not fit {} keys", to_string(shape), keys));
    }
    if (shape.back() < keys && (call.opset() >= 24 || shape.back() != 1)) {
        Shape rest = shape;
        rest.back() = keys - shape.back();
        const double nothing = boolean ? 0 : -std::numeric_limits<double>::infinity();
        mask = call.concatenated({mask, Call::tensor(Tensor::filled(rest, nothing))},
                                 static_cast<std::int64_t>(shape.size()) - 1);
    }
    return mask;
}

void attention(Call& call) {
    const Operand& query = call.operand(0);
    const bool joined = query.rank() == 3;
    const std::int64_t heads = call.integer("q_num_heads", 0);
    const std::int64_t key_heads = call.integer("kv_num_heads", 0);
    const Operand q = heads_of(call, query, heads);
    Operand k = heads_of(call, call.operand(1), key_heads);
    Operand v = heads_of(call, call.operand(2), key_heads);
    layers::Attention fields;
    if (call.has(4) != call.has(5) || call.has(6)) {
        call.refuse("it has a cache outside", "Export the model without a cache of keys.");
    }
    if (call.has(4)) {
        const Operand past = call.samples(call.operand(4));
        fields.causal_offset = past.sample_shape()[1];
        k = call.concatenated({past, k}, 1);
        v = call.concatenated({call.samples(call.operand(5)), v}, 1);
    }
    if (call.has_attribute("scale")) {
        fields.scale = call.real("scale", 1);
    }
    fields.causal = call.integer("is_causal", 0) != 0;
    fields.softcap = call.real("softcap", 0);
    if (fields.softcap < 0) {
        call.refuse("it is negative", {}, "softcap");
    }
    for (const char* name : {"left_window_size", "right_window_size"}) {
        if (call.integer(name, -1) != -1) {
            call.refuse("windows of keys are not supported", "Give a mask.", name);
        }
    }
    const auto precision = static_cast<ElementType>(call.integer("softmax_precision", 1));
    if (precision != ElementType::float32 && precision != ElementType::float64) {
        call.refuse(fmt::format("it is {}", to_string(precision)), "Compute in float32.",
                    "softmax_precision");
    }
    if (call.has(3)) {
        const bool boolean = call.type(3) == ElementType::boolean;
        const Operand mask = mask_of(call, q, k.sample_shape()[1], boolean);
        (boolean ? fields.allowed : fields.bias) = mask;
    }
    const layers::Attended y = layers::attention(call, q, k, v, fields);
    call.set(call.restore(joined ? layers::join_heads(call, y.y) : y.y, query), 0);
    call.set(call.restore(k, query), 1);
    call.set(call.restore(v, query), 2);
    const std::int64_t mode = call.integer("qk_matmul_output_mode", 0);
    const Operand* const results[] = {&y.scores, &y.capped, &y.masked, &y.weights};
    if (mode < 0 || mode > 3) {
        call.refuse(fmt::format("it is {}", mode), {}, "qk_matmul_output_mode");
    }
    call.set(call.restore(*results[mode], query), 3);
}

const RuleRow rows[] = {
    {"Einsum", &einsum},
    {"Attention", &attention},
};

}  // namespace

std::span<const RuleRow> attention_rules() {
    return rows;
}

}  // namespace gatewright::onnx
