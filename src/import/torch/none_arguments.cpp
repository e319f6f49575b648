#include "import/torch/none_arguments.h"

#include <algorithm>

#include "import/torch/rules.h"

namespace gatewright::torch {

namespace {

/// From the schemas of PyTorch: an argument, and the operators that take None for it; all those
/// that have the argument if none is named. "upsample*" are those whose name begins so.
struct Row {
    std::string_view argument;
    std::string_view operators;
};

constexpr Row rows[] = {
    {"append", ""},
    {"attn_mask", ""},
    {"b_hh", ""},
    {"b_ih", ""},
    {"bias", ""},
    {"compute_mode", ""},
    {"correction", ""},
    {"device", ""},
    {"divisor_override", ""},
    {"dtype", ""},
    {"generator", ""},
    {"layout", ""},
    {"memory_format", ""},
    {"nan", ""},
    {"neginf", ""},
    {"out_dtype", ""},
    {"path", ""},
    {"per_sample_weights", ""},
    {"pin_memory", ""},
    {"posinf", ""},
    {"prepend", ""},
    {"rounding_mode", ""},
    {"scale_factors", ""},
    {"scales_d", ""},
    {"scales_h", ""},
    {"scales_w", ""},
    {"side", ""},
    {"sorter", ""},
    {"storage_offset", ""},
    {"dim",
     "all aminmax any argmax argmin count_nonzero cross linalg_vector_norm mean nanmean nansum "
     "norm quantile repeat_interleave std std_mean sum take_along_dim unique_consecutive var "
     "var_mean"},
    {"end", "slice slice_copy slice_scatter"},
    {"eps", "_fused_rms_norm logit rms_norm special_logit"},
    {"max", "clamp clip sym_constrain_range sym_constrain_range_for_size"},
    {"min", "clamp clip sym_constrain_range sym_constrain_range_for_size"},
    {"output_size", "_upsample* repeat_interleave upsample*"},
    {"p", "norm"},
    {"padding_idx", "embedding_bag"},
    {"running_mean", "batch_norm instance_norm"},
    {"running_var", "batch_norm instance_norm"},
    {"scale", "scaled_dot_product_attention"},
    {"scales", "_upsample* upsample*"},
    {"size", "_assert_tensor_metadata"},
    {"stable", "sort"},
    {"start", "slice slice_copy slice_scatter"},
    {"stride", "_assert_tensor_metadata"},
    {"train", "native_dropout"},
    {"value", "pad"},
    {"weight",
     "_fused_rms_norm _native_batch_norm_legit _native_batch_norm_legit_no_training batch_norm "
     "group_norm instance_norm layer_norm native_group_norm native_layer_norm rms_norm"},
    {"zero_points", "dequantize_per_channel"},
};

bool lists(std::string_view names, std::string_view name) {
    while (!names.empty()) {
        const std::size_t end = std::min(names.find(' '), names.size());
        const std::string_view one = names.substr(0, end);
        if (one.ends_with('*') ? name.starts_with(one.substr(0, one.size() - 1)) : one == name) {
            return true;
        }
        names.remove_prefix(std::min(end + 1, names.size()));
    }
    return false;
}

}  // namespace

bool takes_none(std::string_view target, std::string_view argument) {
    std::string_view name = name_of_target(target);
    const std::size_t dot = name.find('.');
    if (!name.starts_with("aten.") && !name.starts_with("quantized_decomposed.")) {
        return true;
    }
    name.remove_prefix(dot + 1);
    name = name.substr(0, name.find('.'));
    if (name.ends_with('_') && !name.ends_with("__")) {
        name.remove_suffix(1);  // in place
    }
    const auto* row = std::find_if(std::begin(rows), std::end(rows),
                                   [&](const Row& r) { return r.argument == argument; });
    return row != std::end(rows) && (row->operators.empty() || lists(row->operators, name));
}

}  // namespace gatewright::torch
