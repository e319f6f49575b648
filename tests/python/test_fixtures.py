"""Every model of tests/fixtures, against its exact expectations."""

import json
from pathlib import Path

import numpy as np
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
CASES = json.loads((FIXTURES / "fixtures.json").read_text())


def arrays(stored, letter, names):
    """Arrays of the .npz in the order of the names: x, or x0, x1, ..."""
    keys = [letter] if letter in stored else [f"{letter}{i}" for i in range(len(names))]
    return [stored[key] for key in keys]


def check(case, outputs, expected, bounds):
    assert list(outputs) == case["outputs"]
    for y, reference in zip(outputs.values(), expected, strict=True):
        assert y.shape == reference.shape
        if case["kind"] == "exact":
            different = np.flatnonzero(y != reference.astype(np.float32))
            assert different.size == 0, f"{different.size} of {y.size} values differ"
        else:
            # The bound holds for the real number; what is read is rounded once more, to float32.
            bound = max(bounds) + np.spacing(np.abs(reference).max().astype(np.float32))
            assert np.abs(y.astype(np.float64) - reference).max() <= bound


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_fixture(case, tmp_path):
    stored = np.load(FIXTURES / f"{case['name']}.npz")
    inputs = dict(zip(case["inputs"], arrays(stored, "x", case["inputs"]), strict=True))
    expected = arrays(stored, "y", case["outputs"])
    file = FIXTURES / f"{case['name']}.onnx"
    bounds = [0.0]
    if case["kind"] != "exact":
        design = gatewright.convert(file, tmp_path / "design")
        bounds += [a["bound"] for a in design["approximations"]]
    check(case, gatewright.predict(file, inputs), expected, bounds)


SMALL = [case for case in CASES if not case["name"].startswith(("rounding_", "function_"))]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case["name"])
def test_fixture_as_a_design(case, tmp_path):
    """The design folder alone gives the same numbers, and its circuit is proven."""
    stored = np.load(FIXTURES / f"{case['name']}.npz")
    inputs = dict(zip(case["inputs"], arrays(stored, "x", case["inputs"]), strict=True))
    file = FIXTURES / f"{case['name']}.onnx"
    gatewright.convert(file, tmp_path / "design", clock_period=8)
    direct = gatewright.predict(file, inputs)
    stored_design = gatewright.predict(tmp_path / "design", inputs)
    assert list(direct) == list(stored_design)
    for name, y in direct.items():
        assert (y == stored_design[name]).all()
