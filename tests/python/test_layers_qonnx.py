"""The one-layer models of ../shared/layers/qonnx: right or refused, never wrong.

These files lie beside the repository and are not part of it; without them the tests are skipped.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

FOLDER = Path(__file__).resolve().parents[3] / "shared/layers/qonnx"
if not (FOLDER / "manifest.json").is_file():
    pytest.skip("../shared/layers/qonnx is not present", allow_module_level=True)

CASES = json.loads((FOLDER / "manifest.json").read_text())
# What is not made of dense layers and quantisers may be refused.
OTHER = (
    "avg_pool",
    "brevitas_conv",
    "max_pool",
    "qoperator",
    "weight_conv",
)
# What must not be refused either.
ALSO = ("channels_last", "conv_transpose", "upsample")
outcomes: Counter = Counter()
refused: list[str] = []


def is_dense(case):
    if any(part in case["layer"] for part in ALSO):
        return True
    return not any(part in case["layer"] for part in OTHER) and "Conv" not in case["arguments"]


def evaluate(case):
    """Reference outputs, and what is predicted, in order; whole batches or sample by sample."""
    folder = FOLDER / case["name"]
    (file,) = [f for f in case["files"] if f.endswith(".onnx")]
    stored = np.load(folder / case["io"])
    xs = sorted(key for key in stored if key[0] == "x")
    ys = sorted(key for key in stored if key[0] == "y")

    def predict(index):
        arrays = {key: stored[key][index] for key in xs}
        return list(gatewright.predict(folder / file, arrays).values())

    count = len(stored[xs[0]])
    if case["batch"] == "any":
        got = predict(slice(None))
    elif case["batch"] == "one":
        rows = [predict(slice(i, i + 1)) for i in range(count)]
        got = [np.concatenate(column) for column in zip(*rows, strict=True)]
    else:
        rows = [predict(i) for i in range(count)]
        got = [np.stack(column) for column in zip(*rows, strict=True)]
    return [stored[key] for key in ys], got


def same(y, reference, tolerance):
    if y.shape != reference.shape:
        y = y.reshape(reference.shape)
    if tolerance == "exact":
        return bool((y.astype(np.float32) == reference.astype(np.float32)).all())
    return bool((np.abs(y - reference) <= tolerance * (1 + np.abs(reference))).all())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].removeprefix("qonnx_"))
def test_case(case):
    try:
        references, got = evaluate(case)
    except gatewright.Error as error:
        assert "error GW" in str(error)
        outcomes["refused"] += 1
        allowed = case["expect"] == "refuse" or case.get("may_refuse") or not is_dense(case)
        if case["expect"] != "refuse":
            refused.append(f"{case['name']} ({case['arguments']})")
        assert allowed, f"refused: {error}"
        return
    assert case["expect"] == "match", "to be refused, but predicted"
    assert len(references) == len(got)
    for y, reference in zip(got, references, strict=True):
        assert same(y, reference, case["tolerance"])
    outcomes["exact" if case["tolerance"] == "exact" else "within the tolerance"] += 1


def test_counts():
    """Prints what the cases came to; -s shows it."""
    print(dict(outcomes))
    for name in refused:
        print(f"refused, though it has a value: {name}")
    if sum(outcomes.values()) == len(CASES):
        assert outcomes["refused"] <= len(CASES) // 8
