"""The core operators of a model's text (design.json) and their interval rules.

Written from the operators' formulas, sharing no code with Gatewright; check_certificate.py uses it.
"""

import json
import re
from bisect import bisect_right
from itertools import product
from math import prod

FIXED = r"(u?)fixed<(\d+),(-?\d+)>(?: in \[(-?\d+), (-?\d+)\])?"
PLAIN = r"u?fixed<\d+,-?\d+>(?: in \[-?\d+, -?\d+\])?"
TENSOR = re.compile(rf"\[([\d, ]*)\] (?:per (\d+) \(({PLAIN}(?:; {PLAIN})*)\)|({PLAIN}))")
STRING = r'"(?:[^"\\]|\\.)*"'
FIELD = re.compile(r"(\w+) = ((?:[^,{}()\[\]<>]|\{[^}]*\}|\[[^\]]*\]|<[^>]*>|\([^)]*\))*)")


class Wrong(Exception):
    """The certificate is not what it should be."""


def require(condition, what):
    if not condition:
        raise Wrong(what)


class Format:
    """Of one element: binary point, range of the integer, width and range of its type."""

    def __init__(self, match):
        unsigned, self.width, self.frac = match[1] == "u", int(match[2]), int(match[3])
        self.type = limits(not unsigned, self.width)
        self.range = self.type if match[4] is None else (int(match[4]), int(match[5]))
        self.key = (self.frac, self.range)


class Tensor:
    """The type of a tensor: its shape and the format of every element."""

    def __init__(self, match):
        self.shape = [int(n) for n in match[1].split(",") if n.strip()]
        self.count = prod(self.shape)
        self.inner = int(match[2] or 1)
        self.formats = [Format(m) for m in re.finditer(FIXED, match[3] or match[4])]

    def at(self, element):
        return self.formats[element // self.inner % len(self.formats)]

    def each(self):
        return [self.at(e) for e in range(self.count)]


class PerElement:
    """A field that may differ from element to element."""

    def __init__(self, text, parse):
        found = re.fullmatch(r"per (\d+) \((.*)\)", text)
        self.inner = int(found[1]) if found else 1
        self.values = [parse(part) for part in (found[2].split("; ") if found else [text])]

    def at(self, element):
        return self.values[element // self.inner % len(self.values)]


def limits(signed, width):
    """The integers of a type of this many bits."""
    half = 2 ** (width - 1) if signed and width else 0
    return (-half, half - 1 if half else 0) if signed else (0, 2**width - 1)


def integers(text):
    return [int(n) for n in re.findall(r"-?\d+", text)]


class Node:
    """One line of the model's text."""

    def __init__(self, line):
        plain = re.sub(STRING, '""', line)
        head = re.match(r"%\d+ = (\w+)(?:\(([^)]*)\))?", plain)
        require(head, f"design.json: not a node: {line[:60]}")
        self.operator = head[1]
        self.inputs = []
        for value in (head[2] or "").split(","):
            node, _, output = value.strip().lstrip("%").partition(".")
            if node:
                self.inputs.append((int(node), int(output or 0)))
        split = plain.rindex(" : [")
        self.types = [Tensor(m) for m in TENSOR.finditer(plain[split + 3 :].split("  //")[0])]
        require(self.types, f"design.json: a node without a type: {line[:60]}")
        where = re.search(rf"  // ({STRING}) {STRING}(?: {STRING})?\s*$", line)
        self.layer = json.loads(where[1]) if where else ""
        self.fields = dict(FIELD.findall(plain[head.end() : split].strip()[1:-1]))
        self.name = json.loads(re.search(STRING, line)[0]) if self.operator == "input" else ""
        self.mode = re.search(r'mode = "(\w+)"', line)[1] if self.operator == "pad" else ""

    def list(self, field):
        return integers(self.fields[field])

    def tensor(self, field):
        """(shape, integers) of a field."""
        shape, _, values = self.fields[field].partition("]:")
        return integers(shape), [int(v) for v in values.split()]

    def per_element(self, field, parse=int):
        return PerElement(self.fields[field], parse)

    def weights(self):
        """(groups, inputs, outputs, integers, frac) of a contraction."""
        (groups, inputs, outputs), values = self.tensor("weights")
        require(len(values) == groups * inputs * outputs, f"{self.layer}: number of weights")
        return groups, inputs, outputs, values, int(self.fields["frac"])


# Moves: for each element of the result the input and element it is, or None for zero.


def positions(shape):
    return product(*(range(extent) for extent in shape))


def strides_of(shape):
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def broadcast_index(shape, to):
    """The element of a tensor of `shape` for each element of one of shape `to`."""
    strides = strides_of(shape)
    offset = len(to) - len(shape)
    return [
        sum(p[offset + i] * s for i, s in enumerate(strides) if shape[i] > 1) for p in positions(to)
    ]


def clip_to(value, low, high):
    return max(low, min(high, value))


def pad_sources(node, shape, strides):
    before, mode = node.list("before"), node.mode
    out = []
    for position in positions(node.types[0].shape):
        at = [p - b for p, b in zip(position, before, strict=True)]
        if mode == "zero" and any(not 0 <= a < extent for a, extent in zip(at, shape, strict=True)):
            out.append(None)
            continue
        for i, extent in enumerate(shape):
            if mode == "edge":
                at[i] = clip_to(at[i], 0, extent - 1)
            else:
                at[i] = -at[i] if at[i] < 0 else min(at[i], 2 * (extent - 1) - at[i])
        out.append((0, sum(a * s for a, s in zip(at, strides, strict=True))))
    return out


def window_sources(node, shape, strides):
    kernel, step, dilation, before = map(node.list, ("kernel", "strides", "dilations", "before"))
    clip = node.fields["clip"] == "true"
    taps = list(positions(kernel))
    out = []
    for *place, last in positions(node.types[0].shape):
        element = last // len(taps) * strides[0]
        for i, tap in enumerate(taps[last % len(taps)]):
            first = place[i] * step[i] - before[i]
            at, extent = first + tap * dilation[i], shape[i + 1]
            if clip and not 0 <= at < extent:
                inside = [first + t * dilation[i] for t in range(kernel[i])]
                inside = [a for a in inside if 0 <= a < extent]
                if inside:
                    at = min(inside) if at < 0 else max(inside)
            if not 0 <= at < extent:
                out.append(None)
                break
            element += at * strides[i + 1]
        else:
            out.append((0, element))
    return out


def sources(node, inputs):
    """For each element of a move's result (input, element), or None for zero."""
    shape = inputs[0].shape
    strides = strides_of(shape)
    target = node.types[0].shape
    match node.operator:
        case "reshape":
            return [(0, e) for e in range(inputs[0].count)]
        case "transpose":
            moved = [strides[axis] for axis in node.list("permutation")]
            return [
                (0, sum(p * s for p, s in zip(position, moved, strict=True)))
                for position in positions(target)
            ]
        case "slice":
            starts, steps = node.list("starts"), node.list("steps")
            first = sum(a * s for a, s in zip(starts, strides, strict=True))
            moved = [a * s for a, s in zip(steps, strides, strict=True)]
            return [
                (0, first + sum(p * s for p, s in zip(position, moved, strict=True)))
                for position in positions(target)
            ]
        case "concat":
            axis = int(node.fields["axis"])
            blocks = [prod(tensor.shape[axis:]) for tensor in inputs]
            return [
                (i, outer * block + e)
                for outer in range(prod(target[:axis]))
                for i, block in enumerate(blocks)
                for e in range(block)
            ]
        case "expand":
            return [(0, e) for e in broadcast_index(shape, target)]
        case "pad":
            return pad_sources(node, shape, strides)
        case "index":
            return [(0, e) for e in node.tensor("index")[1]]
        case "window":
            return window_sources(node, shape, strides)
    return None


# Interval rules: from the ranges of operands to the range of the result. Each is exact, so that on
# single integers ([n, n]) it is the operator itself: the same rules evaluate an input.


def moved_point(value, up, what):
    """The integer at a binary point `up` bits further left or right; it must be an integer."""
    require(up >= 0 or value % 2**-up == 0, f"{what}: bits would be lost")
    return value << up if up >= 0 else value >> -up


def rounded(value, dropped, rounding):
    """value / 2^dropped, rounded."""
    if dropped <= 0:
        return value << -dropped
    floor, rest = value >> dropped, value % 2**dropped
    twice, one = 2 * rest, 2**dropped
    up = {
        "floor": False,
        "ceil": rest > 0,
        "toward_zero": rest > 0 and value < 0,
        "away": rest > 0 and value > 0,
        "half_up": twice >= one,
        "half_down": twice > one,
        "half_even": twice > one or (twice == one and floor % 2 == 1),
        "half_away": twice > one or (twice == one and value > 0),
        "half_zero": twice > one or (twice == one and value < 0),
    }[rounding]
    return floor + up


def fixed_type(text):
    found = re.fullmatch(r"(u?)fixed<(\d+),(-?\d+)>", text)
    return found[1] != "u", int(found[2]), int(found[3])


class Quantizer:
    """The fields of a quantize node."""

    def __init__(self, node):
        self.types = node.per_element("type", fixed_type)
        self.rounding = node.fields["rounding"]
        self.overflow = node.fields["overflow"]

    def limits(self, element):
        signed, width, _ = self.types.at(element)
        low, high = limits(signed, width)
        symmetric = self.overflow == "saturate_symmetric" and signed and width
        return (-high if symmetric else low), high

    def before(self, element, frac, ends):
        """A range, or integers, after rounding and before the overflow."""
        dropped = frac - self.types.at(element)[2]
        return tuple(rounded(n, dropped, self.rounding) for n in ends)

    def after(self, element, frac, ends):
        low, high = self.before(element, frac, ends)
        least, most = self.limits(element)
        if least <= low and high <= most:
            return low, high
        if self.overflow != "wrap":
            return clip_to(low, least, most), clip_to(high, least, most)
        span = most - least + 1
        start = (low - least) % span + least
        if start + high - low <= most:
            return start, start + high - low
        unit = 2 ** max(0, self.types.at(element)[2] - frac)
        return least, most // unit * unit


def map_rule(node):
    """(element, frac of the operand, its range) -> range of a map of one operand."""
    match node.operator:
        case "affine":
            factor, addend = node.per_element("multiplier"), node.per_element("addend")
            return lambda e, _, r: ordered(n * factor.at(e) + addend.at(e) for n in r)
        case "quantize":
            return Quantizer(node).after
        case "clamp":
            bounds = node.per_element("range", integers)
            return lambda e, _, r: tuple(clip_to(n, *bounds.at(e)) for n in r)
        case "leaky":
            negative, positive = node.per_element("negative"), node.per_element("positive")
            return lambda e, _, r: ordered(
                n * (negative if n < 0 else positive).at(e)
                for n in (*r, *(n for n in (-1, 0) if r[0] <= n <= r[1]))
            )
        case "absolute":
            return lambda e, _, r: ordered(
                abs(n) for n in (*r, *((0,) if r[0] <= 0 <= r[1] else ()))
            )
        case "thresholds":
            edges = node.per_element("thresholds", integers)
            base, step = node.per_element("base"), node.per_element("step")
            return lambda e, _, r: ordered(
                base.at(e) + step.at(e) * bisect_right(edges.at(e), n) for n in r
            )
        case "table":
            low, words = node.per_element("low"), node.per_element("words", integers)

            def look_up(e, _, r):
                first, last = r[0] - low.at(e), r[1] - low.at(e)
                require(0 <= first <= last < len(words.at(e)), f"{node.layer}: table too short")
                return ordered(words.at(e)[first : last + 1])

            return look_up
    return None


def ordered(values):
    values = list(values)
    return min(values), max(values)


BINARY = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "subtract": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "multiply": lambda a, b: ordered(x * y for x in a for y in b),
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
}


def ranked(row, smallest, last):
    """For each position of a row its lowest and highest place in the order of the row."""
    if smallest:
        row = [(-high, -low) for low, high in row]
    order = range(len(row))

    def ahead(a, j, b, i):  # whether a at j comes before b at i
        return a > b or (a == b and (j > i if last else j < i))

    return [
        (
            sum(ahead(row[j][0], j, row[i][1], i) for j in order if j != i),
            sum(ahead(row[j][1], j, row[i][0], i) for j in order if j != i),
        )
        for i in order
    ]


class Accumulator:
    """The fields of a row_accumulate node: a quantiser that each sum of a row goes through."""

    def __init__(self, node):
        kind, self.rounding, self.overflow = node.fields["accumulator"].split(" ")
        self.type = fixed_type(kind)
        (self.products, self.columns), self.weights = node.tensor("weights")
        _, self.initial = node.tensor("initial")
        self.fracs = int(node.fields["frac"]), int(node.fields["initial_frac"])

    def limits(self, _):
        signed, width, _ = self.type
        low, high = limits(signed, width)
        symmetric = self.overflow == "saturate_symmetric" and signed and width
        return (-high if symmetric else low), high

    def after(self, ends):
        low, high = ends
        least, most = self.limits(0)
        if self.overflow != "wrap":
            return clip_to(low, least, most), clip_to(high, least, most)
        start = (low - least) % (most - least + 1) + least
        fits = start + high - low <= most
        return (start, start + high - low) if fits else (least, most)

    def sums(self, column, frac, row):
        """(number of the product, range before the overflow, and after it), one by one.

        All operands of the row are at the binary point `frac`.
        """
        point = max(frac + self.fracs[0], self.type[2])
        first = rounded(self.initial[column], self.fracs[1] - self.type[2], self.rounding)
        held = self.after((first, first))
        yield -1, held, held
        for k, r in enumerate(row):
            weight = self.weights[k * self.columns + column] << (point - frac - self.fracs[0])
            if weight:
                product = ordered(weight * n for n in r)
                total = (h << (point - self.type[2]) for h in held)
                before = tuple(
                    rounded(t + p, point - self.type[2], self.rounding)
                    for t, p in zip(total, product, strict=True)
                )
                held = self.after(before)
                yield k, before, held


def row_rule(node, row, frac):
    """Ranges of the results of one row, one list for each output of the node."""
    lows, highs = [r[0] for r in row], [r[1] for r in row]
    match node.operator:
        case "row_accumulate":
            a = Accumulator(node)
            return [[list(a.sums(o, frac, row))[-1][2] for o in range(a.columns)]]
        case "row_sum":
            return [[(sum(lows), sum(highs))]]
        case "row_max":
            return [[(max(lows), max(highs))]]
        case "row_min":
            return [[(min(lows), min(highs))]]
    smallest = node.fields["smallest"] == "true"
    places = ranked(row, smallest, node.fields.get("last") == "true")

    def at_place(p):
        return [i for i, (first, last) in enumerate(places) if first <= p <= last]

    if node.operator == "row_argmax":
        return [[ordered(at_place(0))]]
    if node.operator == "row_top_k":
        count = range(int(node.fields["k"]))
        lows.sort(reverse=not smallest)
        highs.sort(reverse=not smallest)
        return [[(lows[p], highs[p]) for p in count], [ordered(at_place(p)) for p in count]]
    raise Wrong(f"{node.layer}: operator {node.operator} is not known")


def contraction_rows(node, x):
    """For each row: (matrix of fractions by output, as lists over inputs), shared where equal."""
    groups, length, outputs, weights, frac = node.weights()
    y = node.types[0]
    known = {}
    for row in range(x.count // length if length else 0):
        formats = tuple(x.at(row * length + k).key for k in range(length))
        key = (row % groups, formats)
        if key not in known:
            first = row % groups * length
            columns = []
            for o in range(outputs):
                columns.append([])
                for k in range(length):
                    weight = weights[(first + k) * outputs + o]
                    power = y.at(row * outputs + o).frac - frac - formats[k][0]
                    columns[o].append(moved_point(weight, power, node.layer) if weight else 0)
            known[key] = (columns, [])
        known[key][1].append(row)
    return length, outputs, list(known.values())


def contract_rule(node, x, ranges):
    length, outputs, forms = contraction_rows(node, x)
    out = [None] * node.types[0].count
    for columns, rows in forms:
        done = {}
        for row in rows:
            part = tuple(ranges[row * length : (row + 1) * length])
            if part not in done:
                done[part] = [
                    (
                        sum(c * (r[0] if c > 0 else r[1]) for c, r in zip(cs, part, strict=True)),
                        sum(c * (r[1] if c > 0 else r[0]) for c, r in zip(cs, part, strict=True)),
                    )
                    for cs in columns
                ]
            out[row * outputs : (row + 1) * outputs] = done[part]
    return out


def results(node, types, ranges):
    """The ranges of all outputs of a node from the types and ranges of its operands."""
    y = node.types[0]
    if node.operator == "fixed_constant":
        shape, values = node.tensor("value")
        index = broadcast_index(shape, y.shape)
        return [[(values[e], values[e]) for e in index]]
    if node.operator == "contract":
        return [contract_rule(node, types[0], ranges[0])]
    if (places := sources(node, types)) is not None:
        return [[ranges[p[0]][p[1]] if p else (0, 0) for p in places]]
    if (rule := map_rule(node)) is not None:
        index = broadcast_index(types[0].shape, y.shape)
        return [[rule(e, types[0].at(i).frac, ranges[0][i]) for e, i in enumerate(index)]]
    if node.operator in BINARY:
        out = []
        index = [broadcast_index(t.shape, y.shape) for t in types]
        for e, (i, j) in enumerate(zip(*index, strict=True)):
            fracs = (types[0].at(i).frac, types[1].at(j).frac)
            points = fracs if node.operator == "multiply" else (y.at(e).frac,) * 2
            require(
                node.operator != "multiply" or sum(fracs) == y.at(e).frac,
                f"{node.layer}: binary point of a product",
            )
            a, b = (
                tuple(moved_point(n, p - f, node.layer) for n in r)
                for r, p, f in zip((ranges[0][i], ranges[1][j]), points, fracs, strict=True)
            )
            out.append(BINARY[node.operator](a, b))
        return [out]
    x, length = types[0], types[0].shape[-1]
    out = [[] for _ in node.types]
    for first in range(0, x.count, length):
        point = max(x.at(e).frac for e in range(first, first + length))
        row = [
            tuple(moved_point(n, point - x.at(e).frac, node.layer) for n in ranges[0][e])
            for e in range(first, first + length)
        ]
        for i, part in enumerate(row_rule(node, row, point)):
            if node.operator == "row_accumulate":
                out[i] += part
                continue
            values = node.operator != "row_argmax" and i == 0
            for r in part:
                to = node.types[i].at(len(out[i])).frac
                move = to - point if values else to
                out[i].append(tuple(moved_point(n, move, node.layer) for n in r))
    return out
