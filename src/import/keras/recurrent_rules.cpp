#include <fmt/format.h>

#include <algorithm>

#include "import/keras/activations.h"
#include "import/keras/products.h"
#include "import/keras/qkeras_layers.h"
#include "import/keras/rules.h"
#include "import/layers/recurrent.h"

namespace gatewright::keras {

namespace {

using layers::CellKind;
using layers::Recurrence;
using layers::RecurrentResult;

/// Which cells there are, and the order of their gates in Keras.
struct CellClass {
    std::string_view layer;
    std::string_view cell;
    CellKind kind;
    std::string_view gates;
    bool qkeras = false;  ///< with quantised weights and states
};
const CellClass cell_classes[] = {
    {"SimpleRNN", "SimpleRNNCell", CellKind::simple, "h"},
    {"LSTM", "LSTMCell", CellKind::lstm, "ifco"},
    {"GRU", "GRUCell", CellKind::gru, "zrh"},
    {"QSimpleRNN", "QSimpleRNNCell", CellKind::simple, "h", true},
    {"QLSTM", "QLSTMCell", CellKind::lstm, "ifco", true},
    {"QGRU", "QGRUCell", CellKind::gru, "zrh", true},
};

const CellClass* find_cell(const Object& object) {
    const auto* at =
        std::find_if(std::begin(cell_classes), std::end(cell_classes), [&](const CellClass& row) {
            return object.package.empty() &&
                   (row.layer == object.class_name || row.cell == object.class_name);
        });
    return at == std::end(cell_classes) ? nullptr : at;
}

/// Arguments of cells that change nothing when a model is used.
void ignore_for_cells(Call& call, Settings& settings) {
    call.ignore_dropout(settings, {"dropout", "recurrent_dropout"});
    // Training only; the bias at the start of training; other ways to the same numbers.
    settings.ignore({"seed", "unit_forget_bias", "implementation", "use_cudnn"});
}

layers::Change change(Call& call, const Json& serialised) {
    return [&call, &serialised](layers::Builder&, const Operand& x) {
        return activation(call, serialised, x);
    };
}

/// A cell's recurrence over x[steps, features], without states and masks.
Recurrence read_cell(Call& call, const CellClass& row, Settings& settings, Weights weights,
                     const Operand& x) {
    ignore_for_cells(call, settings);
    Recurrence r;
    r.cell = row.kind;
    r.gates = std::string(row.gates);
    r.units = settings.integer("units");
    if (r.units < 1 || r.units > (1 << 20)) {
        settings.refuse("units", "it is out of range");
    }
    const std::int64_t width = r.units * static_cast<std::int64_t>(r.gates.size());
    call.variant.qkeras = row.qkeras;
    const auto weight = [&](const char* role, const Shape& shape, const char* key, bool computes) {
        const Operand found = call.weight(weights, role, shape);
        return row.qkeras ? quantised_weight(call, settings, key, found, computes) : found;
    };
    const Operand plain_kernel = call.weight(weights, "kernel", {x.sample_shape().back(), width});
    const Operand kernel =
        row.qkeras ? quantised_weight(call, settings, "kernel_quantizer", plain_kernel, true)
                   : plain_kernel;
    r.recurrent_kernel = weight("recurrent kernel", {r.units, width}, "recurrent_quantizer", true);
    if (row.qkeras && row.kind == CellKind::gru && !settings.has("recurrent_quantizer")) {
        // So it is in QKeras: without a quantiser it takes the kernel of the inputs here.
        if (plain_kernel.sample_shape() != r.recurrent_kernel.sample_shape()) {
            call.refuse(
                "QKeras itself cannot run a QGRU without recurrent_quantizer on inputs "
                "that are not as many as its units");
        }
        r.recurrent_kernel = plain_kernel;
    }
    std::optional<Operand> bias;
    const bool use_bias = settings.flag("use_bias", true);
    if (row.kind == CellKind::gru) {
        // The default changed between versions; the bias would tell, but is not always there.
        r.reset_after =
            row.qkeras ? settings.flag("reset_after", false) : settings.flag("reset_after");
    }
    if (use_bias && row.kind == CellKind::gru && r.reset_after) {
        const Operand both = weight("bias", {2, width}, "bias_quantizer", false);
        bias = call.selected(both, 0, 0);
        r.recurrent_bias = call.selected(both, 0, 1);
    } else if (use_bias) {
        bias = weight("bias", {width}, "bias_quantizer", false);
    }
    if (row.qkeras) {
        settings.ignore("bias_quantizer");  // of a layer without bias
        r.state = quantiser_of(call, settings, "state_quantizer");
    }
    if (!weights.is_flat() && weights.left() > 0) {
        call.refuse_weights("the file has more weights of its cell than its configuration says");
    }
    const layers::Change inner = change(call, settings.json("activation"));
    r.output = inner;
    layers::Change gate;
    if (row.kind != CellKind::simple) {
        gate = change(call, settings.json("recurrent_activation"));
    }
    const char candidate = row.kind == CellKind::lstm ? 'c' : 'h';
    r.activation = [inner, gate, candidate](char letter) {
        return letter == candidate ? inner : gate;
    };
    r.inputs = layers::input_product(call, x, kernel, bias);
    return r;
}

/// What recurrent layers say besides their cell.
struct Sequence {
    bool return_sequences = false;
    bool return_state = false;
    bool backwards = false;
    bool zero_masked = false;
    bool unrolled = false;
};

Sequence read_sequence(Call& call) {
    Settings& s = call.settings;
    s.expect_unset("stateful",
                   "its states stay from call to call, so the result depends on earlier "
                   "ones");
    s.expect_unset("time_major", "the batch is not its first axis");
    s.expect_unset("num_constants", "constants besides the states are not supported");
    return {s.flag("return_sequences", false), s.flag("return_state", false),
            s.flag("go_backwards", false), s.flag("zero_output_for_mask", false),
            s.flag("unroll", false)};
}

/// The initial states, as further inputs or as an argument.
std::vector<Operand> initial_states(Call& call) {
    std::vector<Operand> out;
    for (std::size_t i = 1; i < call.inputs(); ++i) {
        out.push_back(call.operand(i));
    }
    if (const Argument* given = call.argument(1, "initial_state")) {
        for (const Value& value : given->tensors()) {
            out.push_back(value.operand);
        }
    }
    return out;
}

/// Runs one cell; `states` holds what is left of the initial states, at its front this cell's.
RecurrentResult run(Call& call, Recurrence r, const Sequence& sequence,
                    std::vector<Operand>& states) {
    const std::size_t own = r.cell == CellKind::lstm ? 2 : 1;
    if (!states.empty()) {
        if (states.size() < own) {
            call.refuse(
                fmt::format("it is given {} initial states and has {}", states.size(), own));
        }
        const Shape& inputs = r.inputs.sample_shape();
        Shape expected(inputs.begin() + 1, inputs.end());
        expected.back() = r.units;
        for (std::size_t i = 0; i < own; ++i) {
            if (states[i].sample_shape() != expected) {
                call.refuse("an initial state has another shape than the state");
            }
        }
        r.initial_state = states[0];
        if (own == 2) {
            r.initial_cell = states[1];
        }
        states.erase(states.begin(), states.begin() + static_cast<std::ptrdiff_t>(own));
    }
    r.mask = call.mask();
    if (r.mask && sequence.unrolled && (sequence.zero_masked || r.initial_state)) {
        // Otherwise unrolling is another way to the same numbers.
        call.refuse("with a mask, the backends of Keras disagree on what an unrolled layer gives",
                    "Set unroll to False: the weights stay the same.", "unroll");
    }
    if (r.mask && r.mask->sample_shape() != Shape{r.inputs.sample_shape().front()}) {
        call.refuse("its mask has not one number for each step", {}, "mask");
    }
    r.backwards = sequence.backwards;
    r.zero_masked = sequence.zero_masked;
    return layers::recurrence(call, r);
}

void set_results(Call& call, const RecurrentResult& last, const Sequence& sequence,
                 const std::vector<Operand>& states) {
    Value y;
    if (sequence.return_sequences) {
        // In the order in which the steps were taken.
        y.operand = sequence.backwards ? call.reversed(last.outputs, 0) : last.outputs;
        y.mask = call.mask();
    } else {
        y.operand = last.last;
    }
    std::vector<Value> out = {y};
    if (sequence.return_state) {
        for (const Operand& state : states) {
            out.push_back({state, Kind::real, std::nullopt});
        }
    }
    call.set_values(std::move(out));
}

void expect_sequence(Call& call, std::size_t rank) {
    if (call.operand().sample_shape().size() != rank) {
        call.refuse(fmt::format("its input has {} axes besides the batch instead of {}",
                                call.operand().sample_shape().size(), rank));
    }
}

void add_states(const Recurrence& r, const RecurrentResult& result, std::vector<Operand>& states) {
    states.push_back(result.state);
    if (r.cell == CellKind::lstm) {
        states.push_back(result.cell);
    }
}

void recurrent_layer(Call& call) {
    expect_sequence(call, 2);
    const Sequence sequence = read_sequence(call);
    std::vector<Operand> given = initial_states(call);
    const Recurrence r = read_cell(call, *find_cell(call.object()), call.settings,
                                   call.weights().child("cell"), call.operand());
    const RecurrentResult result = run(call, r, sequence, given);
    if (!given.empty()) {
        call.refuse("it is given more initial states than it has");
    }
    std::vector<Operand> states;
    add_states(r, result, states);
    set_results(call, result, sequence, states);
}

/// Cells one above the other, each over all steps: the same as all at each step.
void rnn(Call& call) {
    expect_sequence(call, 2);
    const Sequence sequence = read_sequence(call);
    std::vector<Operand> given = initial_states(call);
    const Object outer = read_object(call.settings.json("cell"), call.where("cell"));
    std::vector<Object> cells;
    std::vector<Weights> weights;
    const Weights own = call.weights().child("cell");
    if (outer.package.empty() && outer.class_name == "StackedRNNCells") {
        Settings settings(outer.config, call.where(), "cell.");
        std::vector<std::string> classes;
        for (const Json& serialised : settings.json("cells")) {
            cells.push_back(read_object(serialised, call.where("cell")));
            classes.push_back(cells.back().class_name);
        }
        settings.expect_unset("reverse_state_order", "states in another order are not supported");
        Diagnostics diagnostics;
        settings.report_unused(diagnostics);
        diagnostics.throw_if_errors();
        for (const std::string& name : container_names(classes)) {
            weights.push_back(own.child("cells/" + name));
        }
    } else {
        cells.push_back(outer);
        weights.push_back(own);
    }
    if (cells.empty()) {
        call.settings.refuse("cell", "there are no cells");
    }
    Operand x = call.operand();
    RecurrentResult result;
    std::vector<Operand> states;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const CellClass* row = find_cell(cells[i]);
        if (row == nullptr || row->cell != cells[i].class_name) {
            call.refuse_code(fmt::format("the cell {} is not known: what it computes is not in the "
                                         "file",
                                         cells[i].class_name),
                             "Use the cells of Keras.");
        }
        Settings settings(cells[i].config, call.where(), "cell.");
        const Recurrence r = read_cell(call, *row, settings, weights[i], x);
        Diagnostics diagnostics;
        settings.report_unused(diagnostics);
        diagnostics.throw_if_errors();
        result = run(call, r, sequence, given);
        add_states(r, result, states);
        x = result.outputs;
    }
    if (!given.empty()) {
        call.refuse("it is given more initial states than it has");
    }
    set_results(call, result, sequence, states);
}

/// A convolution in place of the products; states are images.
template <std::size_t rank>
void conv_lstm(Call& call) {
    expect_sequence(call, rank + 2);
    const Sequence sequence = read_sequence(call);
    std::vector<Operand> given = initial_states(call);
    ignore_for_cells(call, call.settings);
    const bool first = read_channels_first(call, false);
    const Window window = read_window(call, call.settings.sizes("kernel_size", rank), first);
    const std::int64_t filters = call.settings.integer("filters");
    const std::int64_t channels = call.operand().sample_shape().back();
    Weights weights = call.weights().child("cell");
    Shape shape = window.kernel;
    shape.push_back(channels);
    shape.push_back(4 * filters);
    const Operand kernel = call.weight(weights, "kernel", shape);
    shape[rank] = filters;
    const Operand recurrent_kernel = call.weight(weights, "recurrent kernel", shape);
    std::optional<Operand> bias;
    if (call.settings.flag("use_bias", true)) {
        bias = call.weight(weights, "bias", {4 * filters});
    }
    Recurrence r;
    r.cell = CellKind::lstm;
    r.gates = "ifco";
    r.units = filters;
    r.inputs = conv_product(call, window, call.operand(), kernel, bias);
    r.recurrent_kernel = recurrent_kernel;
    Window around;
    around.kernel = window.kernel;
    around.strides.assign(rank, 1);
    around.dilations.assign(rank, 1);
    around.padding = "same";
    r.product = [&call, around, recurrent_kernel](layers::Builder&, const Operand& state) {
        return conv_product(call, around, state, recurrent_kernel, std::nullopt);
    };
    const layers::Change inner = change(call, call.settings.json("activation"));
    const layers::Change gate = change(call, call.settings.json("recurrent_activation"));
    r.output = inner;
    r.activation = [inner, gate](char letter) { return letter == 'c' ? inner : gate; };
    const RecurrentResult result = run(call, r, sequence, given);
    std::vector<Operand> states;
    add_states(r, result, states);
    set_results(call, result, sequence, states);
}

const RuleRow rows[] = {
    {"SimpleRNN", &recurrent_layer, Masking::own},
    {"LSTM", &recurrent_layer, Masking::own},
    {"GRU", &recurrent_layer, Masking::own},
    {"QSimpleRNN", &recurrent_layer, Masking::own},
    {"QLSTM", &recurrent_layer, Masking::own},
    {"QGRU", &recurrent_layer, Masking::own},
    {"RNN", &rnn, Masking::own},
    {"ConvLSTM1D", &conv_lstm<1>, Masking::own},
    {"ConvLSTM2D", &conv_lstm<2>, Masking::own},
    {"ConvLSTM3D", &conv_lstm<3>, Masking::own},
};

}  // namespace

std::span<const RuleRow> recurrent_rules() {
    return rows;
}

}  // namespace gatewright::keras
