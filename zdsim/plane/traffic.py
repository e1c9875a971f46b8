"""Who asks when, and how much work is it? Open traffic, drawn in chunks.

Drawn per request number from named streams by vectorised code that both planes share, so a chunk's size, the
strategy and the plane leave every arrival where it is. Poisson arrivals by time change: the n-th arrival of a
unit-rate process, sent through the inverse of the integrated rate.

Source: Cinlar (1975), Introduction to Stochastic Processes, ch. 4 (time change); Whitt (1982), "Approximating
a point process by a renewal process", balanced-means hyperexponential gaps for a given index of dispersion.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zdsim.plane.laws import tabulate, value_array
from zdsim.plane.luck import raw_array, stream_key, unit_array

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CHUNK: Final = 1 << 15

#: Gaps of a unit-rate Poisson process. A table, as all laws, so that compiled code can draw the same bits.
UNIT_GAPS: Final = tabulate(lambda p: -np.log1p(-p), lambda p: -np.log(p), 1.0)

#: One open request.
ARRIVAL_ROW: Final = np.dtype(
    [("t", np.float64), ("work_s", np.float64), ("user", np.int32), ("klass", np.int16), ("proxy", np.int16)],
    align=True,
)


class Arrivals(IntEnum):
    POISSON = 0
    DETERMINISTIC = 1
    BURSTY = 2
    EXPLICIT = 3


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Open traffic of a run.

    Attributes:
        knots_s, rates: piecewise-linear rate, requests/s at times; equal neighbours in `knots_s` make a step. Shape
            (n,), n >= 2 (n = 0: no open traffic). Nothing arrives outside the knots.
        dispersion: index of dispersion of counts for BURSTY, above 1.
        times_s: EXPLICIT arrival times, ascending.
        user_cut: cumulative activity of the users, shape (n_users,), last = 1.
        class_cut: cumulative shares of the classes, shape (C,), last = 1.
        work: quantile tables of the classes' work, shape (C, 2, LEVELS, CELLS + 1).
    """

    seed: int
    arrivals: Arrivals
    knots_s: FloatArray
    rates: FloatArray
    user_cut: FloatArray
    class_cut: FloatArray
    work: FloatArray
    n_proxies: int
    dispersion: float = 1.0
    times_s: FloatArray | None = None

    def chunks(self, size: int = CHUNK) -> "ChunkSource":
        """The arrivals from the beginning; `size` changes nothing but memory and speed."""
        return ChunkSource(self, size)

    @property
    def expected(self) -> float:
        """Expected number of arrivals."""
        if self.arrivals is Arrivals.EXPLICIT:
            return float(0 if self.times_s is None else self.times_s.size)
        return float(_integral(self.knots_s, self.rates)[-1]) if self.knots_s.size else 0.0


class ChunkSource:
    """Hands out the arrivals in order, chunk by chunk; an empty chunk says that there are no more."""

    def __init__(self, traffic: Traffic, size: int) -> None:
        self._traffic = traffic
        self._size = size
        self._next = 0  # number of the next request
        self._sum = 0.0  # operational time of the last arrival
        self._last_s = 0.0  # its time
        self._done = False
        self._integral = _integral(traffic.knots_s, traffic.rates)
        self._keys = {
            name: stream_key(traffic.seed, f"traffic/{name}")
            for name in ("gap", "branch", "user", "class", "work", "proxy")
        }

    def take(self) -> NDArray[np.void]:
        """The next arrivals, ARRIVAL_ROW, at most `size`; empty at the end."""
        if self._done:
            return np.zeros(0, dtype=ARRIVAL_ROW)
        who = np.arange(self._next, self._next + self._size, dtype=np.uint64)
        t = self._times(who)
        who = who[: t.size]
        self._done = t.size < self._size
        self._next += t.size
        rows = np.zeros(t.size, dtype=ARRIVAL_ROW)
        rows["t"] = t
        traffic = self._traffic
        rows["user"] = np.searchsorted(traffic.user_cut, self._unit("user", who), side="right")
        klass = np.searchsorted(traffic.class_cut, self._unit("class", who), side="right")
        rows["klass"] = klass
        bits = raw_array(self._keys["work"], who)
        for c in range(traffic.class_cut.size):
            of_class = klass == c
            rows["work_s"][of_class] = value_array(traffic.work[c], bits[of_class])
        rows["proxy"] = (self._unit("proxy", who) * traffic.n_proxies).astype(np.int16)
        return rows

    def _times(self, who: NDArray[np.uint64]) -> FloatArray:
        traffic = self._traffic
        if traffic.arrivals is Arrivals.EXPLICIT:
            assert traffic.times_s is not None
            return traffic.times_s[self._next : self._next + self._size]
        if traffic.knots_s.size == 0:
            return np.zeros(0)
        if traffic.arrivals is Arrivals.DETERMINISTIC:
            sums = who.astype(np.float64) + 0.5  # no running sum: exact for any chunk
        else:
            gaps = value_array(UNIT_GAPS.q, raw_array(self._keys["gap"], who))
            if traffic.arrivals is Arrivals.BURSTY:
                d = traffic.dispersion
                often = (1.0 + np.sqrt((d - 1.0) / (d + 1.0))) / 2.0
                rate = np.where(self._unit("branch", who) < often, 2.0 * often, 2.0 * (1.0 - often))
                gaps = gaps / rate
            sums = np.cumsum(np.concatenate([[self._sum], gaps]))[1:]
            self._sum = float(sums[-1])
        sums = sums[sums < self._integral[-1]]
        times = _inverse(traffic.knots_s, traffic.rates, self._integral, sums)
        # Rounding at a knot must not send anybody back in time, not even across chunks.
        times = np.maximum.accumulate(np.concatenate([[self._last_s], times]))[1:]
        self._last_s = float(times[-1]) if times.size else self._last_s
        return times

    def _unit(self, name: str, who: NDArray[np.uint64]) -> FloatArray:
        return unit_array(raw_array(self._keys[name], who))


def zipf_cut(n_users: int, exponent: float) -> FloatArray:
    """Cumulative activity of users whose k-th most active has weight k**-exponent; shape (n_users,), last = 1."""
    cut: FloatArray = np.cumsum(np.arange(1, n_users + 1, dtype=np.float64) ** -exponent)
    cut /= cut[-1]
    cut[-1] = 1.0
    return cut


def scale_rate(
    knots_s: FloatArray, rates: FloatArray, start_s: float, end_s: float, factor: float
) -> tuple[FloatArray, FloatArray]:
    """The same rate multiplied by `factor` from `start_s` to `end_s` (a spike), with steps at both ends."""
    start_s, end_s = max(start_s, float(knots_s[0])), min(end_s, float(knots_s[-1]))
    if end_s <= start_s:
        return knots_s, rates
    before, after = knots_s <= start_s, knots_s >= end_s
    inside = (knots_s > start_s) & (knots_s < end_s)
    at_start, at_end = _rate_at(knots_s, rates, start_s, left=False), _rate_at(knots_s, rates, end_s, left=True)
    lead_in, lead_out = _rate_at(knots_s, rates, start_s, left=True), _rate_at(knots_s, rates, end_s, left=False)
    times = np.concatenate(
        [
            knots_s[before & (knots_s < start_s)],
            [start_s, start_s],
            knots_s[inside],
            [end_s, end_s],
            knots_s[after & (knots_s > end_s)],
        ]
    )
    values = np.concatenate(
        [
            rates[before & (knots_s < start_s)],
            [lead_in, at_start * factor],
            rates[inside] * factor,
            [at_end * factor, lead_out],
            rates[after & (knots_s > end_s)],
        ]
    )
    return times, values


def _rate_at(knots_s: FloatArray, rates: FloatArray, t: float, *, left: bool) -> float:
    """Rate just before (`left`) or just after `t`; at a step the two differ."""
    i = int(np.searchsorted(knots_s, t, side="left" if left else "right"))
    if i == 0:
        return float(rates[0])
    if i == knots_s.size:
        return float(rates[-1])
    a, b = float(knots_s[i - 1]), float(knots_s[i])
    return float(rates[i - 1] + (rates[i] - rates[i - 1]) * ((t - a) / (b - a)))


def _integral(knots_s: FloatArray, rates: FloatArray) -> FloatArray:
    if knots_s.size == 0:
        return np.zeros(1)
    pieces = np.diff(knots_s) * (rates[1:] + rates[:-1]) / 2.0
    out: FloatArray = np.concatenate([[0.0], np.cumsum(pieces)])
    return out


def _inverse(knots_s: FloatArray, rates: FloatArray, integral: FloatArray, sums: FloatArray) -> FloatArray:
    """Times at which the integrated rate reaches `sums` (ascending, below its end)."""
    i = np.searchsorted(integral, sums, side="right") - 1
    i = np.clip(i, 0, knots_s.size - 2)
    rest = sums - integral[i]
    width = knots_s[i + 1] - knots_s[i]
    r0 = rates[i]
    slope = np.divide(rates[i + 1] - r0, width, out=np.zeros_like(width), where=width > 0)
    # rest = r0 x + slope x^2 / 2, solved in the form that stays exact for slope -> 0
    root = np.sqrt(np.maximum(r0 * r0 + 2.0 * slope * rest, 0.0))
    x = np.divide(2.0 * rest, r0 + root, out=np.zeros_like(rest), where=(r0 + root) > 0)
    out: FloatArray = knots_s[i] + np.minimum(x, width)
    return out
