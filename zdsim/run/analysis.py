"""How is an analysis played while the rollout goes on?

An AnalysisRun is a state machine without a clock (`zdsim.analysis.run`); here it gets one: it is asked at the times it
names, its measurements are taken from the plane's counts (`gates`) and handed back at once, and whoever started it
hears of every phase. A smoke test is a run of its own kind: some requests to the preview, and luck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from zdsim.analysis import run as machine
from zdsim.analysis.conditions import Value
from zdsim.analysis.measurement import AnalysisPhase, evaluate_result
from zdsim.analysis.metric import Metric, RunSpec
from zdsim.cluster.journal import EntryKind
from zdsim.measure.observe import Extras
from zdsim.plane.config import PlaneRecord
from zdsim.rollout.argo.state import RunPhase
from zdsim.run.gates import Reader, Reading, answer, measure
from zdsim.run.rollout_spec import ArgoMetricCheck, Check
from zdsim.run.smoke import Tester
from zdsim.run.templates import memory_base, memory_limit
from zdsim.scenario.analysis import Analysis, MetricCheck

if TYPE_CHECKING:
    from zdsim.run.world import World

__all__ = ["AnalysisRuns", "OnChange"]

SCORE = "score"
NEVER = 1 << 40  # measurements


class OnChange(Protocol):
    """Who wants to hear of a run's phases."""

    def __call__(self, name: str, phase: RunPhase, message: str) -> None: ...


@dataclass(slots=True)
class _Run:
    name: str
    check: Check
    new: int
    stable: int
    on_change: OnChange
    since_s: float
    spec: RunSpec
    checks: dict[str, MetricCheck]
    status: machine.RunStatus
    reader: Reader
    over: bool = False
    token: int = 0


class AnalysisRuns:
    """All analysis runs of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._runs: dict[str, _Run] = {}
        scrape = world.scenario.analysis.scrape
        self._reader = Reader(
            record=world.plane.record,
            window_s=world.config.window_s,
            interval_s=scrape.interval_s,
            lag_s=scrape.lag_s,
            extras=self._extras,
            seed=world.config.seed,
        )

    @property
    def reader(self) -> Reader:
        """Reads the plane's counts as they are collected."""
        return self._reader

    def start(self, name: str, check: Check, *, new: int, stable: int, on_change: OnChange) -> None:
        """Begin a run: the smoke test if there is one, then the measurements.

        Args:
            new, stable: rows of the revisions in the request plane.
            on_change: told of every phase, at once or later.
        """
        analysis = check.analysis
        checks = {} if analysis is None else {_name(i, one): one for i, one in enumerate(analysis.metrics)}
        metrics: tuple[Metric, ...] = ()
        if analysis is not None:
            names = (SCORE,) if analysis.score is not None else tuple(checks)
            metrics = tuple(_metric(one, analysis) for one in names)
        if check.argo:
            metrics = tuple(one.metric for one in check.argo)
        run = _Run(
            name,
            check,
            new,
            stable,
            on_change,
            self._world.clock.now,
            RunSpec(metrics=metrics, dry_run=check.dry_run),
            checks,
            machine.RunStatus(),
            self._reader,
        )
        self._runs[name] = run
        self._tell(run, RunPhase.RUNNING, "")
        if check.smoke is not None:
            tester = Tester(self._world, check.smoke, new, self._world.clock.now)
            run.reader = replace(self._reader, record=tester.record)
            self._world.clock.call_in(check.smoke.duration_s, lambda: self._smoked(run))
        else:
            self._measure_from_now(run)

    def terminate(self, name: str) -> None:
        """Stop a run: successful unless something was wrong already."""
        run = self._runs.get(name)
        if run is None or run.over:
            return
        run.spec = replace(run.spec, terminate=True)
        if run.spec.metrics and run.status.started_s is not None:
            self._step(run)
        if not run.over:
            self._end(run, RunPhase.SUCCESSFUL, "terminated")

    # --- the story of a run ---------------------------------------------------------------------------------------

    def _smoked(self, run: _Run) -> None:
        if run.over:
            return
        smoke, luck = run.check.smoke, self._world.luck
        assert smoke is not None
        error = float(np.average(self._world.error_rates(run.new), weights=self._world.class_shares))
        good = luck.unit("smoke/flaky", run.new) < smoke.pass_probability
        passes = good and luck.unit("smoke/errors", run.new) < (1.0 - error) ** smoke.requests
        message = f"smoke test of {smoke.requests} requests {'passed' if passes else 'failed'}"
        self._journal(run, "SmokePassed" if passes else "SmokeFailed", message)
        if not passes:
            self._world.stage.tell("detected", "SmokeTest", message)
            self._end(run, RunPhase.FAILED, message)
        elif run.spec.metrics or run.check.until_s is not None:
            self._measure_from_now(run)
        else:
            self._end(run, RunPhase.SUCCESSFUL, message)

    def _measure_from_now(self, run: _Run) -> None:
        run.since_s = self._world.clock.now
        if run.check.until_s is not None:
            self._world.clock.call_in(run.check.until_s, lambda: self._until(run))
        if run.spec.metrics:
            self._step(run)
        elif run.check.until_s is None:
            self._end(run, RunPhase.SUCCESSFUL, "nothing to measure")

    def _until(self, run: _Run) -> None:
        """The time it was given is over, and nothing was wrong."""
        if not run.over:
            self.terminate(run.name)

    def _step(self, run: _Run) -> None:
        """Ask the machine, measure what it wants, and tell it, until it wants nothing more now."""
        clock = self._world.clock
        finished: list[machine.Finished] = []
        while True:
            done = machine.reconcile(run.spec, run.status, clock.now, finished)
            run.status = done.status
            if not done.start:
                break
            finished = [(name, self._measured(run, name), clock.now) for name in done.start]
        phase = RunPhase(done.status.phase.value)
        if phase.completed:
            self._end(run, phase, done.status.message)
        elif done.next_s is not None:
            run.token += 1
            token = run.token
            clock.call_at(max(done.next_s, clock.now), lambda: self._due(run, token))

    def _due(self, run: _Run, token: int) -> None:
        if not run.over and token == run.token:
            self._step(run)

    def _measured(self, run: _Run, name: str) -> AnalysisPhase | Value:
        if run.check.argo:
            return self._answer(run, next(one for one in run.check.argo if one.metric.name == name))
        analysis = run.check.analysis
        assert analysis is not None
        if name == SCORE and analysis.score is not None:
            reading = self._score(run, analysis)
        else:
            reading = self._read(run, analysis, run.checks[name])
        if reading.phase is not AnalysisPhase.SUCCESSFUL:
            self._journal(run, f"Measurement{reading.phase.value}", reading.message, value=_known(reading.value))
        if reading.phase is AnalysisPhase.FAILED and self._world.stage.detected_s is None:
            self._world.stage.tell("detected", name, reading.message)
        return reading.phase

    def _answer(self, run: _Run, one: ArgoMetricCheck) -> AnalysisPhase | Value:
        """What the query of an AnalysisTemplate's metric comes to: a vector where its condition asks for one."""
        if one.answer is None:
            return AnalysisPhase.SUCCESSFUL
        value = answer(run.reader, one.answer, now=self._world.clock.now, new=run.new, stable=run.stable)
        conditions = f"{one.metric.success_condition} {one.metric.failure_condition}"
        result: Value = [value] if "result[" in conditions or "(result" in conditions else value
        phase = evaluate_result(result, one.metric.success_condition, one.metric.failure_condition)
        if phase is not AnalysisPhase.SUCCESSFUL:
            message = f"{one.metric.name}: {value:.4g} ({one.answer})"
            self._journal(run, f"Measurement{phase.value}", message, value=_known(value))
            if phase is AnalysisPhase.FAILED and self._world.stage.detected_s is None:
                self._world.stage.tell("detected", one.metric.name, message)
        return result

    def _read(self, run: _Run, analysis: Analysis, check: MetricCheck) -> Reading:
        now = self._world.clock.now
        return measure(run.reader, analysis, check, now=now, since_s=run.since_s, new=run.new, stable=run.stable)

    def _score(self, run: _Run, analysis: Analysis) -> Reading:
        """Groups of metrics weighed into one number, 0 to 100; a critical metric that fails makes it 0."""
        assert analysis.score is not None
        readings = [(check, self._read(run, analysis, check)) for check in analysis.metrics]
        heard = [(c, r) for c, r in readings if r.phase is not AnalysisPhase.INCONCLUSIVE]
        if 2 * len(heard) <= len(readings):
            return Reading(AnalysisPhase.INCONCLUSIVE, math.nan, "half of the metrics or more have no data")
        weight = sum(c.weight for c, _ in heard)
        score = 100.0 * sum(c.weight for c, r in heard if r.phase is AnalysisPhase.SUCCESSFUL) / weight
        if any(c.critical and r.phase is AnalysisPhase.FAILED for c, r in heard):
            score = 0.0
        phase = AnalysisPhase.FAILED
        if score >= analysis.score.pass_:
            phase = AnalysisPhase.SUCCESSFUL
        elif score >= analysis.score.marginal:
            phase = AnalysisPhase.INCONCLUSIVE
        failed = "; ".join(r.message for _, r in heard if r.phase is AnalysisPhase.FAILED)
        return Reading(phase, score, f"score {score:.3g}{': ' + failed if failed else ''}")

    def _end(self, run: _Run, phase: RunPhase, message: str) -> None:
        run.over = True
        self._tell(run, phase, message)

    def _tell(self, run: _Run, phase: RunPhase, message: str) -> None:
        self._journal(run, phase.value, message or f"analysis {phase.value.lower()}")
        run.on_change(run.name, phase, message)

    def _journal(self, run: _Run, reason: str, message: str, **data: float | None) -> None:
        self._world.journal.write(
            self._world.clock.now, EntryKind.ANALYSIS, f"analysis/{run.name}", reason, message, **data
        )

    def _busy_share(self, record: PlaneRecord, windows: int) -> NDArray[np.float64] | None:
        """Work begun as a share of what a revision's workers could do: its rate is how busy they are."""
        if not record.service_sum.size:
            return None
        world = self._world
        workers = world.scenario.process.workers
        rows = record.service_sum.shape[1]
        could = [workers * max(1, world.pods_of(row)) for row in range(rows - 1)]
        share: NDArray[np.float64] = record.service_sum[:windows] / np.array([*could, workers], dtype=np.float64)
        return share

    def _extras(self, record: PlaneRecord) -> Extras:
        """What the plane does not count: memory by its law, orders by the revisions' conversion."""
        world, windows = self._world, record.counts.shape[0]
        rows = world.n_revisions
        memory = np.full((windows, rows), np.nan)
        for row in range(rows):
            limit = memory_limit(world.scenario, row)
            if limit is None:
                continue
            bug, pods = world.bugs[row], max(1, world.pods_of(row))
            leak = 0.0 if bug is None else bug.leak_per_request
            served = np.cumsum(record.counts[:, row].sum(axis=(1, 2)))
            memory[:, row] = np.minimum(memory_base(world.scenario, row) + leak * served / pods, limit)
        return Extras(
            restarts=world.story.restarts(windows, world.config.window_s, rows),
            memory=memory,
            service_sum=self._busy_share(record, windows),
            query_count=record.query_count[:windows] if record.query_count.size else None,
            query_sum=record.query_sum[:windows] if record.query_sum.size else None,
            conversion=world.conversions(),
            order_value=world.order_value,
        )


def _name(i: int, check: MetricCheck) -> str:
    return check.name or f"{i}: {check.called}"


def _metric(name: str, analysis: Analysis) -> Metric:
    return Metric(
        name=name,
        interval_s=analysis.interval_s,
        initial_delay_s=analysis.initial_delay_s or analysis.window_s,
        count=analysis.count,
        failure_limit=analysis.failure_limit,
        inconclusive_limit=_never(analysis.inconclusive_limit, analysis.count),
        consecutive_error_limit=analysis.consecutive_error_limit,
        consecutive_success_limit=analysis.consecutive_success_limit,
    )


def _never(limit: int, count: int | None) -> int:
    """A limit that a run understands: it knows no -1 for never, and none above its count."""
    if limit >= 0:
        return limit
    return NEVER if count is None else count


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
