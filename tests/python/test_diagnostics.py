"""Every diagnostic of the catalogue: its example is run and must report its code."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import PROGRAM

FILES = Path(__file__).resolve().parents[1] / "diagnostics"


def catalogue():
    if not PROGRAM.is_file():
        return []
    listed = subprocess.run(
        [PROGRAM, "list", "diagnostics", "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(listed.stdout)


CATALOGUE = catalogue()
# Remarks on a model that is read all the same.
NOTES = {"GW0114", "GW0115"}
# Reported by the text forms of the library, which no command reads.
LIBRARY_ONLY = {"GW0402", "GW0412"}


@pytest.fixture(scope="module")
def prepared(run, tmp_path_factory):
    """The files of tests/diagnostics, and design folders as the examples name them."""
    folder = tmp_path_factory.mktemp("diagnostics") / "files"
    shutil.copytree(FILES, folder)
    made = run("convert", "tiny.onnx", "-o", "tiny_design", cwd=folder)
    assert made.returncode == 0, made.stderr
    for name in ("broken_design", "broken_verilog_design"):
        shutil.copytree(folder / "tiny_design", folder / name)
    design = folder / "broken_design/design.json"
    design.write_text(design.read_text().replace("= contract(", "= contrakt("))
    (verilog,) = (folder / "broken_verilog_design/verilog").iterdir()
    text = verilog.read_text()
    assert "out_valid" in text
    verilog.write_text(silenced(text))
    return folder


def silenced(verilog):
    """The same module with an out_valid that never rises."""
    head, _, body = verilog.partition(");")
    lines = [
        "  assign out_valid = 1'b0;" if line.strip().startswith("assign out_valid") else line
        for line in body.split("\n")
    ]
    return head + ");" + "\n".join(lines)


@pytest.fixture
def folder(prepared, tmp_path):
    copy = tmp_path / "files"
    shutil.copytree(prepared, copy)
    return copy


def test_catalogue_is_listed(program):
    assert len(CATALOGUE) > 30
    codes = [row["code"] for row in CATALOGUE]
    assert len(set(codes)) == len(codes)
    assert all(row["example"].count("gatewright ") == 1 for row in CATALOGUE)
    assert set(codes) >= NOTES


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: f"{row['code']}-{row['name']}")
def test_example(row, folder):
    code = row["code"]
    if code in LIBRARY_ONLY:
        pytest.skip(f"{code} ({row['name']}) is reported by the library alone")
    # A function, so that an example may set PATH.
    script = f'gatewright() {{ "{PROGRAM}" "$@"; }}\n{row["example"]}'
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
        check=False,
    )
    said = result.stdout + result.stderr
    if code in NOTES:
        assert result.returncode == 0, said
        assert f"note {code}" in said
    else:
        assert result.returncode == 1, f"exit status {result.returncode}: {said}"
        assert f"error {code}" in result.stderr, said
        assert "fault of Gatewright" not in said


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row["code"])
def test_explain(row, run):
    result = run("explain", row["code"])
    assert result.returncode == 0
    shown = " ".join(result.stdout.split())
    assert " ".join(row["explanation"].split()) in shown
    assert row["example"] in shown


def test_explain_of_no_code(run):
    result = run("explain", "GW9999")
    assert result.returncode == 1
    assert "GW9999" in result.stderr
