#pragma once

#include "import/keras/hgq_layer.h"

/// Rules of HGQ and HGQ2, by the files that hold them; hgq_rules.cpp makes the table.
namespace gatewright::keras {

// hgq_layers.cpp: a quantiser, products with weights, batch normalisation, merges, sums.
void hgq2_quantizer(Call& call);
void hgq2_dense(Call& call);
void hgq2_batch_norm_dense(Call& call);
void hgq2_convolution(Call& call);
void hgq2_einsum_dense(Call& call);
void hgq2_einsum_dense_batch_norm(Call& call);
void hgq2_batch_normalization(Call& call);
void hgq2_einsum(Call& call);
void hgq2_merge(Call& call);
void hgq2_average_pow2(Call& call);
void hgq2_sum(Call& call);
void hgq2_mean_pow2(Call& call);
void hgq2_pooling(Call& call);

// hgq_tables.cpp: functions of one variable.
void hgq2_unary_function(Call& call);
void hgq2_affined_unary_function(Call& call);
void hgq2_dense_table(Call& call);
void hgq2_convolution_table(Call& call);

// hgq_attention.cpp
void hgq2_softmax(Call& call);
void hgq2_multi_head_attention(Call& call);
void hgq2_linformer_attention(Call& call);

// hgq_recurrent.cpp
void hgq2_simple_rnn(Call& call);
void hgq2_gru(Call& call);

// hgq_proxy.cpp: proxy models of HGQ 1.
void hgq1_fixed_point_quantizer(Call& call);
void hgq1_unary_lut(Call& call);
/// Layers of HGQ 1 as it trains them.
void hgq1_trained_layer(Call& call);

}  // namespace gatewright::keras
