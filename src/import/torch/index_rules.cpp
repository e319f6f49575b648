// Reading and writing at positions that are constants or computed.

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/torch/parts.h"
#include "import/torch/rules.h"
#include "import/torch/samples.h"
#include "operators/layers.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

void index_select(Call& call) {
    const Operand x = call.operand("self");
    Operand index = call.operand("index");
    index.is_integer = false;
    const std::int64_t axis = call.axis(x, call.integer("dim"));
    if (index.rank() == 0) {
        index = call.reshaped(index, {1}, -1);
    }
    if (index.batch_axis >= 0) {
        throw BatchMixed();
    }
    call.set(gathered(call, x, axis, index, false));
}

void embedding(Call& call) {
    const Operand weight = call.operand("weight");
    Operand index = call.operand("indices");
    index.is_integer = false;
    call.ignore("padding_idx");  // its row is an ordinary one; training leaves it alone
    if (weight.batch_axis >= 0 || weight.rank() != 2) {
        throw BatchMixed();
    }
    const GatherFields fields{0, false, "error"};
    call.set(call.emit(gather_operator, Attributes::of(fields), {weight, index}, index.batch_axis)
                 .front());
}

/// x[.., index[..], ..]: operands that have the same axes.
std::vector<Operand> aligned(Call& call, std::vector<Operand> xs) {
    int batch_axis = -1;
    for (const Operand& x : xs) {
        batch_axis = std::max(batch_axis, x.batch_axis);
    }
    for (Operand& x : xs) {
        if (batch_axis < 0 || x.batch_axis == batch_axis) {
            continue;
        }
        // The same for every sample, if it says so by an extent of 1.
        Shape shape = x.sample_shape();
        if (x.batch_axis >= 0 || static_cast<int>(shape.size()) <= batch_axis ||
            shape[static_cast<std::size_t>(batch_axis)] != 1) {
            throw BatchMixed();
        }
        shape.erase(shape.begin() + batch_axis);
        x = call.reshaped(x, shape, -1);
    }
    return xs;
}

int batch_axis_of(const std::vector<Operand>& xs) {
    int batch_axis = -1;
    for (const Operand& x : xs) {
        batch_axis = std::max(batch_axis, x.batch_axis);
    }
    return batch_axis;
}

std::int64_t common_axis(Call& call, const std::vector<Operand>& xs, std::int64_t dim) {
    Operand like = xs.front();
    const int batch_axis = batch_axis_of(xs);
    if (like.batch_axis < 0 && batch_axis >= 0) {
        like.is_constant = false;
        like.shape = xs.front().sample_shape();
        like.batch_axis = batch_axis;
    }
    return call.axis(like, dim);
}

void gather(Call& call) {
    Operand index = call.operand("index");
    index.is_integer = false;
    const std::vector<Operand> xs = aligned(call, {call.operand("self"), index});
    const GatherElementsFields fields{common_axis(call, xs, call.integer("dim")), false, "error"};
    call.set(
        call.emit(gather_elements_operator, Attributes::of(fields), xs, batch_axis_of(xs)).front());
}

/// Like gather, but the other axes broadcast.
void take_along_dim(Call& call) {
    Operand x = call.operand("self");
    Operand index = call.operand("indices");
    index.is_integer = false;
    if (!call.has("dim")) {
        if (x.batch_axis >= 0 || index.batch_axis >= 0) {
            throw BatchMixed();
        }
        x = call.reshaped(x, {element_count(x.sample_shape())}, -1);
        call.set(gathered(call, x, 0,
                          call.reshaped(index, {element_count(index.sample_shape())}, -1), true));
        return;
    }
    std::vector<Operand> xs = aligned(call, {x, index});
    const std::int64_t axis = common_axis(call, xs, call.integer("dim"));
    const auto a = static_cast<std::size_t>(axis);
    Shape first = xs[0].sample_shape();
    Shape second = xs[1].sample_shape();
    if (first.size() != second.size()) {
        call.refuse("its positions have other axes than its input", {}, "indices");
    }
    std::swap(first[a], second[a]);
    for (std::size_t i = 0; i < first.size(); ++i) {
        if (i != a && first[i] != second[i] && first[i] != 1 && second[i] != 1) {
            call.refuse("its positions do not broadcast to its input", {}, "indices");
        }
        if (i != a) {
            first[i] = second[i] = first[i] == 1 ? second[i] : first[i];
        }
    }
    std::swap(first[a], second[a]);
    const int batch_axis = batch_axis_of(xs);
    const GatherElementsFields fields{axis, true, "error"};
    call.set(call.emit(gather_elements_operator, Attributes::of(fields),
                       {call.expanded(xs[0], first), call.expanded(xs[1], second)}, batch_axis)
                 .front());
}

void scatter_with(Call& call, const Operand& source, ScatterFields fields) {
    Operand index = call.operand("index");
    index.is_integer = false;
    const Operand self = call.operand("self");
    std::vector<Operand> xs = aligned(call, {self, index, source});
    fields.axis = common_axis(call, xs, call.integer("dim"));
    // Updates beyond the index are not used.
    const Shape& wanted = xs[1].sample_shape();
    if (wanted.size() != xs[2].sample_shape().size()) {
        call.refuse("its source has other axes than its positions", {}, "src");
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (xs[2].sample_shape()[i] < wanted[i]) {
            call.refuse("its source is smaller than its positions", {}, "src");
        }
        xs[2] = call.sliced(xs[2], static_cast<std::int64_t>(i), 0, wanted[i]);
    }
    call.set(call.emit(scatter_operator, Attributes::of(fields), xs, batch_axis_of(xs)).front());
}

/// One number for every position.
Operand spread(Call& call, const Operand& number) {
    const Operand index = call.operand("index");
    Shape shape = index.sample_shape();
    if (number.is_constant) {
        if (index.batch_axis >= 0) {
            shape.insert(shape.begin() + index.batch_axis, 1);
        }
        return Call::tensor(Tensor::filled(shape, number.constant.values.at(0)));
    }
    return call.expanded(number, shape);
}

void scatter(Call& call) {
    ScatterFields fields;
    if (call.has("reduce")) {
        const std::string reduce = call.text("reduce");
        call.demand(reduce == "add" || reduce == "multiply", "reduce",
                    fmt::format("there is no reduction '{}'", reduce));
        fields.reduction = reduce == "add" ? "sum" : "prod";
    }
    const Operand source =
        call.has("src") ? call.operand("src") : spread(call, call.operand("value"));
    scatter_with(call, source, fields);
}

void scatter_add(Call& call) {
    ScatterFields fields;
    fields.reduction = "sum";
    scatter_with(call, call.operand("src"), fields);
}

void scatter_reduce(Call& call) {
    const std::pair<const char*, const char*> kinds[] = {
        {"sum", "sum"}, {"prod", "prod"}, {"mean", "mean"}, {"amax", "max"}, {"amin", "min"}};
    const std::string reduce = call.text("reduce");
    ScatterFields fields;
    fields.reduction = "";
    for (const auto& [name, kind] : kinds) {
        if (reduce == name) {
            fields.reduction = kind;
        }
    }
    call.demand(!fields.reduction.empty(), "reduce",
                fmt::format("there is no reduction '{}'", reduce));
    call.demand(fields.reduction != "mean" || !is_integral(call.result_type()), "reduce",
                "means of integers are rounded");
    fields.include_self = call.flag("include_self", true);
    scatter_with(call, call.operand("src"), fields);
}

/// Slices of self along an axis replaced by (or added to) those of a source.
void index_into(Call& call, const char* source_name, const char* reduction) {
    const Operand self = call.operand("self");
    Operand index = call.operand("index");
    index.is_integer = false;
    Operand source = call.operand(source_name);
    const double alpha = call.real("alpha", 1);
    if (alpha != 1) {
        source = call.multiply(source, Call::number(alpha));
    }
    ScatterFields fields;
    fields.reduction = reduction;
    fields.include_self = call.flag("include_self", true);
    const std::vector<Operand> both = aligned(call, {self, source});
    fields.axis = common_axis(call, both, call.integer("dim"));
    if (index.batch_axis >= 0 || index.sample_shape().size() > 1) {
        throw BatchMixed();
    }
    // The positions, repeated for all other axes.
    Shape shape = both[1].sample_shape();
    Shape column(shape.size(), 1);
    column[static_cast<std::size_t>(fields.axis)] = element_count(index.sample_shape());
    index = call.expanded(call.reshaped(index, column, -1), shape);
    call.set(call.emit(scatter_operator, Attributes::of(fields), {both[0], index, both[1]},
                       batch_axis_of(both))
                 .front());
}

void index_copy(Call& call) {
    index_into(call, "source", "none");
}

void index_reduce(Call& call) {
    const std::string reduce = call.text("reduce");
    call.demand(reduce == "prod" || reduce == "amax" || reduce == "amin" || reduce == "mean",
                "reduce", fmt::format("there is no reduction '{}'", reduce));
    index_into(call, "source",
               reduce == "amax" ? "max" : (reduce == "amin" ? "min" : reduce.c_str()));
}

void index_fill(Call& call) {
    const Operand self = call.operand("self");
    const Operand value = call.operand("value");
    const Tensor index = call.constant("index");
    const std::int64_t axis = call.axis(self, call.integer("dim"));
    const auto a = static_cast<std::size_t>(axis);
    Shape shape(self.sample_shape().size(), 1);
    const std::int64_t extent = self.sample_shape()[a];
    shape[a] = extent;
    Tensor mask = Tensor::filled(shape, 0);
    for (const double at : index.values) {
        const double position = at < 0 ? at + static_cast<double>(extent) : at;
        call.demand(position >= 0 && position < static_cast<double>(extent), "index",
                    fmt::format("position {} lies outside", at));
        mask.values[static_cast<std::size_t>(position)] = 1;
    }
    if (self.batch_axis >= 0) {
        mask.shape.insert(mask.shape.begin() + self.batch_axis, 1);
    }
    call.set(call.elementwise(select_operator, Attributes(),
                              {Call::tensor(std::move(mask)), value, self}));
}

/// Part of an axis replaced: positions begin, begin + step, ...
Operand with_part(Call& call, const Operand& self, const Operand& part, std::int64_t axis,
                  std::int64_t begin, std::int64_t step, std::int64_t count) {
    const std::vector<Operand> both = aligned(call, {self, part});
    const std::int64_t extent = both[0].sample_shape()[static_cast<std::size_t>(axis)];
    // What each position of the result is, taken from both joined.
    Tensor index{{extent}, {}};
    for (std::int64_t i = 0; i < extent; ++i) {
        const std::int64_t off = i - begin;
        const bool replaced = off >= 0 && off % step == 0 && off / step < count;
        index.values.push_back(static_cast<double>(replaced ? extent + off / step : i));
    }
    Operand joined = call.concatenated(both, axis);
    joined.batch_axis = batch_axis_of(both);
    const int batch_axis = joined.batch_axis;
    Operand y = gathered(call, joined, axis, Call::tensor(std::move(index)), false);
    y.batch_axis = y.is_constant ? -1 : batch_axis;
    return y;
}

void slice_scatter(Call& call) {
    const Operand self = call.operand("self");
    const Operand source = call.operand("src");
    const std::int64_t dim = call.normalised(call.integer("dim", 0), self.rank());
    const std::int64_t step = call.integer("step", 1);
    call.demand(step >= 1, "step", "it is not positive");
    if (dim == self.batch_axis) {
        if (!whole_batch(call) || step != 1 || source.batch_axis != dim) {
            throw BatchMixed();
        }
        call.set(source);  // all of it
        return;
    }
    const std::int64_t axis = call.axis(self, dim);
    const std::int64_t extent = self.sample_shape()[static_cast<std::size_t>(axis)];
    std::int64_t begin = call.integer("start", 0);
    std::int64_t end = call.integer("end", INT64_MAX);
    begin = std::clamp<std::int64_t>(begin < 0 ? begin + extent : begin, 0, extent);
    end = std::clamp<std::int64_t>(end < 0 ? end + extent : end, begin, extent);
    call.set(with_part(call, self, source, axis, begin, step, (end - begin + step - 1) / step));
}

void select_scatter(Call& call) {
    const Operand self = call.operand("self");
    Operand source = call.operand("src");
    const std::int64_t dim = call.normalised(call.integer("dim"), self.rank());
    const std::int64_t axis = call.axis(self, dim);
    const std::int64_t extent = self.sample_shape()[static_cast<std::size_t>(axis)];
    std::int64_t at = call.integer("index");
    at = at < 0 ? at + extent : at;
    call.demand(at >= 0 && at < extent, "index", "it lies outside");
    Shape shape = source.sample_shape();
    if (source.batch_axis >= 0 || self.batch_axis < 0) {
        if (axis > static_cast<std::int64_t>(shape.size())) {
            call.refuse("its source has too few axes", {}, "src");
        }
        shape.insert(shape.begin() + axis, 1);
        source = call.reshaped(source, shape, source.batch_axis >= 0 ? self.batch_axis : -1);
    } else {
        throw BatchMixed();
    }
    call.set(with_part(call, self, source, axis, at, 1, 1));
}

void take(Call& call) {
    const Operand x = call.operand("self");
    Operand index = call.operand("index");
    index.is_integer = false;
    if (x.batch_axis >= 0 || index.batch_axis >= 0) {
        throw BatchMixed();
    }
    call.set(
        gathered(call, call.reshaped(x, {element_count(x.sample_shape())}, -1), 0, index, true));
}

void one_hot(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t classes = call.integer("num_classes", -1);
    call.demand(classes > 0 && classes < 1 << 24, "num_classes", "it is not fixed",
                "Give num_classes.");
    Shape shape = x.sample_shape();
    shape.push_back(1);
    Operand column = call.reshaped(x, shape, x.batch_axis);
    column.is_integer = false;
    Tensor numbers{{classes}, {}};
    for (std::int64_t i = 0; i < classes; ++i) {
        numbers.values.push_back(static_cast<double>(i));
    }
    call.set(call.elementwise(join_operator, Attributes::of(JoinFields{"equal"}),
                              {column, Call::tensor(std::move(numbers))}));
}

const RuleRow rows[] = {
    {"aten.index_select", "default", &index_select},
    {"aten.embedding", "default", &embedding},
    {"aten.gather", "default", &gather},
    {"aten.take_along_dim", "default", &take_along_dim},
    {"aten.take", "default", &take},
    {"aten.scatter", "src value reduce value_reduce", &scatter},
    {"aten.scatter_add", "default", &scatter_add},
    {"aten.scatter_reduce", "two", &scatter_reduce},
    {"aten.index_add", "default", [](Call& c) { index_into(c, "source", "sum"); }},
    {"aten.index_copy", "default", &index_copy},
    {"aten.index_reduce", "default", &index_reduce},
    {"aten.index_fill", "int_Scalar int_Tensor", &index_fill},
    {"aten.slice_scatter", "default", &slice_scatter},
    {"aten.select_scatter", "default", &select_scatter},
    {"aten.one_hot", "default", &one_hot},
};

}  // namespace

Operand gathered(Call& call, const Operand& x, std::int64_t axis, const Operand& index, bool wrap) {
    if (x.batch_axis >= 0 && index.batch_axis >= 0) {
        throw BatchMixed();
    }
    // A batch axis of the index stands in the place of the axis it replaces.
    const auto place = static_cast<int>(index.rank());
    int batch_axis = x.batch_axis;
    if (x.batch_axis >= 0 && x.batch_axis > axis) {
        batch_axis = x.batch_axis + place - 1;
    } else if (index.batch_axis >= 0) {
        batch_axis = static_cast<int>(axis) + index.batch_axis;
    }
    if (!index.is_constant || x.is_constant) {
        const GatherFields fields{axis, wrap, "error"};
        return call.emit(gather_operator, Attributes::of(fields), {x, index}, batch_axis).front();
    }
    const Shape& from = x.sample_shape();
    const auto a = static_cast<std::size_t>(axis);
    Shape shape(from.begin(), from.begin() + axis);
    shape.insert(shape.end(), index.constant.shape.begin(), index.constant.shape.end());
    shape.insert(shape.end(), from.begin() + axis + 1, from.end());
    const std::int64_t inner = strides_of(from)[a];
    const std::int64_t outer = from[a] == 0 ? 0 : element_count(from) / (inner * from[a]);
    std::vector<std::int64_t> positions;
    for (std::int64_t o = 0; o < outer; ++o) {
        for (const double value : index.constant.values) {
            auto at = static_cast<std::int64_t>(value);
            at += wrap && at < 0 ? from[a] : 0;
            if (at < 0 || at >= from[a]) {
                call.refuse(
                    fmt::format("position {} lies outside an extent of {}", value, from[a]));
            }
            for (std::int64_t k = 0; k < inner; ++k) {
                positions.push_back((o * from[a] + at) * inner + k);
            }
        }
    }
    return indexed(call, x, shape, std::move(positions), batch_axis);
}

std::span<const RuleRow> index_rules() {
    return rows;
}

}  // namespace gatewright::torch
