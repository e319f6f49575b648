"""One-layer models: right, or refused as stated, never wrong.

Those of ../shared/layers lie beside the repository; without them only its own ones are run, those
of tests/fixtures/layer_models.
layers_refused.txt lists the cases that are still refused although they have a result: a case that
is not on the list must come out as its manifest says, and one that does must leave the list.
"""

from collections import Counter
from pathlib import Path

import layer_cases
import pytest

pytest.importorskip("gatewright", reason="the Python module is not built")

CASES = {family: layer_cases.read_manifest(family) for family in layer_cases.FAMILIES}
SHARED = any(CASES[family] for family in layer_cases.SHARED)

REFUSED = set((Path(__file__).parent / "layers_refused.txt").read_text().split())


@pytest.fixture(scope="session")
def seen():
    """Outcome and message of every case, by name."""
    cases = [case for family in CASES.values() for case in family]
    assert len({case["name"] for case in cases}) == len(cases)
    return {case["name"]: rest for case, *rest in layer_cases.outcomes(cases)}


@pytest.mark.parametrize("family", [f for f, cases in CASES.items() if cases])
def test_family(family, seen):
    counts = Counter()
    faults = []
    for case in CASES[family]:
        name = case["name"]
        result, message = seen[name]
        as_stated = layer_cases.is_as_stated(case, result)
        counts[result if as_stated else f"{result}, not as stated"] += 1
        if as_stated and name in REFUSED:
            faults.append(f"{name}: comes out as stated now, and must leave layers_refused.txt")
        elif not as_stated and not (result == "refused" and name in REFUSED):
            faults.append(f"{result}: {name} {case['arguments']}: {message}")
        if result == "refused" and "error GW" not in message:
            faults.append(f"{name}: no diagnostic: {message}")
    print(f"{family}: {dict(counts)}")
    assert not faults, "\n".join(faults)


@pytest.mark.skipif(not SHARED, reason="../shared/layers is not present")
def test_list_names_cases():
    names = {case["name"] for family in CASES.values() for case in family}
    assert names >= REFUSED
