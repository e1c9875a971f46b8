"""How different are two things that were tried under the same luck, and is it enough to tell?

Replications share their seeds, so differences are taken seed by seed: what both have in common cancels. A value that
was not measured in some replication is NaN; every result says how many it rests on. Nothing here is random: the same
numbers give the same verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, bdtrc, chdtrc, ndtri, stdtr, stdtrit

from zdsim.measure.intervals import LEVEL, Interval, count_interval, share_interval
from zdsim.plane.config import FloatArray, IntArray

RARE = 20  # events below which an interval by normal theory is not to be trusted
EXACT_FLIPS = 16  # differences up to which every pattern of signs is tried
MAX_NEEDED = 1_000_000  # replications; more than that is "never"
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over replications."""

    n: int  # replications in which it was measured
    mean: float  # NaN where n is 0
    sd: float  # of one replication; NaN where n is below 2
    interval: Interval | None  # None where n is below 2: one replication does not tell how much they vary


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second, paired by seed."""

    n: int  # replications in which both were measured
    mean: float
    sd: float
    interval: Interval | None
    p: float  # two-sided, of no difference; NaN where it cannot be told
    equal: bool  # the very same value in every replication


@dataclass(frozen=True, slots=True)
class Ratio:
    """First by second."""

    ratio: float
    interval: Interval | None  # None where the data do not bound it


def mean(values: FloatArray, *, level: float = LEVEL) -> Mean:
    """Mean with Student's t interval.

    Args:
        values: one a replication, shape (n,), any unit; NaN = not measured.
        level: coverage, strictly between 0 and 1.

    Source:
        Student (1908), "The probable error of a mean". Replications are independent, so nothing is batched.

    >>> found = mean(np.array([1.0, 2.0, 3.0, np.nan]))
    >>> print(found.n, found.mean, [round(limit, 4) for limit in found.interval])
    3 2.0 [-0.4841, 4.4841]
    """
    known = values[~np.isnan(values)]
    n = int(known.size)
    if n == 0:
        return Mean(0, math.nan, math.nan, None)
    # A constant has no spread, whatever rounding does to its mean.
    middle = float(known[0]) if np.all(known == known[0]) else float(known.mean())
    if n == 1:
        return Mean(1, middle, math.nan, None)
    sd = 0.0 if np.all(known == known[0]) else float(known.std(ddof=1))
    half = _t(n - 1, level) * sd / math.sqrt(n)
    return Mean(n, middle, sd, Interval(middle - half, middle + half))


def difference(first: FloatArray, second: FloatArray, *, level: float = LEVEL) -> Difference:
    """First minus second, seed by seed, with the paired t interval.

    Args:
        first, second: one a replication, the same seeds in the same order, shape (n,); NaN = not measured.
        level: coverage, strictly between 0 and 1.

    Raises:
        ValueError: the shapes differ.

    Source:
        Law (2015), Simulation Modeling and Analysis, 10.2.1, "A paired-t confidence interval".
    """
    if first.shape != second.shape:
        raise ValueError(f"pairs need the same replications; got {first.size} and {second.size}")
    by_seed = first - second
    found = mean(by_seed, level=level)
    return Difference(
        n=found.n,
        mean=found.mean,
        sd=found.sd,
        interval=found.interval,
        p=_t_test(found),
        equal=found.n > 0 and bool(np.all(by_seed[~np.isnan(by_seed)] == 0.0)),
    )


def sign_flip_p(first: FloatArray, second: FloatArray) -> float | None:
    """Exact two-sided p of no difference that assumes no law: were the signs of the differences a matter of luck?

    Returns:
        Share of the 2^n patterns of signs with a sum at least as far from zero. None for more than EXACT_FLIPS
        differences, where the t interval can be trusted, and for none.

    Source:
        Fisher (1935), The Design of Experiments, 21. Below 6 differences it cannot come under 5 %.
    """
    by_seed = (first - second)[~np.isnan(first - second)]
    if not 0 < by_seed.size <= EXACT_FLIPS:
        return None
    sums = np.zeros(1)
    for d in by_seed:
        sums = np.concatenate((sums + d, sums - d))
    slack = 1e-12 * float(np.abs(by_seed).sum())
    return float(np.mean(np.abs(sums) >= abs(float(by_seed.sum())) - slack))


def ratio_of_means(first: FloatArray, second: FloatArray, *, level: float = LEVEL) -> Ratio | None:
    """How many times the second the first is, with Fieller's interval for paired values.

    Returns:
        None with fewer than 2 pairs or where the second is zero on average. The interval is None where the second is
        not far enough from zero to bound it.

    Source:
        Fieller (1954), "Some problems in interval estimation", J. R. Stat. Soc. B 16(2).
    """
    both = ~np.isnan(first - second)
    a, b = first[both], second[both]
    n = int(a.size)
    if n < 2 or float(b.mean()) == 0.0:
        return None
    mean_a, mean_b = float(a.mean()), float(b.mean())
    if np.array_equal(a, b):
        return Ratio(1.0, Interval(1.0, 1.0))
    covariance = np.cov(a, b, ddof=1) / n
    t2 = _t(n - 1, level) ** 2
    lead = mean_b**2 - t2 * float(covariance[1, 1])
    if lead <= 0.0:
        return Ratio(mean_a / mean_b, None)
    middle = mean_a * mean_b - t2 * float(covariance[0, 1])
    root = math.sqrt(max(0.0, middle**2 - lead * (mean_a**2 - t2 * float(covariance[0, 0]))))
    return Ratio(mean_a / mean_b, Interval((middle - root) / lead, (middle + root) / lead))


def rare_rate(events: int, exposure: float, *, level: float = LEVEL) -> Interval:
    """Exact interval of a rate that was seen a few times or never.

    Args:
        events: summed over all replications.
        exposure: what they are counted against (requests), above 0.

    Returns:
        Events by exposure: Garwood's limits (see `intervals.count_interval`).
    """
    if exposure <= 0.0:
        raise ValueError(f"exposure must be positive; got {exposure}")
    sure = count_interval(events, level=level)
    return Interval(sure.low / exposure, sure.high / exposure)


def rare_difference(
    first: int, first_exposure: float, second: int, second_exposure: float, *, level: float = LEVEL
) -> Interval:
    """Interval of the difference of two rare rates, from the exact limits of each.

    Source:
        Zou and Donner (2008), "Construction of confidence limits about effect measures", Stat. Med. 27 (MOVER).
        Pairing is not used, so it is rather too wide than too narrow.
    """
    a, b = first / first_exposure, second / second_exposure
    low_a, high_a = rare_rate(first, first_exposure, level=level)
    low_b, high_b = rare_rate(second, second_exposure, level=level)
    return Interval(
        a - b - math.hypot(a - low_a, high_b - b),
        a - b + math.hypot(high_a - a, b - low_b),
    )


def rare_ratio(
    first: int, first_exposure: float, second: int, second_exposure: float, *, level: float = LEVEL
) -> Ratio | None:
    """How many times the second rate the first is: exact, given how many events there were in all.

    Returns:
        None without any event. Infinite limits where the second saw none.

    Source:
        Przyborowski and Wilenski (1940), "Homogeneity of results in testing samples from Poisson series".
    """
    sure = share_interval(first, first + second, level=level)
    if sure is None:
        return None
    scale = second_exposure / first_exposure

    def odds(share: float) -> float:
        return math.inf if share >= 1.0 else scale * share / (1.0 - share)

    return Ratio(odds(first / (first + second)), Interval(odds(sure.low), odds(sure.high)))


def rare_p(first: int, first_exposure: float, second: int, second_exposure: float) -> float:
    """Exact two-sided p of two rare rates being the same (twice the smaller tail): what `rare_ratio` inverts."""
    n, share = first + second, first_exposure / (first_exposure + second_exposure)
    if n == 0:
        return 1.0
    below = float(bdtr(first, n, share))
    above = 1.0 if first == 0 else float(bdtrc(first - 1, n, share))
    return min(1.0, 2.0 * min(below, above))


def clustered(events: IntArray, *, level: float = 0.99) -> bool:
    """Do the events of replications come in bursts, so that they are not so many independent witnesses?

    Args:
        events: counts, one a replication, shape (n,).

    Returns:
        True where their variance is too large for a Poisson law. False with fewer than two events: no burst can be.

    Source:
        Fisher, Thornton and Mackenzie (1922), the index of dispersion, against chi-square.
    """
    total, n = int(events.sum()), int(events.size)
    if n < 2 or total < 2:
        return False
    expected = total / n
    index = float(((events - expected) ** 2).sum()) / expected
    return bool(chdtrc(n - 1, index) < 1.0 - level)


def needed_replications(d: float, sd: float, *, alpha: float = 1.0 - LEVEL, power: float = POWER) -> int | None:
    """Replications at which a paired difference of this size would be found.

    Args:
        d, sd: mean and standard deviation of the paired differences so far, same unit.
        alpha: of the two-sided test.
        power: chance to find it.

    Returns:
        At least 2. None where no number is known to do (no difference or no spread seen) or MAX_NEEDED would not do.
        It rests on an estimate of `d`: rather an order of magnitude than a promise.

    Source:
        Chow, Shao and Wang (2008), Sample Size Calculations in Clinical Research, 3.1 (one sample), iterated.
    """
    if not (math.isfinite(d) and math.isfinite(sd)) or d == 0.0:
        return None
    if sd == 0.0:
        return 2
    effect = abs(d) / sd
    n = ((float(ndtri(1.0 - alpha / 2.0)) + float(ndtri(power))) / effect) ** 2
    if n > MAX_NEEDED:
        return None
    size = max(2, math.ceil(n))
    for _ in range(50):
        t = float(stdtrit(size - 1, 1.0 - alpha / 2.0)) + float(stdtrit(size - 1, power))
        if size >= (t / effect) ** 2:
            break
        size = max(size + 1, min(math.ceil((t / effect) ** 2), 2 * size))
    return size if size <= MAX_NEEDED else None


def needed_for_half_width(sd: float, half_width: float, *, level: float = LEVEL) -> int | None:
    """Replications at which the interval of a mean is expected to be as narrow as wanted.

    Args:
        sd: of one replication.
        half_width: wanted, above 0, same unit.

    Source:
        Law (2015), Simulation Modeling and Analysis, 9.4.1, "Obtaining a specified precision".
    """
    if half_width <= 0.0:
        raise ValueError(f"half_width must be positive; got {half_width}")
    if not math.isfinite(sd):
        return None
    if (float(ndtri(0.5 + level / 2.0)) * sd / half_width) ** 2 > MAX_NEEDED:
        return None
    size = 2
    while _t(size - 1, level) * sd / math.sqrt(size) > half_width and size <= MAX_NEEDED:
        size += max(1, size // 64)  # within 2 %: a sample's spread is not known better
    return size if size <= MAX_NEEDED else None


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for having looked at all of them: the chance of any false claim stays below the level.

    Args:
        p: NaN = not tested, and not counted.

    Returns:
        Same order.

    Source:
        Holm (1979), "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    tested = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    out = [math.nan] * len(p)
    worst = 0.0
    for rank, (value, i) in enumerate(tested):
        worst = max(worst, min(1.0, (len(tested) - rank) * value))
        out[i] = worst
    return out


def _t(df: int, level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1; got {level}")
    return float(stdtrit(df, 0.5 + level / 2.0))


def _t_test(found: Mean) -> float:
    if found.n < 2:
        return math.nan
    if found.sd == 0.0:
        return 1.0 if found.mean == 0.0 else 0.0
    return 2.0 * float(stdtr(found.n - 1, -abs(found.mean) / (found.sd / math.sqrt(found.n))))
