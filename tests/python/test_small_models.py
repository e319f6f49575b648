"""Small models of each framework through all levels: circuit, proofs, simulated Verilog.

These files lie beside the repository and are not part of it; without them the tests are skipped.
What a model does not quantise gets its types from its own sample inputs.
"""

from pathlib import Path

import numpy as np
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

MODELS = Path(__file__).resolve().parents[3] / "shared/models"
if not MODELS.is_dir():
    pytest.skip("../shared/models is not present", allow_module_level=True)

SMALL = {
    "hgq_jet_classifier": ["hgq_jet_classifier.h5"],
    "keras_bnn": ["keras_bnn.json", "keras_bnn_weights.h5"],
    "qkeras_3layer": ["qkeras_3layer.json", "qkeras_3layer_weights.h5"],
    "t_hgq2_skip_mlp": ["model.keras"],
    "torch_two_layer": ["two_layer_model.pt"],
}


@pytest.mark.parametrize("name", SMALL)
def test_all_levels_are_equal(name, tmp_path):
    files = [MODELS / name / file for file in SMALL[name]]
    stored = np.load(MODELS / name / "io.npz")
    inputs = {k: stored[k] for k in stored if k[0] == "x" and k[1:].isdecimal() or k == "x"}
    few = {key: array[:20] for key, array in inputs.items()}
    folder = tmp_path / "design"
    gatewright.load(*files).convert(folder, calibrate=inputs, target="ecp5", clock_period=10)
    verdict = gatewright.verify(folder, samples=20)
    assert verdict["verdict"] == "equal"
    expected = gatewright.predict(folder, few)
    simulated, info = gatewright.simulate(folder, few)
    assert info["mismatches"] == 0
    assert info["samples"] == 20
    for key, y in expected.items():
        assert (simulated[key] == y).all()
