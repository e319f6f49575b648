#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "import/layers/random.h"
#include "import/layers/sample.h"
#include "import/onnx/rules.h"
#include "operators/move.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

void identity(Call& call) {
    call.set(call.operand(0));
}

void dropout(Call& call) {
    call.ignore("seed");  // whoever uses the model gives the random words
    double rate = call.real("ratio", 0.5);
    if (call.has(1)) {
        rate = call.scalar(1, "ratio");
    }
    if (call.importer().options().monte_carlo) {
        call.ignore("is_test");
        if (call.has(2)) {
            call.scalar(2, "training mode");
        }
        const layers::Dropped dropped =
            layers::drop(call, call.importer().imported(), call.operand(0),
                         {rate, call.operand(0).sample_shape(), false});
        call.set(dropped.y);
        call.set(dropped.kept, 1);
        call.set_type(ElementType::boolean, 1);
        return;
    }
    if (call.opset() < 7 && call.integer("is_test", 0) == 0) {
        call.refuse("it is exported in training mode",
                    "Export the model in evaluation mode, or use --monte-carlo.", "is_test");
    }
    if (call.has(2) && call.scalar(2, "training mode") != 0) {
        call.refuse("it is exported in training mode",
                    "Export the model in evaluation mode, or use --monte-carlo.");
    }
    call.set(call.operand(0));
    Operand mask;  // inference keeps every element
    mask.is_constant = true;
    mask.constant = Tensor::filled(call.operand(0).sample_shape(), 1);
    call.set(mask, 1);
    call.set_type(ElementType::boolean, 1);
}

/// `extents` with their -1, if they hold one, computed so that they hold `total` elements; nothing
/// if they cannot.
std::optional<Shape> filled(Shape extents, std::int64_t total) {
    const auto open = std::find(extents.begin(), extents.end(), -1);
    std::int64_t known = 1;
    for (auto at = extents.begin(); at != extents.end(); ++at) {
        if (at != open && (*at < 0 || __builtin_mul_overflow(known, *at, &known))) {
            return std::nullopt;
        }
    }
    if (open != extents.end()) {
        if (known == 0 || total % known != 0) {
            return std::nullopt;
        }
        *open = total / known;
        known = total;
    }
    return known == total ? std::optional(extents) : std::nullopt;
}

/// The extents of `target` but the one at `batch`, for a tensor of `shape` per sample with its
/// batch at `batch_axis`. What stood before the batch must fill the extents before it, and what
/// stood behind those behind: then samples stay apart. Nothing if they do not.
std::optional<Shape> around_batch(const Shape& shape, int batch_axis, const Shape& target,
                                  std::size_t batch) {
    const auto middle = shape.begin() + batch_axis;
    const auto at = target.begin() + static_cast<std::ptrdiff_t>(batch);
    auto before = filled({target.begin(), at}, element_count({shape.begin(), middle}));
    const auto behind = filled({at + 1, target.end()}, element_count({middle, shape.end()}));
    if (!before || !behind) {
        return std::nullopt;
    }
    before->insert(before->end(), behind->begin(), behind->end());
    return before;
}

void reshape(Call& call) {
    const Operand x = call.operand(0);
    std::vector<std::int64_t> target;
    if (const auto attribute = call.integer_list("shape")) {
        target = *attribute;  // before opset 5
    } else {
        target = call.integers(1, "shape");
    }
    const bool copies_zeros = call.integer("allowzero", 0) == 0;
    const auto marker = static_cast<std::int64_t>(batch_extent);
    const auto declared = call.importer().declared_batch();
    const bool batched = x.batch_axis >= 0;
    std::vector<bool> may_be_batch(target.size());
    for (std::size_t i = 0; i < target.size(); ++i) {
        std::int64_t& extent = target[i];
        if (extent == 0 && copies_zeros) {
            if (static_cast<std::int64_t>(i) >= x.rank()) {
                call.refuse("a 0 in its shape copies an axis that the input lacks");
            }
            const auto axis = static_cast<int>(i);
            extent = batched && axis == x.batch_axis
                         ? marker
                         : x.sample_shape()[i - (batched && axis > x.batch_axis ? 1 : 0)];
        }
        if (extent < -1 && extent != marker) {
            call.refuse(fmt::format("its shape holds {}", extent));
        }
        may_be_batch[i] = extent == marker || extent == -1 || extent == declared;
    }
    if (batched) {
        // Where several extents could be the batch, one that stays at its axis, else the first.
        std::vector<std::size_t> order{static_cast<std::size_t>(x.batch_axis)};
        for (std::size_t i = 0; i < target.size(); ++i) {
            order.push_back(i);
        }
        for (const std::size_t at : order) {
            if (at >= target.size() || !may_be_batch[at]) {
                continue;
            }
            if (const auto rest = around_batch(x.sample_shape(), x.batch_axis, target, at)) {
                call.set(call.reshaped(x, *rest, static_cast<int>(at)));
                return;
            }
        }
        throw BatchMixed();
    }
    if (std::find(target.begin(), target.end(), marker) != target.end()) {
        throw BatchMixed();
    }
    const std::int64_t total = element_count(x.sample_shape());
    const auto shape = filled(target, total);
    if (!shape) {
        call.refuse(
            fmt::format("{} elements do not fill shape [{}]", total, fmt::join(target, ", ")));
    }
    call.set(call.reshaped(x, *shape, -1));
}

void flatten(Call& call) {
    const Operand& x = call.operand(0);
    std::int64_t axis = call.integer("axis", 1);
    axis = axis < 0 ? axis + x.rank() : axis;
    if (axis < 0 || axis > x.rank()) {
        call.refuse(fmt::format("there is no axis {}", axis), {}, "axis");
    }
    const Shape& shape_of = x.sample_shape();
    if (x.batch_axis >= 0) {
        // [batch, ...] as one row mixes samples, unless the file declares a batch of one.
        const bool one_row = axis == 0 && call.importer().declared_batch() == 1;
        if (x.batch_axis != 0 || (axis != 1 && !one_row)) {
            throw BatchMixed();
        }
        call.set(call.reshaped(x, {element_count(shape_of)}, 0));
        return;
    }
    const Shape outer(shape_of.begin(), shape_of.begin() + axis);
    const Shape inner(shape_of.begin() + axis, shape_of.end());
    call.set(call.reshaped(x, {element_count(outer), element_count(inner)}, -1));
}

void transpose(Call& call) {
    const Operand& x = call.operand(0);
    const std::int64_t rank = x.rank();
    std::vector<std::int64_t> permutation(static_cast<std::size_t>(rank));
    std::iota(permutation.rbegin(), permutation.rend(), std::int64_t{0});
    permutation = call.integer_list("perm").value_or(permutation);
    int batch_axis = -1;
    Shape sample;
    for (std::size_t i = 0; i < permutation.size(); ++i) {
        const std::int64_t from = call.normalised(permutation[i], rank);
        if (from == x.batch_axis) {
            batch_axis = static_cast<int>(i);
        } else {
            sample.push_back(x.batch_axis >= 0 && from > x.batch_axis ? from - 1 : from);
        }
    }
    call.set(call.transposed(x, sample, batch_axis));
}

std::vector<std::int64_t> axes_of(Call& call, std::size_t input) {
    if (const auto attribute = call.integer_list("axes")) {
        return *attribute;
    }
    return call.has(input) ? call.integers(input, "axes") : std::vector<std::int64_t>{};
}

void squeeze(Call& call) {
    const Operand& x = call.operand(0);
    const std::int64_t rank = x.rank();
    std::vector<bool> removed(static_cast<std::size_t>(rank), false);
    const std::vector<std::int64_t> axes = axes_of(call, 1);
    const auto extent = [&](std::int64_t axis) {
        return axis == x.batch_axis
                   ? std::int64_t{-1}
                   : x.sample_shape()[static_cast<std::size_t>(
                         x.batch_axis >= 0 && axis > x.batch_axis ? axis - 1 : axis)];
    };
    for (const std::int64_t axis : axes) {
        const std::int64_t at = call.normalised(axis, rank);
        if (at == x.batch_axis) {
            throw BatchMixed();
        }
        if (extent(at) != 1) {
            call.refuse(fmt::format("axis {} has extent {}, not 1", axis, extent(at)), {}, "axes");
        }
        removed[static_cast<std::size_t>(at)] = true;
    }
    Shape sample;
    int batch_axis = -1;
    int position = 0;
    for (std::int64_t i = 0; i < rank; ++i) {
        if (removed[static_cast<std::size_t>(i)] || (axes.empty() && extent(i) == 1)) {
            continue;
        }
        if (i == x.batch_axis) {
            batch_axis = position;
        } else {
            sample.push_back(extent(i));
        }
        ++position;
    }
    call.set(call.reshaped(x, sample, batch_axis));
}

void unsqueeze(Call& call) {
    const Operand& x = call.operand(0);
    const std::vector<std::int64_t> axes = axes_of(call, 1);
    const std::int64_t rank = x.rank() + static_cast<std::int64_t>(axes.size());
    std::vector<bool> added(static_cast<std::size_t>(rank), false);
    for (const std::int64_t axis : axes) {
        added[static_cast<std::size_t>(call.normalised(axis, rank))] = true;
    }
    Shape sample;
    int batch_axis = -1;
    std::int64_t from = 0;
    std::size_t next = 0;
    for (std::int64_t i = 0; i < rank; ++i) {
        if (added[static_cast<std::size_t>(i)]) {
            sample.push_back(1);
        } else if (from++ == x.batch_axis) {
            batch_axis = static_cast<int>(i);
        } else {
            sample.push_back(x.sample_shape()[next++]);
        }
    }
    call.set(call.reshaped(x, sample, batch_axis));
}

void concat(Call& call) {
    std::vector<Operand> operands;
    int batch_axis = -1;
    for (std::size_t i = 0; i < call.inputs(); ++i) {
        operands.push_back(call.operand(i));
        batch_axis = std::max(batch_axis, operands.back().batch_axis);
    }
    const std::int64_t rank = operands.front().rank();
    std::int64_t axis = call.normalised(call.integer("axis", 1), rank);
    for (Operand& x : operands) {
        if (batch_axis >= 0 && x.batch_axis < 0) {
            // A constant joined to every sample must be the same for all of them.
            Shape shape_of = x.sample_shape();
            if (static_cast<std::int64_t>(shape_of.size()) != rank ||
                shape_of[static_cast<std::size_t>(batch_axis)] != 1) {
                throw BatchMixed();
            }
            shape_of.erase(shape_of.begin() + batch_axis);
            x = call.reshaped(x, shape_of, -1);
        } else if (x.batch_axis != batch_axis) {
            throw BatchMixed();
        }
    }
    if (axis == batch_axis) {
        throw BatchMixed();
    }
    axis = batch_axis >= 0 && axis > batch_axis ? axis - 1 : axis;
    call.set(call.emit(concat_operator, Attributes::of(ConcatFields{axis}), operands, batch_axis)
                 .front());
}

/// One slice of x: `start`, `step` and `count` along one network axis.
Operand slice_axis(Call& call, const Operand& x, std::int64_t axis, std::int64_t start,
                   std::int64_t step, std::int64_t count) {
    SliceFields fields;
    fields.sizes = x.sample_shape();
    fields.starts.assign(fields.sizes.size(), 0);
    fields.steps.assign(fields.sizes.size(), 1);
    const auto a = static_cast<std::size_t>(axis);
    fields.starts[a] = start;
    fields.steps[a] = step;
    fields.sizes[a] = count;
    return call.emit(slice_operator, Attributes::of(fields), {x}, x.batch_axis).front();
}

void slice(Call& call) {
    Operand x = call.operand(0);
    std::vector<std::int64_t> starts;
    std::vector<std::int64_t> ends;
    std::vector<std::int64_t> axes;
    std::vector<std::int64_t> steps;
    if (call.has_attribute("starts")) {  // before opset 10
        starts = *call.integer_list("starts");
        ends = call.integer_list("ends").value_or(std::vector<std::int64_t>{});
        axes = call.integer_list("axes").value_or(std::vector<std::int64_t>{});
    } else {
        starts = call.integers(1, "starts");
        ends = call.integers(2, "ends");
        axes = call.has(3) ? call.integers(3, "axes") : axes;
        steps = call.has(4) ? call.integers(4, "steps") : steps;
    }
    if (axes.empty()) {
        axes.resize(starts.size());
        std::iota(axes.begin(), axes.end(), std::int64_t{0});
    }
    steps.resize(starts.size(), 1);
    if (ends.size() != starts.size() || axes.size() != starts.size()) {
        call.refuse("its starts, ends and axes differ in number");
    }
    for (std::size_t i = 0; i < starts.size(); ++i) {
        const std::int64_t at = call.normalised(axes[i], x.rank());
        if (at == x.batch_axis) {
            if (starts[i] == 0 && ends[i] > INT32_MAX / 2 && steps[i] == 1) {
                continue;  // the whole batch
            }
            throw BatchMixed();
        }
        if (steps[i] == 0) {
            call.refuse("a step is 0", {}, "steps");
        }
        const std::int64_t axis = call.axis(x, axes[i]);
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
        const bool up = steps[i] > 0;
        const auto bound = [&](std::int64_t v) {
            v = v < 0 ? v + extent : v;
            return up ? std::clamp<std::int64_t>(v, 0, extent)
                      : std::clamp<std::int64_t>(v, -1, extent - 1);
        };
        const std::int64_t start = bound(starts[i]);
        // An end of the smallest integer means "through the first element".
        const std::int64_t end = !up && ends[i] < -extent ? -1 : bound(ends[i]);
        const std::int64_t span = up ? end - start : start - end;
        const std::int64_t pitch = up ? steps[i] : -steps[i];
        const std::int64_t count = span <= 0 ? 0 : (span + pitch - 1) / pitch;
        x = slice_axis(call, x, axis, start, steps[i], count);
    }
    call.set(x);
}

void split(Call& call) {
    const Operand& x = call.operand(0);
    const std::int64_t axis = call.axis(x, call.integer("axis", 0));
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    const auto parts = static_cast<std::int64_t>(call.node().outputs.size());
    std::vector<std::int64_t> sizes;
    if (const auto attribute = call.integer_list("split")) {
        sizes = *attribute;
    } else if (call.has(1)) {
        sizes = call.integers(1, "split");
    } else {
        const std::int64_t count = call.integer("num_outputs", parts);
        if (count < 1 || count != parts) {
            call.refuse(fmt::format("it has {} outputs", parts), {}, "num_outputs");
        }
        const std::int64_t most = (extent + count - 1) / count;
        for (std::int64_t left = extent; left > 0; left -= most) {
            sizes.push_back(std::min(left, most));
        }
    }
    call.ignore("num_outputs");
    if (static_cast<std::int64_t>(sizes.size()) != parts ||
        std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) != extent) {
        call.refuse(
            fmt::format("parts of {} do not make up {} elements", fmt::join(sizes, ", "), extent),
            {}, "split");
    }
    std::int64_t start = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        call.set(slice_axis(call, x, axis, start, 1, sizes[i]), i);
        start += sizes[i];
    }
}

void expand(Call& call) {
    const Operand& x = call.operand(0);
    Shape target = call.integers(1, "shape");
    if (x.batch_axis >= 0) {
        const std::int64_t distance = x.rank() - x.batch_axis;
        if (static_cast<std::int64_t>(target.size()) >= distance) {
            const auto at = target.end() - static_cast<std::ptrdiff_t>(distance);
            const auto declared = call.importer().declared_batch();
            if (*at != static_cast<std::int64_t>(batch_extent) && *at != 1 &&
                !(declared && *at == *declared)) {
                throw BatchMixed();
            }
            target.erase(at);
        }
    }
    for (std::int64_t& extent : target) {
        extent = extent == static_cast<std::int64_t>(batch_extent) ? 1 : extent;
    }
    const auto shape_of = broadcast(x.sample_shape(), target);
    if (!shape_of) {
        call.refuse(fmt::format("shape {} does not broadcast to {}", to_string(x.sample_shape()),
                                to_string(target)));
    }
    const auto rank = static_cast<int>(shape_of->size()) + (x.batch_axis >= 0 ? 1 : 0);
    const int batch_axis = x.batch_axis < 0 ? -1 : rank - static_cast<int>(x.rank() - x.batch_axis);
    call.set(call.emit(expand_operator, Attributes::of(ExpandFields{*shape_of}), {x}, batch_axis)
                 .front());
}

/// The number `value` stands where padding came; zero elsewhere.
Tensor padding_of(const Shape& shape, const PadFields& fields, double value) {
    Tensor out = Tensor::filled(shape, 0);
    const auto strides = strides_of(shape);
    for (std::size_t e = 0; e < out.values.size(); ++e) {
        for (std::size_t i = 0; i < shape.size(); ++i) {
            const std::int64_t at = static_cast<std::int64_t>(e) / strides[i] % shape[i];
            if (at < fields.before[i] || at >= shape[i] - fields.after[i]) {
                out.values[e] = value;
            }
        }
    }
    return out;
}

/// Padding with what comes round from the other end.
Operand wrapped_round(Call& call, Operand x, const PadFields& fields) {
    for (std::size_t i = 0; i < fields.before.size(); ++i) {
        const std::int64_t extent = x.sample_shape()[i];
        const std::int64_t before = fields.before[i];
        const std::int64_t after = fields.after[i];
        const auto axis = static_cast<std::int64_t>(i);
        if (before > extent || after > extent) {
            call.refuse("it pads with more than the axis holds", {}, "pads");
        }
        std::vector<Operand> parts;
        if (before > 0) {
            parts.push_back(call.sliced(x, axis, extent - before, before));
        }
        parts.push_back(x);
        if (after > 0) {
            parts.push_back(call.sliced(x, axis, 0, after));
        }
        x = parts.size() == 1 ? x : call.concatenated(parts, axis);
    }
    return x;
}

void pad(Call& call) {
    Operand x = call.operand(0);
    const std::string mode = call.text("mode", "constant");
    std::vector<std::int64_t> pads;
    double value = call.real("value", 0);
    if (const auto attribute = call.integer_list("pads")) {
        pads = *attribute;  // before opset 11
    } else {
        pads = call.integers(1, "pads");
        value = call.has(2) ? call.scalar(2, "value") : 0;
    }
    if (mode != "constant" && mode != "edge" && mode != "reflect" && mode != "wrap") {
        call.refuse(fmt::format("mode {} is not supported", mode),
                    "Use constant, edge, reflect or wrap.", "mode");
    }
    std::vector<std::int64_t> axes;
    if (call.has(3)) {
        axes = call.integers(3, "axes");
    } else {
        axes.resize(static_cast<std::size_t>(x.rank()));
        std::iota(axes.begin(), axes.end(), std::int64_t{0});
    }
    if (pads.size() != 2 * axes.size()) {
        call.refuse("its pads are not two for each axis", {}, "pads");
    }
    PadFields fields;
    fields.before.assign(x.sample_shape().size(), 0);
    fields.after = fields.before;
    fields.mode = mode == "constant" ? "zero" : mode;
    for (std::size_t i = 0; i < axes.size(); ++i) {
        const std::int64_t before = pads[i];
        const std::int64_t after = pads[axes.size() + i];
        if (before == 0 && after == 0) {
            continue;
        }
        const std::int64_t axis = call.axis(x, axes[i]);
        // Negative pads take positions away.
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
        const std::int64_t first = before < 0 ? -before : 0;
        const std::int64_t last = after < 0 ? extent + after : extent;
        if (first < 0 || first > last || before > 1 << 24 || after > 1 << 24) {
            call.refuse(
                fmt::format("pads of {} and {} do not fit {} positions", before, after, extent), {},
                "pads");
        }
        if (before < 0 || after < 0) {
            x = call.sliced(x, axis, first, last - first);
        }
        fields.before[static_cast<std::size_t>(axis)] = std::max<std::int64_t>(0, before);
        fields.after[static_cast<std::size_t>(axis)] = std::max<std::int64_t>(0, after);
    }
    if (mode == "wrap") {
        call.set(wrapped_round(call, x, fields));
        return;
    }
    Operand y = call.emit(pad_operator, Attributes::of(fields), {x}, x.batch_axis).front();
    if (mode == "constant" && value != 0) {
        if (element_count(y.sample_shape()) > std::int64_t{1} << 26) {
            call.refuse(fmt::format("a result of shape {} is too large for a border of {}",
                                    to_string(y.sample_shape()), value),
                        "Pad with zeros, or by fewer positions.", "pads");
        }
        const int batch_axis = y.batch_axis;
        y = call.add(layers::in_front(y),
                     Call::tensor(padding_of(y.sample_shape(), fields, value)));
        y.batch_axis = y.is_constant ? -1 : batch_axis;
    }
    call.set(y);
}

const RuleRow rows[] = {
    {"Identity", &identity},   {"Dropout", &dropout},     {"Reshape", &reshape},
    {"Flatten", &flatten},     {"Transpose", &transpose}, {"Squeeze", &squeeze},
    {"Unsqueeze", &unsqueeze}, {"Concat", &concat},       {"Slice", &slice},
    {"Split", &split},         {"Expand", &expand},       {"Pad", &pad},
};

}  // namespace

std::span<const RuleRow> shape_rules() {
    return rows;
}

}  // namespace gatewright::onnx
