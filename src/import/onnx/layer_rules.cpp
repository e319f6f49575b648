#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/layers/normalisation.h"
#include "import/layers/pooling.h"
#include "import/onnx/products.h"
#include "import/onnx/rules.h"
#include "operators/layers.h"
#include "operators/map.h"

namespace gatewright::onnx {

namespace {

using namespace gatewright::operators;

void matmul(Call& call) {
    call.set(matrix_product(call, call.operand(0), call.operand(1)));
}

void gemm(Call& call) {
    const double alpha = call.real("alpha", 1);
    const double beta = call.real("beta", 1);
    const bool transpose_a = call.integer("transA", 0) != 0;
    const bool transpose_b = call.integer("transB", 0) != 0;
    call.ignore("broadcast");  // before opset 7: C always broadcasts here
    Operand a = call.operand(0);
    Operand b = call.operand(1);
    if (a.rank() != 2 || b.rank() != 2) {
        call.refuse("its operands are no matrices");
    }
    if (b.batch_axis >= 0 || (a.batch_axis >= 0 && (a.batch_axis != 0 || transpose_a))) {
        throw BatchMixed();
    }
    if (transpose_a) {
        a = call.transposed(a, {1, 0}, -1);
    }
    if (transpose_b) {
        b = call.transposed(b, {1, 0}, -1);
    }
    Operand y = call.emit(matmul_operator, Attributes(), {a, b}, a.batch_axis).front();
    if (alpha != 1) {
        y = call.elementwise(multiply_operator, Attributes(), {y, Call::number(alpha)});
    }
    if (call.has(2) && beta != 0) {
        Operand c = call.operand(2);
        if (beta != 1) {
            c = call.elementwise(multiply_operator, Attributes(), {c, Call::number(beta)});
        }
        y = call.elementwise(add_operator, Attributes(), {y, c});
    }
    call.set(y);
}

void conv(Call& call, Channels channels) {
    call.constant(1, "weights");
    call.set(convolution(call, call.operand(0), call.operand(1),
                         call.has(2) ? std::optional(call.operand(2)) : std::nullopt, channels));
}

void conv_transpose(Call& call) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    const Tensor& w = call.constant(1, "weights");
    if (w.shape.size() < 3 || x.sample_shape().size() + 1 != w.shape.size()) {
        call.refuse(fmt::format("weights of shape {} do not fit an input of shape {}",
                                to_string(w.shape), to_string(x.sample_shape())));
    }
    const Shape kernel(w.shape.begin() + 2, w.shape.end());
    const std::size_t rank = kernel.size();
    const auto declared = call.integer_list("kernel_shape");
    if (declared && *declared != kernel) {
        call.refuse(fmt::format("it says {} but the weights have {}", to_string(*declared),
                                to_string(kernel)),
                    {}, "kernel_shape");
    }
    const std::string automatic = call.text("auto_pad", "NOTSET");
    const auto list = [&](const char* name, std::int64_t otherwise, std::size_t size) {
        const Shape value = call.integer_list(name).value_or(Shape(size, otherwise));
        if (value.size() != size) {
            call.refuse(fmt::format("it has {} numbers for {} axes", value.size(), rank), {}, name);
        }
        return value;
    };
    ConvTransposeFields fields;
    fields.strides = list("strides", 1, rank);
    fields.dilations = list("dilations", 1, rank);
    fields.extra = list("output_padding", 0, rank);
    fields.groups = call.integer("group", 1);
    const Shape pads = list("pads", 0, 2 * rank);
    fields.before.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank));
    fields.after.assign(pads.begin() + static_cast<std::ptrdiff_t>(rank), pads.end());
    if (automatic == "VALID") {
        fields.before.assign(rank, 0);
        fields.after.assign(rank, 0);
    } else if (automatic != "NOTSET" && automatic != "SAME_UPPER" && automatic != "SAME_LOWER" &&
               !automatic.empty()) {
        call.refuse(fmt::format("there is no padding {}", automatic), {}, "auto_pad");
    }
    const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
    auto extents = call.integer_list("output_shape");
    if (extents && extents->size() == rank + 2) {
        extents->erase(extents->begin(), extents->begin() + 2);  // older files list all axes
    }
    if (extents && extents->size() != rank) {
        call.refuse(fmt::format("it has {} numbers for {} axes", extents->size(), rank), {},
                    "output_shape");
    }
    // The padding that gives the extents asked for; the odd position goes before, or, with
    // SAME_UPPER, behind.
    for (std::size_t i = 0; i < rank && (extents || same); ++i) {
        const std::int64_t size = x.sample_shape()[i + 1];
        const std::int64_t extent = extents ? (*extents)[i] : size * fields.strides[i];
        const std::int64_t total = fields.strides[i] * (size - 1) + fields.extra[i] +
                                   (kernel[i] - 1) * fields.dilations[i] + 1 - extent;
        if (total < 0) {
            call.refuse(fmt::format("the kernel {} does not reach an extent of {}",
                                    to_string(kernel), extent),
                        "Give its output_padding and pads.", "output_shape");
        }
        fields.after[i] = automatic == "SAME_UPPER" ? total - total / 2 : total / 2;
        fields.before[i] = total - fields.after[i];
    }
    std::vector<Operand> operands = {x, call.operand(1)};
    if (call.has(2)) {
        operands.push_back(call.operand(2));
    }
    call.set(call.restore(
        call.emit(conv_transpose_operator, Attributes::of(fields), operands, x.batch_axis).front(),
        input));
}

void pool(Call& call, const char* kind, Channels channels) {
    call.set(pooled(call, call.operand(0), kind, channels));
}

void global_pool(Call& call, const char* kind) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    ReduceFields fields{kind, {}, true};
    for (std::size_t i = 1; i < x.sample_shape().size(); ++i) {
        fields.axes.push_back(static_cast<std::int64_t>(i));
    }
    call.set(call.restore(
        call.emit(reduce_operator, Attributes::of(fields), {x}, x.batch_axis).front(), input));
}

void global_lp_pool(Call& call) {
    const Operand& input = call.operand(0);
    const Operand x = call.samples(input);
    Shape axes(std::max<std::size_t>(x.sample_shape().size(), 1) - 1);
    std::iota(axes.begin(), axes.end(), std::int64_t{1});
    call.set(call.restore(layers::lp_norm(call, x, norm_of(call), axes, true), input));
}

void batch_norm(Call& call) {
    call.ignore("momentum");  // concerns training only
    if (call.integer("training_mode", 0) != 0) {
        call.refuse("it is exported in training mode", "Export the model in evaluation mode.",
                    "training_mode");
    }
    const bool by_position = call.integer("spatial", 1) == 0;  // before opset 9
    if (call.opset() < 7 && call.integer("is_test", 0) == 0) {
        call.refuse("it is exported in training mode", "Export the model in evaluation mode.",
                    "is_test");
    }
    BatchNormFields fields;
    fields.epsilon = call.real("epsilon", static_cast<double>(1e-5F));
    const Operand& input = call.operand(0);
    // The channels are axis 1 of the file's shape.
    const Operand x = input.batch_axis == 0 ? input : call.samples(input);
    const auto flat = [&](const Operand& y) {
        return call.reshaped(y, {element_count(y.sample_shape())}, y.batch_axis);
    };
    fields.axis = 0;
    std::vector<Operand> operands = {by_position ? flat(x) : x};
    for (std::size_t i = 1; i < 5; ++i) {
        call.constant(i, "parameter");
        operands.push_back(by_position ? flat(call.operand(i)) : call.operand(i));
    }
    const Operand y =
        call.emit(batch_norm_operator, Attributes::of(fields), operands, x.batch_axis).front();
    call.set(call.restore(call.reshaped(y, x.sample_shape(), x.batch_axis), input));
}

void softmax(Call& call, bool logarithm) {
    const Operand& x = call.operand(0);
    if (call.opset() >= 13) {
        const SoftmaxFields fields{call.axis(x, call.integer("axis", -1)), logarithm};
        call.set(call.emit(softmax_operator, Attributes::of(fields), {x}, x.batch_axis).front());
        return;
    }
    // Before opset 13: over all axes from `axis` on, joined.
    const std::int64_t axis = call.normalised(call.integer("axis", 1), x.rank());
    if (x.batch_axis > 0 || (x.batch_axis == 0 && axis == 0)) {
        throw BatchMixed();
    }
    const std::int64_t from = x.batch_axis == 0 ? axis - 1 : axis;
    const Shape shape = x.sample_shape();
    Shape joined(shape.begin(), shape.begin() + from);
    joined.push_back(element_count(Shape(shape.begin() + from, shape.end())));
    const Operand flat = call.reshaped(x, joined, x.batch_axis);
    const SoftmaxFields fields{from, logarithm};
    const Operand y =
        call.emit(softmax_operator, Attributes::of(fields), {flat}, x.batch_axis).front();
    call.set(call.reshaped(y, shape, x.batch_axis));
}

/// A reduction, and the functions before and behind it.
struct Reduction {
    const char* kind;
    const char* before = nullptr;
    const char* behind = nullptr;
};

void reduce(Call& call, const Reduction& reduction) {
    Operand x = call.operand(0);
    std::vector<std::int64_t> axes;
    if (const auto attribute = call.integer_list("axes")) {
        axes = *attribute;
    } else if (call.has(1)) {
        axes = call.integers(1, "axes");
    }
    const bool keep = call.integer("keepdims", 1) != 0;
    const bool nothing = call.integer("noop_with_empty_axes", 0) != 0;
    const std::string kind = reduction.kind;
    if (axes.empty()) {
        if (nothing) {
            if (reduction.before != nullptr || reduction.behind != nullptr ||
                kind == "log_sum_exp") {
                call.refuse("it has no axes", {}, "noop_with_empty_axes");
            }
            call.set(x);
            return;
        }
        axes.resize(static_cast<std::size_t>(x.rank()));
        std::iota(axes.begin(), axes.end(), std::int64_t{0});
    }
    if (kind == "mean" && is_integer(call.type(0)) && !x.is_constant) {
        call.refuse("it takes the mean of integers", "Cast them to float32 before.");
    }
    ReduceFields fields{kind == "log_sum_exp" ? "sum" : kind, {}, keep};
    std::int64_t before_batch = 0;
    for (const std::int64_t axis : axes) {
        fields.axes.push_back(call.axis(x, axis));
        before_batch += fields.axes.back() < x.batch_axis ? 1 : 0;
    }
    std::sort(fields.axes.begin(), fields.axes.end());
    const int batch_axis =
        x.batch_axis < 0 || keep ? x.batch_axis : x.batch_axis - static_cast<int>(before_batch);
    Operand largest;
    if (kind == "log_sum_exp") {
        // Shifted by the largest element, so that no exponential is infinite.
        largest = call.emit(reduce_operator, Attributes::of(ReduceFields{"max", fields.axes, true}),
                            {x}, x.batch_axis)
                      .front();
        x = call.function("exp", call.subtract(x, largest));
    } else if (reduction.before != nullptr) {
        x = call.function(reduction.before, x);
    }
    Operand y = call.emit(reduce_operator, Attributes::of(fields), {x}, batch_axis).front();
    if (kind == "log_sum_exp") {
        y = call.add(call.function("log", y),
                     call.reshaped(largest, y.sample_shape(), y.batch_axis));
    } else if (reduction.behind != nullptr) {
        y = call.function(reduction.behind, y);
    }
    call.set(y);
}

void argmax(Call& call, bool smallest) {
    const Operand& x = call.operand(0);
    ArgLayerFields fields;
    fields.axis = call.axis(x, call.integer("axis", 0));
    fields.keep = call.integer("keepdims", 1) != 0;
    fields.last = call.integer("select_last_index", 0) != 0;
    fields.smallest = smallest;
    const int batch_axis = x.batch_axis < 0 || fields.keep || fields.axis >= x.batch_axis
                               ? x.batch_axis
                               : x.batch_axis - 1;
    call.set(call.emit(argmax_operator, Attributes::of(fields), {x}, batch_axis).front());
    call.set_type(ElementType::int64);
}

void top_k(Call& call) {
    const Operand& x = call.operand(0);
    TopKLayerFields fields;
    fields.axis = call.axis(x, call.integer("axis", -1));
    fields.smallest = call.integer("largest", 1) == 0;
    call.ignore("sorted");  // a sorted result is a valid unsorted one
    fields.k = call.has_attribute("k") ? call.integer("k", 1) : call.one_integer(1, "k");
    const auto results = call.emit(top_k_operator, Attributes::of(fields), {x}, x.batch_axis);
    call.set(results[0], 0);
    call.set(results[1], 1);
    call.set_type(ElementType::int64, 1);
}

const RuleRow rows[] = {
    {"MatMul", &matmul},
    {"Gemm", &gemm},
    {"Conv", [](Call& c) { conv(c, Channels::first); }},
    {"ConvTranspose", &conv_transpose},
    {"MaxPool", [](Call& c) { pool(c, "max", Channels::first); }},
    {"AveragePool", [](Call& c) { pool(c, "average", Channels::first); }},
    {"LpPool", [](Call& c) { pool(c, "norm", Channels::first); }},
    {"GlobalLpPool", &global_lp_pool},
    {"GlobalAveragePool", [](Call& c) { global_pool(c, "mean"); }},
    {"GlobalMaxPool", [](Call& c) { global_pool(c, "max"); }},
    {"BatchNormalization", &batch_norm},
    {"Softmax", [](Call& c) { softmax(c, false); }},
    {"LogSoftmax", [](Call& c) { softmax(c, true); }},
    {"ReduceSum", [](Call& c) { reduce(c, {"sum"}); }},
    {"ReduceMean", [](Call& c) { reduce(c, {"mean"}); }},
    {"ReduceMax", [](Call& c) { reduce(c, {"max"}); }},
    {"ReduceMin", [](Call& c) { reduce(c, {"min"}); }},
    {"ReduceProd", [](Call& c) { reduce(c, {"prod"}); }},
    {"ReduceL1", [](Call& c) { reduce(c, {"sum", "absolute"}); }},
    {"ReduceL2", [](Call& c) { reduce(c, {"sum", "square", "sqrt"}); }},
    {"ReduceLogSum", [](Call& c) { reduce(c, {"sum", nullptr, "log"}); }},
    {"ReduceLogSumExp", [](Call& c) { reduce(c, {"log_sum_exp"}); }},
    {"ReduceSumSquare", [](Call& c) { reduce(c, {"sum", "square"}); }},
    {"ArgMax", [](Call& c) { argmax(c, false); }},
    {"ArgMin", [](Call& c) { argmax(c, true); }},
    {"TopK", &top_k},
};

}  // namespace

std::span<const RuleRow> layer_rules() {
    return rows;
}

std::span<const RuleRow> channels_last_rules() {
    static const RuleRow with_channels_last[] = {
        {"Conv", [](Call& c) { conv(c, Channels::last); }},
        {"MaxPool", [](Call& c) { pool(c, "max", Channels::last); }},
    };
    return with_channels_last;
}

}  // namespace gatewright::onnx
