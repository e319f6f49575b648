"""Circuits of known shape for tools/calibrate_delays.py, as Verilog.

Each is a module `core` whose inputs and outputs are registers, so that its longest path is one of
those that it is made of.
"""

import random

# A lookup table of four inputs as a cell of its own, so that synthesis leaves rows of them alone.
TABLES = {
    "ecp5": "LUT4 #(.INIT(16'h{init:04x})) {name} (.A({0}), .B({1}), .C({2}), .D({3}), .Z({out}));",
    "ice40": "SB_LUT4 #(.LUT_INIT(16'h{init:04x})) {name} "
    "(.I0({0}), .I1({1}), .I2({2}), .I3({3}), .O({out}));",
    "gowin": "LUT4 #(.INIT(16'h{init:04x})) {name} "
    "(.I0({0}), .I1({1}), .I2({2}), .I3({3}), .F({out}));",
}
TABLES["littlebee"] = TABLES["gowin"]


def core(inputs, outputs, lines, result):
    """A module around `lines`, which compute `result` from the register r."""
    head = f"input wire clk, input wire [{inputs - 1}:0] x, output reg [{outputs - 1}:0] y"
    return "\n".join(
        [
            f"module core({head});",
            f"    reg [{inputs - 1}:0] r;",
            *(f"    {line}" for line in lines),
            "    always @(posedge clk) begin",
            "        r <= x;",
            f"        y <= {result};",
            "    end",
            "endmodule",
            "",
        ]
    )


def sum_of(name, width, a, b):
    """A sum of two numbers of one bit less. The operands are written with their leading zero: what
    a sum adds as it is, and nothing else reads, Yosys adds in one tree of tables with it."""
    return f"wire [{width - 1}:0] {name} = {{1'b0, {a}}} + {{1'b0, {b}}};"


def rows_of_tables(family, length, lanes=32):
    """Register, `length` lookup tables in a row, register; other inputs from any register."""
    draw = random.Random(length)
    lines = []
    ends = []
    for lane in range(lanes):
        at = f"r[{lane}]"
        for k in range(length):
            others = [f"r[{draw.randrange(lanes)}]" for _ in range(3)]
            pins = [at, *others]
            draw.shuffle(pins)
            out = f"t{lane}_{k}"
            lines.append(f"wire {out};")
            # All of its inputs matter, and none can be moved to another table.
            init = draw.choice([0x6996, 0x9669, 0x69D6, 0x1EE1])
            lines.append(TABLES[family].format(*pins, init=init, name=f"u{lane}_{k}", out=out))
            at = out
        ends.append(at)
    return core(lanes, lanes, lines, "{" + ", ".join(ends) + "}")


def trees(_family, width, levels, lanes=32):
    """Register, `levels` sums one behind the other, each of two values of the level before drawn
    at random, register."""
    draw = random.Random(1000 * width + levels)
    lines = []
    values = [f"r[{lane * width} +: {width}]" for lane in range(lanes)]
    for level in range(levels):
        bits = width + level
        drawn = []
        ring = draw.sample(range(lanes), lanes)
        for lane in range(lanes):
            a, b = ring[lane], ring[lane - 1]
            name = f"s{level}_{lane}"
            lines.append(sum_of(name, bits + 1, values[a], values[b]))
            drawn.append(name)
        values = drawn
    return core(lanes * width, lanes * (width + levels), lines, "{" + ", ".join(values) + "}")


def columns(_family, outputs, inputs=24, width=6):
    """Register, sums of eight inputs drawn at random for each output, register: as the columns of a
    matrix, with long nets at the inputs and short ones behind them."""
    draw = random.Random(outputs)
    lines = []
    ends = []
    for column in range(outputs):
        values = [f"r[{k * width} +: {width}]" for k in draw.sample(range(inputs), 8)]
        bits = width
        while len(values) > 1:
            bits += 1
            halves = []
            for k in range(0, len(values), 2):
                name = f"s{column}_{bits}_{k}"
                lines.append(sum_of(name, bits, values[k], values[k + 1]))
                halves.append(name)
            values = halves
        ends += values
    return core(inputs * width, outputs * (width + 3), lines, "{" + ", ".join(ends) + "}")


def readers(family, count, sources=2):
    """Registers each of which `count` tables read, and registers behind these."""
    draw = random.Random(count)
    inputs = sources + 128
    lines = []
    ends = []
    for source in range(sources):
        for k in range(count):
            pins = [f"r[{source}]"]
            pins += [f"r[{sources + draw.randrange(128)}]" for _ in range(3)]
            out = f"t{source}_{k}"
            lines.append(f"wire {out};")
            lines.append(TABLES[family].format(*pins, init=0x6996, name=f"u{source}_{k}", out=out))
            ends.append(out)
    return core(inputs, len(ends), lines, "{" + ", ".join(ends) + "}")
