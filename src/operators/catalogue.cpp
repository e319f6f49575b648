#include "operators/catalogue.h"

#include <array>

#include "operators/core.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/row.h"
#include "operators/selection.h"

namespace gatewright::operators {

namespace {

const auto operators = std::to_array<const network::Operator*>({
    // Layers on real numbers.
    &network::constant_operator,
    &function_operator,
    &fake_quantize_operator,
    &batch_norm_operator,
    &divide_operator,
    &matmul_operator,
    &conv_operator,
    &conv_transpose_operator,
    &pool_operator,
    &reduce_operator,
    &softmax_operator,
    &argmax_operator,
    &top_k_operator,
    &join_operator,
    &gather_operator,
    &gather_elements_operator,
    &gather_nd_operator,
    &scatter_operator,
    &cumulative_operator,
    // Layers and core operators in one.
    &add_operator,
    &subtract_operator,
    &multiply_operator,
    &maximum_operator,
    &minimum_operator,
    &select_operator,
    &reshape_operator,
    &transpose_operator,
    &slice_operator,
    &concat_operator,
    &expand_operator,
    &pad_operator,
    &index_operator,
    &window_operator,
    // Core operators on fixed-point tensors.
    &fixed_constant_operator,
    &contract_operator,
    &affine_operator,
    &quantize_operator,
    &clamp_operator,
    &leaky_operator,
    &absolute_operator,
    &less_operator,
    &equal_operator,
    &thresholds_operator,
    &table_operator,
    &row_accumulate_operator,
    &row_sum_operator,
    &row_max_operator,
    &row_min_operator,
    &row_argmax_operator,
    &row_top_k_operator,
});

}  // namespace

std::span<const network::Operator* const> catalogue() {
    return operators;
}

const network::Operator* find(std::string_view name) {
    for (const network::Operator* op : operators) {
        if (op->name == name) {
            return op;
        }
    }
    return nullptr;
}

}  // namespace gatewright::operators
