"""How long does a thing take? A law of duration as a table of quantiles.

The planes may only add, multiply and compare (two compilers round `exp` differently), so a law is tabulated
here once, by code that both share, and drawn by linear interpolation. The table is finer towards both tails:
each side of the median is cut into octaves of tail probability, each octave into equal cells, so that the
relative error of an exponential quantile stays below 1e-4 out to a tail of 2**-32 and the mean is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zdsim.plane.luck import U64

FloatArray = NDArray[np.float64]

LEVELS: Final = 32  # octaves of tail probability on each side of the median
CELLS: Final = 64  # cells an octave
_TOP: Final = 1 << 52


@dataclass(frozen=True, slots=True, eq=False)
class LawTable:
    """Quantiles of a duration.

    Attributes:
        mean_s: exact mean in seconds (NaN if the law has none in closed form).
        q: shape (2, LEVELS, CELLS + 1), seconds; `q[side, level, cell]` is the quantile at tail probability
            2**-(level + 2) * (1 + cell / CELLS) of the lower (side 0) or upper (side 1) tail; in the last level at
            2**-LEVELS * cell / CELLS.
    """

    mean_s: float
    q: FloatArray


def tabulate(
    lower: Callable[[FloatArray], FloatArray], upper: Callable[[FloatArray], FloatArray], mean_s: float
) -> LawTable:
    """Table of a law given by its quantile functions.

    Args:
        lower: quantile by lower tail probability p in (0, 1/2], shape in = shape out, seconds.
        upper: the same by upper tail probability, so that tails below 1e-16 keep their digits.
        mean_s: exact mean, seconds; the table is scaled so that its own mean equals it. NaN: not scaled.
    """
    cell = np.arange(CELLS + 1) / CELLS
    tails = np.array([2.0 ** -(level + 2) * (1.0 + cell) for level in range(LEVELS - 1)] + [2.0**-LEVELS * cell])
    tails[-1, 0] = 2.0**-54
    q = np.stack([np.asarray(lower(tails), dtype=np.float64), np.asarray(upper(tails), dtype=np.float64)])
    if not np.isfinite(q).all() or (q < 0.0).any():
        raise ValueError("a law of duration must have finite quantiles of zero or more")
    own = _table_mean(q)
    if np.isfinite(mean_s) and own > 0.0:
        q *= mean_s / own
    q.setflags(write=False)
    return LawTable(mean_s=float(mean_s), q=q)


def constant(value_s: float) -> LawTable:
    """Always `value_s` seconds, to the last bit."""
    q = np.full((2, LEVELS, CELLS + 1), float(value_s))
    q.setflags(write=False)
    return LawTable(mean_s=float(value_s), q=q)


def value(q: FloatArray, bits: int) -> float:
    """Duration in seconds for 64 random bits; the scalar spelling, for Python integers.

    The kernel spells the same steps in compiled code: top bit chooses the side, the position of the leading one
    of the remaining 52 bits the octave, the rest interpolates.
    """
    v = bits >> 11
    side = 1 if v >= _TOP else 0
    w = (2 * _TOP - 1 - v) if side else v
    level = 52 - w.bit_length()
    if level >= LEVELS - 1:
        level = LEVELS - 1
        position = w * (CELLS / float(1 << (52 - LEVELS + 1)))
    else:
        octave = 1 << (51 - level)
        position = (w - octave) * (CELLS / float(octave))
    cell = int(position)
    a = float(q[side, level, cell])
    b = float(q[side, level, cell + 1])
    return a + (position - cell) * (b - a)


def value_array(q: FloatArray, bits: U64) -> FloatArray:
    """`value` for an array of random bits, bit for bit."""
    v = (bits >> np.uint64(11)).astype(np.int64)
    side = (v >= _TOP).astype(np.int64)
    w = np.where(side == 1, 2 * _TOP - 1 - v, v)
    exponent = np.frexp(w.astype(np.float64))[1].astype(np.int64)  # bit length; w < 2**53 is exact
    level = np.minimum(52 - exponent, LEVELS - 1)
    last = level == LEVELS - 1
    octave = np.int64(1) << (51 - np.minimum(level, LEVELS - 2))
    position = np.where(
        last,
        w * (CELLS / float(1 << (52 - LEVELS + 1))),
        (w - octave) * (CELLS / octave.astype(np.float64)),
    )
    cell = position.astype(np.int64)
    a, b = q[side, level, cell], q[side, level, cell + 1]
    out: FloatArray = a + (position - cell) * (b - a)
    return out


def _table_mean(q: FloatArray) -> float:
    trapezoids = (q[:, :, 1:] + q[:, :, :-1]) / 2.0
    mass = np.array([2.0 ** -(level + 2) / CELLS for level in range(LEVELS - 1)] + [2.0**-LEVELS / CELLS])
    return float((trapezoids.sum(axis=2) * mass).sum())
