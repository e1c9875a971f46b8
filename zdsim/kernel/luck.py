"""How does compiled code draw? The third spelling of ``plane.luck``, ``plane.laws`` and ``plane.histogram``.

Unsigned and signed integers are never mixed: Numba would go through floats.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from zdsim.kernel.jit import inlined, jit
from zdsim.kernel.layout import law_cell
from zdsim.plane import histogram, laws, luck

_WHO: Final = np.uint64(luck.WHO)
_WHICH: Final = np.uint64(luck.WHICH)
_MIX_1: Final = np.uint64(luck.MIX_1)
_MIX_2: Final = np.uint64(luck.MIX_2)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT: Final = luck.UNIT
_TOP: Final = 1 << 52
_LEVELS: Final = laws.LEVELS
_CELL_BITS: Final = laws.CELLS.bit_length() - 1
_ROW: Final = laws.CELLS + 1
_TABLE: Final = 2 * laws.LEVELS * _ROW
_LAST: Final = laws.CELLS / float(1 << (52 - laws.LEVELS + 1))
_SUB: Final = histogram.SUB
_MAX_US: Final = histogram.MAX_US


def _bit_length(typingctx: Any, value: Any) -> Any:
    """Bits of a non-negative int64; 0 for 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zeros = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), 64), zeros)

    return types.int64(types.int64), codegen


bit_length: Callable[..., Any] = intrinsic(_bit_length)


def _power_of_two(typingctx: Any, exponent: Any) -> Any:
    """2.0 to the power of an int64 between -1022 and 1023, put together from its bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        biased = builder.add(args[0], ir.Constant(i64, 1023))
        return builder.bitcast(builder.shl(biased, ir.Constant(i64, 52)), ir.DoubleType())

    return types.float64(types.int64), codegen


power_of_two: Callable[..., Any] = intrinsic(_power_of_two)


@inlined
def mix(z):  # type: ignore[no-untyped-def]
    """SplitMix64 finaliser."""
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@inlined
def raw(key, who, which):  # type: ignore[no-untyped-def]
    """64 random bits (uint64) for `who`, `which` (int64) of the stream `key` (uint64)."""
    return mix(mix(key + np.uint64(who) * _WHO) + np.uint64(which) * _WHICH)


@inlined
def unit(bits):  # type: ignore[no-untyped-def]
    """A double in [0, 1)."""
    return np.float64(np.int64(bits >> _S11)) * _UNIT


@inlined
def pick(bits, n):  # type: ignore[no-untyped-def]
    """An index below `n`."""
    return np.int64(unit(bits) * n)


@inlined
def law_place(bits):  # type: ignore[no-untyped-def]
    """Where 64 random bits fall in a quantile table: number of the cell's lower edge, share of the cell."""
    v = np.int64(bits >> _S11)
    side = np.int64(0)
    if v >= _TOP:
        side = np.int64(1)
        v = 2 * _TOP - 1 - v
    level = 52 - bit_length(v)
    if level >= _LEVELS - 1:
        level = np.int64(_LEVELS - 1)
        position = v * _LAST
    else:
        position = (v - (np.int64(1) << (51 - level))) * power_of_two(_CELL_BITS - 51 + level)
    cell = np.int64(position)
    return (side * _LEVELS + level) * _ROW + cell, position - cell


@jit
def law_value(w, law, bits):  # type: ignore[no-untyped-def]
    """Duration in seconds by law number `law`."""
    at, share = law_place(bits)
    at += law * _TABLE
    a = law_cell(w, at)["v"]
    return a + share * (law_cell(w, at + 1)["v"] - a)


@inlined
def bucket(latency_s):  # type: ignore[no-untyped-def]
    """Histogram bucket of a latency in seconds."""
    us = np.int64(latency_s * 1e6 + 0.5)
    if us > _MAX_US:
        us = np.int64(_MAX_US)
    if us < 2 * _SUB:
        return us
    e = bit_length(us) - 7
    return e * _SUB + (us >> e)
