#!/usr/bin/env python3
"""Checks the certificate of a design folder again, sharing no code with Gatewright.

usage: check_certificate.py DIR

Read are DIR/certificate.json and DIR/design.json. Checked are, in integers of any size:
  - each adder graph computes its matrix: its linear forms are the matrix's columns;
  - the stated ranges of its values are those that the ranges of its inputs give;
  - matrices, input ranges and numbers of copies are those of the model's contractions;
  - the stated ranges of the layers are those of the model;
  - the counts, the comparisons and the verdict fit each other, and the verdict is "equal".
What a certificate only reports (simulations, tables, files derived anew) is taken as reported.
Exit status: 0 if all is well, 1 if not, with one line that says why.
"""

import json
import re
import sys
from fractions import Fraction
from pathlib import Path

FIXED = r"(u?)fixed<(\d+),(-?\d+)>(?: in \[(-?\d+), (-?\d+)\])?"
PLAIN = r"u?fixed<\d+,-?\d+>(?: in \[-?\d+, -?\d+\])?"
TENSOR = re.compile(rf"\[([\d, ]*)\] (?:per (\d+) \(({PLAIN}(?:; {PLAIN})*)\)|({PLAIN}))")
STRING = r'"(?:[^"\\]|\\.)*"'


class Wrong(Exception):
    """The certificate is not what it should be."""


def require(condition, what):
    if not condition:
        raise Wrong(what)


class Tensor:
    """The type of a tensor: (frac, low, high, width) of every element."""

    def __init__(self, match):
        shape = [int(n) for n in match[1].split(",") if n.strip()]
        self.count = 1
        for extent in shape:
            self.count *= extent
        self.inner = int(match[2] or 1)
        self.formats = [self.format(m) for m in re.finditer(FIXED, match[3] or match[4])]

    @staticmethod
    def format(match):
        unsigned, width, frac = match[1] == "u", int(match[2]), int(match[3])
        low = 0 if unsigned or width == 0 else -(2 ** (width - 1))
        high = 2**width - 1 if unsigned else (2 ** (width - 1) - 1 if width else 0)
        if match[4] is not None:
            low, high = int(match[4]), int(match[5])
        return frac, low, high, width

    def at(self, element):
        return self.formats[element // self.inner % len(self.formats)]


class Node:
    """One line of the model's text."""

    def __init__(self, line):
        plain = re.sub(STRING, '""', line)
        head = re.match(r"%\d+ = (\w+)", plain)
        require(head, f"design.json: not a node: {line[:60]}")
        self.operator = head[1]
        self.inputs = []
        if arguments := re.match(r"%\d+ = \w+\(([^)]*)\)", plain):
            for value in arguments[1].split(","):
                node, _, output = value.strip().lstrip("%").partition(".")
                if node:
                    self.inputs.append((int(node), int(output or 0)))
        types = plain[plain.rindex(" : [") + 3 :].split("  //")[0]
        self.types = [Tensor(m) for m in TENSOR.finditer(types)]
        require(self.types, f"design.json: a node without a type: {line[:60]}")
        where = re.search(rf"  // ({STRING}) {STRING}(?: {STRING})?\s*$", line)
        self.layer = json.loads(where[1]) if where else ""
        self.text = plain

    def weights(self):
        """(groups, inputs, outputs, integers, frac) of a contraction."""
        found = re.search(
            r"weights = \[(\d+), (\d+), (\d+)\]:((?: -?\d+)*), frac = (-?\d+)\}", self.text
        )
        require(found, f"design.json: contraction of layer '{self.layer}' has no weights")
        groups, inputs, outputs = (int(found[i]) for i in (1, 2, 3))
        integers = [int(w) for w in found[4].split()]
        require(len(integers) == groups * inputs * outputs, f"{self.layer}: number of weights")
        return groups, inputs, outputs, integers, int(found[5])


def hull(form, ranges):
    """Lowest and highest value of a linear form over the inputs' ranges."""
    low = sum(c * (ranges[i][0] if c > 0 else ranges[i][1]) for i, c in form.items())
    high = sum(c * (ranges[i][1] if c > 0 else ranges[i][0]) for i, c in form.items())
    return [low, high]


def check_graph(name, graph):
    """An adder graph against its matrix, and the ranges of its values."""
    inputs, outputs = graph["inputs"], graph["outputs"]
    matrix = graph["weights"]
    require(len(matrix) == inputs * outputs, f"{name}: number of weights")
    ranges = [[int(end) for end in pair] for pair in graph["input_ranges"]]
    require(len(ranges) == inputs, f"{name}: number of input ranges")
    require(all(low <= high for low, high in ranges), f"{name}: an empty input range")
    forms = [{i: 1} for i in range(inputs)]

    def combine(*terms):
        form = {}
        for sign, value, shift in terms:
            require(0 <= value < len(forms), f"{name}: an addition of a later value")
            require(shift >= 0, f"{name}: a negative shift")
            for i, c in forms[value].items():
                form[i] = form.get(i, 0) + sign * (c << shift)
        return {i: c for i, c in form.items() if c}

    for a, shift_a, negate_a, b, shift_b, negate_b in graph["additions"]:
        require(not (negate_a and negate_b), f"{name}: both terms of an addition negated")
        forms.append(
            combine((-1 if negate_a else 1, a, shift_a), (-1 if negate_b else 1, b, shift_b))
        )
    require(len(graph["results"]) == outputs, f"{name}: number of results")
    for o, (value, shift, negate) in enumerate(graph["results"]):
        form = {} if value == -1 else combine((-1 if negate else 1, value, shift))
        column = {i: matrix[i * outputs + o] for i in range(inputs) if matrix[i * outputs + o]}
        require(form == column, f"{name}: output {o} is not its column of the matrix")
    stated = [[int(end) for end in pair] for pair in graph["value_ranges"]]
    require(len(stated) == len(forms), f"{name}: number of value ranges")
    for v, (form, pair) in enumerate(zip(forms, stated, strict=True)):
        require(hull(form, ranges) == pair, f"{name}: the range of value {v} is not {pair}")


def expected_contractions(nodes):
    """What each contraction of the model asks for: one entry for rows of equal form, in order."""
    for node in nodes:
        if node.operator != "contract":
            continue
        groups, length, outputs, weights, frac = node.weights()
        x, y = (nodes[node.inputs[0][0]].types[node.inputs[0][1]], node.types[0])
        forms = {}
        for row in range(x.count // length if length else 0):
            formats = tuple(x.at(row * length + k)[:3] for k in range(length))
            forms.setdefault((row % groups, formats), []).append(row)
        for (group, formats), rows in forms.items():
            matrix = []
            for k in range(length):
                for o in range(outputs):
                    power = y.at(rows[0] * outputs + o)[0] - frac - formats[k][0]
                    weight = weights[(group * length + k) * outputs + o]
                    matrix.append(weight * Fraction(2) ** power)
            ranges = [[str(low), str(high)] for _, low, high in formats]
            yield node.layer, length, outputs, matrix, ranges, len(rows)


def check_model(certificate, design):
    """Contractions and ranges against the model."""
    nodes = [Node(line) for line in design["model"] if re.match(r"%\d+ = ", line)]
    expected = list(expected_contractions(nodes))
    graphs = certificate["contractions"]
    require(len(graphs) == len(expected), "not one adder graph for each contraction of the model")
    for graph, (layer, inputs, outputs, matrix, ranges, copies) in zip(
        graphs, expected, strict=True
    ):
        require(graph["layer"] == layer, f"an adder graph of {graph['layer']}, not of {layer}")
        require([graph["inputs"], graph["outputs"]] == [inputs, outputs], f"{layer}: extents")
        require(graph["weights"] == matrix, f"{layer}: the matrix is not the model's")
        require(graph["input_ranges"] == ranges, f"{layer}: input ranges are not the model's")
        require(graph["copies"] == copies, f"{layer}: the model has {copies} rows")
    rows = certificate["ranges"]["layers"]
    require(len(rows) == len(nodes), "not one range for each layer of the model")
    for node, row in zip(nodes, rows, strict=True):
        require(row["operator"] == node.operator, f"{node.layer}: operator of the range")
        formats = [f for tensor in node.types for f in tensor.formats]
        # The certificate's hull always holds zero.
        low = min([0, *(f[1] for f in formats)])
        high = max([0, *(f[2] for f in formats)])
        require([int(row["low"]), int(row["high"])] == [low, high], f"{node.layer}: range")
        require(row["width"] == max(f[3] for f in formats), f"{node.layer}: width")
        wraps = node.operator == "quantize" and "overflow = wrap" in node.text
        require(row["may_wrap"] == wraps, f"{node.layer}: may_wrap")


def check_counts(certificate):
    """Counts, comparisons and verdict."""
    graphs = certificate["adder_graphs"]
    require(graphs["count"] == len(certificate["contractions"]), "the number of adder graphs")
    comparisons = certificate["comparisons"]
    done = [row for row in comparisons if "skipped" not in row]
    require(any(row["level"] == "bits" for row in done), "emulator and bits were not compared")
    for row in done:
        require(row["samples"] > 0, f"{row['level']}: compared without samples")
    equal = (
        certificate["files_as_derived"] is True
        and graphs["not_proven"] == 0
        and certificate["tables"]["wrong"] == 0
        and all(row["mismatches"] == 0 for row in done)
    )
    for row in done:
        require(row["mismatches"] == 0, f"{row['level']}: {row['mismatches']} mismatches")
    require(equal, "files, adder graphs or tables are not as they should be")
    require(certificate["verdict"] == "equal", f"the verdict is '{certificate['verdict']}'")
    return [row["level"] for row in done]


def check(folder):
    """Checks a design folder; gives the sentence to print."""
    certificate = json.loads((folder / "certificate.json").read_text())
    design = json.loads((folder / "design.json").read_text())
    require(certificate["format"] == "gatewright certificate 1", "unknown format")
    require(certificate["name"] == design["name"], "the certificate is of another design")
    for number, graph in enumerate(certificate["contractions"]):
        check_graph(f"adder graph {number} ({graph['layer']})", graph)
    check_model(certificate, design)
    levels = check_counts(certificate)
    additions = sum(len(graph["additions"]) for graph in certificate["contractions"])
    return (
        f"certificate holds: {len(certificate['contractions'])} adder graphs with {additions} "
        f"additions, {len(certificate['ranges']['layers'])} ranges, compared: {', '.join(levels)}"
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
