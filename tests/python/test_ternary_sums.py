"""Sums of three operands in one carry chain, where the device family has them."""

import json
import re

import pytest
from conftest import ROOT

MODEL = ROOT / "tests/fixtures/dense_relu_quant.onnx"


@pytest.fixture(scope="module")
def design(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ternary") / "design"
    made = run("convert", MODEL, "-o", folder, "--target", "xcup", "--stages", "2")
    assert made.returncode == 0, made.stderr
    return folder


def chains(folder):
    text = "".join(file.read_text() for file in (folder / "verilog").glob("*.v"))
    return len(re.findall(r"\.THREE\(1\)", text))


def mismatches(run, folder):
    """By level, after `verify`; what was left out has none."""
    result = run("verify", folder, "--samples", "50")
    assert result.returncode == 0, result.stdout + result.stderr
    certificate = json.loads((folder / "certificate.json").read_text())
    return {
        level["level"]: level["mismatches"]
        for level in certificate["comparisons"]
        if "skipped" not in level
    }


@pytest.mark.parametrize("family", ["xcup", "xc7", "ecp5"])
def test_the_netlist_gives_the_same(run, design, family):
    """Primitives on AMD devices; elsewhere what the design has for them, as plain sums."""
    assert chains(design) > 0
    made = run("synthesize", design, "--target", family)
    if "GW0501" in made.stderr:
        pytest.skip("no Yosys")
    assert made.returncode == 0, made.stderr
    cells = json.loads((design / "reports/synthesis.json").read_text())["total"]["cells"]
    assert (cells.get("LUT6_2", 0) > 0) == (family != "ecp5")
    found = mismatches(run, design)
    if not {"verilog", "netlist"} <= found.keys():
        pytest.skip("no simulator")
    assert set(found.values()) == {0}


def test_other_families_have_none(run, tmp_path):
    for target in ("generic", "ecp5"):
        made = run("convert", MODEL, "-o", tmp_path / target, "--target", target)
        assert made.returncode == 0, made.stderr
        assert chains(tmp_path / target) == 0
        assert not (tmp_path / target / "verilog/gatewright_sum.v").exists()
