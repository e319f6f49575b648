#pragma once

#include <optional>

#include "import/layers/builder.h"

/// Attention: which positions of a sequence each position looks at.
namespace gatewright::layers {

struct Attention {
    std::optional<double> scale;  ///< of the scores; without: 1 / sqrt(size of a head)
    /// Added to the scores; broadcasts to [heads, queries, keys].
    std::optional<Operand> bias;
    /// Of ones and zeros; where it is 0 the key is not looked at. Broadcasts alike. A query that
    /// looks at no key gives zeros.
    std::optional<Operand> allowed;
    /// Query i sees keys 0 ... i + causal_offset only.
    bool causal = false;
    std::int64_t causal_offset = 0;
    double softcap = 0;  ///< not 0: scores become c tanh(scores / c), before bias and masks
};

struct Attended {
    Operand y;        ///< [heads, queries, size of a value]
    Operand scores;   ///< [heads, queries, keys]: scaled products
    Operand capped;   ///< the same behind softcap
    Operand masked;   ///< the same with bias and masks
    Operand weights;  ///< the same behind softmax
};

/// softmax(scale q k^T + bias) v of q[heads, queries, size], k[key heads, keys, size] and
/// v[key heads, keys, size]; each key head serves heads / key heads neighbouring heads. Operands
/// per sample, their batch axis in front.
Attended attention(Builder& builder, const Operand& q, const Operand& k, const Operand& v,
                   const Attention& fields);

/// x[positions, heads * size] as [heads, positions, size], and back.
Operand split_heads(Builder& builder, const Operand& x, std::int64_t heads);
Operand join_heads(Builder& builder, const Operand& x);

/// One projection of multi-head attention: x kernel + bias with kernel[in, heads * size].
struct Projection {
    Operand kernel;
    std::optional<Operand> bias;
};
Operand projected(Builder& builder, const Operand& x, const Projection& projection);

struct MultiHeadAttention {
    std::int64_t heads = 1;
    std::int64_t key_heads = 0;  ///< 0: as many as heads
    Projection query;
    Projection key;
    Projection value;
    std::optional<Projection> output;
    /// Joined to keys and values behind their projections: [1, key heads * size].
    std::optional<Operand> extra_key;
    std::optional<Operand> extra_value;
    bool zero_attention = false;  ///< one more key and value of zeros
    Attention attention;
};

/// Of x[queries, in], keys[keys, in] and values[keys, in]: [queries, out].
Attended multi_head_attention(Builder& builder, const Operand& query, const Operand& key,
                              const Operand& value, const MultiHeadAttention& layer);

}  // namespace gatewright::layers
