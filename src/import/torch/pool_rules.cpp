// Pooling and padding.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/layers/pooling.h"
#include "import/torch/rules.h"
#include "import/torch/samples.h"
#include "operators/layers.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

/// A pool's window. With ceil_mode one more patch where the last one does not reach the end, if it
/// starts inside.
PoolFields window(Call& call, const Operand& x, std::size_t rank, const char* kind) {
    PoolFields f;
    f.kind = kind;
    f.kernel = call.spatial("kernel_size", rank, 1);
    const Shape stride = call.integers("stride", Shape{});
    f.strides = stride.empty() ? f.kernel : call.spatial("stride", rank, 1);
    f.dilations = call.spatial("dilation", rank, 1);
    f.before = call.spatial("padding", rank, 0);
    f.after = f.before;
    const Shape& shape = x.sample_shape();
    if (x.rank() < static_cast<std::int64_t>(rank)) {
        call.refuse(fmt::format("its input has {} axes", x.rank()));
    }
    for (std::size_t i = 0; i < rank; ++i) {
        if (f.kernel[i] < 1 || f.strides[i] < 1 || f.dilations[i] < 1 || f.before[i] < 0) {
            call.refuse("a kernel extent, stride, dilation or padding is out of range");
        }
    }
    if (call.flag("ceil_mode", false)) {
        if (shape.size() < rank) {
            throw BatchMixed();
        }
        f.uncounted.assign(rank, 0);
        for (std::size_t i = 0; i < rank; ++i) {
            const std::int64_t extent = shape[shape.size() - rank + i];
            const std::int64_t reach = (f.kernel[i] - 1) * f.dilations[i] + 1;
            const std::int64_t room = extent + f.before[i] + f.after[i] - reach;
            const std::int64_t rest = room % f.strides[i];
            const std::int64_t next = room - rest + f.strides[i];
            if (room >= 0 && rest != 0 && next < extent + f.before[i]) {
                f.uncounted[i] = f.strides[i] - rest;
                f.after[i] += f.uncounted[i];
            }
        }
    }
    return f;
}

Operand pooled(Call& call, const Operand& x, std::size_t rank, const PoolFields& fields) {
    return for_each_sample(
        call, x, static_cast<std::int64_t>(rank) + 1, [&](const Operand& sample) {
            return call.emit(pool_operator, Attributes::of(fields), {sample}, sample.batch_axis)
                .front();
        });
}

/// Whether a result is an argument of a later layer or an output of the program.
bool is_used(Call& call, const std::string& name) {
    const Program& program = call.importer().program();
    const auto names_it = [&](const GraphNode& node) {
        return std::any_of(node.arguments.begin(), node.arguments.end(), [&](const auto& entry) {
            const auto& names = entry.second.names;
            return std::find(names.begin(), names.end(), name) != names.end();
        });
    };
    return std::find(program.outputs.begin(), program.outputs.end(), name) !=
               program.outputs.end() ||
           std::any_of(program.nodes.begin(), program.nodes.end(), names_it);
}

/// Where each patch's first maximum lies: its number among the spatial positions of its channel.
Operand positions_of_maxima(Call& call, const Operand& sample, const WindowFields& window) {
    const int batch_axis = sample.batch_axis;
    const Shape spatial(sample.sample_shape().begin() + 1, sample.sample_shape().end());
    const std::int64_t channels = sample.sample_shape().front();
    const Operand patches =
        call.emit(window_operator, Attributes::of(window), {sample}, batch_axis).front();
    Shape grid = patches.sample_shape();
    grid.pop_back();
    const std::int64_t count = element_count(grid);
    const std::int64_t positions =
        patches.sample_shape().back() / std::max<std::int64_t>(channels, 1);
    const Operand best =
        call.emit(argmax_operator, Attributes::of(ArgLayerFields{2, true, false, false}),
                  {call.reshaped(patches, {count, channels, positions}, batch_axis)}, batch_axis)
            .front();
    // The same patches of a tensor that holds the number of each position.
    Tensor numbers{spatial, {}};
    for (std::int64_t i = 0; i < element_count(spatial); ++i) {
        numbers.values.push_back(static_cast<double>(i));
    }
    numbers.shape.insert(numbers.shape.begin(), 1);
    const Operand numbered =
        call.emit(window_operator, Attributes::of(window), {Call::tensor(std::move(numbers))}, -1)
            .front();
    const Operand table = call.expanded(call.reshaped(numbered, {count, 1, positions}, -1),
                                        {count, channels, positions});
    const Operand found =
        call.emit(gather_elements_operator, Attributes::of(GatherElementsFields{2, false, "error"}),
                  {table, best}, batch_axis)
            .front();
    grid.insert(grid.begin(), channels);
    return call.reshaped(
        call.transposed(call.reshaped(found, {count, channels}, batch_axis), {1, 0}, batch_axis),
        grid, batch_axis);
}

template <std::size_t rank>
void max_pool(Call& call) {
    const Operand x = call.operand("self");
    PoolFields fields = window(call, x, rank, "max");
    fields.uncounted.clear();  // maxima do not count
    call.set(pooled(call, x, rank, fields));
    if (call.outputs() > 1 && is_used(call, call.node().outputs[1])) {
        const WindowFields window{fields.kernel, fields.strides, fields.dilations,
                                  fields.before, fields.after,   true};
        call.set(for_each_sample(call, x, static_cast<std::int64_t>(rank) + 1,
                                 [&](const Operand& sample) {
                                     return positions_of_maxima(call, sample, window);
                                 }),
                 1);
    }
}

template <std::size_t rank>
void average_pool(Call& call) {
    const Operand x = call.operand("self");
    PoolFields fields = window(call, x, rank, "average");
    fields.count_padding = call.flag("count_include_pad", true);
    if (!call.has("divisor_override")) {
        call.set(pooled(call, x, rank, fields));
        return;
    }
    // The sum of all that the patch covers, divided by what the model says.
    const std::int64_t divisor = call.integer("divisor_override");
    call.demand(divisor != 0, "divisor_override", "it is 0");
    double count = 1;
    for (const std::int64_t extent : fields.kernel) {
        count *= static_cast<double>(extent);
    }
    fields.count_padding = true;
    fields.uncounted.clear();
    call.set(call.multiply(pooled(call, x, rank, fields),
                           Call::number(count / static_cast<double>(divisor))));
}

template <std::size_t rank>
void adaptive(Call& call, const char* kind) {
    const Operand x = call.operand("self");
    const Shape extents = call.spatial("output_size", rank, 1);
    call.set(for_each_sample(
        call, x, static_cast<std::int64_t>(rank) + 1,
        [&](const Operand& sample) { return layers::adaptive_pool(call, sample, kind, extents); }));
}

struct Pads {
    Shape before;
    Shape after;
};

/// Two numbers for each axis, the last axis first.
Pads pads_of(Call& call, const Operand& x, const char* name) {
    const Shape list = call.integers(name);
    const std::size_t count = list.size() / 2;
    call.demand(list.size() % 2 == 0 && static_cast<std::int64_t>(count) <= x.rank(), name,
                "it is not two numbers for each of some last axes");
    Pads pads{Shape(x.sample_shape().size(), 0), {}};
    pads.after = pads.before;
    for (std::size_t i = 0; i < count; ++i) {
        if (list[2 * i] == 0 && list[2 * i + 1] == 0) {
            continue;
        }
        const auto axis =
            static_cast<std::size_t>(call.axis(x, x.rank() - 1 - static_cast<std::int64_t>(i)));
        pads.before[axis] = list[2 * i];
        pads.after[axis] = list[2 * i + 1];
    }
    return pads;
}

/// Negative pads cut off: what is left, and pads that are not negative.
Operand cut(Call& call, Operand x, Pads& pads, const char* name) {
    for (std::size_t axis = 0; axis < pads.before.size(); ++axis) {
        const std::int64_t first = std::max<std::int64_t>(0, -pads.before[axis]);
        const std::int64_t last = std::max<std::int64_t>(0, -pads.after[axis]);
        if (first == 0 && last == 0) {
            continue;
        }
        const std::int64_t extent = x.sample_shape()[axis];
        call.demand(first <= extent && last <= extent - first, name,
                    fmt::format("it cuts more off than an extent of {}", extent));
        x = call.sliced(x, static_cast<std::int64_t>(axis), first, extent - first - last);
        pads.before[axis] = std::max<std::int64_t>(0, pads.before[axis]);
        pads.after[axis] = std::max<std::int64_t>(0, pads.after[axis]);
    }
    return x;
}

Operand pad_circular(Call& call, Operand x, const Pads& pads, const char* name) {
    for (std::size_t at = 0; at < pads.before.size(); ++at) {
        const auto axis = static_cast<std::int64_t>(at);
        const std::int64_t extent = x.sample_shape()[at];
        call.demand(pads.before[at] <= extent && pads.after[at] <= extent, name,
                    fmt::format("it goes round more than once ({} positions)", extent));
        if (pads.before[at] == 0 && pads.after[at] == 0) {
            continue;
        }
        const int batch_axis = x.batch_axis;
        x = call.concatenated({call.sliced(x, axis, extent - pads.before[at], pads.before[at]), x,
                               call.sliced(x, axis, 0, pads.after[at])},
                              axis);
        x.batch_axis = batch_axis;
    }
    return x;
}

void pad_with(Call& call, const char* name, const std::string& mode, double value) {
    Operand x = call.operand("self");
    Pads pads = pads_of(call, x, name);
    x = cut(call, x, pads, name);
    if (mode == "circular") {
        call.set(pad_circular(call, x, pads, name));
        return;
    }
    PadFields fields{pads.before, pads.after, "zero"};
    if (mode == "reflect" || mode == "replicate") {
        fields.mode = mode == "reflect" ? "reflect" : "edge";
    } else if (mode != "constant") {
        call.refuse(fmt::format("there is no mode '{}'", mode), {}, "mode");
    }
    const Shape inner = x.sample_shape();
    Operand y = call.emit(pad_operator, Attributes::of(fields), {x}, x.batch_axis).front();
    if (mode == "constant" && value != 0) {
        // What was added, plus the value; zero elsewhere.
        PadFields frame = fields;
        const Operand inside = call.emit(pad_operator, Attributes::of(frame),
                                         {Call::tensor(Tensor::filled(inner, 1))}, -1)
                                   .front();
        Operand border = inside;
        for (double& v : border.constant.values) {
            v = v != 0 ? 0 : static_cast<double>(static_cast<float>(value));
        }
        if (y.batch_axis >= 0) {
            border.constant.shape.insert(border.constant.shape.begin() + y.batch_axis, 1);
        }
        y = call.add(y, border);
    }
    call.set(y);
}

void pad(Call& call) {
    const std::string mode = call.text("mode", "constant");
    const double value = call.real("value", 0);
    pad_with(call, "pad", mode, value);
}

const RuleRow rows[] = {
    {"aten.max_pool1d", "default", &max_pool<1>},
    {"aten.max_pool2d", "default", &max_pool<2>},
    {"aten.max_pool3d", "default", &max_pool<3>},
    {"aten.max_pool1d_with_indices", "default", &max_pool<1>},
    {"aten.max_pool2d_with_indices", "default", &max_pool<2>},
    {"aten.max_pool3d_with_indices", "default", &max_pool<3>},
    {"aten.avg_pool1d", "default", &average_pool<1>},
    {"aten.avg_pool2d", "default", &average_pool<2>},
    {"aten.avg_pool3d", "default", &average_pool<3>},
    {"aten.adaptive_avg_pool1d", "default", [](Call& c) { adaptive<1>(c, "average"); }},
    {"aten.adaptive_avg_pool2d", "default", [](Call& c) { adaptive<2>(c, "average"); }},
    {"aten.adaptive_avg_pool3d", "default", [](Call& c) { adaptive<3>(c, "average"); }},
    {"aten._adaptive_avg_pool2d", "default", [](Call& c) { adaptive<2>(c, "average"); }},
    {"aten._adaptive_avg_pool3d", "default", [](Call& c) { adaptive<3>(c, "average"); }},
    {"aten.adaptive_max_pool1d", "default", [](Call& c) { adaptive<1>(c, "max"); }},
    {"aten.adaptive_max_pool2d", "default", [](Call& c) { adaptive<2>(c, "max"); }},
    {"aten.adaptive_max_pool3d", "default", [](Call& c) { adaptive<3>(c, "max"); }},
    {"aten.pad", "default", &pad},
    {"aten.constant_pad_nd", "default",
     [](Call& c) {
         const double value = c.real("value", 0);
         pad_with(c, "pad", "constant", value);
     }},
    {"aten.reflection_pad1d", "default", [](Call& c) { pad_with(c, "padding", "reflect", 0); }},
    {"aten.reflection_pad2d", "default", [](Call& c) { pad_with(c, "padding", "reflect", 0); }},
    {"aten.reflection_pad3d", "default", [](Call& c) { pad_with(c, "padding", "reflect", 0); }},
    {"aten.replication_pad1d", "default", [](Call& c) { pad_with(c, "padding", "replicate", 0); }},
    {"aten.replication_pad2d", "default", [](Call& c) { pad_with(c, "padding", "replicate", 0); }},
    {"aten.replication_pad3d", "default", [](Call& c) { pad_with(c, "padding", "replicate", 0); }},
};

}  // namespace

std::span<const RuleRow> pool_rules() {
    return rows;
}

}  // namespace gatewright::torch
