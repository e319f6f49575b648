"""Writes the peer's Verilog for a network of ours: run with a Python that has alkaid 0.8.2.

usage: alkaid_network.py DESIGN FOLDER STAGES [half_up]

DESIGN is what `gatewright convert` wrote for one input vector and one output: its design.json holds
the network in integers, which is traced operator by operator. The peer's network must give what is
in DESIGN/testbench for all samples there, unless `half_up` replaces roundings half to even, which
makes another, cheaper network. Prints one line about it.
"""

import json
import pathlib
import re
import sys

import numpy
from alkaid.codegen import RTLModel
from alkaid.trace import FVArray, HWConfig, trace

MODES = {"floor": "TRN", "half_up": "RND", "half_even": "RND_CONV"}
OVERFLOWS = {"wrap": "WRAP", "saturate": "SAT"}


class Type:
    """fixed<W,F> or ufixed<W,F>: W bits, F of them behind the point."""

    def __init__(self, text):
        found = re.match(r"(u?)fixed<(\d+),(-?\d+)>", text)
        self.signed = int(not found[1])
        self.width, self.frac = int(found[2]), int(found[3])

    def kif(self):
        return self.signed, self.width - self.frac - self.signed, self.frac


def each(text, count):
    """The elements of `per 1 (a; b; c)`, one for all if it has one; or of a plain value."""
    found = re.fullmatch(r"per 1 \((.*)\)", text)
    parts = found[1].split("; ") if found else [text]
    return parts * count if len(parts) == 1 else parts


def fields_of(text):
    """name = value pairs; commas stand between them and, within brackets, in values."""
    out, depth, start = {}, 0, 0
    for i, c in enumerate(text + ","):
        depth += (c in "([{<") - (c in ")]}>")
        if c == "," and depth == 0:
            name, value = text[start:i].strip().split(" = ", 1)
            out[name] = value
            start = i + 1
    return out


class Network:
    def __init__(self, lines, half_up):
        self.modes = {**MODES, **({"half_even": "RND"} if half_up else {})}
        self.values = {}
        self.fracs = {}
        for line in lines:
            found = re.match(
                r"%(\d+) = (\w+)(?:\((.*?)\))? (?:\{(.*)\} )?: \[(\d+)\] (.*?)  //", line
            )
            if found:
                self.add(*found.groups())
            elif line.startswith("output "):
                self.output = self.values[line.rsplit("%", 1)[1]]
            elif line.startswith("%"):
                raise ValueError(f"not traced: {line[:100]}")

    def add(self, id, kind, inputs, fields, count, types):
        types = [Type(t) for t in each(types, int(count))]
        fields = fields_of(fields) if fields else {}
        if kind == "input":
            self.types = types
            self.input = FVArray.from_kif(
                *(numpy.array(v) for v in zip(*(t.kif() for t in types), strict=True)),
                HWConfig(1, -1, -1),
            )
            value = self.input
        else:
            of = [i.strip("% ") for i in inputs.split(",")]
            value = getattr(self, kind)(*of, fields, int(count))
        self.values[id] = value
        self.fracs[id] = [t.frac for t in types]

    def contract(self, x, fields, count):
        shape, weights = fields["weights"].split(": ")
        groups, rows, columns = json.loads(shape)
        if groups != 1 or columns != count:
            raise ValueError("not one matrix for one vector")
        kernel = numpy.array([float(w) for w in weights.split()]).reshape(rows, columns)
        return self.values[x] @ (kernel * 2.0 ** -int(fields.get("frac", 0)))

    def affine(self, x, fields, count):
        out = []
        for v, f, m, a, frac in zip(
            self.values[x],
            self.fracs[x],
            *(each(fields[name], count) for name in ("multiplier", "addend", "frac")),
            strict=True,
        ):
            out.append(v * (float(m) * 2.0 ** (f - int(frac))) + float(a) * 2.0 ** -int(frac))
        return FVArray(numpy.array(out))

    def quantize(self, x, fields, count):
        mode, overflow = self.modes[fields["rounding"]], OVERFLOWS[fields["overflow"]]
        types = [Type(t) for t in each(fields["type"], count)]
        pairs = zip(self.values[x], types, strict=True)
        return FVArray(numpy.array([v.quantize(*t.kif(), overflow, mode) for v, t in pairs]))

    def clamp(self, x, fields, count):
        out, ranges = [], each(fields["range"], count)
        for v, frac, ends in zip(self.values[x], self.fracs[x], ranges, strict=True):
            low, high = (end * 2.0**-frac for end in json.loads(ends))
            v = v.relu() if low == 0 else v.max_of(low)
            out.append(v.min_of(high) if v.high > high else v)
        return FVArray(numpy.array(out))


def samples(design, folder):
    """Inputs and outputs of the testbench as numbers."""
    for side, file in (("inputs", "inputs.hex"), ("outputs", "expected.hex")):
        (port,) = design["ports"][side]
        words = [int(w, 16) for w in (folder / "testbench" / file).read_text().split()]
        table = numpy.zeros((len(words), len(port["elements"])))
        for row, word in zip(table, words, strict=True):
            for i, e in enumerate(port["elements"]):
                v = word >> e["bit"] & ((1 << e["width"]) - 1)
                v -= (v >> (e["width"] - 1) << e["width"]) if e["signed"] and e["width"] else 0
                row[i] = v * 2.0 ** -e["frac"]
        yield table


def main():
    folder = pathlib.Path(sys.argv[1])
    half_up = sys.argv[4:] == ["half_up"]
    design = json.loads((folder / "design.json").read_text())
    network = Network(design["model"], half_up)
    comb = trace(network.input, network.output)
    inputs, outputs = samples(design, folder)
    differing = int((comb.predict(inputs) != outputs).sum())
    if differing and not half_up:
        sys.exit(f"{differing} outputs of {len(inputs)} samples differ")
    model = RTLModel(comb, sys.argv[2], "peer", n_stages=int(sys.argv[3]))
    model.write()
    print(f"{sys.argv[3]} stages, {model.reg_bits} register bits, {len(comb.ops)} operations")


if __name__ == "__main__":
    main()
