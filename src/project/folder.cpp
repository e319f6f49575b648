#include "project/folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <system_error>

#include "base/file.h"
#include "passes/cells.h"
#include "passes/delay_lines.h"
#include "passes/pipeline.h"
#include "project/spare_time.h"

namespace gatewright::project {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr std::string_view format_name = "gatewright design 1";

ordered_json lanes_json(const std::vector<bits::Type>& lanes,
                        const std::vector<design::Lane>& formats) {
    ordered_json out = ordered_json::array();
    std::int64_t bit = 0;
    for (std::size_t i = 0; i < lanes.size(); ++i) {
        out.push_back({{"bit", bit},
                       {"width", lanes[i].width},
                       {"signed", lanes[i].is_signed},
                       {"frac", formats[i].type.frac}});
        bit += lanes[i].width;
    }
    return out;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::size_t start = 0;
    while (start < text.size()) {
        const std::size_t end = text.find('\n', start);
        lines.push_back(text.substr(start, end - start));
        start = end == std::string::npos ? text.size() : end + 1;
    }
    return lines;
}

[[noreturn]] void not_a_design(const fs::path& folder, const std::string& what) {
    throw Failure(Code::not_a_design, {folder.string(), "", "", ""}, what,
                  "Give the folder that `gatewright convert MODEL -o DIR` wrote.");
}

}  // namespace

Translation translate(operators::CoreModel model, const Settings& settings) {
    Translation out;
    out.model = std::move(model);
    out.settings = settings;
    linear::Search search = linear::search_named(settings.effort);
    search.attempts.extra_depth = settings.extra_depth.value_or(0);
    const passes::DelayModel& delays = passes::delay_model(settings.target);
    search.price.three_operands = delays.ternary_ps != 0;
    passes::PipelineOptions options;
    options.clock_period_ns = settings.clock_period_ns;
    options.register_inputs = settings.register_inputs;
    options.register_outputs = settings.register_outputs;
    options.stages = settings.stages;
    if (settings.latency) {
        options.stages = *settings.latency + 1 - (settings.register_inputs ? 1 : 0) -
                         (settings.register_outputs ? 1 : 0);
    }
    schedule::ContractionGraphs graphs(out.model.network, search, delays);
    if (!settings.deeper.empty()) {
        graphs.choose(settings.deeper);
    }
    Circuit circuit = build(out.model, graphs, delays, options);
    const bool looks = !settings.extra_depth && settings.deeper.empty() && search.improvement > 0;
    if (looks && circuit.pipeline.stages > 1) {
        circuit = with_spare_time_used(std::move(circuit), out.model, graphs, delays, options);
        out.settings.deeper = graphs.chosen();
    }
    out.parallel = std::move(circuit.parallel);
    out.pipeline = std::move(circuit.pipeline);
    out.critical_path_ns = out.pipeline.critical_path_ns;
    out.interface =
        backends::verilog::interface_of(out.parallel.design, {out.pipeline, settings.clock_enable});
    return out;
}

std::vector<std::string> chosen_backends(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        backends::find(name);
    }
    std::vector<std::string> out;
    for (const backends::Backend& backend : backends::catalogue()) {
        if (std::find(names.begin(), names.end(), backend.name) != names.end()) {
            out.emplace_back(backend.name);
        }
    }
    if (out.empty()) {
        throw Failure(Code::unknown_option, {}, "no backend is named", "Write --backend verilog.");
    }
    return out;
}

bool has_verilog(const Settings& settings) {
    return std::find(settings.backends.begin(), settings.backends.end(), "verilog") !=
           settings.backends.end();
}

bool has_hls(const Settings& settings) {
    return std::any_of(
        settings.backends.begin(), settings.backends.end(),
        [](const std::string& name) { return backends::find(name).folder.starts_with("hls/"); });
}

backends::EmittedFiles emit(const Translation& translation) {
    const backends::Circuit circuit{translation.parallel.design, translation.pipeline,
                                    translation.settings.clock_enable};
    Diagnostics faults;
    for (const std::string& name : translation.settings.backends) {
        for (const std::string& fault : backends::find(name).validate(circuit)) {
            faults.add(Code::not_in_circuit, {}, fmt::format("backend {}: {}", name, fault),
                       "Leave this backend out.");
        }
    }
    faults.throw_if_errors();
    backends::EmittedFiles files;
    for (const std::string& name : translation.settings.backends) {
        for (backends::EmittedFile& file : backends::find(name).emit(circuit)) {
            files.push_back(std::move(file));
        }
    }
    return files;
}

ordered_json to_json(const Translation& t) {
    const bits::Function& body = t.parallel.design.processes.front().body;
    ordered_json out;
    out["format"] = format_name;
    out["name"] = t.model.network.name;
    ordered_json settings;
    settings["target"] = t.settings.target;
    settings["clock_period_ns"] =
        t.settings.clock_period_ns ? ordered_json(*t.settings.clock_period_ns) : ordered_json();
    settings["stages"] = t.settings.stages ? ordered_json(*t.settings.stages) : ordered_json();
    settings["latency"] = t.settings.latency ? ordered_json(*t.settings.latency) : ordered_json();
    settings["register_inputs"] = t.settings.register_inputs;
    settings["register_outputs"] = t.settings.register_outputs;
    settings["clock_enable"] = t.settings.clock_enable;
    settings["extra_depth"] =
        t.settings.extra_depth ? ordered_json(*t.settings.extra_depth) : ordered_json("auto");
    settings["deeper"] = t.settings.deeper;
    settings["effort"] = t.settings.effort;
    settings["backends"] = t.settings.backends;
    out["settings"] = settings;
    out["timing"] = {{"latency_cycles", t.interface.latency},
                     {"initiation_interval", t.interface.interval},
                     {"stages", t.pipeline.stages},
                     {"estimated_critical_path_ns", t.critical_path_ns},
                     {"register_bits", design::register_bits(body, t.pipeline)}};
    const passes::DelayModel& delays = passes::delay_model(t.settings.target);
    const passes::CellEstimate cells =
        passes::estimate_cells(body, delays, t.pipeline.stage, t.pipeline.merged);
    out["estimate"] = {{"carry_bits", cells.carry_bits},
                       {"luts", cells.luts()},
                       {"lutram", passes::stored_tables(body, delays, t.pipeline)}};
    ordered_json ports;
    const auto add_ports = [&](const char* key, const auto& interface_ports,
                               const auto& design_ports) {
        ordered_json list = ordered_json::array();
        for (std::size_t i = 0; i < interface_ports.size(); ++i) {
            list.push_back(
                {{"port", interface_ports[i].name},
                 {"tensor", interface_ports[i].tensor},
                 {"elements", lanes_json(interface_ports[i].lanes, design_ports[i].lanes)}});
        }
        ports[key] = list;
    };
    add_ports("inputs", t.interface.inputs, t.parallel.design.inputs);
    add_ports("outputs", t.interface.outputs, t.parallel.design.outputs);
    out["module"] = t.interface.module;
    out["ports"] = ports;
    const auto timings = design::timing_by_origin(body, t.pipeline);
    ordered_json layers = ordered_json::array();
    for (const schedule::LayerFigures& layer : t.parallel.layers) {
        const auto origin = std::find(body.origins.begin(), body.origins.end(), layer.layer);
        const auto& timing = timings[static_cast<std::size_t>(origin - body.origins.begin())];
        layers.push_back({{"layer", layer.layer},
                          {"latency_cycles", timing.last - timing.first},
                          {"initiation_interval", t.interface.interval},
                          {"register_bits", timing.register_bits},
                          {"operations", layer.operations},
                          {"adders", layer.adders},
                          {"multipliers", layer.multipliers},
                          {"comparisons", layer.comparisons},
                          {"tables", layer.tables}});
    }
    out["layers"] = layers;
    ordered_json approximations = ordered_json::array();
    for (const operators::Approximation& a : t.model.approximations) {
        approximations.push_back(
            {{"layer", a.layer}, {"description", a.description}, {"bound", a.bound}});
    }
    out["approximations"] = approximations;
    out["model"] = lines_of(operators::to_text(t.model));
    return out;
}

StoredDesign read_design(const fs::path& folder) {
    std::error_code error;
    if (!fs::is_directory(folder, error)) {
        throw Failure(Code::file_missing, {folder.string(), "", "", ""}, "there is no such folder",
                      "Give the folder that `gatewright convert MODEL -o DIR` wrote.");
    }
    const fs::path file = folder / "design.json";
    if (!fs::is_regular_file(file, error)) {
        not_a_design(folder, "it holds no design.json");
    }
    StoredDesign out;
    out.json = ordered_json::parse(read_text(file), nullptr, false);
    if (out.json.is_discarded() || !out.json.is_object()) {
        not_a_design(folder, "its design.json is damaged");
    }
    try {
        if (out.json.at("format") != format_name) {
            not_a_design(folder, "its design.json is of another version");
        }
        const ordered_json& settings = out.json.at("settings");
        out.settings.target = settings.at("target").get<std::string>();
        if (!settings.at("clock_period_ns").is_null()) {
            out.settings.clock_period_ns = settings.at("clock_period_ns").get<double>();
        }
        const auto number = [&](const char* name) {
            return settings.at(name).is_null() ? std::nullopt
                                               : std::optional(settings.at(name).get<int>());
        };
        out.settings.stages = number("stages");
        out.settings.latency = number("latency");
        out.settings.register_inputs = settings.at("register_inputs").get<bool>();
        out.settings.register_outputs = settings.at("register_outputs").get<bool>();
        out.settings.clock_enable = settings.at("clock_enable").get<bool>();
        if (settings.at("extra_depth") != "auto") {
            out.settings.extra_depth = settings.at("extra_depth").get<int>();
        }
        out.settings.deeper = settings.at("deeper").get<std::vector<int>>();
        out.settings.effort = settings.at("effort").get<std::string>();
        out.settings.backends =
            chosen_backends(settings.at("backends").get<std::vector<std::string>>());
        std::string text;
        for (const ordered_json& line : out.json.at("model")) {
            text += line.get<std::string>() + "\n";
        }
        out.model = operators::core_model_from_text(text);
    } catch (const ordered_json::exception&) {
        not_a_design(folder, "its design.json lacks a part or has one of a wrong type");
    }
    return out;
}

void require_verilog(const fs::path& folder, const StoredDesign& design) {
    if (!has_verilog(design.settings)) {
        throw Failure(Code::not_a_design, {folder.string(), "", "", ""},
                      fmt::format("it was written without Verilog (--backend {})",
                                  fmt::join(design.settings.backends, ",")),
                      "Convert the model again with --backend verilog.");
    }
}

void write_text(const fs::path& file, const std::string& text) {
    std::error_code error;
    if (file.has_parent_path()) {  // none for a file in the current folder
        fs::create_directories(file.parent_path(), error);
    }
    if (error) {
        throw Failure(Code::file_unwritable, {file.parent_path().string(), "", "", ""},
                      "the folder cannot be made: " + error.message());
    }
    write_file_bytes(file.string(), std::as_bytes(std::span(text)));
}

std::string read_text(const fs::path& file) {
    const std::vector<std::byte> bytes = read_file_bytes(file.string());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_folder(const fs::path& folder, bool force,
                  const std::function<void(const fs::path&)>& write) {
    if (folder.empty()) {
        throw Failure(Code::unknown_option, {}, "the output folder has an empty name",
                      "Name it with -o DIR.");
    }
    std::error_code error;
    const bool exists = fs::exists(fs::symlink_status(folder, error));
    if (exists) {
        const bool empty = fs::is_directory(folder, error) && fs::is_empty(folder, error);
        const bool is_design = fs::is_regular_file(folder / "design.json", error);
        if (!empty && !force) {
            throw Failure(Code::folder_exists, {folder.string(), "", "", ""},
                          "the output folder exists", "Give another, or --force to replace it.");
        }
        if (!empty && !is_design) {
            throw Failure(Code::folder_exists, {folder.string(), "", "", ""},
                          "it exists and is no design folder, so --force does not replace it",
                          "Give another output folder.");
        }
    }
    const fs::path absolute = fs::absolute(folder).lexically_normal();
    const fs::path parent =
        absolute.has_filename() ? absolute.parent_path() : absolute.parent_path().parent_path();
    fs::create_directories(parent, error);
    if (error) {
        throw Failure(Code::file_unwritable, {parent.string(), "", "", ""},
                      "the folder cannot be made: " + error.message());
    }
    const fs::path temporary =
        parent / fmt::format(".gatewright-{}-{}", absolute.filename().string(), ::getpid());
    fs::remove_all(temporary, error);
    fs::create_directory(temporary, error);
    if (error) {
        throw Failure(Code::file_unwritable, {parent.string(), "", "", ""},
                      "no folder can be made in it: " + error.message(),
                      "Check its permissions and the space on the disk.");
    }
    try {
        write(temporary);
        if (exists) {
            fs::remove_all(folder);
        }
        fs::rename(temporary, absolute);
    } catch (const fs::filesystem_error& failure) {
        fs::remove_all(temporary, error);
        throw Failure(Code::file_unwritable, {folder.string(), "", "", ""},
                      failure.code().message(), "Check its permissions and the space on the disk.");
    } catch (...) {
        fs::remove_all(temporary, error);
        throw;
    }
}

}  // namespace gatewright::project
