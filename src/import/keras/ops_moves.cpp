#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>

#include "import/keras/moves.h"
#include "import/keras/ops.h"
#include "operators/move.h"

/// Functions of tensors that move elements: reshaping, slices, joining.
namespace gatewright::keras {

void reshape_op(Call& call) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"newshape", "shape"}, 1);
    Shape shape;
    if (!given.is_array() || given.empty()) {
        call.refuse("it is no shape", {}, "newshape");
    }
    for (const Json& extent : given) {
        shape.push_back(extent.is_null() ? -1 : integer_of(call, extent, "newshape"));
    }
    // The batch stays first: its extent is free, or what a sample's elements leave.
    shape.erase(shape.begin());
    const std::int64_t all = element_count(x.sample_shape());
    std::int64_t known = 1;
    for (const std::int64_t extent : shape) {
        known *= extent == -1 ? 1 : extent;
    }
    for (std::int64_t& extent : shape) {
        if (extent == -1 && known > 0) {
            extent = all / known;
            known *= extent;
        }
    }
    if (known != all || !checked_element_count(shape)) {
        call.refuse("it mixes the samples of a batch, or does not fit", {}, "newshape");
    }
    call.set(call.reshaped(x, shape, x.batch_axis), call.input().kind);
}

void transpose_op(Call& call) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"axes", "perm"}, 1);
    parameter(call, {"conjugate"});  // of complex numbers only
    Shape order;
    if (given.is_null()) {
        throw layers::BatchMixed();
    }
    for (const std::int64_t axis : integers_of(call, given, "axes")) {
        order.push_back(call.normalised(axis, x.rank()));
    }
    if (order.empty() || order.front() != 0) {
        throw layers::BatchMixed();
    }
    order.erase(order.begin());
    for (std::int64_t& axis : order) {
        --axis;
    }
    call.set(call.transposed(x, order, x.batch_axis), call.input().kind);
}

void swapaxes_op(Call& call) {
    const Operand x = x_of(call);
    const std::int64_t a = call.axis(x, integer_of(call, parameter(call, {"axis1"}, 1), "axis1"));
    const std::int64_t b = call.axis(x, integer_of(call, parameter(call, {"axis2"}, 2), "axis2"));
    Shape order(x.sample_shape().size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::swap(order[static_cast<std::size_t>(a)], order[static_cast<std::size_t>(b)]);
    call.set(call.transposed(x, order, x.batch_axis), call.input().kind);
}

void squeeze_op(Call& call) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"axis"}, 1);
    Shape shape = x.sample_shape();
    if (given.is_null()) {
        shape.erase(std::remove(shape.begin(), shape.end(), 1), shape.end());
    } else {
        Shape axes;
        for (const std::int64_t axis : integers_of(call, given, "axis")) {
            axes.push_back(call.axis(x, axis));
        }
        std::sort(axes.rbegin(), axes.rend());
        for (const std::int64_t axis : axes) {
            if (shape[static_cast<std::size_t>(axis)] != 1) {
                call.refuse("the axis has more than one position", {}, "axis");
            }
            shape.erase(shape.begin() + axis);
        }
    }
    call.set(call.reshaped(x, shape, x.batch_axis), call.input().kind);
}

void expand_dims_op(Call& call) {
    const Operand x = x_of(call);
    const std::int64_t axis =
        call.normalised(integer_of(call, parameter(call, {"axis"}, 1), "axis"), x.rank() + 1);
    if (axis == 0) {
        throw layers::BatchMixed();
    }
    Shape shape = x.sample_shape();
    shape.insert(shape.begin() + axis - 1, 1);
    call.set(call.reshaped(x, shape, x.batch_axis), call.input().kind);
}

namespace {

std::vector<Operand> listed(Call& call) {
    const std::vector<Operand> xs = call.operands();
    const Argument* first = call.argument(0, "values");
    if (xs.empty() || first == nullptr || (first->list && first->list->size() != xs.size())) {
        call.refuse("its inputs are no list of tensors");
    }
    return xs;
}

}  // namespace

void concatenate_op(Call& call) {
    const std::vector<Operand> xs = listed(call);
    const Json& given = parameter(call, {"axis"}, 1);
    const std::int64_t axis = call.axis(xs.front(), integer_of(call, given, "axis"));
    for (const Operand& x : xs) {
        if (x.sample_shape().size() != xs.front().sample_shape().size()) {
            call.refuse("its inputs have different numbers of axes");
        }
    }
    call.set(call.concatenated(xs, axis), call.input().kind);
}

void stack_op(Call& call) {
    const std::vector<Operand> xs = listed(call);
    const Json& given = parameter(call, {"axis"}, 1);
    const std::int64_t axis = call.normalised(given.is_null() ? 0 : integer_of(call, given, "axis"),
                                              xs.front().rank() + 1);
    if (axis == 0) {
        throw layers::BatchMixed();
    }
    for (const Operand& x : xs) {
        if (x.sample_shape() != xs.front().sample_shape()) {
            call.refuse("its inputs have different shapes");
        }
    }
    call.set(call.stacked(xs, axis - 1), call.input().kind);
}

void split_op(Call& call) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"indices_or_sections", "num_or_size_splits"}, 1);
    const Json& along = parameter(call, {"axis"}, 2);
    const std::int64_t axis = call.axis(x, along.is_null() ? 0 : integer_of(call, along, "axis"));
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    Shape ends;
    if (given.is_array()) {
        std::int64_t end = 0;
        for (const std::int64_t part : integers_of(call, given, "indices_or_sections")) {
            // Keras 3 gives positions, TensorFlow sizes.
            end = call.keras2() ? end + part : (part < 0 ? part + extent : part);
            ends.push_back(std::clamp<std::int64_t>(end, 0, extent));
        }
        if (!call.keras2()) {
            ends.push_back(extent);
        }
    } else {
        const std::int64_t parts = integer_of(call, given, "indices_or_sections");
        if (parts < 1 || extent % parts != 0) {
            call.refuse(fmt::format("{} positions do not make {} parts", extent, parts), {},
                        "axis");
        }
        for (std::int64_t i = 1; i <= parts; ++i) {
            ends.push_back(extent / parts * i);
        }
    }
    std::vector<Value> out;
    std::int64_t begin = 0;
    for (const std::int64_t end : ends) {
        if (end <= begin) {
            call.refuse("a part is empty", {}, "indices_or_sections");
        }
        out.push_back({call.sliced(x, axis, begin, end - begin), call.input().kind, std::nullopt});
        begin = end;
    }
    call.set_values(std::move(out));
}

void repeat_op(Call& call) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"repeats"}, 1);
    const Json& along = parameter(call, {"axis"}, 2);
    if (along.is_null()) {
        throw layers::BatchMixed();
    }
    const std::int64_t axis = call.axis(x, integer_of(call, along, "axis"));
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    Shape counts = integers_of(call, given, "repeats");
    if (counts.size() == 1) {
        counts.assign(static_cast<std::size_t>(extent), counts.front());
    }
    if (static_cast<std::int64_t>(counts.size()) != extent) {
        call.refuse("it has another number of counts than positions", {}, "repeats");
    }
    std::vector<std::int64_t> positions;
    for (std::int64_t i = 0; i < extent; ++i) {
        const std::int64_t count = counts[static_cast<std::size_t>(i)];
        if (count < 0 || count > (1 << 20)) {
            call.refuse("a count is out of range", {}, "repeats");
        }
        positions.insert(positions.end(), static_cast<std::size_t>(count), i);
    }
    call.set(taken(call, x, axis, positions), call.input().kind);
}

void tile_op(Call& call) {
    Operand x = x_of(call);
    Shape counts = integers_of(call, parameter(call, {"repeats", "multiples"}, 1), "repeats");
    while (static_cast<std::int64_t>(counts.size()) < x.rank()) {
        counts.insert(counts.begin(), 1);
    }
    if (static_cast<std::int64_t>(counts.size()) != x.rank() || counts.front() != 1) {
        throw layers::BatchMixed();
    }
    for (std::size_t i = 1; i < counts.size(); ++i) {
        if (counts[i] < 1 || counts[i] > 4096) {
            call.refuse("a count is out of range", {}, "repeats");
        }
        if (counts[i] > 1) {
            x = call.concatenated(std::vector<Operand>(static_cast<std::size_t>(counts[i]), x),
                                  static_cast<std::int64_t>(i) - 1);
        }
    }
    call.set(x, call.input().kind);
}

void flip_op(Call& call) {
    Operand x = x_of(call);
    const Json& given = parameter(call, {"axis"}, 1);
    if (given.is_null()) {
        throw layers::BatchMixed();
    }
    for (const std::int64_t axis : integers_of(call, given, "axis")) {
        x = call.reversed(x, call.axis(x, axis));
    }
    call.set(x, call.input().kind);
}

void pad_op(Call& call) {
    const Operand x = x_of(call);
    const Json& given = parameter(call, {"pad_width", "paddings"}, 1);
    const Json& mode = parameter(call, {"mode"}, 2);
    const Json& fill = parameter(call, {"constant_values"}, 3);
    std::string kind = mode.is_null() ? "constant" : mode.get<std::string>();
    std::transform(kind.begin(), kind.end(), kind.begin(),
                   [](char c) { return static_cast<char>(std::tolower(c)); });
    if ((kind != "constant" && kind != "reflect") ||
        (!fill.is_null() && number_of(fill).value_or(1) != 0)) {
        call.refuse("only zeros and reflections are supported", {}, "mode");
    }
    if (!given.is_array() || static_cast<std::int64_t>(given.size()) != x.rank()) {
        call.refuse("it has not one pair for each axis", {}, "pad_width");
    }
    operators::PadFields fields;
    fields.mode = kind == "constant" ? "zero" : "reflect";
    for (std::size_t i = 0; i < given.size(); ++i) {
        const Shape two = integers_of(call, given[i], "pad_width");
        if (two.size() != 2 || two[0] < 0 || two[1] < 0) {
            call.refuse("it has not one pair for each axis", {}, "pad_width");
        }
        if (i == 0) {
            if (two[0] != 0 || two[1] != 0) {
                throw layers::BatchMixed();
            }
            continue;
        }
        const std::int64_t extent = x.sample_shape()[i - 1];
        if (kind == "reflect" && std::max(two[0], two[1]) >= extent) {
            call.refuse("it reflects more positions than there are", {}, "pad_width");
        }
        fields.before.push_back(two[0]);
        fields.after.push_back(two[1]);
    }
    call.set(call.emit(operators::pad_operator, Attributes::of(fields), {x}, x.batch_axis).front(),
             call.input().kind);
}

namespace {

/// start, stop and step of a slice as Python reads them.
struct Slice {
    std::int64_t begin = 0;
    std::int64_t size = 0;
    std::int64_t step = 1;
};

Slice slice_of(Call& call, const Json& spec, std::int64_t extent) {
    const Json& s = spec.contains("config") ? spec["config"] : spec;
    const auto bound = [&](const char* key) -> std::optional<std::int64_t> {
        return s.is_object() && s.contains(key) && !s[key].is_null()
                   ? std::optional(integer_of(call, s[key], key))
                   : std::nullopt;
    };
    Slice out;
    out.step = bound("step").value_or(1);
    if (out.step == 0) {
        call.refuse("a slice has a step of 0");
    }
    const auto clamped = [&](std::int64_t at) {
        at += at < 0 ? extent : 0;
        return out.step > 0 ? std::clamp<std::int64_t>(at, 0, extent)
                            : std::clamp<std::int64_t>(at, -1, extent - 1);
    };
    const auto start = bound("start");
    const auto stop = bound("stop");
    out.begin = start ? clamped(*start) : (out.step > 0 ? 0 : extent - 1);
    const std::int64_t end = stop ? clamped(*stop) : (out.step > 0 ? extent : -1);
    const std::int64_t span = out.step > 0 ? end - out.begin : out.begin - end;
    const std::int64_t step = std::abs(out.step);
    out.size = std::max<std::int64_t>(0, (span + step - 1) / step);
    return out;
}

bool is_ellipsis(const Json& item) {
    return (item.is_object() && item.value("class_name", "") == "__ellipsis__") || item == "..." ||
           item == "Ellipsis";
}

bool is_slice(const Json& item) {
    return item.is_object() && !is_ellipsis(item);
}

}  // namespace

void get_item_op(Call& call) {
    Operand x = x_of(call);
    const Json& key = parameter(call, {"key", "slice_spec"}, 1);
    std::vector<Json> items;
    if (key.is_array()) {
        items.assign(key.begin(), key.end());
    } else {
        items.push_back(key);
    }
    // How many axes the items from number i on name.
    const auto named_from = [&](std::size_t i) {
        return std::count_if(
            items.begin() + static_cast<std::ptrdiff_t>(i), items.end(),
            [](const Json& item) { return !item.is_null() && !is_ellipsis(item); });
    };
    std::int64_t axis = -1;  // -1: the batch
    for (std::size_t i = 0; i < items.size(); ++i) {
        const Json& item = items[i];
        if (is_ellipsis(item)) {
            axis = std::max(axis, x.rank() - 1 - named_from(i + 1));
            continue;
        }
        if (item.is_null()) {
            if (axis < 0) {
                throw layers::BatchMixed();
            }
            Shape shape = x.sample_shape();
            shape.insert(shape.begin() + axis, 1);
            x = call.reshaped(x, shape, x.batch_axis);
            ++axis;
            continue;
        }
        const auto rank = static_cast<std::int64_t>(x.sample_shape().size());
        if (axis >= rank) {
            call.refuse("it names more axes than there are");
        }
        if (axis < 0) {
            const Slice s = is_slice(item) ? slice_of(call, item, 1 << 20) : Slice{};
            if (s.size != (1 << 20) || s.step != 1) {
                throw layers::BatchMixed();
            }
            ++axis;
            continue;
        }
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
        if (is_slice(item)) {
            const Slice s = slice_of(call, item, extent);
            if (s.size == 0) {
                call.refuse("a slice is empty");
            }
            x = call.sliced(x, axis++, s.begin, s.size, s.step);
        } else {
            const std::int64_t index = integer_of(call, item, "key");
            if (index < -extent || index >= extent) {
                call.refuse(fmt::format("there is no position {} of {}", index, extent));
            }
            x = call.selected(x, axis, index < 0 ? index + extent : index);
        }
    }
    call.set(x, call.input().kind);
}

void same_op(Call& call) {
    const Operand x = x_of(call);
    call.set(x, call.input().kind);
}

void cast_op(Call& call) {
    const Operand x = x_of(call);
    const Json& dtype = parameter(call, {"dtype"}, 1);
    const std::string name = dtype.is_string() ? dtype.get<std::string>() : "";
    const bool from_real = call.input().kind == Kind::real;
    if (name == "float32" || name == "float64" || name == "float16" || name == "bfloat16") {
        call.precision = name == "float16"    ? Precision::float16
                         : name == "bfloat16" ? Precision::bfloat16
                                              : Precision::single;
        call.set(x);
    } else if (name == "int32" || name == "int64") {
        call.set(from_real ? call.function("truncate", x) : x, Kind::integer);
    } else if (name == "bool") {
        call.set(call.function("nonzero", x), Kind::boolean);
    } else {
        call.refuse(fmt::format("numbers of type '{}' are not supported", name), {}, "dtype");
    }
}

}  // namespace gatewright::keras
