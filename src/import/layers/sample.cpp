#include "import/layers/sample.h"

#include <numeric>

namespace gatewright::layers {

namespace {

Shape moved(std::size_t rank, std::int64_t from, std::int64_t to) {
    Shape order(rank);
    std::iota(order.begin(), order.end(), std::int64_t{0});
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(from));
    order.insert(order.begin() + static_cast<std::ptrdiff_t>(to), from);
    return order;
}

}  // namespace

Operand axis_last(Builder& builder, const Operand& x, std::int64_t from) {
    const std::size_t rank = x.sample_shape().size();
    return builder.transposed(x, moved(rank, from, static_cast<std::int64_t>(rank) - 1),
                              x.batch_axis);
}

Operand axis_back(Builder& builder, const Operand& x, std::int64_t to) {
    const std::size_t rank = x.sample_shape().size();
    return builder.transposed(x, moved(rank, static_cast<std::int64_t>(rank) - 1, to),
                              x.batch_axis);
}

Operand raised(Builder& builder, const Operand& x, double exponent) {
    if (exponent == 1) {
        return x;
    }
    if (exponent == 2) {
        return builder.function("square", x);
    }
    if (exponent == 0.5) {
        return builder.function("sqrt", x);
    }
    if (exponent == -1) {
        return builder.function("reciprocal", x);
    }
    return builder.function("power", x, {Builder::number(exponent)});
}

Operand of_rank(Builder& builder, const Operand& x, std::size_t rank) {
    Shape shape = x.sample_shape();
    if (shape.size() < rank) {
        shape.insert(shape.begin(), rank - shape.size(), 1);
    }
    return builder.reshaped(x, std::move(shape), x.batch_axis >= 0 ? 0 : -1);
}

Operand weighted(Builder& builder, const Operand& x, std::int64_t axis, Tensor weights) {
    const Operand rows = axis_last(builder, in_front(x), axis);
    const Operand y = builder.matmul(rows, Builder::tensor(std::move(weights)));
    return batched_as(axis_back(builder, y, axis), x);
}

}  // namespace gatewright::layers
