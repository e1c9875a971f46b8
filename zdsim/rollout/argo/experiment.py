"""What does an Experiment do next: bring up pods, measure, or end?

Its templates come up whole, then its clock and its analyses start. It ends when its duration is over, when what it was
made for is measured, or early when something goes wrong; its pods stay a little longer.

Source: experiments/experiment.go: calculateStatus, reconcileAnalysisRuns; experiments/replicaset.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from zdsim.rollout.argo.spec import DEFAULT_SCALE_DOWN_DELAY_S, Experiment
from zdsim.rollout.argo.state import RunPhase

__all__ = ["ExperimentDecision", "ExperimentStatus", "calculate_experiment_status"]

_WORST_FIRST = (RunPhase.FAILED, RunPhase.ERROR, RunPhase.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class ExperimentStatus:
    """Status of an experiment; `available_at_s` is when its clock started, None = pods are still missing."""

    phase: RunPhase = RunPhase.PENDING
    message: str = ""
    available_at_s: float | None = None
    ended_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class ExperimentDecision:
    """Next status, pods each template should have, analyses to start and stop, and when to look again."""

    status: ExperimentStatus
    sizes: Mapping[str, int] = field(default_factory=dict)
    start_analyses: tuple[str, ...] = ()
    terminate_analyses: tuple[str, ...] = ()
    requeue_after_s: float | None = None


def calculate_experiment_status(
    experiment: Experiment,
    before: ExperimentStatus,
    *,
    available: Mapping[str, int],
    runs: Mapping[str, RunPhase],
    now: float,
    timed_out: str | None = None,
    terminate: bool = False,
    scale_down_delay_s: float = DEFAULT_SCALE_DOWN_DELAY_S,
) -> ExperimentDecision:
    """One look at an experiment.

    Args:
        available: available pods by template.
        runs: phase of each analysis that was started, by its name.
        timed_out: a template without progress for too long; it fails the experiment.
        terminate: asked to end; without a failure that is a success.
    """
    wanted = {template.name: template.replicas for template in experiment.templates}
    going = tuple(name for name, phase in runs.items() if not phase.completed)
    if before.ended_at_s is not None:
        left_s = before.ended_at_s + scale_down_delay_s - now
        if left_s > 0:
            return ExperimentDecision(before, wanted, terminate_analyses=going, requeue_after_s=left_s)
        return ExperimentDecision(before, dict.fromkeys(wanted, 0), terminate_analyses=going)

    status = before
    if status.available_at_s is None and all(available.get(name, 0) >= count for name, count in wanted.items()):
        status = replace(status, phase=RunPhase.RUNNING, available_at_s=now)
    ends = _ends(experiment, status, runs, now=now, timed_out=timed_out, terminate=terminate)
    if ends is not None:
        phase, message = ends
        status = replace(status, phase=phase, message=message, ended_at_s=now)
        return ExperimentDecision(status, wanted, terminate_analyses=going, requeue_after_s=scale_down_delay_s)
    start: tuple[str, ...] = ()
    requeue_s = None
    if status.available_at_s is not None:
        start = tuple(analysis.name for analysis in experiment.analyses if analysis.name not in runs)
        if experiment.duration_s is not None:
            requeue_s = status.available_at_s + experiment.duration_s - now
    return ExperimentDecision(status, wanted, start_analyses=start, requeue_after_s=requeue_s)


def _ends(
    experiment: Experiment,
    status: ExperimentStatus,
    runs: Mapping[str, RunPhase],
    *,
    now: float,
    timed_out: str | None,
    terminate: bool,
) -> tuple[RunPhase, str] | None:
    """How it ends now, or None: failures first, then the clock, then what must be measured."""
    if timed_out is not None:
        return RunPhase.FAILED, f"template {timed_out} made no progress"
    for bad in _WORST_FIRST:
        name = next((name for name, phase in runs.items() if phase is bad), None)
        if name is not None:
            return bad, f"analysis {name}: {bad}"
    if terminate:
        return RunPhase.SUCCESSFUL, "terminated"
    if status.available_at_s is None:
        return None
    if experiment.duration_s is not None:
        over = now > status.available_at_s + experiment.duration_s
        return (RunPhase.SUCCESSFUL, "") if over else None
    required = [analysis.name for analysis in experiment.analyses if analysis.required_for_completion]
    if required and all(runs.get(name) is RunPhase.SUCCESSFUL for name in required):
        return RunPhase.SUCCESSFUL, ""
    return None
