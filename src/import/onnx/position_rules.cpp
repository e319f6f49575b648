// Operators that read, write, order or count by positions.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "import/layers/sample.h"
#include "import/onnx/rules.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

/// 0, 1, 2, ... in a shape.
Operand numbered(const Shape& shape, std::int64_t first = 0) {
    Operand out;
    out.is_constant = true;
    out.is_integer = true;
    out.constant = Tensor::filled(shape, 0);
    std::iota(out.constant.values.begin(), out.constant.values.end(), static_cast<double>(first));
    return out;
}

/// y[e] = x[index[e]] by elements of x.
Operand moved(Call& call, const Operand& x, const Tensor& index, int batch_axis) {
    IndexFields fields;
    fields.shape = index.shape;
    for (const double value : index.values) {
        fields.index.values.push_back(static_cast<std::int64_t>(value));
    }
    fields.index.shape = {static_cast<std::int64_t>(index.values.size())};
    return call.emit(index_operator, Attributes::of(std::move(fields)), {x}, batch_axis).front();
}

/// A reading operator of x and positions: if these are constant it is a move.
Operand read_at(Call& call, const Operator& op, const Attributes& attributes, const Operand& x,
                Operand index, int batch_axis) {
    if (!index.is_constant || x.is_constant) {
        return call.emit(op, attributes, {x, index}, batch_axis, true).front();
    }
    index.is_integer = true;
    const Operand from =
        call.emit(op, attributes, {numbered(x.sample_shape()), index}, -1, true).front();
    return moved(call, x, from.constant, batch_axis);
}

void gather(Call& call) {
    const Operand& x = call.operand(0);
    const Operand& index = call.operand(1);
    const std::int64_t axis = call.axis(x, call.integer("axis", 0));
    int batch_axis = -1;
    if (x.batch_axis >= 0) {
        if (index.batch_axis >= 0) {
            throw BatchMixed();  // each sample would read all samples
        }
        batch_axis = x.batch_axis <= axis
                         ? x.batch_axis
                         : x.batch_axis + static_cast<int>(index.sample_shape().size()) - 1;
    } else if (index.batch_axis >= 0) {
        batch_axis = static_cast<int>(axis) + index.batch_axis;
    }
    call.set(read_at(call, gather_operator, Attributes::of(GatherFields{axis, true, "error"}), x,
                     index, batch_axis));
}

/// The operands of an operator whose operands all have the samples along one axis.
std::vector<Operand> alike(Call& call, std::size_t count) {
    int batch_axis = -1;
    for (std::size_t i = 0; i < count; ++i) {
        batch_axis = std::max(batch_axis, call.operand(i).batch_axis);
    }
    std::vector<Operand> out;
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(call.per_sample(call.operand(i), batch_axis));
    }
    return out;
}

int batch_axis_of(const std::vector<Operand>& xs) {
    int out = -1;
    for (const Operand& x : xs) {
        out = std::max(out, x.batch_axis);
    }
    return out;
}

/// An axis of the file's shape, whose batch axis stands at `batch_axis`, as a sample has it.
std::int64_t sample_axis(Call& call, std::int64_t file_axis, std::int64_t sample_rank,
                         int batch_axis) {
    const std::int64_t rank = sample_rank + (batch_axis >= 0 ? 1 : 0);
    const std::int64_t axis = call.normalised(file_axis, rank);
    if (axis == batch_axis) {
        throw BatchMixed();
    }
    return batch_axis >= 0 && axis > batch_axis ? axis - 1 : axis;
}

void gather_elements(Call& call) {
    const std::vector<Operand> xs = alike(call, 2);
    const int batch_axis = batch_axis_of(xs);
    const std::int64_t axis =
        sample_axis(call, call.integer("axis", 0),
                    static_cast<std::int64_t>(xs[0].sample_shape().size()), batch_axis);
    call.set(read_at(call, gather_elements_operator,
                     Attributes::of(GatherElementsFields{axis, true, "error"}), xs[0], xs[1],
                     batch_axis));
}

void gather_nd(Call& call) {
    std::int64_t batch = call.integer("batch_dims", 0);
    Operand x = call.operand(0);
    Operand index = call.operand(1);
    int batch_axis = -1;
    if (x.batch_axis >= 0 || index.batch_axis >= 0) {
        if (batch > 0) {
            const std::vector<Operand> xs = alike(call, 2);
            x = xs[0];
            index = xs[1];
            if (batch_axis_of(xs) != 0) {
                throw BatchMixed();
            }
            --batch;
        } else if (x.batch_axis >= 0 || index.batch_axis != 0 || index.rank() < 2) {
            throw BatchMixed();
        }
        batch_axis = 0;
    }
    call.set(read_at(call, gather_nd_operator, Attributes::of(GatherNdFields{batch, true, "error"}),
                     x, index, batch_axis));
}

std::string reduction_of(Call& call) {
    const std::string given = call.text("reduction", "none");
    if (given != "none" && given != "add" && given != "mul" && given != "max" && given != "min") {
        call.refuse(fmt::format("there is no reduction {}", given), {}, "reduction");
    }
    return given == "add" ? "sum" : (given == "mul" ? "prod" : given);
}

/// Writing at constant positions without a reduction copies elements of x or of the updates.
Operand written(Call& call, const ScatterFields& fields, const std::vector<Operand>& xs,
                int batch_axis) {
    const Attributes attributes = Attributes::of(fields);
    const bool moves = xs[1].is_constant && fields.reduction == "none" &&
                       !(xs[0].is_constant && xs[2].is_constant);
    if (!moves) {
        return call.emit(scatter_operator, attributes, xs, batch_axis, true).front();
    }
    const std::int64_t own = element_count(xs[0].sample_shape());
    Operand index = xs[1];
    index.is_integer = true;
    const Operand from =
        call.emit(scatter_operator, attributes,
                  {numbered(xs[0].sample_shape()), index, numbered(xs[2].sample_shape(), own)}, -1,
                  true)
            .front();
    const int front = batch_axis >= 0 ? 0 : -1;
    const Operand both =
        call.concatenated({call.reshaped(xs[0], {own}, front),
                           call.reshaped(xs[2], {element_count(xs[2].sample_shape())}, front)},
                          0);
    return moved(call, both, from.constant, batch_axis);
}

void scatter_elements(Call& call) {
    const std::vector<Operand> xs = alike(call, 3);
    const int batch_axis = batch_axis_of(xs);
    ScatterFields fields;
    fields.axis = sample_axis(call, call.integer("axis", 0),
                              static_cast<std::int64_t>(xs[0].sample_shape().size()), batch_axis);
    fields.reduction = reduction_of(call);
    fields.wrap = true;
    call.set(written(call, fields, xs, batch_axis));
}

void scatter_nd(Call& call) {
    const std::vector<Operand> xs = {call.operand(0), call.operand(1), call.operand(2)};
    if (batch_axis_of(xs) >= 0) {
        throw BatchMixed();  // its positions begin with the first axis
    }
    ScatterFields fields;
    fields.kind = "nd";
    fields.reduction = reduction_of(call);
    fields.wrap = true;
    call.set(written(call, fields, xs, -1));
}

void cumulative(Call& call, const char* kind) {
    const Operand& x = call.operand(0);
    const std::vector<std::int64_t> axis = call.integers(1, "axis");
    if (axis.size() != 1) {
        call.refuse("its axis is not one number");
    }
    CumulativeFields fields;
    fields.kind = kind;
    fields.axis = call.axis(x, axis.front());
    fields.exclusive = call.integer("exclusive", 0) != 0;
    fields.reverse = call.integer("reverse", 0) != 0;
    call.set(call.emit(cumulative_operator, Attributes::of(fields), {x}, x.batch_axis).front());
}

/// x with a new axis of extent 1 at `axis`, a place in the file's shape.
Operand with_axis(Call& call, const Operand& x, std::int64_t axis) {
    Shape shape = x.sample_shape();
    int batch_axis = x.batch_axis;
    std::int64_t at = axis;
    if (batch_axis >= 0) {
        at = axis <= batch_axis ? axis : axis - 1;
        batch_axis += axis <= batch_axis ? 1 : 0;
    }
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(at), 1);
    return call.reshaped(x, std::move(shape), batch_axis);
}

/// 1 where x[..., 1, ...] equals one of `depth` numbers from `first` on, along an axis of the
/// file's shape that has extent 1 in x.
Operand equals_along(Call& call, const Operand& x, std::int64_t axis, std::int64_t depth,
                     double first) {
    Shape shape(static_cast<std::size_t>(x.rank()), 1);
    shape[static_cast<std::size_t>(axis)] = depth;
    Tensor numbers = Tensor::filled(shape, 0);
    std::iota(numbers.values.begin(), numbers.values.end(), first);
    return call.elementwise(join_operator, Attributes::of(JoinFields{"equal"}),
                            {x, Call::tensor(std::move(numbers))}, true);
}

void one_hot(Call& call) {
    const Operand& x = call.operand(0);
    const std::vector<std::int64_t> depths = call.integers(1, "depth");
    const Tensor& values = call.constant(2, "values");
    if (depths.size() != 1 || depths[0] < 1 || depths[0] > 1 << 20 || values.values.size() != 2) {
        call.refuse("its depth is not one positive number, or its values are not two");
    }
    const std::int64_t axis = call.normalised(call.integer("axis", -1), x.rank() + 1);
    Operand index = with_axis(call, x, axis);
    if (!is_integer(call.type(0))) {
        index = call.function("truncate", index);
    }
    // Negative positions count from the end.
    const std::int64_t depth = depths[0];
    const Operand hit =
        call.add(equals_along(call, index, axis, depth, 0),
                 equals_along(call, index, axis, depth, -static_cast<double>(depth)));
    const double off = values.values[0];
    call.set(
        call.function("affine", hit, {Call::number(values.values[1] - off), Call::number(off)}));
    call.set_type(call.type(2));
}

/// 1 at the first largest element along an axis, else 0.
void hardmax(Call& call) {
    Operand x = call.operand(0);
    const Shape shape = x.sample_shape();
    const int batch_axis = x.batch_axis;
    std::int64_t axis = 0;
    if (call.opset() >= 13) {
        axis = call.axis(x, call.integer("axis", -1));
    } else {
        // Before opset 13: over all axes from `axis` on, joined.
        const std::int64_t from = call.normalised(call.integer("axis", 1), x.rank());
        if (batch_axis > 0 || (batch_axis == 0 && from == 0)) {
            throw BatchMixed();
        }
        axis = batch_axis == 0 ? from - 1 : from;
        Shape joined(shape.begin(), shape.begin() + axis);
        joined.push_back(element_count(Shape(shape.begin() + axis, shape.end())));
        x = call.reshaped(x, joined, batch_axis);
    }
    const Operand at =
        call.emit(argmax_operator, Attributes::of(ArgLayerFields{axis, true, false, false}),
                  {layers::in_front(x)}, x.batch_axis >= 0 ? 0 : -1)
            .front();
    const std::int64_t file_axis = axis + (at.batch_axis >= 0 ? 1 : 0);
    const Operand y =
        equals_along(call, at, file_axis, x.sample_shape()[static_cast<std::size_t>(axis)], 0);
    call.set(call.reshaped(y, shape, batch_axis));
}

void tile(Call& call) {
    const Operand& x = call.operand(0);
    if (call.opset() < 6) {
        call.refuse("before opset 6 it repeats one axis", "Convert the model to opset 6 or newer.");
    }
    std::vector<std::int64_t> repeats = call.integers(1, "repeats");
    if (static_cast<std::int64_t>(repeats.size()) != x.rank()) {
        call.refuse(fmt::format("it has {} repeats for {} axes", repeats.size(), x.rank()));
    }
    if (x.batch_axis >= 0) {
        if (repeats[static_cast<std::size_t>(x.batch_axis)] != 1) {
            throw BatchMixed();
        }
        repeats.erase(repeats.begin() + x.batch_axis);
    }
    Operand y = x;
    for (std::size_t i = 0; i < repeats.size(); ++i) {
        if (repeats[i] < 1 || repeats[i] > 1 << 20) {
            call.refuse(fmt::format("it repeats an axis {} times", repeats[i]));
        }
        if (repeats[i] == 1) {
            continue;
        }
        Shape shape = y.sample_shape();
        Shape wide = shape;
        wide.insert(wide.begin() + static_cast<std::ptrdiff_t>(i), 1);
        const Operand column = call.reshaped(layers::in_front(y), wide, x.batch_axis >= 0 ? 0 : -1);
        wide[i] = repeats[i];
        shape[i] *= repeats[i];
        if (!checked_element_count(wide) || *checked_element_count(wide) > 1 << 26) {
            call.refuse("its result has too many elements");
        }
        y = call.reshaped(call.expanded(column, wide), shape, x.batch_axis);
    }
    call.set(y);
}

void trilu(Call& call) {
    const Operand& x = call.operand(0);
    const std::int64_t rank = x.rank();
    if (rank < 2) {
        call.refuse("its input has fewer than two axes");
    }
    call.axis(x, -1);  // samples do not lie along the matrices
    call.axis(x, -2);
    const std::int64_t k = call.has(1) ? call.one_integer(1, "diagonal") : 0;
    const bool upper = call.integer("upper", 1) != 0;
    const Shape& shape = x.sample_shape();
    const std::int64_t rows = shape[shape.size() - 2];
    const std::int64_t columns = shape.back();
    const auto kept = [&](std::int64_t element) {
        const std::int64_t row = element / columns % rows;
        const std::int64_t column = element % columns;
        return upper ? column - row >= k : column - row <= k;
    };
    if (x.is_constant) {
        Operand y = x;
        for (std::size_t e = 0; e < y.constant.values.size(); ++e) {
            // A mask may hold infinities, which no product with zero takes away.
            if (!kept(static_cast<std::int64_t>(e))) {
                y.constant.values[e] = 0;
            }
        }
        call.set(y);
        return;
    }
    Tensor mask = Tensor::filled({rows, columns}, 0);
    for (std::size_t e = 0; e < mask.values.size(); ++e) {
        mask.values[e] = kept(static_cast<std::int64_t>(e)) ? 1 : 0;
    }
    call.set(call.multiply(x, Call::tensor(std::move(mask))));
}

void range(Call& call) {
    const double start = call.scalar(0, "start");
    const double limit = call.scalar(1, "limit");
    const double delta = call.scalar(2, "delta");
    const double count = std::ceil((limit - start) / delta);
    if (!(delta != 0) || !(count < 1 << 24)) {
        call.refuse(fmt::format("from {} to {} by {} is no range", start, limit, delta));
    }
    Operand out;
    out.is_constant = true;
    out.is_integer = call.operand(0).is_integer;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(count); ++i) {
        const double value = start + static_cast<double>(i) * delta;
        out.constant.values.push_back(
            out.is_integer ? value : static_cast<double>(static_cast<float>(value)));
    }
    out.constant.shape = {static_cast<std::int64_t>(out.constant.values.size())};
    call.set(out);
}

void eye_like(Call& call) {
    const Operand& x = call.operand(0);
    if (x.batch_axis >= 0) {
        throw BatchMixed();
    }
    const Shape& shape = x.sample_shape();
    if (shape.size() != 2) {
        call.refuse("its input is no matrix");
    }
    const std::int64_t k = call.integer("k", 0);
    const auto type =
        static_cast<ElementType>(call.integer("dtype", static_cast<std::int64_t>(call.type(0))));
    Operand out = Call::tensor(Tensor::filled(shape, 0));
    for (std::int64_t row = 0; row < shape[0]; ++row) {
        if (row + k >= 0 && row + k < shape[1]) {
            out.constant.values[static_cast<std::size_t>(row * shape[1] + row + k)] = 1;
        }
    }
    out.is_integer = is_integer(type);
    call.set(out);
    call.set_type(type);
}

void non_zero(Call& call) {
    const Tensor& x = call.constant(0, "input");
    const auto strides = strides_of(x.shape);
    std::vector<std::size_t> hits;
    for (std::size_t e = 0; e < x.values.size(); ++e) {
        if (x.values[e] != 0) {
            hits.push_back(e);
        }
    }
    Operand out;
    out.is_constant = true;
    out.is_integer = true;
    out.constant.shape = {static_cast<std::int64_t>(x.shape.size()),
                          static_cast<std::int64_t>(hits.size())};
    for (std::size_t i = 0; i < x.shape.size(); ++i) {
        for (const std::size_t e : hits) {
            out.constant.values.push_back(
                static_cast<double>(static_cast<std::int64_t>(e) / strides[i] % x.shape[i]));
        }
    }
    call.set(out);
    call.set_type(ElementType::int64);
}

void compress(Call& call) {
    Operand x = call.operand(0);
    const Tensor& condition = call.constant(1, "condition");
    std::int64_t axis = 0;
    if (call.has_attribute("axis")) {
        axis = call.axis(x, call.integer("axis", 0));
    } else {
        if (x.batch_axis >= 0) {
            throw BatchMixed();
        }
        x = call.reshaped(x, {element_count(x.sample_shape())}, -1);
    }
    Operand index;
    index.is_constant = true;
    for (std::size_t i = 0; i < condition.values.size(); ++i) {
        if (condition.values[i] != 0) {
            index.constant.values.push_back(static_cast<double>(i));
        }
    }
    index.constant.shape = {static_cast<std::int64_t>(index.constant.values.size())};
    call.set(read_at(call, gather_operator, Attributes::of(GatherFields{axis, false, "error"}), x,
                     index, x.batch_axis));
}

void reverse_sequence(Call& call) {
    const Operand& x = call.operand(0);
    const std::int64_t samples = call.normalised(call.integer("batch_axis", 1), x.rank());
    const std::int64_t time = call.axis(x, call.integer("time_axis", 0));
    std::vector<std::int64_t> lengths = call.integers(1, "sequence lengths");
    const bool shared = samples == x.batch_axis;
    const Shape& shape = x.sample_shape();
    const std::int64_t row = shared ? -1 : call.axis(x, samples);
    if (shared) {
        for (const std::int64_t length : lengths) {
            if (length != lengths.front()) {
                throw BatchMixed();
            }
        }
        lengths.resize(1);
    } else if (static_cast<std::int64_t>(lengths.size()) != shape[static_cast<std::size_t>(row)]) {
        call.refuse("its lengths are not one for each sequence");
    }
    const std::int64_t steps = shape[static_cast<std::size_t>(time)];
    for (const std::int64_t length : lengths) {
        if (length < 0 || length > steps) {
            call.refuse(fmt::format("a sequence of {} has the length {}", steps, length));
        }
    }
    const auto strides = strides_of(shape);
    Tensor index = numbered(shape).constant;
    for (std::size_t e = 0; e < index.values.size(); ++e) {
        const auto element = static_cast<std::int64_t>(e);
        const auto along = [&](std::int64_t axis) {
            return element / strides[static_cast<std::size_t>(axis)] %
                   shape[static_cast<std::size_t>(axis)];
        };
        const std::int64_t length = lengths[shared ? 0 : static_cast<std::size_t>(along(row))];
        const std::int64_t at = along(time);
        if (at < length) {
            index.values[e] += static_cast<double>((length - 1 - 2 * at) *
                                                   strides[static_cast<std::size_t>(time)]);
        }
    }
    call.set(moved(call, x, index, x.batch_axis));
}

const RuleRow rows[] = {
    {"Gather", &gather},
    {"GatherElements", &gather_elements},
    {"GatherND", &gather_nd},
    {"Scatter", &scatter_elements},
    {"ScatterElements", &scatter_elements},
    {"ScatterND", &scatter_nd},
    {"CumSum", [](Call& c) { cumulative(c, "sum"); }},
    {"CumProd", [](Call& c) { cumulative(c, "prod"); }},
    {"OneHot", &one_hot},
    {"Hardmax", &hardmax},
    {"Tile", &tile},
    {"Trilu", &trilu},
    {"Range", &range},
    {"EyeLike", &eye_like},
    {"NonZero", &non_zero},
    {"Compress", &compress},
    {"ReverseSequence", &reverse_sequence},
};

}  // namespace

std::span<const RuleRow> position_rules() {
    return rows;
}

}  // namespace gatewright::onnx
