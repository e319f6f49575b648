"""The Python package on the bundled example."""

import ast
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


def test_what_is_written_is_the_same_wherever_the_model_lies(tmp_path):
    written = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        copy = tmp_path / folder / MODEL.name
        copy.write_bytes(MODEL.read_bytes())
        out = tmp_path / folder / "design"
        gatewright.convert(copy, out)
        files = sorted(file for file in out.rglob("*") if file.is_file())
        written.append({file.relative_to(out): file.read_bytes() for file in files})
        assert not any(str(tmp_path).encode() in text for text in written[-1].values())
    assert written[0] == written[1]


def test_layers_of_the_report_add_up(design):
    layers = gatewright.report(design)["layers"]
    for layer in layers:
        assert layer["initiation_interval"] == 1
        assert layer["latency_ns"] == 10 * layer["latency_cycles"]
    report = gatewright.report(design)
    assert sum(layer["register_bits"] for layer in layers) <= report["total"]["register_bits"]
    pytest.importorskip("pyosys", reason="pyosys is not installed")
    synthesis = gatewright.synthesize(design, target="ecp5")["synthesis"]
    assert sum(layer["cells"]["ff"] for layer in synthesis["layers"]) == synthesis["total"]["ff"]
    for layer in gatewright.report(design)["layers"]:
        assert layer["lut"] + layer["carry"] > 0, layer["layer"]
        assert layer["dsp"] == 0


FLOAT = DIGITS.parent / "float_mlp"
FLOAT_MODEL = FLOAT / "float_mlp.onnx"
TYPES = {
    "model": {"weight": "fixed<10,8>", "bias": "fixed<16,8>", "result": "fixed<14,8>"},
    "inputs": {"pixels": "ufixed<5,4>"},
}


def test_types_from_dicts_are_those_of_a_file(tmp_path):
    file = tmp_path / "types.yaml"
    file.write_text(json.dumps(TYPES))
    model = gatewright.load(FLOAT_MODEL)
    x = np.load(FLOAT / "inputs.npy")[:50]
    one = model.convert(tmp_path / "a", config=TYPES)
    assert one == gatewright.convert(FLOAT_MODEL, tmp_path / "b", config=file)
    y = only(gatewright.predict(tmp_path / "a", x))
    assert (only(model.predict(x, config=TYPES)) == y).all()
    assert (only(gatewright.predict(FLOAT_MODEL, x, config=file)) == y).all()
    assert not (only(model.predict(x, exact=False)) == y).all()
    assert model.trace(x, config=TYPES)
    with pytest.raises(gatewright.Error, match="GW0303"):
        model.predict(x)


def test_the_template_names_every_input():
    text = gatewright.config_template(FLOAT_MODEL)
    assert text == gatewright.load(FLOAT_MODEL).config_template()
    assert "pixels" in text


def test_types_from_samples(tmp_path):
    samples = np.load(FLOAT / "calibration.npy")
    by_bits = gatewright.convert(FLOAT_MODEL, tmp_path / "a", calibrate=samples, bits=9)
    assert by_bits["calibration"]["bits"] == 9
    near = gatewright.convert(
        FLOAT_MODEL, tmp_path / "b", calibrate=FLOAT / "calibration.npy", max_error=0.25
    )
    assert near["calibration"]["largest_difference"] <= 0.25


@pytest.mark.parametrize("backend", ["cpp", ["vitis", "cpp"]])
def test_backends(tmp_path, backend):
    written = gatewright.convert(MODEL, tmp_path / "out", backend=backend, extra_depth=0)
    names = [backend] if isinstance(backend, str) else sorted(backend)
    assert written["settings"]["backends"] == names
    assert written["settings"]["extra_depth"] == 0
    assert sorted(p.name for p in (tmp_path / "out/hls").iterdir() if p.is_dir()) == names
    assert not (tmp_path / "out/verilog").exists()


def test_the_stub_of_the_compiled_part_is_its_own():
    stubgen = pytest.importorskip("nanobind.stubgen", reason="nanobind is not installed")
    generator = stubgen.StubGen(gatewright._core)
    generator.put(gatewright._core)
    stub = Path(__file__).resolve().parents[2] / "python/gatewright/_core.pyi"
    made, written = (ast.dump(ast.parse(text)) for text in (generator.get(), stub.read_text()))
    assert made == written, "python -m nanobind.stubgen -m gatewright._core -o " + stub.name


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
    samples = images[:4]
    for wrong in (
        {"clock_period": 0},
        {"backend": "verilgo"},
        {"backend": []},
        {"bits": 8},
        {"max_error": 0.1},
        {"calibrate": samples, "bits": 8, "max_error": 0.1},
        {"calibrate": samples, "bits": 1},
        {"calibrate": samples, "max_error": -1.0},
    ):
        with pytest.raises(gatewright.Error, match="GW0003"):
            gatewright.convert(MODEL, tmp_path / "out", **wrong)
    with pytest.raises(gatewright.Error, match="GW0306.*weihgt"):
        gatewright.convert(MODEL, tmp_path / "out", config={"model": {"weihgt": "fixed<8,6>"}})
    assert not (tmp_path / "out").exists()
    assert issubclass(gatewright.Error, RuntimeError)


def test_arguments_of_a_wrong_kind(design, images):
    with pytest.raises(TypeError, match="complex"):
        gatewright.predict(design, images.astype(complex))
    with pytest.raises(TypeError, match="object"):
        gatewright.predict(design, images.astype(object))
    with pytest.raises(ValueError, match="samples"):
        gatewright.verify(design, samples=0)
