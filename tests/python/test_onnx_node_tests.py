"""The official tests of single ONNX operators: none may be wrong, and their matches never fall."""

from collections import Counter

import onnx_node_tests

# The matches when this number was last set; docs/onnx.md tells it too.
MATCHES = 938


def test_no_operator_is_wrong():
    results = list(onnx_node_tests.outcomes())
    bad = [f"{r} {name}: {seen[:200]}" for name, r, seen in results if r in ("wrong", "error")]
    assert not bad, "\n".join(bad)
    counts = Counter(result for _, result, _ in results)
    assert counts["match"] >= MATCHES, counts
