"""What hurts users of other translators cannot happen here: one test for each point.

Points that have tests of their own elsewhere: misspelt keys and layer names in configurations, and
wrong types (test_configuration.py); overflow (test_overflow.py); scales that are no powers of two,
QCDQ (test_exact.py, test_layers.py); RTL from any folder (test_rtl.py); settings of layers, one by
one (test_arguments.py). No framework is needed to read its files: these tests run without any.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

SHARED = Path(__file__).resolve().parents[3] / "shared"
DENSE = Path(__file__).resolve().parents[1] / "fixtures/dense_relu_quant.onnx"
needs_layers = pytest.mark.skipif(
    not (SHARED / "layers/keras/manifest.json").is_file(), reason="../shared is not present"
)


def keras_model(case, folder, change):
    """A case of ../shared/layers with its configuration changed: its text, or the error."""
    from argument_models import Keras2Model

    model = Keras2Model(SHARED / "layers/keras" / case / "model.h5", None, folder)
    tree = json.loads(model.text)
    change(tree)
    model.text = json.dumps(tree)
    try:
        return gatewright.load(*model.written(0, None, None)).text()
    except gatewright.Error as error:
        return str(error)


def setting(layer, argument, value):
    """A change of one argument of the layers of a class."""

    def change(tree):
        from argument_models import KerasModel

        for name, config, _ in KerasModel.walk(tree):
            if name == layer:
                config[argument] = value

    return change


# Dropped in silence elsewhere: (case, layer, argument, another value).
DROPPED = [
    ("k2_relu_default", "ReLU", "max_value", 0.5),
    ("k2_conv1d_default", "Conv1D", "dilation_rate", [2]),
    ("k2_conv2d_default", "Conv2D", "dilation_rate", [2, 2]),
    ("k2_conv1d_default", "Conv1D", "groups", 3),
    ("k2_lstm_go_backwards", "LSTM", "go_backwards", False),
    ("k2_gru_go_backwards", "GRU", "reset_after", False),
    ("k2_simplernn_go_backwards", "SimpleRNN", "activation", "relu"),
]


@needs_layers
@pytest.mark.parametrize("case, layer, argument, value", DROPPED)
def test_settings_are_not_dropped(case, layer, argument, value, tmp_path):
    before = keras_model(case, tmp_path, lambda tree: None)
    after = keras_model(case, tmp_path, setting(layer, argument, value))
    assert not before.startswith("error")
    assert after != before


@needs_layers
def test_outputs_of_the_flagship_model_are_not_constant():
    folder = SHARED / "models/keras_3layer"
    model = gatewright.load(folder / "KERAS_3layer.json", folder / "KERAS_3layer_weights.h5")
    x = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32)
    (y,) = model.predict(x, exact=False).values()
    assert (y.std(axis=0) > 1e-3).all()


@needs_layers
def test_padding_modes_of_torch_differ():
    folder = SHARED / "layers/torch"
    cases = [c for c in json.loads((folder / "manifest.json").read_text()) if c["layer"] == "pad"]
    assert len({gatewright.load(folder / c["name"] / "model.pt2").text() for c in cases}) > 8


@needs_layers
def test_command_line_reads_h5_and_writes_what_it_says(run, tmp_path):
    done = run("inspect", SHARED / "layers/keras/k2_relu_default/model.h5")
    assert done.returncode == 0 and "re_lu" in done.stdout
    out = tmp_path / "design"
    done = run("convert", DENSE, "--output", out)
    assert done.returncode == 0, done.stderr
    assert (out / "design.json").is_file()


def test_failure_exits_with_1_and_writes_nothing(run, tmp_path):
    bad = tmp_path / "model.h5"
    bad.write_bytes(b"no model at all")
    done = run("convert", bad, "--output", tmp_path / "design")
    assert done.returncode == 1
    assert "error GW" in done.stderr and "model.h5" in done.stderr
    assert not (tmp_path / "design").exists()


@pytest.mark.parametrize(
    "text",
    [
        "layrs: {}",
        "layers: {no_such_layer: {result: 'fixed<8,3>'}}",
        "strategy: Resources",
        "io_type: io_strem",
        "defaults: {result: 'fixd<8,3>'}",
    ],
)
def test_misspelt_configuration_is_an_error(text, run, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    done = run("convert", DENSE, "--config", file, "--output", tmp_path / "design")
    assert done.returncode == 1
    assert "error GW" in done.stderr and "Traceback" not in done.stderr


def test_first_prediction_needs_no_compiler(tmp_path):
    code = (
        f"import gatewright, numpy as np; m = gatewright.load({str(DENSE)!r});"
        "print(m.predict(np.zeros((1, *m.inputs[0]['shape']), np.float32)))"
    )
    package = str(Path(gatewright.__file__).parents[1])
    environment = {"PATH": str(tmp_path), "PYTHONPATH": package, "HOME": os.environ.get("HOME", "")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_report_has_latency_without_a_licence(run, tmp_path):
    out = tmp_path / "design"
    assert run("convert", DENSE, "--output", out).returncode == 0
    done = run("report", out)
    assert done.returncode == 0 and "latency" in done.stdout.lower()
