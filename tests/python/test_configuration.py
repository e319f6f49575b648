"""Types for float models: from a configuration, and from calibration samples."""

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/float_mlp"
MODEL = EXAMPLE / "float_mlp.onnx"
CALIBRATION = EXAMPLE / "calibration.npy"

EXPLICIT = """\
model:
  weight: fixed<12,9>
  bias: {width: 16, frac: 12, signed: true}
  result: fixed<14,8>
inputs:
  pixels: ufixed<5,4>
"""


def good(result):
    assert result.returncode == 0, result.stderr
    return result


def refused(result, *parts):
    assert result.returncode == 1, result.stdout
    assert "fault of Gatewright" not in result.stderr
    for part in parts:
        assert part in result.stderr
    return result.stderr


def description(folder):
    return json.loads((folder / "design.json").read_text())


def predicted(run, source, array, output, *options):
    good(run("predict", source, "-i", array, "-o", output, *options))
    return np.load(output)


@pytest.fixture(scope="module")
def calibrated(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated") / "design"
    good(run("convert", MODEL, "-o", folder, "--calibrate", CALIBRATION))
    return folder


def configured(run, tmp_path, text, *options):
    file = tmp_path / "types.yaml"
    file.write_text(text)
    return run("convert", MODEL, "-o", tmp_path / "design", "--config", file, *options)


def test_calibrated_agrees_with_float(run, calibrated, tmp_path):
    y = predicted(run, calibrated, EXAMPLE / "inputs.npy", tmp_path / "y.npy")
    reference = np.load(EXAMPLE / "reference.npy")
    assert y.shape == reference.shape
    assert np.mean(y.argmax(1) == reference.argmax(1)) >= 0.95
    labels = np.load(EXAMPLE / "labels.npy")
    assert np.mean(y.argmax(1) == labels) >= 0.95


def test_calibration_is_reported(run, calibrated):
    calibration = description(calibrated)["calibration"]
    assert calibration["samples"] == 200
    assert calibration["bits"] == 12
    assert 0 < calibration["largest_difference"] < 0.1
    assert calibration["same_argmax"] >= 190
    shown = good(run("report", calibrated)).stdout
    assert "12 bits from 200 samples" in shown
    listed = json.loads(good(run("report", calibrated, "--json")).stdout)
    assert listed["calibration"] == calibration


def test_reported_loss_is_what_predict_gives(run, calibrated, tmp_path):
    """The figure is of the circuit's outputs before the softmax, and can be had again."""
    dropped = tmp_path / "dropped"
    options = ("--final-activation", "drop")
    good(run("convert", MODEL, "-o", dropped, "--calibrate", CALIBRATION, *options))
    y = predicted(run, dropped, CALIBRATION, tmp_path / "y.npy")
    real = predicted(run, MODEL, CALIBRATION, tmp_path / "f.npy", "--float", *options)
    difference = np.abs(y.astype(float) - real.astype(float)).max()
    calibration = description(dropped)["calibration"]
    assert calibration == description(calibrated)["calibration"]
    assert calibration["largest_difference"] == difference
    assert calibration["same_argmax"] == np.sum(y.argmax(1) == real.argmax(1))


def test_simulated_bit_for_bit(run, calibrated, tmp_path):
    few = tmp_path / "few.npy"
    np.save(few, np.load(EXAMPLE / "inputs.npy")[:100])
    y = predicted(run, calibrated, few, tmp_path / "y.npy")
    simulated = run("simulate", calibrated, "-i", few, "-o", tmp_path / "s.npy")
    if "GW0501" in simulated.stderr:
        pytest.skip("no Verilator")
    good(simulated)
    assert np.array_equal(np.load(tmp_path / "s.npy"), y)
    assert ", 0 values differ" in simulated.stdout


def test_same_files_each_time(run, calibrated, tmp_path):
    good(run("convert", MODEL, "-o", tmp_path / "again", "--calibrate", CALIBRATION))
    again = (tmp_path / "again/design.json").read_bytes()
    assert again == (calibrated / "design.json").read_bytes()


@pytest.mark.parametrize("bits", [6, 8, 16])
def test_bits(run, tmp_path, bits):
    folder = tmp_path / "design"
    good(run("convert", MODEL, "-o", folder, "--calibrate", CALIBRATION, "--bits", bits))
    design = description(folder)
    assert design["calibration"]["bits"] == bits
    (port,) = design["ports"]["outputs"]
    assert {element["width"] for element in port["elements"]} == {bits}


def test_max_error_takes_the_fewest_bits(run, tmp_path):
    folder = tmp_path / "design"
    good(run("convert", MODEL, "-o", folder, "--calibrate", CALIBRATION, "--max-error", "0.05"))
    found = description(folder)["calibration"]
    assert found["largest_difference"] <= 0.05
    bits = str(found["bits"] - 1)
    good(run("convert", MODEL, "-o", folder, "--force", "--calibrate", CALIBRATION, "--bits", bits))
    assert description(folder)["calibration"]["largest_difference"] > 0.05


def test_inputs_that_need_few_bits_are_lossless(calibrated):
    """Pixels are multiples of 1/16 from 0 to 1."""
    (port,) = description(calibrated)["ports"]["inputs"]
    assert {(e["width"], e["frac"], e["signed"]) for e in port["elements"]} == {(5, 4, False)}


def test_configured(run, tmp_path):
    good(configured(run, tmp_path, EXPLICIT))
    design = description(tmp_path / "design")
    assert "calibration" not in design
    (port,) = design["ports"]["inputs"]
    assert {(e["width"], e["frac"]) for e in port["elements"]} == {(5, 4)}
    (port,) = design["ports"]["outputs"]
    assert {(e["width"], e["frac"]) for e in port["elements"]} == {(14, 8)}
    inputs = EXAMPLE / "inputs.npy"
    y = predicted(run, tmp_path / "design", inputs, tmp_path / "y.npy")
    assert np.mean(y.argmax(1) == np.load(EXAMPLE / "reference.npy").argmax(1)) >= 0.95
    options = ("--config", tmp_path / "types.yaml")
    assert np.array_equal(predicted(run, MODEL, inputs, tmp_path / "m.npy", *options), y)


def output_type(folder):
    (port,) = description(folder)["ports"]["outputs"]
    ((width, frac),) = {(e["width"], e["frac"]) for e in port["elements"]}
    return width, frac


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ('  "fc*": {result: "fixed<13,7>"}\n', (13, 7)),
        ('  "fc*": {result: "fixed<13,7>"}\n  "*2": {result: "fixed<12,6>"}\n', (12, 6)),
        ('  fc2: {result: "fixed<11,5>"}\n  "*2": {result: "fixed<12,6>"}\n', (11, 5)),
    ],
)
def test_more_specific_entries_win(run, tmp_path, layers, expected):
    good(configured(run, tmp_path, EXPLICIT + "layers:\n" + layers))
    assert output_type(tmp_path / "design") == expected


def test_configuration_wins_over_calibration(run, tmp_path):
    text = 'layers:\n  fc2: {result: "fixed<11,5>"}\n'
    good(configured(run, tmp_path, text, "--calibrate", CALIBRATION))
    assert output_type(tmp_path / "design") == (11, 5)


@pytest.mark.parametrize("rounding", ["floor", "half_away", "ceil"])
def test_rounding_of_the_result(run, tmp_path, rounding):
    """The sums, which 17 bits behind the point hold exactly, rounded by NumPy. The mode is that of
    the layer's weights as well, so both have it."""
    entry = EXPLICIT + f"layers:\n  fc2: {{rounding: {rounding}, result: "
    wide = entry + "'fixed<40,17>'}\n"
    narrow = entry + "'fixed<30,3>'}\n"
    options = ("--final-activation", "drop", "--config")
    inputs = EXAMPLE / "inputs.npy"
    results = []
    for text in (wide, narrow):
        file = tmp_path / "types.yaml"
        file.write_text(text)
        results.append(predicted(run, MODEL, inputs, tmp_path / "y.npy", *options, file))
    scaled = results[0].astype(np.float64) * 8
    round_ = {
        "floor": np.floor,
        "ceil": np.ceil,
        "half_away": lambda v: np.sign(v) * np.floor(np.abs(v) + 0.5),
    }[rounding]
    assert np.array_equal(results[1] * 8, round_(scaled))


def test_template_is_a_configuration(run, tmp_path):
    file = tmp_path / "types.yaml"
    good(run("config", MODEL, "-o", file))
    text = file.read_text()
    for name in ("pixels", "fc1", "bn1", "relu1", "fc2", "softmax"):
        assert f'"{name}":' in text
    good(run("convert", MODEL, "-o", tmp_path / "a", "--config", file))
    # With every comment that gives a type made an entry, it is sound as well.
    lines = [
        line.replace("    # ", "    ", 1) if ": fixed<" in line else line
        for line in text.splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")
    good(run("convert", MODEL, "-o", tmp_path / "b", "--config", file))


def test_template_of_a_quantised_model_changes_nothing(run, tmp_path):
    model = ROOT / "examples/digits/digits_mlp.onnx"
    file = tmp_path / "types.yaml"
    good(run("config", model, "-o", file))
    good(run("convert", model, "-o", tmp_path / "a"))
    good(run("convert", model, "-o", tmp_path / "b", "--config", file))
    assert description(tmp_path / "a") == description(tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("model:\n  wieght: fixed<8,6>\n", ("GW0306", "line 2", "Did you mean 'weight'")),
        ("modle:\n  weight: fixed<8,6>\n", ("GW0306", "line 1", "Did you mean 'model'")),
        ("layers:\n  fc3: {}\n", ("GW0307", "line 2", "Did you mean 'fc1'")),
        ('layers:\n  "conv*": {}\n', ("GW0307", "no layer of the model matches 'conv*'")),
        ("layers:\n  relu1:\n    weight: fixed<8,6>\n", ("GW0307", "has no weight")),
        ("layers:\n  bn1:\n    weight: fixed<8,6>\n", ("GW0307", "batch normalisation")),
        ("inputs:\n  pixel: fixed<8,6>\n", ("GW0307", "line 2", "Did you mean 'pixels'")),
        ("model:\n  weight: fixed<8>\n", ("GW0308", "line 2", "'fixed<8>' is no type")),
        ("model:\n  weight: fixed<80,6>\n", ("GW0308", "out of bounds")),
        ("model:\n  weight: {width: 8}\n", ("GW0308", "`frac`")),
        ("model:\n  weight: [8, 6]\n", ("GW0308",)),
        ("model:\n  weight: {width: 8, frak: 6}\n", ("GW0306", "Did you mean 'frac'")),
        ("model:\n  bias: {width: 8, frac: 6, rounding: up}\n", ("GW0308", "half_up")),
        ("model:\n  rounding: half_evn\n", ("GW0308", "Did you mean 'half_even'")),
        ("model:\n  overflow: clip\n", ("GW0308", "saturate_symmetric")),
        ("layers:\n  bn1:\n    accumulator: fixed<20,10>\n", ("GW0307", "adds no products")),
        ("layers:\n  fc1:\n    accumulator: fixed<20>\n", ("GW0308", "no type")),
        ("model: fixed<8,6>\n", ("GW0305", "must be a mapping")),
        ("- model\n", ("GW0305",)),
        ("model: {\n", ("GW0305", "no YAML")),
        ("model:\n  weight: fixed<8,6>\n  weight: fixed<9,6>\n", ("GW0306", "twice")),
    ],
)
def test_errors_in_a_configuration(run, tmp_path, text, parts):
    refused(configured(run, tmp_path, text), "types.yaml", *parts)
    assert not (tmp_path / "design").exists()


def test_all_errors_at_once(run, tmp_path):
    text = "model:\n  wieght: fixed<8,6>\n  bias: 7\nlayers:\n  fc1:\n    rounding: up\n"
    said = refused(configured(run, tmp_path, text))
    assert said.count("error GW") == 3
    text = "inputs:\n  pixel: fixed<8,6>\nlayers:\n  fc3: {}\n  fc4: {}\n"
    assert refused(configured(run, tmp_path, text)).count("error GW0307") == 3


def test_without_types_all_layers_are_told(run, tmp_path):
    said = refused(run("convert", MODEL, "-o", tmp_path / "design"), "GW0301", "GW0303")
    assert "layer 'fc1'" in said
    assert "layer 'fc2'" in said
    assert "--calibrate" in said


def test_calibration_errors(run, tmp_path):
    def convert(*options):
        return run("convert", MODEL, "-o", tmp_path / "design", *options)

    refused(convert("--bits", 8), "--calibrate X.npy")
    refused(convert("--max-error", 1), "--calibrate X.npy")
    both = ("--calibrate", CALIBRATION, "--bits", 8, "--max-error", 1)
    refused(convert(*both), "exclude each other")
    refused(convert("--calibrate", CALIBRATION, "--bits", 99), "out of bounds")
    refused(convert("--calibrate", CALIBRATION, "--max-error", -1), "is no error")
    refused(convert("--calibrate", CALIBRATION, "--max-error", "1e-30"), "GW0309", "as near as")
    empty = tmp_path / "empty.npy"
    np.save(empty, np.zeros((0, 64), np.float32))
    refused(convert("--calibrate", empty), "at least one sample")
    bad = tmp_path / "bad.npy"
    np.save(bad, np.full((2, 64), np.nan, np.float32))
    refused(convert("--calibrate", bad), "finite")
