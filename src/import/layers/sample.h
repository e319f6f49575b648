#pragma once

#include "import/layers/builder.h"

/// Programs for layers think of one sample: its shape alone counts, and the batch axis, wherever
/// the file has it, is in front while they work.
namespace gatewright::layers {

/// x with its batch axis in front: of a sample nothing changes.
inline Operand in_front(Operand x) {
    x.batch_axis = x.batch_axis >= 0 ? 0 : -1;
    return x;
}

/// y with its batch axis where x has it; y has the rank of x.
inline Operand batched_as(Operand y, const Operand& x) {
    y.batch_axis = y.is_constant ? -1 : x.batch_axis;
    return y;
}

/// Axis `from` (of a sample) comes to stand last, the others keep their order. `back` undoes it.
Operand axis_last(Builder& builder, const Operand& x, std::int64_t from);
Operand axis_back(Builder& builder, const Operand& x, std::int64_t to);

/// x raised to a constant power, by the cheapest function for it.
Operand raised(Builder& builder, const Operand& x, double exponent);

/// Shape with extents of 1 in front, so that it has `rank` axes.
Operand of_rank(Builder& builder, const Operand& x, std::size_t rank);

/// Along one axis (of a sample) each y is a weighted sum of x: weights[in, out], a constant.
Operand weighted(Builder& builder, const Operand& x, std::int64_t axis, Tensor weights);

}  // namespace gatewright::layers
