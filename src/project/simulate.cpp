#include "project/simulate.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace gatewright::project {

namespace fs = std::filesystem;
using backends::verilog::Interface;

namespace {

/// splitmix64: small, and the same everywhere.
std::uint64_t next_random(std::uint64_t& state) {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

int hex_value(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

int bus_width(const Interface::Port& port) {
    int width = 0;
    for (const bits::Type type : port.lanes) {
        width += type.width;
    }
    return width;
}

}  // namespace

PortIntegers encode_ports(const operators::CoreModel& model, const emulate::Samples& samples) {
    PortIntegers out;
    for (std::size_t p = 0; p < model.encodings.size(); ++p) {
        const emulate::Encoder encoder(model, p);
        out.emplace_back(static_cast<std::size_t>(encoder.elements() * samples.count));
        encoder.encode(samples, 0, samples.count, out.back().data(), samples.count);
    }
    return out;
}

PortIntegers random_ports(const operators::CoreModel& model, std::int64_t samples,
                          std::uint64_t seed) {
    PortIntegers out;
    std::uint64_t state = seed * 0x2545f4914f6cdd1dULL + 1;
    for (const network::NodeId id : model.network.inputs()) {
        const network::TensorType& type = model.network.node(id).types.front();
        const std::int64_t count = element_count(type.shape);
        auto& port = out.emplace_back(static_cast<std::size_t>(count * samples));
        for (std::int64_t e = 0; e < count; ++e) {
            const Interval& range = type.fixed->at(e).range;
            const auto low = static_cast<std::int64_t>(range.low);
            const auto high = static_cast<std::int64_t>(range.high);
            const auto span =
                static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
            for (std::int64_t s = 0; s < samples; ++s) {
                const std::uint64_t random = next_random(state);
                std::int64_t value = static_cast<std::int64_t>(
                    static_cast<std::uint64_t>(low) + (span == 0 ? random : random % span));
                switch (s) {
                    case 0:
                        value = low;
                        break;
                    case 1:
                        value = high;
                        break;
                    case 2:
                        value = std::clamp<std::int64_t>(0, low, high);
                        break;
                    case 3:
                        value = e % 2 == 0 ? low : high;
                        break;
                    case 4:
                        value = e % 2 == 0 ? high : low;
                        break;
                    default:
                        if (s < 16) {  // extremes here and there on zeros
                            value = random % 4 == 0   ? low
                                    : random % 4 == 1 ? high
                                                      : std::clamp<std::int64_t>(0, low, high);
                        }
                }
                port[static_cast<std::size_t>(e * samples + s)] = value;
            }
        }
    }
    return out;
}

std::string vectors_text(const std::vector<Interface::Port>& ports, const PortIntegers& integers,
                         std::int64_t samples) {
    std::string out;
    for (std::int64_t s = 0; s < samples; ++s) {
        for (std::size_t p = 0; p < ports.size(); ++p) {
            const int width = std::max(1, bus_width(ports[p]));
            std::vector<bool> bits(static_cast<std::size_t>((width + 3) / 4 * 4), false);
            std::size_t bit = 0;
            for (std::size_t e = 0; e < ports[p].lanes.size(); ++e) {
                const std::int64_t value = integers[p][e * static_cast<std::size_t>(samples) +
                                                       static_cast<std::size_t>(s)];
                for (int i = 0; i < ports[p].lanes[e].width; ++i) {
                    bits[bit++] = ((value >> std::min(i, 63)) & 1) != 0;
                }
            }
            out += p == 0 ? "" : " ";
            for (std::size_t digit = bits.size() / 4; digit-- > 0;) {
                int v = 0;
                for (int i = 3; i >= 0; --i) {
                    v = v * 2 + (bits[digit * 4 + static_cast<std::size_t>(i)] ? 1 : 0);
                }
                out.push_back("0123456789abcdef"[v]);
            }
        }
        out.push_back('\n');
    }
    return out;
}

SimulationOutcome simulate(const fs::path& folder, const std::vector<fs::path>& verilog,
                           const Interface& interface, const PortIntegers& inputs,
                           std::int64_t samples, flow::Simulator simulator, const fs::path& work,
                           std::uint64_t seed, double timeout_seconds) {
    flow::SimulationJob job;
    job.files = verilog;
    job.files.push_back(folder / "testbench" / "testbench.v");
    job.top = "testbench";
    job.folder = work;
    job.simulator = simulator;
    job.timeout_seconds = timeout_seconds;
    const flow::Simulation simulation = flow::build_simulation(job);
    write_text(work / "inputs.hex", vectors_text(interface.inputs, inputs, samples));
    std::vector<std::pair<std::string, std::string>> plusargs = {
        {"inputs", "inputs.hex"}, {"outputs", "outputs.hex"}, {"count", std::to_string(samples)}};
    if (seed != 0) {
        plusargs.emplace_back("seed", std::to_string(seed));
    }
    const fs::path log = work / "simulation.log";
    flow::run_simulation(simulation, plusargs, work, log, timeout_seconds);

    SimulationOutcome outcome;
    outcome.tool = simulation.tool;
    outcome.version = simulation.version;
    outcome.samples = samples;
    const std::string printed = read_text(log);
    const std::size_t at = printed.rfind("GATEWRIGHT ");
    const auto number = [&](const char* key) {
        const std::size_t k = printed.find(key, at);
        return k == std::string::npos
                   ? std::int64_t{-1}
                   : std::strtoll(printed.c_str() + k + std::string(key).size(), nullptr, 10);
    };
    if (at == std::string::npos || number("frames=") != samples) {
        throw Failure(Code::simulation_failed, {work.string(), "", "", ""},
                      fmt::format("the simulation gave {} of {} frames",
                                  at == std::string::npos ? 0 : number("frames="), samples),
                      "See simulation.log in that folder.");
    }
    outcome.latency = number("latency=");
    outcome.interval = number("interval=");
    for (const Interface::Port& port : interface.outputs) {
        outcome.outputs.emplace_back(port.lanes.size() * static_cast<std::size_t>(samples));
    }
    std::istringstream lines(read_text(work / "outputs.hex"));
    std::string word;
    for (std::int64_t s = 0; s < samples; ++s) {
        for (std::size_t p = 0; p < interface.outputs.size(); ++p) {
            if (!(lines >> word)) {
                throw Failure(Code::simulation_failed, {work.string(), "", "", ""},
                              "the simulation's results are cut short");
            }
            const Interface::Port& port = interface.outputs[p];
            bool defined = true;
            std::size_t bit = 0;
            for (std::size_t e = 0; e < port.lanes.size(); ++e) {
                const bits::Type type = port.lanes[e];
                std::uint64_t value = 0;
                for (int i = 0; i < type.width; ++i, ++bit) {
                    const std::size_t digit = bit / 4;
                    const int v =
                        digit < word.size() ? hex_value(word[word.size() - 1 - digit]) : -1;
                    defined = defined && v >= 0;
                    if (i < 64 && v >= 0 && ((v >> (bit % 4)) & 1) != 0) {
                        value |= std::uint64_t{1} << i;
                    }
                }
                if (type.is_signed && type.width > 0 && type.width < 64 &&
                    ((value >> (type.width - 1)) & 1) != 0) {
                    value |= ~std::uint64_t{0} << type.width;
                }
                outcome.outputs[p][e * static_cast<std::size_t>(samples) +
                                   static_cast<std::size_t>(s)] = static_cast<std::int64_t>(value);
            }
            outcome.undefined += defined ? 0 : 1;
        }
    }
    return outcome;
}

std::vector<fs::path> verilog_files(const fs::path& folder, const StoredDesign& design) {
    require_verilog(folder, design);
    const std::string top = design.json.at("module").get<std::string>() + ".v";
    std::vector<fs::path> files = {folder / "verilog" / top};
    std::error_code error;
    if (!fs::is_regular_file(files.front(), error)) {
        throw Failure(Code::not_a_design, {folder.string(), "", "", ""},
                      fmt::format("verilog/{} is missing", top), "Convert the model again.");
    }
    std::vector<fs::path> others;
    for (const auto& entry : fs::directory_iterator(folder / "verilog")) {
        if (entry.path().extension() == ".v" && entry.path().filename() != top) {
            others.push_back(entry.path());
        }
    }
    std::sort(others.begin(), others.end());
    files.insert(files.end(), others.begin(), others.end());
    return files;
}

Interface stored_interface(const StoredDesign& design) {
    Interface out;
    try {
        out.module = design.json.at("module").get<std::string>();
        out.clock_enable = design.settings.clock_enable;
        out.latency = design.json.at("timing").at("latency_cycles").get<std::int64_t>();
        out.interval = design.json.at("timing").at("initiation_interval").get<std::int64_t>();
        for (const char* key : {"inputs", "outputs"}) {
            auto& list = std::string_view(key) == "inputs" ? out.inputs : out.outputs;
            for (const auto& port : design.json.at("ports").at(key)) {
                Interface::Port p;
                p.name = port.at("port").get<std::string>();
                p.tensor = port.at("tensor").get<std::string>();
                for (const auto& element : port.at("elements")) {
                    p.lanes.push_back({element.at("signed").get<bool>(),
                                       element.at("width").get<std::uint8_t>()});
                }
                list.push_back(std::move(p));
            }
        }
    } catch (const nlohmann::json::exception&) {
        throw Failure(Code::not_a_design, {"design.json", "", "", ""},
                      "it lacks a part or has one of a wrong type", "Convert the model again.");
    }
    return out;
}

}  // namespace gatewright::project
