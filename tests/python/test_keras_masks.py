"""Masks in Keras models, where the framework's own ways of computing differ."""

import json
import zipfile

import layer_cases
import numpy as np
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

CASE = layer_cases.LAYERS / "keras/k3_lstm_masking"
if not CASE.is_dir():
    pytest.skip("../shared/layers is not present", allow_module_level=True)


def with_settings(folder, **settings):
    """The case's model with other settings of its LSTM."""
    with zipfile.ZipFile(CASE / "model.keras") as old:
        entries = {name: old.read(name) for name in old.namelist()}
    config = json.loads(entries["config.json"])
    (lstm,) = [layer for layer in config["config"]["layers"] if layer["class_name"] == "LSTM"]
    lstm["config"].update(settings)
    entries["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(folder / "m.keras", "w") as new:
        for name, content in entries.items():
            new.writestr(name, content)
    return folder / "m.keras"


def test_unrolled_layers_that_write_zeros_are_refused(tmp_path):
    """Backends disagree on what is then given at masked steps; rolled up they agree."""
    x = np.load(CASE / "io.npz")["x"]
    both = {"zero_output_for_mask": True, "return_sequences": True}
    with pytest.raises(gatewright.Error, match="'unroll'.*Set unroll to False"):
        gatewright.load(with_settings(tmp_path, unroll=True, **both))
    (zeros,) = gatewright.predict(with_settings(tmp_path, **both), x, exact=False).values()
    assert (zeros == 0).any()


def test_unrolled_layers_that_keep_the_state_are_read(tmp_path):
    x = np.load(CASE / "io.npz")["x"]
    (rolled,) = gatewright.predict(with_settings(tmp_path), x, exact=False).values()
    (y,) = gatewright.predict(with_settings(tmp_path, unroll=True), x, exact=False).values()
    assert np.array_equal(y, rolled)
