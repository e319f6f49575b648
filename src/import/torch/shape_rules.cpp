// Views and copies: what only says which element of a tensor stands where.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

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

/// Where in `target` the batch axis of x stands: behind as many elements as in x.
std::size_t batch_position(Call& call, const Operand& x, const std::vector<Extent>& target) {
    const Shape& shape = x.sample_shape();
    const auto before = element_count(Shape(shape.begin(), shape.begin() + x.batch_axis));
    const auto declared = call.importer().declared_batch();
    std::int64_t product = 1;
    for (std::size_t i = 0; i < target.size(); ++i) {
        const Extent& extent = target[i];
        const bool batch = extent == Extent{1, true} ||
                           (!extent.batch && declared && extent.value == *declared);
        if (product == before && batch) {
            return i;
        }
        if (extent.batch || extent.value < 0) {
            break;
        }
        product *= extent.value;
        if (product > before) {
            break;
        }
    }
    // -1 stands for the batch if the other extents make up the sample.
    std::int64_t others = 1;
    std::size_t open = target.size();
    for (std::size_t i = 0; i < target.size(); ++i) {
        if (target[i].batch) {
            throw BatchMixed();
        }
        if (target[i].value == -1) {
            open = i;
        } else {
            others *= target[i].value;
        }
    }
    const std::int64_t leading = std::accumulate(
        target.begin(), target.begin() + static_cast<std::ptrdiff_t>(open), std::int64_t{1},
        [](std::int64_t a, const Extent& e) { return a * e.value; });
    if (open == target.size() || others != element_count(shape) || leading != before) {
        throw BatchMixed();
    }
    return open;
}

Operand reshape_to(Call& call, const Operand& x, std::vector<Extent> target) {
    int batch_axis = -1;
    if (x.batch_axis >= 0) {
        const std::size_t at = batch_position(call, x, target);
        batch_axis = static_cast<int>(at);
        target.erase(target.begin() + static_cast<std::ptrdiff_t>(at));
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

Operand permuted(Call& call, const Operand& x, const Shape& permutation) {
    int batch_axis = -1;
    Shape sample;
    std::vector<bool> taken(static_cast<std::size_t>(x.rank()), false);
    for (std::size_t i = 0; i < permutation.size(); ++i) {
        const std::int64_t from = call.normalised(permutation[i], x.rank());
        if (taken[static_cast<std::size_t>(from)]) {
            call.refuse("it names an axis twice", {}, "dims");
        }
        taken[static_cast<std::size_t>(from)] = true;
        if (from == x.batch_axis) {
            batch_axis = static_cast<int>(i);
        } else {
            sample.push_back(x.batch_axis >= 0 && from > x.batch_axis ? from - 1 : from);
        }
    }
    if (static_cast<std::int64_t>(permutation.size()) != x.rank()) {
        call.refuse("it does not name every axis", {}, "dims");
    }
    return call.transposed(x, sample, batch_axis);
}

void permute(Call& call) {
    call.set(permuted(call, call.operand("self"), call.integers("dims")));
}

Shape identity_permutation(std::int64_t rank) {
    Shape out(static_cast<std::size_t>(rank));
    std::iota(out.begin(), out.end(), std::int64_t{0});
    return out;
}

void swap_axes(Call& call, const char* first, const char* second) {
    const Operand x = call.operand("self");
    Shape order = identity_permutation(x.rank());
    const std::int64_t a = call.integer(first);
    const std::int64_t b = call.integer(second);
    if (order.empty()) {
        call.set(x);
        return;
    }
    std::swap(order[static_cast<std::size_t>(call.normalised(a, x.rank()))],
              order[static_cast<std::size_t>(call.normalised(b, x.rank()))]);
    call.set(permuted(call, x, order));
}

/// All axes reversed, or the last two swapped.
void turned(Call& call, bool all) {
    const Operand x = call.operand("self");
    Shape order = identity_permutation(x.rank());
    if (all) {
        std::reverse(order.begin(), order.end());
    } else {
        call.demand(order.size() >= 2, "self", "it has fewer than two axes");
        std::swap(order[order.size() - 1], order[order.size() - 2]);
    }
    call.set(permuted(call, x, order));
}

void transpose_matrix(Call& call) {  // t: a matrix transposed, less as it is
    const Operand x = call.operand("self");
    call.demand(x.rank() <= 2, "self", "it has more than two axes");
    Shape order = identity_permutation(x.rank());
    std::reverse(order.begin(), order.end());
    call.set(permuted(call, x, order));
}

void move_axes(Call& call) {
    const Operand x = call.operand("self");
    const Shape from = call.integers("source");
    const Shape to = call.integers("destination");
    call.demand(from.size() == to.size(), "destination", "it has not as many axes as source");
    Shape order(static_cast<std::size_t>(x.rank()), -1);
    std::vector<bool> moved(order.size(), false);
    for (std::size_t i = 0; i < from.size(); ++i) {
        const auto source = static_cast<std::size_t>(call.normalised(from[i], x.rank()));
        const auto target = static_cast<std::size_t>(call.normalised(to[i], x.rank()));
        if (moved[source] || order[target] >= 0) {
            call.refuse("it names an axis twice", {}, "source");
        }
        order[target] = static_cast<std::int64_t>(source);
        moved[source] = true;
    }
    std::size_t next = 0;
    for (std::int64_t& axis : order) {
        if (axis < 0) {
            while (moved[next]) {
                ++next;
            }
            axis = static_cast<std::int64_t>(next++);
        }
    }
    call.set(permuted(call, x, order));
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
            const bool same = wanted.batch ? wanted.value == 1
                                           : wanted.value == -1 || wanted.value == declared;
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
    for (std::size_t i = 0; i < times.size(); ++i) {
        if (times[i].batch) {
            if (x.batch_axis >= 0 || times[i].value != 1 || x.sample_shape()[i] != 1) {
                throw BatchMixed();
            }
            continue;  // the same for every sample
        }
        if (times[i].value != 1) {
            x = repeated(call, x, call.axis(x, static_cast<std::int64_t>(i)), times[i].value,
                         false);
        }
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

/// Position `index` (may be negative) of a tensor's axis; the axis goes.
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

void select(Call& call) {
    const Operand x = call.operand("self");
    call.set(selected(call, x, call.integer("dim"), call.integer("index")));
}

/// begin and end as Python slices have them, within an extent.
std::pair<std::int64_t, std::int64_t> bounds(std::int64_t begin, std::int64_t end,
                                             std::int64_t extent) {
    begin = std::clamp<std::int64_t>(begin < 0 ? begin + extent : begin, 0, extent);
    end = std::clamp<std::int64_t>(end < 0 ? end + extent : end, begin, extent);
    return {begin, end};
}

void slice(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t at = call.normalised(call.integer("dim", 0), x.rank());
    const std::int64_t step = call.integer("step", 1);
    call.demand(step >= 1, "step", fmt::format("it is {}", step));
    if (at == x.batch_axis) {
        const bool from_start = !call.has("start") || call.integer("start") == 0;
        bool to_end = !call.has("end");
        if (!to_end) {
            const Extent end = call.extents("end").front();
            to_end = end == Extent{1, true} || (!end.batch && end.value > INT32_MAX / 2);
        }
        if (!from_start || !to_end || step != 1) {
            throw BatchMixed();
        }
        call.set(x);
        return;
    }
    const std::int64_t axis = call.axis(x, at);
    const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
    const auto [begin, end] = bounds(call.integer("start", 0), call.integer("end", INT64_MAX),
                                     extent);
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

/// Tensors that are joined: where one has a batch axis the others are the same for all samples.
int join_batch(Call& call, std::vector<Operand>& xs) {
    int batch_axis = -1;
    for (const Operand& x : xs) {
        batch_axis = std::max(batch_axis, x.batch_axis);
    }
    for (Operand& x : xs) {
        if (batch_axis >= 0 && x.batch_axis < 0) {
            Shape shape = x.sample_shape();
            if (static_cast<int>(shape.size()) <= batch_axis ||
                shape[static_cast<std::size_t>(batch_axis)] != 1) {
                throw BatchMixed();
            }
            shape.erase(shape.begin() + batch_axis);
            x = call.reshaped(x, shape, -1);
        } else if (x.batch_axis != batch_axis) {
            throw BatchMixed();
        }
    }
    return batch_axis;
}

void join(Call& call, std::vector<Operand> xs, std::int64_t dim, const char* name) {
    const std::int64_t rank = xs.front().rank();
    for (const Operand& x : xs) {
        if (x.rank() != rank) {
            call.refuse("it joins tensors with different numbers of axes", {}, name);
        }
    }
    std::int64_t axis = call.normalised(dim, rank);
    const int batch_axis = join_batch(call, xs);
    if (axis == batch_axis) {
        throw BatchMixed();
    }
    axis = batch_axis >= 0 && axis > batch_axis ? axis - 1 : axis;
    call.set(
        call.emit(concat_operator, Attributes::of(ConcatFields{axis}), xs, batch_axis).front());
}

void concatenate(Call& call) {
    std::vector<Operand> xs;
    for (const Operand& x : call.operands("tensors")) {
        // An old rule lets vectors without elements stand for nothing.
        if (!(x.rank() == 1 && x.batch_axis < 0 && x.sample_shape() == Shape{0})) {
            xs.push_back(x);
        }
    }
    call.demand(!xs.empty(), "tensors", "it joins nothing");
    join(call, xs, call.integer("dim", 0), "tensors");
}

void stack(Call& call) {
    std::vector<Operand> xs = call.operands("tensors");
    call.demand(!xs.empty(), "tensors", "it joins nothing");
    const std::int64_t dim = call.normalised(call.integer("dim", 0), xs.front().rank() + 1);
    for (Operand& x : xs) {
        Shape shape = x.sample_shape();
        const bool before = x.batch_axis >= 0 && dim <= x.batch_axis;
        const std::int64_t at = x.batch_axis >= 0 && !before ? dim - 1 : dim;
        if (at > static_cast<std::int64_t>(shape.size())) {
            call.refuse("it joins tensors with different numbers of axes", {}, "tensors");
        }
        shape.insert(shape.begin() + at, 1);
        x = call.reshaped(x, shape, before ? x.batch_axis + 1 : x.batch_axis);
    }
    join(call, xs, dim, "tensors");
}

/// hstack, vstack, dstack: along an axis, of tensors with at least so many.
void stack_along(Call& call, std::int64_t dim, std::int64_t rank) {
    std::vector<Operand> xs = call.operands("tensors");
    call.demand(!xs.empty(), "tensors", "it joins nothing");
    for (Operand& x : xs) {
        if (x.rank() < rank) {
            if (x.batch_axis >= 0) {
                throw BatchMixed();
            }
            // A vector is a row; a third axis goes behind.
            Shape shape = x.sample_shape();
            while (static_cast<std::int64_t>(shape.size()) < std::min<std::int64_t>(rank, 2)) {
                shape.insert(shape.begin(), 1);
            }
            shape.resize(static_cast<std::size_t>(rank), 1);
            x = call.reshaped(x, shape, -1);
        }
    }
    join(call, xs, dim, "tensors");
}

void hstack(Call& call) {
    const bool vectors = call.operands("tensors").front().rank() < 2;
    stack_along(call, vectors ? 0 : 1, 1);
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
    const std::int64_t length =
        std::max<std::int64_t>(0, std::min(rows - row, columns - column));
    std::vector<std::int64_t> index;
    for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t i = 0; i < length; ++i) {
            index.push_back((o * rows + row + i) * columns + column + i);
        }
    }
    shape.push_back(length);
    call.set(indexed(call, x, shape, std::move(index), x.batch_axis));
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
    const bool narrows = (to == ScalarType::uint8 || to == ScalarType::int8 ||
                          to == ScalarType::int16) &&
                         from != ScalarType::boolean && from != to;
    if (narrows) {
        call.refuse(fmt::format("it casts to {}, which wraps values that do not fit",
                                to_string(to)),
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
    call.set(expand_to(call, source, extents_of(self)));
}

const RuleRow rows[] = {
    {"aten.view", "default", [](Call& c) { view(c, "size"); }, true},
    {"aten.reshape", "default", [](Call& c) { view(c, "shape"); }, true},
    {"aten._unsafe_view", "default", [](Call& c) { view(c, "size"); }, true},
    {"aten.view_copy", "default", [](Call& c) { view(c, "size"); }},
    {"aten._reshape_alias", "default",
     [](Call& c) {
         c.ignore("stride");  // follows from a contiguous layout
         view(c, "size");
     },
     true},
    {"aten.view_as", "default", &view_as, true},
    {"aten.reshape_as", "default", &view_as, true},
    {"aten.flatten", "using_ints", &flatten, true},
    {"aten.ravel", "default", [](Call& c) { c.set(reshape_to(c, c.operand("self"), {{-1}})); },
     true},
    {"aten.unflatten", "int", &unflatten, true},
    {"aten.permute", "default", &permute, true},
    {"aten.permute_copy", "default", &permute},
    {"aten.transpose", "int", [](Call& c) { swap_axes(c, "dim0", "dim1"); }, true},
    {"aten.transpose_copy", "int", [](Call& c) { swap_axes(c, "dim0", "dim1"); }},
    {"aten.swapaxes", "default", [](Call& c) { swap_axes(c, "axis0", "axis1"); }, true},
    {"aten.swapdims", "default", [](Call& c) { swap_axes(c, "dim0", "dim1"); }, true},
    {"aten.numpy_T", "default", [](Call& c) { turned(c, true); }, true},
    {"aten.mT", "default", [](Call& c) { turned(c, false); }, true},
    {"aten.matrix_H", "default", [](Call& c) { turned(c, false); }, true},
    {"aten.mH", "default", [](Call& c) { turned(c, false); }, true},
    {"aten.adjoint", "default", [](Call& c) { turned(c, false); }, true},
    {"aten.t", "default", &transpose_matrix, true},
    {"aten.movedim", "int intlist", &move_axes, true},
    {"aten.moveaxis", "int intlist", &move_axes, true},
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
    {"aten.select", "int", &select, true},
    {"aten.select_copy", "int", &select},
    {"aten.slice", "Tensor", &slice, true},
    {"aten.slice_copy", "Tensor", &slice},
    {"aten.narrow", "default", &narrow, true},
    {"aten.split", "Tensor sizes", &split, true},
    {"aten.split_with_sizes", "default", &split, true},
    {"aten.split_with_sizes_copy", "default", &split},
    {"aten.chunk", "default", &chunk, true},
    {"aten.tensor_split", "sections indices", &tensor_split, true},
    {"aten.unbind", "int", &unbind, true},
    {"aten.unbind_copy", "int", &unbind},
    {"aten.cat", "default", &concatenate},
    {"aten.concat", "default", &concatenate},
    {"aten.concatenate", "default", &concatenate},
    {"aten.stack", "default", &stack},
    {"aten.hstack", "default", &hstack},
    {"aten.vstack", "default", [](Call& c) { stack_along(c, 0, 2); }},
    {"aten.dstack", "default", [](Call& c) { stack_along(c, 2, 3); }},
    {"aten.flip", "default", [](Call& c) { flip(c, std::nullopt); }},
    {"aten.fliplr", "default", [](Call& c) { flip(c, 1); }},
    {"aten.flipud", "default", [](Call& c) { flip(c, 0); }},
    {"aten.roll", "default", &roll},
    {"aten.diagonal", "default", &diagonal, true},
    {"aten.diagonal_copy", "default", &diagonal},
    {"aten.triu", "default", [](Call& c) { triangle(c, true); }},
    {"aten.tril", "default", [](Call& c) { triangle(c, false); }},
    {"aten.unfold", "default", &unfold, true},
    {"aten.unfold_copy", "default", &unfold},
    {"aten.pixel_shuffle", "default", [](Call& c) { pixel_shuffle(c, true); }},
    {"aten.pixel_unshuffle", "default", [](Call& c) { pixel_shuffle(c, false); }},
    {"aten.channel_shuffle", "default", &channel_shuffle},
    {"aten.contiguous", "default", &identity, true},
    {"aten.clone", "default", &identity},
    {"aten.detach", "default", &identity, true},
    {"aten.alias", "default", &identity, true},
    {"aten.alias_copy", "default", &identity},
    {"aten.lift_fresh_copy", "default", &identity},
    {"aten.lift_fresh", "default", &identity, true},
    {"aten.lift", "default", &identity},
    {"aten.to", "dtype dtype_layout device other", &to_copy, true},
    {"aten._to_copy", "default", &to_copy},
    {"aten.type_as", "default", &to_copy, true},
    {"aten.copy", "default", &copy},
};

}  // namespace

std::span<const RuleRow> shape_rules() {
    return rows;
}

}  // namespace gatewright::torch
