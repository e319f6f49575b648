#include <fmt/format.h>

#include <cmath>

#include "import/keras/activations.h"
#include "import/keras/products.h"
#include "import/keras/rules.h"
#include "operators/selection.h"

/// Layers of models that hls4ml ships with: dense layers with binary and ternary weights, and
/// GarNet.
namespace gatewright::keras {

namespace {

/// H f(W / H) of the weights, with f the binary or ternary step.
void stepped_dense(Call& call, const char* step) {
    call.expect_inputs(1);
    const Operand& x = call.operand();
    if (x.sample_shape().empty()) {
        call.refuse("its input has no axis but the batch");
    }
    call.settings.ignore({"kernel_lr_multiplier", "bias_lr_multiplier"});  // of training
    const std::int64_t units = call.settings.integer("units");
    const std::int64_t in = x.sample_shape().back();
    double scale = 1;
    if (call.settings.has("H") && call.object().config["H"] == "Glorot") {
        call.settings.ignore("H");
        scale = std::sqrt(1.5 / static_cast<double>(in + units));
    } else {
        scale = call.settings.real("H", 1);
    }
    if (!(scale > 0)) {
        call.settings.refuse("H", "it is not positive");
    }
    Operand kernel = call.weight("kernel", {in, units});
    kernel = call.multiply(kernel, Call::number(1 / scale));
    kernel = call.multiply(named_activation(call, step, kernel), Call::number(scale));
    std::optional<Operand> bias;
    if (call.settings.flag("use_bias", true)) {
        bias = call.weight("bias", {units});
    }
    call.set(activation(call, dense_product(call, x, kernel, bias)));
}

/// Vertices weigh features by exp(-distance^2) to aggregators, which give their means back.
void garnet(Call& call) {
    call.expect_inputs(2);
    Settings& s = call.settings;
    s.choice("input_format", "xn", {"xn"});
    s.expect_unset("mean_by_nvert", "a mean over the vertices that there are is not supported");
    s.expect_unset("quantize_transforms", "quantised transforms are not supported");
    s.ignore({"total_bits", "int_bits"});  // of quantised transforms
    if (!s.flag("simplified", false)) {
        s.refuse("simplified", "only the simplified form is supported");
    }
    const Operand& x = call.operand(0);
    if (x.sample_shape().size() != 2 || call.operand(1).sample_shape() != Shape{1}) {
        call.refuse("its inputs are not vertices and their number");
    }
    const std::int64_t vertices = x.sample_shape()[0];
    const std::int64_t in = x.sample_shape()[1];
    if (vertices > (1 << 16)) {
        call.refuse("it has too many vertices");
    }
    const std::int64_t aggregators = s.integer("n_aggregators");
    const std::int64_t propagated = s.integer("n_propagate");
    const std::int64_t filters = s.integer("n_filters");
    const auto dense = [&](const char* role, const Operand& v, std::int64_t n, std::int64_t m) {
        const Operand kernel = call.weight(fmt::format("{} kernel", role), {n, m});
        return dense_product(call, v, kernel, call.weight(fmt::format("{} bias", role), {m}));
    };
    const Operand features = dense("FLR", x, in, propagated);
    const Operand distance = dense("S", x, in, aggregators);
    Tensor index = Tensor::filled({vertices}, 0);
    for (std::size_t i = 0; i < index.values.size(); ++i) {
        index.values[i] = static_cast<double>(i);
    }
    const Operand there =
        call.elementwise(operators::join_operator, Attributes::of(operators::JoinFields{"less"}),
                         {Call::tensor(index), call.operand(1)});
    const Operand mask = call.reshaped(there, {vertices, 1}, x.batch_axis);
    const Operand negated = call.function("affine", call.function("square", distance),
                                          {Call::number(-1), Call::number(0)});
    const Operand weights = call.multiply(mask, call.function("exp", negated));
    const Operand sums = call.matmul(call.transposed(weights, {1, 0}, x.batch_axis), features);
    const Operand means = call.divide(sums, Call::number(static_cast<double>(vertices)));
    const Operand back =
        call.multiply(call.reshaped(weights, {vertices, aggregators, 1}, x.batch_axis),
                      call.reshaped(means, {1, aggregators, propagated}, x.batch_axis));
    Operand y =
        dense("Fout", call.reshaped(back, {vertices, aggregators * propagated}, x.batch_axis),
              aggregators * propagated, filters);
    // The last transform has the activation, and a layer of its own behind it has it again.
    y = activation(call, activation(call, y, "output_activation"), "output_activation");
    y = call.multiply(mask, y);
    if (s.has("collapse")) {
        const std::string collapse = s.choice("collapse", "mean", {"mean", "sum", "max"});
        y = call.reduced(y, collapse, {0}, false);
    }
    s.ignore("collapse");
    call.set(y);
}

const RuleRow rows[] = {
    {"BinaryDense", [](Call& c) { stepped_dense(c, "binary_tanh"); }},
    {"TernaryDense", [](Call& c) { stepped_dense(c, "ternary_tanh"); }},
    {"GarNet", &garnet},
};

}  // namespace

std::span<const RuleRow> hls4ml_rules() {
    return rows;
}

}  // namespace gatewright::keras
