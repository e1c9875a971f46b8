"""By how much did a metric shift, as Kayenta's Mann-Whitney test sees it?

The asymptotic interval of R's `wilcox.test(..., conf.int = TRUE)`: the shifts that the rank-sum test, with ties
averaged and continuity corrected, would not reject. Kayenta ported R's root finder with it, tolerance 1e-4; on data of
that scale the answer depends on the path the root finder takes, so the same algorithm is spelled here and not SciPy's
relative of it.

Source: spinnaker/kayenta, kayenta-mannwhitney, MannWhitney.scala and BrentSolver.java; R,
src/library/stats/R/wilcox.test.R.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from zdsim.plane.config import FloatArray, IntArray

TOLERANCE: Final = 1e-4
MAX_ITERATIONS: Final = 1001
EPSILON: Final = 2.220446049250313e-16


class ShiftInterval(NamedTuple):
    """Interval and point estimate (Hodges-Lehmann) of x minus y, in the metric's unit.

    The root finder's tolerance is absolute: for metrics of scale 1e-5 the limits may even cross.
    """

    lower: float
    upper: float
    estimate: float


class AllTiedError(ValueError):
    """All observations are equal after the shift: the rank test has no variance."""


def wilcoxon_diff(mu: float, quantile: float, x: ArrayLike, y: ArrayLike) -> float:
    """Continuity-corrected z of the rank-sum test of "x - mu against y", minus `quantile`.

    Args:
        mu: shift taken off `x`, in the metric's unit.
        quantile: of the standard normal law.
        x, y: canary and baseline, shapes (m,) and (n,), no NaN.

    Raises:
        AllTiedError: every value is the same.
    """
    canary, baseline = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    m, n = float(canary.size), float(baseline.size)
    ranks = rankdata(np.concatenate([canary - mu, baseline]))
    ties = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    d = float(ranks[: canary.size].sum()) - m * (m + 1.0) / 2.0 - m * n / 2.0
    spread = (m + n + 1.0) - float((ties**3 - ties).sum()) / ((m + n) * (m + n - 1.0))
    variance = m * n / 12.0 * spread
    if variance <= 0.0:
        raise AllTiedError("no confidence interval exists when all observations are tied")
    return (d - 0.5 * float(np.sign(d))) / math.sqrt(variance) - quantile


def shift_interval(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.98) -> ShiftInterval:
    """Two-sided interval of the shift of canary `x` against baseline `y`.

    Args:
        x, y: shapes (m,) and (n,), both at least one value, no NaN.
        confidence: strictly between 0 and 1; Kayenta's judge uses 0.98.

    Raises:
        ValueError: `confidence` out of range or an empty sample; AllTiedError: see `wilcoxon_diff`.

    >>> shift_interval([10, 20, 30, 40], [1, 2, 3, 4], confidence=0.95)
    ShiftInterval(lower=6.0, upper=39.0, estimate=22.5)
    """
    canary, baseline = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie strictly between 0 and 1; got {confidence}")
    if canary.size == 0 or baseline.size == 0:
        raise ValueError("a shift needs at least one value on each side")
    low, high = float(canary.min() - baseline.max()), float(canary.max() - baseline.min())

    def limit(quantile: float) -> float:
        at_low = wilcoxon_diff(low, quantile, canary, baseline)
        at_high = wilcoxon_diff(high, quantile, canary, baseline)
        if at_low <= 0.0:
            return low
        if at_high >= 0.0:
            return high
        return zeroin(lambda mu: wilcoxon_diff(mu, quantile, canary, baseline), low, high, at_low, at_high)

    q = float(ndtri((1.0 - confidence) / 2.0))
    ends = wilcoxon_diff(low, 0.0, canary, baseline), wilcoxon_diff(high, 0.0, canary, baseline)
    estimate = zeroin(lambda mu: wilcoxon_diff(mu, 0.0, canary, baseline), low, high, *ends)
    return ShiftInterval(lower=limit(-q), upper=limit(q), estimate=estimate)


def zeroin(f: Callable[[float], float], low: float, high: float, f_low: float, f_high: float) -> float:
    """Brent's root finder with Kayenta's tolerance: bisection, or a faster step where that is safe.

    Source:
        Brent (1973), Algorithms for Minimization Without Derivatives, ch. 4.
    """
    if f_low == 0.0:
        return low
    if f_high == 0.0:
        return high
    previous, f_previous = low, f_low  # the iterate before the best one
    best, f_best = high, f_high
    other, f_other = low, f_low  # best and other enclose the root
    for _ in range(MAX_ITERATIONS):
        last_step = best - previous
        if abs(f_other) < abs(f_best):
            previous, best, other = best, other, best
            f_previous, f_best, f_other = f_best, f_other, f_best
        smallest = 2.0 * EPSILON * abs(best) + TOLERANCE / 2.0
        half = (other - best) / 2.0
        if abs(half) <= smallest or f_best == 0.0:
            return best
        step: float | None = None
        if abs(last_step) >= smallest and abs(f_previous) > abs(f_best):
            step = _interpolated(best, previous, other, f_best, f_previous, f_other, last_step, smallest)
        if step is None:
            step = half
        if abs(step) < smallest:
            step = smallest if step > 0.0 else -smallest
        previous, f_previous = best, f_best
        best += step
        f_best = f(best)
        if f_best * f_other > 0.0:
            other, f_other = previous, f_previous
    return best


def _interpolated(
    b: float, a: float, c: float, fb: float, fa: float, fc: float, last_step: float, smallest: float
) -> float | None:
    """Secant or inverse quadratic step from `b`; None where it would leave the bracket or shrink too slowly."""
    if a == c:
        p = (c - b) * (fb / fa)
        q = 1.0 - fb / fa
    else:
        u, v, w = fa / fc, fb / fc, fb / fa
        p = w * ((c - b) * u * (u - v) - (b - a) * (v - 1.0))
        q = (u - 1.0) * (v - 1.0) * (w - 1.0)
    p, q = (p, -q) if p > 0.0 else (-p, q)
    inside = p < 0.75 * (c - b) * q - abs(smallest * q) / 2.0
    return p / q if inside and p < abs(last_step * q / 2.0) else None


def cles(x: ArrayLike, y: ArrayLike) -> float:
    """Common-language effect size: probability that a canary value exceeds a baseline value, ties counting half.

    Args:
        x, y: canary and baseline, shapes (m,) and (n,), both non-empty.

    Returns:
        0 to 1; 0.5 means no shift.

    Source:
        McGraw and Wong (1992); Kayenta's `cles`.

    >>> cles([10, 20], [1, 2]), cles([1, 2], [1, 2])
    (1.0, 0.5)
    """
    canary, baseline = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    m, n = canary.size, baseline.size
    rank_sum = float(rankdata(np.concatenate([canary, baseline]))[:m].sum())
    return (2.0 * rank_sum - m * (m + 1)) / (2.0 * m * n)


def running_p_values(x: Sequence[float], y: Sequence[float]) -> FloatArray:
    """Two-sided asymptotic p-value after each pair of observations: what a dashboard that never stops looking sees.

    Args:
        x, y: canary and baseline in order of arrival, both shape (n,), no ties expected (none corrected).

    Returns:
        Shape (n,).
    """
    seen_x: list[float] = []
    seen_y: list[float] = []
    u: IntArray = np.zeros(len(x), dtype=np.int64)
    above = 0
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        above += len(seen_x) - bisect_right(seen_x, b)
        insort(seen_x, a)
        insort(seen_y, b)
        above += bisect_left(seen_y, a)
        u[i] = above
    n = np.arange(1, len(x) + 1, dtype=np.float64)
    d = np.maximum(np.abs(u - n * n / 2.0) - 0.5, 0.0)
    p: FloatArray = 2.0 * ndtr(-d / np.sqrt(n * n * (2.0 * n + 1.0) / 12.0))
    return p
