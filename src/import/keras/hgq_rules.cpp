#include "import/keras/hgq_layers.h"
#include "import/keras/rules.h"

namespace gatewright::keras {

namespace {

constexpr auto passes = Masking::passes;
constexpr auto ends = Masking::ends;
constexpr auto own = Masking::own;

// clang-format off
const RuleRow rows[] = {
    {"Quantizer", &hgq2_quantizer, passes, "hgq"},
    {"QDense", &hgq2_dense, passes, "hgq"},
    {"QBatchNormDense", &hgq2_batch_norm_dense, passes, "hgq"},
    {"QConv1D", &hgq2_convolution, ends, "hgq"},
    {"QConv2D", &hgq2_convolution, ends, "hgq"},
    {"QConv3D", &hgq2_convolution, ends, "hgq"},
    {"QEinsumDense", &hgq2_einsum_dense, ends, "hgq"},
    {"QEinsumDenseBatchnorm", &hgq2_einsum_dense_batch_norm, ends, "hgq"},
    {"QBatchNormalization", &hgq2_batch_normalization, passes, "hgq"},
    {"QEinsum", &hgq2_einsum, ends, "hgq"},
    {"QAdd", &hgq2_merge, ends, "hgq"},
    {"QSubtract", &hgq2_merge, ends, "hgq"},
    {"QMultiply", &hgq2_merge, ends, "hgq"},
    {"QMaximum", &hgq2_merge, ends, "hgq"},
    {"QMinimum", &hgq2_merge, ends, "hgq"},
    {"QDot", &hgq2_merge, ends, "hgq"},
    {"QAveragePow2", &hgq2_average_pow2, ends, "hgq"},
    {"QSum", &hgq2_sum, ends, "hgq"},
    {"QMeanPow2", &hgq2_mean_pow2, ends, "hgq"},
    {"QAveragePooling1D", &hgq2_pooling, ends, "hgq"},
    {"QAveragePooling2D", &hgq2_pooling, ends, "hgq"},
    {"QAveragePooling3D", &hgq2_pooling, ends, "hgq"},
    {"QMaxPooling1D", &hgq2_pooling, ends, "hgq"},
    {"QMaxPooling2D", &hgq2_pooling, ends, "hgq"},
    {"QMaxPooling3D", &hgq2_pooling, ends, "hgq"},
    {"QGlobalAveragePooling1D", &hgq2_pooling, ends, "hgq"},
    {"QGlobalAveragePooling2D", &hgq2_pooling, ends, "hgq"},
    {"QGlobalAveragePooling3D", &hgq2_pooling, ends, "hgq"},
    {"QGlobalMaxPooling1D", &hgq2_pooling, ends, "hgq"},
    {"QGlobalMaxPooling2D", &hgq2_pooling, ends, "hgq"},
    {"QGlobalMaxPooling3D", &hgq2_pooling, ends, "hgq"},
    {"QUnaryFunctionLUT", &hgq2_unary_function, passes, "hgq"},
    {"QAffinedUnaryFunctionLUT", &hgq2_affined_unary_function, passes, "hgq"},
    {"QDenseT", &hgq2_dense_table, ends, "hgq"},
    {"QConvT1D", &hgq2_convolution_table, ends, "hgq"},
    {"QConvT2D", &hgq2_convolution_table, ends, "hgq"},
    // Registered twice; the file has the later name.
    {"QConvT1D", &hgq2_convolution_table, ends, "hgq2"},
    {"QConvT2D", &hgq2_convolution_table, ends, "hgq2"},
    {"QSoftmax", &hgq2_softmax, own, "hgq"},
    {"QMultiHeadAttention", &hgq2_multi_head_attention, own, "hgq"},
    {"QLinformerAttention", &hgq2_linformer_attention, own, "hgq"},
    {"QSimpleRNN", &hgq2_simple_rnn, own, "hgq"},
    {"QGRU", &hgq2_gru, own, "hgq"},
    {"FixedPointQuantizer", &hgq1_fixed_point_quantizer, ends, "HGQ"},
    {"UnaryLUT", &hgq1_unary_lut, ends, "HGQ"},
    // HGQ before 0.2.6 registered them without a package.
    {"FixedPointQuantizer", &hgq1_fixed_point_quantizer, ends},
    {"UnaryLUT", &hgq1_unary_lut, ends},
    {"HDense", &hgq1_trained_layer, ends, "HGQ"},
    {"HDenseBatchNorm", &hgq1_trained_layer, ends, "HGQ"},
    {"HConv1D", &hgq1_trained_layer, ends, "HGQ"},
    {"HConv2D", &hgq1_trained_layer, ends, "HGQ"},
    {"HConv1DBatchNorm", &hgq1_trained_layer, ends, "HGQ"},
    {"HConv2DBatchNorm", &hgq1_trained_layer, ends, "HGQ"},
    {"HBatchNormalization", &hgq1_trained_layer, ends, "HGQ"},
    {"HQuantize", &hgq1_trained_layer, ends, "HGQ"},
    {"HActivation", &hgq1_trained_layer, ends, "HGQ"},
    {"HAdd", &hgq1_trained_layer, ends, "HGQ"},
    {"PReshape", &hgq1_trained_layer, ends, "HGQ"},
    {"PFlatten", &hgq1_trained_layer, ends, "HGQ"},
    {"PConcatenate", &hgq1_trained_layer, ends, "HGQ"},
    {"PMaxPooling1D", &hgq1_trained_layer, ends, "HGQ"},
    {"PMaxPooling2D", &hgq1_trained_layer, ends, "HGQ"},
    {"PAveragePooling1D", &hgq1_trained_layer, ends, "HGQ"},
    {"PAveragePooling2D", &hgq1_trained_layer, ends, "HGQ"},
    {"PDropout", &hgq1_trained_layer, ends, "HGQ"},
    {"PPermute", &hgq1_trained_layer, ends, "HGQ"},
};
// clang-format on

}  // namespace

std::span<const RuleRow> hgq_rules() {
    return rows;
}

}  // namespace gatewright::keras
