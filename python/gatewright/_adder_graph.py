"""The public call of the adder graphs: its checks, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright import _core
from gatewright._core import Error


@dataclass(frozen=True)
class AdderGraph:
    """y = x @ matrix as additions of two operands. Inputs are the values 0 .. n_in-1.

    Attributes:
        operations: each makes the next value, +-(a << shift_a) + +-(b << shift_b), as a tuple (a,
            shift_a, negate_a, b, shift_b, negate_b). At most one operand is negated.
        outputs: one per column, as a tuple (value, shift, negate): y = +-(value << shift); value -1
            is the constant zero.
        adders: the number of operations.
        depth: the longest chain of operations, counted from when its input arrives.
        full_adder_bits: over all operations, the exact width of the result less its low bits that
            are a plain copy of one operand: about the lookup tables of a carry chain.
    """

    operations: list[tuple[int, int, bool, int, int, bool]]
    outputs: list[tuple[int, int, bool]]
    adders: int
    depth: int
    full_adder_bits: int


def adder_graph(
    matrix: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    *,
    arrival: npt.ArrayLike | None = None,
    extra_depth: int | None = None,
    effort: str = "normal",
    seed: int = 0,
) -> AdderGraph:
    """Multiplies a vector by a constant matrix with few and narrow adders. Proven exact.

    Args:
        matrix: integers [n_in, n_out] of at most 64 bits.
        low, high: the range of the inputs, integers: one for all, or one for each input.
        arrival: the level at which each input is there, integers from 0, at most 16 apart.
        extra_depth: levels allowed over the shallowest tree; None: any.
        effort: "fast" takes about 2 ms for 16 x 16 weights of 8 bits and 0.1 s for 64 x 64,
            "normal" 0.1 s and 0.5 s, "high" 2 s and 10 s.
        seed: of the search's choices; the same arguments give the same graph.

    Raises:
        Error: an argument is of the wrong shape or kind, or values need more than 128 bits.
    """
    weights = _integers("matrix", matrix)
    if weights.ndim != 2:
        raise Error(f"matrix has {weights.ndim} axes; give n_in rows of n_out integers")
    n_in, n_out = weights.shape
    lows = _per_input("low", low, n_in)
    highs = _per_input("high", high, n_in)
    for i, (least, most) in enumerate(zip(lows, highs, strict=True)):
        if least > most:
            raise Error(f"low is above high for input {i}: {least} > {most}")
    arrivals = [0] * n_in if arrival is None else _per_input("arrival", arrival, n_in)
    if any(not 0 <= level < 1 << 31 for level in arrivals):
        raise Error("arrival levels must be from 0 to 2^31 - 1")
    if extra_depth is not None:
        extra_depth = min(_integer("extra_depth", extra_depth), 1 << 20)
    seed = _integer("seed", seed)
    if seed >= 1 << 64:
        raise Error(f"seed is {seed}; give one below 2^64")
    if not isinstance(effort, str):
        raise Error(f"effort is {effort!r}; give fast, normal or high")
    return AdderGraph(
        *_core.adder_graph(
            weights.ravel().tolist(), n_out, lows, highs, arrivals, extra_depth, effort, seed
        )
    )


def _integers(name: str, values: npt.ArrayLike) -> np.ndarray:
    """The array in 64 bits. Booleans and floats are refused, even where they are whole."""
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise Error(f"{name} is no array of integers: {error}") from None
    if array.size == 0 and array.dtype == np.float64:
        array = array.astype(np.int64)  # what numpy makes of an empty list
    if array.dtype == object:
        if not all(isinstance(value, int) for value in array.ravel()):
            raise Error(f"{name} holds other things than integers")
        raise Error(f"{name} holds integers of more than 64 bits")
    if array.dtype.kind not in "iu":
        raise Error(f"{name} is of type {array.dtype}; give integers")
    if array.dtype == np.uint64 and array.size > 0 and array.max() > np.iinfo(np.int64).max:
        raise Error(f"{name} holds integers of more than 64 bits with their sign")
    return array.astype(np.int64)


def _per_input(name: str, values: npt.ArrayLike, n_in: int) -> list[int]:
    array = _integers(name, values)
    if array.ndim == 0:
        return [int(array)] * n_in
    if array.shape != (n_in,):
        raise Error(
            f"{name} is of shape {array.shape}; give one integer, or one for each of {n_in}"
        )
    return array.tolist()


def _integer(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise Error(f"{name} is {value!r}; give an integer from 0")
    return int(value)
