#include "project/layer_cells.h"

#include <fmt/format.h>

#include "backends/verilog/module.h"
#include "backends/verilog/names.h"
#include "backends/verilog/rtl.h"
#include "design/layer_functions.h"
#include "flow/layer_registers.h"
#include "passes/delay_model.h"
#include "passes/merged_sums.h"

namespace gatewright::project {

namespace {

/// A layer's function as a machine without state, with one port on each side.
design::Machine machine_of(const bits::Function& function, const std::string& name) {
    design::Machine machine;
    machine.name = name;
    machine.inputs = {{"x", {}}};
    machine.outputs = {{"y", {}}};
    for (const bits::Input& input : function.inputs) {
        machine.inputs.front().lanes.push_back(input.type);
    }
    for (const bits::Output& output : function.outputs) {
        machine.outputs.front().lanes.push_back(function.nodes[output.node].type);
    }
    machine.step = function;
    return machine;
}

/// Modules side by side under a top that leads all their ports out.
class Layers {
  public:
    Layers(const std::vector<bits::Function>& functions, bool ternary) {
        names_.unique(top);
        for (const bits::Function& function : functions) {
            const std::string name = names_.unique(function.name.empty() ? "io" : function.name);
            modules_.push_back(name);
            design::Machine machine = machine_of(function, name);
            if (ternary) {
                machine.merged = passes::merged_sums(function);
            }
            const auto printed = backends::verilog::print_module(machine);
            has_sums_ = has_sums_ || printed.has_sums;
            // Modules of the layer are flattened into it, but not the layer.
            text_ += (ternary ? "(* keep_hierarchy *)\n" : "") + printed.text;
            const int in = width(machine.inputs.front());
            const int out = width(machine.outputs.front());
            instances_ += fmt::format(
                "    {0} u_{0} (.clk(clk), .rst(rst), .x(x[{1}:{2}]), "
                ".y(y[{3}:{4}]));\n",
                name, in_ + in - 1, in_, out_ + out - 1, out_);
            in_ += in;
            out_ += out;
        }
    }

    static constexpr const char* top = "layers_side_by_side";
    bool has_sums() const { return has_sums_; }
    /// Names of the modules, in the order of the functions.
    const std::vector<std::string>& modules() const { return modules_; }
    std::string text() const {
        return text_ + fmt::format(
                           "module {} (\n    input wire clk,\n    input wire rst,\n"
                           "    input wire [{}:0] x,\n    output wire [{}:0] y\n);\n{}endmodule\n",
                           top, std::max(1, in_) - 1, std::max(1, out_) - 1, instances_);
    }

  private:
    static int width(const design::Machine::Port& port) {
        return std::max(1, backends::verilog::width_of(port.lanes));
    }

    backends::verilog::Names names_;
    std::vector<std::string> modules_;
    std::string text_;
    std::string instances_;
    bool has_sums_ = false;
    int in_ = 0;
    int out_ = 0;
};

}  // namespace

nlohmann::ordered_json cells_by_layer(const Translation& translation,
                                      const flow::SynthesisResult& whole, flow::SynthesisJob job) {
    auto flip_flops = flow::flip_flops_by_layer(read_text(whole.netlist_json), job.top,
                                                flow::find_family(job.family));
    const auto functions =
        design::layer_functions(translation.parallel.design.processes.front().body);
    const bool ternary = passes::delay_model(translation.settings.target).ternary_ps != 0;
    const Layers layers(functions, ternary);
    const std::filesystem::path file = job.folder / "layers.v";
    write_text(file, layers.text());
    job.files = {file};
    if (layers.has_sums()) {
        job.files.push_back(job.folder / "gatewright_sum.v");
        write_text(job.files.back(), std::string(backends::verilog::rtl::sum));
    }
    job.top = Layers::top;
    job.flatten = ternary;
    job.simulated = false;
    const flow::SynthesisResult parts = flow::synthesize(job);

    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (std::size_t l = 0; l < functions.size(); ++l) {
        flow::CellCounts cells;
        for (const flow::ModuleCells& row : parts.modules) {
            if (row.module == layers.modules()[l]) {
                cells = row.cells;
            }
        }
        const auto found = flip_flops.find(backends::verilog::legal_name(functions[l].name));
        if (found != flip_flops.end()) {
            cells.ff = found->second;
            flip_flops.erase(found);  // names that are the same in Verilog count once
        }
        out.push_back({{"layer", functions[l].name}, {"cells", flow::to_json(cells)}});
    }
    flow::CellCounts rest;
    for (const auto& [name, count] : flip_flops) {
        rest.ff += count;
    }
    out.push_back({{"layer", ""}, {"cells", flow::to_json(rest)}});
    return out;
}

}  // namespace gatewright::project
