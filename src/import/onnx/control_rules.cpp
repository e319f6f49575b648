// Graphs within layers: If, Loop and Scan. What decides about them must be constant, so that they
// are written out.

#include <fmt/format.h>

#include "import/layers/sample.h"
#include "import/onnx/rules.h"

namespace gatewright::onnx {

namespace {

const OnnxGraph& graph_of(Call& call, const std::string& name) {
    const OnnxAttribute* given = call.any(name);
    const auto* opaque = given == nullptr ? nullptr : std::get_if<OpaqueAttribute>(given);
    if (opaque == nullptr || opaque->graph == nullptr) {
        call.refuse("there is no graph that can be read", "Export the model without functions.",
                    name);
    }
    return *opaque->graph;
}

std::string layer_of(Call& call) {
    return call.node().layer_name();
}

/// Whether a condition holds; a computed one is refused.
bool holds(Call& call, const Operand& condition) {
    if (!condition.is_constant || condition.constant.values.size() != 1) {
        call.refuse("its condition is computed from the model's inputs",
                    "Export the model with a constant there.");
    }
    return condition.constant.values.front() != 0;
}

void if_rule(Call& call) {
    const char* const branches[] = {"else_branch", "then_branch"};
    const bool condition = holds(call, call.operand(0));
    call.ignore(branches[condition ? 0 : 1]);  // the other branch never runs
    const OnnxGraph& graph = graph_of(call, branches[condition ? 1 : 0]);
    const auto outputs = call.importer().run_inner(graph, {}, layer_of(call));
    if (outputs.size() < call.node().outputs.size()) {
        call.refuse("its branch has too few outputs");
    }
    for (std::size_t i = 0; i < call.node().outputs.size(); ++i) {
        call.set(outputs[i], i);
        call.set_type(graph.outputs[i].element, i);
    }
}

Operand integer(std::int64_t value) {
    Operand out = Call::number(static_cast<double>(value));
    out.is_integer = true;
    return out;
}

/// Position i along an axis of the file's shape, which goes.
Operand taken(Call& call, const Operand& x, std::int64_t file_axis, std::int64_t i) {
    const std::int64_t at = call.normalised(file_axis, x.rank());
    Operand y = call.selected(layers::in_front(x), call.axis(x, file_axis), i);
    y.batch_axis = y.is_constant ? -1 : x.batch_axis > at ? x.batch_axis - 1 : x.batch_axis;
    return y;
}

/// Joined along a new axis of the file's shape.
Operand gathered(Call& call, std::vector<Operand> parts, std::int64_t file_axis) {
    const int batch_axis = parts.front().batch_axis;
    const std::int64_t at = call.normalised(file_axis, parts.front().rank() + 1);
    for (Operand& part : parts) {
        if (part.batch_axis != batch_axis) {
            throw BatchMixed();
        }
        part = layers::in_front(part);
    }
    const bool before = batch_axis >= 0 && at <= batch_axis;
    Operand y = call.stacked(parts, batch_axis >= 0 && !before ? at - 1 : at);
    y.batch_axis = y.is_constant ? -1 : (before ? batch_axis + 1 : batch_axis);
    return y;
}

constexpr std::int64_t most_rounds = 4096;

void loop(Call& call) {
    const OnnxGraph& body = graph_of(call, "body");
    const std::int64_t most = call.has(0) ? call.one_integer(0, "trip count") : most_rounds + 1;
    bool goes_on = !call.has(1) || holds(call, call.operand(1));
    std::vector<Operand> state;
    for (std::size_t i = 2; i < call.inputs(); ++i) {
        state.push_back(call.operand(i));
    }
    std::vector<std::vector<Operand>> collected;
    for (std::int64_t round = 0; goes_on && round < most; ++round) {
        if (round == most_rounds) {
            call.refuse(fmt::format("it runs more than {} times", most_rounds));
        }
        std::vector<Operand> arguments = {integer(round), Call::number(1)};
        arguments.insert(arguments.end(), state.begin(), state.end());
        const auto outputs =
            call.importer().run_inner(body, arguments, fmt::format("{}/{}", layer_of(call), round));
        if (outputs.size() < 1 + state.size()) {
            call.refuse("its graph has too few outputs", {}, "body");
        }
        // A computed condition may only be what came in.
        goes_on = holds(call, outputs[0]);
        collected.resize(outputs.size() - 1 - state.size());
        for (std::size_t i = 0; i < collected.size(); ++i) {
            collected[i].push_back(outputs[1 + state.size() + i]);
        }
        state.assign(outputs.begin() + 1,
                     outputs.begin() + 1 + static_cast<std::ptrdiff_t>(state.size()));
    }
    for (std::size_t i = 0; i < call.node().outputs.size(); ++i) {
        if (i < state.size()) {
            call.set(state[i], i);
        } else if (i - state.size() < collected.size()) {
            call.set(gathered(call, collected[i - state.size()], 0), i);
        } else {
            call.refuse("it never runs, or its graph has too few outputs", {}, "body");
        }
        if (i + 1 < body.outputs.size()) {
            call.set_type(body.outputs[i + 1].element, i);
        }
    }
}

void scan(Call& call) {
    if (call.opset() < 9) {
        call.refuse("before opset 9 it runs over batches",
                    "Convert the model to opset 9 or newer.");
    }
    const OnnxGraph& body = graph_of(call, "body");
    const std::int64_t scanned = call.integer("num_scan_inputs", 0);
    const auto inputs = static_cast<std::int64_t>(call.inputs());
    const std::int64_t states = inputs - scanned;
    const std::int64_t results = static_cast<std::int64_t>(body.outputs.size()) - states;
    if (scanned < 1 || states < 0 || results < 0) {
        call.refuse("its inputs do not fit its graph", {}, "num_scan_inputs");
    }
    const auto list = [&](const char* name, std::int64_t count) {
        auto values = call.integer_list(name).value_or(
            std::vector<std::int64_t>(static_cast<std::size_t>(count), 0));
        if (static_cast<std::int64_t>(values.size()) != count) {
            call.refuse(fmt::format("it has {} numbers instead of {}", values.size(), count), {},
                        name);
        }
        return values;
    };
    const auto input_axes = list("scan_input_axes", scanned);
    const auto input_directions = list("scan_input_directions", scanned);
    const auto output_axes = list("scan_output_axes", results);
    const auto output_directions = list("scan_output_directions", results);
    std::vector<Operand> state;
    for (std::int64_t i = 0; i < states; ++i) {
        state.push_back(call.operand(static_cast<std::size_t>(i)));
    }
    std::int64_t rounds = -1;
    for (std::size_t i = 0; i < input_axes.size(); ++i) {
        const Operand& x = call.operand(static_cast<std::size_t>(states) + i);
        const std::int64_t extent =
            x.sample_shape()[static_cast<std::size_t>(call.axis(x, input_axes[i]))];
        if ((rounds >= 0 && extent != rounds) || extent < 1 || extent > most_rounds) {
            call.refuse(fmt::format("it runs over axes of {} and {} positions", rounds, extent));
        }
        rounds = extent;
    }
    std::vector<std::vector<Operand>> collected(static_cast<std::size_t>(results));
    for (std::int64_t round = 0; round < rounds; ++round) {
        std::vector<Operand> arguments = state;
        for (std::size_t i = 0; i < input_axes.size(); ++i) {
            arguments.push_back(taken(call, call.operand(static_cast<std::size_t>(states) + i),
                                      input_axes[i],
                                      input_directions[i] == 0 ? round : rounds - 1 - round));
        }
        const auto outputs =
            call.importer().run_inner(body, arguments, fmt::format("{}/{}", layer_of(call), round));
        state.assign(outputs.begin(), outputs.begin() + static_cast<std::ptrdiff_t>(states));
        for (std::size_t i = 0; i < collected.size(); ++i) {
            auto& parts = collected[i];
            parts.insert(output_directions[i] == 0 ? parts.end() : parts.begin(),
                         outputs[static_cast<std::size_t>(states) + i]);
        }
    }
    for (std::size_t i = 0; i < call.node().outputs.size(); ++i) {
        const std::size_t at = i - static_cast<std::size_t>(states);
        if (i >= body.outputs.size()) {
            call.refuse("its graph has too few outputs", {}, "body");
        }
        call.set(i < state.size() ? state[i] : gathered(call, collected[at], output_axes[at]), i);
        call.set_type(body.outputs[i].element, i);
    }
}

const RuleRow rows[] = {
    {"If", &if_rule},
    {"Loop", &loop},
    {"Scan", &scan},
};

}  // namespace

std::span<const RuleRow> control_rules() {
    return rows;
}

}  // namespace gatewright::onnx
