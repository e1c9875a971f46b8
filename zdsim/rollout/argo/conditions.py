"""Is a Rollout healthy, progressing, paused, or degraded?

Source: utils/conditions/conditions.go; utils/rollout/rolloututil.go: CalculateRolloutPhase; rollout/sync.go:
checkPausedConditions, calculateRolloutConditions, requeueStuckRollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zdsim.rollout.argo.lifecycle import progress_deadline_exceeded
from zdsim.rollout.argo.spec import BlueGreenStrategy, CanaryStrategy, RolloutSpec
from zdsim.rollout.argo.state import Progressing, ProgressReason, RolloutPhase, RolloutStatus, RunPhase
from zdsim.rollout.argo.validate import InvalidSpec

__all__ = [
    "calculate_rollout_conditions",
    "calculate_rollout_phase",
    "check_paused_conditions",
    "next_progress_check",
    "rollout_healthy",
    "rollout_progressing",
]


def check_paused_conditions(status: RolloutStatus, *, spec_paused: bool, now: float) -> RolloutStatus:
    """Note a pause, a resume or a retry before the pass begins, so the deadline counts from here."""
    before = status.progressing
    aborted = before is not None and before.reason is ProgressReason.ABORTED
    paused = bool(status.pauses) or spec_paused
    if aborted and not status.abort:
        return replace(status, progressing=Progressing(ProgressReason.RETRY, now))
    was_paused = before is not None and before.reason is ProgressReason.PAUSED
    if aborted or paused == was_paused:
        return status
    return replace(status, progressing=Progressing(ProgressReason.PAUSED if paused else ProgressReason.RESUMED, now))


def rollout_healthy(spec: RolloutSpec, status: RolloutStatus) -> bool:
    """Everything wanted is there, serves and is stable, and nothing else is (`RolloutHealthy`)."""
    if status.updated != spec.replicas or status.available != spec.replicas:
        return False
    if isinstance(spec.strategy, BlueGreenStrategy):
        preview = spec.strategy.preview_service == "" or status.preview_selector == status.current
        return status.active_selector == status.current and preview
    done = not spec.steps or status.step_index == len(spec.steps)
    return done and status.stable != "" and status.fully_promoted and status.replicas == spec.replicas


def rollout_progressing(before: RolloutStatus, after: RolloutStatus) -> bool:
    """Something moved forward (`RolloutProgressing`).

    More updated, ready or available pods, fewer old ones, another step, other steps, another stable.
    """
    return (
        after.updated > before.updated
        or after.replicas - after.updated < before.replicas - before.updated
        or after.ready > before.ready
        or after.available > before.available
        or after.stable != before.stable
        or (after.step_index or 0) != (before.step_index or 0)
        or after.steps != before.steps
    )


def calculate_rollout_conditions(
    spec: RolloutSpec,
    before: RolloutStatus,
    after: RolloutStatus,
    *,
    aborted: bool,
    abort_message: str = "",
    indefinite_step: bool,
    deadline_pending: bool = False,
    now: float,
) -> tuple[RolloutStatus, bool]:
    """Conditions of the next status, and whether a missed progress deadline aborts now.

    Args:
        before: status when the pass began, `after` the one it is about to write.
        aborted: by now, in this pass or before.
        deadline_pending: a set other than new and stable waits for its scale-down deadline.
    """
    paused = bool(before.pauses) or spec.paused
    healthy = rollout_healthy(spec, after)
    became_unhealthy = before.healthy is True and (paused or not healthy)
    if not paused and healthy:
        after = replace(after, healthy=True)
    elif before.healthy is not None:
        after = replace(after, healthy=False)
    current = before.progressing
    if aborted:
        return replace(after, progressing=_set(current, ProgressReason.ABORTED, now, abort_message)), False
    if healthy:
        return replace(after, progressing=_set(current, ProgressReason.AVAILABLE, now)), False
    if rollout_progressing(before, after) or became_unhealthy:
        lost = after.stable == after.current and became_unhealthy
        reason = ProgressReason.NOT_AVAILABLE if lost else ProgressReason.UPDATED
        return replace(after, progressing=Progressing(reason, now)), False
    after = replace(after, progressing=current)
    if current is None:
        return after, False
    completed = after.stable != "" and after.fully_promoted and after.available >= spec.replicas
    already = current.reason is ProgressReason.TIMED_OUT and not (indefinite_step or completed)
    exceeded = progress_deadline_exceeded(
        now=now,
        last_update_s=current.updated_s,
        deadline_s=spec.progress_deadline_s,
        completed=completed,
        progressed=False,
        indefinite_step=indefinite_step,
        paused=paused,
        deadline_pending=deadline_pending,
    )
    if not (exceeded or already):
        return after, False
    message = "no progress within the deadline"
    aborts = spec.progress_deadline_abort and not after.fully_promoted
    return replace(after, progressing=_set(current, ProgressReason.TIMED_OUT, now, message)), aborts


def _set(current: Progressing | None, reason: ProgressReason, now: float, message: str = "") -> Progressing:
    """The condition changes, its time too, only when its reason does (`SetRolloutCondition`)."""
    if current is not None and current.reason is reason:
        return current
    return Progressing(reason, now, message)


def next_progress_check(
    spec: RolloutSpec, before: RolloutStatus, after: RolloutStatus, *, indefinite_step: bool, now: float
) -> float | None:
    """Seconds until the deadline must be looked at (`requeueStuckRollout`); None = not for progress' sake."""
    current = after.progressing
    if current is None or before.pauses or spec.paused or after.abort or indefinite_step:
        return None
    if current.reason is ProgressReason.TIMED_OUT or rollout_healthy(spec, after):
        return None
    left_s = current.updated_s + spec.progress_deadline_s - now
    return None if left_s < 0 else left_s + 1.0  # one second more, as upstream


def calculate_rollout_phase(
    spec: RolloutSpec,
    status: RolloutStatus,
    *,
    invalid: Sequence[InvalidSpec] = (),
    post_promotion: RunPhase | None = None,
) -> tuple[RolloutPhase, str]:
    """(phase, message) (`CalculateRolloutPhase`): Degraded before Paused before Progressing before Healthy."""
    if invalid:
        return RolloutPhase.DEGRADED, "InvalidSpec: " + "; ".join(f"{one.path}: {one.message}" for one in invalid)
    current = status.progressing
    if current is not None and current.reason in (ProgressReason.ABORTED, ProgressReason.TIMED_OUT):
        return RolloutPhase.DEGRADED, f"{current.reason}: {current.message}" if current.message else current.reason
    if spec.paused:
        return RolloutPhase.PAUSED, "manually paused"
    if status.pauses:
        return RolloutPhase.PAUSED, status.pauses[0].reason
    waiting = _waits_for(spec, status, post_promotion)
    return (RolloutPhase.HEALTHY, "") if waiting is None else (RolloutPhase.PROGRESSING, waiting)


def _waits_for(spec: RolloutSpec, status: RolloutStatus, post_promotion: RunPhase | None) -> str | None:
    if status.updated < spec.replicas:
        return "more replicas need to be updated"
    if status.available < status.updated:
        return "updated replicas are still becoming available"
    promoted = status.stable != "" and status.fully_promoted
    if isinstance(spec.strategy, CanaryStrategy):
        if spec.strategy.traffic_routing is None and status.replicas > status.updated:
            return "old replicas are pending termination"
        return None if promoted else "waiting for all steps to complete"
    if status.active_selector == "" or status.active_selector != status.current:
        return "active service cutover pending"
    if promoted:
        return None
    if spec.strategy.post_promotion is not None and (post_promotion is None or not post_promotion.completed):
        return "waiting for analysis to complete"
    return "waiting for post-promotion verification to complete"
