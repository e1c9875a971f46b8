"""What happens to the ReplicaSets when a Deployment is scaled in mid-rollout, or synced while paused?

`scale` and the arithmetic of shares. It also fills the surge allowance, with old pods in proportion.

Source: pkg/controller/deployment/sync.go (scale, isScalingEvent), util/deployment_util.go (GetReplicaSetProportion,
getReplicaSetFraction, FindActiveOrLatest, IsSaturated), pkg/controller/controller_utils.go (ReplicaSetsBySizeNewer).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import trunc

from zdsim.cluster.api import StrategyKind
from zdsim.rollout.deployment import Decision, Reason, ReplicaSetView, Resize, max_surge

__all__ = [
    "find_active_or_latest",
    "is_saturated",
    "is_scaling_event",
    "replica_set_fraction",
    "replica_set_proportion",
    "scale",
]


def is_scaling_event(sets: Iterable[ReplicaSetView], replicas: int) -> bool:
    """Some set with pods was last written for another size of the deployment (`isScalingEvent`)."""
    return any(view.spec > 0 and view.desired is not None and view.desired != replicas for view in sets)


def scale(
    new: ReplicaSetView | None,
    old: Sequence[ReplicaSetView],
    *,
    replicas: int,
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    strategy: StrategyKind = StrategyKind.ROLLING_UPDATE,
    status_replicas: int = 0,
) -> Decision:
    """Sizes after a scaling event or a sync while paused (`scale`). A paused deployment creates no new set.

    Args:
        status_replicas: the deployment's status.replicas, base of the share of a set without max-replicas annotation.

    Returns:
        Resizes of unchanged size still write the set's annotations.
    """
    only = find_active_or_latest(new, old)
    if only is not None:
        if only.spec == replicas:
            return Decision(Reason.NOTHING_TO_SCALE)
        return Decision(Reason.SCALED_ACTIVE, (Resize(only.name, replicas, Reason.SCALED_ACTIVE),))
    if is_saturated(new, replicas):
        reason = Reason.SCALED_DOWN_SATURATED
        return Decision(reason, tuple(Resize(view.name, 0, reason) for view in old if view.spec > 0))
    if strategy is not StrategyKind.ROLLING_UPDATE:
        return Decision(Reason.NOTHING_TO_SCALE)
    everyone = [*old, *([] if new is None else [new])]
    sizes = _proportional(
        [view for view in everyone if view.spec > 0],
        replicas=replicas,
        surge=max_surge(replicas, surge, unavailable),
        status_replicas=status_replicas,
    )
    reason = Reason.SCALED_PROPORTIONALLY
    return Decision(reason, tuple(Resize(name, size, reason) for name, size in sizes))


def find_active_or_latest(new: ReplicaSetView | None, old: Sequence[ReplicaSetView]) -> ReplicaSetView | None:
    """The only set with pods; with none, the new or else the youngest; None if several have pods or there is no set."""
    everyone = [*old, *([] if new is None else [new])]
    active = [view for view in everyone if view.spec > 0]
    if len(active) > 1 or not everyone:
        return None
    if active:
        return active[0]
    return new if new is not None else max(old, key=lambda view: (view.created_s, view.name))


def is_saturated(new: ReplicaSetView | None, replicas: int) -> bool:
    """The new set is as large as wanted, was written for this size, and all of it is available (`IsSaturated`)."""
    return new is not None and new.spec == new.desired == new.available == replicas


def replica_set_proportion(
    view: ReplicaSetView, *, replicas: int, surge: int, to_add: int, added: int, status_replicas: int = 0
) -> int:
    """Pods to add to (or take from) this set, within what is left of `to_add` (`GetReplicaSetProportion`)."""
    if view.spec == 0 or to_add in (0, added):
        return 0
    fraction = replica_set_fraction(view, replicas=replicas, surge=surge, status_replicas=status_replicas)
    left = to_add - added
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def replica_set_fraction(view: ReplicaSetView, *, replicas: int, surge: int, status_replicas: int = 0) -> int:
    """This set's share of the change, before limits (`getReplicaSetFraction`); halves round away from zero.

    >>> replica_set_fraction(ReplicaSetView("v1", 5, max_replicas=13), replicas=20, surge=5)
    5
    """
    if replicas == 0:
        return -view.spec
    before = view.max_replicas or status_replicas
    if before == 0:
        return 0
    # Upstream: float64(spec * (N+S)) / float64(before), rounded by adding one half.
    return trunc(view.spec * (replicas + surge) / before + 0.5) - view.spec


def _proportional(
    active: list[ReplicaSetView], *, replicas: int, surge: int, status_replicas: int
) -> list[tuple[str, int]]:
    allowed = replicas + surge if replicas > 0 else 0
    to_add = allowed - sum(view.spec for view in active)
    if to_add > 0:  # largest first, ties: younger first
        active = sorted(active, key=lambda view: (view.created_s, view.name), reverse=True)
    elif to_add < 0:  # largest first, ties: older first
        active = sorted(active, key=lambda view: (view.created_s, view.name))
    if to_add != 0:
        active.sort(key=lambda view: -view.spec)
    sizes: list[tuple[str, int]] = []
    added = 0
    for view in active:
        share = replica_set_proportion(
            view, replicas=replicas, surge=surge, to_add=to_add, added=added, status_replicas=status_replicas
        )
        sizes.append((view.name, view.spec + share))
        added += share
    if sizes and to_add != 0:
        name, size = sizes[0]
        sizes[0] = (name, max(0, size + to_add - added))
    return sizes
