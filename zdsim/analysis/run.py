"""How do measurements become the verdict of an AnalysisRun?

A run is a state machine without a clock: `reconcile` takes what it was, the time and the measurements that have
finished, and answers with what it is now, what to measure at once, and when to ask again. A controller process starts
the measurements and brings their values back.

Upstream needs two passes to stop the siblings of a failed metric; they follow one another at once, so one call here
does both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from zdsim.analysis.conditions import Value
from zdsim.analysis.measurement import AnalysisPhase, Evaluation, Measurement, evaluate, is_worse, judge_result
from zdsim.analysis.metric import (
    DEFAULT_MEASUREMENT_HISTORY_LIMIT,
    ERROR_RETRY_S,
    Judge,
    Metric,
    RunSpec,
    matching,
    validate_run,
)

__all__ = [
    "MetricResult",
    "Reconciled",
    "RunStatus",
    "RunSummary",
    "assess_metric_status",
    "assess_run_status",
    "calculate_next_reconcile_time",
    "count_measurement",
    "dry_run_metrics",
    "generate_metric_tasks",
    "is_terminating",
    "reconcile",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """What is known of one metric. An Error adds to `error`, not to `count`."""

    name: str
    phase: AnalysisPhase = AnalysisPhase.RUNNING
    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    consecutive_success: int = 0
    measurements: tuple[Measurement, ...] = ()  # oldest first, trimmed
    message: str = ""
    dry_run: bool = False

    @property
    def last(self) -> Measurement | None:
        """The newest measurement, finished or not."""
        return self.measurements[-1] if self.measurements else None

    @property
    def in_flight(self) -> bool:
        """Whether a measurement is under way."""
        return self.last is not None and self.last.finished_s is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """How many metrics there are, and how many of them ended how."""

    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """What a run has come to. A fresh one is `RunStatus()`."""

    phase: AnalysisPhase = AnalysisPhase.PENDING
    message: str = ""
    started_s: float | None = None
    completed_s: float | None = None
    metric_results: tuple[MetricResult, ...] = ()
    run_summary: RunSummary = RunSummary()
    dry_run_summary: RunSummary = RunSummary()

    def result(self, name: str) -> MetricResult | None:
        """What is known of the metric of this name; None when nothing was ever measured."""
        return next((result for result in self.metric_results if result.name == name), None)


Finished: TypeAlias = tuple[str, AnalysisPhase | Value, float]
"""Metric, its phase (an `AnalysisPhase`) or the value to be judged, and when it finished."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The new status, the metrics to measure now, and when to reconcile next (None: only when something finishes)."""

    status: RunStatus
    start: tuple[str, ...] = ()
    next_s: float | None = None
    stopped: tuple[str, ...] = field(default=())  # metrics whose measurement under way was stopped


def reconcile(
    spec: RunSpec,
    status: RunStatus,
    now: float,
    finished: Iterable[Finished] = (),
    *,
    terminated: Mapping[str, AnalysisPhase] | None = None,
) -> Reconciled:
    """One pass of the analysis controller.

    Args:
        spec: what was asked for; set `terminate` to stop the run.
        status: what the last pass gave; `RunStatus()` at first.
        now: seconds. Must not go back.
        finished: measurements that ended since, each at most once. Ones that are not under way are passed over.
        terminated: the phase a stopped measurement takes, by metric; Successful where not given, as Jobs do.

    Returns:
        The status, with a started measurement of every metric in `start`. A completed status is returned unchanged.

    Source:
        argo-rollouts analysis/analysis.go: reconcileAnalysisRun.
    """
    if status.phase.completed:
        return Reconciled(status)
    if status.started_s is None and (problems := validate_run(spec)):
        message = "analysis spec invalid: " + "; ".join(problems)
        return Reconciled(replace(status, phase=AnalysisPhase.ERROR, message=message, completed_s=now))
    dry_run = dry_run_metrics(spec)
    for name, outcome, t in finished:
        status = _finish(spec, status, name, outcome, t)
    status = assess_run_status(spec, status, now)
    stopped: tuple[str, ...] = ()
    if is_terminating(spec, status):
        stopped = tuple(
            result.name for result in status.metric_results if result.in_flight and not result.phase.completed
        )
        for name in stopped:
            phase = (terminated or {}).get(name, AnalysisPhase.SUCCESSFUL)
            message = "metric terminated" if phase is AnalysisPhase.SUCCESSFUL else ""
            status = _finish(spec, status, name, Evaluation(phase, message), now)
        status = assess_run_status(spec, status, now)
    started = generate_metric_tasks(spec, status, now)
    for name in started:
        result = status.result(name) or MetricResult(name=name, dry_run=name in dry_run)
        measurement = Measurement(phase=AnalysisPhase.RUNNING, started_s=now)
        result = replace(result, measurements=(*result.measurements, measurement), phase=AnalysisPhase.RUNNING)
        status = _set_result(status, result)
    status = _garbage_collect(spec, status)
    next_s = calculate_next_reconcile_time(spec, status)
    if next_s is not None and not generate_metric_tasks(spec, status, next_s):
        next_s = math.nextafter(next_s, math.inf)  # an interval must have passed, not just be reached
    return Reconciled(status, started, next_s, stopped)


def dry_run_metrics(spec: RunSpec) -> frozenset[str]:
    """Metrics that are measured but do not count; utils/analysis/helpers.go: GetDryRunMetrics."""
    names = [metric.name for metric in spec.metrics]
    return frozenset(name for pattern in spec.dry_run for name in matching(pattern, names))


def is_terminating(spec: RunSpec, status: RunStatus) -> bool:
    """Whether nothing new is to be measured; utils/analysis/helpers.go: IsTerminating."""
    bad = (AnalysisPhase.FAILED, AnalysisPhase.ERROR, AnalysisPhase.INCONCLUSIVE)
    return spec.terminate or any(result.phase in bad and not result.dry_run for result in status.metric_results)


def generate_metric_tasks(spec: RunSpec, status: RunStatus, now: float) -> tuple[str, ...]:
    """The metrics to measure now, in the order of the spec; analysis/analysis.go: generateMetricTasks.

    An interval must have passed (now > finished + interval); an initial delay need only be reached. A run that has
    not started knows no initial delay yet: its delayed metrics wait for the next pass.
    """
    if is_terminating(spec, status):
        return ()
    return tuple(metric.name for metric in spec.metrics if _is_due(metric, status, now))


def calculate_next_reconcile_time(spec: RunSpec, status: RunStatus) -> float | None:
    """When the first metric falls due; analysis/analysis.go: calculateNextReconcileTime.

    Returns:
        Seconds; it may lie in the past. None when no metric waits for a time.
    """
    if is_terminating(spec, status) and status.phase.completed:
        return None
    times = [_next_time(metric, status) for metric in spec.metrics]
    return min((time for time in times if time is not None), default=None)


def count_measurement(result: MetricResult, phase: AnalysisPhase) -> MetricResult:
    """The counters after one more finished measurement; analysis/analysis.go: runMeasurements.

    Raises:
        ValueError: `phase` is not a completed one.
    """
    match phase:
        case AnalysisPhase.SUCCESSFUL:
            result = replace(
                result, successful=result.successful + 1, consecutive_success=result.consecutive_success + 1
            )
        case AnalysisPhase.FAILED:
            result = replace(result, failed=result.failed + 1, consecutive_success=0)
        case AnalysisPhase.INCONCLUSIVE:
            result = replace(result, inconclusive=result.inconclusive + 1, consecutive_success=0)
        case AnalysisPhase.ERROR:
            return replace(
                result,
                error=result.error + 1,
                consecutive_error=result.consecutive_error + 1,
                consecutive_success=0,
            )
        case AnalysisPhase.PENDING | AnalysisPhase.RUNNING:
            raise ValueError(f"a finished measurement cannot be {phase}")
    return replace(result, count=result.count + 1, consecutive_error=0)


def assess_metric_status(metric: Metric, result: MetricResult, *, terminating: bool = False) -> AnalysisPhase:
    """Where a metric stands; analysis/analysis.go: assessMetricStatus."""
    if result.phase.completed:
        return result.phase
    if result.last is None:
        return AnalysisPhase.SUCCESSFUL if terminating else AnalysisPhase.PENDING
    if not result.last.phase.completed:
        return AnalysisPhase.RUNNING
    bad, _ = _limit_exceeded(metric, result)
    if bad is not None:
        return bad
    wants_successes = metric.consecutive_success_limit > 0
    if wants_successes and result.consecutive_success >= metric.consecutive_success_limit:
        return AnalysisPhase.SUCCESSFUL
    count = metric.effective_count
    if count is not None and result.count >= count:
        if not wants_successes:
            return AnalysisPhase.SUCCESSFUL
        return AnalysisPhase.INCONCLUSIVE if metric.failure_limit >= 0 else AnalysisPhase.FAILED
    return AnalysisPhase.SUCCESSFUL if terminating else AnalysisPhase.RUNNING


def assess_run_status(spec: RunSpec, status: RunStatus, now: float) -> RunStatus:
    """The status with the phase of every metric and of the run brought up to date.

    The worst phase of the metrics that count is the run's, and the message of the first metric that bad is kept.

    Source:
        argo-rollouts analysis/analysis.go: assessRunStatus.
    """
    terminating = is_terminating(spec, status)
    dry_run = dry_run_metrics(spec)
    worst: AnalysisPhase | None = None
    message = "run terminated" if spec.terminate else ""
    unfinished = False
    summaries: dict[bool, list[AnalysisPhase | None]] = {True: [], False: []}
    for metric in spec.metrics:
        result = status.result(metric.name)
        is_dry = metric.name in dry_run
        summaries[is_dry].append(None)
        if result is None:
            unfinished = True
            continue
        phase = assess_metric_status(metric, result, terminating=terminating)
        bad, reason = _limit_exceeded(metric, result)
        if phase is not result.phase:
            text = result.last.message if result.last else ""
            result = replace(result, phase=phase, message=text)
            if is_dry and reason:
                result = replace(result, message=f"{phase}: {reason}")
            status = _set_result(status, result)
        if not phase.completed:
            unfinished = True
            continue
        summaries[is_dry][-1] = bad if bad is not None else AnalysisPhase.SUCCESSFUL
        if is_dry:
            worst = worst or AnalysisPhase.SUCCESSFUL
        elif worst is None or is_worse(worst, phase):
            worst = phase
            if reason or phase is not AnalysisPhase.SUCCESSFUL:
                message = _message(metric, phase, reason, result.message)
    if terminating:
        final = worst or AnalysisPhase.SUCCESSFUL
    else:
        final = AnalysisPhase.RUNNING if unfinished or worst is None else worst
    return replace(
        status,
        phase=final,
        message=message if final.completed else "",
        started_s=now if status.started_s is None else status.started_s,
        completed_s=now if final.completed else None,
        run_summary=_summary(summaries[False]),
        dry_run_summary=_summary(summaries[True]),
    )


_SUMMARY_FIELDS: Final = {
    AnalysisPhase.SUCCESSFUL: "successful",
    AnalysisPhase.FAILED: "failed",
    AnalysisPhase.INCONCLUSIVE: "inconclusive",
    AnalysisPhase.ERROR: "error",
}


def _summary(phases: list[AnalysisPhase | None]) -> RunSummary:
    counts = {name: phases.count(phase) for phase, name in _SUMMARY_FIELDS.items()}
    return RunSummary(count=len(phases), **counts)


def _message(metric: Metric, phase: AnalysisPhase, reason: str, detail: str) -> str:
    if not reason:
        reason = f"count {metric.effective_count} reached without {metric.consecutive_success_limit} successes in a row"
    return f'metric "{metric.name}" is {phase}: {reason}' + (f" ({detail})" if detail else "")


def _limit_exceeded(metric: Metric, result: MetricResult) -> tuple[AnalysisPhase | None, str]:
    """The last of the limits that is exceeded; upstream's assessMetricFailureInconclusiveOrError."""
    phase, reason = None, ""
    if metric.failure_limit >= 0 and result.failed > metric.failure_limit:
        phase, reason = AnalysisPhase.FAILED, f"failed {result.failed} > failureLimit {metric.failure_limit}"
    if result.inconclusive > metric.inconclusive_limit:
        phase = AnalysisPhase.INCONCLUSIVE
        reason = f"inconclusive {result.inconclusive} > inconclusiveLimit {metric.inconclusive_limit}"
    if result.consecutive_error > metric.consecutive_error_limit:
        phase = AnalysisPhase.ERROR
        reason = f"consecutive errors {result.consecutive_error} > limit {metric.consecutive_error_limit}"
    return phase, reason


def _is_due(metric: Metric, status: RunStatus, now: float) -> bool:
    result = status.result(metric.name)
    if result is None or result.last is None:
        if metric.initial_delay_s is None:
            return True
        return status.started_s is not None and status.started_s + metric.initial_delay_s <= now
    if result.phase.completed or result.last.finished_s is None:
        return False
    count = metric.effective_count
    return (count is None or result.count < count) and now > result.last.finished_s + _gap_s(metric, result.last)


def _gap_s(metric: Metric, last: Measurement) -> float:
    if last.phase is AnalysisPhase.ERROR or metric.interval_s is None:
        return ERROR_RETRY_S
    return metric.interval_s


def _next_time(metric: Metric, status: RunStatus) -> float | None:
    result = status.result(metric.name)
    if result is None or result.last is None:
        if metric.initial_delay_s is None or status.started_s is None:
            return None
        return status.started_s + metric.initial_delay_s
    if result.phase.completed:
        return None
    if result.last.finished_s is None:
        return result.last.resume_s
    count = metric.effective_count
    if count is not None and result.count >= count:
        return None
    return result.last.finished_s + _gap_s(metric, result.last)


def _finish(
    spec: RunSpec, status: RunStatus, name: str, outcome: AnalysisPhase | Evaluation | Value, t: float
) -> RunStatus:
    """The status after the measurement under way of this metric has ended."""
    metric = next((metric for metric in spec.metrics if metric.name == name), None)
    result = status.result(name)
    if metric is None or result is None or result.last is None or not result.in_flight:
        return status
    value: Value = None
    if isinstance(outcome, AnalysisPhase):
        outcome = Evaluation(outcome)
    elif not isinstance(outcome, Evaluation):
        value = outcome
        judge = judge_result if metric.judge is Judge.GENERIC else evaluate
        outcome = judge(value, metric.success_condition, metric.failure_condition)
    done = replace(result.last, phase=outcome.phase, finished_s=t, value=value, message=outcome.message)
    result = replace(result, measurements=(*result.measurements[:-1], done))
    return _set_result(status, count_measurement(result, outcome.phase))


def _set_result(status: RunStatus, result: MetricResult) -> RunStatus:
    results = list(status.metric_results)
    for at, old in enumerate(results):
        if old.name == result.name:
            results[at] = result
            break
    else:
        results.append(result)
    return replace(status, metric_results=tuple(results))


def _garbage_collect(spec: RunSpec, status: RunStatus) -> RunStatus:
    """Keep the newest measurements; the last retention rule that names a metric decides how many."""
    names = [metric.name for metric in spec.metrics]
    limits = {name: rule.limit for rule in spec.measurement_retention for name in matching(rule.metric_name, names)}
    for result in status.metric_results:
        limit = limits.get(result.name, 0)
        kept = limit if limit > 0 else DEFAULT_MEASUREMENT_HISTORY_LIMIT
        if len(result.measurements) > kept:
            status = _set_result(status, replace(result, measurements=result.measurements[-kept:]))
    return status
