"""Which pods does a ReplicaSet create and delete, and when does it count one as available?

Plain functions of numbers with the rules of Kubernetes 1.36; `replicaset_controller` acts on them.

Source: pkg/controller/replicaset/replica_set.go and replica_set_utils.go, pkg/controller/controller_utils.go
(ActivePodsWithRanks, slowStartBatch), pkg/api/v1/pod (IsPodAvailable, NextPodAvailabilityCheck).
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any, Final

__all__ = [
    "BURST_REPLICAS",
    "VictimView",
    "compare_victims",
    "create_batches",
    "is_available",
    "log2_bucket",
    "next_availability_check",
    "pods_to_delete",
    "ranks_by_node",
    "size_change",
]

BURST_REPLICAS: Final = 500  # pods created or deleted in one sync at most
_PHASE_ORDER: Final = {"Pending": 0, "Unknown": 1, "Running": 2}
_NO_TIME: Final = -2  # bucket of a missing time: counts as newest, before any age
_NO_AGE: Final = -1  # bucket of an age of zero or less


@dataclass(frozen=True, slots=True)
class VictimView:
    """What the victim order looks at. Times in whole seconds, None = not recorded.

    `rank` is the number of active pods on its node that belong to ReplicaSets of the same owner.
    """

    uid: int | str
    node: str | None = "node"
    phase: str = "Running"
    ready: bool = True
    deletion_cost: int = 0
    rank: int = 0
    ready_s: float | None = None
    restarts: int = 0
    sidecar_restarts: int = 0
    created_s: float | None = None


def size_change(active: int, spec: int) -> int:
    """How many pods to create (positive) or delete (negative) now (`manageReplicas`), at most `BURST_REPLICAS`.

    >>> size_change(3, 5), size_change(5, 3), size_change(0, 9999)
    (2, -2, 500)
    """
    return max(-BURST_REPLICAS, min(spec - active, BURST_REPLICAS))


def create_batches(n: int, initial: int = 1) -> Iterator[int]:
    """Sizes of the batches in which `n` pods are created (`slowStartBatch`): 1, 2, 4, ... and the rest.

    Each batch is parallel; the next starts only when the whole batch has succeeded.

    >>> list(create_batches(10))
    [1, 2, 4, 3]
    """
    size = min(n, initial)
    while size > 0:
        yield size
        n -= size
        size = min(2 * size, n)


def log2_bucket(age_s: float) -> int:
    """floor(log2(age in nanoseconds)), -1 for ages of zero or less (`logarithmicRankDiff`).

    >>> [log2_bucket(t) for t in (0.0, 1.0, 1.08, 8.5, 8.6)]
    [-1, 29, 30, 32, 33]
    """
    return int(math.log2(age_s * 1e9)) if age_s > 1e-9 else _NO_AGE


def compare_victims(a: VictimView, b: VictimView, now: float) -> int:
    """Negative if `a` is deleted before `b`, positive if after, 0 if the rules do not say (`ActivePodsWithRanks.Less`).

    The first difference decides; what comes first is deleted first:
    unassigned; Pending, Unknown, Running; not ready; lower deletion cost; more related pods on its node; ready more
    recently (by power-of-two bucket of age; same bucket but another time: smaller UID); more restarts, then more
    sidecar restarts; younger (by the same buckets). A missing time counts as newest.
    """
    left, right = _prefix(a, now), _prefix(b, now)
    if left != right:
        return -1 if left < right else 1
    return _compare_same_prefix(a, b, now)


def pods_to_delete(pods: Sequence[VictimView], n: int, now: float) -> list[int]:
    """Indices of the `n` pods to delete, in that order (`getPodsToDelete`).

    All of them, unsorted, if `n` is not below their number. Pods the rules cannot tell apart go in the order given;
    real clusters leave that to an unstable sort.
    """
    if n >= len(pods):
        return list(range(len(pods)))

    def compare(a: VictimView, b: VictimView) -> int:
        return _compare_same_prefix(a, b, now)

    by_rules = cmp_to_key(compare)
    keys: list[tuple[Any, ...]] = [(*_prefix(pod, now), by_rules(pod), i) for i, pod in enumerate(pods)]
    return [key[-1] for key in heapq.nsmallest(n, keys)]


def ranks_by_node(nodes: Iterable[str | None], related: Iterable[str | None]) -> list[int]:
    """For each of `nodes` (where a pod is), how many of the active `related` pods stand there.

    Source: getPodsRankedByRelatedPodsOnSameNode.
    """
    on_node = Counter(node for node in related if node is not None)
    return [0 if node is None else on_node[node] for node in nodes]


def is_available(*, ready: bool, ready_transition_s: float | None, min_ready_s: float, now: float) -> bool:
    """Ready, and for `min_ready_s` if that is not 0 (`IsPodAvailable`).

    `ready_transition_s` counts in whole seconds, rounded down here too, so a pod may count up to one second early.

    >>> is_available(ready=True, ready_transition_s=10.9, min_ready_s=5, now=15.0)
    True
    """
    if not ready:
        return False
    if min_ready_s == 0:
        return True
    return ready_transition_s is not None and math.floor(ready_transition_s) + min_ready_s <= now


def next_availability_check(
    pods: Iterable[tuple[bool, float | None]], *, min_ready_s: float, now: float
) -> float | None:
    """Seconds until the first of the (ready, ready transition) pods becomes available, None if none will by itself.

    Source: findMinNextPodAvailabilityCheck.
    """
    if min_ready_s <= 0:
        return None
    waits = [
        math.floor(transition) + min_ready_s - now for ready, transition in pods if ready and transition is not None
    ]
    return min((wait for wait in waits if wait > 0.0), default=None)


def _prefix(pod: VictimView, now: float) -> tuple[int, ...]:
    """Rules 1 to 6 as far as they are a plain order; ties need `_compare_same_prefix`."""
    return (
        pod.node is not None,
        _PHASE_ORDER.get(pod.phase, 0),
        pod.ready,
        pod.deletion_cost,
        -pod.rank,
        _bucket(pod.ready_s, now) if pod.ready else 0,
    )


def _compare_same_prefix(a: VictimView, b: VictimView, now: float) -> int:
    if a.ready and a.ready_s != b.ready_s:
        return _compare_uids(a, b)
    if a.restarts != b.restarts:
        return b.restarts - a.restarts
    if a.sidecar_restarts != b.sidecar_restarts:
        return b.sidecar_restarts - a.sidecar_restarts
    if a.created_s != b.created_s:
        by_age = _bucket(a.created_s, now) - _bucket(b.created_s, now)
        return by_age if by_age != 0 else _compare_uids(a, b)
    return 0


def _bucket(time_s: float | None, now: float) -> int:
    return _NO_TIME if time_s is None else log2_bucket(now - time_s)


def _compare_uids(a: VictimView, b: VictimView) -> int:
    if isinstance(a.uid, int) and isinstance(b.uid, int):
        return (a.uid > b.uid) - (a.uid < b.uid)
    left, right = str(a.uid), str(b.uid)
    return (left > right) - (left < right)
