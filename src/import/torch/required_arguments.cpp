#include "import/torch/required_arguments.h"

#include <algorithm>
#include <map>
#include <string>

namespace gatewright::torch {

namespace {

/// From the schemas of PyTorch 2.13: arguments, and the operators (with the name of the form) whose
/// schemas give no default for them.
struct Row {
    std::string_view arguments;
    std::string_view operators;
};

constexpr Row rows[] = {
    {"axis quant_min quant_max",
     "fake_quantize_per_channel_affine.default "
     "fake_quantize_per_channel_affine_cachemask.default"},
    {"axis quant_min quant_max dtype", "quantize_per_channel.default"},
    {"axis0 axis1", "swapaxes.default"},
    {"bias stride padding dilation transposed output_padding groups",
     "_convolution.default convolution.default"},
    {"chunks", "chunk.default unsafe_chunk.default"},
    {"decimals", "round.decimals"},
    {"device dtype", "to.device"},
    {"dim",
     "_safe_softmax.default all.dim any.dim count_nonzero.dim_IntList cummax.default "
     "cummin.default cumprod.default cumsum.default gather.default index_add.default "
     "index_copy.default index_fill.int_Tensor index_select.default log_softmax.int "
     "logcumsumexp.default logsumexp.default max.dim mean.dim median.dim min.dim prod.dim_int "
     "scatter.src scatter_add.default softmax.int special_logsumexp.default squeeze.dim "
     "squeeze.dims squeeze_copy.dim squeeze_copy.dims std.dim std_mean.dim sum.dim_IntList "
     "sym_size.int unsqueeze.default unsqueeze_copy.default var.dim var_mean.dim"},
    {"dim half_to_float", "_log_softmax.default _softmax.default"},
    {"dim index", "select.int select_copy.int select_scatter.default"},
    {"dim reduce", "index_reduce.default scatter.reduce scatter_reduce.two"},
    {"dim sizes", "unflatten.int"},
    {"dim start length", "narrow.default"},
    {"dim value", "index_fill.int_Scalar scatter.value"},
    {"dim value reduce", "scatter.value_reduce"},
    {"dim0 dim1", "swapdims.default transpose.int transpose_copy.int"},
    {"dimension size step", "unfold.default unfold_copy.default"},
    {"dims", "flip.default permute.default permute_copy.default tile.default"},
    {"dims_self dims_other", "tensordot.default"},
    {"downscale_factor", "pixel_unshuffle.default"},
    {"dtype", "dequantize_per_tensor.tensor2 quantize_per_tensor.tensor2 to.dtype"},
    {"end", "arange.default"},
    {"equation", "einsum.default"},
    {"expand1 expand2 expand3 sumdim", "_trilinear.default"},
    {"exponent", "float_power.Tensor_Scalar pow.Tensor_Scalar"},
    {"fill_value", "full_like.default"},
    {"groups", "channel_shuffle.default native_channel_shuffle.default"},
    {"has_biases num_layers dropout train bidirectional batch_first",
     "gru.input lstm.input rnn_relu.input rnn_tanh.input"},
    {"indexing", "meshgrid.indexing"},
    {"indices",
     "_unsafe_index.Tensor _unsafe_index_put.default index.Tensor index_put.default "
     "tensor_split.indices"},
    {"interpolation_mode padding_mode align_corners",
     "grid_sampler.default grid_sampler_2d.default grid_sampler_3d.default"},
    {"k", "kthvalue.default topk.default"},
    {"kernel_size",
     "avg_pool1d.default avg_pool2d.default avg_pool3d.default max_pool1d.default "
     "max_pool1d_with_indices.default max_pool2d.default max_pool2d_with_indices.default "
     "max_pool3d.default max_pool3d_with_indices.default"},
    {"kernel_size dilation padding stride", "im2col.default"},
    {"max", "clamp_max.default"},
    {"min", "clamp_min.default"},
    {"mode per_sample_weights include_last_offset padding_idx", "embedding_bag.padding_idx"},
    {"n", "eye.default"},
    {"n m", "eye.m"},
    {"normalized_shape", "layer_norm.default rms_norm.default"},
    {"normalized_shape weight bias eps", "native_layer_norm.default"},
    {"normalized_shape weight eps", "_fused_rms_norm.default"},
    {"num_groups", "group_norm.default"},
    {"other",
     "__and__.Scalar __or__.Scalar __xor__.Scalar add.Scalar bitwise_and.Scalar "
     "bitwise_or.Scalar bitwise_xor.Scalar copysign.Scalar div.Scalar divide.Scalar "
     "floor_divide.Scalar fmod.Scalar mul.Scalar multiply.Scalar remainder.Scalar rsub.Scalar "
     "special_xlogy.other_scalar sub.Scalar subtract.Scalar true_divide.Scalar "
     "where.ScalarOther xlogy.Scalar_Other"},
    {"other rounding_mode", "div.Scalar_mode divide.Scalar_mode"},
    {"output_size",
     "_adaptive_avg_pool2d.default _adaptive_avg_pool3d.default "
     "_upsample_nearest_exact1d.default _upsample_nearest_exact2d.default "
     "_upsample_nearest_exact3d.default adaptive_avg_pool1d.default "
     "adaptive_avg_pool2d.default adaptive_avg_pool3d.default adaptive_max_pool1d.default "
     "adaptive_max_pool2d.default adaptive_max_pool3d.default upsample_nearest1d.default "
     "upsample_nearest2d.default upsample_nearest3d.default"},
    {"output_size align_corners",
     "_upsample_bicubic2d_aa.default _upsample_bilinear2d_aa.default "
     "upsample_bicubic2d.default upsample_bilinear2d.default upsample_linear1d.default "
     "upsample_trilinear3d.default"},
    {"output_size align_corners scale_factors",
     "_upsample_bicubic2d_aa.vec _upsample_bilinear2d_aa.vec upsample_bicubic2d.vec "
     "upsample_bilinear2d.vec upsample_linear1d.vec upsample_trilinear3d.vec"},
    {"output_size kernel_size dilation padding stride", "col2im.default"},
    {"output_size scale_factors",
     "_upsample_nearest_exact1d.vec _upsample_nearest_exact2d.vec "
     "_upsample_nearest_exact3d.vec upsample_nearest1d.vec upsample_nearest2d.vec "
     "upsample_nearest3d.vec"},
    {"p compute_mode", "_cdist_forward.default"},
    {"p dim", "norm.ScalarOpt_dim"},
    {"p dim keepdim dtype", "norm.ScalarOpt_dim_dtype"},
    {"p train",
     "alpha_dropout.default dropout.default feature_alpha_dropout.default "
     "feature_dropout.default native_dropout.default"},
    {"pad", "constant_pad_nd.default pad.default"},
    {"padding",
     "reflection_pad1d.default reflection_pad2d.default reflection_pad3d.default "
     "replication_pad1d.default replication_pad2d.default replication_pad3d.default"},
    {"q", "quantile.scalar"},
    {"quant_min quant_max",
     "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams.default "
     "fake_quantize_per_tensor_affine.tensor_qparams"},
    {"quant_min quant_max dtype", "dequantize_per_tensor.tensor quantize_per_tensor.tensor"},
    {"repeats", "repeat.default repeat_interleave.self_int"},
    {"rounding_mode", "div.Tensor_mode divide.Tensor_mode"},
    {"s", "scalar_tensor.default"},
    {"scale zero_point quant_min quant_max",
     "fake_quantize_per_tensor_affine.default "
     "fake_quantize_per_tensor_affine_cachemask.default"},
    {"scale zero_point quant_min quant_max dtype",
     "dequantize_per_tensor.default quantize_per_tensor.default"},
    {"sections", "tensor_split.sections"},
    {"self", "_assert_scalar.default pow.Scalar where.ScalarSelf"},
    {"self other", "where.Scalar"},
    {"shape", "reshape.default"},
    {"shifts", "roll.default"},
    {"size",
     "_unsafe_view.default broadcast_to.default empty.memory_format expand.default "
     "expand_copy.default new_empty.default new_ones.default new_zeros.default ones.default "
     "sym_constrain_range.default sym_constrain_range_for_size.default view.default "
     "view_copy.default zeros.default"},
    {"size align_corners", "affine_grid_generator.default"},
    {"size physical_layout", "empty_permuted.default"},
    {"size fill_value", "full.default new_full.default"},
    {"size stride", "_reshape_alias.default as_strided.default as_strided_copy.default"},
    {"source destination", "moveaxis.int moveaxis.intlist movedim.int movedim.intlist"},
    {"split_size", "split.Tensor split.sizes unsafe_split.Tensor"},
    {"split_sizes",
     "split_with_sizes.default split_with_sizes_copy.default unsafe_split_with_sizes.default"},
    {"stable", "argsort.stable sort.stable"},
    {"start end", "arange.start arange.start_step"},
    {"start end steps", "linspace.default"},
    {"threshold value", "threshold.default"},
    {"upscale_factor", "pixel_shuffle.default"},
    {"value", "fill.Scalar masked_fill.Scalar"},
    {"weight", "lerp.Scalar"},
    {"weight bias N C HxW group eps", "native_group_norm.default"},
    {"weight bias eps", "_native_batch_norm_legit_no_training.default"},
    {"weight bias running_mean running_var training eps", "batch_norm.default"},
    {"weight bias running_mean running_var use_input_stats eps", "instance_norm.default"},
    {"weight bias training eps", "_native_batch_norm_legit.no_stats"},
    {"window_length", "blackman_window.default hamming_window.default hann_window.default"},
    {"window_length periodic",
     "blackman_window.periodic hamming_window.periodic hann_window.periodic"},
    {"window_length periodic alpha", "hamming_window.periodic_alpha"},
    {"window_length periodic alpha beta", "hamming_window.periodic_alpha_beta"},
    {"zero_points axis quant_min quant_max dtype", "dequantize_per_channel.default"},
};

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> out;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        out.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
}

}  // namespace

std::vector<std::string_view> required_arguments(std::string_view target) {
    static const std::map<std::string_view, std::string_view, std::less<>> table = [] {
        std::map<std::string_view, std::string_view, std::less<>> out;
        for (const Row& row : rows) {
            for (const std::string_view one : words(row.operators)) {
                out[one] = row.arguments;
            }
        }
        return out;
    }();
    for (const std::string_view library : {"torch.ops.aten.", "torch.ops.quantized_decomposed."}) {
        if (!target.starts_with(library)) {
            continue;
        }
        std::string name(target.substr(library.size()));
        const std::size_t form = name.rfind('.');
        if (form != std::string::npos && form > 0 && name[form - 1] == '_' &&
            !name.starts_with("__")) {
            name.erase(form - 1, 1);  // in place
        }
        const auto row = table.find(name);
        return row == table.end() ? std::vector<std::string_view>() : words(row->second);
    }
    return {};
}

}  // namespace gatewright::torch
