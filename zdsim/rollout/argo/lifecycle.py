"""How long do replaced pods stay, when is a rollback fast, and when is a rollout stuck?

Delays in seconds; None = never. Two things are not what the documentation says. An abort delay of 0 keeps a canary's
pods only where a setCanaryScale is in force at step 0, because nothing else asks for them during an abort (issue 1841);
a preview set stays. And a scale-down delay of 0 sets no deadline, so the old set stays (issues 1639, 1992).

Source: rollout/replicaset.go, rollout/sync.go, utils/defaults/defaults.go, utils/rollout/rolloututil.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from zdsim.rollout.argo.spec import (
    DEFAULT_ABORT_SCALE_DOWN_DELAY_S,
    DEFAULT_SCALE_DOWN_DELAY_S,
    RESYNC_S,
    BlueGreenStrategy,
    CanaryStrategy,
)
from zdsim.rollout.argo.state import ReplicaSetView

__all__ = [
    "NewSetOnAbort",
    "OldSetDelay",
    "abort_scale_down_delay",
    "deadline_after_abort",
    "is_fast_rollback",
    "is_rollback_within_window",
    "progress_deadline_exceeded",
    "scale_down_delay",
    "scale_down_delay_helper",
    "scale_down_revision_limit",
    "should_delay_scale_down_on_abort",
    "should_full_promote_canary",
]


def scale_down_delay(strategy: CanaryStrategy | BlueGreenStrategy) -> float:
    """Seconds a replaced set keeps its pods (`GetScaleDownDelaySecondsOrDefault`): 30; 0 for a basic canary."""
    if isinstance(strategy, CanaryStrategy) and strategy.traffic_routing is None:
        return 0.0
    delay_s = strategy.scale_down_delay_s
    return DEFAULT_SCALE_DOWN_DELAY_S if delay_s is None else delay_s


def scale_down_revision_limit(strategy: CanaryStrategy | BlueGreenStrategy) -> float:
    """How many replaced sets keep their pods at once (`GetScaleDownRevisionLimit`); infinite if unset."""
    limit = strategy.scale_down_delay_revision_limit
    return math.inf if limit is None else limit


def abort_scale_down_delay(strategy: CanaryStrategy | BlueGreenStrategy) -> float | None:
    """Seconds an aborted new set keeps its pods (`GetAbortScaleDownDelaySecondsOrDefault`).

    30 if unset; None = never scaled down by delay (written as 0); 0 for a basic canary, which has no delay.
    """
    if isinstance(strategy, CanaryStrategy) and strategy.traffic_routing is None:
        return 0.0
    delay_s = strategy.abort_scale_down_delay_s
    if delay_s is None:
        return DEFAULT_ABORT_SCALE_DOWN_DELAY_S
    return None if delay_s == 0 else delay_s


def should_delay_scale_down_on_abort(
    strategy: CanaryStrategy | BlueGreenStrategy, *, aborted: bool, has_stable: bool
) -> bool:
    """The new set's pods stay for a while after an abort (`shouldDelayScaleDownOnAbort`).

    Not in a basic canary, nor with a delay of 0; with dynamic stable scale only if a delay is written.
    """
    if not aborted or not has_stable or abort_scale_down_delay(strategy) is None:
        return False
    if isinstance(strategy, BlueGreenStrategy):
        return True
    if strategy.traffic_routing is None:
        return False
    return not strategy.dynamic_stable_scale or strategy.abort_scale_down_delay_s is not None


@dataclass(frozen=True, slots=True)
class NewSetOnAbort:
    """What happens to the new set while an abort delays its end.

    `size` None = leave it; `set_deadline_s` = write this deadline; `requeue_s` = look again then.
    """

    size: int | None = None
    set_deadline_s: float | None = None
    requeue_s: float | None = None


def deadline_after_abort(
    new: ReplicaSetView,
    *,
    now: float,
    wanted: int,
    delay_s: float,
    stable_available: int,
    replicas: int,
    resync_s: float = RESYNC_S,
) -> NewSetOnAbort:
    """The new set of an aborted update whose end is delayed (`reconcileNewReplicaSet`).

    Its deadline is only set once stable is whole. Surprises: a deadline further away than the controller's resync
    does not hold, nor does one that cannot be read; the set then gets the size `wanted` anyway, 0 for a canary.
    """
    at = new.scale_down_at_s
    if at is None:
        whole = stable_available == replicas
        return NewSetOnAbort(set_deadline_s=now + delay_s if whole else None, requeue_s=delay_s if whole else None)
    if math.isnan(at):
        return NewSetOnAbort(size=wanted)
    if at <= now:
        return NewSetOnAbort(size=0)
    if at - now < resync_s:
        return NewSetOnAbort(requeue_s=at - now)
    return NewSetOnAbort(size=wanted)


@dataclass(frozen=True, slots=True)
class OldSetDelay:
    """What a delay makes of one replaced set; `counted` sets so far hold a place in the revision limit."""

    size: int
    counted: int
    set_deadline_s: float | None = None
    requeue_s: float | None = None


def scale_down_delay_helper(
    view: ReplicaSetView,
    *,
    counted: int,
    held_size: int,
    delay_s: float,
    limit: float = math.inf,
    now: float,
    resync_s: float = RESYNC_S,
) -> OldSetDelay:
    """Give a replaced set its deadline, hold it until then, or let it go (`scaleDownDelayHelper`).

    Args:
        counted: sets before this one, newest first, that hold a place in the limit.
        held_size: its size while the deadline holds; upstream takes the rollout's replicas in blue-green, the set's
            own size in a canary.
        delay_s: 0 sets no deadline, and the set stays.
    """
    if not view.has_deadline:
        if view.spec == 0 or counted >= limit:
            return OldSetDelay(0, counted)
        if delay_s == 0:
            return OldSetDelay(view.spec, counted + 1)
        return OldSetDelay(view.spec, counted + 1, set_deadline_s=now + delay_s, requeue_s=delay_s)
    counted += 1
    if counted > limit or not view.deadline_holds(now):
        return OldSetDelay(0, counted)
    assert view.scale_down_at_s is not None
    left_s = view.scale_down_at_s - now
    return OldSetDelay(held_size, counted, requeue_s=left_s if left_s < resync_s else None)


def is_rollback_within_window(
    new: ReplicaSetView | None,
    stable: ReplicaSetView | None,
    sets: Iterable[ReplicaSetView],
    revisions: int | None,
) -> bool:
    """Going back to a set so recent that steps are skipped (`isRollbackWithinWindow`).

    `new` is older than `stable`, with fewer than `revisions` sets created strictly between them. So 1 reaches one
    revision back, 3 three. Sets of experiments do not count.
    """
    if new is None or stable is None or not revisions or revisions <= 0 or new.created_s >= stable.created_s:
        return False
    between = sum(new.created_s < view.created_s < stable.created_s for view in sets if not view.experiment)
    return between < revisions


def is_fast_rollback(
    new: ReplicaSetView | None,
    stable: ReplicaSetView | None,
    sets: Iterable[ReplicaSetView],
    *,
    revisions: int | None,
    blue_green: bool,
) -> bool:
    """Going back without steps, pauses and analysis (`isFastRollback`).

    To stable itself, inside the rollback window, or in blue-green to a set that still waits for its scale-down. An
    aborted set that waits is newer than stable: trying it again is no rollback.
    """
    if new is None or stable is None:
        return False
    if new.name == stable.name:
        return True
    if blue_green and new.has_deadline and new.created_s <= stable.created_s:
        return True
    return is_rollback_within_window(new, stable, sets, revisions)


def should_full_promote_canary(
    *,
    has_stable: bool,
    aborted: bool,
    enough_available: bool,
    promote_full: bool,
    fast_rollback: bool,
    steps_done: bool,
) -> bool:
    """The new set of a canary becomes stable (`shouldFullPromote`).

    Args:
        enough_available: as many available pods as replicas, or more, or as the progress threshold asks.
    """
    if not has_stable:
        return True
    if aborted or not enough_available:
        return False
    return promote_full or fast_rollback or steps_done


def progress_deadline_exceeded(
    *,
    now: float,
    last_update_s: float | None,
    deadline_s: float,
    completed: bool,
    progressed: bool,
    indefinite_step: bool,
    paused: bool,
    deadline_pending: bool,
) -> bool:
    """No progress for too long (`RolloutTimedOut`, `evaluateProgressDeadlineAbort`).

    Args:
        last_update_s: when progress was last seen; None = not known, and nothing is exceeded.
        completed: stable is what is wanted.
        deadline_pending: another set waits for its scale-down deadline.
    """
    if completed or progressed or indefinite_step or paused or deadline_pending or last_update_s is None:
        return False
    return last_update_s + deadline_s < now
