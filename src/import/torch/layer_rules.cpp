// Products: linear layers, convolutions, and products of matrices and vectors.

#include <fmt/format.h>

#include <algorithm>

#include "import/layers/einsum.h"
#include "import/layers/normalisation.h"
#include "import/torch/rules.h"
#include "import/torch/samples.h"
#include "operators/layers.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;

/// What has no rows of samples must not have the batch joined with an axis.
void demand_apart(Call& call, std::initializer_list<const char*> names) {
    for (const char* name : names) {
        if (call.joined(name)) {
            throw BatchMixed();
        }
    }
}

/// The axis of rows that has the batch in it; the last axis may not have it.
std::optional<int> rows_joined(Call& call, const char* name) {
    const std::optional<int> joined = call.joined(name);
    if (joined && *joined + 2 >= call.operand(name).rank()) {
        throw BatchMixed();
    }
    return joined;
}

void linear_rule(Call& call) {
    const Operand x = call.operand("input");
    const Operand weight = call.operand("weight");
    const std::optional<Operand> bias = call.optional("bias");
    const std::optional<int> joined = rows_joined(call, "input");
    demand_apart(call, {"weight", "bias"});
    call.set(linear(call, x, weight, bias));
    if (joined) {
        call.join(*joined);
    }
}

void matmul(Call& call, const char* first, const char* second) {
    // Rows may have the batch in them; of two tensors with batches both have (see the table).
    const std::optional<int> joined = rows_joined(call, first);
    const std::optional<int> other = call.joined(second);
    if (other && other != joined) {
        throw BatchMixed();
    }
    if (joined) {
        call.join(*joined);
    }
    call.set(product(call, call.operand(first), call.operand(second)));
}

/// Products of matrices, one each: where the batch is joined with the first axis, both have it
/// there; where it is in the rows, there is one product.
void batched_matmul(Call& call) {
    const std::optional<int> joined = call.joined("self");
    const std::optional<int> other = call.joined("mat2");
    const Operand a = call.operand("self");
    Operand b = call.operand("mat2");
    if (joined == 1 && !other && b.batch_axis < 0 && b.rank() == 3 && b.sample_shape()[0] == 1) {
        b = call.reshaped(b, {b.sample_shape()[1], b.sample_shape()[2]}, -1);
    } else if (joined != other || joined.value_or(0) != 0 ||
               (joined && a.batch_axis != b.batch_axis)) {
        throw BatchMixed();
    }
    if (joined) {
        call.join(*joined);
    }
    call.set(product(call, a, b));
}

Operand times(Call& call, const Operand& x, double factor) {
    return factor == 1 ? x : call.multiply(x, Call::number(factor));
}

/// beta self + alpha a b
void add_product(Call& call, const char* first, const char* second) {
    const double beta = call.real("beta", 1);
    const double alpha = call.real("alpha", 1);
    const Operand self = call.operand("self");
    const std::optional<int> joined = rows_joined(call, first);
    demand_apart(call, {"self", second});
    if (joined) {
        if (self.rank() > 1) {
            throw BatchMixed();
        }
        call.join(*joined);
    }
    const Operand y = times(call, product(call, call.operand(first), call.operand(second)), alpha);
    // With beta 0 not even infinities of self count.
    call.set(beta == 0 ? y : call.add(times(call, self, beta), y));
}

void dot(Call& call, const char* first, const char* second) {
    const Operand a = call.operand(first);
    const Operand b = call.operand(second);
    call.demand(a.rank() == 1 && b.rank() == 1, first, "it is no vector");
    if (a.batch_axis >= 0 || b.batch_axis >= 0) {
        throw BatchMixed();
    }
    call.set(call.reduced(call.multiply(a, b), "sum", {0}, false));
}

void outer(Call& call) {
    const Operand a = call.operand("self");
    const Operand b = call.operand("vec2");
    call.demand(a.rank() == 1 && b.rank() == 1, "self", "it is no vector");
    if (a.batch_axis >= 0 || b.batch_axis >= 0) {
        throw BatchMixed();
    }
    const Operand column = call.reshaped(a, {a.sample_shape()[0], 1}, -1);
    call.set(call.multiply(column, b));
}

void cross(Call& call) {
    const Operand a = call.operand("self");
    const Operand b = call.operand("other");
    if (a.rank() != b.rank() || a.batch_axis != b.batch_axis) {
        throw BatchMixed();
    }
    std::int64_t dim = -1;
    if (call.has("dim")) {
        dim = call.integer("dim");
    } else if (call.node().target.find("linalg") == std::string::npos) {
        call.refuse("the axis of three positions is not named", "Name it: cross(dim=...).", "dim");
    }
    const std::int64_t axis = call.axis(a, dim);
    for (const Operand* x : {&a, &b}) {
        call.demand(x->sample_shape()[static_cast<std::size_t>(axis)] == 3, "dim",
                    "its extent is not 3");
    }
    const auto turned = [&](const Operand& x, std::int64_t by) {
        Operand y = call.concatenated(
            {call.sliced(x, axis, by, 3 - by), call.sliced(x, axis, 0, by)}, axis);
        y.batch_axis = x.batch_axis;
        return y;
    };
    call.set(call.subtract(call.multiply(turned(a, 1), turned(b, 2)),
                           call.multiply(turned(a, 2), turned(b, 1))));
}

void bilinear(Call& call) {
    const Operand a = call.operand("input1");
    const Operand b = call.operand("input2");
    const Operand weight = call.operand("weight");  // [out, in1, in2]
    const Operand bias = call.has("bias") ? call.operand("bias") : Call::number(0);
    const Shape w = weight.sample_shape();
    if (w.size() != 3 || weight.batch_axis >= 0 || a.batch_axis != b.batch_axis ||
        a.batch_axis == a.rank() - 1) {
        throw BatchMixed();
    }
    const Operand kernel =
        call.reshaped(call.transposed(weight, {1, 0, 2}, -1), {w[1], w[0] * w[2]}, -1);
    Operand y = call.emit(matmul_operator, Attributes(), {a, kernel}, a.batch_axis).front();
    Shape shape = y.sample_shape();
    shape.back() = w[0];
    shape.push_back(w[2]);
    y = call.reshaped(y, shape, a.batch_axis);
    Shape row = b.sample_shape();
    row.insert(row.end() - 1, 1);
    y = call.multiply(y, call.reshaped(b, row, b.batch_axis));
    const auto last = static_cast<std::int64_t>(y.sample_shape().size()) - 1;
    const int batch_axis = y.batch_axis;
    y = call.reduced(y, "sum", {last}, false);
    y.batch_axis = batch_axis;
    call.set(call.add(y, bias));
}

/// Distances of each row of one tensor to each row of another.
void cdist(Call& call) {
    const Operand a = call.operand("x1");
    const Operand b = call.operand("x2");
    const double p = call.real("p", 2);
    call.demand(p >= 0, "p", "it is negative");
    call.ignore("compute_mode");  // how it is computed, not what
    if (a.rank() != b.rank() || a.batch_axis != b.batch_axis || a.rank() < 2 ||
        a.batch_axis > a.rank() - 3) {
        throw BatchMixed();
    }
    Shape rows = a.sample_shape();
    rows.insert(rows.end() - 1, 1);
    Shape columns = b.sample_shape();
    columns.insert(columns.end() - 2, 1);
    const Operand difference = call.subtract(call.reshaped(a, rows, a.batch_axis),
                                             call.reshaped(b, columns, b.batch_axis));
    const auto last = static_cast<std::int64_t>(difference.sample_shape().size()) - 1;
    Operand y = layers::lp_norm(call, difference, p, {last}, false);
    y.batch_axis = a.batch_axis;
    call.set(y);
}

void einsum(Call& call) {
    const std::string equation = call.text("equation");
    call.ignore("path");  // the order of the products
    call.set(layers::einsum(call, equation, call.operands("tensors")));
}

/// Weights, strides and all that of a convolution.
struct Convolution {
    Operand weight;
    std::optional<Operand> bias;
    Shape strides;
    Shape dilations;
    Shape before;
    Shape after;
    Shape extra;
    std::int64_t groups = 1;
    bool transposed = false;
};

void convolve(Call& call, const Operand& x, const Convolution& c) {
    const std::int64_t rank = c.weight.rank() - 1;  // of a sample
    for (std::size_t i = 0; i < c.strides.size(); ++i) {
        if (c.strides[i] < 1 || c.dilations[i] < 1 || c.before[i] < 0 || c.after[i] < 0) {
            call.refuse("a stride, a dilation or a padding is out of range");
        }
    }
    std::vector<Operand> parameters = {c.weight};
    if (c.bias) {
        parameters.push_back(*c.bias);
    }
    call.set(for_each_sample(call, x, rank, [&](const Operand& sample) {
        std::vector<Operand> operands = {sample};
        operands.insert(operands.end(), parameters.begin(), parameters.end());
        if (c.transposed) {
            const ConvTransposeFields fields{c.strides, c.dilations, c.before,
                                             c.after,   c.extra,     c.groups};
            return call
                .emit(conv_transpose_operator, Attributes::of(fields), operands, sample.batch_axis)
                .front();
        }
        const ConvFields fields{c.strides, c.dilations, c.before, c.after, c.groups, {}};
        return call.emit(conv_operator, Attributes::of(fields), operands, sample.batch_axis)
            .front();
    }));
}

void convolution(Call& call, bool transposed) {
    const Operand x = call.operand("input");
    Convolution c;
    call.constant("weight");
    c.weight = call.operand("weight");
    c.bias = call.optional("bias");
    if (call.has("bias")) {
        call.constant("bias");
    }
    call.demand(c.weight.rank() >= 3, "weight", "it has fewer than three axes");
    const auto spatial = static_cast<std::size_t>(c.weight.rank() - 2);
    c.transposed = transposed || call.flag("transposed", false);
    c.strides = call.spatial("stride", spatial, 1);
    c.dilations = call.spatial("dilation", spatial, 1);
    c.groups = call.integer("groups", 1);
    c.extra = call.spatial("output_padding", spatial, 0);
    if (call.node().target.ends_with(".padding")) {
        const std::string padding = call.text("padding", "valid");
        c.before.assign(spatial, 0);
        c.after = c.before;
        if (padding == "same") {
            for (std::size_t i = 0; i < spatial; ++i) {
                call.demand(c.strides[i] == 1, "padding", "it is 'same' with a stride");
                const std::int64_t total = c.dilations[i] * (c.weight.sample_shape()[i + 2] - 1);
                c.before[i] = total / 2;
                c.after[i] = total - total / 2;
            }
        } else {
            call.demand(padding == "valid", "padding",
                        fmt::format("there is no padding '{}'", padding));
        }
    } else {
        c.before = call.spatial("padding", spatial, 0);
        c.after = c.before;
    }
    if (!c.transposed) {
        const bool none = std::all_of(c.extra.begin(), c.extra.end(),
                                      [](std::int64_t extra) { return extra == 0; });
        call.demand(none, "output_padding", "it belongs to transposed convolutions");
    }
    convolve(call, x, c);
}

/// Patches as columns: [C K, L] of each sample.
void im2col(Call& call) {
    const Operand x = call.operand("self");
    const Shape kernel = call.spatial("kernel_size", 2, 1);
    const WindowFields fields{kernel,
                              call.spatial("stride", 2, 1),
                              call.spatial("dilation", 2, 1),
                              call.spatial("padding", 2, 0),
                              call.spatial("padding", 2, 0),
                              false};
    call.set(for_each_sample(call, x, 3, [&](const Operand& sample) {
        const Operand y =
            call.emit(window_operator, Attributes::of(fields), {sample}, sample.batch_axis).front();
        const Shape& shape = y.sample_shape();
        return call.transposed(call.reshaped(y, {shape[0] * shape[1], shape[2]}, sample.batch_axis),
                               {1, 0}, sample.batch_axis);
    }));
}

/// Columns added up to patches: a transposed convolution with kernels of a single one.
void col2im(Call& call) {
    const Operand x = call.operand("self");
    const Shape extents = call.spatial("output_size", 2, 1);
    const Shape kernel = call.spatial("kernel_size", 2, 1);
    ConvTransposeFields fields;
    fields.strides = call.spatial("stride", 2, 1);
    fields.dilations = call.spatial("dilation", 2, 1);
    fields.before = call.spatial("padding", 2, 0);
    fields.after = fields.before;
    fields.extra = {0, 0};
    const std::int64_t positions = kernel[0] * kernel[1];
    Shape grid;
    for (std::size_t i = 0; i < 2; ++i) {
        const std::int64_t reach = fields.dilations[i] * (kernel[i] - 1) + 1;
        const std::int64_t room = extents[i] + 2 * fields.before[i] - reach;
        call.demand(positions > 0 && positions < 1 << 16 && room >= 0 && fields.strides[i] > 0 &&
                        fields.before[i] >= 0,
                    "kernel_size", "it does not fit the result");
        grid.push_back(room / fields.strides[i] + 1);
        // Rows and columns that no patch reaches stay zero.
        fields.extra[i] = room % fields.strides[i];
    }
    call.set(for_each_sample(call, x, 2, [&](const Operand& sample) {
        const std::int64_t rows = sample.sample_shape()[0];
        if (rows % positions != 0 || sample.sample_shape()[1] != grid[0] * grid[1]) {
            call.refuse("its columns do not fit its kernel and result");
        }
        const std::int64_t channels = rows / positions;
        Tensor ones = Tensor::filled({rows, 1, kernel[0], kernel[1]}, 0);
        for (std::int64_t i = 0; i < rows; ++i) {
            ones.values[static_cast<std::size_t>(i * positions + i % positions)] = 1;
        }
        ConvTransposeFields of = fields;
        of.groups = channels;
        const Operand patches = call.reshaped(sample, {rows, grid[0], grid[1]}, sample.batch_axis);
        return call
            .emit(conv_transpose_operator, Attributes::of(of),
                  {patches, Call::tensor(std::move(ones))}, sample.batch_axis)
            .front();
    }));
}

void softmax(Call& call, bool logarithm) {
    Operand x = call.operand("self");
    x.is_integer = false;
    call.ignore("dtype");  // the program says the result's type
    call.demand(!call.flag("half_to_float", false), "half_to_float", "its input is float16");
    if (x.rank() == 0) {
        call.ignore("dim");
        call.set(Call::number(logarithm ? 0 : 1));
        return;
    }
    std::int64_t dim = call.integer("dim");
    if (const std::optional<int> joined = call.joined("self"); joined && dim >= 0) {
        if (dim <= *joined) {
            throw BatchMixed();
        }
        dim += 1;  // the operand has one axis more
    }
    const SoftmaxFields fields{call.axis(x, dim), logarithm};
    call.set(call.emit(softmax_operator, Attributes::of(fields), {x}, x.batch_axis).front());
}

/// softmax, where a row of nothing but -inf gives zeros.
void safe_softmax(Call& call) {
    const Operand x = call.operand("self");
    call.ignore("dtype");
    const std::int64_t axis = call.axis(x, call.integer("dim"));
    const SoftmaxFields fields{axis, false};
    const Operand y =
        call.emit(softmax_operator, Attributes::of(fields), {x}, x.batch_axis).front();
    Operand largest = call.reduced(x, "max", {axis}, true);
    largest.batch_axis = x.batch_axis;
    const Operand none = call.function("is_infinite", largest, {Call::number(1), Call::number(0)});
    call.set(call.elementwise(select_operator, Attributes(), {none, Call::number(0), y}));
}

const RuleRow rows[] = {
    {"aten.linear", "default", &linear_rule, false, Joined::known},
    {"aten.matmul", "default", [](Call& c) { matmul(c, "self", "other"); }},
    {"aten.mm", "default", [](Call& c) { matmul(c, "self", "mat2"); }, false, Joined::known},
    {"aten.bmm", "default", &batched_matmul, false, Joined::known},
    {"aten.mv", "default", [](Call& c) { matmul(c, "self", "vec"); }},
    {"aten.addmm", "default", [](Call& c) { add_product(c, "mat1", "mat2"); }, false,
     Joined::known},
    {"aten.baddbmm", "default", [](Call& c) { add_product(c, "batch1", "batch2"); }},
    {"aten.addmv", "default", [](Call& c) { add_product(c, "mat", "vec"); }},
    {"aten.dot", "default", [](Call& c) { dot(c, "self", "tensor"); }},
    {"aten.vdot", "default", [](Call& c) { dot(c, "self", "other"); }},
    {"aten.outer", "default", &outer},
    {"aten.ger", "default", &outer},
    {"aten.cross", "default", &cross},
    {"aten.linalg_cross", "default", &cross},
    {"aten.bilinear", "default", &bilinear},
    {"aten.cdist", "default", &cdist},
    {"aten._cdist_forward", "default", &cdist},
    {"aten.einsum", "default", &einsum},
    {"aten.conv1d", "default padding", [](Call& c) { convolution(c, false); }},
    {"aten.conv2d", "default padding", [](Call& c) { convolution(c, false); }},
    {"aten.conv3d", "default padding", [](Call& c) { convolution(c, false); }},
    {"aten.conv_transpose1d", "default", [](Call& c) { convolution(c, true); }},
    {"aten.conv_transpose2d", "input", [](Call& c) { convolution(c, true); }},
    {"aten.conv_transpose3d", "input", [](Call& c) { convolution(c, true); }},
    {"aten.convolution", "default", [](Call& c) { convolution(c, false); }},
    {"aten._convolution", "default deprecated", [](Call& c) { convolution(c, false); }},
    {"aten.im2col", "default", &im2col},
    {"aten.col2im", "default", &col2im},
    {"aten.softmax", "int", [](Call& c) { softmax(c, false); }, false, Joined::stays},
    {"aten._softmax", "default", [](Call& c) { softmax(c, false); }, false, Joined::stays},
    {"aten._safe_softmax", "default", &safe_softmax},
    {"aten.log_softmax", "int", [](Call& c) { softmax(c, true); }},
    {"aten._log_softmax", "default", [](Call& c) { softmax(c, true); }},
};

}  // namespace

std::span<const RuleRow> layer_rules() {
    return rows;
}

}  // namespace gatewright::torch
