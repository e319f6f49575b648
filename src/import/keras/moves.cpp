#include "import/keras/moves.h"

#include <algorithm>

#include "operators/move.h"

namespace gatewright::keras {

using layers::Attributes;
using layers::Operand;

Operand taken(layers::Builder& builder, const Operand& x, std::int64_t axis,
              const std::vector<std::int64_t>& positions) {
    const Shape& shape = x.sample_shape();
    const auto at = shape.begin() + axis;
    const std::int64_t before = element_count(Shape(shape.begin(), at));
    const std::int64_t behind = element_count(Shape(at + 1, shape.end()));
    const auto count = static_cast<std::int64_t>(positions.size());
    constexpr std::int64_t most = std::int64_t{1} << 26;
    if (before > most || behind > most || count > most / std::max<std::int64_t>(1, before) ||
        count * before > most / std::max<std::int64_t>(1, behind)) {
        builder.refuse("its result has too many elements");
    }
    operators::IndexFields fields;
    fields.shape = shape;
    fields.shape[static_cast<std::size_t>(axis)] = static_cast<std::int64_t>(positions.size());
    fields.index.shape = fields.shape;
    for (std::int64_t i = 0; i < before; ++i) {
        for (const std::int64_t position : positions) {
            for (std::int64_t j = 0; j < behind; ++j) {
                fields.index.values.push_back((i * *at + position) * behind + j);
            }
        }
    }
    return builder
        .emit(operators::index_operator, Attributes::of(std::move(fields)), {x}, x.batch_axis)
        .front();
}

Operand with_rank(layers::Builder& builder, const Operand& x, std::size_t rank) {
    Shape shape = x.sample_shape();
    if (shape.size() >= rank) {
        return x;
    }
    shape.insert(shape.begin(), rank - shape.size(), 1);
    return builder.reshaped(x, shape, x.batch_axis);
}

}  // namespace gatewright::keras
