#include "backends/verilog/verilog.h"

#include <fmt/format.h>

#include <algorithm>

#include "backends/verilog/module.h"
#include "backends/verilog/names.h"
#include "backends/verilog/rtl.h"
#include "design/rates.h"

namespace gatewright::backends::verilog {

namespace {

bool is_parallel(const design::Design& design) {
    const auto one_word = [](const design::TopPort& port) { return port.words == 1; };
    return std::all_of(design.inputs.begin(), design.inputs.end(), one_word) &&
           std::all_of(design.outputs.begin(), design.outputs.end(), one_word) &&
           design.processes.size() == 1 && design.processes[0].loops.empty() &&
           design.processes[0].registers.empty() && design.processes[0].memories.empty();
}

/// The three signals of a channel or of a port with a handshake.
struct Stream {
    std::string data;
    std::string valid;
    std::string ready;

    static Stream of(const std::string& name) { return {name, name + "_valid", name + "_ready"}; }
};

std::vector<bits::Type> types_of(const std::vector<design::Lane>& lanes) {
    std::vector<bits::Type> out;
    for (const design::Lane& lane : lanes) {
        out.push_back(lane.bits());
    }
    return out;
}

/// The top of a design with handshakes: an instance for each process, wires and queues for the
/// channels.
class Top {
  public:
    Top(const design::Design& design, const Interface& interface)
        : design_(design), interface_(interface) {
        names_.unique(interface.module);
        for (const auto* ports : {&interface.inputs, &interface.outputs}) {
            for (const Interface::Port& port : *ports) {
                signals_.unique_stream(port.name);
            }
        }
    }

    EmittedFiles files() {
        for (const design::Process& process : design_.processes) {
            add_process(process);
        }
        EmittedFiles out = {{path(interface_.module), top_text()}};
        out.insert(out.end(), modules_.begin(), modules_.end());
        if (has_queues_) {
            out.push_back({path("gatewright_fifo"), std::string(rtl::fifo)});
        }
        return out;
    }

  private:
    static std::string path(const std::string& module) {
        return fmt::format("verilog/{}.v", module);
    }

    void add_process(const design::Process& process) {
        design::Machine machine = design::handshaked(process);
        machine.name = names_.unique(process.name);
        const PrintedModule printed = print_module(machine);
        modules_.push_back({path(machine.name), printed.text});
        names_of_.push_back(machine.name);
        // In the order in which `handshaked` makes ports.
        std::size_t in = 0;
        std::size_t out = 0;
        auto& takes = takes_.emplace_back();
        auto& gives = gives_.emplace_back();
        for (std::size_t p = 0; p < process.inputs.size(); ++p) {
            takes.push_back({printed.inputs[in], printed.inputs[in + 1], printed.outputs[out++]});
            in += 2;
        }
        for (std::size_t p = 0; p < process.outputs.size(); ++p) {
            gives.push_back({printed.outputs[out], printed.outputs[out + 1], printed.inputs[in++]});
            out += 2;
        }
    }

    /// The wires at one end of a channel.
    Stream stream(const design::End& end, bool reads) {
        if (end.process < 0) {
            const auto& ports = reads ? interface_.outputs : interface_.inputs;
            return Stream::of(ports[static_cast<std::size_t>(end.port)].name);
        }
        const auto process = static_cast<std::size_t>(end.process);
        const auto port = static_cast<std::size_t>(end.port);
        const auto& ports =
            reads ? design_.processes[process].inputs : design_.processes[process].outputs;
        const std::string base = names_of_[process] + "_" + legal_name(ports[port].name);
        const Stream wires = Stream::of(signals_.unique_stream(base));
        const Stream& pins = (reads ? takes_ : gives_)[process][port];
        const int width = std::max(1, width_of(types_of(ports[port].lanes)));
        declarations_ += fmt::format("    wire {}{};\n    wire {};\n    wire {};\n",
                                     range_text(width), wires.data, wires.valid, wires.ready);
        pins_[process] +=
            fmt::format(",\n        .{}({}),\n        .{}({}),\n        .{}({})", pins.data,
                        wires.data, pins.valid, wires.valid, pins.ready, wires.ready);
        return wires;
    }

    void connect(const design::Channel& channel, std::size_t number) {
        const Stream from = stream(channel.from, false);
        const Stream to = stream(channel.to, true);
        if (channel.depth == 0) {
            body_ += fmt::format("    assign {} = {};\n    assign {} = {};\n    assign {} = {};\n",
                                 to.data, from.data, to.valid, from.valid, from.ready, to.ready);
            return;
        }
        has_queues_ = true;
        const auto bits = [](std::int64_t value) { return bits::narrowest(value).width; };
        body_ += fmt::format(
            "    gatewright_fifo #(\n        .WIDTH({}),\n        .DEPTH({}),\n"
            "        .ADDRESS({}),\n        .COUNT({})\n    ) {} (\n        .clk(clk),\n"
            "        .rst(rst),\n        .in_data({}),\n        .in_valid({}),\n"
            "        .in_ready({}),\n        .out_data({}),\n        .out_valid({}),\n"
            "        .out_ready({})\n    );\n",
            std::max(1, width_of(types_of(channel.lanes))), channel.depth,
            std::max<int>(1, bits(channel.depth - 1)), bits(channel.depth),
            signals_.unique(fmt::format("queue_{}", number)), from.data, from.valid, from.ready,
            to.data, to.valid, to.ready);
    }

    std::string top_text() {
        pins_.assign(design_.processes.size(), "");
        for (std::size_t c = 0; c < design_.channels.size(); ++c) {
            connect(design_.channels[c], c);
        }
        std::string text = fmt::format(
            "// Made by Gatewright. A word moves in the cycles where valid and ready are both 1.\n"
            "module {} (\n    input wire clk,\n    input wire rst",
            interface_.module);
        for (const auto* ports : {&interface_.inputs, &interface_.outputs}) {
            const bool in = ports == &interface_.inputs;
            for (const Interface::Port& port : *ports) {
                const Stream names = Stream::of(port.name);
                const char* there = in ? "input" : "output";
                const char* back = in ? "output" : "input";
                text += fmt::format(",\n    {0} wire {1}{2},\n    {0} wire {3},\n    {4} wire {5}",
                                    there, range_text(width_of(port.lanes)), names.data,
                                    names.valid, back, names.ready);
            }
        }
        text += "\n);\n" + declarations_;
        for (std::size_t p = 0; p < design_.processes.size(); ++p) {
            text += fmt::format("    {} {} (\n        .clk(clk),\n        .rst(rst){}\n    );\n",
                                names_of_[p], signals_.unique("u_" + names_of_[p]), pins_[p]);
        }
        return text + body_ + "endmodule\n";
    }

    const design::Design& design_;
    const Interface& interface_;
    Names names_;    ///< of modules
    Names signals_;  ///< in the top
    EmittedFiles modules_;
    std::vector<std::string> names_of_;               ///< the processes' modules
    std::vector<std::vector<Stream>> takes_, gives_;  ///< their ports, [process][port]
    std::vector<std::string> pins_;                   ///< connections of the instances
    std::string declarations_;
    std::string body_;
    bool has_queues_ = false;
};

}  // namespace

Interface interface_of(const design::Design& design, const Options& options) {
    Interface out;
    out.module = legal_name(design.name);
    out.protocol = is_parallel(design) ? Protocol::valid : Protocol::ready_valid;
    out.clock_enable = options.clock_enable && out.protocol == Protocol::valid;
    if (out.protocol == Protocol::valid) {
        out.latency = options.pipeline ? options.pipeline->latency() : 0;
    } else {
        const design::Rates rates = design::rates_of(design);
        out.latency = rates.latency;
        out.interval = rates.interval;
    }
    Names names;
    const auto add = [&](const std::vector<design::TopPort>& ports,
                         std::vector<Interface::Port>& list) {
        for (const design::TopPort& port : ports) {
            Interface::Port p;
            p.name = out.protocol == Protocol::valid ? names.unique(port.name)
                                                     : names.unique_stream(port.name);
            p.tensor = port.name;
            p.lanes = types_of(port.lanes);
            p.words = port.words;
            p.order = port.order;
            list.push_back(std::move(p));
        }
    };
    add(design.inputs, out.inputs);
    add(design.outputs, out.outputs);
    return out;
}

EmittedFiles emit(const design::Design& design, const Options& options) {
    if (!is_parallel(design)) {
        const Interface interface = interface_of(design, options);
        return Top(design, interface).files();
    }
    const design::Process& process = design.processes.front();
    design::Machine machine = design::pipelined(
        process, options.pipeline ? *options.pipeline : design::combinational(process.body),
        options.clock_enable);
    machine.name = legal_name(design.name);
    const PrintedModule printed = print_module(machine);
    EmittedFiles out = {{fmt::format("verilog/{}.v", machine.name), printed.text}};
    if (printed.has_sums) {
        out.push_back({"verilog/gatewright_sum.v", std::string(rtl::sum)});
    }
    return out;
}

}  // namespace gatewright::backends::verilog
