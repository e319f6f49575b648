// Tensors cut along axes, and what puts their elements in another order.

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/torch/parts.h"
#include "import/torch/rules.h"
#include "import/torch/samples.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

void select(Call& call) {
    const Operand x = call.operand("self");
    call.set(selected(call, x, call.integer("dim"), call.integer("index")));
}

void slice(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t at = call.normalised(call.integer("dim", 0), x.rank());
    const std::int64_t step = call.integer("step", 1);
    call.demand(step >= 1, "step", fmt::format("it is {}", step));
    if (at == x.batch_axis) {
        if (!whole_batch(call) || step != 1) {
            throw BatchMixed();
        }
        call.set(x);
        return;
    }
    const std::int64_t axis = call.axis(x, at);
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    const auto [begin, end] =
        bounds(call.integer("start", 0), call.integer("end", INT64_MAX), extent);
    call.set(call.sliced(x, axis, begin, (end - begin + step - 1) / step, step));
}

void narrow(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t axis = call.axis(x, call.integer("dim"));
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    std::int64_t begin = call.integer("start");
    begin = begin < 0 ? begin + extent : begin;
    const std::int64_t length = call.integer("length");
    call.demand(begin >= 0 && length >= 0 && length <= extent && begin <= extent - length, "length",
                fmt::format("it reaches beyond an extent of {}", extent));
    call.set(call.sliced(x, axis, begin, length));
}

void set_parts(Call& call, const Operand& x, std::int64_t dim, const Shape& sizes) {
    const std::int64_t axis = call.axis(x, dim);
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (sizes[i] < 0 || sizes[i] > extent - begin) {
            call.refuse(fmt::format("its parts do not fit an extent of {}", extent), {}, "dim");
        }
        call.set(call.sliced(x, axis, begin, sizes[i]), i);
        begin += sizes[i];
    }
    if (begin != extent || sizes.size() != call.outputs()) {
        call.refuse(fmt::format("its parts do not make up an extent of {}", extent), {}, "dim");
    }
}

Shape equal_parts(std::int64_t extent, std::int64_t size) {
    Shape sizes;
    for (std::int64_t left = extent; left > 0; left -= size) {
        sizes.push_back(std::min(left, size));
    }
    return sizes;
}

std::int64_t extent_along(Call& call, const Operand& x, std::int64_t dim) {
    return x.sample_shape()[static_cast<std::size_t>(call.axis(x, dim))];
}

void split(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t dim = call.integer("dim", 0);
    if (call.has("split_sizes")) {
        set_parts(call, x, dim, call.integers("split_sizes"));
        return;
    }
    const Shape size = call.integers("split_size");
    if (size.size() != 1) {
        set_parts(call, x, dim, size);
        return;
    }
    call.demand(size[0] > 0, "split_size", "it is not positive");
    set_parts(call, x, dim, equal_parts(extent_along(call, x, dim), size[0]));
}

void chunk(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t dim = call.integer("dim", 0);
    const std::int64_t chunks = call.integer("chunks");
    call.demand(chunks > 0, "chunks", "it is not positive");
    const std::int64_t extent = extent_along(call, x, dim);
    set_parts(call, x, dim,
              equal_parts(extent, std::max<std::int64_t>(1, (extent + chunks - 1) / chunks)));
}

void tensor_split(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t dim = call.integer("dim", 0);
    const std::int64_t extent = extent_along(call, x, dim);
    Shape sizes;
    if (call.has("sections")) {
        const std::int64_t sections = call.integer("sections");
        call.demand(sections > 0 && sections <= 1 << 20, "sections", "it is out of range");
        for (std::int64_t i = 0; i < sections; ++i) {
            sizes.push_back(extent / sections + (i < extent % sections ? 1 : 0));
        }
    } else {
        std::int64_t last = 0;
        for (const std::int64_t index : call.integers("indices")) {
            const std::int64_t at = bounds(last, index, extent).second;
            sizes.push_back(at - last);
            last = at;
        }
        sizes.push_back(extent - last);
    }
    set_parts(call, x, dim, sizes);
}

void unbind(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t dim = call.integer("dim", 0);
    const std::int64_t extent = extent_along(call, x, dim);
    if (static_cast<std::size_t>(extent) != call.outputs()) {
        call.refuse("it does not give a result for each position", {}, "dim");
    }
    for (std::int64_t i = 0; i < extent; ++i) {
        call.set(selected(call, x, dim, i), static_cast<std::size_t>(i));
    }
}

void flip(Call& call, std::optional<std::int64_t> only) {
    Operand x = call.operand("self");
    for (const std::int64_t dim : only ? Shape{*only} : call.integers("dims")) {
        x = call.reversed(x, call.axis(x, dim));
    }
    call.set(x);
}

void roll(Call& call) {
    const Operand x = call.operand("self");
    const Shape shifts = call.integers("shifts");
    const Shape dims = call.integers("dims", Shape{});
    Operand y = x;
    if (dims.empty()) {
        if (x.batch_axis >= 0) {
            throw BatchMixed();
        }
        y = call.reshaped(x, {element_count(x.sample_shape())}, -1);
    }
    call.demand(dims.empty() ? shifts.size() == 1 : shifts.size() == dims.size(), "shifts",
                "there is not one for each axis");
    for (std::size_t i = 0; i < shifts.size(); ++i) {
        const std::int64_t axis = dims.empty() ? 0 : call.axis(y, dims[i]);
        const std::int64_t extent = y.sample_shape()[static_cast<std::size_t>(axis)];
        if (extent == 0) {
            continue;
        }
        const std::int64_t shift = ((shifts[i] % extent) + extent) % extent;
        if (shift != 0) {
            y = call.concatenated({call.sliced(y, axis, extent - shift, shift),
                                   call.sliced(y, axis, 0, extent - shift)},
                                  axis);
            y.batch_axis = x.batch_axis;
        }
    }
    call.set(call.reshaped(y, x.sample_shape(), x.batch_axis));
}

void diagonal(Call& call) {
    Operand x = call.operand("self");
    const std::int64_t offset = call.integer("offset", 0);
    const std::int64_t a = call.axis(x, call.integer("dim1", 0));
    const std::int64_t b = call.axis(x, call.integer("dim2", 1));
    if (x.batch_axis > 0 || a == b) {
        throw BatchMixed();
    }
    Shape shape;
    Shape order;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(x.sample_shape().size()); ++i) {
        if (i != a && i != b) {
            order.push_back(i);
            shape.push_back(x.sample_shape()[static_cast<std::size_t>(i)]);
        }
    }
    order.push_back(a);
    order.push_back(b);
    const std::int64_t rows = x.sample_shape()[static_cast<std::size_t>(a)];
    const std::int64_t columns = x.sample_shape()[static_cast<std::size_t>(b)];
    const std::int64_t outer = element_count(shape);
    x = call.transposed(x, order, x.batch_axis);
    const std::int64_t row = std::max<std::int64_t>(0, -offset);
    const std::int64_t column = std::max<std::int64_t>(0, offset);
    const std::int64_t length = std::max<std::int64_t>(0, std::min(rows - row, columns - column));
    std::vector<std::int64_t> index;
    for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t i = 0; i < length; ++i) {
            index.push_back((o * rows + row + i) * columns + column + i);
        }
    }
    shape.push_back(length);
    call.set(indexed(call, x, shape, std::move(index), x.batch_axis));
}

/// Vectors along the last axis on the diagonals of matrices.
void diagonal_matrix(Call& call) {  // diag_embed
    const Operand x = call.operand("self");
    call.demand(call.integer("offset", 0) == 0, "offset", "only the main diagonal is supported");
    const std::int64_t rank = x.rank() + 1;
    for (const auto& [name, place] : {std::pair("dim1", -2), {"dim2", -1}}) {
        call.demand(call.normalised(call.integer(name, place), rank) == rank + place, name,
                    "the matrices must be the last two axes", "Move the axes behind it.");
    }
    Shape shape = x.sample_shape();
    if (shape.empty()) {
        throw BatchMixed();
    }
    const std::int64_t size = shape.back();
    shape.insert(shape.end() - 1, 1);
    Tensor kept = Tensor::filled({size, size}, 0);
    for (std::int64_t i = 0; i < size; ++i) {
        kept.values[static_cast<std::size_t>(i * size + i)] = 1;
    }
    call.set(call.elementwise(
        select_operator, Attributes(),
        {Call::tensor(std::move(kept)), call.reshaped(x, shape, x.batch_axis), Call::number(0)}));
}

/// Elements above (below) a diagonal of the last two axes become zero.
void triangle(Call& call, bool upper) {
    const Operand x = call.operand("self");
    const std::int64_t diagonal_at = call.integer("diagonal", 0);
    const Shape& shape = x.sample_shape();
    if (shape.size() < 2 || x.batch_axis > x.rank() - 3) {
        throw BatchMixed();
    }
    const std::int64_t rows = shape[shape.size() - 2];
    const std::int64_t columns = shape.back();
    Tensor mask{{rows, columns}, {}};
    for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) {
            const bool kept = upper ? j - i >= diagonal_at : j - i <= diagonal_at;
            mask.values.push_back(kept ? 1 : 0);
        }
    }
    // Chosen, not multiplied: masks hold infinities.
    call.set(call.elementwise(select_operator, Attributes(),
                              {Call::tensor(std::move(mask)), x, Call::number(0)}));
}

void unfold(Call& call) {  // windows along an axis, their elements last
    const Operand x = call.operand("self");
    const std::int64_t dim = call.normalised(call.integer("dimension"), x.rank());
    const std::int64_t axis = call.axis(x, dim);
    const std::int64_t size = call.integer("size");
    const std::int64_t step = call.integer("step");
    const Shape& from = x.sample_shape();
    const std::int64_t extent = from[static_cast<std::size_t>(axis)];
    call.demand(size >= 0 && size <= extent, "size", fmt::format("it exceeds {}", extent));
    call.demand(step > 0, "step", "it is not positive");
    const std::int64_t count = (extent - size) / step + 1;
    Shape shape = from;
    shape[static_cast<std::size_t>(axis)] = count;
    shape.push_back(size);
    const std::int64_t inner = strides_of(from)[static_cast<std::size_t>(axis)];
    const std::int64_t outer = element_count(from) / std::max<std::int64_t>(1, inner * extent);
    std::vector<std::int64_t> index;
    for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t w = 0; w < count; ++w) {
            for (std::int64_t i = 0; i < inner; ++i) {
                for (std::int64_t k = 0; k < size; ++k) {
                    index.push_back((o * extent + w * step + k) * inner + i);
                }
            }
        }
    }
    call.set(indexed(call, x, shape, std::move(index), x.batch_axis));
}

void pixel_shuffle(Call& call, bool apart) {
    const Operand x = call.operand("self");
    const std::int64_t r = call.integer(apart ? "upscale_factor" : "downscale_factor");
    const Shape& from = x.sample_shape();
    const std::size_t rank = from.size();
    if (rank < 3 || x.batch_axis > x.rank() - 4) {
        throw BatchMixed();
    }
    const std::int64_t channels = from[rank - 3];
    const std::int64_t rows = from[rank - 2];
    const std::int64_t columns = from[rank - 1];
    const bool fits = r > 0 && r <= 1 << 15 &&
                      (apart ? channels % (r * r) == 0 : rows % r == 0 && columns % r == 0);
    call.demand(fits, apart ? "upscale_factor" : "downscale_factor",
                fmt::format("{} does not fit shape {}", r, to_string(from)));
    const Shape lead(from.begin(), from.end() - 3);
    Shape split = lead;
    Shape order(lead.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    const auto base = static_cast<std::int64_t>(lead.size());
    Shape joined = lead;
    if (apart) {
        split.insert(split.end(), {channels / (r * r), r, r, rows, columns});
        order.insert(order.end(), {base, base + 3, base + 1, base + 4, base + 2});
        joined.insert(joined.end(), {channels / (r * r), rows * r, columns * r});
    } else {
        split.insert(split.end(), {channels, rows / r, r, columns / r, r});
        order.insert(order.end(), {base, base + 2, base + 4, base + 1, base + 3});
        joined.insert(joined.end(), {channels * r * r, rows / r, columns / r});
    }
    const int front = x.batch_axis >= 0 ? 0 : -1;
    Operand y = call.transposed(call.reshaped(x, split, front), order, front);
    call.set(call.reshaped(y, joined, x.batch_axis));
}

void channel_shuffle(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t groups = call.integer("groups");
    if (x.rank() < 3) {
        throw BatchMixed();
    }
    const std::int64_t axis = call.axis(x, 1);
    const Shape from = x.sample_shape();
    const std::int64_t channels = from[static_cast<std::size_t>(axis)];
    call.demand(groups > 0 && channels % groups == 0, "groups",
                fmt::format("{} do not divide {} channels", groups, channels));
    Shape split = from;
    split[static_cast<std::size_t>(axis)] = groups;
    split.insert(split.begin() + axis + 1, channels / groups);
    Shape order(split.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::swap(order[static_cast<std::size_t>(axis)], order[static_cast<std::size_t>(axis + 1)]);
    const int front = x.batch_axis >= 0 ? 0 : -1;
    call.set(call.reshaped(call.transposed(call.reshaped(x, split, front), order, front), from,
                           x.batch_axis));
}

const RuleRow rows[] = {
    {"aten.select", "int", &select, true},
    {"aten.select_copy", "int", &select},
    {"aten.slice", "Tensor", &slice, true},
    {"aten.slice_copy", "Tensor", &slice},
    {"aten.narrow", "default", &narrow, true},
    {"aten.split", "Tensor sizes", &split, true},
    {"aten.split_with_sizes", "default", &split, true},
    {"aten.split_with_sizes_copy", "default", &split},
    {"aten.unsafe_split", "Tensor", &split},
    {"aten.unsafe_split_with_sizes", "default", &split},
    {"aten.chunk", "default", &chunk, true},
    {"aten.unsafe_chunk", "default", &chunk},
    {"aten.tensor_split", "sections indices", &tensor_split, true},
    {"aten.unbind", "int", &unbind, true},
    {"aten.unbind_copy", "int", &unbind},
    {"aten.flip", "default", [](Call& c) { flip(c, std::nullopt); }},
    {"aten.fliplr", "default", [](Call& c) { flip(c, 1); }},
    {"aten.flipud", "default", [](Call& c) { flip(c, 0); }},
    {"aten.roll", "default", &roll},
    {"aten.diagonal", "default", &diagonal, true},
    {"aten.diag_embed", "default", &diagonal_matrix},
    {"aten.diagonal_copy", "default", &diagonal},
    {"aten.triu", "default", [](Call& c) { triangle(c, true); }},
    {"aten.tril", "default", [](Call& c) { triangle(c, false); }},
    {"aten.unfold", "default", &unfold, true},
    {"aten.unfold_copy", "default", &unfold},
    {"aten.pixel_shuffle", "default", [](Call& c) { pixel_shuffle(c, true); }},
    {"aten.pixel_unshuffle", "default", [](Call& c) { pixel_shuffle(c, false); }},
    {"aten.channel_shuffle", "default", &channel_shuffle},
    {"aten.native_channel_shuffle", "default", &channel_shuffle},
};

}  // namespace

bool whole_batch(Call& call) {
    const bool from_start = !call.has("start") || call.integer("start") == 0;
    if (!call.has("end")) {
        return from_start;
    }
    const Extent end = call.extents("end").front();
    return from_start && (end == Extent{1, true} || (!end.batch && end.value > INT32_MAX / 2));
}

Operand selected(Call& call, const Operand& x, std::int64_t dim, std::int64_t index) {
    const std::int64_t at = call.normalised(dim, x.rank());
    const std::int64_t axis = call.axis(x, dim);
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    index = index < 0 ? index + extent : index;
    if (index < 0 || index >= extent) {
        call.refuse(fmt::format("position {} lies outside an extent of {}", index, extent), {},
                    "index");
    }
    Shape shape = x.sample_shape();
    shape.erase(shape.begin() + axis);
    return call.reshaped(call.sliced(x, axis, index, 1), shape,
                         at < x.batch_axis ? x.batch_axis - 1 : x.batch_axis);
}

std::pair<std::int64_t, std::int64_t> bounds(std::int64_t begin, std::int64_t end,
                                             std::int64_t extent) {
    begin = std::clamp<std::int64_t>(begin < 0 ? begin + extent : begin, 0, extent);
    end = std::clamp<std::int64_t>(end < 0 ? end + extent : end, begin, extent);
    return {begin, end};
}

std::span<const RuleRow> part_rules() {
    return rows;
}

}  // namespace gatewright::torch
