"""The operations of the bits level against Python's integers, from the text form alone."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("GATEWRIGHT_BUILD", "build/release")

# The one rule of ops.def: the exact result on unbounded integers, then reduced into the type.
OPERATIONS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "shl": lambda a, n: a << n,
    "shr": lambda a, n: a >> n,
    "bit_and": lambda a, b: a & b,
    "bit_or": lambda a, b: a | b,
    "bit_xor": lambda a, b: a ^ b,
    "bit_not": lambda a: ~a,
    "equal": lambda a, b: int(a == b),
    "less": lambda a, b: int(a < b),
    "mux": lambda c, a, b: a if c else b,
    "cast": lambda a: a,
}

NODE = re.compile(r"%\d+ = (\w+)((?: %\d+)*)( -?\d+)? : ([su])(\d+)(?: @\d+)?$")


def reduced(value, sign, width):
    value &= (1 << width) - 1
    return value - (1 << width) if sign == "s" and width and value >> (width - 1) else value


class Function:
    """A function read from its text form."""

    def __init__(self, lines):
        self.tables = [
            list(map(int, line.split("=")[1].split())) for line in lines if line.startswith("table")
        ]
        self.outputs = [int(line.split("%")[1]) for line in lines if line.startswith("output")]
        self.nodes = []
        for line in lines:
            if line.startswith("%"):
                op, operands, immediate, sign, width = NODE.match(line).groups()
                operands = [int(x) for x in operands.replace("%", "").split()]
                self.nodes.append((op, operands, int(immediate or 0), sign, int(width)))

    def __call__(self, inputs):
        values = []
        for op, operands, immediate, sign, width in self.nodes:
            x = [values[i] for i in operands]
            if op == "input":
                value = inputs[immediate]
                assert value == reduced(value, sign, width)
            elif op == "constant":
                value = immediate
                assert value == reduced(value, sign, width)
            elif op == "read":
                value = self.tables[immediate][x[0]]
            elif op in ("shl", "shr"):
                value = OPERATIONS[op](x[0], immediate)
            else:
                value = OPERATIONS[op](*x)
            values.append(reduced(value, sign, width))
        return [values[i] for i in self.outputs]


def cases(text):
    lines = iter(text.splitlines())
    for line in lines:
        assert line.startswith("case "), line
        name = line[5:]
        function = []
        while (line := next(lines)) != "values":
            function.append(line)
        samples = []
        while (line := next(lines)) != "end":
            before, after = line.split("->")
            samples.append((list(map(int, before.split())), list(map(int, after.split()))))
        yield name, Function(function), samples


@pytest.fixture(scope="module")
def printed():
    program = BUILD / "tests" / "bits_cases"
    assert program.exists(), f"build the target bits_cases first ({program} is missing)"
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout


def test_bits_against_python_integers(printed):
    count = 0
    operations = set()
    for name, function, samples in cases(printed):
        operations |= {node[0] for node in function.nodes}
        for inputs, outputs in samples:
            assert function(inputs) == outputs, f"{name}: {inputs}"
            count += 1
    assert operations == set(OPERATIONS) | {"input", "constant", "read"}
    assert count > 40_000


def test_a_wrong_value_is_seen(printed):
    name, function, samples = next(cases(printed))
    inputs, outputs = samples[0]
    assert function(inputs) != [value + 1 for value in outputs], name
