"""How long must a canary run before its judge can see anything, and what does that cost the users?

For a judge, a weight, a rate of traffic and two error rates: how often a bad revision is caught, how often a good one
is blamed, when, and how many requests pay for it. A fixed-sample test looked at several times has a numerical answer
(the density of the test statistic among canaries not yet stopped, carried from look to look), an absolute threshold
looked at once an exact one; everything else is the judge itself, simulated with a seed and a standard error.

Source: Fleiss, Levin and Paik (2003) for sizes; Armitage, McPherson and Rowe (1969), "Repeated significance tests on
accumulating data", for looks; Google, SRE Workbook, ch. 16, for what a canary costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple, assert_never

import numpy as np
from scipy.special import ndtr

from zdsim.measure.judges import anytime, kayenta, thresholds
from zdsim.measure.judges.kayenta import Classification, MetricConfig
from zdsim.measure.judges.mann_whitney import wilcoxon_diff
from zdsim.measure.judges.proportions import (
    Sided,
    Sprt,
    critical_z,
    required_requests,
    two_proportion_z,
)
from zdsim.measure.judges.verdict import Direction
from zdsim.plane.config import BoolArray, FloatArray, IntArray
from zdsim.plane.luck import stream_key

NODES: Final = 160  # Gauss-Legendre nodes of the density between looks
FAR: Final = 9.0  # standard deviations after which a density is nothing
REPLICATIONS: Final = 4000
SLOW_REPLICATIONS: Final = 200  # of Kayenta's rank test
LONGEST_S: Final = 30 * 86400.0


class Judge(StrEnum):
    TWO_PROPORTION = "two_proportion"
    RATIO = "ratio"
    ABSOLUTE = "absolute"
    SPRT = "sprt"
    MSPRT = "msprt"
    COUNTS = "counts"
    KAYENTA = "kayenta"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One canary: its traffic, its judge, and the two revisions it may be.

    Attributes:
        weight: share of traffic to the new revision, in (0, 1).
        rate: requests per second, both revisions together.
        baseline, effect: error rates of a good and of a bad new revision.
        window_s: from the first request on the new revision to the promotion.
        looks: how often the judge is asked, equally spaced; the last at the window's end.
        limit: of `ratio` (no unit) and `absolute` (error rate; None: halfway between both).
        interval_s: one Kayenta sample.
        recovery_s: from the failing verdict to the last request on the new revision.
        requests_per_user: made by one user during the canary, all on the same revision.
    """

    judge: Judge = Judge.TWO_PROPORTION
    weight: float
    rate: float
    baseline: float
    effect: float
    window_s: float
    looks: int = 1
    alpha: float = 0.05
    power: float = 0.8
    sided: Sided = Sided.ONE
    limit: float | None = None
    interval_s: float = 15.0
    recovery_s: float = 0.0
    requests_per_user: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("weight", "baseline", "effect", "alpha", "power"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} must lie strictly between 0 and 1; got {value:g}")
        for name in ("rate", "window_s", "interval_s", "requests_per_user"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name):g}")
        if self.effect <= self.baseline:
            raise ValueError(f"effect ({self.effect:g}) must be above baseline ({self.baseline:g}): the bad error rate")
        if self.looks < 1 or self.recovery_s < 0.0:
            raise ValueError(f"need looks >= 1 and recovery_s >= 0; got {self.looks} and {self.recovery_s:g}")

    @property
    def stable_per_new(self) -> float:
        return (1.0 - self.weight) / self.weight

    @property
    def ceiling(self) -> float:
        """Of the absolute threshold, an error rate."""
        return (self.baseline + self.effect) / 2.0 if self.limit is None else self.limit

    @property
    def requests(self) -> float:
        """On the new revision until the window's end."""
        return self.rate * self.weight * self.window_s


@dataclass(frozen=True, slots=True)
class Found:
    """Probability that the judge has stopped the canary by each look, shape (looks,).

    `standard_error` of the last one: 0 where it was computed and not simulated.
    """

    by_look: FloatArray
    standard_error: float

    @property
    def total(self) -> float:
        return float(self.by_look[-1])


@dataclass(frozen=True, slots=True)
class Power:
    """What to expect of a canary.

    Attributes:
        detection, false_alarm: probabilities that a bad, a good revision is stopped within the window.
        time_to_detect_s: mean, of the bad ones that are stopped; NaN if none is.
        exposure_s: mean time a bad revision serves its weight: until stopped and drained, or the window's end (after
            which it is promoted).
        failed_requests: mean failures of the bad revision in that time; `excess_requests`: minus what a good revision
            would have failed.
        harmed_users: mean users with at least one failure.
        needed_s: shortest window with the wanted power; None if a month does not suffice.
        exact: computed, not simulated; else the standard errors tell.
    """

    detection: float
    detection_error: float
    false_alarm: float
    false_alarm_error: float
    time_to_detect_s: float
    exposure_s: float
    requests: float
    failed_requests: float
    excess_requests: float
    harmed_users: float
    needed_s: float | None
    needed_requests: float | None
    exact: bool


def analyse(canary: Canary) -> Power:
    """Everything `zdsim analyse power` tells."""
    bad, good = found(canary, canary.effect), found(canary, canary.baseline)
    steps = np.diff(bad.by_look, prepend=0.0)
    at_s = canary.window_s * (np.arange(canary.looks) + 1) / canary.looks
    detect_s = float((steps * at_s).sum()) / bad.total if bad.total > 0.0 else math.nan
    exposure_s = float((steps * (at_s + canary.recovery_s)).sum()) + (1.0 - bad.total) * canary.window_s
    exposed = canary.rate * canary.weight * exposure_s
    m = canary.requests_per_user
    needed_s = needed_window(canary)
    return Power(
        detection=bad.total,
        detection_error=bad.standard_error,
        false_alarm=good.total,
        false_alarm_error=good.standard_error,
        time_to_detect_s=detect_s,
        exposure_s=exposure_s,
        requests=canary.requests,
        failed_requests=exposed * canary.effect,
        excess_requests=exposed * (canary.effect - canary.baseline),
        harmed_users=exposed / m * -math.expm1(m * math.log1p(-canary.effect)),
        needed_s=needed_s,
        needed_requests=None if needed_s is None else canary.rate * canary.weight * needed_s,
        exact=bad.standard_error == 0.0 and good.standard_error == 0.0,
    )


def found(canary: Canary, truth: float) -> Found:
    """How often a revision with error rate `truth` is stopped, by look."""
    if canary.judge is Judge.TWO_PROPORTION:
        return Found(_repeated_z_test(canary, truth), 0.0)
    if canary.judge is Judge.ABSOLUTE and canary.looks == 1:
        fires = thresholds.binomial_absolute_rule(max(round(canary.requests), 1), canary.ceiling, truth)
        return Found(np.array([fires]), 0.0)
    return simulate(canary, truth)


def needed_window(canary: Canary) -> float | None:
    """Shortest window, seconds, whose detection probability reaches `power`; None if a month does not suffice."""
    per_s = canary.rate * canary.weight
    if canary.judge is Judge.TWO_PROPORTION and canary.looks == 1:
        size = required_requests(
            canary.baseline,
            canary.effect,
            stable_per_new=canary.stable_per_new,
            alpha=canary.alpha,
            power=canary.power,
            sided=canary.sided,
        )
        return math.ceil(size) / per_s if math.ceil(size) / per_s <= LONGEST_S else None

    slow = canary.judge is Judge.KAYENTA

    def short_of(window_s: float) -> bool:
        longer = replace(canary, window_s=window_s)
        seen = simulate(longer, canary.effect, replications=60) if slow else found(longer, canary.effect)
        return seen.total < canary.power

    low, high = 1.0 / per_s, max(canary.window_s, 2.0 / per_s)
    while short_of(high):
        if high >= LONGEST_S or (slow and high > 300.0 * canary.interval_s):
            return None
        low, high = high, min(2.0 * high, LONGEST_S)
    exact = canary.judge is Judge.TWO_PROPORTION
    while high > low * (1.001 if exact else 1.2 if slow else 1.03):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if short_of(middle) else (low, middle)
    return high


# --- several looks at a fixed-sample test ----------------------------------------------------------------------------


def peeking_false_alarm(looks: int, *, alpha: float = 0.05, sided: Sided = Sided.TWO) -> float:
    """Probability that a good revision is blamed at one of several equally spaced looks, each at level `alpha`.

    >>> [round(100 * peeking_false_alarm(k), 1) for k in (1, 2, 5, 10)]
    [5.0, 8.3, 14.2, 19.3]
    """
    return float(crossing(np.arange(1, looks + 1) / looks, 0.0, critical_z(alpha, sided), sided)[-1])


def _repeated_z_test(canary: Canary, truth: float) -> FloatArray:
    k = canary.stable_per_new
    n = canary.requests
    mean = (truth + k * canary.baseline) / (1.0 + k)
    under_null = math.sqrt(mean * (1.0 - mean) * (1.0 + 1.0 / k) / n)
    under_truth = math.sqrt((truth * (1.0 - truth) + canary.baseline * (1.0 - canary.baseline) / k) / n)
    edge = critical_z(canary.alpha, canary.sided) * under_null / under_truth
    information = np.arange(1, canary.looks + 1) / canary.looks
    return crossing(information, (truth - canary.baseline) / under_truth, edge, canary.sided)


def crossing(information: FloatArray, drift: float, edge: float, sided: Sided) -> FloatArray:
    """Probability that a Brownian motion with drift has been beyond `edge` * sqrt(t) by each look.

    Args:
        information: times of the looks as shares of the last, rising to 1, shape (looks,).
        drift: mean of the standardised statistic at the last look.
        edge: its critical value at every look.

    Returns:
        Shape (looks,), rising. Numerical error below 1e-6.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    stopped = np.zeros(information.size)
    at: FloatArray = np.zeros(1)  # where the motion may be among those not stopped
    mass: FloatArray = np.ones(1)  # and how much of it is there
    before, total = 0.0, 0.0
    for i, t in enumerate(information.tolist()):
        step = t - before
        sd, moved = math.sqrt(step), at + drift * step
        high = edge * math.sqrt(t)
        total += float((mass * ndtr((moved - high) / sd)).sum())
        low = -high if sided is Sided.TWO else min(drift * t, 0.0) - FAR * math.sqrt(t)
        if sided is Sided.TWO:
            total += float((mass * ndtr((low - moved) / sd)).sum())
        stopped[i] = total
        spread = (high - low) / 2.0
        x = low + spread * (nodes + 1.0)
        kernel = np.exp(-0.5 * ((x[:, None] - moved[None, :]) / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi))
        at, mass = x, (kernel @ mass) * weights * spread
        before = t
    out: FloatArray = np.clip(stopped, 0.0, 1.0)
    return out


# --- simulation of the judge itself ----------------------------------------------------------------------------------


def simulate(canary: Canary, truth: float, *, replications: int | None = None) -> Found:
    """Play many canaries of error rate `truth` past their judge.

    The counts come from NumPy's PCG64, seeded by the stream "power/JUDGE": a planning aid, not part of a run's luck.
    """
    rng = np.random.Generator(np.random.PCG64(stream_key(canary.seed, f"power/{canary.judge}")))
    if canary.judge is Judge.KAYENTA:
        n = replications or SLOW_REPLICATIONS
        stopped = np.array([_kayenta_stops(canary, truth, rng, i) for i in range(n)], dtype=np.bool_)
    else:
        n = replications or REPLICATIONS
        stopped = _stops(canary)(_Counts.draw(canary, truth, rng, n))
    by_look: FloatArray = np.maximum.accumulate(stopped, axis=1).mean(axis=0)
    share = float(by_look[-1])
    return Found(by_look, math.sqrt(max(share * (1.0 - share), 0.25 / n) / n))


class _Counts(NamedTuple):
    """Cumulative counts by canary and look, shape (replications, looks)."""

    new_events: IntArray
    new_total: IntArray
    events: IntArray
    total: IntArray

    @classmethod
    def draw(cls, canary: Canary, truth: float, rng: np.random.Generator, n: int) -> _Counts:
        per_look = canary.rate * canary.window_s / canary.looks
        shape = (n, canary.looks)
        new_total = rng.poisson(per_look * canary.weight, shape)
        total = rng.poisson(per_look * (1.0 - canary.weight), shape)
        new_events, events = rng.binomial(new_total, truth), rng.binomial(total, canary.baseline)
        return cls(*(np.cumsum(a, axis=1) for a in (new_events, new_total, events, total)))


def _stops(canary: Canary) -> Callable[[_Counts], BoolArray]:
    """Which canaries the judge stops at which look."""
    match canary.judge:
        case Judge.TWO_PROPORTION:
            z = critical_z(canary.alpha, canary.sided)
            return lambda c: _beyond(two_proportion_z(*c), z, canary.sided)
        case Judge.RATIO:
            limit = 2.0 if canary.limit is None else canary.limit
            return lambda c: _ratio_stops(c, limit)
        case Judge.ABSOLUTE:
            return lambda c: c.new_events > canary.ceiling * c.new_total
        case Judge.SPRT:
            test = Sprt(canary.baseline, canary.effect, canary.alpha, 1.0 - canary.power)
            return lambda c: _sprt_stops(test, c)
        case Judge.MSPRT:
            return lambda c: _msprt_stops(canary, c)
        case Judge.COUNTS:
            return lambda c: _counts_stops(canary, c)
        case Judge.KAYENTA:
            raise AssertionError("Kayenta judges samples, not counts")
        case _:
            assert_never(canary.judge)


def _beyond(z: FloatArray, edge: float, sided: Sided) -> BoolArray:
    out: BoolArray = (np.abs(z) if sided is Sided.TWO else z) >= edge
    return out


def _ratio_stops(c: _Counts, limit: float) -> BoolArray:
    """New share at least `limit` times stable's; a failure against none counts as above any ratio."""
    out: BoolArray = (c.new_events * c.total >= limit * c.events * c.new_total) & (c.new_events > 0)
    return out


def _sprt_stops(test: Sprt, c: _Counts) -> BoolArray:
    """The first boundary reached decides: an accepted revision is not rejected later."""
    ratio = test.log_ratio(c.new_events, c.new_total)
    accepted = np.maximum.accumulate(ratio <= test.lower, axis=1)
    out: BoolArray = (ratio >= test.upper) & ~accepted
    return out


def _msprt_stops(canary: Canary, c: _Counts) -> BoolArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = c.new_events / c.new_total - c.events / c.total
        pooled = (c.new_events + c.events) / (c.new_total + c.total)
    n = anytime.balanced_size(c.new_total, c.total)
    prior = (canary.effect - canary.baseline) ** 2
    ratio = anytime.msprt_log_ratio(n, np.nan_to_num(difference), np.nan_to_num(pooled * (1.0 - pooled)), prior)
    out: BoolArray = (ratio >= math.log(1.0 / canary.alpha)) & (np.nan_to_num(difference) > 0.0)
    return out


def _counts_stops(canary: Canary, c: _Counts) -> BoolArray:
    w = canary.weight
    ratio = anytime.counts_log_ratio(c.new_events, c.events, w, prior=(20.0 * w, 20.0 * (1.0 - w)))
    more = c.new_events > w * (c.new_events + c.events)
    out: BoolArray = (ratio >= math.log(1.0 / canary.alpha)) & more
    return out


def _kayenta_stops(canary: Canary, truth: float, rng: np.random.Generator, which: int) -> BoolArray:
    """Failed percentage of each interval as one sample, on the canary and on a fresh baseline of equal size."""
    points = max(int(canary.window_s / canary.interval_s), 1)
    per_point = canary.rate * canary.weight * canary.interval_s

    def samples(p: float) -> FloatArray:
        requests = rng.poisson(per_point, points)
        failed = rng.binomial(requests, p).astype(np.float64)
        percent: FloatArray = np.divide(100.0 * failed, requests, out=np.full(points, np.nan), where=requests > 0)
        return percent

    new, stable = samples(truth), samples(canary.baseline)
    config = MetricConfig(direction=Direction.INCREASE)
    stopped = np.zeros(canary.looks, dtype=np.bool_)
    for look in range(canary.looks):
        upto = max(points * (look + 1) // canary.looks, 1)
        if not _shifted(new[:upto], stable[:upto], config.confidence):
            continue  # the interval reaches below 0, and Kayenta's full answer could not be "High"
        said = kayenta.judge_metric(stable[:upto], new[:upto], config, seed=canary.seed, name=f"power/{which}")
        stopped[look] = said.classification is Classification.HIGH
        if stopped[look]:
            break
    return stopped


def _shifted(new: FloatArray, stable: FloatArray, confidence: float) -> bool:
    """Is the whole interval of the shift above 0? A fraction of the cost of finding its ends."""
    x, y = kayenta.remove_nans(new), kayenta.remove_nans(stable)
    if x.size == 0 or y.size == 0 or (x.max() == y.max() == min(x.min(), y.min())):
        return False
    return wilcoxon_diff(0.0, critical_z(1.0 - confidence, Sided.TWO), x, y) > 0.0


# --- checks that start afresh, and budgets ---------------------------------------------------------------------------


class Exposure(NamedTuple):
    """Time a bad revision serves when each check catches it independently."""

    checks: float
    mean_s: float
    variance_s2: float


def geometric_exposure(every_s: float, power: float, *, recovery_s: float = 0.0) -> Exposure:
    """Checks every `every_s` seconds, each on fresh data with the same power, until one fails the revision.

    >>> geometric_exposure(60.0, 0.5, recovery_s=10.0)
    Exposure(checks=2.0, mean_s=130.0, variance_s2=7200.0)
    """
    if not 0.0 < power <= 1.0:
        raise ValueError(f"power must lie above 0 and at most at 1; got {power}")
    return Exposure(1.0 / power, every_s / power + recovery_s, every_s**2 * (1.0 - power) / power**2)


def stepped_exposure(weights: FloatArray, durations_s: FloatArray, powers: FloatArray) -> float:
    """Expected weight-seconds of a bad revision over steps, each caught with its power at its end.

    Args:
        weights, durations_s, powers: of each step, shape (steps,).

    Returns:
        Seconds at full traffic; times rate and excess error rate it is the expected number of lost requests.
    """
    reached = np.concatenate([np.ones(1), np.cumprod(1.0 - np.asarray(powers, dtype=np.float64))[:-1]])
    return float((np.asarray(weights) * np.asarray(durations_s) * reached).sum())


def budget_spent(weighted_s: float, excess: float, *, slo: float, period_s: float = 30 * 86400.0) -> float:
    """Share of the error budget of `period_s` that an exposure of `weighted_s` seconds at full traffic spends."""
    if not 0.0 < slo < 1.0:
        raise ValueError(f"slo must lie strictly between 0 and 1; got {slo}")
    return weighted_s * excess / ((1.0 - slo) * period_s)
