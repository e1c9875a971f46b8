"""Is a Deployment available, progressing, complete, or stuck?

The status that a sync writes, its conditions, and what `kubectl rollout status` makes of it. The deadline counts from
the last progress, not from the start, and passing it changes a condition and nothing else.

Source: pkg/controller/deployment/{sync,progress}.go, util/deployment_util.go, kubectl pkg/polymorphichelpers/
rollout_status.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from zdsim.cluster.api import Condition, ConditionType, DeploymentStatus, StrategyKind, Truth
from zdsim.rollout.deployment import ReplicaSetView, max_unavailable

__all__ = [
    "NO_DEADLINE",
    "ConditionReason",
    "RolloutState",
    "calculate_status",
    "deployment_complete",
    "deployment_progressing",
    "deployment_timed_out",
    "has_progress_deadline",
    "next_progress_check",
    "paused_condition",
    "rollout_state",
    "set_condition",
    "sync_rollout_status",
]

NO_DEADLINE: Final = 2147483647  # progressDeadlineSeconds: never


class ConditionReason(StrEnum):
    """Reasons of Deployment conditions."""

    MINIMUM_AVAILABLE = "MinimumReplicasAvailable"
    MINIMUM_UNAVAILABLE = "MinimumReplicasUnavailable"
    NEW_RS_CREATED = "NewReplicaSetCreated"
    FOUND_NEW_RS = "FoundNewReplicaSet"
    RS_CREATE_ERROR = "ReplicaSetCreateError"
    RS_UPDATED = "ReplicaSetUpdated"
    NEW_RS_AVAILABLE = "NewReplicaSetAvailable"
    TIMED_OUT = "ProgressDeadlineExceeded"
    PAUSED = "DeploymentPaused"
    RESUMED = "DeploymentResumed"


class RolloutState(StrEnum):
    """What `kubectl rollout status` says."""

    NOT_OBSERVED = "waiting for the spec to be observed"
    UPDATING = "new replicas have yet to be updated"
    TERMINATING_OLD = "old replicas are pending termination"
    WAITING_FOR_AVAILABLE = "updated replicas are not yet available"
    DONE = "successfully rolled out"
    DEADLINE_EXCEEDED = "exceeded its progress deadline"


def has_progress_deadline(deadline_s: int | None) -> bool:
    """None and 2147483647 mean none."""
    return deadline_s is not None and deadline_s != NO_DEADLINE


def set_condition(conditions: tuple[Condition, ...], condition: Condition) -> tuple[Condition, ...]:
    """With `condition` in place of the one of its type (`SetDeploymentCondition`).

    Nothing changes, not even times, if status and reason are the same; the transition time stays if the status is.
    """
    current = next((c for c in conditions if c.type is condition.type), None)
    if current is not None and current.status is condition.status:
        if current.reason == condition.reason:
            return conditions
        condition = replace(condition, last_transition_s=current.last_transition_s)
    return (*(c for c in conditions if c.type is not condition.type), condition)


def calculate_status(
    sets: Sequence[ReplicaSetView],
    new: ReplicaSetView | None,
    *,
    before: DeploymentStatus,
    generation: int,
    replicas: int,
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    strategy: StrategyKind = StrategyKind.ROLLING_UPDATE,
    now: float,
) -> DeploymentStatus:
    """Status from the sets as last heard (`calculateStatus`): sums, and the condition Available.

    `sets` are all of them, the new one included, with the sizes from before this sync's writes.
    """
    available = sum(view.available for view in sets)
    terminating = [view.terminating for view in sets if view.synced or view.terminating is not None]
    known = [n for n in terminating if n is not None]
    enough = available >= replicas - max_unavailable(replicas, surge, unavailable, strategy=strategy)
    condition = Condition(
        ConditionType.AVAILABLE,
        Truth.TRUE if enough else Truth.FALSE,
        ConditionReason.MINIMUM_AVAILABLE if enough else ConditionReason.MINIMUM_UNAVAILABLE,
        now,
        now,
    )
    return DeploymentStatus(
        observed_generation=generation,
        replicas=sum(view.replicas for view in sets),
        updated=0 if new is None else new.replicas,
        ready=sum(view.ready for view in sets),
        available=available,
        unavailable=max(0, sum(view.spec for view in sets) - available),
        terminating=sum(known) if len(known) == len(terminating) else None,
        conditions=set_condition(before.conditions, condition),
    )


def deployment_complete(status: DeploymentStatus, *, replicas: int, generation: int) -> bool:
    """Only new pods, all of them available, and the spec observed (`DeploymentComplete`)."""
    return (
        status.updated == status.replicas == status.available == replicas and status.observed_generation >= generation
    )


def deployment_progressing(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    """More updated, fewer old, more ready or more available pods than on record (`DeploymentProgressing`)."""
    return (
        after.updated > before.updated
        or after.replicas - after.updated < before.replicas - before.updated
        or after.ready > before.ready
        or after.available > before.available
    )


def deployment_timed_out(condition: Condition | None, *, deadline_s: int | None, now: float) -> bool:
    """No progress for more than the deadline (`DeploymentTimedOut`): strictly later; never after completion."""
    if condition is None or deadline_s is None or not has_progress_deadline(deadline_s):
        return False
    if condition.reason == ConditionReason.NEW_RS_AVAILABLE:
        return False
    return condition.reason == ConditionReason.TIMED_OUT or now > condition.last_update_s + deadline_s


def sync_rollout_status(
    before: DeploymentStatus,
    after: DeploymentStatus,
    sets: Sequence[ReplicaSetView],
    new: ReplicaSetView | None,
    *,
    replicas: int,
    generation: int,
    deadline_s: int | None,
    now: float,
) -> DeploymentStatus:
    """`after` with the conditions Progressing and ReplicaFailure (`syncRolloutStatus`)."""
    conditions = after.conditions
    current = before.condition(ConditionType.PROGRESSING)
    if not has_progress_deadline(deadline_s):
        conditions = _without(conditions, ConditionType.PROGRESSING)
    elif not (
        after.replicas == after.updated and current is not None and current.reason == ConditionReason.NEW_RS_AVAILABLE
    ):
        if deployment_complete(after, replicas=replicas, generation=generation):
            conditions = set_condition(conditions, _progressing(Truth.TRUE, ConditionReason.NEW_RS_AVAILABLE, now))
        elif deployment_progressing(before, after):
            made = _progressing(Truth.TRUE, ConditionReason.RS_UPDATED, now)
            if current is not None and current.status is Truth.TRUE:
                made = replace(made, last_transition_s=current.last_transition_s)
            # Taken out first, so that the update time moves although status and reason may be the same.
            conditions = set_condition(_without(conditions, ConditionType.PROGRESSING), made)
        elif deployment_timed_out(current, deadline_s=deadline_s, now=now):
            conditions = set_condition(conditions, _progressing(Truth.FALSE, ConditionReason.TIMED_OUT, now))
    failures = [view.failure for view in (*([] if new is None else [new]), *sets) if view.failure is not None]
    if failures:
        conditions = set_condition(
            conditions, Condition(ConditionType.REPLICA_FAILURE, Truth.TRUE, failures[0], now, now)
        )
    else:
        conditions = _without(conditions, ConditionType.REPLICA_FAILURE)
    return replace(after, conditions=conditions)


def paused_condition(
    before: DeploymentStatus, *, paused: bool, deadline_s: int | None, now: float
) -> tuple[Condition, ...] | None:
    """Conditions after noting a pause or resume (`checkPausedConditions`), None if there is nothing to note.

    A resume restarts the deadline's clock; a recorded timeout is not overwritten.
    """
    current = before.condition(ConditionType.PROGRESSING)
    if not has_progress_deadline(deadline_s) or (current is not None and current.reason == ConditionReason.TIMED_OUT):
        return None
    noted = current is not None and current.reason == ConditionReason.PAUSED
    if paused == noted:
        return None
    reason = ConditionReason.PAUSED if paused else ConditionReason.RESUMED
    return set_condition(before.conditions, _progressing(Truth.UNKNOWN, reason, now))


def next_progress_check(
    before: DeploymentStatus,
    after: DeploymentStatus,
    *,
    replicas: int,
    generation: int,
    deadline_s: int | None,
    now: float,
) -> float | None:
    """Seconds until a deployment without news should be looked at again (`requeueStuckDeployment`).

    None: no need. 0: at once, because less than a second of the deadline is left. Else what is left and one second.
    """
    current = before.condition(ConditionType.PROGRESSING)
    if current is None or deadline_s is None or not has_progress_deadline(deadline_s):
        return None
    if deployment_complete(after, replicas=replicas, generation=generation):
        return None
    if current.reason == ConditionReason.TIMED_OUT:
        return None
    left = current.last_update_s + deadline_s - now
    return 0.0 if left < 1.0 else left + 1.0


def rollout_state(status: DeploymentStatus, *, replicas: int, generation: int) -> RolloutState:
    """What `kubectl rollout status` says now."""
    if generation > status.observed_generation:
        return RolloutState.NOT_OBSERVED
    progressing = status.condition(ConditionType.PROGRESSING)
    if progressing is not None and progressing.reason == ConditionReason.TIMED_OUT:
        return RolloutState.DEADLINE_EXCEEDED
    if status.updated < replicas:
        return RolloutState.UPDATING
    if status.replicas > status.updated:
        return RolloutState.TERMINATING_OLD
    if status.available < status.updated:
        return RolloutState.WAITING_FOR_AVAILABLE
    return RolloutState.DONE


def _progressing(status: Truth, reason: ConditionReason, now: float) -> Condition:
    return Condition(ConditionType.PROGRESSING, status, reason, now, now)


def _without(conditions: tuple[Condition, ...], kind: ConditionType) -> tuple[Condition, ...]:
    return tuple(c for c in conditions if c.type is not kind)
