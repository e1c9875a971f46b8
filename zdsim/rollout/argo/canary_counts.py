"""How many pods should canary and stable have next?

Plain functions of sizes. A weight is out of `max_weight`, counts are pods, results are (canary, stable). A basic canary
approaches its split under surge and unavailable, in several passes; with a router both sets get theirs at once.

Source: utils/replicaset/canary.go; rollout/canary.go and rollout/replicaset.go for older sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from zdsim.rollout.argo.spec import MAX_WEIGHT, ReplicaProgressThreshold, ThresholdKind, max_surge, max_unavailable
from zdsim.rollout.argo.state import ReplicaSetView

__all__ = [
    "OldSizes",
    "adjust_replica_within_limits",
    "approximate_weighted_canary_stable_replica_counts",
    "at_desired_replica_counts_for_canary",
    "calculate_replica_counts_for_basic_canary",
    "calculate_replica_counts_for_traffic_routed_canary",
    "check_min_pods_per_replica_set",
    "cleanup_unhealthy_replicas",
    "floor_ceiling_tied",
    "get_replicas_for_scale_down",
    "replica_progress_threshold_met",
    "scale_down_old_replica_sets_for_basic_canary",
    "stable_exists_and_differs",
    "traffic_weight_to_replicas",
]


def floor_ceiling_tied(weight: int, total: int, max_weight: int = MAX_WEIGHT) -> bool:
    """Rounding `total` pods by weight up or down is equally far off (`floorCeilingTied`), in floating point."""
    return math.modf(total * (weight / max_weight))[0] == 0.5


def approximate_weighted_canary_stable_replica_counts(
    replicas: int, weight: int, max_surge: int, max_weight: int = MAX_WEIGHT
) -> tuple[int, int]:
    """The split of `replicas` pods, or one more with surge, that is nearest to `weight`.

    Neither side gets 0 pods unless the weight says all or nothing, or there is one pod and no surge. A tie goes to
    the larger canary. (`approximateWeightedCanaryStableReplicaCounts`)

    >>> [approximate_weighted_canary_stable_replica_counts(3, weight, 1) for weight in (20, 40, 60, 80)]
    [(1, 3), (1, 2), (2, 1), (3, 1)]
    """
    if replicas == 0:
        return 0, 0
    up = -(-replicas * weight // max_weight)
    down = replicas * weight // max_weight
    zero_allowed = weight in (0, max_weight) or (replicas == 1 and max_surge == 0)
    down_allowed = down != 0 or zero_allowed
    options: list[tuple[int, int]] = []
    if up < replicas or zero_allowed:
        options.append((up, replicas))
    if down_allowed and not floor_ceiling_tied(weight, replicas, max_weight):
        options.append((down, replicas))
    if max_surge > 0:
        options.append((up, replicas + 1))
        if down_allowed and not floor_ceiling_tied(weight, replicas + 1, max_weight):
            options.append((down, replicas + 1))
    if not options:
        return 0, replicas
    # min() keeps the first of equals, as the order of the options asks for.
    canary, total = min(options, key=lambda option: abs(option[0] * max_weight / option[1] - weight))
    return canary, total - canary


def stable_exists_and_differs(new: ReplicaSetView | None, stable: ReplicaSetView | None) -> bool:
    """There is a stable set apart from the new one (`CheckStableRSExists`)."""
    return stable is not None and (new is None or new.name != stable.name)


def get_replicas_for_scale_down(view: ReplicaSetView | None, *, ignore_availability: bool) -> int:
    """Pods of a set that may be counted on (`GetReplicasForScaleDown`).

    Its size if that is below what is available (the rest is going) or availability is ignored, else the available.
    """
    if view is None:
        return 0
    if view.spec < view.available or ignore_availability:
        return view.spec
    return view.available


def calculate_replica_counts_for_basic_canary(
    new: ReplicaSetView | None,
    stable: ReplicaSetView | None,
    older: Sequence[ReplicaSetView] = (),
    *,
    replicas: int,
    weight: int,
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    max_weight: int = MAX_WEIGHT,
) -> tuple[int, int]:
    """Sizes for (new, stable) in this pass, without a router (`CalculateReplicaCountsForBasicCanary`).

    Stable grows first, then new; older sets must be gone before either shrinks. The set being drained counts with
    its size, available or not, so crash-looping pods in it do not block.
    """
    most = replicas + max_surge(replicas, surge, unavailable)
    distinct = stable_exists_and_differs(new, stable)
    want_new, want_stable = approximate_weighted_canary_stable_replica_counts(
        replicas, weight, most - replicas, max_weight
    )
    if not distinct:
        want_new, want_stable = replicas, 0
    new_spec = 0 if new is None else new.spec
    stable_spec = stable.spec if distinct and stable is not None else 0
    size_new, size_stable = new_spec, stable_spec

    room = most - sum(view.spec for view in older) - new_spec - stable_spec
    if distinct and stable_spec < want_stable and room > 0:
        size_stable = min(stable_spec + room, want_stable)
        room -= size_stable - stable_spec
    if new is not None and new_spec < want_new and room > 0:
        size_new = min(new_spec + room, want_new)
    if any(view.spec > 0 for view in older):
        return size_new, size_stable

    least = replicas - max_unavailable(replicas, surge, unavailable)
    increasing = new is None or want_new >= new_spec
    counted = get_replicas_for_scale_down(new, ignore_availability=not increasing)
    counted += get_replicas_for_scale_down(stable, ignore_availability=increasing)
    spare = counted - least
    if spare <= 0:
        return size_new, size_stable
    if not increasing:
        if new_spec > want_new:
            size_new = max(want_new, new_spec - spare)
        size_new, size_stable = adjust_replica_within_limits(new, stable, size_new, size_stable, most=most, least=least)
    elif distinct:
        if stable_spec > want_stable:
            size_stable = max(want_stable, stable_spec - spare)
        size_stable, size_new = adjust_replica_within_limits(stable, new, size_stable, size_new, most=most, least=least)
    return size_new, size_stable


def adjust_replica_within_limits(
    drain: ReplicaSetView | None,
    other: ReplicaSetView | None,
    drain_size: int,
    other_size: int,
    *,
    most: int,
    least: int,
) -> tuple[int, int]:
    """Bring sizes of (drain, other) below `most` pods without going under `least` available ones.

    What the growing set must give up for `most` it gets back where its available pods are needed; the drained set
    pays for that. (`adjustReplicaWithinLimits`)
    """
    if other is None:
        return drain_size, other_size
    available = 0 if drain is None else min(drain.available, drain_size)
    other_size -= max(0, other_size + drain_size - most)
    available += min(other.available, other_size)
    given_up = max(0, other.available - other_size)
    other_size += min(given_up, max(0, least - available))
    drain_size -= max(0, other_size + drain_size - most)
    return drain_size, other_size


def traffic_weight_to_replicas(replicas: int, weight: int, max_weight: int = MAX_WEIGHT) -> int:
    """Pods for a weight, rounded up (`trafficWeightToReplicas`)."""
    return -(-weight * replicas // max_weight)


def check_min_pods_per_replica_set(count: int, min_pods: int | None, replicas: int) -> int:
    """At least `min_pods` (but not more than `replicas`), unless there should be none (`CheckMinPodsPerReplicaSet`)."""
    if count == 0 or min_pods is None:
        return count
    return max(count, min(min_pods, replicas))


def calculate_replica_counts_for_traffic_routed_canary(
    *,
    replicas: int,
    weight: int,
    canary_replicas: int | None = None,
    dynamic_stable_scale: bool = False,
    actual_canary_weight: int | None = None,
    actual_stable_weight: int | None = None,
    aborting: bool = False,
    min_pods: int | None = None,
    max_weight: int = MAX_WEIGHT,
) -> tuple[int, int]:
    """Sizes for (new, stable) with a router (`CalculateReplicaCountsForTrafficRoutedCanary`).

    Args:
        weight: target weight; 0 where `canary_replicas` is given (setCanaryScale.replicas).
        actual_canary_weight, actual_stable_weight: what the router was told; None = not known. Stable keeps the pods
            for its actual share, an aborting canary too, so traffic moves before pods do.
    """
    canary = canary_replicas
    if canary is None:
        canary = traffic_weight_to_replicas(replicas, weight, max_weight)
        canary = check_min_pods_per_replica_set(canary, min_pods, replicas)
    if not dynamic_stable_scale:
        return canary, replicas
    stable = traffic_weight_to_replicas(replicas, max_weight - weight, max_weight)
    if actual_stable_weight is not None:
        stable = max(stable, traffic_weight_to_replicas(replicas, actual_stable_weight, max_weight))
    if aborting and actual_canary_weight is not None:
        canary = max(canary, traffic_weight_to_replicas(replicas, actual_canary_weight, max_weight))
    return (
        check_min_pods_per_replica_set(canary, min_pods, replicas),
        check_min_pods_per_replica_set(stable, min_pods, replicas),
    )


def replica_progress_threshold_met(threshold: ReplicaProgressThreshold | None, available: int, wanted: int) -> bool:
    """So many of the wanted pods are enough (`ReplicaProgressThresholdMet`); without a threshold they never are.

    >>> replica_progress_threshold_met(ReplicaProgressThreshold(ThresholdKind.PERCENTAGE, 80), 4, 5)
    True
    """
    if threshold is None or threshold.value < 0:
        return False
    if threshold.kind is ThresholdKind.POD:
        return available >= threshold.value
    return wanted == 0 or available / wanted * 100.0 - threshold.value >= -1e-10


def at_desired_replica_counts_for_canary(
    new: ReplicaSetView | None,
    stable: ReplicaSetView | None,
    older: Iterable[ReplicaSetView] = (),
    *,
    want_new: int,
    want_stable: int,
    traffic_routed: bool = False,
    dynamic_stable_scale: bool = False,
    threshold: ReplicaProgressThreshold | None = None,
) -> bool:
    """The pods a step asks for are there (`AtDesiredReplicaCountsForCanary`).

    Canary pods must be available, stable pods only exist. Stable is not looked at with dynamic scale. A basic canary
    also waits for the last available pod of an older set to go, as it serves.
    """
    if new is None:
        return False
    if not (
        new.spec == new.available == want_new or replica_progress_threshold_met(threshold, new.available, want_new)
    ):
        return False
    if not (traffic_routed and dynamic_stable_scale) and (
        stable is None or not stable.spec == stable.replicas == want_stable
    ):
        return False
    return traffic_routed or sum(view.available for view in older) == 0


@dataclass(frozen=True, slots=True)
class OldSizes:
    """New sizes of older sets, in the order written; the first `n_unhealthy` only drop pods that serve nobody.

    `scaled` says whether the pass ends here. It does not when only unhealthy pods went and no available one could.
    """

    sizes: tuple[tuple[str, int], ...] = ()
    n_unhealthy: int = 0
    scaled: bool = False


def cleanup_unhealthy_replicas(older: Iterable[ReplicaSetView]) -> tuple[list[ReplicaSetView], list[str], bool]:
    """Older sets with pods that are not available taken away, oldest first (`cleanupUnhealthyReplicas`).

    Returns:
        The sets with their new sizes, names of those that changed, and whether it came to its end: a set with more
        available pods than its size (its last shrink is not reported yet) makes it give up.
    """
    views = sorted(older, key=lambda view: (view.created_s, view.name))
    changed: list[str] = []
    for index, view in enumerate(views):
        if view.spec in (0, view.available):
            continue
        if view.available > view.spec:
            return views, changed, False
        views[index] = replace(view, spec=view.available)
        changed.append(view.name)
    return views, changed, True


def scale_down_old_replica_sets_for_basic_canary(
    older: Iterable[ReplicaSetView], *, total_available: int, replicas: int, max_unavailable: int
) -> OldSizes:
    """Sizes for sets that are neither new nor stable, without a router (`scaleDownOldReplicaSetsForCanary`).

    Args:
        older: those with a size.
        total_available: available pods of all sets together.
        max_unavailable: pods that may be missing.
    """
    views, unhealthy, whole = cleanup_unhealthy_replicas(older)
    by_name = {view.name: view.spec for view in views}
    sizes = [(name, by_name[name]) for name in unhealthy]
    budget = total_available - (replicas - max_unavailable)
    if not whole or budget <= 0:
        return OldSizes(tuple(sizes), len(sizes))
    for view in sorted(views, key=lambda view: (view.revision, view.created_s), reverse=True):
        if budget <= 0:
            break
        if view.spec == 0:
            continue
        size = max(0, view.spec - budget)
        sizes.append((view.name, size))
        budget -= view.spec - size
    return OldSizes(tuple(sizes), len(unhealthy), scaled=bool(sizes))
