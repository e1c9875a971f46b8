"""How long does a call to the API server take, and how long until a watcher hears of a change?

A law is a function of (stream name, number) to seconds, so a draw belongs to one change of one object and never
depends on what else happened before it.

The defaults are measured, by a recorder beside Kubernetes 1.34.9 on an otherwise small machine. A write is the
recorder's POST round trip (193 calls); its lower end, which was not kept, is the median GET. A watch hop is what is
left of "DELETE sent -> pod gone seen" (1407 calls, one write and one hop without any controller) at its median once the
median DELETE round trip is taken off, 27 % of it, and that share at the other quantiles. Between quantiles a law is
straight on a logarithmic scale, because latencies bunch at the low end of each interval. Kubernetes publishes no other
figure than an SLO (API write p99 below one second); for a busy cluster pass laws of your own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from zdsim.plane import luck

__all__ = ["DELETE_TO_GONE", "POST_ROUND_TRIP", "Law", "Quantiles", "constant", "measured_hop", "measured_write"]

Law: TypeAlias = Callable[[str, int], float]

#: (probability, seconds), recorded.
POST_ROUND_TRIP: Final = ((0.0, 0.00128), (0.5, 0.00273), (0.95, 0.00859), (1.0, 0.0391))
DELETE_TO_GONE: Final = ((0.0, 0.003), (0.5, 0.008), (0.9, 0.021), (0.99, 0.056), (1.0, 0.144))
DELETE_ROUND_TRIP_MEDIAN: Final = 0.00587
HOP_SHARE: Final = 1.0 - DELETE_ROUND_TRIP_MEDIAN / 0.008


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A law given by quantiles, straight lines between them on a logarithmic scale.

    Args:
        points: (probability, seconds > 0), rising, from probability 0 to 1.
        seed: of the run.
        factor: multiplies every value.

    Raises:
        ValueError: points do not rise, do not span 0 to 1, or are not above zero.
    """

    points: tuple[tuple[float, float], ...]
    seed: int
    factor: float = 1.0

    def __post_init__(self) -> None:
        rising = all(p < q and x <= y for (p, x), (q, y) in pairwise(self.points))
        spans = len(self.points) >= 2 and self.points[0][0] == 0.0 and self.points[-1][0] == 1.0
        if not spans or not rising or self.points[0][1] <= 0.0:
            raise ValueError(f"quantiles above zero must rise from probability 0 to 1; got {self.points}")

    def __call__(self, stream: str, number: int) -> float:
        u = luck.unit(luck.raw(luck.stream_key(self.seed, stream), number, 0))
        above = bisect_right(self.points, u, key=_probability)
        (p, x), (q, y) = self.points[above - 1], self.points[above]
        return float(self.factor * x * (y / x) ** ((u - p) / (q - p)))


def constant(seconds: float) -> Law:
    """The same every time."""
    return lambda stream, number: seconds


def measured_hop(seed: int) -> Law:
    """Change stored -> watcher told, as on the recorded machine: median 2.1 ms, p99 15 ms."""
    return Quantiles(DELETE_TO_GONE, seed, factor=HOP_SHARE)


def measured_write(seed: int) -> Law:
    """Call sent -> change stored and answered, as on the recorded machine: median 2.7 ms, p95 8.6 ms."""
    return Quantiles(POST_ROUND_TRIP, seed)


def _probability(point: tuple[float, float]) -> float:
    return point[0]
