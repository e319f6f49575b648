// Recurrent layers and their cells.

#include <fmt/format.h>

#include <algorithm>

#include "import/layers/recurrent.h"
#include "import/torch/rules.h"

namespace gatewright::torch {

namespace {

using layers::CellKind;
using layers::Recurrence;
using layers::RecurrentResult;

/// What a layer computes in each step.
struct Cell {
    CellKind kind = CellKind::simple;
    const char* gates = "h";  ///< in the order of PyTorch's parameters
    std::int64_t gate_count = 1;
    const char* activation = "tanh";  ///< of the simple cell
};

constexpr Cell tanh_cell{CellKind::simple, "h", 1, "tanh"};
constexpr Cell relu_cell{CellKind::simple, "h", 1, "relu"};
constexpr Cell lstm_cell{CellKind::lstm, "ifco", 4, "tanh"};
constexpr Cell gru_cell{CellKind::gru, "rzh", 3, "tanh"};

layers::Change function(const std::string& name) {
    return [name](layers::Builder& builder, const Operand& x) {
        return name == "relu" ? builder.function("maximum", x, {layers::Builder::number(0)})
                              : builder.function(name, x);
    };
}

/// Parameters of one layer in one direction.
struct Parameters {
    Operand input;      ///< [gates * units, in]
    Operand recurrent;  ///< [gates * units, state]
    std::optional<Operand> input_bias;
    std::optional<Operand> recurrent_bias;
    std::optional<Operand> projection;  ///< [state, units]
};

bool is_zero(const Operand& x) {
    return x.is_constant && std::all_of(x.constant.values.begin(), x.constant.values.end(),
                                        [](double value) { return value == 0; });
}

/// x[steps, in] of one sample through one layer in one direction.
RecurrentResult run(Call& call, const Cell& cell, const Operand& x, const Parameters& p,
                    const std::optional<Operand>& state, const std::optional<Operand>& memory,
                    bool backwards) {
    const Shape& weights = p.input.sample_shape();
    const Shape& recurrent = p.recurrent.sample_shape();
    if (weights.size() != 2 || recurrent.size() != 2 || weights[0] % cell.gate_count != 0 ||
        recurrent[0] != weights[0] || weights[1] != x.sample_shape().back()) {
        call.refuse(
            fmt::format("weights {} and {} do not fit an input of shape {}", to_string(weights),
                        to_string(recurrent), to_string(x.sample_shape())),
            {}, "params");
    }
    Recurrence layer;
    layer.cell = cell.kind;
    layer.gates = cell.gates;
    layer.units = weights[0] / cell.gate_count;
    layer.inputs =
        layers::input_product(call, x, call.transposed(p.input, {1, 0}, -1), p.input_bias);
    layer.recurrent_kernel = call.transposed(p.recurrent, {1, 0}, -1);
    layer.recurrent_bias = p.recurrent_bias;
    const Cell of = cell;
    layer.activation = [of](char gate) {
        return function(gate == 'h' || gate == 'c' ? of.activation : "sigmoid");
    };
    layer.output = function("tanh");
    layer.reset_after = true;
    if (p.projection) {
        layer.projection = call.transposed(*p.projection, {1, 0}, -1);
    }
    layer.initial_state = state;
    layer.initial_cell = memory;
    layer.backwards = backwards;
    return layers::recurrence(call, layer);
}

/// All layers of one sample x[steps, in].
struct Stack {
    Operand outputs;              ///< [steps, directions * state]
    std::vector<Operand> states;  ///< one a layer and direction
    std::vector<Operand> cells;
};

using States = std::vector<std::optional<Operand>>;

Stack run_layers(Call& call, const Cell& cell, Operand x, const std::vector<Parameters>& all,
                 std::size_t directions, const States& states, const States& memories) {
    Stack out;
    for (std::size_t at = 0; at < all.size(); at += directions) {
        std::vector<Operand> sides;
        for (std::size_t d = 0; d < directions; ++d) {
            const RecurrentResult y =
                run(call, cell, x, all[at + d], states[at + d], memories[at + d], d == 1);
            sides.push_back(y.outputs);
            out.states.push_back(y.state);
            out.cells.push_back(y.cell);
        }
        x = directions == 1 ? sides[0] : call.concatenated(sides, 1);
    }
    out.outputs = x;
    return out;
}

/// What the call's list of parameters holds, layer by layer, the backward direction behind the
/// forward one.
std::vector<Parameters> parameters_of(Call& call, const Cell& cell, std::int64_t count) {
    const std::vector<Operand> list = call.operands("params");
    const bool biases = call.flag("has_biases");
    const std::size_t plain = biases ? 4 : 2;
    call.demand(count > 0 && count < 1 << 16, "num_layers", "it is out of range");
    const auto entries = static_cast<std::size_t>(count);
    const bool projected = cell.kind == CellKind::lstm && list.size() == entries * (plain + 1);
    const std::size_t each = plain + (projected ? 1 : 0);
    call.demand(
        list.size() == entries * each, "params",
        fmt::format("there are {} tensors for {} layers and directions", list.size(), count));
    std::vector<Parameters> out;
    for (std::size_t i = 0; i < entries; ++i) {
        Parameters p;
        p.input = list[i * each];
        p.recurrent = list[i * each + 1];
        if (biases) {
            p.input_bias = list[i * each + 2];
            p.recurrent_bias = list[i * each + 3];
        }
        if (projected) {
            p.projection = list[i * each + plain];
        }
        out.push_back(std::move(p));
    }
    return out;
}

/// Initial states: [layers * directions, batch, state], or without the batch. For one sample
/// (number `sample` of those in the program) one operand each; zeros are left out.
States states_of(Call& call, const std::optional<Operand>& hx, std::size_t count, bool batched,
                 std::int64_t sample, std::int64_t samples) {
    States out(count);
    if (!hx || is_zero(*hx)) {
        return out;
    }
    if (hx->batch_axis == 0 || hx->batch_axis > 1) {
        throw BatchMixed();
    }
    const auto axes = static_cast<std::int64_t>(batched ? 3 : 2);
    if (hx->rank() != axes || hx->sample_shape()[0] != static_cast<std::int64_t>(count)) {
        call.refuse(
            fmt::format("an initial state of shape {} does not fit", to_string(hx->sample_shape())),
            {}, "hx");
    }
    for (std::size_t i = 0; i < count; ++i) {
        Operand state = call.selected(*hx, 0, static_cast<std::int64_t>(i));
        if (batched && hx->batch_axis < 0) {
            // One state for all samples, or one for each that the program has.
            const std::int64_t own = state.sample_shape()[0];
            if (own != samples) {
                throw BatchMixed();
            }
            state = call.selected(state, 0, sample);
        }
        if (state.batch_axis >= 0) {
            state.batch_axis = 0;
        }
        out[i] = state;
    }
    return out;
}

void recurrent(Call& call, const Cell& cell) {
    const Operand x = call.operand("input");
    const bool batch_first = call.flag("batch_first");
    const std::size_t directions = call.flag("bidirectional") ? 2 : 1;
    const std::int64_t count = call.integer("num_layers") * static_cast<std::int64_t>(directions);
    const std::vector<Parameters> parameters = parameters_of(call, cell, count);
    const double dropout = call.real("dropout");
    call.demand(!call.flag("train") || dropout == 0, "train",
                "it drops elements at random, as in training",
                "Export the model in evaluation mode (model.eval()).");
    call.demand(!call.importer().options().monte_carlo || dropout == 0, "dropout",
                "--monte-carlo keeps layers of dropout alive, not what others drop",
                "Leave out --monte-carlo, or build the model with layers of dropout.");
    std::optional<Operand> hx;
    std::optional<Operand> cx;
    if (cell.kind == CellKind::lstm) {
        const std::vector<Operand> both = call.operands("hx");
        call.demand(both.size() == 2, "hx", "it is not two states");
        hx = both[0];
        cx = both[1];
    } else {
        hx = call.operand("hx");
    }
    if (x.rank() != 2 && x.rank() != 3) {
        call.refuse(fmt::format("its input has {} axes", x.rank()), {}, "input");
    }
    const bool batched = x.rank() == 3;
    const int batch_at = batch_first ? 0 : 1;
    if (x.batch_axis >= 0 && (!batched || x.batch_axis != batch_at)) {
        throw BatchMixed();
    }
    const auto entries = static_cast<std::size_t>(count);
    std::vector<Stack> samples;
    if (!batched || x.batch_axis >= 0) {
        Operand sample = x;
        sample.batch_axis = x.batch_axis >= 0 ? 0 : -1;
        samples.push_back(run_layers(call, cell, sample, parameters, directions,
                                     states_of(call, hx, entries, batched, 0, 1),
                                     states_of(call, cx, entries, batched, 0, 1)));
    } else {
        const std::int64_t size = x.sample_shape()[static_cast<std::size_t>(batch_at)];
        call.demand(size >= 1 && size <= 4096, "input",
                    fmt::format("it works on {} samples one by one", size));
        for (std::int64_t i = 0; i < size; ++i) {
            samples.push_back(run_layers(call, cell, call.selected(x, batch_at, i), parameters,
                                         directions, states_of(call, hx, entries, true, i, size),
                                         states_of(call, cx, entries, true, i, size)));
        }
    }
    // Back to the program's axes.
    const bool list = batched && x.batch_axis < 0;
    std::vector<Operand> outputs;
    std::vector<Operand> states;
    std::vector<Operand> cells;
    for (const Stack& sample : samples) {
        outputs.push_back(sample.outputs);
        states.push_back(call.stacked(sample.states, 0));
        if (cell.kind == CellKind::lstm) {
            cells.push_back(call.stacked(sample.cells, 0));
        }
    }
    Operand y = list ? call.stacked(outputs, batch_at) : outputs[0];
    y.batch_axis = y.is_constant ? -1 : x.batch_axis;
    call.set(y, 0);
    const auto set_state = [&](const std::vector<Operand>& of, std::size_t output) {
        Operand state = list ? call.stacked(of, 1) : of[0];
        state.batch_axis = x.batch_axis >= 0 && !state.is_constant ? 1 : -1;
        call.set(state, output);
    };
    set_state(states, 1);
    if (cell.kind == CellKind::lstm) {
        set_state(cells, 2);
    }
}

/// One step of x[batch, in] (or x[in]).
void single_step(Call& call, const Cell& cell) {
    const Operand x = call.operand("input");
    Operand hx;
    Operand cx;
    if (cell.kind == CellKind::lstm) {
        const std::vector<Operand> both = call.operands("hx");
        call.demand(both.size() == 2, "hx", "it is not two states");
        hx = both[0];
        cx = both[1];
    } else {
        hx = call.operand("hx");
    }
    Parameters p;
    p.input = call.operand("w_ih");
    p.recurrent = call.operand("w_hh");
    p.input_bias = call.optional("b_ih");
    p.recurrent_bias = call.optional("b_hh");
    const bool batched = x.rank() == 2;
    if ((x.rank() != 1 && !batched) || x.batch_axis > 0 || hx.batch_axis > 0 ||
        (x.batch_axis >= 0 && !batched)) {
        throw BatchMixed();
    }
    const bool list = batched && x.batch_axis < 0;
    const std::int64_t size = list ? x.sample_shape()[0] : 1;
    call.demand(size >= 1 && size <= 4096, "input",
                fmt::format("it works on {} samples one by one", size));
    const auto state_of = [&](const Operand& state, std::int64_t i) -> std::optional<Operand> {
        if (is_zero(state)) {
            return std::nullopt;
        }
        if (state.batch_axis == 0 || !batched) {
            return state;
        }
        if (state.rank() != 2 || state.sample_shape()[0] != size) {
            throw BatchMixed();
        }
        return call.selected(state, 0, i);
    };
    std::vector<Operand> states;
    std::vector<Operand> cells;
    for (std::int64_t i = 0; i < size; ++i) {
        Operand sample = list ? call.selected(x, 0, i) : x;
        Shape row = sample.sample_shape();
        row.insert(row.begin(), 1);
        sample = call.reshaped(sample, row, sample.batch_axis);
        const RecurrentResult y =
            run(call, cell, sample, p, state_of(hx, i),
                cell.kind == CellKind::lstm ? state_of(cx, i) : std::nullopt, false);
        states.push_back(y.state);
        cells.push_back(y.cell);
    }
    const auto joined = [&](const std::vector<Operand>& of) {
        return list ? call.stacked(of, 0) : of[0];
    };
    call.set(joined(states), 0);
    if (cell.kind == CellKind::lstm) {
        call.set(joined(cells), 1);
    }
}

const RuleRow rows[] = {
    {"aten.lstm", "input", [](Call& c) { recurrent(c, lstm_cell); }},
    {"aten.gru", "input", [](Call& c) { recurrent(c, gru_cell); }},
    {"aten.rnn_tanh", "input", [](Call& c) { recurrent(c, tanh_cell); }},
    {"aten.rnn_relu", "input", [](Call& c) { recurrent(c, relu_cell); }},
    {"aten.lstm_cell", "default", [](Call& c) { single_step(c, lstm_cell); }},
    {"aten.gru_cell", "default", [](Call& c) { single_step(c, gru_cell); }},
    {"aten.rnn_tanh_cell", "default", [](Call& c) { single_step(c, tanh_cell); }},
    {"aten.rnn_relu_cell", "default", [](Call& c) { single_step(c, relu_cell); }},
};

}  // namespace

std::span<const RuleRow> recurrent_rules() {
    return rows;
}

}  // namespace gatewright::torch
