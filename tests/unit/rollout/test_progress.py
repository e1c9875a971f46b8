"""Tables for a Deployment's status and conditions (Kubernetes 1.36, progress.go, deployment_util.go)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zdsim.cluster.api import Condition, ConditionType, DeploymentStatus, StrategyKind, Truth
from zdsim.rollout.deployment import ReplicaSetView
from zdsim.rollout.progress import (
    NO_DEADLINE,
    ConditionReason,
    RolloutState,
    calculate_status,
    deployment_complete,
    deployment_progressing,
    deployment_timed_out,
    next_progress_check,
    paused_condition,
    rollout_state,
    set_condition,
    sync_rollout_status,
)

DONE = DeploymentStatus(observed_generation=1, replicas=4, updated=4, ready=4, available=4)


def progressing(reason: ConditionReason, at: float, status: Truth = Truth.TRUE) -> Condition:
    return Condition(ConditionType.PROGRESSING, status, reason, at, at)


def status_of(
    *sets: ReplicaSetView, replicas: int = 4, strategy: StrategyKind = StrategyKind.ROLLING_UPDATE
) -> DeploymentStatus:
    return calculate_status(
        sets, sets[-1], before=DeploymentStatus(), generation=3, replicas=replicas, strategy=strategy, now=7.5
    )


def test_status_sums_over_the_sets() -> None:
    old = ReplicaSetView("v1", 3, replicas=4, ready=4, available=3, terminating=1)
    new = ReplicaSetView("v2", 2, replicas=1, ready=1, available=0, terminating=0)
    status = status_of(old, new)
    assert (status.replicas, status.updated, status.ready, status.available) == (5, 1, 5, 3)
    assert status.unavailable == 2  # sizes 3 + 2, minus 3 available
    assert status.terminating == 1
    assert status.observed_generation == 3


def test_unavailable_is_never_negative() -> None:
    assert status_of(ReplicaSetView("v1", 3, available=5)).unavailable == 0


def test_terminating_is_unknown_if_one_set_does_not_tell() -> None:
    told, mute = ReplicaSetView("v1", 1, terminating=2), ReplicaSetView("v2", 1)
    assert status_of(told, mute).terminating is None
    assert status_of(told, replace(mute, synced=False)).terminating == 2  # it has no status yet


@pytest.mark.parametrize(
    ("available", "strategy", "truth"),
    [
        (3, StrategyKind.ROLLING_UPDATE, Truth.TRUE),  # N 4, U 1
        (2, StrategyKind.ROLLING_UPDATE, Truth.FALSE),
        (3, StrategyKind.RECREATE, Truth.FALSE),  # U 0
        (4, StrategyKind.RECREATE, Truth.TRUE),
    ],
)
def test_available(available: int, strategy: StrategyKind, truth: Truth) -> None:
    condition = status_of(ReplicaSetView("v1", 4, available=available), strategy=strategy).condition(
        ConditionType.AVAILABLE
    )
    assert condition is not None
    assert condition.status is truth


@pytest.mark.parametrize(
    ("status", "complete"),
    [
        (DONE, True),
        (replace(DONE, replicas=5), False),
        (replace(DONE, updated=3), False),
        (replace(DONE, available=3), False),
        (replace(DONE, observed_generation=0), False),
        (replace(DONE, replicas=5, updated=5, available=5), False),
    ],
)
def test_complete(status: DeploymentStatus, complete: bool) -> None:
    assert deployment_complete(status, replicas=4, generation=1) is complete


@pytest.mark.parametrize(
    ("after", "progress"),
    [
        (DONE, False),
        (replace(DONE, updated=5, replicas=5), True),
        (replace(DONE, replicas=3), True),  # fewer old pods
        (replace(DONE, ready=5), True),
        (replace(DONE, available=5), True),
        (replace(DONE, ready=3, available=3), False),
        (replace(DONE, replicas=5), False),
    ],
)
def test_progress(after: DeploymentStatus, progress: bool) -> None:
    assert deployment_progressing(DONE, after) is progress


@pytest.mark.parametrize(
    ("condition", "deadline", "now", "timed_out"),
    [
        (progressing(ConditionReason.RS_UPDATED, 10.0), 15, 25.0, False),  # strictly later
        (progressing(ConditionReason.RS_UPDATED, 10.0), 15, 25.001, True),
        (progressing(ConditionReason.NEW_RS_AVAILABLE, 10.0), 15, 1e6, False),  # never after completion
        (progressing(ConditionReason.TIMED_OUT, 10.0, Truth.FALSE), 15, 10.0, True),
        (progressing(ConditionReason.PAUSED, 10.0, Truth.UNKNOWN), 15, 30.0, True),
        (progressing(ConditionReason.RS_UPDATED, 10.0), None, 1e9, False),
        (progressing(ConditionReason.RS_UPDATED, 10.0), NO_DEADLINE, 1e12, False),
        (None, 15, 1e6, False),
    ],
)
def test_timed_out(condition: Condition | None, deadline: int | None, now: float, timed_out: bool) -> None:
    assert deployment_timed_out(condition, deadline_s=deadline, now=now) is timed_out


def sync(
    before: DeploymentStatus, after: DeploymentStatus, *, now: float, deadline: int | None = 15
) -> Condition | None:
    made = sync_rollout_status(
        before,
        replace(after, conditions=before.conditions),
        [],
        None,
        replicas=4,
        generation=1,
        deadline_s=deadline,
        now=now,
    )
    return made.condition(ConditionType.PROGRESSING)


HALF = replace(DONE, replicas=5, updated=2, ready=4, available=4)


def test_progress_moves_the_update_time_each_time_and_keeps_the_transition() -> None:
    before = replace(HALF, conditions=(progressing(ConditionReason.RS_UPDATED, 10.0),))
    made = sync(before, replace(HALF, ready=5), now=20.0)
    assert made == Condition(ConditionType.PROGRESSING, Truth.TRUE, ConditionReason.RS_UPDATED, 20.0, 10.0)


def test_no_progress_leaves_the_condition_alone_until_the_deadline() -> None:
    condition = progressing(ConditionReason.RS_UPDATED, 10.0)
    before = replace(HALF, conditions=(condition,))
    assert sync(before, HALF, now=25.0) == condition
    made = sync(before, HALF, now=25.5)
    assert made is not None
    assert (made.status, made.reason) == (Truth.FALSE, ConditionReason.TIMED_OUT)


def test_late_progress_turns_it_true_again() -> None:
    before = replace(HALF, conditions=(progressing(ConditionReason.TIMED_OUT, 10.0, Truth.FALSE),))
    made = sync(before, replace(HALF, available=5), now=99.0)
    assert made == progressing(ConditionReason.RS_UPDATED, 99.0)


def test_completion_and_after_it_silence() -> None:
    before = replace(HALF, conditions=(progressing(ConditionReason.RS_UPDATED, 10.0),))
    made = sync(before, DONE, now=20.0)
    assert made is not None
    assert (made.reason, made.last_transition_s) == (ConditionReason.NEW_RS_AVAILABLE, 10.0)
    settled = replace(DONE, conditions=(made,))
    assert sync(settled, replace(DONE, ready=1, available=1), now=1e6) == made  # a dip is no rollout


def test_without_deadline_there_is_no_condition() -> None:
    before = replace(HALF, conditions=(progressing(ConditionReason.RS_UPDATED, 10.0),))
    assert sync(before, DONE, now=20.0, deadline=None) is None


def test_replica_failure_is_copied_new_set_first_and_removed() -> None:
    new, old = ReplicaSetView("v2", 1, failure="FailedCreate"), ReplicaSetView("v1", 1, failure="FailedDelete")
    made = sync_rollout_status(HALF, HALF, [old, new], new, replicas=4, generation=1, deadline_s=600, now=1.0)
    failure = made.condition(ConditionType.REPLICA_FAILURE)
    assert failure is not None
    assert failure.reason == "FailedCreate"
    healthy = replace(new, failure=None)
    after = sync_rollout_status(made, made, [healthy], healthy, replicas=4, generation=1, deadline_s=600, now=2.0)
    assert after.condition(ConditionType.REPLICA_FAILURE) is None


def test_a_condition_with_the_same_status_and_reason_is_not_touched() -> None:
    first = progressing(ConditionReason.RS_UPDATED, 1.0)
    assert set_condition((first,), replace(first, last_update_s=9.0)) == (first,)
    other = set_condition((first,), progressing(ConditionReason.NEW_RS_AVAILABLE, 9.0))
    assert (other[0].last_update_s, other[0].last_transition_s) == (9.0, 1.0)


@pytest.mark.parametrize(
    ("reason", "paused", "noted"),
    [
        (ConditionReason.RS_UPDATED, True, ConditionReason.PAUSED),
        (ConditionReason.PAUSED, True, None),
        (ConditionReason.PAUSED, False, ConditionReason.RESUMED),
        (ConditionReason.RS_UPDATED, False, None),
        (ConditionReason.TIMED_OUT, True, None),  # a recorded timeout is not overwritten
    ],
)
def test_pause_and_resume(reason: ConditionReason, paused: bool, noted: ConditionReason | None) -> None:
    before = replace(HALF, conditions=(progressing(reason, 1.0),))
    made = paused_condition(before, paused=paused, deadline_s=15, now=9.0)
    if noted is None:
        assert made is None
    else:
        assert made is not None
        assert (made[0].status, made[0].reason, made[0].last_update_s) == (Truth.UNKNOWN, noted, 9.0)
    assert paused_condition(before, paused=paused, deadline_s=None, now=9.0) is None


@pytest.mark.parametrize(
    ("reason", "now", "wait"),
    [
        (ConditionReason.RS_UPDATED, 12.0, 14.0),  # 10 + 15 - 12, and one more
        (ConditionReason.RS_UPDATED, 24.5, 0.0),  # less than a second left: at once
        (ConditionReason.RS_UPDATED, 26.0, 0.0),
        (ConditionReason.TIMED_OUT, 12.0, None),
    ],
)
def test_next_check(reason: ConditionReason, now: float, wait: float | None) -> None:
    before = replace(HALF, conditions=(progressing(reason, 10.0),))
    assert next_progress_check(before, HALF, replicas=4, generation=1, deadline_s=15, now=now) == wait


def test_a_complete_deployment_needs_no_check() -> None:
    before = replace(DONE, conditions=(progressing(ConditionReason.RS_UPDATED, 10.0),))
    assert next_progress_check(before, DONE, replicas=4, generation=1, deadline_s=15, now=12.0) is None
    assert next_progress_check(DONE, HALF, replicas=4, generation=1, deadline_s=15, now=12.0) is None


@pytest.mark.parametrize(
    ("status", "generation", "state"),
    [
        (DONE, 1, RolloutState.DONE),
        (DONE, 2, RolloutState.NOT_OBSERVED),
        (replace(DONE, updated=3), 1, RolloutState.UPDATING),
        (replace(DONE, replicas=5), 1, RolloutState.TERMINATING_OLD),
        (replace(DONE, available=3), 1, RolloutState.WAITING_FOR_AVAILABLE),
        (
            replace(DONE, conditions=(progressing(ConditionReason.TIMED_OUT, 1.0, Truth.FALSE),)),
            1,
            RolloutState.DEADLINE_EXCEEDED,
        ),
    ],
)
def test_kubectl_rollout_status(status: DeploymentStatus, generation: int, state: RolloutState) -> None:
    assert rollout_state(status, replicas=4, generation=generation) is state
