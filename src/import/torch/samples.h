#pragma once

#include <functional>

#include "import/torch/importer.h"

/// Layers that work on one sample [channels, ...] at a time.
namespace gatewright::torch {

/// Applies `layer` to each sample of x, which has `rank` axes without a batch and one more, the
/// first, with one. BatchMixed if the batch axis that is followed stands elsewhere.
Operand for_each_sample(Call& call, const Operand& x, std::int64_t rank,
                        const std::function<Operand(const Operand&)>& layer);

/// The same for layers with several results.
std::vector<Operand> for_each_sample_of(
    Call& call, const Operand& x, std::int64_t rank,
    const std::function<std::vector<Operand>(const Operand&)>& layer);

/// a b as torch.matmul has it, in the program's shapes.
Operand product(Call& call, Operand a, Operand b);

/// x weight^T + bias.
Operand linear(Call& call, const Operand& x, const Operand& weight,
               const std::optional<Operand>& bias);

/// x[..., out] of the elements of x by their numbers within a sample.
Operand indexed(Call& call, const Operand& x, Shape shape, std::vector<std::int64_t> index,
                int batch_axis);

/// A constant of the program's shape in whose axis `axis` the batch stands before `factor` others
/// (Importer::joined): with extents of 1 and `factor` there. BatchMixed unless it is the same for
/// all samples.
Tensor without_joined_batch(Call& call, const Tensor& constant, std::size_t axis,
                            std::int64_t factor);

}  // namespace gatewright::torch
