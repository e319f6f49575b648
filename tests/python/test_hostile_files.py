"""Model files made to do harm: each ends with one clear error, soon, and with nothing else."""

import json
from pathlib import Path

import pytest
from keras_file import archive, dense, entries, keras_file, sequential
from onnx import TensorProto, helper

HDF5 = Path(__file__).resolve().parents[1] / "fixtures/hdf5"
MODEL = sequential(dense())


def nested(depth):
    return '{"module": "keras", "config": ' * depth + "1" + "}" * depth


def with_twin():
    """An archive with two configurations: readers would differ in which one they take."""
    twin = archive([*entries(MODEL), ("confix.json", json.dumps(MODEL))])
    return twin.replace(b"confix.json", b"config.json")


def repeated_key():
    text = json.dumps(MODEL)
    return keras_file(text.replace('"units": 3', '"units": 3, "units": 3'))


def wide_border():
    """A few bytes that ask for 2 ** 40 elements of a border."""
    shape = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    shape[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 2])
    pads = helper.make_tensor("pads", TensorProto.INT64, [6], [0, 2**20, 2**20, 0, 0, 0])
    value = helper.make_tensor("value", TensorProto.FLOAT, [], [1.0])
    pad = helper.make_node("Pad", ["x", "pads", "value"], ["y"])
    graph = helper.make_graph([pad], "g", shape[:1], shape[1:], [pads, value])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def no_diagonal():
    """An initialiser without elements where one number belongs."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2, 2]) for n in "xy"]
    nothing = helper.make_tensor("k", TensorProto.INT64, [0], [])
    node = helper.make_node("Trilu", ["x", "k"], ["y"])
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], [nothing])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


FILES = {
    "no_diagonal.onnx": (no_diagonal, "GW0205"),
    "wide_border.onnx": (wide_border, "GW0205"),
    "empty.keras": (lambda: b"", None),
    "pointer.keras": (lambda: b"version https://git-lfs.github.com/spec/v1\n", None),
    "cut_short.keras": (lambda: keras_file(MODEL)[:-30], "GW0116"),
    "bomb.keras": (
        lambda: archive([*entries(MODEL)[:2], ("model.weights.h5", bytes(70 << 20))], deflate=True),
        "GW0116",
    ),
    "leads_out.keras": (
        lambda: archive([*entries(MODEL), ("../../evil.py", "import os")]),
        "GW0116",
    ),
    "absolute.keras": (lambda: archive([*entries(MODEL), ("/etc/evil", "x")]), "GW0116"),
    "twin.keras": (with_twin, "GW0116"),
    "no_config.keras": (lambda: archive(entries(MODEL)[2:]), None),
    "no_weights.keras": (lambda: archive(entries(MODEL)[:2]), None),
    "weights_cut_short.keras": (
        lambda: keras_file(MODEL, entries(MODEL)[2][1][:-1]),
        "GW0116",
    ),
    "deep.keras": (lambda: keras_file(nested(100000)), "GW0117"),
    "deep_enough.keras": (lambda: keras_file(nested(150)), None),
    "repeated_key.keras": (repeated_key, "GW0117"),
    "not_utf8.keras": (lambda: keras_file(MODEL).replace(b"relu", b"\xff\xfelu"), None),
    "list.keras": (lambda: keras_file("[]"), "GW0117"),
    "many_units.keras": (lambda: keras_file(sequential(dense(units=10**15))), None),
    "many_inputs.keras": (lambda: keras_file(sequential(dense(), inputs=2**62)), None),
    "negative.keras": (lambda: keras_file(sequential(dense(units=-3))), None),
    "no_model.h5": (lambda: (HDF5 / "classic.h5").read_bytes(), None),
    "cut_short.h5": (lambda: (HDF5 / "classic.h5").read_bytes()[:-1], "GW0116"),
    "claims_too_much.h5": (
        lambda: (HDF5 / "refused_claims_too_much.h5").read_bytes(),
        "GW0116",
    ),
    "cycle.h5": (lambda: (HDF5 / "refused_cycle.h5").read_bytes(), "GW0116"),
    "doubling.h5": (lambda: (HDF5 / "refused_doubling.h5").read_bytes(), "GW0116"),
}


@pytest.mark.parametrize("name", FILES)
def test_refused(name, run, tmp_path):
    make, code = FILES[name]
    file = tmp_path / name
    file.write_bytes(make())
    result = run("inspect", file, timeout=60)
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error GW")]
    assert len(errors) == 1, result.stderr
    assert name in errors[0]
    assert code is None or f"error {code}" in errors[0], errors[0]
    assert "fault of Gatewright" not in result.stderr
    assert "Traceback" not in result.stderr


def test_sound_file_is_read(run, tmp_path):
    """What the files above are made from is refused for what was done to it alone."""
    file = tmp_path / "sound.keras"
    file.write_bytes(keras_file(MODEL))
    result = run("inspect", file)
    assert result.returncode == 0, result.stderr
