"""Where the tests find what was built, and how they run it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("GATEWRIGHT_BUILD", "build/release")
PROGRAM = Path(
    os.environ.get("GATEWRIGHT") or shutil.which("gatewright") or BUILD / "src/cli/gatewright"
)
# The package of the same build as the program.
sys.path.insert(0, str(PROGRAM.resolve().parents[2] / "python"))
sys.path.append(str(ROOT / "tests/fixtures"))
os.environ.setdefault("GATEWRIGHT_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def program():
    """The gatewright program."""
    if not PROGRAM.is_file():
        pytest.fail(f"{PROGRAM} is missing: run tools/setup test, or name it in GATEWRIGHT")
    return PROGRAM


@pytest.fixture(scope="session")
def run(program):
    """run(*arguments, **options): gatewright with these; gives the finished process."""

    def start(*arguments, **options):
        return subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, check=False, **options
        )

    return start
