"""How far could a share or a count be from what one run showed?

Exact intervals, which hold for zero events too. They take the events as independent. Requests lost in a rollout are
not: they come in bursts, pod by pod. So these intervals say how much the *sample* can carry; how much the *rollout*
varies is seen only by running other seeds.
"""

from __future__ import annotations

from typing import NamedTuple

from scipy.special import betaincinv, gammaincinv

LEVEL = 0.95


class Interval(NamedTuple):
    """Lower and upper limit, in the unit of the estimate."""

    low: float
    high: float


def share_interval(events: int, total: int, *, level: float = LEVEL) -> Interval | None:
    """Exact (Clopper-Pearson) interval of a binomial share.

    Args:
        events, total: counts, 0 <= events <= total.
        level: coverage, strictly between 0 and 1.

    Returns:
        Limits of the share, no unit. None where nothing was observed: silence is no share.

    Raises:
        ValueError: counts or `level` out of range.

    Source:
        Clopper and Pearson (1934), "The use of confidence or fiducial limits illustrated in the case of the binomial".

    >>> low, high = share_interval(0, 300)
    >>> print(f"{low:.4f} {high:.4f}")
    0.0000 0.0122
    """
    _check_level(level)
    if not 0 <= events <= total:
        raise ValueError(f"events must lie between 0 and total; got {events} of {total}")
    if total == 0:
        return None
    tail = (1.0 - level) / 2.0
    low = 0.0 if events == 0 else float(betaincinv(events, total - events + 1, tail))
    high = 1.0 if events == total else float(betaincinv(events + 1, total - events, 1.0 - tail))
    return Interval(low, high)


def count_interval(events: int, *, level: float = LEVEL) -> Interval:
    """Exact interval of a Poisson mean.

    Args:
        events: observed count, >= 0.
        level: coverage, strictly between 0 and 1.

    Returns:
        Limits of the expected count.

    Raises:
        ValueError: `events` is negative or `level` out of range.

    Source:
        Garwood (1936), "Fiducial limits for the Poisson distribution".

    >>> low, high = count_interval(0)
    >>> print(f"{low:.3f} {high:.3f}")
    0.000 3.689
    """
    _check_level(level)
    if events < 0:
        raise ValueError(f"a count cannot be negative; got {events}")
    tail = (1.0 - level) / 2.0
    low = 0.0 if events == 0 else float(gammaincinv(events, tail))
    return Interval(low, float(gammaincinv(events + 1, 1.0 - tail)))


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1; got {level}")
