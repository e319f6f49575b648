"""The public call of the adder graphs: what it returns is checked here, apart from the compiler."""

import gatewright
import numpy as np
import pytest


def width(low, high):
    return (
        high.bit_length() if low >= 0 else max((~low).bit_length(), max(high, 0).bit_length()) + 1
    )


def check(graph, matrix, low, high, arrival):
    """Python integers all through: the linear form of each value, its width and its level."""
    n_in = len(matrix)
    forms = [[int(i == k) for i in range(n_in)] for k in range(n_in)]
    levels = list(arrival)
    bits = 0
    for a, shift_a, negate_a, b, shift_b, negate_b in graph.operations:
        assert 0 <= a < len(forms) and 0 <= b < len(forms) and min(shift_a, shift_b) >= 0
        assert not (negate_a and negate_b)
        scale_a = (-1 if negate_a else 1) << shift_a
        scale_b = (-1 if negate_b else 1) << shift_b
        form = [x * scale_a + y * scale_b for x, y in zip(forms[a], forms[b], strict=True)]
        forms.append(form)
        levels.append(max(levels[a], levels[b]) + 1)
        ends = [sorted((c * lo, c * hi)) for c, lo, hi in zip(form, low, high, strict=True)]
        exact = width(sum(e[0] for e in ends), sum(e[1] for e in ends))
        low_is_a = shift_a <= shift_b
        subtracted = negate_a if low_is_a else negate_b
        copied = max(shift_a, shift_b) if not subtracted else min(shift_a, shift_b)
        bits += max(exact - copied, 0)
    for column, (value, shift, negate) in enumerate(graph.outputs):
        scale = (-1 if negate else 1) << shift
        form = [0] * n_in if value < 0 else [x * scale for x in forms[value]]
        assert form == [row[column] for row in matrix]
    assert graph.adders == len(graph.operations)
    assert graph.full_adder_bits == bits
    assert graph.depth <= max(levels, default=0)
    return graph


@pytest.mark.parametrize("extra_depth", [None, 0, 2])
@pytest.mark.parametrize("effort", ["fast", "normal"])
def test_random_matrices_with_ranges_and_arrival(extra_depth, effort):
    random = np.random.default_rng(3)
    for _ in range(6):
        n_in, n_out = random.integers(1, 10, 2)
        matrix = random.integers(-90, 90, (n_in, n_out))
        low = random.integers(-200, 100, n_in)
        high = low + random.integers(0, 300, n_in)
        arrival = random.integers(0, 5, n_in)
        graph = gatewright.adder_graph(
            matrix, low, high, arrival=arrival, extra_depth=extra_depth, effort=effort, seed=5
        )
        check(graph, matrix.tolist(), low.tolist(), high.tolist(), arrival.tolist())


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((3, 4), int),
        np.ones((6, 6), int) * 77,
        [[5, -3, 12, 7]],
        [[5], [-3], [0], [7]],
        np.tile([[3], [-7], [11]], 5),
        np.array([[2**40 + 1, -(2**50)], [2**62, 3]]),
        np.array([[200, 255]], np.uint8),
        np.zeros((0, 3), int),
        np.zeros((3, 0), int),
    ],
)
def test_special_matrices(matrix):
    rows = np.asarray(matrix).astype(object).tolist()
    for extra_depth in (None, 0):
        graph = gatewright.adder_graph(matrix, -128, 127, extra_depth=extra_depth)
        check(graph, rows, [-128] * len(rows), [127] * len(rows), [0] * len(rows))


def test_seed_and_effort():
    matrix = np.random.default_rng(1).integers(-100, 100, (12, 12))
    first = gatewright.adder_graph(matrix, 0, 255, seed=1)
    assert first == gatewright.adder_graph(matrix, 0, 255, seed=1)
    assert first.operations != gatewright.adder_graph(matrix, 0, 255, seed=2).operations
    assert first.adders < gatewright.adder_graph(matrix, 0, 255, effort="fast").adders


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"matrix": [[1.0]]}, "float64"),
        ({"matrix": [[float("nan")]]}, "float64"),
        ({"matrix": [[True]]}, "bool"),
        ({"matrix": [1, 2]}, "1 axes"),
        ({"matrix": [[1], [2, 3]]}, "no array"),
        ({"matrix": [[2**64]]}, "64 bits"),
        ({"matrix": np.array([[2**63]], np.uint64)}, "64 bits"),
        ({"matrix": [[None]]}, "other things"),
        ({"low": 3, "high": 2}, "above high"),
        ({"low": [0, 0]}, "shape"),
        ({"high": 1.5}, "float64"),
        ({"arrival": -1}, "arrival"),
        ({"arrival": [0, 1, 2]}, "shape"),
        ({"matrix": [[1], [1]], "arrival": [0, 40]}, "apart"),
        ({"extra_depth": -1}, "extra_depth"),
        ({"extra_depth": 0.5}, "extra_depth"),
        ({"effort": "best"}, "fast, normal, high"),
        ({"effort": 3}, "effort"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_bad_arguments_are_refused(arguments, said):
    given = {"matrix": [[1, 2]], "low": 0, "high": 1} | arguments
    with pytest.raises(gatewright.Error, match=said):
        gatewright.adder_graph(**given)
