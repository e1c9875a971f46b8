"""What does a judge say of what was observed so far?

One door for all judges: `judge(spec, observation)`. A spec says which judge and how strict; an observation is what a
gate could know at that moment: counts of requests and failures, or samples, of the new and of the stable revision. The
doors differ in what they need, and each says *inconclusive* where that is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from zdsim.measure.judges import anytime, kayenta, thresholds
from zdsim.measure.judges.kayenta import Classification, MetricConfig
from zdsim.measure.judges.proportions import (
    Sided,
    Sprt,
    SprtState,
    critical_z,
    required_requests,
    two_proportion_p,
    two_proportion_z,
)
from zdsim.measure.judges.scoring import CanaryJudgement, ScoreClassification
from zdsim.measure.judges.verdict import Direction, Health, Verdict, Why
from zdsim.plane.config import FloatArray


def _empty() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arm:
    """What was seen of one revision.

    Attributes:
        requests, failures: counts since the analysis began.
        values: samples of the judged metric, one a request or one a scrape, as the judge needs; NaN = no sample.
        times_s: of the samples, for slopes.
    """

    requests: int = 0
    failures: int = 0
    values: FloatArray = field(default_factory=_empty)
    times_s: FloatArray = field(default_factory=_empty)

    @property
    def share(self) -> float | None:
        """Failed share of requests; None without a request."""
        return self.failures / self.requests if self.requests else None

    @property
    def known(self) -> FloatArray:
        """Samples that exist."""
        out: FloatArray = self.values[~np.isnan(self.values)]
        return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """New against stable over the same time; `stable` is None where nothing of it runs or is looked at."""

    new: Arm
    stable: Arm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsoluteSpec:
    """Failed share of requests, or mean of the samples where there are any, against one limit."""

    limit: float
    direction: Direction = Direction.INCREASE
    min_requests: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioSpec:
    """Failed share (or mean of samples) against `limit` times stable's.

    `min_events`: failures that stable's rate must predict for the new revision before a ratio says anything.
    """

    limit: float = 2.0
    direction: Direction = Direction.INCREASE
    min_requests: int = 1
    min_events: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlopeSpec:
    """Growth of the samples over their times."""

    limit_per_s: float
    ceiling: float | None = None
    confidence: float = 0.95
    min_samples: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class KayentaSpec:
    """Kayenta's Mann-Whitney classifier on one metric. Spinnaker's best practice asks for 50 samples."""

    metric: MetricConfig = field(default_factory=MetricConfig)
    min_samples: int = 50
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoProportionSpec:
    """Pooled z-test of the failed shares, for one look.

    `effect`: a ratio of error rates that must not be missed; until 80 % power to see it is reached, a test that does
    not reject says "too few requests" and not "healthy". None: `min_requests` alone decides.
    """

    alpha: float = 0.05
    sided: Sided = Sided.ONE
    min_requests: int = 100
    effect: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SprtSpec:
    """Wald's test of fixed error rates. The first decision is final: the caller keeps it."""

    test: Sprt


@dataclass(frozen=True, slots=True, kw_only=True)
class MsprtSpec:
    """mSPRT on the difference of failed shares; `margin`: a difference small enough to be called healthy."""

    alpha: float = 0.05
    prior_sd: float = 0.01
    margin: float | None = None
    min_requests: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanSequenceSpec:
    """Asymptotic confidence sequences of the means of two samples, half of alpha each."""

    alpha: float = 0.05
    tightest_at: float = 1000.0
    margin: float = 0.0
    min_samples: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsSpec:
    """Failures as counts (Lindon and Malek).

    `prior_events`: weight of the prior, centred on the share of traffic, in failures; about 20 suits a doubling.
    `margin`: ratio of error rates small enough to be called healthy.
    """

    alpha: float = 0.05
    prior_events: float = 20.0
    margin: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionSpec:
    """Bands around both distributions; `margin`: joint half width at which "no proof" counts as healthy."""

    alpha: float = 0.05
    margin: float = 0.1


Spec = (
    AbsoluteSpec
    | RatioSpec
    | SlopeSpec
    | KayentaSpec
    | TwoProportionSpec
    | SprtSpec
    | MsprtSpec
    | MeanSequenceSpec
    | CountsSpec
    | DistributionSpec
)


def judge(spec: Spec, seen: Observation) -> Verdict:
    """Ask one judge.

    Returns:
        A verdict; inconclusive wherever requests, samples or the baseline are missing.
    """
    match spec:
        case AbsoluteSpec():
            return _absolute(spec, seen.new)
        case RatioSpec():
            return _ratio(spec, seen)
        case SlopeSpec():
            new = seen.new
            return thresholds.slope(
                new.times_s,
                new.values,
                spec.limit_per_s,
                ceiling=spec.ceiling,
                confidence=spec.confidence,
                least=spec.min_samples,
            )
        case KayentaSpec():
            return _kayenta(spec, seen)
        case TwoProportionSpec():
            return _two_proportion(spec, seen)
        case SprtSpec():
            return _sprt(spec, seen.new)
        case MsprtSpec():
            return _msprt(spec, seen)
        case MeanSequenceSpec():
            return _mean_sequence(spec, seen)
        case CountsSpec():
            return _counts(spec, seen)
        case DistributionSpec():
            return _distribution(spec, seen)
        case _:
            assert_never(spec)


def score_verdict(judgement: CanaryJudgement) -> Verdict:
    """NetflixACAJudge's result as a verdict: only a score below marginal stops, and silence never passes."""
    numbers = {"score": judgement.score.summary}
    heard = [r for r in judgement.results if r.classification not in (Classification.NODATA, Classification.ERROR)]
    critical = any(r.critical and r.classification is not Classification.PASS for r in judgement.results)
    if not heard or (2 * len(heard) <= len(judgement.results) and not critical):
        return Verdict(Health.INCONCLUSIVE, Why.NO_DATA, numbers)
    match judgement.classification:
        case ScoreClassification.PASS:
            return Verdict(Health.HEALTHY, Why.SCORE_PASS, numbers)
        case ScoreClassification.MARGINAL:
            return Verdict(Health.INCONCLUSIVE, Why.SCORE_MARGINAL, numbers)
        case ScoreClassification.FAIL:
            return Verdict(Health.UNHEALTHY, Why.SCORE_FAIL, numbers)
        case _:
            assert_never(judgement.classification)


def _measured(arm: Arm) -> float | None:
    """Mean of the samples where there are any, else the failed share."""
    if arm.values.size:
        return float(arm.known.mean()) if arm.known.size else None
    return arm.share


def _too_few(n: int, least: int) -> Verdict | None:
    if n == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_DATA)
    if n < least:
        return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_REQUESTS, {"requests": float(n), "least": float(least)})
    return None


def _absolute(spec: AbsoluteSpec, new: Arm) -> Verdict:
    early = None if new.values.size else _too_few(new.requests, spec.min_requests)
    return early or thresholds.absolute(_measured(new), spec.limit, direction=spec.direction)


def _ratio(spec: RatioSpec, seen: Observation) -> Verdict:
    new, stable = seen.new, seen.stable
    if not new.values.size:
        if early := _too_few(new.requests, spec.min_requests):
            return early
        if stable is not None and stable.share is not None and new.requests * stable.share < spec.min_events:
            expected = {"expected_events": new.requests * stable.share, "least": spec.min_events}
            return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_EVENTS, expected)
    base = None if stable is None else _measured(stable)
    return thresholds.ratio_to_stable(_measured(new), base, spec.limit, direction=spec.direction)


def _kayenta(spec: KayentaSpec, seen: Observation) -> Verdict:
    if not seen.new.known.size:
        return Verdict(Health.INCONCLUSIVE, Why.NO_DATA)
    if seen.stable is None or not seen.stable.known.size:
        return Verdict(Health.INCONCLUSIVE, Why.NO_BASELINE)
    samples = min(seen.new.known.size, seen.stable.known.size)
    if samples < spec.min_samples:
        numbers = {"samples": float(samples), "least": float(spec.min_samples)}
        return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_SAMPLES, numbers)
    found = kayenta.judge_metric(seen.stable.values, seen.new.values, spec.metric, seed=spec.seed)
    numbers = {} if math.isnan(found.deviation) else {"effect": found.deviation}
    if found.shift is not None:
        numbers |= {"shift": found.shift.estimate, "low": found.shift.lower, "high": found.shift.upper}
    match found.classification:
        case Classification.PASS:
            return Verdict(Health.HEALTHY, Why.NO_DIFFERENCE, numbers)
        case Classification.HIGH:
            return Verdict(Health.UNHEALTHY, Why.ABOVE_LIMIT, numbers)
        case Classification.LOW:
            return Verdict(Health.UNHEALTHY, Why.BELOW_LIMIT, numbers)
        case Classification.NODATA | Classification.NODATA_FAIL_METRIC | Classification.ERROR:
            return Verdict(Health.INCONCLUSIVE, Why.NO_DATA, numbers)
        case _:
            assert_never(found.classification)


def _two_proportion(spec: TwoProportionSpec, seen: Observation) -> Verdict:
    new, stable = seen.new, seen.stable
    if early := _too_few(new.requests, spec.min_requests):
        return early
    if stable is None or stable.requests == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_BASELINE)
    counts = new.failures, new.requests, stable.failures, stable.requests
    z, p = float(two_proportion_z(*counts)), float(two_proportion_p(*counts, sided=spec.sided))
    numbers = {"z": z, "p": p, "new": new.failures / new.requests, "stable": stable.failures / stable.requests}
    if (abs(z) if spec.sided is Sided.TWO else z) >= critical_z(spec.alpha, spec.sided):
        return Verdict(Health.UNHEALTHY, Why.WORSE, numbers)
    if spec.effect is not None:
        p0 = (new.failures + stable.failures) / (new.requests + stable.requests)
        p1 = p0 * spec.effect
        if not (p0 > 0.0 and p1 < 1.0):
            return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_EVENTS, numbers)
        k = stable.requests / new.requests
        least = required_requests(p0, p1, stable_per_new=k, alpha=spec.alpha, sided=spec.sided)
        if new.requests < least:
            return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_REQUESTS, numbers | {"least": math.ceil(least)})
    return Verdict(Health.HEALTHY, Why.NO_DIFFERENCE, numbers)


def _sprt(spec: SprtSpec, new: Arm) -> Verdict:
    if new.requests == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_DATA)
    numbers = {
        "log_ratio": float(spec.test.log_ratio(new.failures, new.requests)),
        "low": spec.test.lower,
        "high": spec.test.upper,
    }
    match spec.test.state(new.failures, new.requests):
        case SprtState.REJECT_NULL:
            return Verdict(Health.UNHEALTHY, Why.WORSE, numbers)
        case SprtState.ACCEPT_NULL:
            return Verdict(Health.HEALTHY, Why.SHOWN_HARMLESS, numbers)
        case SprtState.CONTINUE:
            return Verdict(Health.INCONCLUSIVE, Why.STILL_LOOKING, numbers)
        case _ as state:
            assert_never(state)


def _msprt(spec: MsprtSpec, seen: Observation) -> Verdict:
    new, stable = seen.new, seen.stable
    if early := _too_few(new.requests, spec.min_requests):
        return early
    if stable is None or stable.requests == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_BASELINE)
    difference = new.failures / new.requests - stable.failures / stable.requests
    pooled = (new.failures + stable.failures) / (new.requests + stable.requests)
    if pooled in (0.0, 1.0):
        return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_EVENTS, {"difference": difference})
    n, variance, prior = (
        float(anytime.balanced_size(new.requests, stable.requests)),
        pooled * (1 - pooled),
        spec.prior_sd,
    )
    low, high = anytime.msprt_interval(n, difference, variance, prior**2, alpha=spec.alpha)
    return _by_interval(low, high, difference, spec.margin)


def _mean_sequence(spec: MeanSequenceSpec, seen: Observation) -> Verdict:
    x = seen.new.known
    y = seen.stable.known if seen.stable is not None else _empty()
    if x.size == 0 or y.size == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_BASELINE if x.size else Why.NO_DATA)
    if min(x.size, y.size) < spec.min_samples:
        return Verdict(Health.INCONCLUSIVE, Why.TOO_FEW_SAMPLES, {"samples": float(min(x.size, y.size))})
    reach = sum(
        float(anytime.asymptotic_radius(a.size, a.std(), alpha=spec.alpha / 2.0, tightest_at=spec.tightest_at))
        for a in (x, y)
    )
    difference = float(x.mean() - y.mean())
    return _by_interval(difference - reach, difference + reach, difference, spec.margin)


def _by_interval(low: float, high: float, difference: float, margin: float | None) -> Verdict:
    """Unhealthy once the interval lies above 0, healthy once below the margin."""
    numbers = {"difference": difference, "low": low, "high": high}
    if low > 0.0:
        return Verdict(Health.UNHEALTHY, Why.WORSE, numbers)
    if margin is not None and high <= margin:
        return Verdict(Health.HEALTHY, Why.SHOWN_HARMLESS, numbers)
    return Verdict(Health.INCONCLUSIVE, Why.STILL_LOOKING, numbers)


def _counts(spec: CountsSpec, seen: Observation) -> Verdict:
    new, stable = seen.new, seen.stable
    if new.requests == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_DATA)
    if stable is None or stable.requests == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_BASELINE)
    share = new.requests / (new.requests + stable.requests)
    prior = (spec.prior_events * share, spec.prior_events * (1.0 - share))
    log_ratio = float(anytime.counts_log_ratio(new.failures, stable.failures, share, prior=prior))
    low, high = anytime.rate_ratio_interval(new.failures, stable.failures, share, alpha=spec.alpha, prior=prior)
    numbers = {"log_ratio": log_ratio, "low": low, "high": high, "least": math.log(1.0 / spec.alpha)}
    more = new.failures > share * (new.failures + stable.failures)
    if log_ratio >= math.log(1.0 / spec.alpha) and more:
        return Verdict(Health.UNHEALTHY, Why.WORSE, numbers)
    if high <= spec.margin:
        return Verdict(Health.HEALTHY, Why.SHOWN_HARMLESS, numbers)
    return Verdict(Health.INCONCLUSIVE, Why.STILL_LOOKING, numbers)


def _distribution(spec: DistributionSpec, seen: Observation) -> Verdict:
    x = seen.new.known
    y = seen.stable.known if seen.stable is not None else _empty()
    if x.size == 0 or y.size == 0:
        return Verdict(Health.INCONCLUSIVE, Why.NO_BASELINE if x.size else Why.NO_DATA)
    gap = anytime.slower_by(x, y, alpha=spec.alpha)
    reach = float(anytime.distribution_radius(np.array([x.size, y.size]), alpha=spec.alpha / 2.0).sum())
    numbers = {"gap": gap, "reach": reach}
    if gap > 0.0:
        return Verdict(Health.UNHEALTHY, Why.WORSE, numbers)
    if reach + max(gap + reach, 0.0) <= spec.margin:
        return Verdict(Health.HEALTHY, Why.SHOWN_HARMLESS, numbers)
    return Verdict(Health.INCONCLUSIVE, Why.STILL_LOOKING, numbers)
