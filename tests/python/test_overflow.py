"""Where a model itself overflows: `verify` finds an input that does, or says that it found none."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")
np = pytest.importorskip("numpy")
helper = onnx.helper

ROOT = Path(__file__).resolve().parents[2]
CHECKER = ROOT / "tools/check_certificate.py"

# Irregular, so that no corner that is tried anyway is the one that overflows.
SIGNS = [1, 1, -1, 1, -1, -1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1]


class Net:
    """Dense layers with ReLU between them."""

    def __init__(self, *weights):
        self.weights = [np.array(w, np.float32) for w in weights]

    def save(self, path):
        nodes, constants, x = [], [], "x"
        for i, w in enumerate(self.weights, 1):
            constants.append(onnx.numpy_helper.from_array(w, f"w{i}"))
            nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"y{i}"], f"fc{i}"))
            x = f"y{i}"
            if i < len(self.weights):
                nodes.append(helper.make_node("Relu", [x], [f"r{i}"], f"relu{i}"))
                x = f"r{i}"
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", 1, ["n", self.weights[0].shape[0]])],
            [helper.make_tensor_value_info(x, 1, ["n", self.weights[-1].shape[1]])],
            constants,
        )
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)

    def before(self, x, layer, quantisers):
        """The real numbers that quantiser `layer` (0, 1, ...) gets; those before it are applied."""
        for i, w in enumerate(self.weights):
            x = [
                sum(Fraction(float(w[k, o])) * v for k, v in enumerate(x))
                for o in range(w.shape[1])
            ]
            if i + 1 < len(self.weights):
                x = [max(Fraction(0), v) for v in x]
            if i == layer:
                return x
            x = [wrapped(v, *quantisers[i]) for v in x]
        raise AssertionError


def wrapped(value, width, frac):
    """Rounded half to even, then modulo 2^width, as a signed number."""
    integer = round(value * 2**frac)
    half = 2 ** (width - 1)
    return Fraction((integer + half) % 2**width - half, 2**frac)


def verified(run, tmp_path, net, config, samples=100, status=0):
    """The certificate, and what was printed."""
    net.save(tmp_path / "net.onnx")
    (tmp_path / "types.yaml").write_text(config)
    folder = tmp_path / "design"
    made = run("convert", tmp_path / "net.onnx", "-o", folder, "--config", tmp_path / "types.yaml")
    assert made.returncode == 0, made.stderr
    result = run("verify", folder, "--samples", samples)
    assert result.returncode == status, result.stdout + result.stderr
    checked = subprocess.run(
        [sys.executable, CHECKER, folder], capture_output=True, text=True, check=False
    )
    assert checked.returncode == status, checked.stdout
    return json.loads((folder / "certificate.json").read_text()), result.stdout


def config_of(source, weight, *results, overflow="wrap"):
    lines = [f"model: {{weight: '{weight}', overflow: {overflow}}}", f"inputs: {{x: '{source}'}}"]
    lines.append("layers:")
    lines += [f"  {layer}: {{result: '{result}'}}" for layer, result in results]
    return "\n".join(lines) + "\n"


TWO_LAYERS = Net(
    [[1.75, -1, 0.5], [-0.75, 1.25, 1], [1.5, 0.25, -1.5], [0.25, -1.75, 1.25]],
    [[1.5, -0.5], [-1.25, 0.75], [1, 1.75]],
)


def test_a_wrap_is_shown_with_an_input(run, tmp_path):
    config = config_of("fixed<4,2>", "fixed<5,2>", ("relu1", "fixed<5,2>"), ("fc2", "fixed<6,2>"))
    certificate, printed = verified(run, tmp_path, TWO_LAYERS, config)
    assert certificate["verdict"] == "equal"
    quantisers = [(5, 2), (6, 2)]
    assert [row["layer"] for row in certificate["overflow"]] == ["relu1", "fc2"]
    for layer, row in enumerate(certificate["overflow"]):
        width, frac = quantisers[layer]
        assert row["overflow"] == "wrap"
        witness = row["witness"]
        x = [Fraction(n, 4) for n in witness["inputs"]["x"]]
        assert len(x) == 4
        assert all(-2 <= v < 2 for v in x)
        before = TWO_LAYERS.before(x, layer, quantisers)[witness["element"]]
        integer = round(before * 2**frac)
        assert integer == int(witness["before"])
        assert not -(2 ** (width - 1)) <= integer < 2 ** (width - 1)
        assert wrapped(before, width, frac) * 2**frac == int(witness["after"])
    lines = [line for line in printed.splitlines() if line.startswith("overflow: ")]
    assert len(lines) == 2
    assert "relu1" in lines[0]
    assert "an input in certificate.json wraps" in lines[0]


def test_nothing_wraps_where_types_are_wide(run, tmp_path):
    config = config_of("fixed<4,2>", "fixed<5,2>", ("relu1", "fixed<12,4>"), ("fc2", "fixed<16,6>"))
    certificate, printed = verified(run, tmp_path, TWO_LAYERS, config)
    # The lower bound of the ReLU has become the quantiser's own.
    assert [row["overflow"] for row in certificate["overflow"]] == ["saturate"]
    assert "overflow: nothing in the circuit can wrap\n" in printed


def test_the_only_input_that_wraps_is_found(run, tmp_path):
    """The sum of 16 bits with signs is 8 for one of 65536 inputs."""
    net = Net([[s] for s in SIGNS])
    config = config_of("ufixed<1,0>", "fixed<2,0>", ("fc1", "fixed<4,0>"))
    certificate, _ = verified(run, tmp_path, net, config)
    (row,) = certificate["overflow"]
    assert (row["range"], row["limits"]) == (["-8", "8"], ["-8", "7"])
    assert row["witness"]["inputs"]["x"] == [int(s > 0) for s in SIGNS]
    assert (row["witness"]["before"], row["witness"]["after"]) == ("8", "-8")


def test_an_input_behind_rounding_is_found(run, tmp_path):
    """One input more or less changes nothing of the rounded sum."""
    net = Net([[s / 16] for s in SIGNS])
    config = config_of("ufixed<4,0>", "fixed<6,5>", ("fc1", "fixed<4,0>"))
    certificate, _ = verified(run, tmp_path, net, config)
    (row,) = certificate["overflow"]
    x = row["witness"]["inputs"]["x"]
    total = sum(Fraction(s * v, 16) for s, v in zip(SIGNS, x, strict=True))
    assert round(total) == int(row["witness"]["before"]) == 8


def test_what_no_input_reaches_is_not_claimed_to_be_impossible(run, tmp_path):
    """x - x, which the ranges of two wires do not know to be zero."""
    net = Net([[1, 1]], [[1], [-1]])
    config = config_of("ufixed<4,0>", "fixed<2,0>", ("relu1", "fixed<8,0>"), ("fc2", "fixed<4,0>"))
    certificate, printed = verified(run, tmp_path, net, config)
    (row,) = certificate["overflow"]
    assert row["witness"] is None
    assert row["range"] == ["-15", "15"]
    assert f"not found in {row['tries']} tries" in printed
    assert row["tries"] > 100


def test_saturation_is_told(run, tmp_path):
    net = Net([[s] for s in SIGNS])
    types = ("fixed<2,0>", ("fc1", "fixed<3,0>"))
    config = config_of("fixed<4,0>", *types, overflow="saturate")
    certificate, printed = verified(run, tmp_path, net, config)
    (row,) = certificate["overflow"]
    assert row["overflow"] == "saturate"
    assert row["witness"]["after"] in ("-4", "3")
    assert "saturation: 1 places may saturate" in printed
    assert "overflow: nothing in the circuit can wrap\n" in printed


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (lambda row: row["witness"]["inputs"]["x"].__setitem__(0, 0), "the input gives"),
        (lambda row: row["witness"]["inputs"]["x"].__setitem__(0, 2), "out of range"),
        (lambda row: row["witness"]["inputs"]["x"].pop(), "another shape"),
        (lambda row: row["witness"].update(before="9"), "the input gives 8"),
        (lambda row: row["witness"].update(after="7"), "the result is -8"),
        (lambda row: row["range"].__setitem__(1, "9"), "range"),
        (lambda row: row.update(layer="fc2"), "layer"),
        (lambda row: row.update(overflow="saturate"), "mode"),
        (lambda row: row.update(elements=2), "number of elements"),
    ],
)
def test_an_altered_witness_is_refused(run, tmp_path, alter, why):
    net = Net([[s] for s in SIGNS])
    config = config_of("ufixed<1,0>", "fixed<2,0>", ("fc1", "fixed<4,0>"))
    certificate, _ = verified(run, tmp_path, net, config, samples=1)
    alter(certificate["overflow"][0])
    (tmp_path / "design/certificate.json").write_text(json.dumps(certificate))
    result = subprocess.run(
        [sys.executable, CHECKER, tmp_path / "design"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert why in result.stdout
