#include "import/layers/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "import/layers/sample.h"

namespace gatewright::layers {

namespace {

/// Each key head repeated for the heads that share it.
Operand shared_heads(Builder& builder, const Operand& x, std::int64_t heads) {
    Shape shape = x.sample_shape();
    const std::int64_t own = shape.front();
    if (own == heads) {
        return x;
    }
    if (own < 1 || heads % own != 0) {
        builder.refuse(fmt::format("{} heads of keys do not serve {} heads", own, heads));
    }
    Shape column = shape;
    column.insert(column.begin() + 1, 1);
    Shape wide = column;
    wide[1] = heads / own;
    shape.front() = heads;
    const Operand repeated =
        builder.expanded(builder.reshaped(x, std::move(column), x.batch_axis), std::move(wide));
    return builder.reshaped(repeated, std::move(shape), x.batch_axis);
}

/// 1 where query i sees key k.
Tensor causal_mask(std::int64_t queries, std::int64_t keys, std::int64_t offset) {
    Tensor mask = Tensor::filled({1, queries, keys}, 1);
    for (std::int64_t q = 0; q < queries; ++q) {
        for (std::int64_t k = 0; k < keys; ++k) {
            if (k > q + offset) {
                mask.values[static_cast<std::size_t>(q * keys + k)] = 0;
            }
        }
    }
    return mask;
}

/// What is added to scores for a mask of ones and zeros: 0 or minus infinity, which is the
/// logarithm of the mask.
Operand additive(Builder& builder, const Operand& allowed) {
    if (!allowed.is_constant) {
        return builder.function("log", allowed);
    }
    Tensor out = allowed.constant;
    for (double& value : out.values) {
        value = value != 0 ? 0 : -std::numeric_limits<double>::infinity();
    }
    return Builder::tensor(std::move(out));
}

/// All that hides keys from queries, as ones and zeros; a constant bias gives up its infinities.
std::optional<Operand> all_allowed(Builder& builder, const Attention& fields,
                                   std::optional<Operand>& bias, std::int64_t queries,
                                   std::int64_t keys) {
    std::optional<Operand> out;
    const auto also = [&](Operand mask) {
        out = out ? builder.multiply(*out, mask) : std::move(mask);
    };
    if (fields.allowed) {
        also(of_rank(builder, *fields.allowed, 3));
    }
    if (fields.causal) {
        also(Builder::tensor(causal_mask(queries, keys, fields.causal_offset)));
    }
    if (bias && bias->is_constant) {
        Tensor mask = bias->constant;
        bool hides = false;
        for (std::size_t i = 0; i < mask.values.size(); ++i) {
            double& value = bias->constant.values[i];
            const bool hidden = std::isinf(value) && value < 0;
            hides = hides || hidden;
            mask.values[i] = hidden ? 0 : 1;
            value = hidden ? 0 : value;
        }
        if (hides) {
            also(Builder::tensor(std::move(mask)));
        }
    }
    return out;
}

Operand joined(Builder& builder, const Operand& x, const std::optional<Operand>& extra) {
    return extra ? builder.concatenated({x, *extra}, 0) : x;
}

}  // namespace

Operand split_heads(Builder& builder, const Operand& x, std::int64_t heads) {
    const Shape& shape = x.sample_shape();
    if (shape.size() != 2 || heads < 1 || shape[1] % heads != 0) {
        builder.refuse(fmt::format("a tensor of shape {} does not split into {} heads",
                                   to_string(shape), heads));
    }
    const Operand parts = builder.reshaped(x, {shape[0], heads, shape[1] / heads}, x.batch_axis);
    return builder.transposed(parts, {1, 0, 2}, x.batch_axis);
}

Operand join_heads(Builder& builder, const Operand& x) {
    const Shape shape = x.sample_shape();
    const Operand rows = builder.transposed(x, {1, 0, 2}, x.batch_axis);
    return builder.reshaped(rows, {shape[1], shape[0] * shape[2]}, x.batch_axis);
}

Attended attention(Builder& builder, const Operand& q, const Operand& k, const Operand& v,
                   const Attention& fields) {
    const Shape queries = q.sample_shape();
    const Shape keys = k.sample_shape();
    const Shape values = v.sample_shape();
    if (queries.size() != 3 || keys.size() != 3 || values.size() != 3 || queries[2] != keys[2] ||
        keys[1] != values[1] || keys[0] != values[0] || queries[2] < 1) {
        builder.refuse(fmt::format("queries {}, keys {} and values {} do not fit",
                                   to_string(queries), to_string(keys), to_string(values)));
    }
    const double scale = fields.scale.value_or(1 / std::sqrt(static_cast<double>(queries[2])));
    const Operand all_keys = shared_heads(builder, k, queries[0]);
    const Operand all_values = shared_heads(builder, v, queries[0]);
    Attended out;
    out.scores = builder.matmul(q, builder.transposed(all_keys, {0, 2, 1}, all_keys.batch_axis));
    if (scale != 1) {
        out.scores = builder.multiply(out.scores, Builder::number(scale));
    }
    out.capped = out.scores;
    if (fields.softcap != 0) {
        out.capped = builder.multiply(out.scores, Builder::number(1 / fields.softcap));
        out.capped =
            builder.multiply(builder.function("tanh", out.capped), Builder::number(fields.softcap));
    }
    std::optional<Operand> bias;
    if (fields.bias) {
        bias = of_rank(builder, *fields.bias, 3);
    }
    const std::optional<Operand> allowed = all_allowed(builder, fields, bias, queries[1], keys[1]);
    out.masked = bias ? builder.add(out.capped, *bias) : out.capped;
    if (allowed) {
        // Queries that see no key are softened as if they saw all, then silenced.
        const Operand any = builder.reduced(*allowed, "max", {2}, true);
        const bool all = any.is_constant &&
                         std::count(any.constant.values.begin(), any.constant.values.end(), 0) == 0;
        const Operand none =
            builder.function("affine", any, {Builder::number(-1), Builder::number(1)});
        const Operand seen = all ? *allowed : builder.maximum(*allowed, none);
        out.weights = builder.softmax(builder.add(out.masked, additive(builder, seen)), 2);
        out.weights = all ? out.weights : builder.multiply(out.weights, any);
        out.masked = builder.add(out.masked, additive(builder, *allowed));
    } else {
        out.weights = builder.softmax(out.masked, 2);
    }
    out.y = builder.matmul(out.weights, all_values);
    return out;
}

Operand projected(Builder& builder, const Operand& x, const Projection& projection) {
    const Operand y = builder.matmul(x, projection.kernel);
    return projection.bias ? builder.add(y, *projection.bias) : y;
}

Attended multi_head_attention(Builder& builder, const Operand& query, const Operand& key,
                              const Operand& value, const MultiHeadAttention& layer) {
    const std::int64_t key_heads = layer.key_heads == 0 ? layer.heads : layer.key_heads;
    Operand k = joined(builder, projected(builder, key, layer.key), layer.extra_key);
    Operand v = joined(builder, projected(builder, value, layer.value), layer.extra_value);
    if (layer.zero_attention) {
        for (Operand* x : {&k, &v}) {
            *x = builder.concatenated(
                {*x, Builder::tensor(Tensor::filled({1, x->sample_shape().back()}, 0))}, 0);
        }
    }
    const Operand q = projected(builder, query, layer.query);
    Attended out =
        attention(builder, split_heads(builder, q, layer.heads), split_heads(builder, k, key_heads),
                  split_heads(builder, v, key_heads), layer.attention);
    out.y = join_heads(builder, out.y);
    if (layer.output) {
        out.y = projected(builder, out.y, *layer.output);
    }
    return out;
}

}  // namespace gatewright::layers
