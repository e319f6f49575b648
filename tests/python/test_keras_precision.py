"""Layers of Keras in half precision and with weights of 8 bits are read, not refused."""

import layer_cases
import numpy
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

if not layer_cases.LAYERS.is_dir():
    pytest.skip("../shared/layers is not present", allow_module_level=True)

CASES = [
    "k2_dtype_float16_dense",
    "k2_dtype_mixed_bfloat16",
    "k2_dtype_mixed_float16",
    "k3_dense_quantize_int8",
    "k3_dtype_float16_dense",
    "k3_dtype_mixed_bfloat16",
    "k3_dtype_mixed_float16",
]


@pytest.mark.parametrize("name", CASES)
def test_as_the_framework(name):
    (case,) = (case for case in layer_cases.read_manifest("keras") if case["name"] == name)
    folder = layer_cases.LAYERS / "keras" / name
    with numpy.load(folder / "io.npz") as io:
        x, y = io["x"], io["y"]
    network = gatewright.load(*(folder / file for file in case["files"]))
    (own,) = network.predict(x, exact=False).values()
    assert abs(own - y).max() <= case["tolerance"]
    half = {"bfloat16": 16, "float16": 13}.get(case["arguments"].get("dtype_policy", "")[6:])
    if half is not None:  # its last bits are those of the type
        bits = own.astype("float32").view("uint32")
        assert not (bits & (2**half - 1)).any()
