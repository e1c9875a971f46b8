"""Which tests stay honest however often one looks?

Each keeps its probability of ever calling equal revisions different below alpha, over all looks together. The price is
width: at one fixed look a fixed-sample test sees more.

Source: Johari, Koomen, Pekelis and Walsh (2017/2022), "Always valid inference" (mSPRT); Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas, arXiv 2103.06476 (asymptotic confidence sequence); Howard, Ramdas, McAuliffe and Sekhon, arXiv
1810.08240 (sub-Gaussian); Lindon and Malek, arXiv 2011.03567 (counts); Howard and Ramdas, arXiv 1906.09712 (whole
distributions), as used by Lindon, Sanden and Shirikian, arXiv 2205.14762.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betaln

from zdsim.measure.intervals import Interval
from zdsim.plane.config import FloatArray

NEVER_SURE: Final = Interval(-math.inf, math.inf)


def _check(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1; got {alpha}")


# --- mixture sequential probability ratio test ---------------------------------------------------------------------


def msprt_log_ratio(n: ArrayLike, difference: ArrayLike, variance: ArrayLike, prior_variance: float) -> FloatArray:
    """Log of the mixture likelihood ratio for two streams of `n` values each.

    Args:
        n: values seen of each stream (for unequal streams their harmonic mean, `balanced_size`).
        difference: mean of new minus mean of stable.
        variance: common variance of one value.
        prior_variance: of the difference one expects, same unit squared.

    Returns:
        Broadcast shape; reject when it reaches log(1 / alpha). 0 where nothing was seen or nothing varies.
    """
    n_, d, s2 = (np.asarray(a, dtype=np.float64) for a in (n, difference, variance))
    t2 = prior_variance
    width = 2.0 * s2 + n_ * t2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 0.5 * np.log(2.0 * s2 / width) + n_**2 * t2 * d**2 / (4.0 * s2 * width)
    out: FloatArray = np.where((n_ > 0) & (s2 > 0), ratio, 0.0)
    return out


def msprt_p_values(n: ArrayLike, difference: ArrayLike, variance: ArrayLike, prior_variance: float) -> FloatArray:
    """Always-valid p-values of a series of looks (last axis): they never rise again."""
    log_ratio = msprt_log_ratio(n, difference, variance, prior_variance)
    p: FloatArray = np.minimum.accumulate(np.minimum(np.exp(-log_ratio), 1.0), axis=-1)
    return p


def msprt_interval(n: float, difference: float, variance: float, prior_variance: float, *, alpha: float) -> Interval:
    """Confidence sequence of the difference at one look; infinite before the first value."""
    _check(alpha)
    if n <= 0 or variance <= 0.0:
        return NEVER_SURE if n <= 0 else Interval(difference, difference)
    width = 2.0 * variance + n * prior_variance
    inner = math.log(1.0 / alpha) + 0.5 * math.log(width / (2.0 * variance))
    reach = math.sqrt(4.0 * variance * width / (n**2 * prior_variance) * inner)
    return Interval(difference - reach, difference + reach)


def balanced_size(n_new: ArrayLike, n_stable: ArrayLike) -> FloatArray:
    """Size of two equal streams whose difference of means varies as much; 0 if one is empty.

    >>> float(balanced_size(100, 1900))
    190.0
    """
    a, b = np.asarray(n_new, dtype=np.float64), np.asarray(n_stable, dtype=np.float64)
    out: FloatArray = np.divide(2.0 * a * b, a + b, out=np.zeros(np.broadcast(a, b).shape), where=(a + b) > 0)
    return out


# --- confidence sequences of a mean --------------------------------------------------------------------------------


def asymptotic_radius(t: ArrayLike, sd: ArrayLike, *, alpha: float, tightest_at: float) -> FloatArray:
    """Half width, for all t at once, around the running mean of `t` values of any law with finite variance.

    Args:
        t: values seen; sd: their standard deviation.
        tightest_at: number of values at which the sequence is to be narrowest.

    Returns:
        Unit of `sd`; infinite at t = 0.
    """
    _check(alpha)
    t_, s = np.asarray(t, dtype=np.float64), np.asarray(sd, dtype=np.float64)
    r2 = (-2.0 * math.log(alpha) + math.log(-2.0 * math.log(alpha) + 1.0)) / tightest_at
    grown = t_ * r2 + 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = s * np.sqrt(2.0 * grown / (t_**2 * r2) * np.log(np.sqrt(grown) / alpha))
    out: FloatArray = np.where(t_ > 0, radius, np.inf)
    return out


def subgaussian_radius(t: ArrayLike, sd: float, *, alpha: float) -> FloatArray:
    """Half width around the running mean of `sd`-sub-Gaussian values, exact at every t >= 1, infinite at 0."""
    _check(alpha)
    t_ = np.asarray(t, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.log(np.log(2.0 * t_)) + 0.72 * math.log(10.4 / alpha)
        radius = 1.7 * sd * np.sqrt(inner / t_)
    out: FloatArray = np.where(t_ >= 1, radius, np.inf)
    return out


# --- failures as counts --------------------------------------------------------------------------------------------


def counts_log_ratio(
    new_events: ArrayLike, events: ArrayLike, share: float, *, prior: tuple[float, float] = (1.0, 1.0)
) -> FloatArray:
    """Log Bayes factor of "the new revision has another share of the failures than of the traffic".

    Args:
        new_events, events: failures of new and stable; any broadcast shape.
        share: of the traffic that goes to the new revision, in (0, 1).
        prior: Beta(a, b) of the new revision's share of failures.

    Returns:
        That shape; reject when it reaches log(1 / alpha).
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must lie strictly between 0 and 1; got {share}")
    a, b = prior
    n1, n0 = np.asarray(new_events, dtype=np.float64), np.asarray(events, dtype=np.float64)
    out: FloatArray = betaln(a + n1, b + n0) - betaln(a, b) - n1 * math.log(share) - n0 * math.log1p(-share)
    return out


def rate_ratio_interval(
    new_events: int, events: int, share: float, *, alpha: float = 0.05, prior: tuple[float, float] = (1.0, 1.0)
) -> Interval:
    """Anytime-valid interval of (error rate of new) / (error rate of stable): every ratio not rejected so far.

    >>> low, high = rate_ratio_interval(50, 50, 0.05)
    >>> bool(low > 5.0), bool(high < 40.0)
    (True, True)
    """
    _check(alpha)
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must lie strictly between 0 and 1; got {share}")
    a, b = prior
    floor = float(betaln(a + new_events, b + events) - betaln(a, b)) + math.log(alpha)

    def excess(p: float) -> float:
        return (new_events * math.log(p) if new_events else 0.0) + (events * math.log1p(-p) if events else 0.0) - floor

    tiny = 1e-12
    peak = min(max(new_events / (new_events + events), tiny), 1.0 - tiny) if new_events + events else 0.5
    low = float(brentq(excess, tiny, peak)) if excess(tiny) < 0.0 < excess(peak) else 0.0
    high = float(brentq(excess, peak, 1.0 - tiny)) if excess(1.0 - tiny) < 0.0 < excess(peak) else 1.0
    return Interval(_ratio_of(low, share), _ratio_of(high, share))


def _ratio_of(p: float, share: float) -> float:
    return math.inf if p >= 1.0 else p / (1.0 - p) * (1.0 - share) / share


# --- whole distributions -------------------------------------------------------------------------------------------


def distribution_radius(t: ArrayLike, *, alpha: float) -> FloatArray:
    """Half width of a band around the empirical distribution of `t` values that holds for all t and all x at once.

    Returns:
        No unit, at most 1 (where it says nothing).
    """
    _check(alpha)
    t_ = np.asarray(t, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = 0.85 * np.sqrt((np.log(np.log(math.e * t_)) + 0.8 * math.log(1612.0 / alpha)) / t_)
    out: FloatArray = np.where(t_ >= 1, np.minimum(radius, 1.0), 1.0)
    return out


def slower_by(new: ArrayLike, stable: ArrayLike, *, alpha: float = 0.05) -> float:
    """By how much the bands prove the new revision's values larger (slower) somewhere.

    Args:
        new, stable: samples, any sizes.

    Returns:
        Largest gap (stable's band above new's band), as a share of requests; above 0 is proof at level `alpha`,
        whenever and however often one looks. -1 without data.
    """
    x, y = np.sort(np.asarray(new, dtype=np.float64)), np.sort(np.asarray(stable, dtype=np.float64))
    if x.size == 0 or y.size == 0:
        return -1.0
    at = np.concatenate([x, y])
    gap = np.searchsorted(y, at, side="right") / y.size - np.searchsorted(x, at, side="right") / x.size
    return float(gap.max()) - _both(x.size, y.size, alpha)


def slower_by_histogram(new: ArrayLike, stable: ArrayLike, *, alpha: float = 0.05) -> float:
    """`slower_by` for counts by latency bucket (same buckets), shape (B,)."""
    x, y = np.asarray(new, dtype=np.float64), np.asarray(stable, dtype=np.float64)
    m, n = float(x.sum()), float(y.sum())
    if m == 0.0 or n == 0.0:
        return -1.0
    return float((np.cumsum(y) / n - np.cumsum(x) / m).max()) - _both(m, n, alpha)


def _both(m: float, n: float, alpha: float) -> float:
    """Two bands, each at half of alpha."""
    return float(distribution_radius(m, alpha=alpha / 2.0) + distribution_radius(n, alpha=alpha / 2.0))
