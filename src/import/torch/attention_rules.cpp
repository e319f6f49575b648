// Attention.

#include <fmt/format.h>

#include <algorithm>

#include "import/layers/attention.h"
#include "import/torch/rules.h"

namespace gatewright::torch {

namespace {

/// Leading axes joined to one: [heads, positions, size] of [..., positions, size].
Operand as_heads(Call& call, const Operand& x) {
    const Shape& shape = x.sample_shape();
    const Shape lead(shape.begin(), shape.end() - 2);
    return call.reshaped(x, {element_count(lead), shape[shape.size() - 2], shape.back()},
                         x.batch_axis);
}

void scaled_dot_product_attention(Call& call) {
    const Operand q = call.operand("query");
    const Operand k = call.operand("key");
    const Operand v = call.operand("value");
    call.demand(call.real("dropout_p", 0) == 0, "dropout_p",
                "it drops weights at random, as in training",
                "Export the model in evaluation mode (model.eval()).");
    layers::Attention fields;
    if (call.has("scale")) {
        fields.scale = call.real("scale");
    }
    for (const Operand* x : {&q, &k, &v}) {
        const bool sound = x->batch_axis <= 0 && x->batch_axis == q.batch_axis &&
                           x->sample_shape().size() >= 2 && x->rank() == q.rank();
        if (!sound) {
            throw BatchMixed();
        }
    }
    const Shape lead(q.sample_shape().begin(), q.sample_shape().end() - 2);
    const Shape key_lead(k.sample_shape().begin(), k.sample_shape().end() - 2);
    if (call.flag("enable_gqa", false)) {
        // The last leading axis is the heads; each key head serves neighbouring ones.
        const bool heads_only = element_count(lead) == (lead.empty() ? 1 : lead.back());
        call.demand(heads_only, "enable_gqa", "there are several samples in one tensor");
    } else {
        call.demand(lead == key_lead, "key", "its heads are not those of the queries");
    }
    const std::int64_t queries = q.sample_shape()[lead.size()];
    const std::int64_t keys = k.sample_shape()[lead.size()];
    fields.causal = call.flag("is_causal", false);
    if (call.has("attn_mask")) {
        Operand mask = call.operand("attn_mask");
        call.demand(!fields.causal, "attn_mask", "it comes together with is_causal");
        if (mask.batch_axis > 0 || (mask.batch_axis == 0 && mask.rank() != q.rank())) {
            throw BatchMixed();
        }
        if (mask.batch_axis < 0 && q.batch_axis == 0 && mask.rank() == q.rank()) {
            Shape shape = mask.sample_shape();
            if (shape.front() != 1) {
                throw BatchMixed();
            }
            shape.erase(shape.begin());
            mask = call.reshaped(mask, shape, -1);
        }
        Shape wide = lead;
        wide.insert(wide.end(), {queries, keys});
        if (broadcast(mask.sample_shape(), wide) != wide) {
            call.refuse(fmt::format("its shape {} does not broadcast to {}",
                                    to_string(mask.sample_shape()), to_string(wide)),
                        {}, "attn_mask");
        }
        mask = call.expanded(mask, wide);
        mask = call.reshaped(mask, {element_count(lead), queries, keys}, mask.batch_axis);
        if (call.type_of("attn_mask") == ScalarType::boolean) {
            fields.allowed = mask;
        } else {
            fields.bias = mask;
        }
    }
    const layers::Attended attended =
        layers::attention(call, as_heads(call, q), as_heads(call, k), as_heads(call, v), fields);
    Shape shape = lead;
    shape.insert(shape.end(), {queries, v.sample_shape().back()});
    call.set(call.reshaped(attended.y, shape, q.batch_axis));
}

const RuleRow rows[] = {
    {"aten.scaled_dot_product_attention", "default", &scaled_dot_product_attention},
};

}  // namespace

std::span<const RuleRow> attention_rules() {
    return rows;
}

}  // namespace gatewright::torch
