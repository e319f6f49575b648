"""Writes seeds for the fuzzers from model files.

    python fuzz_seeds.py OUT FILE...

A .keras file gives OUT/keras/NAME (config.json, a zero, model.weights.h5), a .pt2 or .pt file is
copied to OUT/program or OUT/pickle. Large files are left out: fuzzers are quick on small ones.
"""

import shutil
import sys
import zipfile
from pathlib import Path

MOST_BYTES = 64 << 10


def main():
    out = Path(sys.argv[1])
    for number, file in enumerate(map(Path, sys.argv[2:])):
        name = f"{number}_{file.name}"
        if file.suffix == ".keras":
            with zipfile.ZipFile(file) as archive:
                seed = archive.read("config.json") + b"\0" + archive.read("model.weights.h5")
            if len(seed) <= MOST_BYTES:
                (out / "keras").mkdir(parents=True, exist_ok=True)
                (out / "keras" / name).write_bytes(seed)
        elif file.stat().st_size <= MOST_BYTES and file.suffix in (".pt", ".pt2"):
            folder = out / ("program" if file.suffix == ".pt2" else "pickle")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / name)


if __name__ == "__main__":
    main()
