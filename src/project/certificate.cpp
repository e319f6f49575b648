#include "project/certificate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "operators/core.h"
#include "project/wires.h"

namespace gatewright::project {

using nlohmann::ordered_json;

namespace {

ordered_json interval_json(const Interval& range) {
    return {to_string(range.low), to_string(range.high)};
}

ordered_json intervals_json(const std::vector<Interval>& ranges) {
    ordered_json out = ordered_json::array();
    for (const Interval& range : ranges) {
        out.push_back(interval_json(range));
    }
    return out;
}

/// A complement within its own bits is reduced by definition, and never by chance.
bool is_complement(const bits::Function& function, const bits::Node& node) {
    return node.op == bits::Op::bit_not && node.type == function.nodes[node.operand[0]].type;
}

/// Kinds of operations that the bodies of each layer reduce on purpose: to take low bits, to round,
/// to wrap, or in the branch that a choice does not take.
std::set<std::pair<std::string, bits::Op>> meant_reductions(const operators::CoreModel& model) {
    std::set<std::pair<std::string, bits::Op>> out;
    for (const network::Node& node : model.network.nodes()) {
        operators::Bodies bodies;
        std::vector<network::TensorType> types;
        for (const network::Value value : node.inputs) {
            types.push_back(model.network.type(value));
        }
        if (node.op->element != nullptr && !types.empty()) {
            bodies = operators::map_bodies(node, types);
        } else if (node.op->row != nullptr) {
            bodies = operators::row_bodies(node, types);
        }
        for (const operators::Body& body : bodies.bodies) {
            std::vector<Interval> inputs;
            for (const network::Format& format : body.inputs) {
                inputs.push_back(format.range);
            }
            const WireRanges wires = find_wire_ranges(body.function, inputs);
            for (std::size_t i = 0; i < wires.proofs.size(); ++i) {
                if (wires.proofs[i] == WireProof::reduced) {
                    out.emplace(node.where.layer, body.function.nodes[i].op);
                }
            }
        }
    }
    return out;
}

ordered_json layer_ranges(const operators::CoreModel& model) {
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
        out.push_back({{"layer", node.where.layer},
                       {"operator", std::string(node.op->name)},
                       {"low", to_string(range.low)},
                       {"high", to_string(range.high)},
                       {"width", width}});
    }
    return out;
}

std::int64_t number(const ordered_json& object, const char* key) {
    return object.at(key).get<std::int64_t>();
}

/// "may wrap: fc1 reaches [-200, 310] of [-128, 127]; an input was found"
std::string overflow_line(const ordered_json& row) {
    const auto ends = [&](const char* key) {
        return fmt::format("[{}, {}]", row.at(key).at(0).get<std::string>(),
                           row.at(key).at(1).get<std::string>());
    };
    const bool wraps = row.at("overflow") == "wrap";
    std::string out =
        fmt::format("{}: {} element{} of a {} may {}, one by its range {} of {}; ",
                    row.at("layer").get<std::string>(), number(row, "elements"),
                    number(row, "elements") == 1 ? "" : "s", row.at("type").get<std::string>(),
                    wraps ? "wrap" : "saturate", ends("range"), ends("limits"));
    if (row.at("witness").is_null()) {
        return out + (number(row, "tries") == 0
                          ? std::string("not searched: over 62 bits, or too many sums")
                          : fmt::format("not found in {} tries", number(row, "tries")));
    }
    const auto& witness = row.at("witness");
    return out + fmt::format("an input in certificate.json {} {} to {}",
                             wraps ? "wraps" : "saturates", witness.at("before").get<std::string>(),
                             witness.at("after").get<std::string>());
}

}  // namespace

ordered_json contraction_json(const schedule::BuiltContraction& c) {
    ordered_json out;
    out["layer"] = c.layer;
    out["inputs"] = c.matrix.n_in;
    out["outputs"] = c.matrix.n_out;
    out["copies"] = c.copies;
    out["weights"] = c.matrix.weights;
    out["input_ranges"] = intervals_json(c.ranges);
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
    out["value_ranges"] = intervals_json(linear::ranges_of(c.graph, c.ranges));
    return out;
}

ordered_json ranges_json(const Translation& translation) {
    const design::Process& process = translation.parallel.design.processes.front();
    const bits::Function& body = process.body;
    std::vector<Interval> inputs;
    for (const design::Port& port : process.inputs) {
        for (const auto& lane : port.lanes) {
            inputs.push_back(lane.range);
        }
    }
    // What the model's types promise of the results of its operators.
    std::vector<KnownRange> known;
    for (const schedule::ResultWire& result : translation.parallel.results) {
        const network::TensorType& type = translation.model.network.type(result.value);
        known.push_back({result.wire, type.fixed->at(result.element).range});
    }
    const WireRanges wires = find_wire_ranges(body, inputs, known);
    const auto meant = meant_reductions(translation.model);
    std::map<WireProof, std::int64_t> counts;
    std::map<std::pair<std::string, bits::Op>, std::int64_t> reduced;
    std::int64_t unproven = 0;
    for (std::size_t i = 0; i < body.nodes.size(); ++i) {
        const bits::Node& node = body.nodes[i];
        ++counts[wires.proofs[i]];
        if (wires.proofs[i] == WireProof::reduced) {
            const std::pair key(body.origins[node.origin], node.op);
            ++reduced[key];
            unproven += meant.contains(key) || is_complement(body, node) ? 0 : 1;
        }
    }
    ordered_json rows = ordered_json::array();
    for (const auto& [key, count] : reduced) {
        rows.push_back({{"layer", key.first},
                        {"operation", std::string(bits::info(key.second).name)},
                        {"wires", count}});
    }
    ordered_json out;
    out["wires"] = body.nodes.size();
    out["by_interval"] = counts[WireProof::interval];
    out["by_linear_form"] = counts[WireProof::linear_form];
    out["reduced"] = rows;
    out["unproven"] = unproven;
    out["results"] = known.size();
    out["circuit"] = body.nodes.size() <= most_written_wires ? ordered_json(circuit_file)
                                                             : ordered_json(nullptr);
    out["layers"] = layer_ranges(translation.model);
    return out;
}

std::string circuit_text(const Translation& translation) {
    std::string out = bits::to_text(translation.parallel.design.processes.front().body);
    for (const schedule::ResultWire& result : translation.parallel.results) {
        out += fmt::format("# %{} is %{}.{} element {}\n", result.wire, result.value.node,
                           result.value.output, result.element);
    }
    return out;
}

ordered_json overflow_json(const operators::CoreModel& model,
                           const std::vector<Overflowing>& findings) {
    ordered_json out = ordered_json::array();
    for (const Overflowing& o : findings) {
        ordered_json row;
        row["layer"] = o.layer;
        row["operator"] = std::string(model.network.node(o.node).op->name);
        row["overflow"] = to_string(o.overflow);
        row["elements"] = o.elements;
        row["element"] = o.element;
        row["sum"] = o.sum;
        row["type"] = to_string(o.type);
        row["range"] = interval_json(o.range);
        row["limits"] = interval_json(o.limits);
        row["tries"] = o.tries;
        row["witness"] = nullptr;
        if (o.witness) {
            ordered_json inputs;
            const auto ports = model.network.inputs();
            for (std::size_t p = 0; p < ports.size(); ++p) {
                inputs[std::string(model.network.input_name(ports[p]))] = o.witness->inputs[p];
            }
            row["witness"] = {{"inputs", inputs},
                              {"element", o.witness->element},
                              {"sum", o.witness->sum},
                              {"before", to_string(o.witness->before)},
                              {"after", to_string(o.witness->after)}};
        }
        out.push_back(std::move(row));
    }
    return out;
}

ordered_json functions_json(const FunctionCheck& f) {
    return {{"functions", f.functions},
            {"in_full", f.in_full},
            {"at_edges", f.at_edges},
            {"entries_checked", f.entries},
            {"wrong", f.wrong}};
}

std::string certificate_text(const ordered_json& c) {
    std::string out;
    const auto line = [&](const std::string& text) { out += text + "\n"; };
    line(fmt::format("files as derived from design.json: {}",
                     c.at("files_as_derived").get<bool>() ? "yes" : "NO"));
    const auto& graphs = c.at("adder_graphs");
    line(fmt::format("adder graphs proven: {} of {}",
                     number(graphs, "count") - number(graphs, "not_proven"),
                     number(graphs, "count")));
    const auto& t = c.at("tables");
    line(
        fmt::format("functions of one integer: {}, {} read in full, {} at their edges; {} results "
                    "compared, {} wrong",
                    number(t, "functions"), number(t, "in_full"), number(t, "at_edges"),
                    number(t, "entries_checked"), number(t, "wrong")));
    const auto& r = c.at("ranges");
    std::int64_t reduced = 0;
    for (const auto& row : r.at("reduced")) {
        reduced += number(row, "wires");
    }
    line(
        fmt::format("wires: {}; without overflow: {} by intervals, {} by linear forms; reduced on "
                    "purpose: {}; not proven: {}",
                    number(r, "wires"), number(r, "by_interval"), number(r, "by_linear_form"),
                    reduced - number(r, "unproven"), number(r, "unproven")));
    std::int64_t saturating = 0;
    std::int64_t saturated = 0;
    bool wraps = false;
    for (const auto& row : c.at("overflow")) {
        if (row.at("overflow") == "wrap") {
            wraps = true;
            line("overflow: " + overflow_line(row));
        } else {
            ++saturating;
            saturated += row.at("witness").is_null() ? 0 : 1;
        }
    }
    if (!wraps) {
        line("overflow: nothing in the circuit can wrap");
    }
    if (saturating > 0) {
        line(
            fmt::format("saturation: {} places may saturate by their ranges, {} do for an input in "
                        "certificate.json",
                        saturating, saturated));
    }
    for (const auto& row : c.at("comparisons")) {
        line(fmt::format("{}: {}", row.at("level").get<std::string>(),
                         row.contains("skipped")
                             ? "skipped, " + row.at("skipped").get<std::string>()
                             : fmt::format("{} mismatches in {} samples", number(row, "mismatches"),
                                           number(row, "samples"))));
    }
    line(fmt::format("verdict: {}", c.at("verdict").get<std::string>()));
    return out;
}

}  // namespace gatewright::project
