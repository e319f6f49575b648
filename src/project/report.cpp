#include <fmt/format.h>

#include <algorithm>

#include "project/commands.h"

namespace gatewright::project {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

ordered_json read_json(const fs::path& file) {
    std::error_code error;
    if (!fs::is_regular_file(file, error)) {
        return nullptr;
    }
    ordered_json json = ordered_json::parse(read_text(file), nullptr, false);
    return json.is_discarded() ? ordered_json() : json;
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            default:
                out.push_back(c);
        }
    }
    return out;
}

constexpr auto cell_kinds = {"lut", "ff", "carry", "lutram", "dsp", "bram"};

/// What synthesis counted for a layer, if it did.
void add_cells(ordered_json& layer, const ordered_json& synthesis) {
    if (!synthesis.is_object() || !synthesis.contains("layers")) {
        return;
    }
    ordered_json cells;
    for (const auto& row : synthesis.at("layers")) {
        if (row.at("layer") == layer.at("layer")) {
            cells = row.at("cells");
        }
    }
    for (const char* kind : cell_kinds) {
        layer[kind] = cells.is_null() ? ordered_json(0) : cells.at(kind);
    }
}

/// The columns of the table of layers: those that all rows have.
std::vector<std::string> layer_columns(const ordered_json& layers) {
    std::vector<std::string> out;
    for (const char* name :
         {"operations", "adders", "multipliers", "comparisons", "tables", "latency_cycles",
          "register_bits", "lut", "ff", "carry", "lutram", "dsp", "bram"}) {
        if (!layers.empty() && layers.front().contains(name)) {
            out.emplace_back(name);
        }
    }
    return out;
}

/// "latency cycles", "LUT"
std::string heading(std::string name) {
    if (std::find(cell_kinds.begin(), cell_kinds.end(), std::string_view(name)) !=
        cell_kinds.end()) {
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    }
    std::replace(name.begin(), name.end(), '_', ' ');
    return name;
}

/// The rows of a report, for text and page alike: name and value.
std::vector<std::pair<std::string, std::string>> summary(const ordered_json& r) {
    std::vector<std::pair<std::string, std::string>> rows;
    const auto& timing = r.at("timing");
    const std::int64_t latency = timing.at("latency_cycles");
    rows.emplace_back("latency", fmt::format("{} cycles", latency));
    if (!r.at("settings").at("clock_period_ns").is_null()) {
        const double period = r.at("settings").at("clock_period_ns");
        rows.emplace_back("clock period asked", fmt::format("{:g} ns", period));
        rows.emplace_back("latency at it",
                          fmt::format("{:g} ns", period * static_cast<double>(latency)));
    }
    rows.emplace_back(
        "initiation interval",
        fmt::format("{} cycle(s)", timing.at("initiation_interval").get<std::int64_t>()));
    rows.emplace_back(
        "estimated critical path",
        fmt::format("{:.2f} ns", timing.at("estimated_critical_path_ns").get<double>()));
    const auto& total = r.at("total");
    for (const char* key : {"operations", "adders", "multipliers", "tables", "register_bits"}) {
        rows.emplace_back(heading(key), total.at(key).dump());
    }
    if (r.contains("calibration")) {
        const auto& c = r.at("calibration");
        const std::int64_t samples = c.at("samples");
        rows.emplace_back("calibration",
                          fmt::format("{} bits from {} samples", c.at("bits").get<int>(), samples));
        rows.emplace_back("  largest difference to float",
                          fmt::format("{:.3g}", c.at("largest_difference").get<double>()));
        rows.emplace_back(
            "  same largest output",
            fmt::format("{} of {} samples", c.at("same_argmax").get<std::int64_t>(), samples));
    }
    if (!r.at("synthesis").is_null()) {
        const auto& s = r.at("synthesis");
        const auto& t = s.at("total");
        const std::string stage =
            fmt::format("{} {}, {}", s.at("tool").get<std::string>(),
                        s.at("version").get<std::string>(), s.at("family").get<std::string>());
        for (const char* key : cell_kinds) {
            rows.emplace_back(fmt::format("{} ({})", heading(key), stage), t.at(key).dump());
        }
    }
    if (!r.at("place_and_route").is_null()) {
        const auto& p = r.at("place_and_route");
        const std::string stage =
            fmt::format("{} {}, {}", p.at("tool").get<std::string>(),
                        p.at("version").get<std::string>(), p.at("stage").get<std::string>());
        rows.emplace_back(fmt::format("Fmax ({})", stage),
                          p.at("fmax_mhz").is_null()
                              ? "no path between registers"
                              : fmt::format("{:.1f} MHz", p.at("fmax_mhz").get<double>()));
    }
    if (!r.at("verification").is_null()) {
        const auto& v = r.at("verification");
        rows.emplace_back("verification", v.at("verdict").get<std::string>());
        for (const auto& c : v.at("comparisons")) {
            rows.emplace_back("  " + c.at("level").get<std::string>(),
                              c.contains("skipped")
                                  ? "skipped: " + c.at("skipped").get<std::string>()
                                  : fmt::format("{} mismatches in {} samples",
                                                c.at("mismatches").get<std::int64_t>(),
                                                c.at("samples").get<std::int64_t>()));
        }
    }
    for (const auto& a : r.at("approximations")) {
        rows.emplace_back(
            "approximation in " + a.at("layer").get<std::string>(),
            fmt::format("{}, error at most {:.3g}", a.at("description").get<std::string>(),
                        a.at("bound").get<double>()));
    }
    return rows;
}

}  // namespace

ordered_json report(const fs::path& folder) {
    const StoredDesign design = read_design(folder);
    ordered_json out = design.json;
    out.erase("model");
    ordered_json total = {
        {"operations", 0}, {"adders", 0}, {"multipliers", 0}, {"comparisons", 0}, {"tables", 0}};
    for (const auto& layer : out.at("layers")) {
        for (auto& [key, value] : total.items()) {
            value = value.get<std::int64_t>() + layer.at(key).get<std::int64_t>();
        }
    }
    total["register_bits"] = out.at("timing").at("register_bits");
    out["total"] = total;
    const auto nanoseconds = [&](const ordered_json& cycles) {
        return design.settings.clock_period_ns
                   ? ordered_json(*design.settings.clock_period_ns * cycles.get<double>())
                   : ordered_json();
    };
    out["timing"]["latency_ns"] = nanoseconds(out.at("timing").at("latency_cycles"));
    out["synthesis"] = read_json(folder / "reports" / "synthesis.json");
    for (auto& layer : out.at("layers")) {
        layer["latency_ns"] = nanoseconds(layer.at("latency_cycles"));
        add_cells(layer, out.at("synthesis"));
    }
    out["place_and_route"] = read_json(folder / "reports" / "place_and_route.json");
    ordered_json certificate = read_json(folder / "certificate.json");
    if (certificate.is_object()) {
        certificate.erase("contractions");
    }
    out["verification"] = certificate;
    return out;
}

std::string report_text(const ordered_json& r) {
    std::string out = fmt::format("{}\n", r.at("name").get<std::string>());
    const auto rows = summary(r);
    std::size_t width = 0;
    for (const auto& [name, value] : rows) {
        width = std::max(width, name.size());
    }
    for (const auto& [name, value] : rows) {
        out += fmt::format("  {:<{}}  {}\n", name, width, value);
    }
    const auto& layers = r.at("layers");
    const std::vector<std::string> columns = layer_columns(layers);
    std::size_t first = std::string_view("layer").size();
    for (const auto& layer : layers) {
        first = std::max(first, layer.at("layer").get<std::string>().size());
    }
    out += fmt::format("\n  {:<{}}", "layer", first);
    for (const std::string& column : columns) {
        out += "  " + heading(column);
    }
    out += '\n';
    for (const auto& layer : layers) {
        out += fmt::format("  {:<{}}", layer.at("layer").get<std::string>(), first);
        for (const std::string& column : columns) {
            out += fmt::format("  {:>{}}", layer.at(column).get<std::int64_t>(), column.size());
        }
        out += '\n';
    }
    return out;
}

std::string report_html(const ordered_json& r) {
    const std::string name = escaped(r.at("name").get<std::string>());
    std::string out = fmt::format(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\n"
        "<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
        "padding:0 1rem;color:#222}}table{{border-collapse:collapse;margin:1rem 0}}"
        "td,th{{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:left}}"
        "td.n{{text-align:right;font-variant-numeric:tabular-nums}}h2{{margin-top:2rem}}"
        "</style></head><body>\n<h1>{0}</h1>\n<table>\n",
        name);
    for (const auto& [key, value] : summary(r)) {
        out += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escaped(key), escaped(value));
    }
    out += "</table>\n<h2>Operations by layer</h2>\n";
    std::int64_t most = 1;
    for (const auto& layer : r.at("layers")) {
        most = std::max(most, layer.at("operations").get<std::int64_t>());
    }
    const std::size_t count = r.at("layers").size();
    out += fmt::format(
        "<svg width=\"100%\" viewBox=\"0 0 800 {}\" role=\"img\" "
        "aria-label=\"operations by layer\">\n",
        std::max<std::size_t>(1, count) * 26);
    std::size_t row = 0;
    for (const auto& layer : r.at("layers")) {
        const std::int64_t operations = layer.at("operations");
        out += fmt::format(
            "<text x=\"0\" y=\"{0}\" font-size=\"13\">{1}</text>"
            "<rect x=\"220\" y=\"{2}\" width=\"{3:.1f}\" height=\"18\" fill=\"#3b6ea5\"/>"
            "<text x=\"{4:.1f}\" y=\"{0}\" font-size=\"13\">{5}</text>\n",
            row * 26 + 17, escaped(layer.at("layer").get<std::string>()), row * 26 + 4,
            500.0 * static_cast<double>(operations) / static_cast<double>(most),
            226 + 500.0 * static_cast<double>(operations) / static_cast<double>(most), operations);
        ++row;
    }
    const std::vector<std::string> columns = layer_columns(r.at("layers"));
    out += "</svg>\n<table>\n<tr><th>layer</th>";
    for (const std::string& column : columns) {
        out += fmt::format("<th>{}</th>", heading(column));
    }
    out += "</tr>\n";
    for (const auto& layer : r.at("layers")) {
        out += fmt::format("<tr><td>{}</td>", escaped(layer.at("layer").get<std::string>()));
        for (const std::string& column : columns) {
            out += fmt::format("<td class=\"n\">{}</td>", layer.at(column).get<std::int64_t>());
        }
        out += "</tr>\n";
    }
    out +=
        "</table>\n<h2>Ports</h2>\n<table>\n<tr><th>port</th><th>tensor</th><th>elements</th>"
        "<th>bits</th></tr>\n";
    for (const char* side : {"inputs", "outputs"}) {
        for (const auto& port : r.at("ports").at(side)) {
            std::int64_t bits = 0;
            for (const auto& element : port.at("elements")) {
                bits += element.at("width").get<std::int64_t>();
            }
            out += fmt::format(
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td>"
                "<td class=\"n\">{}</td></tr>\n",
                escaped(port.at("port").get<std::string>()),
                escaped(port.at("tensor").get<std::string>()), port.at("elements").size(), bits);
        }
    }
    return out + "</table>\n</body></html>\n";
}

std::string layers_text(const ModelSource& source) {
    return network::to_text(load_model(source).network);
}

ordered_json inspect(const ModelSource& source) {
    const network::ImportedModel model = load_model(source);
    ordered_json out;
    out["name"] = model.network.name;
    out["batch"] = model.batched ? "free" : "none";
    ordered_json inputs = ordered_json::array();
    const auto ids = model.network.inputs();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        inputs.push_back({{"name", model.inputs[i].name},
                          {"shape", model.network.node(ids[i]).types.front().shape}});
    }
    out["inputs"] = inputs;
    ordered_json outputs = ordered_json::array();
    for (const auto& output : model.network.outputs()) {
        outputs.push_back(
            {{"name", output.name}, {"shape", model.network.type(output.value).shape}});
    }
    out["outputs"] = outputs;
    ordered_json layers = ordered_json::array();
    for (const network::Node& node : model.network.nodes()) {
        if (node.op == &network::input_operator || node.op == &network::constant_operator) {
            continue;
        }
        layers.push_back({{"layer", node.where.layer},
                          {"type", node.where.type},
                          {"operator", std::string(node.op->name)},
                          {"shape", node.types.front().shape}});
    }
    out["layers"] = layers;
    out["notes"] = ordered_json::array();
    for (const Diagnostic& note : model.notes) {
        out["notes"].push_back(note.text());
    }
    return out;
}

std::string inspect_text(const ordered_json& i) {
    std::string out = fmt::format("{} (batch axis: {})\n", i.at("name").get<std::string>(),
                                  i.at("batch").get<std::string>());
    for (const char* side : {"inputs", "outputs"}) {
        for (const auto& port : i.at(side)) {
            out += fmt::format("  {} {} {}\n",
                               std::string_view(side).substr(0, std::string_view(side).size() - 1),
                               port.at("name").get<std::string>(), port.at("shape").dump());
        }
    }
    for (const auto& layer : i.at("layers")) {
        out += fmt::format("  {:<40} {:<22} {:<16} {}\n", layer.at("layer").get<std::string>(),
                           layer.at("type").get<std::string>(),
                           layer.at("operator").get<std::string>(), layer.at("shape").dump());
    }
    for (const auto& note : i.at("notes")) {
        out += fmt::format("{}\n", note.get<std::string>());
    }
    return out;
}

}  // namespace gatewright::project
