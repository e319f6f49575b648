"""Circuits of standard cells: areas and longest paths before layout.

usage: standard_cells.py LIBERTY DRIVER MODELS [--gatewright PROGRAM] [--work FOLDER]
                         [--rows pieces,sums,designs] [--write docs/benchmarks.md]

LIBERTY is a library of standard cells, which Yosys maps to and OpenSTA takes its times from; DRIVER
is its cell that drives the inputs (BUF_X2, say): without one, gates are neither sized nor buffered.
`pieces` gives the row `asic` of targets/families.def, `sums` compares ways to add many numbers,
`designs` puts the estimates of whole networks beside the longest paths found. The Python that runs
this has pyosys and numpy; `sta` is OpenSTA.
"""

import argparse
import heapq
import json
import pathlib
import re
import sys

import parallel

import tools

# Additions are kept as they are written: see the table of `sums`.
SYNTHESIS = "synth -flatten -noalumacc"

# Periods that are never and always met, ns: gates are chosen to be fast, or to be small.
FAST, SMALL = 0, 100

# Name, files, bits where the model is to be quantised, period in ns.
DESIGNS = [
    ("hgq_jet_classifier", ["hgq_jet_classifier.h5"], None, 1.5),
    ("torch_two_layer", ["two_layer_model.pt"], 4, 1.5),
    ("torch_two_layer", ["two_layer_model.pt"], 8, 2.0),
    ("keras_1layer", ["KERAS_1layer.json", "KERAS_1layer_weights.h5"], 6, 1.5),
    ("onnx_two_layer_keras", ["two_layer_keras.onnx"], 4, 2.0),
    (
        "keras_3layer_70pruned",
        ["KERAS_3layer.json", "KERAS_3layer_70pruned_retrained_weights.h5"],
        4,
        1.5,
    ),
]


class Mapper:
    """Yosys and OpenSTA with one library."""

    def __init__(self, liberty, driver, work):
        self.liberty = pathlib.Path(liberty).absolute()
        self.driver = driver
        self.work = pathlib.Path(work)

    def measure(self, label, files, top, synthesis, period):
        """Area in the library's unit and the longest path between registers, ns, of gates chosen
        for a period (ns)."""
        folder = self.work / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "borders").write_text(
            f"set_driving_cell {self.driver}\nset_load 0.005 [all_outputs]\n"
        )
        liberty = f'"{self.liberty}"'
        tools.run_yosys(
            folder,
            [
                *(f'read_verilog -sv "{pathlib.Path(file).absolute()}"' for file in files),
                f"{synthesis} -top {top}",
                f"dfflibmap -liberty {liberty}",
                f"abc -liberty {liberty} -constr borders -D {1000 * period + 1:.0f}",
                "splitnets -ports",  # OpenSTA reads no concatenations in assignments
                "opt_clean -purge",
                f"tee -q -o stat.json stat -json -liberty {liberty}",
                "write_verilog -noattr -noexpr netlist.v",
            ],
        )
        (folder / "times.tcl").write_text(
            f"read_liberty {{{self.liberty}}}\n"
            "read_verilog netlist.v\n"
            f"link_design {top}\n"
            "create_clock -name clk -period 100 [get_ports clk]\n"
            "report_checks -path_delay max -digits 4 -from [all_registers -clock_pins] "
            "-to [all_registers -data_pins]\n"
            "exit\n"
        )
        tools.quiet(["sta", "-exit", "times.tcl"], folder, folder / "times.log")
        slack = re.search(r"(\S+)\s+slack", (folder / "times.log").read_text())
        if slack is None:
            sys.exit(f"sta found no path between registers; see {folder / 'times.log'}")
        area = json.loads((folder / "stat.json").read_text())["design"]["area"]
        return float(area), 100 - float(slack.group(1))

    def measure_text(self, label, text, synthesis, period):
        """The same for a circuit `top` of a few lines."""
        folder = self.work / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "circuit.v").write_text(text)
        return self.measure(label, [folder / "circuit.v"], "top", synthesis, period)


def module(count, bits, lines, result, result_bits):
    """A circuit whose inputs x0, x1, ... and result are in registers."""
    ports = ", ".join(f"input [{bits - 1}:0] i{k}" for k in range(count))
    registers = [
        f"reg [{bits - 1}:0] x{k}; always @(posedge clk) x{k} <= i{k};" for k in range(count)
    ]
    return "\n".join(
        [
            f"module top(input clk, {ports}, output reg [{result_bits - 1}:0] y);",
            *registers,
            *lines,
            f"always @(posedge clk) y <= {result};",
            "endmodule\n",
        ]
    )


def adder_chain(count, bits):
    """`count` additions one after the other."""
    lines = []
    total = "x0"
    for k in range(count):
        lines.append(f"wire [{bits + k}:0] t{k} = {total} + x{k + 1};")
        total = f"t{k}"
    return module(count + 1, bits, lines, total, bits + count)


def gate_chain(count):
    """`count` gates of three inputs one after the other."""
    lines = []
    last = "x0"
    for k in range(count):
        lines.append(f"wire t{k} = ({last} & x{2 * k + 1}) ^ x{2 * k + 2};")
        last = f"t{k}"
    return module(2 * count + 1, 1, lines, last, 1)


def sum_bits(count, bits):
    return (count * ((1 << bits) - 1)).bit_length()


def adder_tree(count, bits):
    """A balanced tree of additions of two."""
    lines = []
    terms = [(f"x{k}", bits) for k in range(count)]
    while len(terms) > 1:
        (a, a_bits), (b, b_bits), *terms = terms
        name, width = f"t{len(lines)}", max(a_bits, b_bits) + 1
        lines.append(f"wire [{width - 1}:0] {name} = {a} + {b};")
        terms.append((name, width))
    return module(count, bits, lines, terms[0][0], sum_bits(count, bits))


def one_sum(count, bits):
    """One expression, which synthesis compresses."""
    return module(count, bits, [], " + ".join(f"x{k}" for k in range(count)), sum_bits(count, bits))


def compressor_tree(count, bits):
    """Full adders on bits, of each column the three that are there first, and one addition.

    The times of the greedy choice are in exclusive-ors: two from either of the first two bits to
    the sum, one from the third; 1.6 and 0.8 to the carry.
    """
    width = sum_bits(count, bits)
    columns = [[(0, f"x{k}[{b}]") for k in range(count)] for b in range(bits)]
    columns += [[] for _ in range(width - bits + 1)]
    lines = []
    for b in range(width):
        column = columns[b]
        heapq.heapify(column)
        while len(column) > 2:
            (ta, a), (tb, d), (tc, e) = (heapq.heappop(column) for _ in range(3))
            k = len(lines)
            lines.append(f"wire s{k} = {a} ^ {d} ^ {e}, c{k} = ({a} & {d}) | ({e} & ({a} ^ {d}));")
            heapq.heappush(column, (max(ta + 2, tb + 2, tc + 1), f"s{k}"))
            columns[b + 1].append((max(ta + 1.6, tb + 1.6, tc + 0.8), f"c{k}"))
    for row in range(2):
        bits_of_row = [c[row][1] if len(c) > row else "1'b0" for c in columns[:width]]
        lines.append(f"wire [{width - 1}:0] r{row} = {{{', '.join(reversed(bits_of_row))}}};")
    return module(count, bits, lines, "r0 + r1", width)


class Bench:
    def __init__(self, options):
        self.options = options
        self.mapper = Mapper(options.liberty, options.driver, options.work)

    # Each of the following gives lines of Markdown.

    def pieces(self):
        def period(label, text):
            return 1000 * self.mapper.measure_text(label, text, SYNTHESIS, SMALL)[1]

        register = period("register", module(1, 1, [], "x0", 1))
        gates = {n: period(f"gates_{n}", gate_chain(n)) for n in (1, 8)}
        adders = {w: period(f"add_{w}", adder_chain(1, w)) for w in (8, 32)}
        chains = {
            (n, w): period(f"chain_{n}_{w}", adder_chain(n, w)) for n in (2, 6) for w in (8, 16)
        }
        gate = (gates[8] - gates[1]) / 7
        carry = (adders[32] - adders[8]) / 24
        steps = [(chains[6, w] - chains[2, w]) / 4 for w in (8, 16)]
        entry = sum(steps) / len(steps) - gate - carry
        return [
            f"Times of pieces, ps: a gate of three inputs {gate:.0f}, a carry {carry:.0f}, onto a",
            f"chain and off it {entry:.0f}, register to register {register:.0f}.",
        ]

    def sums(self):
        lines = [
            "Ways to add n numbers of w bits between registers: a tree of additions of two; full",
            "adders on bits, those that are there first, and one addition; one expression, of",
            "which Yosys makes such a compressor tree itself. Area with the registers, and longest",
            "path (ns), of gates chosen to be fast and to be small:",
            "",
            "| n | w | additions, fast | small | compressors, fast | small | expression, fast "
            "| small |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for count, bits in ((4, 8), (8, 8), (16, 4), (16, 8), (16, 16), (32, 8), (64, 8)):
            figures = [
                self.mapper.measure_text(
                    f"{label}_{count}_{bits}_{period}", make(count, bits), synthesis, period
                )
                for label, make, synthesis in (
                    ("adders", adder_tree, SYNTHESIS),
                    ("compressors", compressor_tree, SYNTHESIS),
                    ("expression", one_sum, "synth -flatten"),
                )
                for period in (FAST, SMALL)
            ]
            row = " | ".join(f"{area:.0f}, {path:.2f}" for area, path in figures)
            lines.append(f"| {count} | {bits} | {row} |")
            print(lines[-1], flush=True)
        return lines

    def designs(self):
        lines = [
            "Networks for `--target asic`:",
            "",
            "| design | bits | stages | asked ns | estimated ns | reached ns | reached / asked "
            "| area |",
            "|---|---|---|---|---|---|---|---|",
        ]
        models = parallel.Bench(self.options)
        for name, files, bits, period in DESIGNS:
            if self.options.only not in name:
                continue
            label = f"{name}_{bits or 'own'}_{period:g}"
            arguments = ["--target", "asic", "--clock-period", str(period)]
            arguments += models.types(name, bits)
            design, folder = models.convert(label, models.files(name, files), *arguments)
            sources = sorted((folder / "verilog").glob("*.v"))
            area, path = self.mapper.measure(
                f"{label}_cells", sources, design["module"], SYNTHESIS, period
            )
            timing = design["timing"]
            lines.append(
                f"| {name} | {bits or 'its own'} | {timing['stages']} | {period:g} | "
                f"{timing['estimated_critical_path_ns']:.2f} | {path:.2f} | "
                f"{path / period:.2f} | {area:.0f} |"
            )
            print(lines[-1], flush=True)
        return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("liberty")
    parser.add_argument("driver")
    parser.add_argument("models")
    rows = ["pieces", "sums", "designs"]
    parser.add_argument("--rows", type=tools.names_from(rows), default=rows)
    tools.run(parser, Bench, "standard_cells")


if __name__ == "__main__":
    main()
