"""The command line against odd arguments, files, names and streams."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples/digits"
MODEL = DIGITS / "digits_mlp.onnx"
IMAGES = DIGITS / "test_images.npy"
FLOAT_MODEL = ROOT / "tests/diagnostics/float_mlp.onnx"


def refused(result, *parts, status=1):
    assert result.returncode == status, (result.stdout, result.stderr)
    assert "fault of Gatewright" not in result.stderr
    for part in parts:
        assert part in result.stderr + result.stdout
    return result.stderr


def good(result):
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def design(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("command_line") / "design"
    good(run("convert", MODEL, "-o", folder))
    return folder


def quantised(file, input_name, output_name, name="g"):
    """A dense layer of four inputs and three outputs between quantisers."""
    constants = {"scale": 0.25, "zero": 0.0, "bits": 6.0}
    weights = (np.arange(12).reshape(4, 3) % 5 - 2).astype(np.float32) / 4

    def quant(source, target):
        return helper.make_node(
            "Quant",
            [source, *constants],
            [target],
            domain="qonnx.custom_op.general",
            signed=1,
            narrow=0,
            rounding_mode="ROUND",
        )

    graph = helper.make_graph(
        [
            quant(input_name, "input_levels"),
            quant("weights", "weight_levels"),
            helper.make_node("MatMul", ["input_levels", "weight_levels"], ["sums"]),
            quant("sums", output_name),
        ],
        name,
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.float32(v), k) for k, v in constants.items()]
        + [numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
    return file


@pytest.mark.parametrize(
    ("input_name", "output_name"),
    [
        ("in_valid", "out_valid"),
        ("clock_enable", "clk"),
        ("out_valid", "in_valid"),
        ("a" * 300, "y"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--clock-enable"]])
def test_ports_are_apart_from_the_circuits_own(run, tmp_path, input_name, output_name, options):
    model = quantised(tmp_path / "m.onnx", input_name, output_name, name=input_name)
    good(run("convert", model, "-o", tmp_path / "d", *options))
    np.save(tmp_path / "x.npy", np.linspace(-9, 9, 40, dtype=np.float32).reshape(10, 4))
    done = run(
        "simulate", tmp_path / "d", "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npy",
        "--simulator", "icarus",
    )  # fmt: skip
    if "GW0501" in done.stderr:
        pytest.skip("Icarus is not installed")
    assert "10 samples, 0 values differ" in good(done).stdout


def test_files_are_written_into_the_current_folder(run, design, tmp_path):
    good(run("config", FLOAT_MODEL, "-o", "types.yaml", cwd=tmp_path))
    good(run("report", design, "--html", "report.html", cwd=tmp_path))
    assert {f.name for f in tmp_path.iterdir()} == {"types.yaml", "report.html"}


def test_a_failed_write_leaves_the_old_file(program, tmp_path):
    output = tmp_path / "y.npy"
    output.write_bytes(b"old")
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "sh",
         str(program), "predict", str(MODEL), "-i", str(IMAGES), "-o", str(output)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    refused(done, "GW0002", "y.npy")
    assert output.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [output]


def test_an_endless_device_is_no_model(run):
    refused(run("inspect", "/dev/zero", timeout=20), "GW0004")


def test_lost_output_is_an_error(program, design):
    for arguments in (["inspect", MODEL], ["report", design, "--json"], ["list", "operators"],
                      ["--help"]):  # fmt: skip
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [program, *map(str, arguments)],
                stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 1, arguments
        assert done.stderr.startswith("error GW0002: standard output")


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "DIR", "--seed", "-1"],
        ["verify", "DIR", "--seed", "18446744073709551616"],
        ["verify", "DIR", "--timeout", "-1"],
        ["synthesize", "DIR", "--timeout", "nan"],
        ["convert", "MODEL", "-o", "OUT", "--extra-depth", "-2"],
    ],
)
def test_numbers_out_of_bounds_are_wrong_usage(run, design, tmp_path, arguments):
    places = {"DIR": design, "MODEL": MODEL, "OUT": tmp_path / "out"}
    refused(run(*[places.get(a, a) for a in arguments]), arguments[-1], status=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", MODEL, "-o", ""],
        ["convert", MODEL, "-o", "OUT", "--clock-period", "inf"],
        ["predict", MODEL, "-i", IMAGES, "-o", "OUT.npy", "--trace", "OUT_t.npy"],
        ["predict", MODEL, "-i", IMAGES, "-o", "OUT.npz", "--trace", "OUT.npz"],
        ["predict", MODEL, "-i", IMAGES, "-o", "OUT.npy", "--float", "--trace", "OUT.npz"],
        ["predict", "DIR", "-i", IMAGES, "-o", "OUT.npy", "--final-activation", "argmax"],
        ["predict", "DIR", "-i", IMAGES, "-o", "OUT.npy", "--weights", "w"],
    ],
)
def test_options_without_meaning_are_refused(run, design, tmp_path, arguments):
    given = [str(a).replace("OUT", str(tmp_path / "out")) for a in arguments]
    refused(run(*[design if a == "DIR" else a for a in given]), "GW0003")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["predict", "simulate", "compare", "convert"])
def test_infinite_inputs_are_told_with_their_file(run, design, tmp_path, command):
    x = np.load(IMAGES)[:2].copy()
    x[1, 3] = np.inf
    np.save(tmp_path / "x.npy", x)
    arguments = {
        "predict": [MODEL, "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npy"],
        "simulate": [design, "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npy"],
        "compare": [MODEL, "-i", tmp_path / "x.npy", "--reference", IMAGES],
        "convert": [MODEL, "-o", tmp_path / "d", "--calibrate", tmp_path / "x.npy", "--bits", "9"],
    }
    refused(run(command, *arguments[command]), "GW0007", "x.npy", "finite")


def test_models_without_elements_are_refused(run, tmp_path):
    for name, shape in (("no_input", (0, 3)), ("no_output", (4, 0))):
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", shape[0]])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", shape[1]])],
            [numpy_helper.from_array(np.zeros(shape, np.float32), "w")],
        )
        model = tmp_path / f"{name}.onnx"
        opsets = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), model)
        np.save(tmp_path / "x.npy", np.ones((2, shape[0]), np.float32))
        done = run("convert", model, "-o", tmp_path / "d", "--calibrate", tmp_path / "x.npy")
        refused(done, "GW0203", "no elements")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('inputs: {x: "fixed<8,-2147483648>"}\n', "GW0308"),
        ('inputs: {x: "fixed<8,4>"}\n---\nlayers: {}\n', "GW0305"),
    ],
)
def test_configurations_out_of_bounds(run, tmp_path, text, code):
    (tmp_path / "c.yaml").write_text(text)
    refused(
        run("convert", FLOAT_MODEL, "-o", tmp_path / "d", "--config", tmp_path / "c.yaml"), code
    )
