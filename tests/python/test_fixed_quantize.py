"""The circuits of quantize, for all small types, against Python's Fraction."""

import functools
import math
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("GATEWRIGHT_BUILD", "build/release")

FRACS = range(-1, 4)
ROUNDINGS = [
    "floor",
    "ceil",
    "toward_zero",
    "away",
    "half_up",
    "half_down",
    "half_even",
    "half_away",
    "half_zero",
]
OVERFLOWS = ["wrap", "saturate", "saturate_symmetric"]


def integers(signed, width):
    """All integers of a type, in rising order."""
    return range(-(1 << width - 1), 1 << width - 1) if signed else range(1 << width)


def types(max_width):
    return [(s, w, f) for s in (0, 1) for w in range(1, max_width + 1) for f in FRACS]


@functools.cache
def rounded(value, rounding):
    """The integer that stands for the Fraction `value`."""
    half = Fraction(1, 2)
    match rounding:
        case "floor":
            return math.floor(value)
        case "ceil":
            return math.ceil(value)
        case "toward_zero":
            return math.trunc(value)
        case "away":
            return math.ceil(value) if value > 0 else math.floor(value)
        case "half_up":
            return math.floor(value + half)
        case "half_down":
            return math.ceil(value - half)
        case "half_even":
            return round(value)
        case "half_away":
            magnitude = math.floor(abs(value) + half)
        case "half_zero":
            magnitude = math.ceil(abs(value) - half)
    return magnitude if value >= 0 else -magnitude


def fitted(integer, signed, width, overflow):
    """What the target type makes of an integer."""
    allowed = integers(signed, width)
    if overflow == "wrap":
        return (integer - allowed[0]) % len(allowed) + allowed[0]
    low = -allowed[-1] if overflow == "saturate_symmetric" and signed else allowed[0]
    return min(max(integer, low), allowed[-1])


@pytest.fixture(scope="module")
def cases():
    tool = BUILD / "tests" / "quantize_cases"
    if not tool.exists():
        pytest.fail(f"{tool} is missing: build it, or set GATEWRIGHT_BUILD to the build folder")
    text = subprocess.run([tool], check=True, capture_output=True, text=True).stdout
    return [line.split() for line in text.splitlines()]


def test_every_case_is_printed_once(cases):
    want = [
        (*source, *target, rounding, overflow)
        for source in types(5)
        for target in types(4)
        for rounding in ROUNDINGS
        for overflow in OVERFLOWS
    ]
    assert [(*map(int, case[:6]), *case[6:8]) for case in cases] == want


def test_results_are_those_of_fraction(cases):
    wrong = []
    for case in cases:
        source_signed, source_width, source_frac, signed, width, frac = map(int, case[:6])
        rounding, overflow = case[6:8]
        low, high, *got = map(int, case[8:])
        step = Fraction(2) ** (frac - source_frac)
        want = [
            fitted(rounded(n * step, rounding), signed, width, overflow)
            for n in integers(source_signed, source_width)
        ]
        # A range is exact unless values wrapped, and then it holds them all.
        if overflow == "wrap":
            range_holds = low <= min(want) and max(want) <= high
        else:
            range_holds = (low, high) == (min(want), max(want))
        if got != want or not range_holds:
            wrong.append((" ".join(case), want))
    assert not wrong, f"{len(wrong)} of {len(cases)} differ, the first: {wrong[0]}"
