"""How long does a call to the API server take, and how long until a watcher hears of a change?

A law is a function of (stream name, number) to seconds, so a draw belongs to one change of one object and never
depends on what else happened before it.

The default is measured: the recorder's `pod_created_seen->bound_seen` (2634 pods on an otherwise small machine) is one
watch hop, one scheduling decision and one write, because the recorder's own watch hop stands on both sides. Half of
each quantile goes to the hop, half to the write. Kubernetes publishes no other figure than an SLO (API write p99 below
one second); on a busy cluster pass laws of your own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from zdsim.plane import luck

__all__ = ["CREATED_TO_BOUND", "Law", "Quantiles", "constant", "measured_hop", "measured_write"]

Law: TypeAlias = Callable[[str, int], float]

#: (probability, seconds) of pod created -> pod bound; recorded against Kubernetes 1.34.9 with default client limits.
CREATED_TO_BOUND: Final = ((0.0, 0.0005), (0.5, 0.006), (0.9, 0.021), (0.99, 0.15), (1.0, 0.287))


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A law given by quantiles, straight lines between them.

    Args:
        points: (probability, seconds), rising, from probability 0 to 1.
        seed: of the run.
        factor: multiplies every value.

    Raises:
        ValueError: points do not rise or do not span 0 to 1.
    """

    points: tuple[tuple[float, float], ...]
    seed: int
    factor: float = 1.0

    def __post_init__(self) -> None:
        rising = all(p < q and x <= y for (p, x), (q, y) in pairwise(self.points))
        if len(self.points) < 2 or self.points[0][0] != 0.0 or self.points[-1][0] != 1.0 or not rising:
            raise ValueError(f"quantiles must rise from probability 0 to 1; got {self.points}")

    def __call__(self, stream: str, number: int) -> float:
        u = luck.unit(luck.raw(luck.stream_key(self.seed, stream), number, 0))
        above = bisect_right(self.points, u, key=_probability)
        (p, x), (q, y) = self.points[above - 1], self.points[above]
        return self.factor * (x + (y - x) * (u - p) / (q - p))


def constant(seconds: float) -> Law:
    """The same every time."""
    return lambda stream, number: seconds


def measured_hop(seed: int) -> Law:
    """Change stored -> watcher told, as on the recorded machine."""
    return Quantiles(CREATED_TO_BOUND, seed, factor=0.5)


def measured_write(seed: int) -> Law:
    """Call sent -> change stored and answered, as on the recorded machine."""
    return Quantiles(CREATED_TO_BOUND, seed, factor=0.5)


def _probability(point: tuple[float, float]) -> float:
    return point[0]
