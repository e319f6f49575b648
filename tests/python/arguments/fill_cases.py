"""Finds models for rows that have none: a case with the layer, and a value that is as stated there.

    python fill_cases.py FRAMEWORK [LAYER ...]    needs the built package in PYTHONPATH

A row that no model can test keeps its reason; a row that has a case stays as it is.
"""

import argparse
import ast
import json
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import list_arguments

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import layer_cases
import test_arguments
from argument_models import FRAMEWORKS

TEXTS = [
    *("tanh", "same", "valid", "causal", "channels_first", "channels_last", "reflect", "replicate"),
    *("sum", "mean", "amax", "ij", "xy", "sigmoid", "relu", "nearest", "bilinear", "concat"),
]


REQUIRED = object()


def parsed(text):
    """The value of a default, REQUIRED if there is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return REQUIRED


def holds_bytes(value):
    """Whether a value of ONNX is text, or a list of texts."""
    return isinstance(value, bytes) or (isinstance(value, list) and any(map(holds_bytes, value)))


def proposals(own, default):
    """Values to try for an argument that has `own`, or that is left out."""
    base = default if own is None else own
    values = [] if own is None or default is REQUIRED else [default]
    if isinstance(base, bool):
        values += [not base]
    elif isinstance(base, int):
        values += [base + 1, base - 1, 0, 1, 2, 3]
    elif isinstance(base, float):
        values += [base + 0.125, base * 2, base + 1]
    elif isinstance(base, str):
        values += TEXTS
    elif isinstance(base, list | tuple) and all(isinstance(v, int | float) for v in base):
        values += [[v + 1 for v in base], [v - 1 for v in base], [*base[1:], *base[:1]], base[:-1]]
    elif base is None or base is REQUIRED:
        values += [1, 0, 2, True, 0.5, [1], [0], [2, 2], "tanh"]
    plain = [json.loads(json.dumps(v)) for v in values if not holds_bytes(v)]
    return [v for i, v in enumerate(plain) if v != own and v not in plain[:i]]


class Filler:
    """The cases of a framework by layer, and what they say of a row."""

    def __init__(self, framework, folder):
        self.framework = framework
        self.probe = test_arguments.Probe(framework, folder)
        self.cases = defaultdict(list)
        for name, case in test_arguments.cases_of(framework).items():
            if case["expect"] == "match":
                model = FRAMEWORKS[framework](*layer_cases.model_files(case), folder)
                for layer in dict.fromkeys(layer for layer, _ in model.places):
                    self.cases[layer].append(name)

    def fill(self, row):
        """Gives a row its case and value; whether one was found."""
        cases = self.cases[row["layer"]]
        if not row["argument"]:
            cases = [name for name in cases if self.probe.model(name)[1][0] == "ok"]
            if cases:
                row.update(case=cases[0], reason="")
            return bool(cases)
        default = parsed(row["default"])
        erring = None  # a value that is an error: tests less than one that changes the result
        cases = [(self.own_value(name, row), name) for name in cases]
        for own, name in sorted(cases, key=lambda case: case[0] is None):
            model, before = self.probe.model(name)
            place = model.place_of(row["layer"], row["argument"])
            for value in proposals(own, default):
                row.update(case=name, values=json.dumps(value))
                if before[0] != "ok" or self.probe.check(row, Counter()):
                    continue
                if row["status"] == "used" and self.probe.nonsense(row, Counter()):
                    continue
                kind, _ = test_arguments.load(model.written(place, row["argument"], value))
                if row["status"] != "used" or kind == "ok":
                    return self.found(row)
                if own is not None:
                    erring = erring or (name, json.dumps(value))
        name, value = erring or ("", "")
        row.update(case=name, values=value)
        return self.found(row) if erring else False

    def own_value(self, name, row):
        """The value that a model has, None if it is left out."""
        model, _ = self.probe.model(name)
        return model.value_at(model.place_of(row["layer"], row["argument"]), row["argument"])

    @staticmethod
    def found(row):
        """A row that is used needs no reason besides its case."""
        if row["status"] == "used":
            row["reason"] = ""
        return True


def main():
    """Fills a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("layers", nargs="*", help="only these")
    given = parser.parse_args()
    rows = list_arguments.read_rows(given.framework)
    with tempfile.TemporaryDirectory() as folder:
        filler = Filler(given.framework, folder)
        for row in rows:
            if row["layer"] == list_arguments.EVERY or row["argument"] == "*" or row["case"]:
                continue
            if given.layers and row["layer"] not in given.layers:
                continue
            if not filler.fill(row):
                print(f"{row['layer']}.{row['argument']}: no case ({row['reason']})")
    list_arguments.write_rows(given.framework, rows)


if __name__ == "__main__":
    main()
