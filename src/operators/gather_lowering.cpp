// The programs of layers that read or write at computed positions, and of cumulative ones.
//
// All reading comes down to rows: y[r, j, m] = data[r, m, index[r, j]]. Constant data is a table
// for each (r, m); computed data is chosen by a tree of the bits of the position.

#include <algorithm>
#include <functional>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/row.h"
#include "operators/selection.h"

namespace gatewright::operators {

namespace {

using network::Attributes;

bool is_constant(const RealTensor& x) {
    return x.base == RealTensor::Base::constant;
}

/// Elements begin, begin + step, ... (`size` of them) along an axis of a core tensor.
Value sliced(Lowering& lowering, Value x, std::int64_t axis, std::int64_t begin, std::int64_t step,
             std::int64_t size) {
    SliceFields fields;
    fields.sizes = lowering.type(x).shape;
    fields.starts.assign(fields.sizes.size(), 0);
    fields.steps.assign(fields.sizes.size(), 1);
    fields.starts[static_cast<std::size_t>(axis)] = begin;
    fields.steps[static_cast<std::size_t>(axis)] = step;
    fields.sizes[static_cast<std::size_t>(axis)] = size;
    return lowering.core(slice_operator, Attributes::of(std::move(fields)), {x});
}

Value core_reshaped(Lowering& lowering, Value x, Shape shape) {
    return lowering.core(reshape_operator, Attributes::of(ReshapeFields{std::move(shape)}), {x});
}

Value core_expanded(Lowering& lowering, Value x, Shape shape) {
    return lowering.core(expand_operator, Attributes::of(ExpandFields{std::move(shape)}), {x});
}

/// A computed tensor of integers brought into [low, high]. Positions that are no integers are
/// refused: the frameworks differ in what they make of them.
Value integers(Lowering& lowering, const RealTensor& index, std::int64_t low, std::int64_t high) {
    if (index.base == RealTensor::Base::core) {
        const Linear line = lowering.linear(index);
        const auto whole = combine<int>(
            element_count(index.shape),
            [](const Rational& scale, const Rational& offset, const network::Format& format) {
                const Rational unit = scale * power_of_two(-format.type.frac);
                return boost::multiprecision::denominator(unit) == 1 &&
                               boost::multiprecision::denominator(offset) == 1
                           ? 1
                           : 0;
            },
            line.scale, line.offset, *lowering.type(line.value).fixed);
        if (whole != PerElement<int>(1)) {
            lowering.refuse(Code::not_in_circuit, "its computed positions are no integers",
                            "Round them to integers in the model before this layer.");
        }
    }
    const Step quantiser =
        make_step("quantize", {Rational(1), Rational(0), Rational(low), Rational(high)});
    return lowering.linear(lowering.step(index, quantiser)).value;
}

/// A table of all integers of [low, low + words.size()), on integers.
Value looked_up(Lowering& lowering, Value x, std::int64_t low,
                PerElement<std::vector<Int128>> words) {
    TableFields fields;
    fields.low = low;
    fields.words = std::move(words);
    return lowering.core(table_operator, Attributes::of(std::move(fields)), {x});
}

/// Positions of an axis as integers within [0, extent), and `extent` where nothing lies there.
template <class Fields>
Value resolved(Lowering& lowering, const Fields& f, const RealTensor& index, std::int64_t extent) {
    const std::int64_t beyond = f.outside == "zero" ? 1 : 0;
    const std::int64_t low = (f.wrap ? -extent : 0) - beyond;
    const std::int64_t high = extent - 1 + beyond;
    const Value x = integers(lowering, index, low, high);
    if (low == 0 && beyond == 0) {
        return x;
    }
    std::vector<Int128> words;
    for (std::int64_t v = low; v <= high; ++v) {
        const std::int64_t at = v < 0 && f.wrap && v >= -extent ? v + extent : v;
        words.push_back(at < 0 || at >= extent ? extent : at);
    }
    return looked_up(lowering, x, low, std::move(words));
}

/// y[r, j, m] = data[r, m, index[r, j]] of constant data; the last axis may be read one behind its
/// end (`beyond`), where there is zero.
RealTensor read_constants(Lowering& lowering, const Tensor& data, Value index, bool beyond) {
    const std::int64_t rows = data.shape[0];
    const std::int64_t columns = data.shape[1];
    const std::int64_t extent = data.shape[2];
    const std::int64_t positions = lowering.type(index).shape[1];
    Rational unit = 0;
    for (const double value : data.values) {
        unit = gcd(unit, to_rational(value));
    }
    unit = unit == 0 ? Rational(1) : unit;
    const auto table = [&](std::int64_t row, std::int64_t column) {
        std::vector<Int128> words;
        for (std::int64_t i = 0; i < extent; ++i) {
            const double value =
                data.values[static_cast<std::size_t>((row * columns + column) * extent + i)];
            const auto integer =
                to_int128(boost::multiprecision::numerator(Rational(to_rational(value) / unit)));
            if (!integer ||
                bit_length(static_cast<UInt128>(*integer < 0 ? -*integer : *integer)) > 62) {
                lowering.refuse(Code::width_exceeded, "its constants need more than 63 bits",
                                "Quantise them in the model.");
            }
            words.push_back(*integer);
        }
        words.insert(words.end(), beyond ? 1 : 0, 0);
        return words;
    };
    std::vector<std::vector<Int128>> tables;
    std::int64_t inner = 1;
    if (rows == 1 || columns == 1) {
        inner = rows == 1 ? 1 : positions;
        for (std::int64_t i = 0; i < rows * columns; ++i) {
            tables.push_back(table(i / columns, i % columns));
        }
    } else {
        for (std::int64_t e = 0; e < rows * positions * columns; ++e) {
            tables.push_back(table(e / (positions * columns), e % columns));
        }
    }
    TableFields fields;
    fields.words = PerElement<std::vector<Int128>>::along(std::move(tables), inner);
    Linear out;
    out.where = lowering.where();
    if (const auto log = exact_log2(unit)) {
        fields.frac = std::int64_t{-*log};
    } else {
        out.scale = unit;
    }
    const Value at = core_expanded(
        lowering, core_reshaped(lowering, index, {lowering.type(index).shape[0], positions, 1}),
        {rows, positions, columns});
    out.value = lowering.core(table_operator, Attributes::of(std::move(fields)), {at});
    out.shape = {rows, positions, columns};
    return lowering.real(out);
}

/// The same of computed data: by each bit of the position every second element goes.
RealTensor read_computed(Lowering& lowering, const RealTensor& data, Value index, bool beyond) {
    const Linear x = lowering.common({data}, true).front();
    const std::int64_t rows = data.shape[0];
    const std::int64_t columns = data.shape[1];
    const std::int64_t extent = data.shape[2];
    const Shape at = lowering.type(index).shape;
    const std::int64_t words = extent + (beyond ? 1 : 0);
    const auto test = [&](const std::function<bool(std::int64_t)>& holds) {
        std::vector<Int128> bits;
        for (std::int64_t v = 0; v < words; ++v) {
            bits.push_back(holds(v) ? 1 : 0);
        }
        return core_reshaped(lowering, looked_up(lowering, index, 0, std::move(bits)),
                             {at[0], at[1], 1, 1});
    };
    const Shape row_shape = {rows, at[1], columns, 1};
    Value left = core_reshaped(lowering, x.value, {rows, 1, columns, extent});
    for (std::int64_t n = extent, level = 0; n > 1; n = (n + 1) / 2, ++level) {
        const Value bit = test([&](std::int64_t v) { return (v >> level & 1) != 0; });
        const Value even = sliced(lowering, left, 3, 0, 2, n / 2);
        const Value odd = sliced(lowering, left, 3, 1, 2, n / 2);
        Value next = lowering.core(select_operator, Attributes(), {bit, odd, even});
        if (n % 2 == 1) {
            const Value last =
                core_expanded(lowering, sliced(lowering, left, 3, n - 1, 1, 1), row_shape);
            next = lowering.core(concat_operator, Attributes::of(ConcatFields{3}), {next, last});
        }
        left = next;
    }
    if (extent == 1) {
        left = core_expanded(lowering, left, row_shape);
    }
    if (beyond) {
        const Value inside = test([&](std::int64_t v) { return v < extent; });
        left = lowering.core(multiply_operator, Attributes(), {inside, left});
    }
    Linear out;
    out.where = lowering.where();
    out.shape = {rows, at[1], columns};
    out.value = core_reshaped(lowering, left, out.shape);
    out.scale = x.scale;
    return lowering.real(out);
}

/// y[r, j, m] = data[r, m, index[r, j]]; index [rows or 1, positions] within the axis, or one
/// behind its end.
RealTensor read_rows(Lowering& lowering, const RealTensor& data, Value index, bool beyond) {
    return is_constant(data) ? read_constants(lowering, data.constant, index, beyond)
                             : read_computed(lowering, data, index, beyond);
}

std::int64_t product(const Shape& shape, std::int64_t begin, std::int64_t end) {
    return element_count(Shape(shape.begin() + static_cast<std::ptrdiff_t>(begin),
                               shape.begin() + static_cast<std::ptrdiff_t>(end)));
}

/// A read at constant positions is a move: what each element reads, in doubles, says from where.
/// False if the positions are computed.
bool lower_constant_read(Lowering& lowering, const Node& node) {
    if (!lowering.is_constant(node, 1)) {
        return false;
    }
    const RealTensor& x = lowering.input(node, 0);
    Tensor numbers{x.shape, {}};
    for (std::int64_t e = 0; e < element_count(x.shape); ++e) {
        numbers.values.push_back(static_cast<double>(e + 1));
    }
    const Tensor& index = lowering.input(node, 1).constant;
    const std::vector<const Tensor*> inputs = {&numbers, &index};
    const Tensor from = node.op->reference(node, inputs).front();
    IndexFields fields;
    fields.shape = from.shape;
    fields.index.shape = {element_count(from.shape)};
    std::vector<Rational> there;
    for (const double element : from.values) {
        fields.index.values.push_back(
            std::max<std::int64_t>(0, static_cast<std::int64_t>(element) - 1));
        there.emplace_back(element == 0 ? 0 : 1);
    }
    Node pick;
    pick.op = &index_operator;
    pick.attributes = Attributes::of(std::move(fields));
    lowering.set(lowering.affine(lowering.move(pick, {x}),
                                 PerElement<Rational>::each(std::move(there)), Rational(0)));
    return true;
}

/// x[.., axis, ..] as [.., rest] with the axis last; the permutation that does it.
Shape axis_last(std::size_t rank, std::int64_t axis) {
    Shape permutation;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(rank); ++i) {
        if (i != axis) {
            permutation.push_back(i);
        }
    }
    permutation.push_back(axis);
    return permutation;
}

Shape inverse(const Shape& permutation) {
    Shape out(permutation.size());
    for (std::size_t i = 0; i < permutation.size(); ++i) {
        out[static_cast<std::size_t>(permutation[i])] = static_cast<std::int64_t>(i);
    }
    return out;
}

/// Positions [..., depth] as positions of the axes joined to one, `total` where nothing lies there.
template <class Fields>
Value joined_positions(Lowering& lowering, const Fields& f, const RealTensor& index,
                       const Shape& extents, std::int64_t count) {
    const auto depth = static_cast<std::int64_t>(extents.size());
    const std::int64_t total = element_count(extents);
    const RealTensor rows = lowering.reshape(index, {count, depth});
    const auto strides = strides_of(extents);
    Value sum;
    for (std::int64_t d = 0; d < depth; ++d) {
        Node slice;
        slice.op = &slice_operator;
        slice.attributes = Attributes::of(SliceFields{{0, d}, {1, 1}, {count, 1}});
        const std::int64_t extent = extents[static_cast<std::size_t>(d)];
        const Value at = resolved(lowering, f, lowering.move(slice, {rows}), extent);
        std::vector<Int128> words;
        for (std::int64_t v = 0; v <= extent; ++v) {
            words.push_back(v == extent ? total : v * strides[static_cast<std::size_t>(d)]);
        }
        const Value part = looked_up(lowering, at, 0, std::move(words));
        sum = d == 0 ? part : lowering.core(add_operator, Attributes(), {sum, part});
    }
    // One that lies outside takes all outside.
    sum = lowering.core(clamp_operator, Attributes::of(ClampFields{Interval{0, total}}), {sum});
    return core_reshaped(lowering, sum, {1, count});
}

}  // namespace

void lower_gather(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<GatherFields>();
    if (lower_constant_read(lowering, node)) {
        return;
    }
    const RealTensor& x = lowering.input(node, 0);
    const RealTensor& index = lowering.input(node, 1);
    const auto rank = static_cast<std::int64_t>(x.shape.size());
    const std::int64_t extent = x.shape[static_cast<std::size_t>(f.axis)];
    const std::int64_t outer = product(x.shape, 0, f.axis);
    const std::int64_t inner = product(x.shape, f.axis + 1, rank);
    const std::int64_t count = element_count(index.shape);
    // data[1, (outer, inner), extent]
    RealTensor data = lowering.reshape(x, {outer, extent, inner});
    data = lowering.reshape(lowering.transpose(data, {0, 2, 1}), {1, outer * inner, extent});
    const Value at = core_reshaped(lowering, resolved(lowering, f, index, extent), {1, count});
    RealTensor y = read_rows(lowering, data, at, f.outside == "zero");
    y = lowering.reshape(y, {count, outer, inner});
    lowering.set(lowering.reshape(lowering.transpose(y, {1, 0, 2}), node.types.front().shape));
}

void lower_gather_elements(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<GatherElementsFields>();
    if (lower_constant_read(lowering, node)) {
        return;
    }
    RealTensor x = lowering.input(node, 0);
    const RealTensor& index = lowering.input(node, 1);
    const std::size_t rank = x.shape.size();
    const std::int64_t extent = x.shape[static_cast<std::size_t>(f.axis)];
    Shape sizes = index.shape;
    sizes[static_cast<std::size_t>(f.axis)] = extent;
    if (sizes != x.shape) {
        Node slice;
        slice.op = &slice_operator;
        slice.attributes = Attributes::of(SliceFields{Shape(rank, 0), Shape(rank, 1), sizes});
        x = lowering.move(slice, {x});
    }
    const Shape permutation = axis_last(rank, f.axis);
    const std::int64_t length = index.shape[static_cast<std::size_t>(f.axis)];
    const std::int64_t rows = extent == 0 ? 0 : element_count(sizes) / extent;
    const RealTensor data = lowering.reshape(lowering.transpose(x, permutation), {rows, 1, extent});
    const RealTensor positions =
        lowering.reshape(lowering.transpose(index, permutation), {rows, length});
    RealTensor y =
        read_rows(lowering, data, resolved(lowering, f, positions, extent), f.outside == "zero");
    Shape shape = index.shape;
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(f.axis));
    shape.push_back(length);
    lowering.set(lowering.transpose(lowering.reshape(y, shape), inverse(permutation)));
}

void lower_gather_nd(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<GatherNdFields>();
    if (lower_constant_read(lowering, node)) {
        return;
    }
    const RealTensor& x = lowering.input(node, 0);
    const RealTensor& index = lowering.input(node, 1);
    const auto rank = static_cast<std::int64_t>(x.shape.size());
    const std::int64_t depth = index.shape.back();
    const std::int64_t batches = product(x.shape, 0, f.batch);
    const Shape extents(x.shape.begin() + static_cast<std::ptrdiff_t>(f.batch),
                        x.shape.begin() + static_cast<std::ptrdiff_t>(f.batch + depth));
    const std::int64_t total = element_count(extents);
    const std::int64_t inner = product(x.shape, f.batch + depth, rank);
    const std::int64_t count = depth == 0 ? 0 : element_count(index.shape) / depth;
    if (count == 0 || batches == 0) {
        lowering.refuse(Code::not_in_circuit, "it reads at no positions", {});
    }
    Value at = joined_positions(lowering, f, index, extents, count);
    at = core_reshaped(lowering, at, {batches, count / batches});
    const RealTensor data =
        lowering.transpose(lowering.reshape(x, {batches, total, inner}), {0, 2, 1});
    const RealTensor y = read_rows(lowering, data, at, true);
    lowering.set(lowering.reshape(y, node.types.front().shape));
}

void lower_scatter(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<ScatterFields>();
    const RealTensor& index = lowering.input(node, 1);
    Shape shape = node.types.front().shape;
    const std::size_t rank = shape.size();
    if (f.reduction == "mean" || (!f.include_self && f.reduction != "none")) {
        lowering.refuse(Code::not_in_circuit,
                        "it writes means, or leaves out what was there before",
                        "Use --float to compute the model on real numbers.");
    }
    if (element_count(index.shape) == 0) {
        lowering.set(expanded(lowering, lowering.input(node, 0), shape));
        return;
    }
    // y[r, p] of updates[r, j] at positions[r or 1, j].
    RealTensor y = expanded(lowering, lowering.input(node, 0), shape);
    RealTensor updates = lowering.input(node, 2);
    Value at;
    std::int64_t extent = 0;
    Shape permutation;
    const auto number = [&](const RealTensor& positions) {
        return is_constant(positions) ? lowering.real(lowering.linear(positions)) : positions;
    };
    if (f.kind == "elements") {
        extent = shape[static_cast<std::size_t>(f.axis)];
        Shape rows = index.shape;
        rows[static_cast<std::size_t>(f.axis)] = extent;
        if (rows != shape) {
            lowering.refuse(Code::not_in_circuit, "its updates leave out a part of the other axes",
                            "Slice the tensor before this layer and join it again.");
        }
        permutation = axis_last(rank, f.axis);
        const std::int64_t length = index.shape[static_cast<std::size_t>(f.axis)];
        const std::int64_t count = element_count(index.shape) / length;
        const RealTensor positions =
            lowering.reshape(lowering.transpose(index, permutation), {count, length});
        at = resolved(lowering, f, number(positions), extent);
        y = lowering.reshape(lowering.transpose(y, permutation), {count, extent});
        updates = lowering.reshape(lowering.transpose(updates, permutation), {count, length});
    } else {
        const std::int64_t depth = index.shape.back();
        if (depth == 0) {
            lowering.refuse(Code::not_in_circuit, "its positions have no coordinates", {});
        }
        const Shape extents(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(depth));
        const std::int64_t count = element_count(index.shape) / depth;
        extent = element_count(extents);
        const std::int64_t inner = element_count(shape) / std::max<std::int64_t>(1, extent);
        at = joined_positions(lowering, f, number(index), extents, count);
        y = lowering.transpose(lowering.reshape(y, {extent, inner}), {1, 0});
        updates = lowering.transpose(lowering.reshape(updates, {count, inner}), {1, 0});
    }
    const std::int64_t rows = y.shape[0];
    const std::int64_t length = updates.shape[1];
    FixedConstantFields numbers;
    numbers.value.shape = {1, extent};
    for (std::int64_t p = 0; p < extent; ++p) {
        numbers.value.values.push_back(p);
    }
    const Value places =
        lowering.core(fixed_constant_operator, Attributes::of(std::move(numbers)), {});
    for (std::int64_t j = 0; j < length; ++j) {
        const Value hit =
            lowering.core(equal_operator, Attributes(), {sliced(lowering, at, 1, j, 1, 1), places});
        Node slice;
        slice.op = &slice_operator;
        slice.attributes = Attributes::of(SliceFields{{0, j}, {1, 1}, {rows, 1}});
        const RealTensor update = expanded(lowering, lowering.move(slice, {updates}), y.shape);
        RealTensor written = update;
        if (f.reduction != "none") {
            const std::string_view function = f.reduction == "sum"    ? "sum"
                                              : f.reduction == "prod" ? "product"
                                              : f.reduction == "max"  ? "larger"
                                                                      : "smaller";
            written = merged(lowering, function, y, update, y.shape);
        }
        const auto pair = lowering.common({written, y}, false);
        Linear next = pair[0];
        next.where = lowering.where();
        next.value =
            lowering.core(select_operator, Attributes(), {hit, pair[0].value, pair[1].value});
        y = lowering.real(next);
    }
    if (f.kind == "elements") {
        Shape moved;
        for (const std::int64_t axis : permutation) {
            moved.push_back(shape[static_cast<std::size_t>(axis)]);
        }
        lowering.set(lowering.transpose(lowering.reshape(y, moved), inverse(permutation)));
    } else {
        lowering.set(lowering.reshape(lowering.transpose(y, {1, 0}), shape));
    }
}

void lower_cumulative(Lowering& lowering, const Node& node) {
    const auto& f = node.fields<CumulativeFields>();
    const Shape& shape = node.types.front().shape;
    const Shape permutation = axis_last(shape.size(), f.axis);
    const std::int64_t length = shape[static_cast<std::size_t>(f.axis)];
    if (f.kind == "log_sum_exp" || length == 0) {
        lowering.refuse(Code::not_in_circuit, "it sums exponentials",
                        "Use --float to compute the model on real numbers.");
    }
    RealTensor rows = lowering.transpose(lowering.input(node, 0), permutation);
    const Shape row_shape = rows.shape;
    rows = lowering.reshape(rows, {element_count(shape) / length, length});
    const auto finish = [&](const RealTensor& y, std::size_t output) {
        lowering.set(lowering.transpose(lowering.reshape(y, row_shape), inverse(permutation)),
                     output);
    };
    if (f.kind == "sum") {
        Tensor ones = Tensor::filled({1, length, length}, 0);
        for (std::int64_t i = 0; i < length; ++i) {
            for (std::int64_t o = 0; o < length; ++o) {
                const bool counts = (f.reverse ? i > o : i < o) || (i == o && !f.exclusive);
                ones.values[static_cast<std::size_t>(i * length + o)] = counts ? 1 : 0;
            }
        }
        finish(lowering.contract(rows, ones), 0);
        return;
    }
    const auto column = [&](std::int64_t i) {
        Node slice;
        slice.op = &slice_operator;
        slice.attributes = Attributes::of(SliceFields{{0, i}, {1, 1}, {rows.shape[0], 1}});
        return lowering.move(slice, {rows});
    };
    const auto constant = [&](std::int64_t value) {
        RealTensor x;
        x.shape = {rows.shape[0], 1};
        x.constant = Tensor::filled(x.shape, static_cast<double>(value));
        return x;
    };
    std::vector<RealTensor> values(static_cast<std::size_t>(length));
    std::vector<RealTensor> positions(static_cast<std::size_t>(length));
    RealTensor so_far = constant(1);
    RealTensor found;
    for (std::int64_t k = 0; k < length; ++k) {
        const std::int64_t i = f.reverse ? length - 1 - k : k;
        const RealTensor x = column(i);
        if (f.exclusive) {
            values[static_cast<std::size_t>(i)] = so_far;
        }
        if (f.kind == "prod") {
            so_far = merged(lowering, "product", so_far, x, x.shape);
        } else if (k == 0) {
            so_far = x;
            found = constant(i);
        } else {
            const RealTensor later =
                compared(lowering, f.kind == "max" ? "greater_equal" : "less_equal", x, so_far);
            so_far = lowering.real(lowering.linear(
                merged(lowering, f.kind == "max" ? "larger" : "smaller", so_far, x, x.shape)));
            const auto both = lowering.common({constant(i), found}, false);
            Linear place = both[0];
            place.value =
                lowering.core(select_operator, Attributes(),
                              {lowering.integers(later).value, both[0].value, both[1].value});
            found = lowering.real(place);
        }
        if (!f.exclusive) {
            values[static_cast<std::size_t>(i)] = so_far;
        }
        positions[static_cast<std::size_t>(i)] = found;
    }
    Node concat;
    concat.op = &concat_operator;
    concat.attributes = Attributes::of(ConcatFields{1});
    finish(lowering.move(concat, values), 0);
    if (f.kind != "prod") {
        finish(lowering.move(concat, positions), 1);
    }
}

}  // namespace gatewright::operators
