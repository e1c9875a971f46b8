"""Is a metric over its limit: by itself, against the stable revision, or by how fast it grows?

The rules most rollouts are gated by. They know nothing of chance: Poisson noise alone reaches "twice the baseline" a
quarter of the time at one expected error, so gates ask for a least number of events first.

Source: Argo Rollouts and Flagger metric thresholds (absolute); the "2x baseline" rule of many runbooks (ratio);
Prometheus `deriv()`, simple linear regression (slope).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import pdtr, pdtrc
from scipy.stats import binom
from scipy.stats import t as student_t

from zdsim.measure.judges.verdict import Direction, Health, Verdict, Why


def absolute(value: float | None, limit: float, *, direction: Direction = Direction.INCREASE) -> Verdict:
    """A value against a limit; on the limit is still within it.

    Args:
        value, limit: same unit. None or NaN: there was nothing to measure.
        direction: INCREASE: must not exceed the limit; DECREASE: must not fall below it.

    Raises:
        ValueError: direction EITHER has no meaning for one limit.
    """
    if direction is Direction.EITHER:
        raise ValueError("one limit needs a direction: increase or decrease")
    if value is None or math.isnan(value):
        return Verdict(Health.INCONCLUSIVE, Why.NO_DATA, {"limit": limit})
    numbers = {"value": value, "limit": limit}
    if direction is Direction.INCREASE and value > limit:
        return Verdict(Health.UNHEALTHY, Why.ABOVE_LIMIT, numbers)
    if direction is Direction.DECREASE and value < limit:
        return Verdict(Health.UNHEALTHY, Why.BELOW_LIMIT, numbers)
    return Verdict(Health.HEALTHY, Why.WITHIN_LIMIT, numbers)


def ratio_to_stable(
    new: float | None, stable: float | None, limit: float, *, direction: Direction = Direction.INCREASE
) -> Verdict:
    """A value of the new revision against `limit` times the stable revision's.

    Unhealthy at the limit itself ("twice as many is too many"). A stable value of 0 is a baseline only for a new value
    of 0; anything above it has no finite ratio and is unhealthy.

    Args:
        new, stable: same unit, 0 or more. None or NaN: nothing to measure.
        limit: no unit; above 1 for INCREASE, below 1 for DECREASE.
    """
    if direction is Direction.EITHER:
        raise ValueError("a ratio needs a direction: increase or decrease")
    if new is None or math.isnan(new):
        return Verdict(Health.INCONCLUSIVE, Why.NO_DATA, {"limit": limit})
    if stable is None or math.isnan(stable):
        return Verdict(Health.INCONCLUSIVE, Why.NO_BASELINE, {"new": new, "limit": limit})
    ratio = 1.0 if new == stable else (new / stable if stable > 0.0 else math.inf)
    numbers = {"new": new, "stable": stable, "ratio": ratio, "limit": limit}
    if direction is Direction.INCREASE and ratio >= limit and new > stable:
        return Verdict(Health.UNHEALTHY, Why.ABOVE_LIMIT, numbers)
    if direction is Direction.DECREASE and ratio <= limit and new < stable:
        return Verdict(Health.UNHEALTHY, Why.BELOW_LIMIT, numbers)
    return Verdict(Health.HEALTHY, Why.WITHIN_LIMIT, numbers)


class Slope(NamedTuple):
    """A fitted line: growth per second, its interval, and the value at the last sample."""

    per_s: float
    low: float
    high: float
    last: float


def fit_slope(times_s: ArrayLike, values: ArrayLike, *, confidence: float = 0.95) -> Slope | None:
    """Least-squares line through samples, its slope with a two-sided interval (normal errors, Student's t).

    Args:
        times_s, values: shape (n,); pairs with NaN are left out.

    Returns:
        None with fewer than three usable samples, or all at one time.

    >>> fit_slope([0, 1, 2, 3], [5.0, 7.0, 9.0, 11.0])
    Slope(per_s=2.0, low=2.0, high=2.0, last=11.0)
    """
    t, v = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    kept = ~(np.isnan(t) | np.isnan(v))
    t, v = t[kept], v[kept]
    if t.size < 3 or t.min() == t.max():
        return None
    centred = t - t.mean()
    squares = float((centred**2).sum())
    slope = float((centred * v).sum()) / squares
    residual = v - v.mean() - slope * centred
    error = math.sqrt(float((residual**2).sum()) / (t.size - 2) / squares)
    reach = float(student_t.ppf((1.0 + confidence) / 2.0, t.size - 2)) * error
    last = int(np.argmax(t))
    return Slope(slope, slope - reach, slope + reach, float(v.mean() + slope * centred[last]))


def slope(
    times_s: ArrayLike,
    values: ArrayLike,
    limit_per_s: float,
    *,
    ceiling: float | None = None,
    confidence: float = 0.95,
    least: int = 5,
) -> Verdict:
    """Does a metric (memory, connections, queue) grow faster than allowed?

    Args:
        times_s, values: samples, shape (n,).
        limit_per_s: allowed growth, units per second.
        ceiling: where growth ends badly (a memory limit); adds `reaches_ceiling_s`, counted from the last sample.
        least: samples below which nothing is said.

    Returns:
        Unhealthy if the whole interval of the slope lies above the limit, healthy if none of it does, else
        inconclusive.
    """
    found = fit_slope(times_s, values, confidence=confidence)
    n = int((~np.isnan(np.asarray(values, dtype=np.float64))).sum())
    if n == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_DATA, {"limit_per_s": limit_per_s})
    if found is None or n < least:
        return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_SAMPLES, {"samples": float(n), "least": float(least)})
    numbers = {
        "slope_per_s": found.per_s,
        "low_per_s": found.low,
        "high_per_s": found.high,
        "limit_per_s": limit_per_s,
    }
    if ceiling is not None and found.per_s > 0.0:
        numbers["reaches_ceiling_s"] = max(ceiling - found.last, 0.0) / found.per_s
    if found.low > limit_per_s:
        return Verdict(Health.UNHEALTHY, Why.ABOVE_LIMIT, numbers)
    if found.high <= limit_per_s:
        return Verdict(Health.HEALTHY, Why.WITHIN_LIMIT, numbers)
    return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_SAMPLES, numbers)


def poisson_ratio_rule(expected_events: float, ratio: float = 2.0, *, truth: float = 1.0) -> float:
    """How often does "reject at `ratio` times the expected events" reject?

    Args:
        expected_events: events the baseline rate predicts for the canary's window.
        truth: the real ratio; 1 gives the false-alarm rate.

    Returns:
        P(X >= ratio * expected) for X ~ Poisson(truth * expected); no unit.

    >>> round(poisson_ratio_rule(1.0), 3)
    0.264
    """
    least = math.ceil(ratio * expected_events - 1e-9)
    mean = truth * expected_events
    return 1.0 if least <= 0 else float(pdtrc(least - 1, mean))


def poisson_ratio_miss(expected_events: float, ratio: float = 2.0) -> float:
    """How often the rule misses a revision that is exactly `ratio` times as bad."""
    least = math.ceil(ratio * expected_events - 1e-9)
    return float(pdtr(least - 1, ratio * expected_events)) if least > 0 else 0.0


def binomial_absolute_rule(n: int, limit: float, truth: float) -> float:
    """How often does "error share above `limit`" fire on `n` requests that fail with probability `truth`?

    >>> round(binomial_absolute_rule(1000, 0.01, 0.005), 3)
    0.013
    """
    return float(binom.sf(math.floor(limit * n + 1e-9), n, truth))
