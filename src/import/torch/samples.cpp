#include "import/torch/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "operators/layers.h"
#include "operators/move.h"

namespace gatewright::torch {

namespace {

/// Samples that stand in the program one by one become as many copies of a layer.
constexpr std::int64_t most_samples = 4096;

}  // namespace

std::vector<Operand> for_each_sample_of(
    Call& call, const Operand& x, std::int64_t rank,
    const std::function<std::vector<Operand>(const Operand&)>& layer) {
    if (x.rank() == rank && x.batch_axis < 0) {
        return layer(x);
    }
    if (x.rank() == rank + 1 && x.batch_axis == 0) {
        return layer(x);
    }
    if (x.batch_axis >= 0) {
        throw BatchMixed();
    }
    if (x.rank() != rank + 1) {
        call.refuse(fmt::format("an input of {} axes is not what it takes: {}, or {} with a batch",
                                x.rank(), rank, rank + 1));
    }
    const std::int64_t count = x.sample_shape().front();
    if (count < 1 || count > most_samples) {
        call.refuse(fmt::format("it works on {} samples one by one", count),
                    "Export the model with a batch of 1, or with a free batch axis.");
    }
    std::vector<std::vector<Operand>> results;
    for (std::int64_t i = 0; i < count; ++i) {
        const std::vector<Operand> ys = layer(call.selected(x, 0, i));
        results.resize(ys.size());
        for (std::size_t k = 0; k < ys.size(); ++k) {
            results[k].push_back(ys[k]);
        }
    }
    std::vector<Operand> out;
    for (const std::vector<Operand>& ys : results) {
        out.push_back(call.stacked(ys, 0));
    }
    return out;
}

Operand for_each_sample(Call& call, const Operand& x, std::int64_t rank,
                        const std::function<Operand(const Operand&)>& layer) {
    return for_each_sample_of(
               call, x, rank,
               [&](const Operand& sample) { return std::vector<Operand>{layer(sample)}; })
        .front();
}

Operand product(Call& call, Operand a, Operand b) {
    const bool row = a.rank() == 1;
    const bool column = b.rank() == 1;
    if (a.rank() == 0 || b.rank() == 0) {
        call.refuse("a factor is a single number");
    }
    if ((row && a.batch_axis >= 0) || (column && b.batch_axis >= 0)) {
        throw BatchMixed();
    }
    if (row) {
        a = call.reshaped(a, {1, a.sample_shape()[0]}, -1);
    }
    if (column) {
        b = call.reshaped(b, {b.sample_shape()[0], 1}, -1);
    }
    // Distance of the batch axis from the end; of b it is no row or column, of a no column.
    const std::int64_t from_a = a.batch_axis >= 0 ? a.rank() - a.batch_axis : 0;
    const std::int64_t from_b = b.batch_axis >= 0 ? b.rank() - b.batch_axis : 0;
    const std::int64_t distance = std::max(from_a, from_b);
    if (from_a == 1 || from_b == 1 || from_b == 2 ||
        (from_a != 0 && from_b != 0 && from_a != from_b)) {
        throw BatchMixed();
    }
    // The samples are the rows of several products: of a sample each has one row.
    const bool single_rows = from_a == 2 && b.rank() > 2;
    if (single_rows) {
        Shape shape = a.sample_shape();
        shape.insert(shape.end() - 1, 1);
        a = call.reshaped(a, shape, a.batch_axis);
    }
    for (Operand* x : {&a, &b}) {
        if (distance < 3 || x->batch_axis >= 0 || x->rank() < distance) {
            continue;
        }
        Shape shape = x->sample_shape();
        const auto at = shape.end() - static_cast<std::ptrdiff_t>(distance);
        if (*at != 1) {
            throw BatchMixed();
        }
        shape.erase(at);
        *x = call.reshaped(*x, shape, -1);
    }
    const std::int64_t rank = std::max(a.rank() - (single_rows ? 1 : 0), b.rank());
    const int batch_axis = distance > 0 ? static_cast<int>(rank - distance) : -1;
    Operand y = call.emit(operators::matmul_operator, Attributes(), {a, b}, batch_axis).front();
    if (single_rows) {
        Shape shape = y.sample_shape();
        shape.erase(shape.end() - 2);
        y = call.reshaped(y, shape, batch_axis);
    }
    if (row || column) {
        Shape shape = y.sample_shape();
        int batch = batch_axis;
        if (column) {
            shape.pop_back();
        }
        if (row) {
            shape.erase(shape.end() - (column ? 1 : 2));
        }
        y = call.reshaped(y, shape, batch);
    }
    return y;
}

Operand linear(Call& call, const Operand& x, const Operand& weight,
               const std::optional<Operand>& bias) {
    if (weight.rank() != 2 || weight.batch_axis >= 0) {
        if (weight.rank() == 1 && weight.batch_axis < 0) {  // one number a sample
            const Operand y = product(call, x, weight);
            return bias ? call.add(y, *bias) : y;
        }
        throw BatchMixed();
    }
    if (x.batch_axis >= 0 && x.batch_axis == x.rank() - 1) {
        throw BatchMixed();
    }
    const Operand kernel = call.transposed(weight, {1, 0}, -1);
    const Operand y =
        call.emit(operators::matmul_operator, Attributes(), {x, kernel}, x.batch_axis).front();
    return bias ? call.add(y, *bias) : y;
}

Operand indexed(Call& call, const Operand& x, Shape shape, std::vector<std::int64_t> index,
                int batch_axis) {
    operators::IndexFields fields;
    const auto count = static_cast<std::int64_t>(index.size());
    fields.index = {{count}, std::move(index)};
    fields.shape = std::move(shape);
    return call.emit(operators::index_operator, Attributes::of(fields), {x}, batch_axis).front();
}

Tensor without_joined_batch(Call& call, const Tensor& constant, std::size_t axis,
                            std::int64_t factor) {
    if (axis >= constant.shape.size() || factor < 1 || constant.shape[axis] % factor != 0) {
        throw BatchMixed();
    }
    Tensor apart = constant;
    const std::int64_t batch = constant.shape[axis] / factor;
    apart.shape[axis] = factor;
    apart.shape.insert(apart.shape.begin() + static_cast<std::ptrdiff_t>(axis), batch);
    if (batch != 1 && batch != call.importer().declared_batch()) {
        throw BatchMixed();
    }
    Operand like;  // with a batch in that axis
    like.shape.assign(constant.shape.size(), 1);
    like.batch_axis = static_cast<int>(axis);
    Tensor sample = call.without_batch(apart, like);
    sample.shape.insert(sample.shape.begin() + static_cast<std::ptrdiff_t>(axis), 1);
    return sample;
}

}  // namespace gatewright::torch
