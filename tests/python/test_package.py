"""The Python package on the bundled example."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

DIGITS = Path(__file__).resolve().parents[2] / "examples/digits"
MODEL = DIGITS / "digits_mlp.onnx"


@pytest.fixture(scope="module")
def images():
    return np.load(DIGITS / "test_images.npy")


@pytest.fixture(scope="module")
def reference():
    return np.load(DIGITS / "reference_logits.npy")


@pytest.fixture(scope="module")
def design(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("package") / "design"
    gatewright.convert(MODEL, folder, clock_period=10, target="ecp5")
    return folder


def only(outputs):
    (array,) = outputs.values()
    return array


def test_load_shows_what_the_model_holds():
    model = gatewright.load(MODEL)
    assert [port["shape"] for port in model.inputs] == [[64]]
    assert [port["shape"] for port in model.outputs] == [[10]]
    assert any("Quant" in layer["type"] for layer in model.layers)
    assert model.inputs[0]["name"] in repr(model)


def test_predict_equals_the_reference(images, reference):
    y = only(gatewright.load(MODEL).predict(images))
    assert y.dtype == np.float32
    assert y.shape == reference.shape
    assert (y == reference).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_predict_of_a_design_equals_the_reference(design, images, reference, threads):
    assert (only(gatewright.predict(design, images, threads=threads)) == reference).all()


def test_predict_takes_arrays_in_any_form(design, images, reference):
    name = gatewright.load(MODEL).inputs[0]["name"]
    forms = [
        {name: images},
        images.astype(np.float64),
        np.asfortranarray(images),
        images.astype(">f4"),
        np.repeat(images, 2, axis=0)[::2],
    ]
    for form in forms:
        assert (only(gatewright.predict(design, form)) == reference).all()
    integers = np.arange(128, dtype=np.int32).reshape(2, 64) % 3
    expected = only(gatewright.predict(design, integers.astype(np.float32)))
    for dtype in (np.int8, np.uint16, np.int64, np.float16):
        assert (only(gatewright.predict(design, integers.astype(dtype))) == expected).all()
    assert only(gatewright.predict(design, images[:0])).shape == (0, 10)


def test_final_activation_argmax(images, reference):
    y = only(gatewright.predict(MODEL, images, final_activation="argmax"))
    assert (y.reshape(len(images)) == reference.argmax(axis=1)).all()


def test_trace_has_a_row_per_sample(images):
    trace = gatewright.load(MODEL).trace(images[:5])
    assert trace
    assert {len(values) for values in trace.values()} == {5}


def test_convert_says_what_it_wrote(design):
    on_disk = json.loads((design / "design.json").read_text())
    on_disk.pop("model")
    again = gatewright.load(MODEL).convert(design, clock_period=10, target="ecp5", force=True)
    assert again == on_disk
    assert again["timing"]["latency_cycles"] >= 1
    assert again["settings"]["clock_period_ns"] == 10


def test_verify_and_report(design):
    certificate = gatewright.verify(design, samples=100)
    assert certificate["verdict"] == "equal"
    assert certificate["adder_graphs"]["not_proven"] == 0
    report = gatewright.report(design)
    assert report["verification"] == certificate
    assert report["total"]["adders"] == sum(layer["adders"] for layer in report["layers"])
    page = gatewright.report_html(design)
    assert page.startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_simulate_equals_the_reference(design, images, reference):
    y, info = gatewright.simulate(design, images[:20], simulator="icarus")
    assert (only(y) == reference[:20]).all()
    assert info["mismatches"] == 0
    assert info["samples"] == 20


def test_errors_carry_the_whole_text(tmp_path, design, images):
    with pytest.raises(gatewright.Error, match="GW0001.*no_such_model.onnx"):
        gatewright.load("no_such_model.onnx")
    with pytest.raises(gatewright.Error, match="GW0005"):
        gatewright.convert(MODEL, design)
    with pytest.raises(gatewright.Error, match="GW0007"):
        gatewright.predict(design, images[:, :63])
    with pytest.raises(gatewright.Error, match="GW0003"):
        gatewright.predict(MODEL, images, final_activation="softmax")
    with pytest.raises(gatewright.Error, match="GW0411"):
        gatewright.convert(MODEL, tmp_path / "out", target="no_such_family")
    assert not (tmp_path / "out").exists()
    assert issubclass(gatewright.Error, RuntimeError)


def test_arguments_of_a_wrong_kind(design, images):
    with pytest.raises(TypeError, match="complex"):
        gatewright.predict(design, images.astype(complex))
    with pytest.raises(TypeError, match="object"):
        gatewright.predict(design, images.astype(object))
    with pytest.raises(ValueError, match="clock_period"):
        gatewright.convert(MODEL, design, clock_period=0)
    with pytest.raises(ValueError, match="samples"):
        gatewright.verify(design, samples=0)
