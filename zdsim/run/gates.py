"""What does one metric of an analysis say at one moment?

From the counts of a plane that still plays, as Prometheus would show them, to the phase of a measurement: limits,
ratios to the stable revision, slopes, or one of the judges. Nothing seen, or too little, is Inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

import numpy as np

from zdsim.analysis.measurement import AnalysisPhase
from zdsim.measure.judges import gate, thresholds
from zdsim.measure.judges.gate import Arm, Observation
from zdsim.measure.judges.kayenta import MetricConfig
from zdsim.measure.judges.proportions import Sprt
from zdsim.measure.judges.verdict import Direction, Health, Verdict
from zdsim.measure.observe import Extras, Metrics, Scrape, Seen, observe
from zdsim.plane.config import PlaneRecord
from zdsim.plane.vocabulary import Outcome
from zdsim.scenario.analysis import Analysis, Judge, MappedMetric, Metric, MetricCheck, Of, in_unit

__all__ = ["Reader", "Reading", "answer", "measure"]

MARGIN_RANGES: Final = 2.0  # how many ranges before the one looked at are read too, for the edges of rates
KAYENTA_SAMPLES: Final = 20
RANGE_SCRAPES: Final = 4.0  # scrapes that a sample of a judge looks back on
EVIDENT_RATIO: Final = 2.0  # a sequential test decides between the stable rate and so many times it

_FIELDS: Final[dict[Metric, Callable[[Seen], float]]] = {
    Metric.ERROR_RATE: lambda s: s.error_rate,
    Metric.P50: lambda s: s.p50_s,
    Metric.P95: lambda s: s.p95_s,
    Metric.P99: lambda s: s.p99_s,
    Metric.THROUGHPUT: lambda s: s.throughput,
    Metric.CONVERSION: lambda s: s.conversion_rate,
    Metric.ORDERS: lambda s: s.orders_per_min / 60.0,
    Metric.REVENUE: lambda s: s.revenue_per_min / 60.0,
    Metric.CPU: lambda s: s.cpu_cores,
    Metric.MEMORY: lambda s: s.memory_bytes,
    Metric.NETWORK: lambda s: s.network_bytes_per_s,
    Metric.RESTARTS: lambda s: s.restarts,
    Metric.DB_QUERIES: lambda s: s.db_queries_per_s,
    Metric.DB_TIME: lambda s: s.db_busy_connections / s.throughput if s.throughput > 0.0 else math.nan,
}
_DIRECTIONS: Final = {"increase": Direction.INCREASE, "decrease": Direction.DECREASE, "either": Direction.EITHER}
_PHASES: Final = {
    Health.HEALTHY: AnalysisPhase.SUCCESSFUL,
    Health.UNHEALTHY: AnalysisPhase.FAILED,
    Health.INCONCLUSIVE: AnalysisPhase.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads a plane's counts as they are collected.

    Attributes:
        record: the live counts.
        window_s: width of their windows.
        interval_s, lag_s: of the scrapes.
        extras: what else is known, by window.
        seed: of the orders.
    """

    record: Callable[[], PlaneRecord]
    window_s: float
    interval_s: float
    lag_s: float
    extras: Callable[[PlaneRecord], Extras]
    seed: int

    def metrics(self, now: float, range_s: float, since_s: float) -> tuple[Metrics, float]:
        """Scrapes from `since_s` less some ranges until now, and the time at which they are read."""
        record = self.record()
        at = now - self.lag_s
        scrape = Scrape(interval_s=self.interval_s, range_s=max(range_s, 2.0 * self.interval_s), buckets=None)
        from_s = max(0.0, since_s - MARGIN_RANGES * scrape.range_s)
        until = min(record.counts.shape[0], int(at / self.window_s + 1e-9))
        cut = replace(record, counts=record.counts[:until], latency=record.latency[:until])
        return (
            observe(
                cut,
                self.window_s,
                scrape=scrape,
                extras=self.extras(cut),
                seed=self.seed,
                from_s=from_s,
                until_s=at,
            ),
            at,
        )

    def counted(self, now: float, since_s: float, row: int) -> tuple[int, int]:
        """Requests of a revision that ended between two times, and those of them that failed (whole windows)."""
        record = self.record()
        first = math.ceil(since_s / self.window_s - 1e-9)
        last = int((now - self.lag_s) / self.window_s + 1e-9)
        by_outcome = record.counts[first:last, row].sum(axis=(0, 1))
        total = int(by_outcome.sum())
        return total, total - int(by_outcome[Outcome.OK])


@dataclass(frozen=True, slots=True)
class Reading:
    """A measurement: its phase, the value it rests on (NaN without one), and a sentence."""

    phase: AnalysisPhase
    value: float
    message: str


def measure(
    reader: Reader, analysis: Analysis, check: MetricCheck, *, now: float, since_s: float, new: int, stable: int
) -> Reading:
    """Measure one metric now.

    Args:
        since_s: when the analysis began; sequential judges look at everything since.
        new, stable: rows of the revisions.
    """
    total, _ = reader.counted(now, now - analysis.window_s, new)
    if total < analysis.min_requests:
        few = f"{total} requests in {analysis.window_s:g} s, at least {analysis.min_requests} are needed"
        return Reading(AnalysisPhase.INCONCLUSIVE, math.nan, few)
    if check.judge is Judge.THRESHOLD:
        return _limits(reader, analysis, check, now=now, since_s=since_s, new=new, stable=stable)
    return _judged(reader, analysis, check, now=now, since_s=since_s, new=new, stable=stable)


def answer(reader: Reader, mapped: MappedMetric, *, now: float, new: int, stable: int) -> float:
    """What a query comes to that a simulated metric stands for; NaN without data."""
    metrics, at = reader.metrics(now, mapped.window_s, now - mapped.window_s)
    match mapped.of:
        case Of.NEW:
            value = _FIELDS[mapped.metric](metrics.at(at, new))
        case Of.STABLE:
            value = _FIELDS[mapped.metric](metrics.at(at, stable))
        case Of.ALL:
            value = _over_all(metrics, at, mapped.metric, (new, stable))
        case _:
            assert_never(mapped.of)
    return mapped.scale * (1.0 - value if mapped.complement else value)


def _limits(
    reader: Reader, analysis: Analysis, check: MetricCheck, *, now: float, since_s: float, new: int, stable: int
) -> Reading:
    metrics, at = reader.metrics(now, analysis.window_s, now - analysis.window_s)
    read = _FIELDS[check.metric]
    row = {Of.NEW: new, Of.STABLE: stable, Of.ALL: new}[check.of]
    value, base = read(metrics.at(at, row)), read(metrics.at(at, stable))
    if check.compares and math.isnan(base):  # nobody asks stable any more: as it was when the analysis began
        earlier, then = reader.metrics(since_s, analysis.window_s, since_s - analysis.window_s)
        base = read(earlier.at(then, stable))
    if check.of is Of.ALL:
        value = _over_all(metrics, at, check.metric, (new, stable))
    if math.isnan(value):
        return Reading(AnalysisPhase.INCONCLUSIVE, value, f"{check.metric}: no data")
    broken = []
    told, usual = in_unit(check.metric, value), in_unit(check.metric, base)
    for word, limit in check.limits.items():
        match word:
            case "max" if value > limit:
                broken.append(f"{told} is above {in_unit(check.metric, limit)}")
            case "min" if value < limit:
                broken.append(f"{told} is below {in_unit(check.metric, limit)}")
            case "max_ratio" if base > 0.0 and value >= limit * base:
                broken.append(f"{told} is {value / base:.3g} times stable's {usual} (limit {limit:g})")
            case "min_ratio" if base > 0.0 and value <= limit * base:
                broken.append(f"{told} is {value / base:.3g} times stable's {usual} (limit {limit:g})")
            case "max_slope":
                verdict = _slope(metrics, at, analysis.window_s, check.metric, row, limit)
                if verdict.health is Health.UNHEALTHY:
                    broken.append(f"it grows faster than {in_unit(check.metric, limit)} a minute")
            case _:
                pass
    if broken:
        return Reading(AnalysisPhase.FAILED, value, f"{check.metric}: {'; '.join(broken)}")
    if check.compares and math.isnan(base):
        return Reading(AnalysisPhase.INCONCLUSIVE, value, f"{check.metric}: no data of stable to compare with")
    return Reading(AnalysisPhase.SUCCESSFUL, value, f"{check.metric}: {told}")


def _over_all(metrics: Metrics, at: float, metric: Metric, rows: tuple[int, int]) -> float:
    """A share over both revisions by their requests, anything else added up."""
    seen = [metrics.at(at, row) for row in dict.fromkeys(rows)]
    values = np.array([_FIELDS[metric](one) for one in seen])
    known = ~np.isnan(values)
    if not known.any():
        return math.nan
    if metric in (Metric.THROUGHPUT, Metric.ORDERS, Metric.REVENUE, Metric.RESTARTS, Metric.DB_QUERIES):
        return float(values[known].sum())
    weights = np.array([one.requests for one in seen])[known]
    return float(np.average(values[known], weights=weights)) if weights.sum() > 0 else math.nan


def _slope(metrics: Metrics, at: float, window_s: float, metric: Metric, row: int, per_minute: float) -> Verdict:
    step_s = metrics.scrape.interval_s
    seen = metrics.series(row, at - window_s, at, step_s)
    return thresholds.slope(
        [one.at_s for one in seen], [_FIELDS[metric](one) for one in seen], per_minute / 60.0, least=4
    )


def _judged(
    reader: Reader, analysis: Analysis, check: MetricCheck, *, now: float, since_s: float, new: int, stable: int
) -> Reading:
    if check.metric is Metric.ERROR_RATE:
        of_new, of_stable = (_counted_arm(reader, now, since_s, row) for row in (new, stable))
    else:
        metrics, at = reader.metrics(now, reader.interval_s * RANGE_SCRAPES, since_s)
        of_new, of_stable = (
            _sampled_arm(check, metrics.series(row, since_s, at, reader.interval_s)) for row in (new, stable)
        )
    verdict = gate.judge(_spec(check, of_stable), Observation(new=of_new, stable=of_stable))
    value = of_new.share if of_new.requests else (float(of_new.known.mean()) if of_new.known.size else None)
    numbers = ", ".join(f"{name} {number:.4g}" for name, number in verdict.numbers.items())
    message = f"{check.metric} by {check.judge}: {verdict.why.value.replace('_', ' ')}"
    return Reading(
        _PHASES[verdict.health], math.nan if value is None else value, f"{message} ({numbers})" if numbers else message
    )


def _counted_arm(reader: Reader, now: float, since_s: float, row: int) -> Arm:
    """Requests and failures of a revision since the analysis began."""
    total, failed = reader.counted(now, since_s, row)
    return Arm(requests=total, failures=failed)


def _sampled_arm(check: MetricCheck, seen: Sequence[Seen]) -> Arm:
    """One value a scrape; for judges that count, the orders and the requests without one.

    Each scrape looks back RANGE_SCRAPES intervals, so a request is seen that often.
    """
    values = np.array([_FIELDS[check.metric](one) for one in seen])
    if check.metric is Metric.CONVERSION and check.judge in (Judge.TWO_PROPORTION, Judge.SPRT):
        answered = sum(one.requests - one.failures for one in seen if not math.isnan(one.requests)) / RANGE_SCRAPES
        orders = float(np.nansum(values * [one.requests - one.failures for one in seen])) / RANGE_SCRAPES
        return Arm(requests=int(answered), failures=int(answered - orders))
    return Arm(values=values, times_s=np.array([one.at_s for one in seen]))


def _spec(check: MetricCheck, stable: Arm) -> gate.Spec:
    """A metric check as the gate's spec of its judge."""
    counted = stable.requests > 0 or check.metric is Metric.ERROR_RATE
    match check.judge:
        case Judge.MANN_WHITNEY:
            return gate.KayentaSpec(
                metric=MetricConfig(direction=_DIRECTIONS[check.bad.value], tolerance=check.tolerance),
                min_samples=KAYENTA_SAMPLES,
            )
        case Judge.TWO_PROPORTION:
            return gate.TwoProportionSpec(alpha=check.alpha)
        case Judge.SPRT:
            p0 = min(max(stable.share or 0.0, 1e-4), 0.45)
            return gate.SprtSpec(test=Sprt(p0=p0, p1=EVIDENT_RATIO * p0, alpha=check.alpha, beta=1.0 - check.power))
        case Judge.MSPRT:
            return gate.MsprtSpec(alpha=check.alpha) if counted else gate.MeanSequenceSpec(alpha=check.alpha)
        case Judge.CONFIDENCE_SEQUENCE:
            if counted:
                return gate.CountsSpec(alpha=check.alpha, margin=1.0 + check.tolerance)
            mean = float(stable.known.mean()) if stable.known.size else 0.0
            return gate.MeanSequenceSpec(alpha=check.alpha, margin=check.tolerance * mean, min_samples=KAYENTA_SAMPLES)
        case Judge.THRESHOLD:
            raise AssertionError("limits are not a judge")
        case _:
            assert_never(check.judge)
