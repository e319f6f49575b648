"""Deeper sums where the clock leaves time for them: never more stages, tables and registers."""

from pathlib import Path

import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples/digits/digits_mlp.onnx"
FIXTURES = ROOT / "tests/fixtures"
ASKED = [
    {"clock_period": 6},
    {"clock_period": 10},
    {"stages": 4},
    {"clock_period": 12, "latency": 8},
]


def cost(written):
    return written["estimate"]["luts"] + written["timing"]["register_bits"]


def convert(folder, **options):
    return gatewright.convert(MODEL, folder, target="ecp5", **options)


@pytest.mark.parametrize("asked", ASKED)
def test_no_stage_is_added_and_nothing_gets_larger(tmp_path, asked):
    shallow = convert(tmp_path / "shallow", extra_depth=0, **asked)
    found = convert(tmp_path / "found", **asked)
    assert found["settings"]["extra_depth"] == "auto"
    assert found["timing"]["stages"] == shallow["timing"]["stages"]
    period = asked.get("clock_period", 1.04 * shallow["timing"]["estimated_critical_path_ns"])
    assert found["timing"]["estimated_critical_path_ns"] <= period
    deeper = any(found["settings"]["deeper"])
    assert cost(found) < cost(shallow) if deeper else cost(found) == cost(shallow)


@pytest.mark.parametrize("name", ["dense_ternary", "dense_float_scales", "two_outputs"])
def test_time_that_is_left_is_used(tmp_path, name):
    asked = {"target": "ecp5", "clock_period": 8}
    model = FIXTURES / f"{name}.onnx"
    shallow = gatewright.convert(model, tmp_path / "shallow", extra_depth=0, **asked)
    found = gatewright.convert(model, tmp_path / "found", **asked)
    assert any(found["settings"]["deeper"])
    assert found["timing"]["stages"] == shallow["timing"]["stages"]
    assert cost(found) < cost(shallow)
    # The folder says what was found: the same circuit comes out of it.
    assert gatewright.verify(tmp_path / "found")["verdict"] == "equal"


def test_without_registers_between_stages_sums_stay_shallow(tmp_path):
    found = convert(tmp_path / "found")
    assert found["settings"]["deeper"] == []
    assert found["estimate"] == convert(tmp_path / "shallow", extra_depth=0)["estimate"]
