#include <fmt/format.h>

#include <algorithm>

#include "import/layers/recurrent.h"
#include "import/layers/sample.h"
#include "import/onnx/rules.h"

namespace gatewright::onnx {

namespace {

using layers::CellKind;
using layers::Change;
using layers::Recurrence;

Operand clamped(layers::Builder& b, const Operand& x, double low, double high) {
    return b.function("minimum", b.function("maximum", x, {layers::Builder::number(low)}),
                      {layers::Builder::number(high)});
}

/// The functions that a recurrent layer names, with alpha and beta where they have any.
struct ActivationRow {
    std::string_view name;
    bool has_alpha;
    bool has_beta;
    double alpha;  ///< unless the file says otherwise
    double beta;
    Operand (*apply)(layers::Builder& b, const Operand& x, double alpha, double beta);
};

Operand with_alpha(layers::Builder& b, const char* name, const Operand& x, double alpha) {
    return b.function(name, x, {layers::Builder::number(alpha)});
}

Operand affine(layers::Builder& b, const Operand& x, double alpha, double beta) {
    return b.function("affine", x, {layers::Builder::number(alpha), layers::Builder::number(beta)});
}

// clang-format off
const ActivationRow activation_rows[] = {
    {"Sigmoid", false, false, 0, 0,
     [](layers::Builder& b, const Operand& x, double, double) { return b.function("sigmoid", x); }},
    {"Tanh", false, false, 0, 0,
     [](layers::Builder& b, const Operand& x, double, double) { return b.function("tanh", x); }},
    {"Relu", false, false, 0, 0,
     [](layers::Builder& b, const Operand& x, double, double) { return with_alpha(b, "maximum", x, 0); }},
    {"Softsign", false, false, 0, 0,
     [](layers::Builder& b, const Operand& x, double, double) { return b.function("softsign", x); }},
    {"Softplus", false, false, 0, 0,
     [](layers::Builder& b, const Operand& x, double, double) { return b.function("softplus", x); }},
    {"Affine", true, true, 1, 0, &affine},
    {"LeakyRelu", true, false, static_cast<double>(0.01F), 0,
     [](layers::Builder& b, const Operand& x, double alpha, double) { return with_alpha(b, "leaky", x, alpha); }},
    {"ThresholdedRelu", true, false, 1, 0,
     [](layers::Builder& b, const Operand& x, double alpha, double) {
         return with_alpha(b, "thresholded_relu", x, alpha);
     }},
    {"Elu", true, false, 1, 0,
     [](layers::Builder& b, const Operand& x, double alpha, double) { return with_alpha(b, "elu", x, alpha); }},
    {"ScaledTanh", true, true, 1, 1,
     [](layers::Builder& b, const Operand& x, double alpha, double beta) {
         return affine(b, b.function("tanh", affine(b, x, beta, 0)), alpha, 0);
     }},
    {"HardSigmoid", true, true, static_cast<double>(0.2F), 0.5,
     [](layers::Builder& b, const Operand& x, double alpha, double beta) {
         return clamped(b, affine(b, x, alpha, beta), 0, 1);
     }},
};
// clang-format on

/// How a layer's gates stand in a file, and which of its activation functions each uses.
struct LayerRow {
    CellKind cell;
    const char* gates;
    const char* functions;  ///< for each of the file's functions the gates that use it, "." between
    std::vector<std::string> defaults;
};

/// All activations of all directions, in the order of the file.
std::vector<Change> activations_of(Call& call, const LayerRow& row, std::size_t directions) {
    std::vector<std::string> names;
    for (std::size_t d = 0; d < directions; ++d) {
        names.insert(names.end(), row.defaults.begin(), row.defaults.end());
    }
    if (const OnnxAttribute* given = call.any("activations")) {
        const auto* list = std::get_if<std::vector<std::string>>(given);
        if (list == nullptr || list->size() != names.size()) {
            call.refuse(fmt::format("it names no {} functions", names.size()), {}, "activations");
        }
        names = *list;
    }
    const auto reals = [&](const char* name) {
        const OnnxAttribute* given = call.any(name);
        const auto* list = given == nullptr ? nullptr : std::get_if<std::vector<double>>(given);
        if (given != nullptr && list == nullptr) {
            call.refuse(fmt::format("it is {}", kind_of(*given)), {}, name);
        }
        return list == nullptr ? std::vector<double>{} : *list;
    };
    const std::vector<double> alphas = reals("activation_alpha");
    const std::vector<double> betas = reals("activation_beta");
    std::size_t next_alpha = 0;
    std::size_t next_beta = 0;
    std::vector<Change> out;
    for (const std::string& name : names) {
        const auto* found = std::find_if(std::begin(activation_rows), std::end(activation_rows),
                                         [&](const ActivationRow& r) { return r.name == name; });
        if (found == std::end(activation_rows)) {
            call.refuse(fmt::format("the function {} is not known", name), {}, "activations");
        }
        // Only functions that have a parameter take one from the list.
        double alpha = found->alpha;
        double beta = found->beta;
        if (found->has_alpha && next_alpha < alphas.size()) {
            alpha = alphas[next_alpha++];
        }
        if (found->has_beta && next_beta < betas.size()) {
            beta = betas[next_beta++];
        }
        out.push_back([apply = found->apply, alpha, beta](layers::Builder& b, const Operand& x) {
            return apply(b, x, alpha, beta);
        });
    }
    if (next_alpha != alphas.size() || next_beta != betas.size()) {
        call.refuse("it has more parameters than its functions take", {}, "activation_alpha");
    }
    return out;
}

/// The layer's input and results, with time first: the batch axis, if the model has one, is left
/// out; else it is the second axis.
class Layout {
  public:
    Layout(Call& call, std::int64_t layout) : call_(call), batch_first_(layout == 1) {
        if (layout != 0 && layout != 1) {
            call.refuse("it is neither 0 nor 1", {}, "layout");
        }
    }

    /// x[time, batch, features] or [batch, time, features].
    Operand input(const Operand& x) {
        const int expected = batch_first_ ? 0 : 1;
        if (x.rank() != 3) {
            call_.refuse("its input has no three axes");
        }
        if (x.batch_axis >= 0) {
            if (x.batch_axis != expected) {
                throw BatchMixed();
            }
            batched_ = true;
            return layers::in_front(x);
        }
        return batch_first_ ? call_.transposed(x, {1, 0, 2}, -1) : x;
    }

    /// One direction of [directions, batch, units] or [batch, directions, units].
    Operand state(const Operand& x, std::int64_t direction) {
        if (x.rank() != 3) {
            call_.refuse("an initial state has no three axes");
        }
        if (!batched_) {
            if (x.batch_axis >= 0) {
                throw BatchMixed();
            }
            return call_.selected(x, batch_first_ ? 1 : 0, direction);
        }
        if (x.batch_axis >= 0) {
            if (x.batch_axis != (batch_first_ ? 0 : 1)) {
                throw BatchMixed();
            }
            return call_.selected(layers::in_front(x), 0, direction);
        }
        // The same for each sample.
        const Operand rows = call_.selected(x, batch_first_ ? 1 : 0, direction);
        const Tensor& t = rows.constant;
        const std::int64_t units = t.shape[1];
        for (std::size_t i = 0; i < t.values.size(); ++i) {
            if (t.values[i] != t.values[i % static_cast<std::size_t>(units)]) {
                throw BatchMixed();
            }
        }
        return call_.selected(rows, 0, 0);
    }

    /// From one [time, (batch,) units] a direction.
    Operand outputs(const std::vector<Operand>& directions) {
        Operand y = call_.stacked(directions, 1);  // [time, directions, (batch,) units]
        if (batched_) {
            return placed(y, batch_first_ ? 0 : 2);
        }
        return batch_first_ ? call_.transposed(y, {2, 0, 1, 3}, -1) : y;
    }

    /// From one [(batch,) units] a direction.
    Operand states(const std::vector<Operand>& directions) {
        Operand y = call_.stacked(directions, 0);
        if (batched_) {
            return placed(y, batch_first_ ? 0 : 1);
        }
        return batch_first_ ? call_.transposed(y, {1, 0, 2}, -1) : y;
    }

  private:
    static Operand placed(Operand y, int batch_axis) {
        y.batch_axis = y.is_constant ? -1 : batch_axis;
        return y;
    }

    Call& call_;
    bool batch_first_;
    bool batched_ = false;
};

/// Sequences may be shorter than the input, all alike: then the rest of the outputs is zero.
std::int64_t length_of(Call& call, std::int64_t steps) {
    if (!call.has(4)) {
        return steps;
    }
    const std::vector<std::int64_t> lengths = call.integers(4, "sequence lengths");
    for (const std::int64_t length : lengths) {
        if (length != lengths.front() || length < 1 || length > steps) {
            call.refuse("its sequences differ in length", "Export it without sequence_lens.");
        }
    }
    return lengths.empty() ? steps : lengths.front();
}

void recurrent(Call& call, const LayerRow& row) {
    const std::string direction = call.text("direction", "forward");
    if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
        call.refuse(fmt::format("there is no direction {}", direction), {}, "direction");
    }
    const std::size_t directions = direction == "bidirectional" ? 2 : 1;
    call.ignore("output_sequence");  // before opset 7: whether the first output is wanted
    Layout layout(call, call.integer("layout", 0));
    Operand x = layout.input(call.operand(0));
    const std::int64_t steps = x.sample_shape().front();
    const std::int64_t length = length_of(call, steps);
    if (length != steps) {
        x = call.sliced(x, 0, 0, length);
    }
    const std::vector<Change> activations = activations_of(call, row, directions);
    const std::vector<std::string> uses = [&] {
        std::vector<std::string> out(1);
        for (const char c : std::string_view(row.functions)) {
            c == '.' ? static_cast<void>(out.emplace_back()) : out.back().push_back(c);
        }
        return out;
    }();
    const auto gates = static_cast<std::int64_t>(std::string_view(row.gates).size());
    const Shape& kernel_shape = call.operand(1).sample_shape();
    if (call.operand(1).batch_axis >= 0 || call.operand(2).batch_axis >= 0) {
        throw BatchMixed();
    }
    const std::int64_t units =
        call.integer("hidden_size", kernel_shape.size() == 3 ? kernel_shape[1] / gates : 0);
    const auto count = static_cast<std::int64_t>(directions);
    const auto expect = [&](std::size_t i, const Shape& shape) {
        if (call.operand(i).sample_shape() != shape) {
            call.refuse(fmt::format("input {} has shape {} instead of {}", i,
                                    to_string(call.operand(i).sample_shape()), to_string(shape)));
        }
    };
    expect(1, {count, gates * units, x.sample_shape().back()});
    expect(2, {count, gates * units, units});
    if (call.has(3)) {
        expect(3, {count, 2 * gates * units});
    }
    const bool is_lstm = row.cell == CellKind::lstm;
    if (is_lstm && call.has(7)) {
        expect(7, {count, 3 * units});
    }
    const double clip = call.real("clip", 0);
    if (call.has_attribute("clip") && !(clip > 0)) {
        call.refuse("it is not positive", {}, "clip");
    }
    Recurrence layer;
    layer.cell = row.cell;
    layer.gates = row.gates;
    layer.units = units;
    layer.input_forget = is_lstm && call.integer("input_forget", 0) != 0;
    layer.reset_after = row.cell == CellKind::gru && call.integer("linear_before_reset", 0) != 0;
    if (clip > 0) {
        layer.clip = clip;
    }
    std::vector<Operand> outputs;
    std::vector<Operand> states;
    std::vector<Operand> cells;
    for (std::int64_t d = 0; d < count; ++d) {
        const auto matrix = [&](std::size_t i) {
            return call.transposed(call.selected(call.operand(i), 0, d), {1, 0}, -1);
        };
        const auto vector = [&](std::size_t i, std::int64_t from, std::int64_t size) {
            return call.sliced(call.selected(call.operand(i), 0, d), 0, from, size);
        };
        std::optional<Operand> bias;
        if (call.has(3)) {
            bias = vector(3, 0, gates * units);
            layer.recurrent_bias = vector(3, gates * units, gates * units);
        }
        layer.inputs = layers::input_product(call, x, matrix(1), bias);
        layer.recurrent_kernel = matrix(2);
        const auto change = [&](char gate) -> Change {
            for (std::size_t i = 0; i < uses.size(); ++i) {
                if (uses[i].find(gate) != std::string::npos) {
                    return activations[static_cast<std::size_t>(d) * uses.size() + i];
                }
            }
            return {};
        };
        layer.activation = change;
        layer.output = change('H');
        if (is_lstm && call.has(7)) {
            layer.peephole = [&](char gate) -> std::optional<Operand> {
                const std::size_t at = std::string_view("iof").find(gate);
                return vector(7, static_cast<std::int64_t>(at) * units, units);
            };
        }
        if (call.has(5)) {
            layer.initial_state = layout.state(call.operand(5), d);
        }
        if (is_lstm && call.has(6)) {
            layer.initial_cell = layout.state(call.operand(6), d);
        }
        layer.backwards = direction == "reverse" || d == 1;
        const layers::RecurrentResult result = layers::recurrence(call, layer);
        Operand y = result.outputs;
        if (length != steps) {
            Shape rest = y.sample_shape();
            rest[0] = steps - length;
            y = call.concatenated({y, Call::tensor(Tensor::filled(rest, 0))}, 0);
        }
        outputs.push_back(y);
        states.push_back(result.state);
        cells.push_back(result.cell);
    }
    call.set(layout.outputs(outputs), 0);
    call.set(layout.states(states), 1);
    if (is_lstm) {
        call.set(layout.states(cells), 2);
    }
}

// Functions: of gates by their letters, "H" the one of an LSTM's cell state.
const LayerRow simple_row{CellKind::simple, "h", "h", {"Tanh"}};
const LayerRow lstm_row{CellKind::lstm, "iofc", "iof.c.H", {"Sigmoid", "Tanh", "Tanh"}};
const LayerRow gru_row{CellKind::gru, "zrh", "zr.h", {"Sigmoid", "Tanh"}};

const RuleRow rows[] = {
    {"RNN", [](Call& c) { recurrent(c, simple_row); }},
    {"LSTM", [](Call& c) { recurrent(c, lstm_row); }},
    {"GRU", [](Call& c) { recurrent(c, gru_row); }},
};

}  // namespace

std::span<const RuleRow> recurrent_rules() {
    return rows;
}

}  // namespace gatewright::onnx
