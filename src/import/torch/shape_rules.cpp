// Views and copies: what only says which element of a tensor stands where.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "import/torch/parts.h"
#include "import/torch/rules.h"
#include "import/torch/samples.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

void identity(Call& call) {
    call.set(call.operand("self"));
}

/// The extents of the program's shape; the batch axis as such.
std::vector<Extent> extents_of(const Operand& x) {
    std::vector<Extent> out;
    for (const std::int64_t extent : x.sample_shape()) {
        out.push_back({extent, false});
    }
    if (x.batch_axis >= 0) {
        out.insert(out.begin() + x.batch_axis, Extent{1, true});
    }
    return out;
}

/// Where in a shape the batch axis of x stands: alone, or joined with `factor` positions of a
/// neighbouring axis, before or behind it.
struct BatchPlace {
    std::size_t at = 0;
    std::int64_t factor = 1;
    bool outer = true;  ///< the batch stands before the factor
};

/// The place behind as many elements as stand before the batch axis in x.
BatchPlace batch_place(Call& call, const Operand& x, std::vector<Extent>& target) {
    const Shape& shape = x.sample_shape();
    const auto before = element_count(Shape(shape.begin(), shape.begin() + x.batch_axis));
    const std::int64_t total = element_count(shape);
    const auto declared = call.importer().declared_batch();
    // -1 is what the others leave: the batch, if they do not have it.
    std::int64_t others = 1;
    std::ptrdiff_t open = -1;
    bool has_batch = false;
    for (std::size_t i = 0; i < target.size(); ++i) {
        has_batch = has_batch || target[i].batch;
        if (!target[i].batch && target[i].value == -1) {
            open = static_cast<std::ptrdiff_t>(i);
        } else {
            others *= target[i].value;
        }
    }
    if (open >= 0 && !has_batch && others > 0) {
        if (declared && total * *declared % others == 0) {
            target[static_cast<std::size_t>(open)].value = total * *declared / others;
        } else if (!declared && total % others == 0) {
            target[static_cast<std::size_t>(open)] = {total / others, true};
        }
    }
    std::int64_t product = 1;
    for (std::size_t i = 0; i < target.size() && product <= before; ++i) {
        const Extent& extent = target[i];
        std::int64_t factor = 0;
        if (extent.batch) {
            factor = extent.value;
        } else if (declared && *declared > 0 && extent.value % *declared == 0) {
            factor = extent.value / *declared;
        }
        if (factor > 0 && product == before) {
            return {i, factor, true};
        }
        if (factor > 1 && product * factor == before) {
            return {i, factor, false};
        }
        if (extent.batch || extent.value < 1) {
            break;
        }
        product *= extent.value;
    }
    throw BatchMixed();
}

Operand reshape_to(Call& call, const Operand& x, std::vector<Extent> target) {
    int batch_axis = -1;
    if (x.batch_axis >= 0) {
        const BatchPlace place = batch_place(call, x, target);
        batch_axis = static_cast<int>(place.at);
        target.erase(target.begin() + batch_axis);
        if (place.factor > 1) {
            target.insert(target.begin() + batch_axis, Extent{place.factor, false});
            call.join(batch_axis);
            batch_axis += place.outer ? 0 : 1;
        }
    }
    const std::int64_t total = element_count(x.sample_shape());
    Shape shape;
    std::int64_t known = 1;
    std::ptrdiff_t open = -1;
    for (const Extent& extent : target) {
        if (extent.batch) {
            throw BatchMixed();
        }
        if (extent.value == -1 && open < 0) {
            open = static_cast<std::ptrdiff_t>(shape.size());
        } else if (extent.value < 0) {
            call.refuse(fmt::format("its shape holds {}", extent.value));
        } else if (extent.value != 0 && known > INT64_MAX / extent.value) {
            call.refuse("its shape is too large");
        } else {
            known *= extent.value;
        }
        shape.push_back(extent.value);
    }
    if (open >= 0) {
        if (known == 0 || total % known != 0) {
            call.refuse(fmt::format("{} elements do not fill its shape", total));
        }
        shape[static_cast<std::size_t>(open)] = total / known;
        known = total;
    }
    if (known != total) {
        if (batch_axis >= 0) {
            throw BatchMixed();
        }
        call.refuse(fmt::format("{} elements do not fill its shape", total));
    }
    return call.reshaped(x, shape, batch_axis);
}

void view(Call& call, const char* name) {
    call.set(reshape_to(call, call.operand("self"), call.extents(name)));
}

void view_as(Call& call) {
    call.set(reshape_to(call, call.operand("self"), extents_of(call.operand("other"))));
}

void flatten(Call& call) {
    const Operand x = call.operand("self");
    const std::vector<Extent> from = extents_of(x);
    const auto rank = static_cast<std::int64_t>(from.size());
    if (rank == 0) {
        call.integer("start_dim", 0);
        call.integer("end_dim", -1);
        call.set(call.reshaped(x, {1}, -1));
        return;
    }
    const std::int64_t begin = call.normalised(call.integer("start_dim", 0), rank);
    const std::int64_t end = call.normalised(call.integer("end_dim", -1), rank);
    call.demand(begin <= end, "end_dim", "it lies before start_dim");
    if (begin == end) {
        call.set(x);
        return;
    }
    std::vector<Extent> to(from.begin(), from.begin() + begin);
    Extent joined{1, false};
    for (std::int64_t i = begin; i <= end; ++i) {
        const Extent& extent = from[static_cast<std::size_t>(i)];
        joined.value *= extent.value;
        joined.batch = joined.batch || extent.batch;
    }
    to.push_back(joined);
    to.insert(to.end(), from.begin() + end + 1, from.end());
    call.set(reshape_to(call, x, to));
}

void unflatten(Call& call) {
    const Operand x = call.operand("self");
    std::vector<Extent> to = extents_of(x);
    const std::int64_t at =
        call.normalised(call.integer("dim"), static_cast<std::int64_t>(to.size()));
    std::vector<Extent> sizes = call.extents("sizes");
    const Extent whole = to[static_cast<std::size_t>(at)];
    // A size of -1 is what is left.
    std::int64_t known = 1;
    for (const Extent& size : sizes) {
        known *= size.value == -1 ? 1 : size.value;
    }
    for (Extent& size : sizes) {
        if (!size.batch && size.value == -1 && !whole.batch) {
            call.demand(known != 0 && whole.value % known == 0, "sizes",
                        fmt::format("they do not make up {}", whole.value));
            size.value = whole.value / known;
        }
    }
    to.erase(to.begin() + at);
    to.insert(to.begin() + at, sizes.begin(), sizes.end());
    call.set(reshape_to(call, x, to));
}

void squeeze(Call& call) {
    const Operand x = call.operand("self");
    const std::vector<Extent> from = extents_of(x);
    const auto rank = static_cast<std::int64_t>(from.size());
    std::vector<bool> asked(from.size(), true);
    if (call.has("dim")) {
        asked.assign(from.size(), false);
        for (const std::int64_t dim : call.integers("dim")) {
            if (rank > 0) {
                asked[static_cast<std::size_t>(call.normalised(dim, rank))] = true;
            }
        }
    }
    Shape shape;
    int batch_axis = -1;
    int position = 0;
    for (std::size_t i = 0; i < from.size(); ++i) {
        if (from[i].batch) {
            // A batch axis of one would go: with a free one it stays.
            if (asked[i] && call.importer().declared_batch() == 1) {
                throw BatchMixed();
            }
            batch_axis = position++;
        } else if (!asked[i] || from[i].value != 1) {
            shape.push_back(from[i].value);
            ++position;
        }
    }
    call.set(call.reshaped(x, shape, batch_axis));
}

void unsqueeze(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t at = call.normalised(call.integer("dim"), x.rank() + 1);
    Shape shape = x.sample_shape();
    int batch_axis = x.batch_axis;
    if (batch_axis >= 0 && at <= batch_axis) {
        shape.insert(shape.begin() + at, 1);
        ++batch_axis;
    } else {
        shape.insert(shape.begin() + (batch_axis >= 0 ? at - 1 : at), 1);
    }
    call.set(call.reshaped(x, shape, batch_axis));
}

Operand expand_to(Call& call, const Operand& x, const std::vector<Extent>& target) {
    const std::vector<Extent> from = extents_of(x);
    if (target.size() < from.size()) {
        call.refuse("it expands to fewer axes than there are", {}, "size");
    }
    const std::size_t added = target.size() - from.size();
    const auto declared = call.importer().declared_batch();
    Shape shape;
    int batch_axis = -1;
    for (std::size_t i = 0; i < target.size(); ++i) {
        const Extent wanted = target[i];
        if (i >= added && from[i - added].batch) {
            const bool same =
                wanted.batch ? wanted.value == 1 : wanted.value == -1 || wanted.value == declared;
            if (!same) {
                throw BatchMixed();
            }
            batch_axis = static_cast<int>(i);
            continue;
        }
        if (wanted.batch) {
            // The same for every sample: it broadcasts wherever it meets the batch axis.
            if (wanted.value != 1 || (i >= added && from[i - added].value != 1)) {
                throw BatchMixed();
            }
            shape.push_back(1);
            continue;
        }
        shape.push_back(wanted.value == -1 && i >= added ? from[i - added].value : wanted.value);
    }
    const auto joined = broadcast(x.sample_shape(), shape);
    if (!joined || *joined != shape) {
        call.refuse(fmt::format("shape {} does not expand to {}", to_string(x.sample_shape()),
                                to_string(shape)));
    }
    if (x.sample_shape() == shape) {
        Operand y = x;
        y.batch_axis = x.is_constant ? -1 : batch_axis;
        return y;
    }
    if (!checked_element_count(shape) || *checked_element_count(shape) > (std::int64_t{1} << 28)) {
        call.refuse(fmt::format("a tensor of shape {} is too large", to_string(shape)));
    }
    return call.emit(expand_operator, Attributes::of(ExpandFields{shape}), {x}, batch_axis).front();
}

void expand(Call& call) {
    call.ignore("implicit");  // says who asked for it
    call.set(expand_to(call, call.operand("self"), call.extents("size")));
}

void expand_as(Call& call) {
    call.set(expand_to(call, call.operand("self"), extents_of(call.operand("other"))));
}

/// x repeated along an axis of a sample: as a whole, or each position by itself.
Operand repeated(Call& call, const Operand& x, std::int64_t axis, std::int64_t times, bool each) {
    Shape shape = x.sample_shape();
    const auto at = static_cast<std::size_t>(axis);
    const std::int64_t extent = shape[at];
    if (times == 1) {
        return x;
    }
    if (times < 0 || extent * times > (std::int64_t{1} << 28)) {
        call.refuse(fmt::format("it repeats {} times", times));
    }
    Shape apart = shape;
    apart.insert(apart.begin() + axis + (each ? 1 : 0), 1);
    Shape wide = apart;
    wide[at + (each ? 1 : 0)] = times;
    shape[at] *= times;
    const int front = x.batch_axis >= 0 ? 0 : -1;
    return call.reshaped(call.expanded(call.reshaped(x, apart, front), wide), shape, x.batch_axis);
}

void repeat(Call& call, const char* name) {
    Operand x = call.operand("self");
    std::vector<Extent> times = call.extents(name);
    // Fewer numbers than axes: tile counts from the last axis, repeat does not know it.
    while (static_cast<std::int64_t>(times.size()) < x.rank()) {
        times.insert(times.begin(), Extent{1, false});
    }
    const std::size_t added = times.size() - static_cast<std::size_t>(x.rank());
    Shape shape = x.sample_shape();
    shape.insert(shape.begin(), added, 1);
    x = call.reshaped(x, shape, x.batch_axis < 0 ? -1 : x.batch_axis + static_cast<int>(added));
    std::vector<std::size_t> joined;
    for (std::size_t i = 0; i < times.size(); ++i) {
        if (times[i].batch) {
            if (x.batch_axis >= 0 || times[i].value != 1) {
                throw BatchMixed();
            }
            if (x.sample_shape()[i] != 1) {
                joined.push_back(i);  // all of it for each sample
            }
            continue;  // the same for every sample
        }
        if (times[i].value != 1) {
            x = repeated(call, x, call.axis(x, static_cast<std::int64_t>(i)), times[i].value,
                         false);
        }
    }
    if (!joined.empty()) {
        if (joined.size() > 1) {
            throw BatchMixed();
        }
        shape = x.sample_shape();
        shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(joined[0]), 1);
        x = call.reshaped(x, shape, -1);
        call.join(static_cast<int>(joined[0]));
    }
    call.set(x);
}

void repeat_interleave(Call& call) {
    Operand x = call.operand("self");
    call.ignore("output_size");  // follows from the others
    const std::int64_t times = call.integer("repeats");
    std::int64_t axis = 0;
    if (call.has("dim")) {
        axis = call.axis(x, call.integer("dim"));
    } else {
        if (x.batch_axis >= 0) {
            throw BatchMixed();
        }
        x = call.reshaped(x, {element_count(x.sample_shape())}, -1);
    }
    call.set(repeated(call, x, axis, times, true));
}

/// Copies between element types. Reals become integers towards zero.
void cast_to(Call& call, const char* input) {
    Operand x = call.operand(input);
    const ScalarType from = call.type_of(input);
    ScalarType to = call.type("dtype", from);
    if (call.has("other")) {
        to = call.type_of("other");
        call.ignore("other");
    }
    call.ignore("_copy");
    if (to == ScalarType::boolean && from != ScalarType::boolean) {
        x.is_integer = false;
        x = call.function("nonzero", x);
    } else if (is_integral(to) && !is_integral(from) && from != ScalarType::unknown) {
        x.is_integer = false;
        x = call.function("truncate", x);
    }
    const bool narrows =
        (to == ScalarType::uint8 || to == ScalarType::int8 || to == ScalarType::int16) &&
        from != ScalarType::boolean && from != to;
    if (narrows) {
        call.refuse(
            fmt::format("it casts to {}, which wraps values that do not fit", to_string(to)),
            "Cast to int32, or quantise.", "dtype");
    }
    if (x.is_constant && to == ScalarType::float32) {
        for (double& value : x.constant.values) {
            value = static_cast<double>(static_cast<float>(value));
        }
    }
    call.set(x);
}

void to_copy(Call& call) {
    cast_to(call, "self");
}

void copy(Call& call) {
    const Operand self = call.operand("self");
    const Operand source = call.operand("src");
    const ScalarType from = call.type_of("src");
    if (from != call.type_of("self") && is_integral(call.type_of("self"))) {
        call.refuse("it copies between element types", "Cast before the copy.", "src");
    }
    if (source.is_constant && self.batch_axis >= 0) {
        const Operand sample = Call::tensor(call.without_batch(source.constant, self));
        call.set(
            call.repeated(call.expanded(sample, self.sample_shape()).constant, self.batch_axis));
        return;
    }
    call.set(expand_to(call, source, extents_of(self)));
}

/// A view whose elements must lie one behind the other.
void reshape_alias(Call& call) {
    const std::vector<Extent> sizes = call.extents("size");
    const std::vector<Extent> strides = call.extents("stride");
    call.demand(sizes.size() == strides.size(), "stride", "there is not one for each axis");
    std::int64_t expected = 1;
    for (std::size_t i = sizes.size(); i-- > 0 && !sizes[i].batch;) {
        call.demand(sizes[i].value == 1 || strides[i] == Extent{expected, false}, "stride",
                    "its elements do not lie one behind the other");
        expected *= sizes[i].value;
    }
    view(call, "size");
}

const RuleRow rows[] = {
    {"aten.view", "default", [](Call& c) { view(c, "size"); }, true, Joined::known},
    {"aten.reshape", "default", [](Call& c) { view(c, "shape"); }, true, Joined::known},
    {"aten._unsafe_view", "default", [](Call& c) { view(c, "size"); }, true, Joined::known},
    {"aten.view_copy", "default", [](Call& c) { view(c, "size"); }},
    {"aten._reshape_alias", "default", &reshape_alias, true},
    {"aten.view_as", "default", &view_as, true},
    {"aten.reshape_as", "default", &view_as, true},
    {"aten.flatten", "using_ints", &flatten, true},
    {"aten.ravel", "default", [](Call& c) { c.set(reshape_to(c, c.operand("self"), {{-1}})); },
     true},
    {"aten.unflatten", "int", &unflatten, true},
    {"aten.squeeze", "default dim dims", &squeeze, true},
    {"aten.squeeze_copy", "default dim dims", &squeeze},
    {"aten.unsqueeze", "default", &unsqueeze, true},
    {"aten.unsqueeze_copy", "default", &unsqueeze},
    {"aten.expand", "default", &expand, true},
    {"aten.expand_copy", "default", &expand},
    {"aten.broadcast_to", "default", &expand, true},
    {"aten.expand_as", "default", &expand_as, true},
    {"aten.repeat", "default", [](Call& c) { repeat(c, "repeats"); }},
    {"aten.tile", "default", [](Call& c) { repeat(c, "dims"); }},
    {"aten.repeat_interleave", "self_int", &repeat_interleave},
    {"aten.contiguous", "default", &identity, true, Joined::stays},
    {"aten.clone", "default", &identity, false, Joined::stays},
    {"aten.detach", "default", &identity, true, Joined::stays},
    {"aten.alias", "default", &identity, true, Joined::stays},
    {"aten.alias_copy", "default", &identity},
    {"aten.lift_fresh_copy", "default", &identity},
    {"aten.lift_fresh", "default", &identity, true},
    {"aten.lift", "default", &identity},
    {"aten.to", "dtype dtype_layout device other", &to_copy, true},
    {"aten._to_copy", "default", &to_copy, false, Joined::stays},
    {"aten.type_as", "default", &to_copy, true},
    {"aten.copy", "default", &copy},
};

}  // namespace

std::span<const RuleRow> shape_rules() {
    return rows;
}

}  // namespace gatewright::torch
