#!/usr/bin/env python3
"""Checks the certificate of a design folder again, sharing no code with Gatewright.

usage: check_certificate.py DIR

Read are DIR/certificate.json, DIR/design.json and DIR/reports/circuit.txt. Checked are, in integers
of any size:
  - each adder graph computes its matrix: its linear forms are the matrix's columns;
  - the stated ranges of its values are those that the ranges of its inputs give;
  - matrices, input ranges and numbers of copies are those of the model's contractions;
  - the ranges that the model states for each element of each tensor hold whatever its operator can
    make of the ranges of its operands, and lie within its type;
  - no wire of the circuit is cut short, but those that the certificate lists, by interval rules and
    linear forms, from the ranges of the model's tensors;
  - the wires that are said to hold the model's tensors do so on a few inputs;
  - quantisers and accumulators that may overflow by their ranges are all listed, and each stated
    input of the model overflows as stated: the model is evaluated on it;
  - the counts, the comparisons and the verdict fit each other, and the verdict is "equal".
What a certificate only reports (simulations, functions read in full, files derived anew) is taken
as reported. Exit status: 0 if all is well, 1 if not, with one line that says why.
"""

import json
import re
import sys
from pathlib import Path
from random import Random

from certificate_rules import (
    STRING,
    Accumulator,
    Node,
    Quantizer,
    Wrong,
    contraction_rows,
    integers,
    limits,
    ordered,
    require,
    results,
)

SAMPLES = 8  # random inputs that circuit and model are evaluated on


# Adder graphs.


def combine(*terms):
    """The sum of factor * form; a form is {value: coefficient}, its constant that of None."""
    out = {}
    for factor, form in terms:
        for value, c in form.items():
            out[value] = out.get(value, 0) + factor * c
    return {value: c for value, c in out.items() if c}


def hull(form, ranges):
    """Lowest and highest value of a linear form over the ranges of its values."""
    low = high = form.get(None, 0)
    for value, c in form.items():
        if value is not None:
            ends = ranges[value]
            low += c * ends[c < 0]
            high += c * ends[c > 0]
    return low, high


def check_graph(name, graph):
    """An adder graph against its matrix, and the ranges of its values."""
    inputs, outputs = graph["inputs"], graph["outputs"]
    matrix = graph["weights"]
    require(len(matrix) == inputs * outputs, f"{name}: number of weights")
    ranges = [tuple(int(end) for end in pair) for pair in graph["input_ranges"]]
    require(len(ranges) == inputs, f"{name}: number of input ranges")
    require(all(low <= high for low, high in ranges), f"{name}: an empty input range")
    forms = [{i: 1} for i in range(inputs)]

    def term(value, shift, negate):
        require(0 <= value < len(forms), f"{name}: an addition of a later value")
        require(shift >= 0, f"{name}: a negative shift")
        return (-1 if negate else 1) << shift, forms[value]

    for a, shift_a, negate_a, b, shift_b, negate_b in graph["additions"]:
        require(not (negate_a and negate_b), f"{name}: both terms of an addition negated")
        forms.append(combine(term(a, shift_a, negate_a), term(b, shift_b, negate_b)))
    require(len(graph["results"]) == outputs, f"{name}: number of results")
    for o, (value, shift, negate) in enumerate(graph["results"]):
        form = {} if value == -1 else combine(term(value, shift, negate))
        column = {i: matrix[i * outputs + o] for i in range(inputs) if matrix[i * outputs + o]}
        require(form == column, f"{name}: output {o} is not its column of the matrix")
    stated = [tuple(int(end) for end in pair) for pair in graph["value_ranges"]]
    require(len(stated) == len(forms), f"{name}: number of value ranges")
    for v, (form, pair) in enumerate(zip(forms, stated, strict=True)):
        require(hull(form, ranges) == pair, f"{name}: the range of value {v} is not {pair}")


# The whole certificate.


def operands(node, nodes):
    return [nodes[n].types[output] for n, output in node.inputs]


def check_contractions(graphs, nodes):
    """Adder graphs against the contractions of the model, form by form."""
    number = 0
    for node in nodes:
        if node.operator != "contract":
            continue
        (x,) = operands(node, nodes)
        inputs, outputs, forms = contraction_rows(node, x)
        for columns, rows in forms:
            require(number < len(graphs), "not one adder graph for each contraction of the model")
            graph, layer = graphs[number], node.layer
            number += 1
            ranges = [list(map(str, x.at(rows[0] * inputs + k).range)) for k in range(inputs)]
            matrix = [columns[o][k] for k in range(inputs) for o in range(outputs)]
            require(graph["layer"] == layer, f"an adder graph of {graph['layer']}, not of {layer}")
            require([graph["inputs"], graph["outputs"]] == [inputs, outputs], f"{layer}: extents")
            require(graph["weights"] == matrix, f"{layer}: the matrix is not the model's")
            require(graph["input_ranges"] == ranges, f"{layer}: input ranges are not the model's")
            require(graph["copies"] == len(rows), f"{layer}: the model has {len(rows)} rows")
    require(number == len(graphs), "not one adder graph for each contraction of the model")


def check_ranges(rows, nodes):
    """The ranges of all tensors, each from those of its operands."""
    require(len(rows) == len(nodes), "not one range for each layer of the model")
    for node, row in zip(nodes, rows, strict=True):
        stated = [tensor.each() for tensor in node.types]
        if node.operator != "input":
            types = operands(node, nodes)
            follow = results(node, types, [[f.range for f in t.each()] for t in types])
            for formats, ranges in zip(stated, follow, strict=True):
                for f, (low, high) in zip(formats, ranges, strict=True):
                    require(
                        f.range[0] <= low and high <= f.range[1],
                        f"{node.layer}: a result of {node.operator} can leave its range",
                    )
        formats = [f for tensor in node.types for f in tensor.formats]
        for f in formats:
            inside = f.type[0] <= f.range[0] <= f.range[1] <= f.type[1]
            require(inside, f"{node.layer}: a range does not fit its type")
        require(row["layer"] == node.layer, f"{node.layer}: layer of the range")
        require(row["operator"] == node.operator, f"{node.layer}: operator of the range")
        # The certificate's hull always holds zero.
        low = min([0, *(f.range[0] for f in formats)])
        high = max([0, *(f.range[1] for f in formats)])
        require([int(row["low"]), int(row["high"])] == [low, high], f"{node.layer}: range")
        require(row["width"] == max(f.width for f in formats), f"{node.layer}: width")


def sums_of(node, x, ranges):
    """{(element, number of the product): range of that sum before the overflow}."""
    a = Accumulator(node)
    out = {}
    for first in range(0, x.count, a.products):
        point = max(x.at(e).frac for e in range(first, first + a.products))
        row = [
            tuple(n << (point - x.at(e).frac) for n in ranges[e])
            for e in range(first, first + a.products)
        ]
        for o in range(a.columns):
            element = first // a.products * a.columns + o
            out |= {(element, k): before for k, before, _ in a.sums(o, point, row) if k >= 0}
    return out


def before_overflow(node, x, ranges):
    """{(element, sum): range before the overflow} of a quantiser or an accumulator."""
    if node.operator == "row_accumulate":
        return sums_of(node, x, ranges)
    q = Quantizer(node)
    return {(e, 0): q.before(e, x.at(e).frac, r) for e, r in enumerate(ranges)}


def overflowing(node, x):
    """{(element, sum): (range before the overflow, limits)} where the range exceeds."""
    q = (Accumulator if node.operator == "row_accumulate" else Quantizer)(node)
    out = {}
    for at, (low, high) in before_overflow(node, x, [f.range for f in x.each()]).items():
        least, most = q.limits(at[0])
        if low < least or high > most:
            out[at] = ((low, high), (least, most))
    return out


def evaluate(nodes, last, inputs):
    """The integers of all tensors before node `last`, as ranges of one integer."""
    ports = iter(inputs)
    values = {}
    for number, node in enumerate(nodes[:last]):
        if node.operator == "input":
            port = next(ports)
            formats = node.types[0].each()
            require(len(port) == len(formats), "an input that overflows has another shape")
            for n, f in zip(port, formats, strict=True):
                require(f.range[0] <= n <= f.range[1], "an input that overflows is out of range")
            values[number, 0] = [(n, n) for n in port]
            continue
        ranges = [values[source] for source in node.inputs]
        for i, result in enumerate(results(node, operands(node, nodes), ranges)):
            values[number, i] = result
    return values


def check_overflow(rows, nodes):
    """Every place that may overflow is listed, and the inputs that overflow do so."""
    expected = []
    for number, node in enumerate(nodes):
        if node.operator in ("quantize", "row_accumulate"):
            found = overflowing(node, operands(node, nodes)[0])
            if found:
                expected.append((number, node, found))
    require(len(rows) == len(expected), "not all places that may overflow are listed")
    for row, (number, node, found) in zip(rows, expected, strict=True):
        name = f"overflow of {node.layer}"
        require(row["layer"] == node.layer, f"{name}: layer")
        q = (Accumulator if node.operator == "row_accumulate" else Quantizer)(node)
        require(row["operator"] == node.operator, f"{name}: operator")
        require(row["overflow"] == q.overflow, f"{name}: mode")
        require(row["elements"] == len(found), f"{name}: number of elements")
        at = (row["element"], row["sum"])
        require(at in found, f"{name}: element")
        stated = tuple(tuple(int(n) for n in row[key]) for key in ("range", "limits"))
        require(stated == found[at], f"{name}: range")
        if (witness := row["witness"]) is None:
            continue
        ports = [node.name for node in nodes if node.operator == "input"]
        require(list(witness["inputs"]) == ports, f"{name}: names of inputs")
        values = evaluate(nodes, number, witness["inputs"].values())
        (x,) = operands(node, nodes)
        at = (witness["element"], witness["sum"])
        before = before_overflow(node, x, values[node.inputs[0]])[at][0]
        least, most = q.limits(at[0])
        require(before == int(witness["before"]), f"{name}: the input gives {before}")
        require(not least <= before <= most, f"{name}: the input does not overflow")
        span = most - least + 1
        wraps = q.overflow == "wrap"
        after = (before - least) % span + least if wraps else max(least, min(most, before))
        require(after == int(witness["after"]), f"{name}: the result is {after}")


# The wires of the circuit.


def wire_type(text):
    return limits(text[0] == "s", int(text[1:]))


def signed_bits(low, high):
    return max((n if n >= 0 else ~n).bit_length() for n in (low, high)) + 1


def bitwise(op, a, b):
    """The range of a bitwise operation of values in these ranges."""
    if op == "bit_and" and (a[0] >= 0 or b[0] >= 0):
        return 0, (a[1] if b[0] < 0 else b[1] if a[0] < 0 else min(a[1], b[1]))
    half = 2 ** (max(signed_bits(*a), signed_bits(*b)) - 1)
    return (0 if a[0] >= 0 and b[0] >= 0 else -half), half - 1


class Circuit:
    """Ranges of the wires of a function in the text form of src/bits, line by line.

    `known` are ranges that the model states of wires that hold its elements.
    """

    def __init__(self, inputs, known):
        self.inputs = inputs
        self.known = known
        self.steps = []
        self.tables = []
        self.origins = {0: ""}
        self.ranges = []
        self.forms = []
        self.proofs = {"by_interval": 0, "by_linear_form": 0}
        self.reduced = {}

    def line(self, line):
        if line.startswith("%"):
            self.wire(line)
        elif found := re.match(r"table .* = (.*)", line):
            words = integers(found[1])
            self.tables.append(words)
        elif found := re.match(rf"origin (\d+) = ({STRING})", line):
            self.origins[int(found[1])] = json.loads(found[2])

    def wire(self, line):
        number, _, op, *arguments = line.split()
        at = arguments.index(":")
        least, most = wire_type(arguments[at + 1])
        origin = int(arguments[at + 2][1:]) if len(arguments) > at + 2 else 0
        wires = [int(a[1:]) for a in arguments[:at] if a[0] == "%"]
        numbers = [int(a) for a in arguments[:at] if a[0] != "%"]
        require(number == f"%{len(self.ranges)}", f"circuit: wire {number} is out of order")
        require(all(w < len(self.ranges) for w in wires), f"circuit: {number} reads a later wire")
        operands = [self.ranges[w] for w in wires]
        low, high = self.interval(op, operands, numbers)
        fits = least <= low and high <= most
        is_bitwise = op in ("bit_not", "bit_xor")
        form = (
            self.unsigned_form(op, wires, least, most)
            if is_bitwise
            else self.form(op, wires, numbers)
        )
        ends = None if form is None else hull(form, self.ranges)
        if ends and is_bitwise and not fits:
            low, high = ends  # the form is that of the result, reduced to an unsigned number
        elif ends:
            low, high = max(low, ends[0]), min(high, ends[1])
        if least <= low and high <= most:
            self.proofs["by_interval" if fits else "by_linear_form"] += 1
        else:
            low, high = least, most
            key = (self.origins[origin], op)
            self.reduced[key] = self.reduced.get(key, 0) + 1
        for stated in self.known.get(len(self.ranges), ()):
            low, high = max(low, stated[0]), min(high, stated[1])
        # A form goes on only while it tells all that is known.
        self.forms.append(form if ends == (low, high) else {len(self.ranges): 1})
        self.ranges.append((low, high))
        self.steps.append((op, wires, numbers, least, most - least + 1))

    def evaluate(self, inputs):
        """The integers of all wires."""
        values = []
        for op, wires, numbers, least, span in self.steps:
            value = self.operation(op, [values[w] for w in wires], numbers, inputs)
            values.append((value - least) % span + least)
        return values

    def operation(self, op, v, numbers, inputs):
        match op:
            case "input":
                return inputs[numbers[0]]
            case "read":
                words = self.tables[numbers[0]]
                return words[v[0] % len(words)]
            case "mux":
                return v[1] if v[0] else v[2]
            case "equal":
                return int(v[0] == v[1])
            case "less":
                return int(v[0] < v[1])
            case "bit_and":
                return v[0] & v[1]
            case "bit_or":
                return v[0] | v[1]
            case "bit_xor":
                return v[0] ^ v[1]
        return self.interval(op, [(n, n) for n in v], numbers)[0]

    def interval(self, op, r, numbers):
        match op:
            case "input":
                return self.inputs[numbers[0]]
            case "constant":
                return numbers[0], numbers[0]
            case "read":
                return ordered(self.tables[numbers[0]])
            case "add":
                return r[0][0] + r[1][0], r[0][1] + r[1][1]
            case "sub":
                return r[0][0] - r[1][1], r[0][1] - r[1][0]
            case "mul":
                return ordered(a * b for a in r[0] for b in r[1])
            case "shl":
                return r[0][0] << numbers[0], r[0][1] << numbers[0]
            case "shr":
                return r[0][0] >> numbers[0], r[0][1] >> numbers[0]
            case "bit_not":
                return ~r[0][1], ~r[0][0]
            case "bit_and" | "bit_or" | "bit_xor":
                return bitwise(op, *r)
            case "equal" | "less":
                return 0, 1
            case "mux":
                return min(r[1][0], r[2][0]), max(r[1][1], r[2][1])
            case "cast":
                return r[0]
        raise Wrong(f"circuit: operation {op} is not known")

    def form(self, op, wires, numbers):
        """The wire as a sum of multiples of others, before its reduction; None if it is none."""
        forms = [self.forms[w] for w in wires]
        match op:
            case "constant":
                return {None: numbers[0]} if numbers[0] else {}
            case "cast":
                return forms[0]
            case "add" | "sub":
                return combine((1, forms[0]), (1 if op == "add" else -1, forms[1]))
            case "shl":
                return combine((1 << numbers[0], forms[0]))
            case "mul":
                for factor, other in (forms, forms[::-1]):
                    if not set(factor) - {None}:
                        return combine((factor.get(None, 0), other))
        return None

    def unsigned_form(self, op, wires, least, most):
        """An unsigned complement, or an inverted sign, as a sum; None if it is none."""
        if least != 0:
            return None
        low, high = self.ranges[wires[0]]
        if op == "bit_not":
            inside = low >= 0 and high <= most
            return combine((-1, self.forms[wires[0]]), (1, {None: most})) if inside else None
        half = (most + 1) // 2
        mask, _, numbers, _, _ = self.steps[wires[1]]
        if (mask, numbers) != ("constant", [half]) or low < -half or high >= half:
            return None
        return combine((1, self.forms[wires[0]]), (1, {None: half}))


def check_wires(ranges, nodes, folder):
    """Every wire of the circuit's function; gives how many."""
    require(ranges["unproven"] == 0, f"{ranges['unproven']} wires may be cut short")
    stated = {(row["layer"], row["operation"]): row["wires"] for row in ranges["reduced"]}
    kinds = {"by_interval": ranges["by_interval"], "by_linear_form": ranges["by_linear_form"]}
    require(sum((*kinds.values(), *stated.values())) == ranges["wires"], "the number of wires")
    if ranges["circuit"] is None:
        return 0
    formats = [f for n in nodes if n.operator == "input" for f in n.types[0].each()]
    lines = (folder / ranges["circuit"]).read_text().splitlines()
    results = []
    for line in lines:
        if found := re.fullmatch(r"# %(\d+) is %(\d+)\.(\d+) element (\d+)", line):
            results.append(tuple(map(int, found.groups())))
    require(len(results) == ranges["results"], "the circuit has another number of results")
    known = {}
    for wire, node, output, element in results:
        known.setdefault(wire, []).append(nodes[node].types[output].at(element).range)
    circuit = Circuit([f.range for f in formats], known)
    for line in lines:
        circuit.line(line)
    require(len(circuit.ranges) == ranges["wires"], "the circuit has another number of wires")
    require(circuit.proofs == kinds, f"the wires' ranges are proven otherwise: {circuit.proofs}")
    require(circuit.reduced == stated, "other wires are reduced than those stated")
    check_results(circuit, results, formats, nodes)
    return ranges["wires"]


def check_results(circuit, results, formats, nodes):
    """The wires that hold elements of the model do so, on corners and random inputs."""
    random = Random(1)
    samples = [[f.range[0] for f in formats], [f.range[1] for f in formats]]
    samples += [[random.randint(*f.range) for f in formats] for _ in range(SAMPLES)]
    for sample in samples:
        wires = circuit.evaluate(sample)
        rest = iter(sample)
        ports = [[next(rest) for _ in n.types[0].each()] for n in nodes if n.operator == "input"]
        values = evaluate(nodes, len(nodes), ports)
        for wire, node, output, element in results:
            same = values[node, output][element] == (wires[wire], wires[wire])
            require(same, f"circuit: wire %{wire} does not hold what the model computes")


def check_counts(certificate):
    """Counts, comparisons and verdict."""
    graphs = certificate["adder_graphs"]
    require(graphs["count"] == len(certificate["contractions"]), "the number of adder graphs")
    tables = certificate["tables"]
    require(
        tables["functions"] == tables["in_full"] + tables["at_edges"] <= tables["entries_checked"],
        "the number of functions",
    )
    samples = certificate["samples"]
    comparisons = certificate["comparisons"]
    done = [row for row in comparisons if "skipped" not in row]
    require(any(row["level"] == "bits" for row in done), "emulator and bits were not compared")
    for row in done:
        total = samples["corners"] + samples["random"]
        require(row["samples"] == total > 0, f"{row['level']}: compared without samples")
        require(row["mismatches"] == 0, f"{row['level']}: {row['mismatches']} mismatches")
    require(
        certificate["files_as_derived"] is True
        and graphs["not_proven"] == 0
        and tables["wrong"] == 0,
        "files, adder graphs or tables are not as they should be",
    )
    require(certificate["verdict"] == "equal", f"the verdict is '{certificate['verdict']}'")
    return [row["level"] for row in done]


def check(folder):
    """Checks a design folder; gives the sentence to print."""
    certificate = json.loads((folder / "certificate.json").read_text())
    design = json.loads((folder / "design.json").read_text())
    require(certificate["format"] == "gatewright certificate 2", "unknown format")
    require(certificate["name"] == design["name"], "the certificate is of another design")
    nodes = [Node(line) for line in design["model"] if re.match(r"%\d+ = ", line)]
    graphs, ranges = certificate["contractions"], certificate["ranges"]
    for number, graph in enumerate(graphs):
        check_graph(f"adder graph {number} ({graph['layer']})", graph)
    check_contractions(graphs, nodes)
    check_ranges(ranges["layers"], nodes)
    check_overflow(certificate["overflow"], nodes)
    wires = check_wires(ranges, nodes, folder)
    levels = check_counts(certificate)
    additions = sum(len(graph["additions"]) for graph in graphs)
    return (
        f"certificate holds: {len(graphs)} adder graphs with {additions} additions, "
        f"{len(ranges['layers'])} layers and {wires} wires in range, "
        f"{sum(row['witness'] is not None for row in certificate['overflow'])} inputs that "
        f"overflow, compared: {', '.join(levels)}"
    )


def main():
    if len(sys.argv) != 2:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 1
    try:
        print(check(Path(sys.argv[1])))
    except Wrong as wrong:
        print(f"certificate does not hold: {wrong}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        print(f"certificate cannot be read: {type(error).__name__}: {error}")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
