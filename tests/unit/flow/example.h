#pragma once

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "../temporary_folder.h"
#include "flow/process.h"
#include "flow/tool.h"

/// A small design with its testbench, and folders that vanish, for the tests of flow.
namespace gatewright::flow::test {

using gatewright::test::Folder;

/// An accumulator whose adder is a module of its own.
inline constexpr const char* accumulator = R"(module adder (
    input wire [7:0] a,
    input wire [7:0] b,
    output wire [7:0] sum
);
    assign sum = a + b;
endmodule

module accumulator (
    input wire clk,
    input wire rst,
    input wire [7:0] data,
    output reg [7:0] total
);
    wire [7:0] next;
    adder add (.a(total), .b(data), .sum(next));
    always @(posedge clk) begin
        if (rst) total <= 8'd0;
        else total <= next;
    end
endmodule
)";

inline constexpr const char* testbench = R"(`timescale 1ns / 1ps
module testbench;
    reg clk = 1'b0;
    reg rst = 1'b1;
    reg [7:0] data = 8'd0;
    wire [7:0] total;
    reg [7:0] vectors [0:7];
    reg [8191:0] vectors_file;
    reg [8191:0] output_file;
    integer file;
    integer i;
    accumulator dut (.clk(clk), .rst(rst), .data(data), .total(total));
    always #5 clk = ~clk;
    initial begin
        if (!$value$plusargs("vectors=%s", vectors_file)) $fatal(1, "no vectors");
        if (!$value$plusargs("output=%s", output_file)) $fatal(1, "no output");
        $readmemh(vectors_file, vectors);
        file = $fopen(output_file, "w");
        @(negedge clk);
        @(negedge clk);
        rst = 1'b0;
        for (i = 0; i < 8; i = i + 1) begin
            data = vectors[i];
            @(negedge clk);
            $fwrite(file, "%h\n", total);
        end
        $fclose(file);
        $finish;
    end
endmodule
)";

inline constexpr const char* vectors = "01\n02\n03\nff\n10\n80\n7f\n05\n";
inline constexpr const char* totals = "01\n03\n06\n05\n15\n95\n14\n19\n";

/// True if the tool is there; else says so in one line, and the test is left out.
inline bool have(ToolId id) {
    const ToolStatus status = tool_status(id);
    if (status.version.empty()) {
        std::printf("skipped: %s\n", status.problem.c_str());
    }
    return !status.version.empty();
}

}  // namespace gatewright::flow::test
