"""Which sizes does a Kubernetes Deployment give its ReplicaSets next?

Plain functions of numbers under the upstream names. One sync takes what the controller has last heard of its sets and
answers with the sizes to write, in order, and a reason. Nothing here knows pods, times or the API; scaling events are
in `scaling`, conditions in `progress`, history and undo in `history`.

Source: Kubernetes 1.36, pkg/controller/deployment/{rolling,recreate,sync}.go, util/deployment_util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from zdsim.cluster.api import StrategyKind

__all__ = [
    "Decision",
    "Reason",
    "ReplicaSetView",
    "Resize",
    "cleanup_unhealthy_replicas",
    "find_new_replica_set",
    "max_surge",
    "max_unavailable",
    "min_available",
    "new_rs_new_replicas",
    "recreate_step",
    "resolve_fenceposts",
    "rolling_step",
    "scale_down_old_replica_sets",
    "scaled_value",
]


class Reason(StrEnum):
    """Why a sync wrote a size, or none."""

    CREATED_NEW = "CreatedNew"  # the new set did not exist
    SCALED_UP_NEW = "ScaledUpNew"
    SCALED_DOWN_NEW = "ScaledDownNew"  # it was larger than the deployment wants
    CLEANED_UP_UNHEALTHY = "CleanedUpUnhealthy"  # old pods that were not available anyway
    SHRANK_OLD = "ShrankOld"  # available old pods, paid for by available new ones
    OLD_GONE = "OldGone"  # no old pods left to take away
    WAITING_FOR_AVAILABLE = "WaitingForAvailable"  # no room: new pods are not available yet
    BUDGET_SPENT = "BudgetSpent"  # room, but too few pods are available
    STALE_STATUS = "StaleStatus"  # an old set's status shows more available pods than it has; the step gave up
    STOPPING_OLD = "StoppingOld"  # Recreate: old sets go to 0
    WAITING_FOR_OLD_PODS = "WaitingForOldPods"  # Recreate: until the last old pod is gone
    SCALED_ACTIVE = "ScaledActive"  # scaling: the only set with pods takes the whole size
    SCALED_DOWN_SATURATED = "ScaledDownSaturated"  # scaling: the new set is full, old ones go
    SCALED_PROPORTIONALLY = "ScaledProportionally"  # scaling: in mid-rollout, by share
    NOTHING_TO_SCALE = "NothingToScale"


@dataclass(frozen=True, slots=True)
class ReplicaSetView:
    """One ReplicaSet as the Deployment controller has last heard of it.

    `spec` is what was asked, `replicas`, `ready` and `available` its reported status; `desired` and `max_replicas` are
    the annotations desired-replicas and max-replicas (None = missing), `template` identifies the pod template.
    """

    name: str
    spec: int
    replicas: int = 0
    ready: int = 0
    available: int = 0
    created_s: float = 0.0
    template: str = ""
    desired: int | None = None
    max_replicas: int | None = None
    revision: int = 0
    terminating: int | None = None
    failure: str | None = None
    observed: bool = True  # status belongs to the latest generation
    synced: bool = True  # it has a status at all


@dataclass(frozen=True, slots=True)
class Resize:
    """Write `size` (and current annotations) to the set `name`."""

    name: str
    size: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Decision:
    """What one sync does: create the new set at size `create` (None: do not), then write `resizes` in order."""

    reason: Reason
    resizes: tuple[Resize, ...] = ()
    create: int | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Last size written to each set."""
        return {resize.name: resize.size for resize in self.resizes}


def scaled_value(value: int | str, total: int, *, round_up: bool) -> int:
    """A number of pods from an integer or a percentage of `total` (`GetScaledValueFromIntOrPercent`).

    Raises:
        ValueError: a string that is not a whole number of percent.

    >>> scaled_value("25%", 10, round_up=True), scaled_value("25%", 10, round_up=False)
    (3, 2)
    """
    if isinstance(value, int):
        return value
    number = value.removesuffix("%")
    if number == value or not number.removeprefix("-").removeprefix("+").isdecimal():
        raise ValueError(f"neither a whole number nor a percentage: {value!r}")
    percent = int(number) * total
    return -(-percent // 100) if round_up else percent // 100


def resolve_fenceposts(max_surge: int | str, max_unavailable: int | str, replicas: int) -> tuple[int, int]:
    """(surge, unavailable) in pods (`ResolveFenceposts`): surge rounds up, unavailable down; both 0 makes the second 1.

    >>> resolve_fenceposts("25%", "25%", 10), resolve_fenceposts(0, "25%", 3)
    ((3, 2), (0, 1))
    """
    surge = scaled_value(max_surge, replicas, round_up=True)
    unavailable = scaled_value(max_unavailable, replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def max_surge(
    replicas: int,
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    *,
    strategy: StrategyKind = StrategyKind.ROLLING_UPDATE,
) -> int:
    """Pods that may exist beyond `replicas` (`MaxSurge`); 0 for Recreate."""
    return resolve_fenceposts(surge, unavailable, replicas)[0] if strategy is StrategyKind.ROLLING_UPDATE else 0


def max_unavailable(
    replicas: int,
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    *,
    strategy: StrategyKind = StrategyKind.ROLLING_UPDATE,
) -> int:
    """Pods that may be missing (`MaxUnavailable`): at most `replicas`; 0 for Recreate or no replicas."""
    if strategy is not StrategyKind.ROLLING_UPDATE or replicas == 0:
        return 0
    return min(resolve_fenceposts(surge, unavailable, replicas)[1], replicas)


def min_available(
    replicas: int,
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    *,
    strategy: StrategyKind = StrategyKind.ROLLING_UPDATE,
) -> int:
    """Pods that must stay available (`MinAvailable`); 0 for Recreate."""
    if strategy is not StrategyKind.ROLLING_UPDATE:
        return 0
    return replicas - max_unavailable(replicas, surge, unavailable)


def new_rs_new_replicas(
    replicas: int,
    surge: int | str,
    *,
    new_spec: int,
    total_spec: int,
    strategy: StrategyKind = StrategyKind.ROLLING_UPDATE,
) -> int:
    """Size for the new set now (`NewRSNewReplicas`).

    Args:
        new_spec: its size so far, 0 if it does not exist.
        total_spec: sizes of all sets together, the new one's included. Terminating pods are in no size.

    >>> new_rs_new_replicas(10, "25%", new_spec=0, total_spec=10), new_rs_new_replicas(10, 3, new_spec=3, total_spec=11)
    (3, 5)
    """
    if strategy is StrategyKind.RECREATE:
        return replicas
    limit = replicas + scaled_value(surge, replicas, round_up=True)
    if total_spec >= limit:
        return new_spec
    return new_spec + min(limit - total_spec, replicas - new_spec)


def find_new_replica_set(sets: Iterable[ReplicaSetView], template: str) -> ReplicaSetView | None:
    """The oldest set (creation, then name) of this template (`FindNewReplicaSet`), or None."""
    return min((view for view in sets if view.template == template), key=_by_age, default=None)


def rolling_step(
    new: ReplicaSetView | None,
    old: Sequence[ReplicaSetView],
    *,
    replicas: int,
    surge: int | str = "25%",
    unavailable: int | str = "25%",
) -> Decision:
    """One RollingUpdate sync (`rolloutRolling`): grow the new set, else take from the old ones.

    Args:
        new: the set of the wanted template; None = it does not exist and is created first, which does not count as
            growing, so that the same sync goes on to the old sets.
        old: every other set.
    """
    create: int | None = None
    if new is None:
        total = sum(view.spec for view in old)
        create = new_rs_new_replicas(replicas, surge, new_spec=0, total_spec=total)
        new = ReplicaSetView("", create)
    elif new.spec > replicas:
        return _one(new.name, replicas, Reason.SCALED_DOWN_NEW)
    total = new.spec + sum(view.spec for view in old)
    if new.spec < replicas:
        size = new_rs_new_replicas(replicas, surge, new_spec=new.spec, total_spec=total)
        if size != new.spec:
            return _grow(new, size, create)
    return _shrink_old(new, old, total, create, floor=min_available(replicas, surge, unavailable))


def _grow(new: ReplicaSetView, size: int, create: int | None) -> Decision:
    assert create is None, f"a set just created at {create} cannot grow at once to {size}"
    return _one(new.name, size, Reason.SCALED_UP_NEW)


def _shrink_old(
    new: ReplicaSetView, old: Sequence[ReplicaSetView], total: int, create: int | None, *, floor: int
) -> Decision:
    """`reconcileOldReplicaSets`: first pods that serve nobody, then available ones while enough remain."""
    created = Reason.CREATED_NEW if create is not None else None
    if not any(view.spec > 0 for view in old):
        return Decision(created or Reason.OLD_GONE, create=create)
    # New pods that are not available yet never pay for old ones.
    room = total - floor - (new.spec - new.available)
    if room <= 0:
        return Decision(created or Reason.WAITING_FOR_AVAILABLE, create=create)
    resizes, whole = cleanup_unhealthy_replicas(old, room)
    if not whole:
        return Decision(created or Reason.STALE_STATUS, tuple(resizes), create)
    sizes = {resize.name: resize.size for resize in resizes}
    # Sets that have no size any more are left out, whatever their (stale) status says.
    available = new.available + sum(view.available for view in old if view.spec > 0)
    remaining = [(view, sizes.get(view.name, view.spec)) for view in old]
    resizes += scale_down_old_replica_sets(remaining, available - floor)
    if not resizes:
        return Decision(created or Reason.BUDGET_SPENT, create=create)
    return Decision(created or resizes[-1].reason, tuple(resizes), create)


def cleanup_unhealthy_replicas(old: Iterable[ReplicaSetView], room: int) -> tuple[list[Resize], bool]:
    """Take up to `room` not-available pods from the old sets, oldest first (`cleanupUnhealthyReplicas`).

    Returns:
        The writes, and whether it came to its end. A set whose status shows more available pods than its size (its
        last shrink is not reported yet) makes it give up; writes made before that stand, and the whole step ends.
    """
    resizes: list[Resize] = []
    for view in sorted(old, key=_by_age):
        if room <= 0:
            break
        if view.spec in (0, view.available):
            continue
        taken = min(room, view.spec - view.available)
        if taken < 0:
            return resizes, False
        resizes.append(Resize(view.name, view.spec - taken, Reason.CLEANED_UP_UNHEALTHY))
        room -= taken
    return resizes, True


def scale_down_old_replica_sets(old: Iterable[tuple[ReplicaSetView, int]], budget: int) -> list[Resize]:
    """Take `budget` pods from old sets of the sizes given, oldest first (`scaleDownOldReplicaSetsForRollingUpdate`).

    `budget` is the available pods, as last heard, of the new set and of those old ones that had a size when the sync
    began, minus those that must stay. It is not limited by the room that `cleanup_unhealthy_replicas` had.
    """
    resizes: list[Resize] = []
    for view, size in sorted(old, key=lambda pair: _by_age(pair[0])):
        if budget <= 0:
            break
        if size == 0:
            continue
        taken = min(size, budget)
        resizes.append(Resize(view.name, size - taken, Reason.SHRANK_OLD))
        budget -= taken
    return resizes


def recreate_step(
    new: ReplicaSetView | None, old: Sequence[ReplicaSetView], *, replicas: int, old_pods_running: bool
) -> Decision:
    """One Recreate sync (`rolloutRecreate`): old sets to 0, wait for the last old pod, then the new set at once.

    Args:
        old_pods_running: some pod of an old set is neither Failed nor Succeeded; terminating pods count.
    """
    stops = tuple(Resize(view.name, 0, Reason.STOPPING_OLD) for view in old if view.spec > 0)
    if stops:
        return Decision(Reason.STOPPING_OLD, stops)
    if old_pods_running or any(view.replicas > 0 for view in old):
        return Decision(Reason.WAITING_FOR_OLD_PODS)
    if new is None:
        return Decision(Reason.CREATED_NEW, create=replicas)
    if new.spec != replicas:
        return _one(new.name, replicas, Reason.SCALED_UP_NEW if new.spec < replicas else Reason.SCALED_DOWN_NEW)
    return Decision(Reason.OLD_GONE)


def _one(name: str, size: int, reason: Reason) -> Decision:
    return Decision(reason, (Resize(name, size, reason),))


def _by_age(view: ReplicaSetView) -> tuple[float, str]:
    return view.created_s, view.name
