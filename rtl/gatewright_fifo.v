// A queue of DEPTH words between two processes. A word moves in on the cycles where in_valid and
// in_ready are 1, and out where out_valid and out_ready are. No path leads through it: in_ready and
// out_valid depend on what it holds alone. Words come out in the order in which they went in.
module gatewright_fifo #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = 1,  // bits of DEPTH - 1, at least 1
    parameter COUNT = 2     // bits of DEPTH
) (
    input wire clk,
    input wire rst,
    input wire [WIDTH-1:0] in_data,
    input wire in_valid,
    output wire in_ready,
    output wire [WIDTH-1:0] out_data,
    output wire out_valid,
    input wire out_ready
);
    localparam [31:0] DEPTH_BITS = DEPTH;
    localparam [31:0] LAST_BITS = DEPTH - 1;
    localparam [31:0] ONE = 1;
    localparam [COUNT-1:0] FULL = DEPTH_BITS[COUNT-1:0];
    localparam [ADDRESS-1:0] LAST = LAST_BITS[ADDRESS-1:0];

    reg [WIDTH-1:0] words [0:DEPTH-1];
    reg [ADDRESS-1:0] head;  // the oldest word
    reg [ADDRESS-1:0] tail;  // where the next word goes
    reg [COUNT-1:0] count;

    wire push = in_valid & in_ready;
    wire pop = out_valid & out_ready;

    assign in_ready = count != FULL;
    assign out_valid = count != {COUNT{1'b0}};
    assign out_data = words[head];

    always @(posedge clk) begin
        if (push) words[tail] <= in_data;
    end

    always @(posedge clk) begin
        if (rst) begin
            head <= {ADDRESS{1'b0}};
            tail <= {ADDRESS{1'b0}};
            count <= {COUNT{1'b0}};
        end else begin
            if (push) tail <= tail == LAST ? {ADDRESS{1'b0}} : tail + ONE[ADDRESS-1:0];
            if (pop) head <= head == LAST ? {ADDRESS{1'b0}} : head + ONE[ADDRESS-1:0];
            if (push & ~pop) count <= count + ONE[COUNT-1:0];
            if (pop & ~push) count <= count - ONE[COUNT-1:0];
        end
    end

`ifdef FORMAL
    // What tests/python/test_rtl.py proves: after a reset, the queue holds what a shift register
    // with the oldest word in front holds, for ever.
    reg was_reset = 1'b0;
    integer i;
    integer length;
    reg [WIDTH-1:0] model [0:DEPTH];
    always @(posedge clk) begin
        was_reset <= was_reset | rst;
        if (rst) begin
            length <= 0;
        end else begin
            if (pop) for (i = 0; i < DEPTH; i = i + 1) model[i] <= model[i+1];
            if (push) model[pop ? length - 1 : length] <= in_data;
            length <= length + (push ? 1 : 0) - (pop ? 1 : 0);
        end
    end
    always @(*) begin
        if (was_reset) begin
            assert (length >= 0 && length <= DEPTH);
            assert (in_ready == (length < DEPTH));
            assert (out_valid == (length > 0));
            if (out_valid) assert (out_data == model[0]);
            // The rest makes the induction go through.
            assert (count == length);
            assert (head < DEPTH && tail < DEPTH);
            assert (tail == head + length || tail + DEPTH == head + length);
            for (i = 0; i < DEPTH; i = i + 1)
                if (i < length)
                    assert (words[head + i < DEPTH ? head + i : head + i - DEPTH] == model[i]);
        end
    end
`endif
endmodule
