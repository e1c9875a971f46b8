"""Runs of an analysis: the rules of analysis/analysis.go as tables, and the laws any run obeys."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.analysis.measurement import AnalysisPhase, Measurement
from zdsim.analysis.metric import (
    AnalysisSpecError,
    Judge,
    MeasurementRetention,
    Metric,
    RunSpec,
    check_conditions,
    metric_from_fields,
    parse_duration,
    validate_metrics,
    validate_run,
)
from zdsim.analysis.run import (
    MetricResult,
    Reconciled,
    RunStatus,
    assess_metric_status,
    calculate_next_reconcile_time,
    count_measurement,
    generate_metric_tasks,
    reconcile,
)

P = AnalysisPhase
DONE = [P.SUCCESSFUL, P.FAILED, P.ERROR, P.INCONCLUSIVE]


def measured(*phases: AnalysisPhase, name: str = "m", at: float = 0.0, **changes: object) -> MetricResult:
    """A metric with these measurements, the last finished at `at`."""
    result = MetricResult(name=name)
    for phase in phases:
        taken = Measurement(phase=phase, started_s=at, finished_s=at if phase.completed else None)
        result = replace(result, measurements=(*result.measurements, taken))
        if phase.completed:
            result = count_measurement(result, phase)
    return replace(result, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, None),
        ({"count": 2, "interval_s": 60.0}, None),
        ({"count": 2}, "interval: required"),
        ({"count": 3, "interval_s": 1.0, "failure_limit": 5}, "failureLimit = 5"),
        ({"count": 5, "interval_s": 1.0, "failure_limit": 5}, None),
        ({"count": 3, "interval_s": 1.0, "failure_limit": 2, "consecutive_success_limit": 2}, "= 4"),
        ({"count": 1, "inconclusive_limit": 2}, "inconclusiveLimit = 2"),
        ({"interval_s": 1.0, "failure_limit": 5}, None),
        ({"failure_limit": -1}, "nothing could ever be decided"),
        ({"failure_limit": -1, "consecutive_success_limit": 2, "interval_s": 1.0}, None),
        ({"failure_limit": -2}, "failureLimit"),
        ({"inconclusive_limit": -1}, "inconclusiveLimit"),
        ({"consecutive_error_limit": -1}, "consecutiveErrorLimit"),
        ({"consecutive_success_limit": -1}, "consecutiveSuccessLimit"),
        ({"count": -1}, "count"),
    ],
)
def test_validate_metrics(fields: dict[str, float], says: str | None) -> None:
    problems = validate_metrics([Metric(name="m", **fields)])  # type: ignore[arg-type]
    assert (says is None) == (problems == ())
    assert says is None or any(says in problem for problem in problems)


def test_all_problems_are_told_at_once() -> None:
    assert validate_metrics([]) == ("metrics: none given; an analysis needs at least one",)
    bad = Metric(name="m", count=2, inconclusive_limit=-1, consecutive_error_limit=-3)
    assert len(validate_metrics([bad, bad])) == 7  # three each, and the name twice
    spec = RunSpec(
        metrics=(Metric(name="web"),), dry_run=("we", "x"), measurement_retention=(MeasurementRetention("(", 1),)
    )
    assert len(validate_run(spec)) == 2
    assert "column 1" in check_conditions([Metric(name="m", success_condition="reslt > 1")])[0]


def test_fields_of_a_manifest() -> None:
    metric = metric_from_fields(
        {"name": "m", "interval": "1m30s", "count": "3", "failureLimit": 1, "successCondition": "true", "provider": {}}
    )
    assert metric == Metric(name="m", interval_s=90.0, count=3, failure_limit=1, success_condition="true")
    with pytest.raises(AnalysisSpecError) as caught:
        metric_from_fields({"interval": "60", "count": 1.5, "failureLimits": 2})
    assert len(caught.value.problems) == 4
    assert 'write "60s"' in str(caught.value)
    assert "did you mean failureLimit?" in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("1h2m3.5s", 3723.5), ("500ms", 0.5), ("0", 0.0), ("-1m", -60.0)])
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("metric", "result", "terminating", "phase"),
    [
        ({}, measured(), False, P.PENDING),
        ({}, measured(), True, P.SUCCESSFUL),
        ({}, measured(P.RUNNING), False, P.RUNNING),
        ({}, measured(P.RUNNING), True, P.RUNNING),
        ({}, measured(P.SUCCESSFUL), False, P.SUCCESSFUL),  # count 1
        ({"interval_s": 1}, measured(P.SUCCESSFUL), False, P.RUNNING),  # endless
        ({"interval_s": 1}, measured(P.SUCCESSFUL), True, P.SUCCESSFUL),
        ({}, measured(P.FAILED), False, P.FAILED),
        ({"interval_s": 1, "failure_limit": 3}, measured(*[P.FAILED] * 3), False, P.RUNNING),
        ({"interval_s": 1, "failure_limit": 3}, measured(*[P.FAILED] * 4), False, P.FAILED),  # the 4th, not the 3rd
        ({}, measured(P.INCONCLUSIVE), False, P.INCONCLUSIVE),
        ({"interval_s": 1}, measured(P.INCONCLUSIVE, P.FAILED), False, P.INCONCLUSIVE),  # later tests win
        ({}, measured(P.FAILED, *[P.ERROR] * 5), False, P.ERROR),
        ({}, measured(*[P.ERROR] * 4), False, P.RUNNING),
        ({}, measured(*[P.ERROR] * 5), False, P.ERROR),
        ({"interval_s": 1}, measured(*[P.ERROR] * 4, P.SUCCESSFUL, *[P.ERROR] * 4), False, P.RUNNING),
        ({"interval_s": 1, "count": 2, "failure_limit": 1}, measured(P.FAILED, P.SUCCESSFUL), False, P.SUCCESSFUL),
        ({"interval_s": 1, "consecutive_success_limit": 2}, measured(*[P.SUCCESSFUL] * 2), False, P.SUCCESSFUL),
        (
            {"interval_s": 1, "consecutive_success_limit": 2, "failure_limit": 1},
            measured(P.SUCCESSFUL, P.FAILED, P.SUCCESSFUL),
            False,
            P.RUNNING,
        ),
        (
            {"interval_s": 1, "consecutive_success_limit": 2, "failure_limit": 1, "count": 3},
            measured(P.SUCCESSFUL, P.FAILED, P.SUCCESSFUL),
            False,
            P.INCONCLUSIVE,
        ),
        (
            {"interval_s": 1, "consecutive_success_limit": 2, "failure_limit": -1, "count": 3},
            measured(P.SUCCESSFUL, P.FAILED, P.SUCCESSFUL),
            False,
            P.FAILED,
        ),
        ({"interval_s": 1}, measured(P.FAILED, phase=P.SUCCESSFUL), False, P.SUCCESSFUL),  # completed stays
    ],
)
def test_assess_metric_status(
    metric: dict[str, int], result: MetricResult, terminating: bool, phase: AnalysisPhase
) -> None:
    assert assess_metric_status(Metric(name="m", **metric), result, terminating=terminating) is phase  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "result", "now", "due", "next_s"),
    [
        ({}, None, 0.0, True, None),
        ({"initial_delay_s": 20.0}, None, 19.0, False, 20.0),
        ({"initial_delay_s": 20.0}, None, 20.0, True, 20.0),
        ({"interval_s": 60.0}, measured(P.SUCCESSFUL, at=100.0), 150.0, False, 160.0),
        ({"interval_s": 60.0}, measured(P.SUCCESSFUL, at=100.0), 160.0, False, 160.0),  # must have passed
        ({"interval_s": 60.0}, measured(P.SUCCESSFUL, at=100.0), 161.0, True, 160.0),
        ({"interval_s": 60.0}, measured(P.ERROR, at=100.0), 111.0, True, 110.0),  # 10 s after an error
        ({}, measured(P.ERROR, at=100.0), 109.0, False, 110.0),
        ({"interval_s": 60.0}, measured(P.RUNNING), 1000.0, False, None),
        ({"interval_s": 60.0, "count": 1}, measured(P.SUCCESSFUL), 1000.0, False, None),
        ({"interval_s": 60.0}, measured(P.SUCCESSFUL, phase=P.SUCCESSFUL), 1000.0, False, None),
    ],
)
def test_when_a_metric_is_measured(
    metric: dict[str, float], result: MetricResult | None, now: float, due: bool, next_s: float | None
) -> None:
    spec = RunSpec(metrics=(Metric(name="m", **metric),))  # type: ignore[arg-type]
    status = RunStatus(phase=P.RUNNING, started_s=0.0, metric_results=(result,) if result else ())
    assert generate_metric_tasks(spec, status, now) == (("m",) if due else ())
    assert calculate_next_reconcile_time(spec, status) == next_s


def play(
    spec: RunSpec, values: dict[str, list[object]], *, until: float = 3600.0, stop_at: float = math.inf
) -> Reconciled:
    """A run in which every measurement takes 1 s; each metric goes through its values and then repeats the last."""
    took = dict.fromkeys(values, 0)
    now, seen = 0.0, reconcile(spec, RunStatus(), 0.0)
    while not seen.status.phase.completed and now < until:
        finished = []
        for name in seen.start:
            outcome = values[name][min(took[name], len(values[name]) - 1)]
            took[name] += 1
            finished.append((name, outcome, now + 1.0))
        now = now + 1.0 if finished else seen.next_s if seen.next_s is not None else until
        if now >= stop_at:
            spec = replace(spec, terminate=True)
        seen = reconcile(spec, seen.status, now, finished)  # type: ignore[arg-type]
    return seen


def test_a_failed_metric_stops_its_siblings() -> None:
    spec = RunSpec(
        metrics=(Metric(name="bad", interval_s=10), Metric(name="job"), Metric(name="late", initial_delay_s=500))
    )
    first = reconcile(spec, RunStatus(), 0.0)
    assert first.start == ("bad", "job")  # the delay of the third counts from the first pass
    end = reconcile(spec, first.status, 5.0, [("bad", P.FAILED, 5.0)])
    assert (end.status.phase, end.stopped, end.next_s) == (P.FAILED, ("job",), None)
    assert end.status.message == 'metric "bad" is Failed: failed 1 > failureLimit 0'
    job = end.status.result("job")
    assert job is not None
    assert (job.phase, job.message) == (P.SUCCESSFUL, "metric terminated")
    refused = reconcile(spec, first.status, 5.0, [("bad", P.FAILED, 5.0)], terminated={"job": P.ERROR})
    assert refused.status.result("job").error == 1  # type: ignore[union-attr]


def test_an_endless_metric_runs_until_it_is_terminated() -> None:
    spec = RunSpec(metrics=(Metric(name="m", interval_s=10, success_condition="result[0] > 0.9"),))
    assert play(spec, {"m": [[1.0]]}, until=1000).status.phase is P.RUNNING
    end = play(spec, {"m": [[1.0]]}, stop_at=300.0).status
    assert (end.phase, end.message) == (P.SUCCESSFUL, "run terminated")
    assert play(spec, {"m": [[1.0], [0.5]]}).status.phase is P.FAILED


def test_dry_run_metrics_do_not_count() -> None:
    bad, good = Metric(name="web-errors"), Metric(name="latency")
    spec = RunSpec(metrics=(bad, good), dry_run=("web",))
    end = play(spec, {"web-errors": [P.FAILED], "latency": [P.SUCCESSFUL]}).status
    assert (end.phase, end.dry_run_summary.failed, end.run_summary.successful) == (P.SUCCESSFUL, 1, 1)
    only = play(RunSpec(metrics=(bad,), dry_run=(".*",)), {"web-errors": [P.FAILED]}).status
    assert (only.phase, only.run_summary.count) == (P.SUCCESSFUL, 0)
    none = reconcile(RunSpec(metrics=(bad,), dry_run=("absent",)), RunStatus(), 0.0)
    assert none.status.phase is P.ERROR


def test_the_newest_measurements_are_kept() -> None:
    metric = Metric(name="m", interval_s=10, count=25)
    end = play(RunSpec(metrics=(metric,)), {"m": [P.SUCCESSFUL]}).status.result("m")
    assert end is not None
    assert (end.count, len(end.measurements)) == (25, 10)
    rules = (MeasurementRetention("m", 3), MeasurementRetention("^m$", 7))
    kept = play(RunSpec(metrics=(metric,), measurement_retention=rules), {"m": [P.SUCCESSFUL]}).status.result("m")
    assert kept is not None
    assert len(kept.measurements) == 7


def test_no_data_is_judged_by_who_judges() -> None:
    argo = Metric(name="m", success_condition="isNaN(result) || result > 1")
    assert play(RunSpec(metrics=(argo,)), {"m": [math.nan]}).status.phase is P.SUCCESSFUL
    gate = replace(argo, judge=Judge.GENERIC)
    assert play(RunSpec(metrics=(gate,)), {"m": [math.nan]}).status.phase is P.INCONCLUSIVE


def test_an_error_is_tried_again_after_ten_seconds_five_times() -> None:
    spec = RunSpec(metrics=(Metric(name="m", interval_s=300, success_condition="result[0] > 0"),))
    end = play(spec, {"m": [[]]})
    assert end.status.phase is P.ERROR
    assert end.status.completed_s == pytest.approx(4 * 11.0 + 1.0)


@st.composite
def specs(draw: st.DrawFn) -> RunSpec:
    metrics = []
    for at in range(draw(st.integers(1, 3))):
        metric = Metric(
            name=f"m{at}",
            interval_s=draw(st.sampled_from([None, 5.0, 60.0])),
            initial_delay_s=draw(st.sampled_from([None, 0.0, 30.0])),
            count=draw(st.sampled_from([None, 1, 3, 8])),
            failure_limit=draw(st.integers(-1, 2)),
            inconclusive_limit=draw(st.integers(0, 2)),
            consecutive_error_limit=draw(st.integers(0, 3)),
            consecutive_success_limit=draw(st.integers(0, 2)),
        )
        metrics.append(metric)
    return RunSpec(metrics=tuple(metrics), dry_run=draw(st.sampled_from([(), ("m0",)])))


@settings(max_examples=150, deadline=None)
@given(spec=specs(), outcomes=st.lists(st.sampled_from(DONE), min_size=1, max_size=12), stop_at=st.floats(1.0, 400.0))
def test_laws_of_every_run(spec: RunSpec, outcomes: list[AnalysisPhase], stop_at: float) -> None:
    """Counters add up; the next time is never in the past; terminating ends the run at once; an ended run stays."""
    status, now, turn, live = RunStatus(), 0.0, 0, set()
    for _ in range(200):
        if now >= stop_at:
            spec = replace(spec, terminate=True)
        finished = [(name, outcomes[(turn + at) % len(outcomes)], now) for at, name in enumerate(sorted(live))]
        turn += len(finished)
        seen = reconcile(spec, status, now, finished)
        status, live = seen.status, set(seen.start)
        for result in status.metric_results:
            assert result.count == result.successful + result.failed + result.inconclusive
            assert result.consecutive_error <= result.error
            assert result.consecutive_success <= result.successful
            assert len(result.measurements) <= 11
        if status.phase.completed:
            break
        assert not spec.terminate
        assert live or (seen.next_s is not None and seen.next_s > now)
        now = now + 1.0 if live else seen.next_s or now
    if spec.terminate:
        assert status.phase.completed
    if status.phase.completed:
        again = reconcile(spec, status, now + 100.0, [("m0", P.FAILED, now)])
        assert (again.status, again.start, again.next_s) == (status, (), None)
