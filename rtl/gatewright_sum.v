// a + b + c + ONES modulo 2^WIDTH in one carry chain of an AMD device (7 series, UltraScale,
// UltraScale+), with c left out where THREE is 0. INVERT tells which of {c, b, a} are inverted
// before; a difference is an inverted operand and a one, and costs nothing.
//
// Each bit takes one LUT6_2 and a quarter of a CARRY4, which Vivado makes half a CARRY8 of on
// UltraScale. Of three operands, a table gives the sum bit and the carry bit of a full adder; the
// carry goes into the table of the next bit, which adds it to the sum bit there, and into the
// chain. Bits from TABLES on need no table: b and c, as they are added, are zero there, and c and
// b in the bit before, if THREE; a is not inverted then.
//
// On the device, a table's carry and the chain's sum bit leave the slice by the same pin: a sum of
// three that does not go into registers may get a second table for each bit in placement.
//
// Synthesis takes the primitives, simulators the plain sum; define GATEWRIGHT_PORTABLE to
// synthesise the plain sum for other devices. tests/python/test_rtl.py proves the two equal.
module gatewright_sum #(
    parameter WIDTH = 4,
    /* verilator lint_off UNUSEDPARAM */
    parameter TABLES = 4,
    /* verilator lint_on UNUSEDPARAM */
    parameter THREE = 1,
    parameter [2:0] INVERT = 3'b000,
    parameter [1:0] ONES = 2'd0  // at most 2; at most 1 where THREE is 0
) (
    input wire [WIDTH-1:0] a,
    input wire [WIDTH-1:0] b,
    input wire [WIDTH-1:0] c,
    output wire [WIDTH-1:0] sum
);
`ifdef SYNTHESIS
`ifndef GATEWRIGHT_PORTABLE
`define GATEWRIGHT_PRIMITIVES
`endif
`endif
`ifdef GATEWRIGHT_PRIMITIVES
    localparam PIECES = (WIDTH + 3) / 4;
    // Bit j of a table of eight is its output where {c, b, a} is j.
    localparam [7:0] CARRY = THREE != 0 ? 8'he8 : 8'haa;
    localparam [7:0] CARRY_A = INVERT[0] ? {
        CARRY[6], CARRY[7], CARRY[4], CARRY[5], CARRY[2], CARRY[3], CARRY[0], CARRY[1]
    } : CARRY;
    localparam [7:0] CARRY_B = INVERT[1] ? {
        CARRY_A[5:4], CARRY_A[7:6], CARRY_A[1:0], CARRY_A[3:2]
    } : CARRY_A;
    localparam [7:0] CARRY_C = INVERT[2] ? {CARRY_B[3:0], CARRY_B[7:4]} : CARRY_B;
    localparam [15:0] ODD = ^INVERT ? 16'h9669 : 16'h6996;

    // Operands of the chain: where the tables say 0, the carry is the other one.
    wire [4*PIECES-1:0] propagate;
    wire [4*PIECES-1:0] generated;
    wire [4*PIECES-1:0] result;
    wire [PIECES:0] carry;
    wire [3*PIECES-1:0] unused;  // carries within a piece
    wire [TABLES:0] full;  // carries of the full adders
    assign full[0] = ONES[1];
    assign carry[0] = 1'b0;
    assign sum = result[WIDTH-1:0];

    genvar i;
    generate
        for (i = 0; i < 4 * PIECES; i = i + 1) begin : g_bit
            if (i < TABLES) begin : g_table
                LUT6_2 #(
                    .INIT({{2{ODD}}, {4{CARRY_C}}})
                ) table_of_bit (
                    .I0(a[i]),
                    .I1(b[i]),
                    .I2(THREE != 0 ? c[i] : 1'b0),
                    .I3(THREE != 0 ? full[i] : 1'b0),
                    .I4(1'b0),
                    .I5(1'b1),
                    .O5(full[i+1]),
                    .O6(propagate[i])
                );
                assign generated[i] = THREE != 0 ? full[i] : full[i+1];
            end else begin : g_wire
                assign propagate[i] = i < WIDTH ? a[i < WIDTH ? i : 0] : 1'b0;
                assign generated[i] = 1'b0;
            end
        end
        for (i = 0; i < PIECES; i = i + 1) begin : g_piece
            CARRY4 piece (
                .CI(carry[i]),
                .CYINIT(i == 0 ? |ONES : 1'b0),
                .DI(generated[4*i+3:4*i]),
                .S(propagate[4*i+3:4*i]),
                .O(result[4*i+3:4*i]),
                .CO({carry[i+1], unused[3*i+2:3*i]})
            );
        end
    endgenerate
`else
    localparam [WIDTH+1:0] MORE = {{WIDTH{1'b0}}, ONES};
    assign sum = (INVERT[0] ? ~a : a) + (INVERT[1] ? ~b : b) +
                 (THREE == 0 ? {WIDTH{1'b0}} : INVERT[2] ? ~c : c) + MORE[WIDTH-1:0];
`endif
endmodule
