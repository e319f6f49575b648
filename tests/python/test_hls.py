"""C++ from the command line: printed, compiled, and equal to the emulator."""

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

DIGITS = Path(__file__).resolve().parents[2] / "examples/digits"
MODEL = DIGITS / "digits_mlp.onnx"

# Dialect, the Makefile's variable for the folder of its headers, a header, its folder in hls4ml.
DIALECTS = [
    ("cpp", None, None, None),
    ("vitis", "AP_TYPES", "ap_int.h", "vivado/ap_types"),
    ("catapult", "AC_TYPES", "ac_int.h", "catapult/ac_types/include"),
]
NAMES = [row[0] for row in DIALECTS]

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or shutil.which("make") is None, reason="g++ or make is missing"
)


@functools.cache
def make_arguments(name):
    """What `make` needs to know of the dialect's headers; skips if they are not here."""
    _, variable, header, folder = next(row for row in DIALECTS if row[0] == name)
    if variable is None:
        return []
    found = os.environ.get(f"GATEWRIGHT_{variable}")
    spec = importlib.util.find_spec("hls4ml")
    if found is None and spec is not None:
        found = str(Path(spec.origin).parent / "templates" / folder)
    if found is None or not (Path(found) / header).is_file():
        pytest.skip(f"{header} was not found (pip install --no-deps hls4ml)")
    return [f"{variable}={found}"]


def make(design, name, *arguments):
    return subprocess.run(
        ["make", "-s", "-C", design / "hls" / name, *make_arguments(name), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def design(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hls") / "design"
    done = run("convert", MODEL, "-o", folder, "--backend", ",".join(["verilog", *NAMES]))
    assert done.returncode == 0, done.stderr
    return folder


def test_the_list_holds_every_backend(run):
    rows = json.loads(run("list", "backends", "--json").stdout)
    assert [row["name"] for row in rows] == ["verilog", *NAMES]
    assert all(row["text"] for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_make_check_compares_with_the_emulator(design, name):
    done = make(design, name, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "64 frames, 0 mismatches" in done.stdout
    main = design / "hls" / name / "digits_mlp_main"
    expected = design / "hls/expected.txt"
    numbers = expected.read_text().split()
    wrong = design / "hls/wrong.txt"
    wrong.write_text(" ".join([*numbers[:-1], str(int(numbers[-1]) + 1)]))
    failed = subprocess.run(
        [main, design / "hls/inputs.txt", wrong], capture_output=True, text=True, check=False
    )
    wrong.unlink()
    assert failed.returncode == 1
    assert "64 frames, 1 mismatches" in failed.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_test_images_give_the_reference(design, name):
    done = make(design, name)
    assert done.returncode == 0, done.stdout + done.stderr
    description = json.loads((design / "design.json").read_text())
    ports = description["ports"]
    (inputs,), (outputs,) = ports["inputs"], ports["outputs"]
    images = np.load(DIGITS / "test_images.npy").astype(np.float64)
    images = images.reshape(-1, len(inputs["elements"]))
    # The model's own first quantiser: to the nearest multiple, ties to even, within the type.
    bits = np.array([element["frac"] for element in inputs["elements"]])
    highest = np.array([2 ** element["width"] - 1 for element in inputs["elements"]])
    assert not any(element["signed"] for element in inputs["elements"])
    integers = np.clip(np.rint(images * 2.0**bits), 0, highest)
    text = "\n".join(" ".join(str(int(n)) for n in row) for row in integers)
    main = design / "hls" / name / "digits_mlp_main"
    printed = subprocess.run([main], input=text, capture_output=True, text=True, check=True).stdout
    got = np.array([[int(n) for n in line.split()] for line in printed.splitlines()])
    bits = np.array([element["frac"] for element in outputs["elements"]])
    # The last bias lies behind the circuit.
    (decoding,) = [line for line in description["model"] if line.startswith("decoding")]
    offsets = re.fullmatch(r"decoding \[affine\(per 1 \(1\), per 1 \((.*)\)\)\]", decoding)[1]
    offsets = np.array([float(Fraction(number)) for number in offsets.split("; ")])
    logits = np.load(DIGITS / "reference_logits.npy")
    assert (got * 2.0**-bits + offsets == logits).all()


def test_only_what_is_named_is_written(run, tmp_path):
    folder = tmp_path / "cpp_only"
    assert run("convert", MODEL, "-o", folder, "--backend", "cpp").returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == ["design.json", "hls"]
    assert sorted(path.name for path in (folder / "hls").iterdir()) == [
        "cpp",
        "expected.txt",
        "inputs.txt",
    ]
    x = DIGITS / "test_images.npy"
    assert run("predict", folder, "-i", x, "-o", tmp_path / "y.npy").returncode == 0
    for command in (
        ["simulate", folder, "-i", x, "-o", tmp_path / "z.npy"],
        ["synthesize", folder],
    ):
        refused = run(*command)
        assert refused.returncode == 1
        assert "GW0006" in refused.stderr
        assert "--backend verilog" in refused.stderr


def test_verify_compiles_every_dialect(run, tmp_path):
    folder = tmp_path / "design"
    names = ",".join(NAMES)
    assert run("convert", MODEL, "-o", folder, "--backend", names).returncode == 0
    done = run("verify", folder, "--samples", "100", "--json")
    assert done.returncode == 0, done.stderr
    certificate = json.loads(done.stdout)
    rows = {row["level"]: row for row in certificate["comparisons"]}
    assert "skipped" in rows["verilog"]
    for name in NAMES:
        row = rows[f"hls/{name}"]
        assert "skipped" in row or (row["mismatches"] == 0 and row["tool"] == "g++")
    assert rows["hls/cpp"]["mismatches"] == 0
    # A circuit that computes other numbers is told in both ways.
    source = folder / "hls/cpp/digits_mlp.cpp"
    text = source.read_text()
    at = text.rindex(" + ")
    source.write_text(text[:at] + " - " + text[at + 3 :])
    done = run("verify", folder, "--samples", "100", "--json")
    assert done.returncode == 1
    certificate = json.loads(done.stdout)
    assert certificate["files_as_derived"] is False
    rows = {row["level"]: row for row in certificate["comparisons"]}
    assert rows["hls/cpp"]["mismatches"] > 0


def test_naming_twice_and_in_any_order_is_the_same(run, tmp_path):
    for folder, arguments in [
        ("a", ["--backend", "vitis,cpp"]),
        ("b", ["--backend", "cpp", "--backend", "vitis", "--backend", "cpp"]),
    ]:
        assert run("convert", MODEL, "-o", tmp_path / folder, *arguments).returncode == 0
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 3 + 4 + 5
    for path in files:
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes()


def test_an_unknown_backend_is_refused_before_the_work(run, tmp_path):
    refused = run("convert", MODEL, "-o", tmp_path / "out", "--backend", "verilog,vitsi")
    assert refused.returncode == 1
    assert "GW0003" in refused.stderr
    assert "Did you mean 'vitis'?" in refused.stderr
    assert not (tmp_path / "out").exists()
