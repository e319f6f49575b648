#include "backends/verilog/testbench_streams.h"

#include <fmt/format.h>

#include <algorithm>

#include "backends/verilog/module.h"

namespace gatewright::backends::verilog {

namespace {

using Ports = std::vector<Interface::Port>;

std::string bus_of(const Interface::Port& port) {
    return range_text(std::max(1, width_of(port.lanes)));
}

std::int64_t words_of(const Ports& ports, std::size_t count) {
    std::int64_t words = 0;
    for (std::size_t p = 0; p < count; ++p) {
        words += ports[p].words;
    }
    return words;
}

/// A handle on a file of frames that gives the words of one port, into `target`: `open` passes over
/// the ports before it, `next` reads a word, and over the other ports' words between frames.
std::string reader(const Ports& ports, std::size_t at, const std::string& target) {
    const Interface::Port& port = ports[at];
    const std::int64_t total = words_of(ports, ports.size());
    int widest = 1;
    for (const Interface::Port& other : ports) {
        widest = std::max(widest, width_of(other.lanes));
    }
    return fmt::format(
        "    reg {0}{1}_skipped;\n"
        "    integer {1}_file, {1}_word, {1}_skip;\n"
        "    task {1}_open;\n"
        "        begin\n"
        "            {1}_file = $fopen(name, \"r\");\n"
        "            for ({1}_skip = 0; {1}_skip < {2}; {1}_skip = {1}_skip + 1)\n"
        "                code = $fscanf({1}_file, \"%h\", {1}_skipped);\n"
        "            {1}_word = 0;\n"
        "        end\n"
        "    endtask\n"
        "    task {1}_next;\n"
        "        begin\n"
        "            if ({1}_word == {3}) begin\n"
        "                for ({1}_skip = 0; {1}_skip < {4}; {1}_skip = {1}_skip + 1)\n"
        "                    code = $fscanf({1}_file, \"%h\", {1}_skipped);\n"
        "                {1}_word = 0;\n"
        "            end\n"
        "            code = $fscanf({1}_file, \"%h\", {5});\n"
        "            {1}_word = {1}_word + 1;\n"
        "        end\n"
        "    endtask\n",
        range_text(widest), port.name, words_of(ports, at), port.words, total - port.words, target);
}

std::string connections(const Interface::Port& port) {
    return fmt::format(
        ",\n        .{0}({0}),\n        .{0}_valid({0}_valid),\n"
        "        .{0}_ready({0}_ready)",
        port.name);
}

std::string input_declarations(const Ports& ports, std::size_t at) {
    return fmt::format(
               "    reg {0}{1};\n    reg {1}_valid, {1}_taken;\n    wire {1}_ready;\n"
               "    integer {1}_sent;\n",
               bus_of(ports[at]), ports[at].name) +
           reader(ports, at, ports[at].name);
}

std::string output_declarations(const Ports& ports, std::size_t at) {
    return fmt::format(
               "    wire {0}{1};\n    wire {1}_valid;\n    reg {1}_ready, {1}_waits;\n"
               "    reg {0}{1}_held, {1}_expected;\n    integer {1}_got;\n",
               bus_of(ports[at]), ports[at].name) +
           reader(ports, at, ports[at].name + "_expected");
}

/// Before the rising edge: offer a word, and keep it until it is taken.
std::string offer(const Interface::Port& port) {
    return fmt::format(
        "            if ({0}_taken) {0}_valid = 1'b0;\n"
        "            if (!{0}_valid) begin\n"
        "                if (stalls) {0} = {{{2}{{$random(seed)}}}};\n"
        "                if ({0}_sent < count * {1} && (!stalls || $random(seed) % 3 != 0)) begin\n"
        "                    {0}_next;\n"
        "                    {0}_valid = 1'b1;\n"
        "                end\n"
        "            end\n",
        port.name, port.words, (std::max(1, width_of(port.lanes)) + 31) / 32);
}

std::string see_input(const Interface::Port& port) {
    return fmt::format(
        "            {0}_taken = {0}_valid && {0}_ready === 1'b1;\n"
        "            if ({0}_taken) begin\n"
        "                if (first_in < 0) first_in = cycle;\n"
        "                {0}_sent = {0}_sent + 1;\n"
        "                idle = 0;\n"
        "            end\n",
        port.name);
}

std::string mismatch(const std::string& port, const std::string& expected) {
    return fmt::format(
        "begin\n"
        "                    mismatches = mismatches + 1;\n"
        "                    if (mismatches <= 10)\n"
        "                        $display(\"MISMATCH frame=%0d port={0} expected=%h got=%h\",\n"
        "                                 frames_out, {1}, {0});\n"
        "                end\n",
        port, expected);
}

/// What an output shows before the rising edge. A word that is offered stays until it is taken.
std::string see_output(const Interface::Port& port, std::size_t number) {
    return fmt::format(
        "            if ({0}_waits && ({0}_valid !== 1'b1 || {0} !== {0}_held)) {1}"
        "            {0}_waits = {0}_valid === 1'b1 && !{0}_ready;\n"
        "            {0}_held = {0};\n"
        "            if ({0}_valid === 1'b1 && {0}_ready) begin\n"
        "                if (has_expected) {0}_next;\n"
        "                if (has_expected && {0} !== {0}_expected) {2}"
        "                if (has_outputs) $fwrite(output_file, \"{3} %h\\n\", {0});\n"
        "                {0}_got = {0}_got + 1;\n"
        "                idle = 0;\n"
        "            end\n",
        port.name, mismatch(port.name, port.name + "_held"),
        mismatch(port.name, port.name + "_expected"), number);
}

}  // namespace

std::string streams_testbench(const Interface& interface) {
    std::string declarations;
    std::string pins;
    std::string start;
    std::string offers;
    std::string sees;
    std::string complete;
    for (std::size_t p = 0; p < interface.inputs.size(); ++p) {
        const Interface::Port& port = interface.inputs[p];
        declarations += input_declarations(interface.inputs, p);
        pins += connections(port);
        start += fmt::format(
            "        {0}_open;\n        {0}_valid = 1'b0;\n        {0}_taken = 1'b0;\n"
            "        {0}_sent = 0;\n",
            port.name);
        offers += offer(port);
        sees += see_input(port);
    }
    std::string expected;
    for (std::size_t p = 0; p < interface.outputs.size(); ++p) {
        const Interface::Port& port = interface.outputs[p];
        declarations += output_declarations(interface.outputs, p);
        pins += connections(port);
        start += fmt::format(
            "        {0}_ready = 1'b0;\n        {0}_waits = 1'b0;\n        {0}_got = 0;\n",
            port.name);
        expected += fmt::format("            {}_open;\n", port.name);
        offers +=
            fmt::format("            {}_ready = !stalls || $random(seed) % 3 != 0;\n", port.name);
        sees += see_output(port, p);
        complete += fmt::format("{}{}_got >= (frames_out + 1) * {}", p == 0 ? "" : " && ",
                                port.name, port.words);
    }
    return fmt::format(
        R"(// Made by Gatewright. Sends frames to the circuit and compares what comes out.
/* verilator lint_off WIDTH */
`timescale 1ns / 1ps
module testbench;
    reg clk;
    reg rst;
    reg [8191:0] name;
    integer output_file, code, seed, limit;
    integer count, frames_out, mismatches, cycle, idle;
    integer first_in, first_out, last_out, interval;
    reg has_expected, has_outputs, stalls;
{0}
    {1} dut (
        .clk(clk),
        .rst(rst){2}
    );

    always #5 clk = ~clk;

    initial begin
        clk = 1'b1;
        rst = 1'b1;
        frames_out = 0;
        mismatches = 0;
        cycle = 0;
        idle = 0;
        first_in = -1;
        first_out = -1;
        last_out = 0;
        interval = 0;
        if (!$value$plusargs("inputs=%s", name)) begin
            $display("GATEWRIGHT FAIL +inputs is missing");
            $finish;
        end
{3}        if (!$value$plusargs("count=%d", count)) count = 0;
        if (!$value$plusargs("seed=%d", seed)) seed = 0;
        if (!$value$plusargs("timeout=%d", limit)) limit = 100000;
        stalls = seed != 0;
        has_expected = $value$plusargs("expected=%s", name) != 0;
        if (has_expected) begin
{4}        end
        has_outputs = $value$plusargs("outputs=%s", name) != 0;
        if (has_outputs) output_file = $fopen(name, "w");
        repeat (3) @(negedge clk);
        rst = 1'b0;
        while (frames_out < count && idle < limit) begin
            idle = idle + 1;
{5}            #1;
{6}            while (frames_out < count && {7}) begin
                if (first_out < 0) first_out = cycle;
                interval = frames_out > 0 ? cycle - last_out : 0;
                last_out = cycle;
                frames_out = frames_out + 1;
            end
            cycle = cycle + 1;
            @(negedge clk);
        end
        if (has_outputs) $fclose(output_file);
        $display("GATEWRIGHT %0s frames=%0d mismatches=%0d latency=%0d interval=%0d cycles=%0d",
                 frames_out < count ? "TIMEOUT" : !has_expected ? "DONE"
                 : mismatches == 0 ? "PASS" : "FAIL",
                 frames_out, mismatches, first_out - first_in, interval, cycle);
        $finish;
    end
endmodule
)",
        declarations, interface.module, pins, start, expected, offers, sees, complete);
}

}  // namespace gatewright::backends::verilog
