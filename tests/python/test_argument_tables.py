"""The tables in docs/ are those of the data files, and these list what the installed frameworks
have."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent / "arguments"))
import list_arguments  # noqa: E402


def test_pages_are_current():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/argument_tables", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# The versions that the tables are of; another one may have other arguments.
VERSIONS = {"keras3": ("keras", "3.15."), "onnx": ("onnx", "1.23."), "torch": ("torch", "2.13.")}


@pytest.mark.parametrize("framework", VERSIONS)
def test_no_argument_is_forgotten(framework):
    package, version = VERSIONS[framework]
    module = pytest.importorskip(package)
    if not module.__version__.startswith(version):
        pytest.skip(f"{package} {module.__version__} instead of {version}")
    sources = {
        "keras3": [Path(module.__file__).parents[1]],
        "onnx": [],
        "torch": [ROOT / "src/import/torch"],
    }[framework]
    rows = list_arguments.read_rows(framework)
    known = {(row["layer"], row["argument"]) for row in rows}
    whole = {row["layer"] for row in rows if row["argument"] == "*"}
    forgotten = [
        (layer, argument)
        for layer, argument, _ in list_arguments.listed(framework, sources, rows)
        if layer not in whole and (layer, argument) not in known
    ]
    assert not forgotten, forgotten
