#include <fmt/format.h>

#include <algorithm>

#include "import/keras/activations.h"
#include "import/keras/int8.h"
#include "import/keras/products.h"
#include "import/keras/rules.h"
#include "import/layers/einsum.h"
#include "operators/layers.h"
#include "operators/selection.h"

namespace gatewright::keras {

namespace {

void dense(Call& call) {
    call.expect_inputs(1);
    const Operand& x = call.operand();
    if (x.sample_shape().empty()) {
        call.refuse("its input has no axis but the batch");
    }
    const std::int64_t units = call.settings.integer("units");
    const std::optional<Int8> int8 = read_int8(call);
    // The weights in the file have the low-rank updates of fine-tuning in them.
    call.settings.ignore({"lora_rank", "lora_alpha"});
    const Operand kernel = call.weight("kernel", {x.sample_shape().back(), units});
    std::optional<Operand> bias;
    if (call.settings.flag("use_bias", true)) {
        bias = call.weight("bias", {units});
    }
    if (!int8) {
        call.set(activation(call, dense_product(call, x, kernel, bias)));
        return;
    }
    const Operand scale = call.weight("kernel scale", {units});
    const auto last = static_cast<std::int64_t>(x.sample_shape().size()) - 1;
    const Levels levels = levels_of(call, *int8, x, {last});
    const Operand y = call.divide(call.matmul(levels.x, kernel),
                                  levels.scale ? call.multiply(*levels.scale, scale) : scale);
    call.set(activation(call, bias ? call.add(y, *bias) : y));
}

/// The shape that EinsumDense states beside its equation. A batch in an ellipsis is not in it; its
/// entries are the last axes then.
void check_output_shape(Call& call, const std::string& y_axes, const Operand& y) {
    const Json& stated = call.settings.json("output_shape");
    const Json list = stated.is_array() ? stated : Json::array({stated});
    const Shape& shape = y.sample_shape();
    const std::size_t dots = y_axes.find("...");
    if (stated.is_null() || (dots != std::string::npos && dots != 0)) {
        return;  // between other axes, where the file's weights alone tell the sizes
    }
    bool fits = dots == 0 ? list.size() <= shape.size() : list.size() == shape.size();
    for (std::size_t i = 0; fits && i < list.size(); ++i) {
        fits = list[i].is_null() || list[i] == shape[shape.size() - list.size() + i];
    }
    if (!fits) {
        call.settings.refuse("output_shape",
                             fmt::format("the equation and the weights give {}", to_string(shape)));
    }
}

void einsum_dense(Call& call) {
    call.expect_inputs(1);
    const std::optional<Int8> int8 = read_int8(call);
    call.settings.ignore({"lora_rank", "lora_alpha", "gptq_unpacked_column_size"});
    std::string equation = call.settings.text("equation");
    equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
    const std::size_t comma = equation.find(',');
    const std::size_t arrow = equation.find("->");
    if (comma == std::string::npos || arrow == std::string::npos || comma > arrow) {
        call.settings.refuse("equation", "it has not the form 'x,kernel->y'");
    }
    const std::string kernel_axes = equation.substr(comma + 1, arrow - comma - 1);
    const std::string y_axes = equation.substr(arrow + 2);
    const Operand kernel = call.weight("kernel", Shape(kernel_axes.size(), -1));
    std::optional<Levels> levels;
    if (int8) {
        levels = levels_for(call, *int8, equation.substr(0, comma), y_axes);
    }
    Operand y = layers::einsum(call, equation, {levels ? levels->x : call.operand(), kernel});
    check_output_shape(call, y_axes, y);
    std::optional<Operand> bias;
    if (call.settings.has("bias_axes")) {
        // The bias has the axes of the result from the first that is named on, of extent 1 where
        // they are not named.
        const std::string bias_axes = call.settings.text("bias_axes");
        const bool leading = y_axes.starts_with("...");
        const std::string letters = leading ? y_axes.substr(3) : y_axes;
        if (y_axes.find("...", leading ? 3 : 0) != std::string::npos) {
            call.settings.refuse("equation", "a bias behind '...' is not supported");
        }
        Shape shape;
        Shape own;
        std::size_t found = 0;
        for (std::size_t i = 0; i < letters.size(); ++i) {
            const bool named = bias_axes.find(letters[i]) != std::string::npos;
            const std::size_t from_end = letters.size() - i;
            const Shape& result = y.sample_shape();
            if (named && from_end > result.size()) {
                call.settings.refuse("bias_axes", "the bias differs from sample to sample");
            }
            found += named ? 1 : 0;
            if (found > 0) {
                own.push_back(named ? result[result.size() - from_end] : 1);
            }
            if (from_end <= result.size()) {
                shape.push_back(named ? own.back() : 1);
            }
        }
        if (found != bias_axes.size()) {
            call.settings.refuse("bias_axes", "it names an axis that the result has not");
        }
        bias = call.reshaped(call.weight("bias", own), shape, -1);
    }
    call.settings.ignore("bias_axes");
    if (levels) {
        y = unscaled(call, y, *levels, equation.substr(0, comma), y_axes);
    }
    call.set(activation(call, bias ? call.add(y, *bias) : y));
}

void embedding(Call& call) {
    call.expect_inputs(1);
    const std::int64_t rows = call.settings.integer("input_dim");
    const std::int64_t columns = call.settings.integer("output_dim");
    call.settings.ignore("input_length");               // repeats the input's shape
    call.settings.ignore({"lora_rank", "lora_alpha"});  // in the file's weights
    call.settings.expect_unset("sparse", "sparse gradients are not supported");
    const std::optional<Int8> int8 = read_int8(call);
    Operand table = call.weight("embeddings", {rows, columns});
    if (int8) {  // a scale for each row
        const Operand scale = call.weight("embeddings scale", {rows});
        table = call.divide(table, call.reshaped(scale, {rows, 1}, -1));
    }
    Operand index = call.operand();
    if (call.input().kind == Kind::real) {
        index = call.function("truncate", index);  // the framework casts to integers
    }
    const Operand y = call.emit(operators::gather_operator,
                                Attributes::of(operators::GatherFields{0, false, "error"}),
                                {table, index}, index.batch_axis)
                          .front();
    std::optional<Operand> mask;
    if (call.settings.flag("mask_zero", false)) {
        mask = call.function("nonzero", call.operand());
    }
    call.set_values({{y, Kind::real, mask}});
}

/// Leaves out steps whose features all equal a value: they become zero and are masked.
void masking(Call& call) {
    call.expect_inputs(1);
    const double value = call.settings.real("mask_value", 0);
    const Operand& x = call.operand();
    if (x.sample_shape().empty()) {
        call.refuse("its input has no features");
    }
    const auto last = static_cast<std::int64_t>(x.sample_shape().size()) - 1;
    const Operand differs = call.elementwise(
        operators::join_operator, Attributes::of(operators::JoinFields{"not_equal"}),
        {x, Call::number(static_cast<double>(static_cast<float>(value)))});
    const Operand kept = call.reduced(differs, "max", {last}, true);
    Shape steps = x.sample_shape();
    steps.pop_back();
    const Operand mask = call.reshaped(kept, steps, 0);
    call.set_values({{call.multiply(x, kept), call.input().kind, mask}});
}

void activation_layer(Call& call) {
    call.expect_inputs(1);
    call.set(activation(call, call.operand()));
}

/// The part above `threshold`, cut at `most`, less `slope` times what lies below.
void relu(Call& call) {
    call.expect_inputs(1);
    const Operand& x = call.operand();
    const double slope = call.settings.real("negative_slope", 0);
    const double threshold = call.settings.real("threshold", 0);
    const bool cut = call.settings.has("max_value");
    const double most = cut ? call.settings.real("max_value") : 0;
    call.settings.ignore("max_value");  // null: none
    if (slope != 0 && !cut && threshold == 0) {
        call.set(call.function("leaky", x, {Call::number(slope)}));
        return;
    }
    Operand y = threshold == 0 ? call.function("maximum", x, {Call::number(0)})
                               : call.function("thresholded_relu", x, {Call::number(threshold)});
    if (cut) {
        if (threshold != 0) {
            y = call.function("maximum", y, {Call::number(0)});
        }
        y = call.function("minimum", y, {Call::number(most)});
    }
    if (slope != 0) {
        const Operand below = call.function(
            "maximum", call.function("affine", x, {Call::number(-1), Call::number(threshold)}),
            {Call::number(0)});
        y = call.subtract(y,
                          call.function("affine", below, {Call::number(slope), Call::number(0)}));
    }
    call.set(y);
}

void leaky_relu(Call& call) {
    call.expect_inputs(1);
    // Keras 2 calls it alpha; its files are read by Keras 3 too.
    const double slope = call.settings.has("alpha") ? call.settings.real("alpha")
                                                    : call.settings.real("negative_slope", 0.3);
    call.set(call.function("leaky", call.operand(), {Call::number(slope)}));
}

void prelu(Call& call) {
    call.expect_inputs(1);
    Shape shape = call.operand().sample_shape();
    if (call.settings.has("shared_axes")) {
        for (const std::int64_t axis : call.settings.integers("shared_axes")) {
            shape[static_cast<std::size_t>(call.axis(call.operand(), axis))] = 1;
        }
    }
    call.settings.ignore("shared_axes");
    call.set(call.function("leaky", call.operand(), {call.weight("alpha", shape)}));
}

void elu(Call& call) {
    call.expect_inputs(1);
    call.set(call.function("elu", call.operand(), {Call::number(call.settings.real("alpha", 1))}));
}

void thresholded_relu(Call& call) {
    call.expect_inputs(1);
    const double theta = call.settings.real("theta", 1);
    call.set(call.function("thresholded_relu", call.operand(), {Call::number(theta)}));
}

void softmax(Call& call) {
    call.expect_inputs(1);
    Operand x = call.operand();
    if (const auto mask = call.mask()) {
        const Shape& shape = mask->sample_shape();
        const Shape& own = x.sample_shape();
        const std::size_t offset = own.size() - std::min(own.size(), shape.size());
        bool fits = shape.size() == own.size();
        for (std::size_t i = 0; fits && i < shape.size(); ++i) {
            fits = shape[i] == 1 || shape[i] == own[offset + i];
        }
        if (!fits) {
            call.refuse("its mask has not the shape of its input", {}, "mask");
        }
        // Where the mask is 0, a large number is taken off.
        const Operand off = call.function("affine", *mask, {Call::number(1e9), Call::number(-1e9)});
        x = call.add(x, off);
    }
    Shape axes;
    for (const std::int64_t axis :
         call.settings.has("axis") ? call.settings.integers("axis") : Shape{-1}) {
        axes.push_back(call.axis(x, axis));
    }
    call.settings.ignore("axis");
    std::sort(axes.begin(), axes.end());
    if (axes.size() == 1) {
        call.set(call.softmax(x, axes.front()));
        return;
    }
    // Over several axes at once: they are brought to the end and joined.
    const Shape shape = x.sample_shape();
    Shape order;
    std::int64_t joined = 1;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (!std::binary_search(axes.begin(), axes.end(), static_cast<std::int64_t>(i))) {
            order.push_back(static_cast<std::int64_t>(i));
        }
    }
    const auto kept = static_cast<std::ptrdiff_t>(order.size());
    order.insert(order.end(), axes.begin(), axes.end());
    for (const std::int64_t axis : axes) {
        joined *= shape[static_cast<std::size_t>(axis)];
    }
    const Operand last = call.transposed(x, order, x.batch_axis);
    Shape flat(last.sample_shape().begin(), last.sample_shape().begin() + kept);
    flat.push_back(joined);
    const Operand y = call.softmax(call.reshaped(last, flat, x.batch_axis), kept);
    Shape back(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        back[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
    }
    call.set(
        call.transposed(call.reshaped(y, last.sample_shape(), x.batch_axis), back, x.batch_axis));
}

const RuleRow rows[] = {
    {"Dense", &dense, Masking::passes},
    {"EinsumDense", &einsum_dense},
    {"Embedding", &embedding, Masking::own},
    {"Masking", &masking, Masking::own},
    {"Activation", &activation_layer, Masking::passes},
    {"ReLU", &relu, Masking::passes},
    {"LeakyReLU", &leaky_relu, Masking::passes},
    {"PReLU", &prelu, Masking::passes},
    {"ELU", &elu, Masking::passes},
    {"ThresholdedReLU", &thresholded_relu, Masking::passes},
    {"Softmax", &softmax, Masking::own},
    {"Lambda",
     [](Call& c) {
         c.refuse_code("a Lambda layer is Python code, which is never run",
                       "Write it with standard layers.");
     }},
};

}  // namespace

std::span<const RuleRow> core_rules() {
    return rows;
}

}  // namespace gatewright::keras
