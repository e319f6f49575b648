#include "backends/verilog/testbench.h"

#include <fmt/format.h>

#include <algorithm>

#include "backends/verilog/module.h"
#include "backends/verilog/testbench_streams.h"

namespace gatewright::backends::verilog {

namespace {

int bus_width(const Interface::Port& port) {
    return std::max(1, width_of(port.lanes));
}

/// The parts that depend on the ports.
struct Parts {
    std::string declarations;
    std::string connections;
    std::string read_inputs;
    std::string noise;
    std::string compare;
    std::string write;
};

Parts parts_of(const Interface& interface) {
    Parts parts;
    for (const Interface::Port& port : interface.inputs) {
        const int width = bus_width(port);
        parts.declarations += fmt::format("    reg {}{};\n", range_text(width), port.name);
        parts.connections += fmt::format(",\n        .{0}({0})", port.name);
        parts.read_inputs +=
            fmt::format("                code = $fscanf(input_file, \"%h\", {});\n", port.name);
        parts.noise += fmt::format("                {} = {{{}{{$random(seed)}}}};\n", port.name,
                                   (width + 31) / 32);
    }
    for (const Interface::Port& port : interface.outputs) {
        const int width = bus_width(port);
        parts.declarations += fmt::format("    wire {0}{1};\n    reg {0}{1}_expected;\n",
                                          range_text(width), port.name);
        parts.connections += fmt::format(",\n        .{0}({0})", port.name);
        parts.compare += fmt::format(
            "                code = $fscanf(expected_file, \"%h\", {0}_expected);\n"
            "                if ({0} !== {0}_expected) begin\n"
            "                    mismatches = mismatches + 1;\n"
            "                    if (mismatches <= 10)\n"
            "                        $display(\"MISMATCH frame=%0d port={0} expected=%h got=%h\",\n"
            "                                 frames_out, {0}_expected, {0});\n"
            "                end\n",
            port.name);
        parts.write += fmt::format("                $fwrite(output_file, \"{}%h\", {});\n",
                                   parts.write.empty() ? "" : " ", port.name);
    }
    return parts;
}

}  // namespace

EmittedFile testbench(const Interface& interface) {
    if (interface.protocol == Protocol::ready_valid) {
        return {"testbench/testbench.v", streams_testbench(interface)};
    }
    const Parts parts = parts_of(interface);
    std::string text =
        "// Made by Gatewright. Sends frames to the circuit and compares what comes out.\n"
        "/* verilator lint_off WIDTH */\n"
        "`timescale 1ns / 1ps\n"
        "module testbench;\n"
        "    reg clk;\n"
        "    reg rst;\n"
        "    reg in_valid;\n"
        "    wire out_valid;\n";
    if (interface.clock_enable) {
        text += "    reg clock_enable;\n";
    }
    text += parts.declarations;
    text +=
        "    reg [8191:0] name;\n"
        "    integer input_file, expected_file, output_file, code, seed, limit;\n"
        "    integer count, frames_in, frames_out, mismatches, cycle, idle;\n"
        "    integer first_in, first_out, last_out, interval;\n"
        "    reg has_expected, has_outputs, stalls, moves;\n\n";
    text += fmt::format(
        "    {} dut (\n        .clk(clk),\n        .rst(rst),\n"
        "        .in_valid(in_valid),\n        .out_valid(out_valid)",
        interface.module);
    if (interface.clock_enable) {
        text += ",\n        .clock_enable(clock_enable)";
    }
    text += parts.connections + "\n    );\n\n";
    text +=
        "    always #5 clk = ~clk;\n\n"
        "    initial begin\n"
        "        clk = 1'b1;\n"
        "        rst = 1'b1;\n"
        "        in_valid = 1'b0;\n";
    if (interface.clock_enable) {
        text += "        clock_enable = 1'b1;\n";
    }
    text +=
        "        frames_in = 0;\n"
        "        frames_out = 0;\n"
        "        mismatches = 0;\n"
        "        cycle = 0;\n"
        "        idle = 0;\n"
        "        first_in = -1;\n"
        "        first_out = -1;\n"
        "        last_out = 0;\n"
        "        interval = 0;\n"
        "        if (!$value$plusargs(\"inputs=%s\", name)) begin\n"
        "            $display(\"GATEWRIGHT FAIL +inputs is missing\");\n"
        "            $finish;\n"
        "        end\n"
        "        input_file = $fopen(name, \"r\");\n"
        "        if (!$value$plusargs(\"count=%d\", count)) count = 0;\n"
        "        if (!$value$plusargs(\"seed=%d\", seed)) seed = 0;\n"
        "        if (!$value$plusargs(\"timeout=%d\", limit)) limit = 100000;\n"
        "        stalls = seed != 0;\n"
        "        has_expected = $value$plusargs(\"expected=%s\", name) != 0;\n"
        "        if (has_expected) expected_file = $fopen(name, \"r\");\n"
        "        has_outputs = $value$plusargs(\"outputs=%s\", name) != 0;\n"
        "        if (has_outputs) output_file = $fopen(name, \"w\");\n"
        "        repeat (3) @(negedge clk);\n"
        "        rst = 1'b0;\n"
        "        while (frames_out < count && idle < limit) begin\n"
        "            // The circuit's outputs belong to the rising edge that has passed.\n";
    text += interface.clock_enable ? "            moves = !stalls || $random(seed) % 4 != 0;\n"
                                     "            clock_enable = moves;\n"
                                   : "            moves = 1'b1;\n";
    text +=
        "            idle = idle + 1;\n"
        "            if (moves && frames_in < count && (!stalls || $random(seed) % 3 != 0)) begin\n"
        "                in_valid = 1'b1;\n";
    text += parts.read_inputs;
    text +=
        "                if (first_in < 0) first_in = cycle;\n"
        "                frames_in = frames_in + 1;\n"
        "                idle = 0;\n"
        "            end else begin\n"
        "                in_valid = 1'b0;\n"
        "                if (stalls) begin\n";
    text += parts.noise;
    text +=
        "                end\n"
        "            end\n"
        "            #1;\n"
        "            if (moves && out_valid === 1'b1) begin\n"
        "                if (first_out < 0) first_out = cycle;\n"
        "                interval = frames_out > 0 ? cycle - last_out : 0;\n"
        "                last_out = cycle;\n"
        "                if (has_expected) begin\n";
    text += parts.compare;
    text +=
        "                end\n"
        "                if (has_outputs) begin\n";
    text += parts.write;
    text +=
        "                $fwrite(output_file, \"\\n\");\n"
        "                end\n"
        "                frames_out = frames_out + 1;\n"
        "                idle = 0;\n"
        "            end\n"
        "            cycle = cycle + 1;\n"
        "            @(negedge clk);\n"
        "        end\n"
        "        if (has_outputs) $fclose(output_file);\n"
        "        $display(\"GATEWRIGHT %0s frames=%0d mismatches=%0d latency=%0d interval=%0d "
        "cycles=%0d\",\n"
        "                 frames_out < count ? \"TIMEOUT\" : !has_expected ? \"DONE\"\n"
        "                 : mismatches == 0 ? \"PASS\" : \"FAIL\",\n"
        "                 frames_out, mismatches, first_out - first_in, interval, cycle);\n"
        "        $finish;\n"
        "    end\n"
        "endmodule\n";
    return {"testbench/testbench.v", text};
}

}  // namespace gatewright::backends::verilog
