#include <fmt/format.h>

#include <algorithm>

#include "bits/evaluator.h"
#include "bits/range.h"
#include "operators/core.h"
#include "operators/map.h"
#include "project/commands.h"

namespace gatewright::project {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

/// Every word of every table and every threshold: the body that the circuit has, on all integers of
/// its exact range, against the operator's fields read plainly.
std::int64_t check_tables(const operators::CoreModel& model, std::int64_t& checked) {
    std::int64_t wrong = 0;
    for (const network::Node& node : model.network.nodes()) {
        const bool is_table = node.op == &operators::table_operator;
        const bool is_thresholds = node.op == &operators::thresholds_operator;
        if (!is_table && !is_thresholds) {
            continue;
        }
        const std::vector<network::TensorType> types = {model.network.type(node.inputs[0])};
        const operators::Bodies bodies = operators::map_bodies(node, types);
        std::vector<bool> seen(bodies.bodies.size(), false);
        for (std::size_t e = 0; e < bodies.body_of.size(); ++e) {
            const auto b = static_cast<std::size_t>(bodies.body_of[e]);
            if (seen[b]) {
                continue;
            }
            seen[b] = true;
            const auto element = static_cast<std::int64_t>(e);
            const Interval range = bodies.bodies[b].inputs[0].range;
            if (range.high - range.low > (1 << 20)) {
                continue;  // thresholds of a wide value: checked at their edges below
            }
            for (Int128 n = range.low; n <= range.high; ++n) {
                Int128 expected = 0;
                if (is_table) {
                    const auto& f = node.fields<operators::TableFields>();
                    expected = f.words.at(element)[static_cast<std::size_t>(n - f.low.at(element))];
                } else {
                    const auto& f = node.fields<operators::ThresholdFields>();
                    expected = f.base.at(element);
                    for (const Int128 t : f.thresholds.at(element)) {
                        expected += n >= t ? f.step.at(element) : 0;
                    }
                }
                ++checked;
                wrong += bits::evaluate(bodies.bodies[b].function, {n}).front() != expected ? 1 : 0;
            }
        }
    }
    return wrong;
}

/// Runs the flat function of a parallel design on integers of its ports.
PortIntegers run_bits(const bits::Function& function, const PortIntegers& inputs,
                      const std::vector<std::size_t>& output_elements, std::int64_t samples) {
    constexpr auto block = static_cast<std::int64_t>(bits::Evaluator::block);
    const bits::Evaluator evaluator(
        function, std::vector<bits::Lane>(function.inputs.size(), bits::Lane::i64),
        std::vector<bits::Lane>(function.outputs.size(), bits::Lane::i64));
    bits::Evaluator::Scratch scratch;
    std::vector<std::int64_t> in(function.inputs.size() * bits::Evaluator::block);
    std::vector<std::int64_t> out(function.outputs.size() * bits::Evaluator::block);
    std::vector<const void*> in_pointers;
    std::vector<void*> out_pointers;
    for (std::size_t i = 0; i < function.inputs.size(); ++i) {
        in_pointers.push_back(in.data() + i * bits::Evaluator::block);
    }
    for (std::size_t i = 0; i < function.outputs.size(); ++i) {
        out_pointers.push_back(out.data() + i * bits::Evaluator::block);
    }
    PortIntegers result;
    for (const std::size_t elements : output_elements) {
        result.emplace_back(elements * static_cast<std::size_t>(samples));
    }
    for (std::int64_t first = 0; first < samples; first += block) {
        const std::int64_t count = std::min(block, samples - first);
        std::size_t lane = 0;
        for (const auto& port : inputs) {
            for (std::size_t e = 0; e < port.size() / static_cast<std::size_t>(samples); ++e) {
                std::copy_n(port.data() + static_cast<std::int64_t>(e) * samples + first, count,
                            in.data() + static_cast<std::int64_t>(lane++) * block);
            }
        }
        evaluator.run(in_pointers.data(), out_pointers.data(), scratch);
        lane = 0;
        for (auto& port : result) {
            for (std::size_t e = 0; e < port.size() / static_cast<std::size_t>(samples); ++e) {
                std::copy_n(out.data() + static_cast<std::int64_t>(lane++) * block, count,
                            port.data() + static_cast<std::int64_t>(e) * samples + first);
            }
        }
    }
    return result;
}

std::int64_t differing(const PortIntegers& a, const PortIntegers& b) {
    std::int64_t count = 0;
    for (std::size_t p = 0; p < a.size(); ++p) {
        for (std::size_t i = 0; i < a[p].size(); ++i) {
            count += a[p][i] != b[p][i] ? 1 : 0;
        }
    }
    return count;
}

std::string text_of(Int128 value) {
    return to_string(value);
}

ordered_json contraction_json(const schedule::BuiltContraction& c) {
    ordered_json out;
    out["layer"] = c.layer;
    out["inputs"] = c.matrix.n_in;
    out["outputs"] = c.matrix.n_out;
    out["copies"] = c.copies;
    out["weights"] = c.matrix.weights;
    ordered_json ranges = ordered_json::array();
    for (const Interval& r : c.ranges) {
        ranges.push_back({text_of(r.low), text_of(r.high)});
    }
    out["input_ranges"] = ranges;
    ordered_json additions = ordered_json::array();
    for (const linear::Addition& a : c.graph.additions) {
        additions.push_back({a.a, a.shift_a, a.negate_a, a.b, a.shift_b, a.negate_b});
    }
    out["additions"] = additions;
    ordered_json outputs = ordered_json::array();
    for (const linear::Output& o : c.graph.outputs) {
        outputs.push_back({o.value, o.shift, o.negate});
    }
    out["results"] = outputs;
    ordered_json value_ranges = ordered_json::array();
    for (const Interval& r : linear::ranges_of(c.graph, c.ranges)) {
        value_ranges.push_back({text_of(r.low), text_of(r.high)});
    }
    out["value_ranges"] = value_ranges;
    return out;
}

/// Wraps that the model itself asks for, with the layer; everything else is proven not to overflow.
ordered_json ranges_json(const operators::CoreModel& model) {
    ordered_json out = ordered_json::array();
    for (const network::Node& node : model.network.nodes()) {
        Interval range;
        int width = 0;
        for (const network::TensorType& type : node.types) {
            for (const network::Format& format : type.fixed->values()) {
                range = hull(range, format.range);
                width = std::max(width, format.type.width);
            }
        }
        const bool wraps = node.op == &operators::quantize_operator &&
                           node.fields<operators::QuantizeFields>().overflow == Overflow::wrap;
        out.push_back({{"layer", node.where.layer},
                       {"operator", std::string(node.op->name)},
                       {"low", text_of(range.low)},
                       {"high", text_of(range.high)},
                       {"width", width},
                       {"may_wrap", wraps}});
    }
    return out;
}

}  // namespace

ordered_json verify(const VerifyOptions& options,
                    const std::function<void(const std::string&)>& step) {
    const auto say = [&](const std::string& what) {
        if (step) {
            step(what);
        }
    };
    const StoredDesign stored = read_design(options.folder);
    ordered_json out;
    out["format"] = "gatewright certificate 1";
    out["name"] = stored.model.network.name;
    bool equal = true;

    say("deriving the circuit again");
    const Translation translation = translate(stored.model, stored.settings);
    bool same_files = true;
    for (const backends::EmittedFile& file : emit(translation)) {
        std::error_code error;
        same_files = same_files && fs::is_regular_file(options.folder / file.path, error) &&
                     read_text(options.folder / file.path) == file.text;
    }
    out["files_as_derived"] = same_files;

    say("proving adder graphs");
    ordered_json contractions = ordered_json::array();
    std::int64_t unproven = 0;
    for (const schedule::BuiltContraction& c : translation.parallel.contractions) {
        unproven += linear::prove(c.graph, c.matrix).empty() ? 0 : 1;
        contractions.push_back(contraction_json(c));
    }
    out["adder_graphs"] = {{"count", contractions.size()}, {"not_proven", unproven}};
    equal = equal && unproven == 0;

    say("checking tables");
    std::int64_t checked = 0;
    const std::int64_t wrong = check_tables(stored.model, checked);
    out["tables"] = {{"entries_checked", checked}, {"wrong", wrong}};
    equal = equal && wrong == 0;

    const bits::Function& body = translation.parallel.design.processes.front().body;
    std::int64_t reduced = 0;
    for (const bits::Range& range : bits::find_ranges(body)) {
        reduced += range.reduced ? 1 : 0;
    }
    out["ranges"] = {{"wires", body.nodes.size()},
                     {"needing_the_layer_certificate", reduced},
                     {"layers", ranges_json(stored.model)}};

    say("comparing emulator and bits");
    const PortIntegers inputs = random_ports(stored.model, options.samples, options.seed);
    const PortIntegers emulated =
        emulate::TensorEmulator(stored.model).run_integers(inputs, options.samples);
    std::vector<std::size_t> elements;
    for (const auto& port : translation.interface.outputs) {
        elements.push_back(port.lanes.size());
    }
    ordered_json comparisons = ordered_json::array();
    const auto add = [&](const std::string& level, std::int64_t mismatches, ordered_json extra) {
        ordered_json row = {
            {"level", level}, {"samples", options.samples}, {"mismatches", mismatches}};
        row.update(extra);
        comparisons.push_back(row);
        equal = equal && mismatches == 0;
    };
    add("bits", differing(emulated, run_bits(body, inputs, elements, options.samples)),
        ordered_json::object());

    const auto simulated = [&](const std::string& level, const std::vector<fs::path>& files,
                               const std::string& work) {
        say(level);
        // Verilator is fast to run, Icarus soon built; either will do.
        for (const flow::Simulator simulator :
             {flow::Simulator::verilator, flow::Simulator::icarus}) {
            const bool verilator = simulator == flow::Simulator::verilator;
            if (flow::tool_status(verilator ? flow::ToolId::verilator : flow::ToolId::icarus)
                    .version.empty()) {
                continue;
            }
            const SimulationOutcome outcome = simulate(
                options.folder, files, translation.interface, inputs, options.samples, simulator,
                options.folder / "simulation" / work, options.seed, options.timeout_seconds);
            add(level, differing(emulated, outcome.outputs) + outcome.undefined,
                {{"tool", outcome.tool}, {"version", outcome.version}});
            return;
        }
        comparisons.push_back(
            {{"level", level},
             {"skipped", "no simulator is installed (apt-get install verilator)"}});
    };
    simulated("verilog", verilog_files(options.folder, stored), "verify");
    const fs::path netlist = options.folder / "reports" / "synthesis" / "netlist_simulation.v";
    std::error_code error;
    if (fs::is_regular_file(netlist, error)) {
        simulated("netlist", {netlist}, "verify_netlist");
    } else {
        comparisons.push_back(
            {{"level", "netlist"}, {"skipped", "not synthesised yet: run gatewright synthesize"}});
    }
    out["comparisons"] = comparisons;
    equal = equal && same_files;
    out["verdict"] = equal ? "equal" : "different";
    out["contractions"] = contractions;
    write_text(options.folder / "certificate.json", out.dump(1) + "\n");
    return out;
}

}  // namespace gatewright::project
