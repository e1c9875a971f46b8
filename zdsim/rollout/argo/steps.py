"""When is a canary step done, and what do humans do to it?

Human actions edit the status, as the kubectl plugin does; the next pass notices. `controller_pause` with no condition
left is how a resume is told from a pause that has yet to begin.

Source: rollout/canary.go: completedCurrentCanaryStep; rollout/pause.go; rollout/sync.go: resetRolloutStatus;
pkg/kubectl-argo-rollouts/cmd/{promote,retry,abort}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from zdsim.rollout.argo.spec import (
    Analysis,
    CanaryStep,
    Experiment,
    Pause,
    Plugin,
    RolloutSpec,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
)
from zdsim.rollout.argo.state import CurrentRuns, PauseReason, PluginPhase, RolloutStatus, RunPhase

__all__ = [
    "StepFacts",
    "abort",
    "completed_canary_pause_step",
    "completed_current_canary_step",
    "current_canary_step",
    "halt_progress",
    "is_indefinite_step",
    "pod_template_or_steps_changed",
    "promote",
    "promote_full",
    "reset_rollout_status",
    "retry",
]


def current_canary_step(steps: Sequence[CanaryStep], index: int | None) -> tuple[CanaryStep | None, int | None]:
    """(step, index) (`GetCurrentCanaryStep`): (None, None) without steps, (None, index) after the last."""
    if not steps:
        return None, None
    at = index or 0
    return (steps[at] if at < len(steps) else None), at


def is_indefinite_step(step: CanaryStep | None) -> bool:
    """A step that may take its time: the progress deadline does not count (`isIndefiniteStep`)."""
    return isinstance(step, Experiment | Analysis | Pause)


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What completion depends on.

    Args:
        now: seconds.
        spec_paused: the user paused the rollout.
        controller_pause: the controller has paused, and not yet noticed a resume.
        pause_start_s: start of the pause of this step; None = no condition.
        at_desired_counts: the pods the step asks for are there.
        weight_verified: None = the router does not tell.
        analysis, experiment, plugin: phase of what the step started; None = not there yet.
    """

    now: float = 0.0
    spec_paused: bool = False
    controller_pause: bool = False
    pause_start_s: float | None = None
    at_desired_counts: bool = False
    weight_verified: bool | None = None
    analysis: RunPhase | None = None
    experiment: RunPhase | None = None
    plugin: PluginPhase | None = None


def completed_canary_pause_step(pause: Pause, facts: StepFacts) -> bool:
    """Resumed by a human, or strictly later than its start plus its duration (`CompletedCanaryPauseStep`)."""
    if facts.pause_start_s is None:
        return facts.controller_pause
    duration_s = pause.duration_s
    return duration_s is not None and facts.now > facts.pause_start_s + duration_s


def completed_current_canary_step(step: CanaryStep | None, facts: StepFacts) -> bool:
    """The rollout may go on to the next step (`completedCurrentCanaryStep`)."""
    if facts.spec_paused or step is None:
        return False
    match step:
        case Pause():
            return completed_canary_pause_step(step, facts)
        case SetCanaryScale():
            return facts.at_desired_counts
        case SetWeight():
            return facts.at_desired_counts and facts.weight_verified is not False
        case Experiment():
            return facts.experiment is RunPhase.SUCCESSFUL
        case Analysis():
            return facts.analysis is RunPhase.SUCCESSFUL
        case SetHeaderRoute() | SetMirrorRoute():
            return True
        case Plugin():
            return facts.plugin is PluginPhase.SUCCESSFUL
        case _:
            assert_never(step)


def halt_progress(spec: RolloutSpec, status: RolloutStatus) -> bool:
    """Nothing is scaled, switched or stepped: paused by the user, or by an inconclusive run (`haltProgress`)."""
    return spec.paused or status.pause(PauseReason.INCONCLUSIVE_ANALYSIS) is not None


def pod_template_or_steps_changed(spec: RolloutSpec, status: RolloutStatus) -> bool:
    """A new revision: another template than last seen, or other steps (`PodTemplateOrStepsChanged`).

    Blue-green only has templates. A status that never saw one does not count as changed.
    """
    if status.current and status.current != spec.template:
        return True
    return status.steps is not None and status.steps != spec.steps


def reset_rollout_status(status: RolloutStatus, n_steps: int) -> RolloutStatus:
    """The status at the start of an update (`resetRolloutStatus`): nothing of the last one counts any more."""
    return replace(
        status,
        step_index=0 if n_steps else None,
        abort=False,
        aborted_at_s=None,
        promote_full=False,
        controller_pause=False,
        pauses=(),
        scale_up_preview_check_point=False,
        runs=CurrentRuns(),
        experiment=None,
    )


def promote(status: RolloutStatus, n_steps: int) -> RolloutStatus:
    """A human says go on: clear the pauses, or skip the current step if there are none.

    The controller notices the resume by `controller_pause`, which stays. A rollout its user paused (`spec.paused`)
    needs that taken back too; the kubectl plugin does both.
    """
    if status.pauses:
        return replace(status, pauses=())
    if n_steps == 0 or status.controller_pause or status.fully_promoted:
        return status
    return replace(status, step_index=min((status.step_index or 0) + 1, n_steps))


def promote_full(status: RolloutStatus) -> RolloutStatus:
    """A human skips the remaining steps, pauses and analyses; pods must still become available."""
    return status if status.fully_promoted else replace(status, promote_full=True)


def abort(status: RolloutStatus) -> RolloutStatus:
    """A human stops the update."""
    return replace(status, abort=True)


def retry(status: RolloutStatus) -> RolloutStatus:
    """A human lets an aborted update start again at the first step.

    The time of the abort stays for one pass: it is what makes the controller start new analysis runs.
    """
    if not status.abort:
        return status
    return replace(status, abort=False, step_index=None if status.step_index is None else 0)
